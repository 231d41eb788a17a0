//! The signing guard: the only place that holds the consensus key (architecture §3).
//!
//! It gives a signature and its record as one value, so that nothing signed exists without the record that
//! must be durable before it leaves (protocol §7.1). Beside that it keeps its own small account of what the
//! key has signed in this epoch, apart from the core's, and refuses what would break protocol §10.4:
//! a bug in the core then shows as a refusal, not as a contradiction in the world.

use std::collections::BTreeMap;

use quorate_crypto::{Digest, SecretKey};
use quorate_types::bundle::{Bundle, BundleHeader};
use quorate_types::execution::{Execution, ExecutionVote};
use quorate_types::freshness::Freshness;
use quorate_types::ids::{BlockTime, BundleNumber, ClusterId, OperationId, Sequence, View};
use quorate_types::operation::{Operation, OperationBuilder, SystemChange};
use quorate_types::promise::Promise;
use quorate_types::signed::{Signed, Statement, signing_bytes};
use quorate_types::view_change::{Complaint, NewView, ViewChange, ViewChangeMessage};
use quorate_types::vote::{Phase, Vote};

use crate::records::{self, Record};

/// Votes are remembered in so many views below the own one; nothing is ever signed in any of them again.
const REMEMBERED_VIEWS: u64 = 8;

/// What the guard refuses to sign, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuardRefusal {
    /// Another digest was signed in this slot.
    #[error("a {phase:?} vote for another proposal was signed at view {view}, sequence {sequence}")]
    SecondVote {
        /// The phase.
        phase: Phase,
        /// The view.
        view: View,
        /// The sequence.
        sequence: Sequence,
    },
    /// The view was left.
    #[error("view {view} was left for view {left_for}")]
    LeftView {
        /// The view of the statement.
        view: View,
        /// The lowest view in which anything may be signed.
        left_for: View,
    },
    /// A view change for this view, or a higher one, was signed.
    #[error("a view change for view {signed} was signed")]
    SecondViewChange {
        /// The highest one signed.
        signed: View,
    },
    /// A new view for this view, or a higher one, was signed.
    #[error("a new view {signed} was signed")]
    SecondNewView {
        /// The highest one signed.
        signed: View,
    },
    /// The bundle's number isn't the next.
    #[error("bundle {signed} was the last one signed, {asked} isn't the next")]
    BundleNumber {
        /// The last one signed.
        signed: BundleNumber,
        /// The number asked for.
        asked: BundleNumber,
    },
    /// A promise is signed for what a bundle holds that was signed, nothing else.
    #[error("bundle {number} of {signed} signed ones doesn't keep a promise for operation {operation}")]
    Promise {
        /// The bundle.
        number: BundleNumber,
        /// The last one signed.
        signed: BundleNumber,
        /// The operation.
        operation: OperationId,
    },
    /// Both phases of a slot vote for one proposal.
    #[error("the other phase's vote at view {view}, sequence {sequence} was for another proposal")]
    OtherPhase {
        /// The view.
        view: View,
        /// The sequence.
        sequence: Sequence,
    },
    /// The sequence is settled, by the stable checkpoint or its certificate: what was signed there is forgotten.
    #[error("sequence {0} is settled, what was signed there is forgotten")]
    Settled(Sequence),
    /// Another result was signed at this sequence.
    #[error("another result was signed at sequence {0}")]
    SecondExecution(Sequence),
}

/// A signed statement and the record that must be durable before it leaves.
#[derive(Clone, Debug)]
pub struct Guarded<T> {
    /// The statement.
    pub signed: T,
    /// Its record.
    pub record: Record,
}

/// The guard.
#[derive(Debug)]
pub struct SigningGuard {
    key: SecretKey,
    cluster: ClusterId,
    /// Every vote signed above the stable checkpoint, but those of views long left.
    votes: BTreeMap<(View, Sequence, Phase), Digest>,
    /// The lowest view whose votes are remembered.
    votes_from: View,
    /// The stable checkpoint: no vote is signed at or below it any more.
    stable: Sequence,
    /// Every execution certificate up to here is held: no execution vote is signed at or below it any more.
    certified: Sequence,
    /// The own view: nothing is signed below it.
    left_for: View,
    complaint: Option<(View, BlockTime)>,
    new_view: Option<View>,
    view_change: Option<View>,
    bundle: BundleNumber,
    executions: BTreeMap<Sequence, Execution>,
}

