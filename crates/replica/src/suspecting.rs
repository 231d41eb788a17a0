//! What this replica sees of others, turned into suspicion (accountability §6.7).
//!
//! Counting alone happens where something is seen; what it amounts to is judged once in an interval of `Status`,
//! so that a message costs a comparison or two. Nothing here is durable, and nothing that the protocol counts
//! depends on it: the one effect inside the replica is the order in which others are asked.

use std::collections::BTreeSet;
use std::sync::Arc;

use quorate_accountability::suspicion::{Explanation, Level, Observation, Seen, Suspicions, Words};
use quorate_consensus::{Attendance, Cause, LeftSlow, Now};
use quorate_types::bundle::BundleHeader;
use quorate_types::ids::{ValidatorIndex, View};
use quorate_types::message::{Message, Status};
use quorate_types::proposal::LaneTip;
use quorate_types::quorum::Quorum;
use quorate_types::vote::Vote;

use crate::outbox::{Notice, Outbox};
use crate::replica::Replica;
use crate::standing::Standing;

/// Messages that say nothing new are counted over so long.
const FLOOD_MS: u64 = 1_000;
/// So many of them in that time are what retransmission may need, several times over (protocol §9.2).
const FLOOD: u64 = 1_024;
/// Sequences that must be decided before it is judged who votes.
const ATTENDANCE: u64 = 16;

/// So many bundles of a lane must have come before it is judged whether its owner gives them to all.
const BUNDLES: u64 = 16;

/// What is suspected of others, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SuspicionReport {
    /// The monotonic time of it.
    pub at_ms: u64,
    /// More than `f` look slow: the network or this validator is the likelier cause.
    pub many: bool,
    /// Those against whom something is held, by index.
    pub suspects: Vec<Explanation>,
}

/// What was seen of one validator.
#[derive(Clone, Copy, Debug)]
struct Sight {
    /// When its last message came; the start, before the first.
    heard_ms: u64,
    /// Messages in this stretch of [`FLOOD_MS`].
    messages: u64,
    /// Those among them that said nothing new.
    stale: u64,
    /// Questions left open since the start.
    unanswered: u64,
    /// Wrong data since the start.
    bad: u64,
    /// Messages that the shell refused since the start.
    refused: u64,
    /// New bundles of its lane that came from itself, and from others, since this was last judged.
    direct: u64,
    detour: u64,
}

/// What was seen of all validators.
#[derive(Debug)]
pub(crate) struct Suspecting {
    me: ValidatorIndex,
    quorum: Quorum,
    suspicions: Suspicions,
    sights: Vec<Sight>,
    flood_since_ms: u64,
    looked_ms: u64,
    report: Arc<SuspicionReport>,
}

impl Suspecting {
    /// Nothing was seen yet.
    pub(crate) fn new(me: ValidatorIndex, quorum: Quorum, now: Now) -> Self {
        let fresh = Sight {
            heard_ms: now.monotonic_ms,
            messages: 0,
            stale: 0,
            unanswered: 0,
            bad: 0,
            refused: 0,
            direct: 0,
            detour: 0,
        };
        Self {
            me,
            quorum,
            suspicions: Suspicions::new(me, quorum),
            sights: vec![fresh; quorum.validators()],
            flood_since_ms: now.monotonic_ms,
            looked_ms: now.monotonic_ms,
            report: Arc::default(),
        }
    }

    /// What is suspected, as last judged.
    pub(crate) fn report(&self) -> Arc<SuspicionReport> {
        Arc::clone(&self.report)
    }

    /// Takes an observation in.
    pub(crate) fn note(&mut self, now: Now, of: ValidatorIndex, observation: impl Into<Observation>) {
        self.suspicions.observe(now.monotonic_ms, of, observation);
    }

    /// Questions for what a validator must hold were left open.
    pub(crate) fn note_unanswered(&mut self, now: Now, of: ValidatorIndex, what: &'static str, count: u64) {
        let Some(sight) = self.sights.get_mut(of.position()) else { return };
        sight.unanswered = sight.unanswered.saturating_add(count);
        let seen = Seen::Unanswered { what, total: sight.unanswered };
        self.note(now, of, Observation { seen, count: 1 });
    }

