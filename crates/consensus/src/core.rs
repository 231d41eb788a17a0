//! The core: its state, its door, and the order in which the rules are tried.

use std::collections::{BTreeMap, BTreeSet};

use quorate_crypto::Digest;
use quorate_types::contradiction::Contradiction;
use quorate_types::ids::{Sequence, ValidatorIndex, View};
use quorate_types::message::{Message, VoteMessage};
use quorate_types::proposal::{PrePrepare, Proposal};
use quorate_types::rules::Anchor;
use quorate_types::signed::Signed;
use quorate_types::view_change::{Complaint, NewView, ViewChangeMessage};
use quorate_types::vote::{Certificate, Claim, Phase, Vote};

use crate::chain::Chain;
use crate::complaints::Complaints;
use crate::conduct::Conduct;
use crate::config::{Config, Link, Now};
use crate::effect::{CoreNotice, Effect, Input, Own};
use crate::fairness::Fairness;
use crate::pace::Pace;
use crate::peers::{Peers, Turns};
use crate::recovered::Recovered;
use crate::timeouts::Timeouts;
use crate::votes::{Kept, Votes};

/// One validator's part in ordering one epoch: a pure state machine (see the crate's documentation for the
/// map of clauses). Drive it with [`Core::step`].
#[derive(Debug)]
pub struct Core {
    pub(crate) config: Config,
    /// Set when two certificates contradict each other: nothing is signed any more.
    pub(crate) halted: bool,
    /// Set by [`Input::MaySign`]; until then the core follows (protocol §7.3, §7.4).
    pub(crate) may_sign: bool,
    pub(crate) reign: Reign,
    pub(crate) chain: Chain,
    pub(crate) votes: Votes,
    /// Own prepare votes of the view that a restart brought back, until everything that they name is found here.
    /// They bind as all others do, but aren't counted or sent before (protocol §7.2).
    pub(crate) unbacked: Vec<Signed<Vote>>,
    pub(crate) certificates: Certificates,
    pub(crate) payloads: BTreeMap<Digest, PayloadState>,
    /// Pre-prepares of each sender's newest view at or above the current one.
    pub(crate) pre_prepares: BTreeMap<ValidatorIndex, (View, BTreeMap<Sequence, PrePrepare>)>,
    /// The newest valid view change of each validator.
    pub(crate) view_changes: BTreeMap<ValidatorIndex, ViewChangeMessage>,
    /// The newest new view of each sender for a view not entered yet.
    pub(crate) new_views: BTreeMap<ValidatorIndex, Signed<NewView>>,
    pub(crate) complaints: Complaints,
    pub(crate) fairness: Fairness,
    pub(crate) pace: Pace,
    /// What was seen of others, for suspicion.
    pub(crate) conduct: Conduct,
    pub(crate) timeouts: Timeouts,
    pub(crate) peers: Peers,
    pub(crate) stable: Sequence,
    pub(crate) executed: Sequence,
    /// The epoch's last sequence, once an executed change of the set or the parameters has fixed it (protocol §8.4).
    pub(crate) last: Option<Sequence>,
    /// This validator's highest prepare vote of the epoch, by view and sequence.
    pub(crate) last_vote: Option<Claim>,
    /// What was asked of whom lately, so that it isn't asked again at once.
    pub(crate) asked_ms: BTreeMap<Digest, u64>,
    /// Whom a stretch of the chain was asked of last.
    pub(crate) segments_asked: Turns,
    /// When this core last delivered.
    pub(crate) delivered_ms: u64,
    /// A proposal too far ahead of the local clock is judged again at this time.
    pub(crate) judge_again_ms: Option<u64>,
    /// An operation waits for its parents (protocol §3.1).
    pub(crate) waiting_room: bool,
}

