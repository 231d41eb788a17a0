//! Starting from records (protocol §7.1): what a core must find again after a restart, and how it finds
//! its place.

use std::collections::BTreeMap;

use quorate_crypto::Digest;
use quorate_types::ids::{Sequence, ValidatorIndex, View};
use quorate_types::proposal::{PrePrepare, Proposal};
use quorate_types::rules::{Anchor, admit_new_view};
use quorate_types::signed::Signed;
use quorate_types::view_change::{Complaint, NewView, ViewChangeMessage};
use quorate_types::vote::{Certificate, Claim, Phase, Vote};

use crate::chain::Chain;
use crate::complaints::Complaints;
use crate::conduct::Conduct;
use crate::config::{Config, Link, Now};
use crate::core::{Certificates, Core, Reign};
use crate::fairness::Fairness;
use crate::pace::Pace;
use crate::peers::{Peers, Turns};
use crate::timeouts::Timeouts;
use crate::votes::Votes;

/// Votes kept of one sender, in windows: two phases in the current view and as much of an older one.
const VOTES_PER_WINDOW: u64 = 4;

/// The records of the current epoch.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The view, and whether it was active.
    pub view: (View, bool),
    /// The accepted new view of that view.
    pub new_view: Option<Signed<NewView>>,
    /// The highest delivered proposal.
    pub tip: Link,
    /// Delivered proposals from the stable checkpoint to the tip.
    pub delivered: Vec<(Digest, Proposal)>,
    /// Proposals above the tip.
    pub proposals: Vec<(Digest, Proposal)>,
    /// Votes above the stable checkpoint: own ones and the first-seen of others.
    pub votes: Vec<Signed<Vote>>,
    /// The highest prepared certificate.
    pub prepared: Option<Certificate>,
    /// Its highest prepare vote, which may lie at or below the stable checkpoint.
    pub last_vote: Option<Claim>,
    /// Commit certificates: the highest known, and those above the tip.
    pub commits: Vec<Certificate>,
    /// This validator's newest view change.
    pub view_change: Option<ViewChangeMessage>,
    /// Its newest complaint.
    pub complaint: Option<Signed<Complaint>>,
    /// The stable checkpoint.
    pub stable: Sequence,
    /// The highest executed sequence.
    pub executed: Sequence,
    /// Whether certificates contradicted each other before: it stays stopped.
    pub halted: bool,
}

impl Recovered {
    /// The start of an epoch: nothing recorded yet.
    #[must_use]
    pub const fn fresh(start: Link) -> Self {
        Self {
            view: (View::ZERO, true),
            new_view: None,
            tip: start,
            delivered: Vec::new(),
            proposals: Vec::new(),
            votes: Vec::new(),
            prepared: None,
            last_vote: None,
            commits: Vec::new(),
            view_change: None,
            complaint: None,
            stable: start.sequence,
            executed: start.sequence,
            halted: false,
        }
    }
}

impl Reign {
    /// Changing to `view`, nothing done in it yet.
    pub(crate) fn changing_to(view: View, now_ms: u64) -> Self {
        Self {
            view,
            active: false,
            anchor: Anchor { sequence: Sequence::ZERO, digest: Digest::ZERO, chosen: false },
            new_view: None,
            voted: BTreeMap::new(),
            prepared: None,
            committed: None,
            commits: 0,
            entered_ms: now_ms,
            progress_ms: None,
            new_view_ms: None,
            slow_times: 0,
            behind_ms: 0,
            claimed: false,
            led: false,
        }
    }
}