/// What the records say the key has signed in this epoch.
#[derive(Clone, Debug, Default)]
pub(crate) struct SignedBefore {
    pub(crate) votes: Vec<Vote>,
    pub(crate) stable: Sequence,
    pub(crate) certified: Sequence,
    pub(crate) view: View,
    pub(crate) complaint: Option<(View, BlockTime)>,
    pub(crate) view_change: Option<View>,
    pub(crate) new_view: Option<View>,
    pub(crate) bundle: BundleNumber,
    pub(crate) executions: Vec<Execution>,
}

impl SigningGuard {
    pub(crate) fn new(key: SecretKey, cluster: ClusterId, before: SignedBefore) -> Self {
        let votes = before.votes.iter().map(|vote| ((vote.view, vote.sequence, vote.phase), vote.digest));
        let mut guard = Self {
            key,
            cluster,
            votes: votes.collect(),
            votes_from: View::ZERO,
            stable: before.stable,
            certified: before.certified,
            left_for: View::ZERO,
            complaint: before.complaint,
            new_view: before.new_view,
            view_change: before.view_change,
            bundle: before.bundle,
            executions: before.executions.into_iter().map(|execution| (execution.sequence, execution)).collect(),
        };
        guard.enter(before.view.max(before.view_change.unwrap_or_default()));
        guard
    }

    /// The own view rises: nothing is signed below it from now on (protocol §5.1).
    pub(crate) fn enter(&mut self, view: View) {
        self.left_for = self.left_for.max(view);
        self.votes_from = View(self.left_for.0.saturating_sub(REMEMBERED_VIEWS));
        self.votes = self.votes.split_off(&(self.votes_from, Sequence::ZERO, Phase::Prepare));
    }

    fn sign<T: Statement>(&self, statement: T) -> Signed<T> {
        let signature = self.key.sign(&signing_bytes(&self.cluster, &statement));
        Signed { statement, signature }
    }

    /// protocol §3.8, §5.1: one vote per slot, nothing in a view that was left.
    pub(crate) fn vote(&mut self, vote: Vote) -> Result<Guarded<Signed<Vote>>, GuardRefusal> {
        let Vote { view, sequence, phase, digest, .. } = vote;
        if view < self.left_for {
            return Err(GuardRefusal::LeftView { view, left_for: self.left_for });
        }
        if sequence <= self.stable {
            return Err(GuardRefusal::Settled(sequence));
        }
        let other = if phase == Phase::Prepare { Phase::Commit } else { Phase::Prepare };
        if self.votes.get(&(view, sequence, other)).is_some_and(|found| *found != digest) && !cfg!(mutant = "guard-off")
        {
            return Err(GuardRefusal::OtherPhase { view, sequence });
        }
        let first = *self.votes.entry((view, sequence, phase)).or_insert(digest);
        if first != digest && !cfg!(mutant = "guard-off") {
            return Err(GuardRefusal::SecondVote { phase, view, sequence });
        }
        let signed = self.sign(vote);
        Ok(Guarded { record: records::vote(&signed.statement).record(&signed), signed })
    }

    /// protocol §5.1: one per view, and from then on nothing in views below.
    pub(crate) fn view_change(
        &mut self,
        statement: ViewChange,
        attach: impl FnOnce(Signed<ViewChange>) -> ViewChangeMessage,
    ) -> Result<Guarded<ViewChangeMessage>, GuardRefusal> {
        if let Some(signed) = self.view_change.filter(|signed| *signed >= statement.new_view) {
            return Err(GuardRefusal::SecondViewChange { signed });
        }
        self.view_change = Some(statement.new_view);
        self.enter(statement.new_view);
        let slot = records::own_view_change(statement.epoch, statement.new_view);
        let message = attach(self.sign(statement));
        Ok(Guarded { record: slot.record(&message), signed: message })
    }

    /// protocol §10.4: one new view per view.
    pub(crate) fn new_view(&mut self, statement: NewView) -> Result<Guarded<Signed<NewView>>, GuardRefusal> {
        if let Some(signed) = self.new_view.filter(|signed| *signed >= statement.view) {
            return Err(GuardRefusal::SecondNewView { signed });
        }
        self.new_view = Some(statement.view);
        let signed = self.sign(statement);
        Ok(Guarded { record: records::own_new_view(signed.statement.epoch).record(&signed), signed })
    }

    /// A complaint: the same content gives the same bytes, and none is about a view that was left.
    pub(crate) fn complaint(&mut self, statement: Complaint) -> Result<Guarded<Signed<Complaint>>, GuardRefusal> {
        let Complaint { view, time, .. } = statement;
        if view < self.left_for {
            return Err(GuardRefusal::LeftView { view, left_for: self.left_for });
        }
        self.complaint = self.complaint.max(Some((view, time)));
        let signed = self.sign(statement);
        Ok(Guarded { record: records::own_complaint(signed.statement.epoch).record(&signed), signed })
    }