/// The current view and this validator's own conduct in it.
#[derive(Clone, Debug)]
pub(crate) struct Reign {
    pub(crate) view: View,
    /// Votes here; otherwise it is changing to this view.
    pub(crate) active: bool,
    /// Where the view's proposals start; meaningful while active.
    pub(crate) anchor: Anchor,
    /// The one new view accepted for it (none in view 0).
    pub(crate) new_view: Option<Signed<NewView>>,
    /// Every vote of its own in this view, either phase: they lie on one chain.
    pub(crate) voted: BTreeMap<Sequence, Digest>,
    /// The highest sequence prepared in it.
    pub(crate) prepared: Option<Sequence>,
    /// The highest sequence for which it voted commit in it.
    pub(crate) committed: Option<Sequence>,
    /// Proposals delivered while active in it.
    pub(crate) commits: u64,
    /// Monotonic time at which it was entered.
    pub(crate) entered_ms: u64,
    /// The progress timer, while it runs.
    pub(crate) progress_ms: Option<u64>,
    /// The timer for the missing new view, while it runs.
    pub(crate) new_view_ms: Option<u64>,
    /// Consecutive proposals whose block time lay behind the local clock by more than the drift.
    pub(crate) slow_times: u32,
    /// By how much the last proposal's block time lay behind the local clock when it came.
    pub(crate) behind_ms: u64,
    /// Its view change for this view was made.
    pub(crate) claimed: bool,
    /// Its new view for this view was made.
    pub(crate) led: bool,
}

/// The certificates that a view change would claim, and those that wait.
#[derive(Clone, Debug, Default)]
pub(crate) struct Certificates {
    /// The highest prepared one by (view, sequence), of views up to the current one, with its chain in hand.
    pub(crate) prepared: Option<Certificate>,
    /// A higher prepared one whose chain isn't in hand yet.
    pub(crate) prepared_pending: Option<Certificate>,
    /// The highest commit by sequence, of views up to the current one.
    pub(crate) commit: Option<Certificate>,
    /// The newest commit of a view above the current one.
    pub(crate) commit_ahead: Option<Certificate>,
    /// Commits above the tip, by sequence, to be delivered when their data is here.
    pub(crate) goals: BTreeMap<Sequence, Certificate>,
}

impl Certificates {
    /// Adds a commit to be delivered. The highest and the lowest matter: the aim, and the next step. Bounded by
    /// the window (protocol §9.5).
    pub(crate) fn insert_goal(&mut self, commit: Certificate, window: u32) {
        self.goals.insert(commit.claim.sequence, commit);
        while self.goals.len() > usize::try_from(window).unwrap_or(usize::MAX) {
            let middle = self.goals.keys().nth(self.goals.len() / 2).copied();
            middle.and_then(|middle| self.goals.remove(&middle));
        }
    }
}

/// What is known of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PayloadState {
    /// Asked of the lanes; the answer comes when the data has.
    Asked,
    /// Held and valid.
    Valid,
    /// Contradicts the rules: never voted for.
    Invalid,
}

impl Core {
    /// A core that continues from its records; a fresh epoch is the case without any.
    #[must_use]
    pub fn new(config: Config, recovered: Recovered, now: Now) -> Self {
        crate::recovered::rebuild(config, recovered, now)
    }

    /// One input, all its consequences. Effects come in the order in which they happened.
    pub fn step(&mut self, now: Now, input: Input, out: &mut Vec<Effect>) {
        self.count_late_time(now);
        match input {
            Input::PrePrepare(pre_prepare) => self.on_pre_prepare(now, pre_prepare, out),
            Input::Vote(vote, primary) => {
                for vote in primary.into_iter().chain([vote]) {
                    self.on_peer_vote(now, vote, out);
                }
            }
            Input::Complaint(complaint) => self.on_complaint(complaint),
            Input::ViewChange(change) => self.on_view_change(*change, out),
            Input::NewView(new_view) => self.on_new_view(*new_view, out),
            Input::Certificate(certificate) => self.on_certificate(certificate, out),
            Input::Proposal(proposal) => self.on_proposal(proposal, out),
            Input::Segment(segment) => self.on_segment(*segment, out),
            Input::Status(from, status) => self.on_status(now, from, *status, out),
            Input::Own(own) => self.on_own(now, *own, out),
            Input::Payload(digest, valid) => self.on_payload(digest, valid),
            Input::Propose(payload) => self.on_propose(now, payload, out),
            Input::Demand(demand) => self.on_demand(now, &demand),
            Input::Executed(sequence) => self.executed = self.executed.max(sequence),
            Input::Stable(sequence) => self.on_stable(sequence),
            Input::MaySign => {
                self.may_sign = true;
                self.count_again(out);
            }
            Input::Tick => self.on_tick(now, out),
        }
        self.advance(now, out);
    }

