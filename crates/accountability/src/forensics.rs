//! After the worst has happened: who is guilty of two certified histories that contradict each other (accountability §5).
//!
//! Everything that the sides can show goes through one detector that forgets nothing. That is enough, by the argument
//! of protocol §5.2. Two certificates of one view share `f+1` signers, whose votes conflict or aren't on one chain.
//! Where the later one is of a higher view, take the lowest view above the first certificate's whose certificate leaves
//! its chain. The new view under which that one was made holds `q` view changes. At least `f+1` of their signers are
//! in the first certificate; if the highest claim among them is below it, each of them has hidden what it committed to,
//! and if it isn't, the claim's certificate is one of the same view that leaves the chain, or of a lower view that does.
//!
//! A pure function of what is shown. Nobody is named without evidence that anyone can judge, so nothing that is shown has
//! to be believed.

use std::collections::BTreeMap;

use quorate_crypto::Digest;
use quorate_types::evidence::Evidence;
use quorate_types::execution::{ExecutionCertificate, ExecutionVote};
use quorate_types::ids::{Sequence, ValidatorIndex};
use quorate_types::proposal::Proposal;
use quorate_types::signed::Signed;
use quorate_types::verified::Context;
use quorate_types::view_change::{NewView, ViewChange};
use quorate_types::vote::{Certificate, Vote};

use crate::ledger::{Ledger, Noted};
use crate::watch::Watch;

/// What one side can show: out of a store, or out of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Testimony {
    /// Certificates of either phase.
    pub certificates: Vec<Certificate>,
    /// New views entered.
    pub new_views: Vec<Signed<NewView>>,
    /// View changes beside those in the new views.
    pub view_changes: Vec<Signed<ViewChange>>,
    /// Votes beside those in the certificates.
    pub votes: Vec<Signed<Vote>>,
    /// Proposals: the chains that the votes are for.
    pub proposals: Vec<Proposal>,
    /// Certified results.
    pub executions: Vec<ExecutionCertificate>,
    /// Evidence kept.
    pub evidence: Vec<Evidence>,
}

/// What an investigation found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The lowest sequence at which two certificates of the sides are for different things.
    pub fork: Option<Sequence>,
    /// The guilty, each with the evidence, all of which was judged. Of one kind a few pieces are kept.
    pub culprits: BTreeMap<ValidatorIndex, Vec<Evidence>>,
}

impl Findings {
    /// Whether as many are named as a fork takes: so many that one of them at least would otherwise be correct.
    #[must_use]
    pub fn is_complete(&self, context: &Context) -> bool {
        self.culprits.len() >= context.quorum().one_correct()
    }
}

/// Names the guilty of what the sides show together.
#[must_use]
pub fn investigate(context: &Context, sides: &[Testimony]) -> Findings {
    let mut watch = Watch::over_records(context.clone());
    let mut found: Vec<Evidence> = Vec::new();
    for side in sides {
        side.proposals.iter().for_each(|proposal| watch.on_proposal(proposal, &mut found));
    }
    for side in sides {
        let in_new_views = side
            .new_views
            .iter()
            .flat_map(|new_view| [&new_view.statement.prepared, &new_view.statement.committed].into_iter().flatten());
        let in_certificates = side.certificates.iter().chain(in_new_views).flat_map(Certificate::votes);
        for vote in side.votes.iter().copied().chain(in_certificates) {
            watch.on_vote(&vote, &mut found);
        }
        for new_view in &side.new_views {
            watch.on_new_view(new_view, &mut found);
            // Those of a second new view for one view, too.
            new_view.statement.view_changes.iter().for_each(|change| watch.on_view_change(change, &mut found));
        }
        side.view_changes.iter().for_each(|change| watch.on_view_change(change, &mut found));
        for vote in side.executions.iter().flat_map(results_in) {
            watch.on_result(&vote, &mut found);
        }
        found.extend(side.evidence.iter().cloned());
    }
    Findings { fork: fork_of(sides), culprits: judged(context, found) }
}

/// Each piece that holds and leads to blame, by whom it accuses.
fn judged(context: &Context, found: Vec<Evidence>) -> BTreeMap<ValidatorIndex, Vec<Evidence>> {
    let (mut ledger, mut culprits) = (Ledger::default(), BTreeMap::<ValidatorIndex, Vec<Evidence>>::new());
    // A wrong result alone can come from a broken disk (accountability §1.9); two of one signer can't here, where a
    // quorum signed each.
    for evidence in found.into_iter().filter(|evidence| !matches!(evidence, Evidence::Diverged(_))) {
        let Some(accused) = evidence.validator() else { continue };
        let shared = std::sync::Arc::new(evidence);
        if shared.verify(context).is_ok() && ledger.note(&shared) == Noted::New {
            culprits.entry(accused).or_default().push(shared.as_ref().clone());
        }
    }
    culprits
}

/// The votes that a certified result is made of.
fn results_in(certificate: &ExecutionCertificate) -> impl Iterator<Item = Signed<ExecutionVote>> {
    let execution = certificate.execution;
    certificate.signatures.iter().map(move |(validator, signature)| Signed {
        statement: ExecutionVote { execution, validator: *validator },
        signature: *signature,
    })
}

/// The lowest sequence at which the sides' certificates, with the chains below them, name different proposals, or
/// their results differ.
fn fork_of(sides: &[Testimony]) -> Option<Sequence> {
    let mut proposals: BTreeMap<Digest, &Proposal> = BTreeMap::new();
    for proposal in sides.iter().flat_map(|side| &side.proposals) {
        proposals.insert(proposal.digest(), proposal);
    }
    let mut committed: BTreeMap<Sequence, Digest> = BTreeMap::new();
    let mut lowest: Option<Sequence> = None;
    let mut differs = |at: Sequence| lowest = Some(lowest.map_or(at, |lowest| lowest.min(at)));
    let commits = sides.iter().flat_map(|side| &side.certificates);
    for commit in commits.filter(|certificate| certificate.phase == quorate_types::vote::Phase::Commit) {
        let (mut at, mut digest) = (commit.claim.sequence, commit.claim.digest);
        loop {
            match committed.get(&at) {
                // Known from here down.
                Some(known) if *known == digest => break,
                Some(_) => differs(at),
                None => {
                    committed.insert(at, digest);
                }
            }
            let Some(proposal) = proposals.get(&digest) else { break };
            let Some(below) = at.previous() else { break };
            (at, digest) = (below, proposal.parent);
        }
    }
    let mut results = BTreeMap::new();
    for execution in sides.iter().flat_map(|side| &side.executions).map(|certificate| certificate.execution) {
        if *results.entry(execution.sequence).or_insert(execution) != execution {
            differs(execution.sequence);
        }
    }
    lowest
}

#[cfg(test)]
mod tests;