    /// A validator sent something else than what was asked for.
    pub(crate) fn note_bad_data(&mut self, now: Now, of: ValidatorIndex, what: &'static str) {
        let Some(sight) = self.sights.get_mut(of.position()) else { return };
        sight.bad = sight.bad.saturating_add(1);
        let total = sight.bad;
        self.note(now, of, Seen::BadSyncData { what, total });
    }

    /// The shell refused messages of a validator.
    pub(crate) fn note_refused(&mut self, now: Now, from: ValidatorIndex, count: u64, why: Words) {
        let Some(sight) = self.sights.get_mut(from.position()) else { return };
        sight.refused = sight.refused.saturating_add(count);
        let seen = Seen::InvalidMessage { why, total: sight.refused };
        self.note(now, from, Observation { seen, count });
    }

    fn on_message(&mut self, now: Now, from: ValidatorIndex, is_stale: bool) {
        let Some(sight) = self.sights.get_mut(from.position()) else { return };
        sight.heard_ms = now.monotonic_ms;
        sight.messages = sight.messages.saturating_add(1);
        sight.stale = sight.stale.saturating_add(u64::from(is_stale));
    }

    /// A new bundle of `lane` came, from its owner or on a detour. An owner whose bundles come on a detour more often
    /// than three times in eight gives them to some only, or its link is bad.
    fn on_bundle(&mut self, now: Now, lane: ValidatorIndex, is_direct: bool) {
        let Some(sight) = self.sights.get_mut(lane.position()) else { return };
        let counter = if is_direct { &mut sight.direct } else { &mut sight.detour };
        *counter = counter.saturating_add(1);
        if sight.direct.saturating_add(sight.detour) < BUNDLES {
            return;
        }
        let (direct, detour) = (std::mem::take(&mut sight.direct), std::mem::take(&mut sight.detour));
        if detour.saturating_mul(5) >= direct.saturating_mul(3) {
            self.note(now, lane, Seen::Withheld { detour, of: direct + detour, at_ms: now.monotonic_ms });
        }
    }

    /// Who sent a flood of what says nothing new.
    fn look_for_floods(&mut self, now: Now) {
        if now.monotonic_ms.saturating_sub(self.flood_since_ms) < FLOOD_MS {
            return;
        }
        self.flood_since_ms = now.monotonic_ms;
        for (validator, sight) in (0..).map(ValidatorIndex).zip(&mut self.sights) {
            let (stale, of) = (std::mem::take(&mut sight.stale), std::mem::take(&mut sight.messages));
            if stale >= FLOOD && stale.saturating_mul(4) >= of.saturating_mul(3) {
                let seen = Seen::Stale { stale, of, at_ms: now.monotonic_ms };
                self.suspicions.observe(now.monotonic_ms, validator, seen);
            }
        }
    }

    /// Who is silent while a correct validator is heard. If this one slept, or was cut off, it can't tell.
    fn look_for_silence(&mut self, now: Now, bound_ms: u64, interval_ms: u64) {
        let slept_ms = now.monotonic_ms.saturating_sub(self.looked_ms);
        self.looked_ms = now.monotonic_ms;
        if slept_ms > interval_ms.saturating_mul(3) {
            return;
        }
        let silent_ms = |sight: &Sight| now.monotonic_ms.saturating_sub(sight.heard_ms);
        let others = || (0..).map(ValidatorIndex).zip(&self.sights).filter(|(validator, _)| *validator != self.me);
        let heard = others().filter(|(_, sight)| silent_ms(sight) <= bound_ms).count();
        if heard < self.quorum.one_correct() {
            return;
        }
        let silent: Vec<_> =
            others().map(|(who, sight)| (who, silent_ms(sight))).filter(|(_, for_ms)| *for_ms > bound_ms).collect();
        for (validator, for_ms) in silent {
            self.note(now, validator, Seen::Silence { for_ms, bound_ms });
        }
    }