    /// Votes that a restart brought back may make a certificate that went down unrecorded: nobody sends them
    /// again to one who holds them, so they are counted here (protocol §7.1).
    fn count_again(&mut self, out: &mut Vec<Effect>) {
        let of = |vote: &Signed<Vote>| {
            let Vote { view, sequence, phase, digest, .. } = vote.statement;
            ((view, sequence, phase), digest)
        };
        let slots: BTreeSet<_> = self.votes.of_views(View::ZERO, View(u64::MAX)).map(of).collect();
        let quorum = self.config.quorum.quorum();
        for (slot, digest) in slots {
            if let Some(certificate) = self.votes.certificate(self.config.epoch, slot, digest, quorum) {
                self.on_certificate(certificate, out);
            }
        }
    }

    /// Tries every rule that new knowledge may have enabled, in the order of their dependence.
    fn advance(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.halted {
            return;
        }
        self.accept_new_view(now, out);
        self.deliver(now, out);
        self.take_up_votes(now, out);
        self.vote_for_anchor(now, out);
        while self.prepare_next(now, out) {}
        self.adopt_prepared(now, out);
        self.commit_highest(now, out);
        self.consider_leaving(now, out);
        self.claim_in_view_change(out);
        self.lead_view_change(out);
    }

    /// The epoch ends with this sequence: what executed has fixed it (protocol §8.4).
    pub fn set_last(&mut self, sequence: Sequence) {
        self.last = Some(sequence);
    }

    /// Whether this validator may sign votes now.
    pub(crate) const fn signs(&self) -> bool {
        self.may_sign && !self.halted
    }

    /// Whether a certificate of `view` may be claimed when this validator changes view next: of a view that it
    /// is only changing to, none may, because every claim is of a view below (protocol §2.6).
    pub(crate) fn is_claimable(&self, view: View) -> bool {
        view < self.reign.view || (view == self.reign.view && self.reign.active)
    }

    /// The highest sequence in the window (protocol §6.1).
    pub(crate) fn window_end(&self) -> Sequence {
        self.stable.plus(u64::from(self.config.parameters.window))
    }

    /// What is kept of others: a peer's window may be ahead of this one's by as much as a window.
    pub(crate) fn horizon(&self) -> Sequence {
        self.window_end().plus(u64::from(self.config.parameters.window))
    }

    /// protocol §6.1, §8.4: votes only for sequences in `(stable, stable + W]` that this epoch orders.
    pub(crate) fn in_window(&self, sequence: Sequence) -> bool {
        sequence > self.stable && sequence <= self.window_end() && !self.is_beyond_epoch(sequence)
    }

    /// protocol §8.4: whoever could vote up there has executed what fixed the epoch's last sequence, so that it is
    /// known here in time.
    pub(crate) fn is_beyond_epoch(&self, sequence: Sequence) -> bool {
        self.last.is_some_and(|last| sequence > last) && !cfg!(mutant = "votes-beyond-epoch")
    }

    /// A vote that a peer brought. One of the own key either is in the records or was made elsewhere: by coming
    /// in it never becomes a vote of this validator (protocol §7.3, §7.6).
    pub(crate) fn on_peer_vote(&mut self, now: Now, vote: Signed<Vote>, out: &mut Vec<Effect>) {
        if vote.signer() != self.config.me {
            return self.on_vote(now, vote, out);
        }
        let Vote { view, sequence, digest, phase, .. } = vote.statement;
        if let Some(first) = self.votes.of(self.config.me, (view, sequence, phase))
            && first.statement.digest != digest
        {
            out.push(Effect::Contradiction(Contradiction::Votes(*first, vote)));
        }
    }

    fn on_complaint(&mut self, complaint: Signed<Complaint>) {
        if complaint.signer() != self.config.me {
            self.complaints.insert(complaint);
        }
    }

    /// A vote of any validator, this one included. protocol §3.8: one per slot is kept.
    pub(crate) fn on_vote(&mut self, now: Now, vote: Signed<Vote>, out: &mut Vec<Effect>) {
        let Vote { view, sequence, digest, phase, validator, .. } = vote.statement;
        let own = validator == self.config.me;
        if !own && (sequence <= self.stable || sequence > self.horizon()) {
            return;
        }
        match self.votes.insert(vote, self.reign.view) {
            Kept::Known | Kept::Dropped => return,
            Kept::Conflict(first) => {
                out.push(Effect::Contradiction(Contradiction::Votes(first, vote)));
                return;
            }
            Kept::New => {}
        }
        if !own {
            // Those of views ahead are saved when this validator gets there: what a sender may make others
            // write stays bounded (protocol §9.5).
            out.extend((view <= self.reign.view).then_some(Effect::SaveVote(vote)));
            if phase == Phase::Commit {
                let quorum = self.config.quorum.quorum();
                self.timeouts.on_commit_vote(validator, (view, sequence), now.monotonic_ms, quorum);
            }
        }
        let quorum = self.config.quorum.quorum();
        if let Some(certificate) = self.votes.certificate(self.config.epoch, (view, sequence, phase), digest, quorum) {
            self.on_certificate(certificate, out);
        }
    }