/// Builds the core from its records.
pub(crate) fn rebuild(config: Config, recovered: Recovered, now: Now) -> Core {
    let validators = config.quorum.validators();
    let limit = VOTES_PER_WINDOW.saturating_mul(u64::from(config.parameters.window));
    let mut votes = Votes::new(validators, usize::try_from(limit).unwrap_or(usize::MAX));
    let mut chain = Chain::new(recovered.tip);
    for (digest, proposal) in recovered.delivered {
        chain.restore_delivered(digest, proposal);
    }
    for (digest, proposal) in recovered.proposals {
        chain.insert(digest, proposal);
    }
    let (view, active) = if cfg!(mutant = "view-forgotten") { (View::ZERO, true) } else { recovered.view };
    let mut reign = resume_reign(&config, view, active, recovered.new_view, now);
    let claimed = recovered.view_change.as_ref().and_then(|change| change.signed.statement.last_vote);
    let mut last_vote = recovered.last_vote.max(claimed);
    let mut unbacked = Vec::new();
    for vote in recovered.votes {
        let Vote { phase, sequence, .. } = vote.statement;
        let is_own_prepare = vote.signer() == config.me && phase == Phase::Prepare;
        if vote.signer() == config.me {
            last_vote = last_vote.max(is_own_prepare.then(|| vote.statement.claim()));
            resume_vote(&mut reign, &vote.statement);
        }
        let is_promise = is_own_prepare && vote.statement.view == view && sequence > recovered.tip.sequence;
        if is_promise && !cfg!(mutant = "unbacked-vote-sent") {
            unbacked.push(vote);
        } else {
            votes.insert(vote, view);
        }
    }
    let pre_prepares = kept_pre_prepares(&config, view, &votes, &chain);
    let mut view_changes = BTreeMap::new();
    if let Some(own) = recovered.view_change {
        reign.claimed = own.signed.statement.new_view >= view;
        view_changes.insert(config.me, own);
    }
    let mut complaints = Complaints::default();
    recovered.complaint.map(|own| complaints.insert(own));
    let certificates = Certificates {
        prepared: recovered.prepared,
        ..sort_commits(recovered.commits, &reign, recovered.tip, config.parameters.window)
    };
    Core {
        halted: recovered.halted,
        may_sign: false,
        reign,
        chain,
        votes,
        unbacked,
        certificates,
        payloads: BTreeMap::new(),
        pre_prepares,
        view_changes,
        new_views: BTreeMap::new(),
        complaints,
        fairness: Fairness::default(),
        pace: Pace::default(),
        conduct: Conduct::default(),
        timeouts: Timeouts::new(&config.parameters),
        peers: Peers::new(config.me, validators, config.learners),
        stable: recovered.stable,
        executed: recovered.executed,
        last: None,
        last_vote,
        asked_ms: BTreeMap::new(),
        segments_asked: Turns::default(),
        delivered_ms: now.monotonic_ms,
        judge_again_ms: None,
        waiting_room: false,
        config,
    }
}

/// Back in the view it was in, under the new view that it had accepted (protocol §5.2: the accepted one is
/// never forgotten over a restart). In view 0 the anchor is the epoch's start.
fn resume_reign(config: &Config, view: View, active: bool, new_view: Option<Signed<NewView>>, now: Now) -> Reign {
    let start = (config.start.sequence, config.start.digest);
    let at_start = Anchor { sequence: start.0, digest: start.1, chosen: false };
    let accepted = new_view.filter(|new_view| new_view.statement.view == view && !cfg!(mutant = "new-view-forgotten"));
    let anchor = accepted.as_ref().and_then(|n| admit_new_view(&n.statement, config.leading(), start).ok());
    let entered = active && (anchor.is_some() || view == View::ZERO);
    Reign {
        active: entered,
        anchor: anchor.unwrap_or(at_start),
        new_view: accepted,
        ..Reign::changing_to(view, now.monotonic_ms)
    }
}

/// The pre-prepares of the view, put together again from the primary's recorded votes and the proposals: those
/// that waited for their payload are judged again.
fn kept_pre_prepares(
    config: &Config,
    view: View,
    votes: &Votes,
    chain: &Chain,
) -> BTreeMap<ValidatorIndex, (View, BTreeMap<Sequence, PrePrepare>)> {
    let primary = config.primary(view);
    let of_primary = votes.of_views(view, view).filter(|vote| vote.signer() == primary && primary != config.me);
    let prepares = of_primary.filter(|vote| vote.statement.phase == Phase::Prepare);
    let whole = prepares.filter_map(|vote| {
        let proposal = chain.proposal(&vote.statement.digest)?.clone();
        Some((vote.statement.sequence, PrePrepare { proposal, vote: *vote }))
    });
    BTreeMap::from([(primary, (view, whole.collect()))])
}

fn resume_vote(reign: &mut Reign, vote: &Vote) {
    if vote.view != reign.view {
        return;
    }
    reign.voted.insert(vote.sequence, vote.digest);
    let highest = match vote.phase {
        Phase::Prepare => &mut reign.prepared,
        Phase::Commit => &mut reign.committed,
    };
    *highest = (*highest).max(Some(vote.sequence));
}

fn sort_commits(commits: Vec<Certificate>, reign: &Reign, tip: Link, window: u32) -> Certificates {
    let mut sorted = Certificates::default();
    for commit in commits {
        let ahead = commit.claim.view > reign.view || (commit.claim.view == reign.view && !reign.active);
        let slot = if ahead { &mut sorted.commit_ahead } else { &mut sorted.commit };
        if slot.as_ref().is_none_or(|held| held.claim.sequence < commit.claim.sequence) {
            *slot = Some(commit.clone());
        }
        if commit.claim.sequence > tip.sequence {
            sorted.insert_goal(commit, window);
        }
    }
    sorted
}