    /// Those to be asked only when nobody else is left.
    fn asked_last(&self) -> BTreeSet<ValidatorIndex> {
        let suspects = self.report.suspects.iter().filter(|suspect| suspect.level >= Level::Deprioritise);
        suspects.map(|suspect| suspect.validator).collect()
    }
}

impl Replica {
    /// A message came: its sender is in touch, and what it says is new, possible, or not.
    pub(crate) fn observe_message(&mut self, now: Now, from: ValidatorIndex, message: &Message) {
        if let Message::Status(status) = message {
            self.observe_status(now, from, status);
        }
        if let Message::Bundle(bundle) = message {
            let BundleHeader { lane, number, .. } = bundle.header.statement;
            let tip = LaneTip { lane, number, digest: bundle.digest() };
            // One that catches up takes bundles from wherever they are.
            if self.lanes.lacking(&tip).is_some() && !self.is_behind() {
                self.suspecting.on_bundle(now, lane, from == lane);
            }
        }
        let is_stale = self.says_nothing_new(message);
        self.suspecting.on_message(now, from, is_stale);
    }

    /// Whether this validator lacks what others have committed for a while.
    fn is_behind(&self) -> bool {
        let tip = self.core.tip().sequence;
        let before = |peer: &quorate_consensus::Peer| peer.committed_before > tip;
        self.context.set.indices().filter_map(|validator| self.core.peer(validator)).any(before)
    }

    fn says_nothing_new(&self, message: &Message) -> bool {
        let (view, tip) = (self.core.view(), self.core.tip().sequence);
        match message {
            Message::Vote(vote) => self.core.is_stale_vote(&vote.vote),
            Message::PrePrepare(pre_prepare) => pre_prepare.vote.statement.view < view,
            Message::Complaint(complaint) => complaint.statement.view < view,
            Message::ViewChange(change) => change.signed.statement.new_view < view,
            Message::NewView(new_view) => new_view.statement.view < view,
            Message::Certificate(certificate) => certificate.claim.sequence <= tip,
            Message::Segment(segment) => segment.certificate.claim.sequence <= tip,
            Message::ExecutionVote(vote) => vote.statement.execution.sequence <= self.executions.certified(),
            _ => false,
        }
    }

    /// A status that no correct validator sends, whatever it has or hasn't heard: its own numbers contradict each
    /// other, or it counts votes and view changes that this validator never signed.
    fn observe_status(&mut self, now: Now, from: ValidatorIndex, status: &Status) {
        if status.epoch != self.context.epoch {
            return;
        }
        let mut lie =
            |what, claimed, possible| self.suspecting.note(now, from, Seen::Status { what, claimed, possible });
        if status.executed > status.committed {
            lie("executed", status.executed.0, status.committed.0);
        }
        if status.stable > status.executed {
            lie("stable", status.stable.0, status.executed.0);
        }
        // One that lost records, or whose key runs twice, can't tell what it signed.
        if self.overlooks_own_key || self.standing != Standing::Signing {
            return;
        }
        let counts_unsigned = status.slots.iter().find(|slot| {
            let &quorate_types::message::SlotStatus { view, sequence, phase, digest, .. } = *slot;
            let vote = Vote { epoch: status.epoch, view, sequence, digest, phase, validator: self.me };
            slot.voters.contains(self.me) && !self.guard.knows_vote(&vote)
        });
        if let Some(slot) = counts_unsigned {
            lie("that a vote of this validator is at", slot.sequence.0, self.core.tip().sequence.0);
        }
        let changed = self.guard.highest_view_change();
        if status.view_changes.contains(self.me) && changed < Some(status.view) {
            lie("that this validator changes to view", status.view.0, changed.unwrap_or_default().0);
        }
    }