    /// protocol §7.2: votes that a restart brought back count, and are sent, from when all that they name is held: at
    /// once, where that was waited for, else in answer to reports. One of a view that was left is never sent again.
    fn take_up_votes(&mut self, now: Now, out: &mut Vec<Effect>) {
        let view = self.reign.view;
        self.unbacked.retain(|vote| vote.statement.view == view);
        let chain_and_payloads = (&self.chain, &self.payloads);
        let is_held = |vote: &mut Signed<Vote>| is_held(chain_and_payloads, &vote.statement);
        let backed: Vec<Signed<Vote>> = self.unbacked.extract_if(.., is_held).collect();
        for vote in backed {
            self.on_vote(now, vote, out);
            out.extend(self.signs().then(|| Effect::Broadcast(self.resend(vote))));
        }
    }

    fn on_own(&mut self, now: Now, own: Own, out: &mut Vec<Effect>) {
        match own {
            Own::Vote(vote) => self.on_vote(now, vote, out),
            Own::PrePrepare(PrePrepare { vote, .. }) => self.on_vote(now, vote, out),
            Own::Complaint(complaint) => {
                self.complaints.insert(complaint);
            }
            Own::ViewChange(change) => {
                self.view_changes.insert(self.config.me, change);
            }
            Own::NewView(new_view) => self.on_new_view(new_view, out),
        }
    }

    fn on_stable(&mut self, sequence: Sequence) {
        if sequence <= self.stable {
            return;
        }
        // Of its own votes in the view, one off the committed chain binds on: it mutes this validator there
        // (protocol §3.2). Only such ones were kept from below the stable checkpoint before.
        self.note_attendance(self.stable, sequence);
        let before = std::mem::replace(&mut self.stable, sequence);
        let chain = &self.chain;
        let is_off_chain = |at: Sequence, voted: Digest| {
            at < before || chain.delivered_at(at).is_some_and(|delivered| delivered != voted)
        };
        self.reign.voted.retain(|at, voted| *at >= sequence || is_off_chain(*at, *voted));
        self.votes.prune(sequence);
        self.unbacked.retain(|vote| vote.statement.sequence > sequence);
        self.chain.prune(sequence);
        let chain = &self.chain;
        self.payloads.retain(|digest, _| chain.proposal(digest).is_some());
        for (_, pre_prepares) in self.pre_prepares.values_mut() {
            *pre_prepares = pre_prepares.split_off(&sequence.next());
        }
    }

    /// Two certificates contradict each other: more than `f` validators are faulty. Nothing is signed any
    /// more; people are told (protocol §3.2).
    pub(crate) fn alarm(&mut self, sequence: Sequence, committed: Digest, other: Digest, out: &mut Vec<Effect>) {
        self.halted = true;
        out.push(Effect::Notice(CoreNotice::SafetyAlarm { sequence, committed, other }));
    }

    /// The view this validator is in or changing to.
    #[must_use]
    pub const fn view(&self) -> View {
        self.reign.view
    }