    /// protocol §10.4: one bundle per number of the own lane; numbers without gaps.
    pub(crate) fn bundle(&mut self, header: BundleHeader) -> Result<Signed<BundleHeader>, GuardRefusal> {
        if header.number != self.bundle.next() {
            return Err(GuardRefusal::BundleNumber { signed: self.bundle, asked: header.number });
        }
        self.bundle = header.number;
        Ok(self.sign(header))
    }

    /// protocol §3.9: a promise is kept before it is given.
    pub(crate) fn promise(&self, bundle: &Bundle, operation: OperationId) -> Result<Signed<Promise>, GuardRefusal> {
        let BundleHeader { epoch, lane, number, .. } = bundle.header.statement;
        let is_held = bundle.operations.iter().any(|held| held.id() == operation);
        if number > self.bundle || !is_held {
            return Err(GuardRefusal::Promise { number, signed: self.bundle, operation });
        }
        Ok(self.sign(Promise { epoch, lane, number, operation }))
    }

    /// protocol §10.4: one result per sequence.
    pub(crate) fn execution(&mut self, vote: ExecutionVote) -> Result<Guarded<Signed<ExecutionVote>>, GuardRefusal> {
        let sequence = vote.execution.sequence;
        if sequence <= self.certified {
            return Err(GuardRefusal::Settled(sequence));
        }
        if *self.executions.entry(sequence).or_insert(vote.execution) != vote.execution {
            return Err(GuardRefusal::SecondExecution(sequence));
        }
        let slot = records::own_execution_vote(vote.execution.epoch, sequence);
        let signed = self.sign(vote);
        Ok(Guarded { record: slot.record(&signed), signed })
    }

    /// A freshness statement. It contradicts nothing, so it needs no record (data-model §5.3).
    pub(crate) fn freshness(&self, statement: Freshness) -> Signed<Freshness> {
        self.sign(statement)
    }

    /// A validator's word about its own store: the only thing that is signed in quarantine. Its tag is its own, and it
    /// contradicts nothing (protocol §7.4).
    pub(crate) fn own_word(&self, builder: OperationBuilder, word: &SystemChange) -> Option<Operation> {
        let is_own = word.is_own_word();
        is_own.then(|| builder.system(word.clone()).sign(&self.key).ok()).flatten()
    }

    /// Whether these records know the vote that the key has signed, or have settled its place.
    pub(crate) fn knows_vote(&self, vote: &Vote) -> bool {
        let Vote { view, sequence, phase, digest, .. } = vote;
        let is_settled = *sequence <= self.stable || *view < self.votes_from;
        is_settled || self.votes.get(&(*view, *sequence, *phase)) == Some(digest)
    }

    /// Whether these records know the complaint that the key has signed, or a later one.
    pub(crate) fn knows_complaint(&self, complaint: &Complaint) -> bool {
        Some((complaint.view, complaint.time)) <= self.complaint
    }

    /// Whether these records know the result that the key has signed, or have settled its place.
    pub(crate) fn knows_execution(&self, execution: &Execution) -> bool {
        execution.sequence <= self.certified || self.executions.get(&execution.sequence) == Some(execution)
    }

    /// Whether the key has signed another result at this place.
    pub(crate) fn has_voted_otherwise(&self, execution: &Execution) -> bool {
        self.executions.get(&execution.sequence).is_some_and(|signed| signed != execution)
    }

    /// The highest new view signed.
    pub(crate) const fn highest_new_view(&self) -> Option<View> {
        self.new_view
    }

    /// The highest view change signed.
    pub(crate) const fn highest_view_change(&self) -> Option<View> {
        self.view_change
    }

    /// Gives the key back: whoever takes it builds a guard anew, from the records.
    pub(crate) fn into_key(self) -> SecretKey {
        self.key
    }

    /// Forgets votes at or below the stable checkpoint: the core never votes there again (protocol §6.1).
    pub(crate) fn prune(&mut self, stable: Sequence) {
        self.stable = self.stable.max(stable);
        self.votes.retain(|(_, sequence, _), _| *sequence > stable);
    }

    /// Forgets results up to which every certificate is held. One above may be missing although a later
    /// checkpoint is stable, and somebody waits for its receipts.
    pub(crate) fn settle_executions(&mut self, certified: Sequence) {
        self.certified = self.certified.max(certified);
        self.executions = self.executions.split_off(&certified.next());
    }
}