    /// What a complaint of this validator says about the primary of `view`.
    pub(crate) fn observe_complaint(&mut self, now: Now, view: View, cause: Cause) {
        let primary = self.core.primary();
        let sequence = self.core.tip().sequence.next();
        let drift_ms = u64::from(self.context.parameters.drift_ms);
        let seen = match cause {
            Cause::Fairness => self.core.passed_over().map(|(lane, number)| Seen::Censoring { view, lane, number }),
            Cause::Progress | Cause::NewViewMissing => {
                let allowed_ms = self.core.timeout_ms();
                Some(Seen::SlowPrimary { view, sequence, took_ms: allowed_ms, allowed_ms })
            }
            Cause::SlowPrimary => self.core.slowness().map(|slow| Seen::SlowPrimary {
                view,
                sequence,
                took_ms: slow.longest_ms,
                allowed_ms: slow.allowed_ms,
            }),
            Cause::SlowClock => {
                let behind_ms = i64::try_from(self.core.clock_behind_ms()).unwrap_or(i64::MAX);
                Some(Seen::Clock { offset_ms: -behind_ms, bound_ms: drift_ms })
            }
            // Silence is seen of everyone, primary or not; a rotation says nothing against anyone.
            Cause::Heartbeat | Cause::Rotation => None,
        };
        if let Some(seen) = seen {
            self.suspecting.note(now, primary, seen);
        }
    }

    /// Once in an interval of `Status`: what was counted is judged, and so are the levels.
    pub(crate) fn look_at_others(&mut self, now: Now, out: &mut Outbox) {
        let interval_ms = u64::from(self.context.parameters.status_interval_ms);
        if now.monotonic_ms < self.suspecting.looked_ms.saturating_add(interval_ms) {
            return;
        }
        let bound_ms = self.core.timeout_ms().saturating_add(interval_ms.saturating_mul(3));
        self.suspecting.look_for_silence(now, bound_ms, interval_ms);
        self.suspecting.look_for_floods(now);
        if let Some(left) = self.core.take_left_slow() {
            let LeftSlow { view, primary, sequence, waited_ms: took_ms, allowed_ms } = left;
            self.suspecting.note(now, primary, Seen::SlowPrimary { view, sequence, took_ms, allowed_ms });
        }
        for (of, count) in self.core.take_unanswered() {
            self.suspecting.note_unanswered(now, of, "a stretch of the chain", count);
        }
        for (of, count) in self.fetching.take_unanswered() {
            self.suspecting.note_unanswered(now, of, "a bundle", count);
        }
        if let Some(attendance) = self.core.take_attendance(ATTENDANCE) {
            self.look_for_missing_votes(now, &attendance);
        }
        self.judge_others(now, out);
    }

    /// Who says that it keeps up and whose votes are missing all the same, in three of four sequences.
    fn look_for_missing_votes(&mut self, now: Now, attendance: &Attendance) {
        let of = attendance.of;
        let up_to = self.core.stable();
        for (validator, missing) in &attendance.absent {
            let keeps_up = self.core.peer(*validator).is_some_and(|peer| peer.committed >= up_to && !peer.quarantined);
            if keeps_up && missing.saturating_mul(4) >= of.saturating_mul(3) {
                self.suspecting.note(now, *validator, Seen::MissingVotes { up_to, missing: *missing, of });
            }
        }
    }

    fn judge_others(&mut self, now: Now, out: &mut Outbox) {
        let changes = self.suspecting.suspicions.judge(now.monotonic_ms);
        let was_empty = self.suspecting.report.suspects.is_empty();
        let suspects: Vec<Explanation> = self
            .suspecting
            .suspicions
            .suspects()
            .map(|validator| self.suspecting.suspicions.explain(validator, now.monotonic_ms))
            .collect();
        if changes.is_empty() && suspects.is_empty() && was_empty {
            return;
        }
        let many = self.suspecting.suspicions.are_many();
        self.suspecting.report = Arc::new(SuspicionReport { at_ms: now.monotonic_ms, many, suspects });
        if !changes.is_empty() {
            let last = self.suspecting.asked_last();
            self.core.ask_last(last.clone());
            self.fetching.ask_last(last);
        }
        out.notices.extend(changes.into_iter().map(Notice::Suspicion));
    }
}