    /// Whether it votes in that view.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        self.reign.active
    }

    /// Whether it has stopped because certificates contradict each other.
    #[must_use]
    pub const fn is_halted(&self) -> bool {
        self.halted
    }

    /// The highest delivered proposal.
    #[must_use]
    pub const fn tip(&self) -> Link {
        self.chain.tip()
    }

    /// The highest commit certificate held; `None` before the first.
    #[must_use]
    pub fn highest_commit(&self) -> Option<&Certificate> {
        let held = [&self.certificates.commit, &self.certificates.commit_ahead];
        held.into_iter().flatten().max_by_key(|certificate| certificate.claim.sequence)
    }

    /// The stable checkpoint.
    #[must_use]
    pub const fn stable(&self) -> Sequence {
        self.stable
    }

    /// The epoch's last sequence, once it is known (protocol §8.4).
    #[must_use]
    pub const fn last(&self) -> Option<Sequence> {
        self.last
    }

    /// The primary of the current view.
    #[must_use]
    pub fn primary(&self) -> ValidatorIndex {
        self.config.primary(self.reign.view)
    }

    /// The timeout in force, in milliseconds.
    #[must_use]
    pub fn timeout_ms(&self) -> u64 {
        self.timeouts.current_ms()
    }

    /// The end of the chain that this view orders: its highest own vote, else the tip. Lanes that are
    /// complete above it wait.
    #[must_use]
    pub fn view_tip(&self) -> Digest {
        match self.reign.voted.last_key_value() {
            Some((sequence, digest)) if *sequence > self.tip().sequence => *digest,
            _ => self.tip().digest,
        }
    }

    /// The highest vote of this validator's own in this view.
    pub(crate) fn top(&self) -> Option<(Sequence, Digest)> {
        self.reign.voted.last_key_value().map(|(sequence, digest)| (*sequence, *digest))
    }

    /// The vote as it travels: a backup's prepare with the primary's vote that it answers.
    #[must_use]
    pub fn vote_message(&self, vote: Signed<Vote>) -> Message {
        let Vote { view, sequence, phase, validator, .. } = vote.statement;
        let primary = self.config.primary(view);
        let answers = (phase == Phase::Prepare && validator != primary)
            .then(|| self.votes.of(primary, (view, sequence, Phase::Prepare)).copied())
            .flatten();
        Message::Vote(VoteMessage { vote, primary: answers })
    }

    /// Validators that complained about the current view or have left it.
    pub(crate) fn leavers(&self) -> BTreeSet<ValidatorIndex> {
        let view = self.reign.view;
        let changed = self.view_changes.values().filter(|c| c.signed.statement.new_view > view);
        let complained = self.complaints.all().filter(|c| c.statement.view > view);
        changed.map(|c| c.signed.signer()).chain(complained.map(Signed::signer)).collect()
    }

    /// The proposals that a vote of this validator's own binds it to keep (protocol §7.1): the one voted for, and
    /// those of its chain, down to the tip, that no earlier vote of the view stands for.
    #[must_use]
    pub fn proposals_bound_by(&self, vote: &Vote) -> Vec<(Digest, &Proposal)> {
        let mut bound = Vec::new();
        let mut at = vote.digest;
        let prepared = (vote.view, vote.sequence, Phase::Prepare);
        if vote.phase == Phase::Commit && self.votes.of(self.config.me, prepared).is_some() {
            return bound;
        }
        while let Some(proposal) = self.chain.proposal(&at).filter(|held| held.sequence > self.tip().sequence) {
            if proposal.sequence < vote.sequence && self.reign.voted.get(&proposal.sequence) == Some(&at) {
                break;
            }
            bound.push((at, proposal));
            at = proposal.parent;
        }
        bound
    }

    /// The highest prepared certificate whose chain is in hand: what the next view change claims.
    #[must_use]
    pub const fn prepared(&self) -> Option<&Certificate> {
        self.certificates.prepared.as_ref()
    }

    /// The held proposals above the tip.
    #[must_use]
    pub fn heads(&self) -> Vec<Digest> {
        self.chain.above_tip()
    }

    /// Signs nothing any more in this run (protocol §7.4).
    pub const fn stop_signing(&mut self) {
        self.may_sign = false;
    }

    /// Sizes of the buffers, for the tests at the bounds and for metrics.
    #[must_use]
    pub fn held(&self) -> Held {
        Held {
            proposals: self.chain.held(),
            votes: self.votes.held(),
            payloads: self.payloads.len(),
            pre_prepares: self.pre_prepares.values().map(|(_, held)| held.len()).sum(),
            goals: self.certificates.goals.len(),
        }
    }
}

/// Whether the proposal of a vote is delivered, or all bundles of its chain are held and valid.
fn is_held((chain, payloads): (&Chain, &BTreeMap<Digest, PayloadState>), vote: &Vote) -> bool {
    let Vote { sequence, digest, .. } = *vote;
    chain.delivered_at(sequence) == Some(digest) || payloads.get(&digest) == Some(&PayloadState::Valid)
}

/// How much a core holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Proposals above the stable checkpoint.
    pub proposals: usize,
    /// Votes.
    pub votes: usize,
    /// Verdicts on payloads.
    pub payloads: usize,
    /// Pre-prepares not voted for yet.
    pub pre_prepares: usize,
    /// Commit certificates to be delivered.
    pub goals: usize,
}
