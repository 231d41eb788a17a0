//! The composite: ordering, lanes, execution votes and the guard behind one door.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use quorate_accountability::{Ledger, Watch};
use quorate_consensus::{Core, CoreNotice, Effect, Input, LaneWaits, Link, Now, Own, Turns};
use quorate_crypto::{Digest, StandInToken};
use quorate_dag::{Admission, Check, Lanes};
use quorate_types::bundle::Bundle;
use quorate_types::freshness::Round;
use quorate_types::ids::{Sequence, ValidatorIndex};
use quorate_types::message::{Message, Request, Status, VoteMessage};
use quorate_types::operation::Operation;
use quorate_types::proposal::Proposal;
use quorate_types::verified::Context;

use crate::accusing::Accusing;
use crate::evidence::Spread;
use crate::execution::ExecutionJob;
use crate::executions::Executions;
use crate::fetching::Fetching;
use crate::guard::SigningGuard;
use crate::leaving::Leaving;
use crate::outbox::{Event, Notice, Outbox};
use crate::promising::Promises;
use crate::records::{self, Delivered, Record, ViewState};
use crate::returning::Returning;
use crate::standing::{Ended, Quarantine, Standing};
use crate::suspecting::Suspecting;
use crate::transfer::Transfer;

/// Bundles made of the pool in one turn at most: a turn stays short, the rest waits for the next.
const BUNDLES_PER_TURN: usize = 8;
/// Operations wait for the next bundle at most so long while the previous one isn't ordered: about the time in
/// which a busy cluster commits a proposal.
const BUNDLE_PATIENCE_MS: u64 = 25;
/// Committed proposals whose bundles are asked for ahead: with `max_proposal_bytes`, the memory that catching
/// up takes.
const PREFETCHED_PROPOSALS: usize = 16;
/// Bytes of bundles made in one turn, beyond which no further one is begun: they go into the guard file, too.
const BUNDLE_BYTES_PER_TURN: u64 = 8 << 20;

/// One validator, without its shell. Drive it with [`Replica::step`].
#[derive(Debug)]
pub struct Replica {
    pub(crate) context: Context,
    pub(crate) me: ValidatorIndex,
    pub(crate) core: Core,
    pub(crate) lanes: Lanes,
    pub(crate) guard: SigningGuard,
    pub(crate) executions: Executions,
    pub(crate) fetching: Fetching,
    pub(crate) ledger: Ledger,
    pub(crate) watch: Watch,
    /// What each peer has been offered of the evidence kept.
    pub(crate) spread: Spread,
    /// What is said of it in the own lane.
    pub(crate) accusing: Accusing,
    /// What was seen of others, and what is suspected.
    pub(crate) suspecting: Suspecting,
    pub(crate) standing: Standing,
    /// Payloads that wait for bundles, by proposal.
    pub(crate) awaiting: BTreeMap<Digest, Proposal>,
    /// The number of the last guarded batch.
    pub(crate) batch: u64,
    /// The highest sequence executed here.
    pub(crate) executed: Sequence,
    /// When each peer was last told what is held here of its key.
    pub(crate) told_own: BTreeMap<ValidatorIndex, u64>,
    /// Whom execution certificates were asked of last.
    pub(crate) certificates_asked: Turns,
    /// How far certificates reached when the last status went out.
    pub(crate) certified_before: Sequence,
    /// What was executed when the last status went out.
    pub(crate) executed_before: Sequence,
    /// Bundles came in this turn: what waits for any is judged again at its end, once.
    pub(crate) rechecks: bool,
    /// Set at the start, until results and certificates from the records have been compared.
    pub(crate) settles_anew: bool,
    /// Set for the length of a process by [`Replica::overlook_own_key`], in simulations alone.
    pub(crate) overlooks_own_key: bool,
    /// Freshness rounds of own clients, bounded.
    pub(crate) rounds: VecDeque<Round>,
    /// When the next regular status is due, by the monotonic clock.
    pub(crate) status_due_ms: u64,
    /// When the last status went out.
    pub(crate) status_sent_ms: u64,
    /// Snapshots from other validators (protocol §8.7).
    pub(crate) transfer: Transfer,
    /// The first sequence whose own result isn't the certified one; set until a certified state has replaced the own
    /// one (protocol §8.2).
    pub(crate) diverged: Option<Sequence>,
    /// A new state is being put in place, or the epoch is over: nothing is decided until this replica has been built
    /// anew.
    pub(crate) is_installing: bool,
    /// What brings this validator back, or in.
    pub(crate) returning: Returning,
    /// What it hands over when it was removed.
    pub(crate) leaving: Leaving,
    /// When the last own bundle was made, by the monotonic clock.
    pub(crate) bundled_ms: u64,
    /// Operations whose clients want a promise.
    pub(crate) promises: Promises,
}

impl Replica {
    /// One event, all its consequences. The outbox may be carried over several steps of one turn; the shell
    /// ends the turn with [`Event::Turn`] and then does what the outbox says (architecture §4).
    pub fn step(&mut self, now: Now, event: Event, out: &mut Outbox) {
        if self.is_installing {
            return;
        }
        match event {
            Event::Message { from, message } => self.on_message(now, from, message.into_inner(), out),
            Event::Operation(operation) => self.on_operation(operation.into_inner(), out),
            Event::Promise(operation) => self.on_promise_wanted(operation),
            Event::Executed(executed) => self.on_executed(now, executed, out),
            Event::Round(nonce) => self.begin_round(nonce, out),
            Event::Statement(nonce) => {
                let answer = self.state_freshness(nonce);
                out.notices.extend(answer.map(|answer| Notice::Statement(Box::new(answer))));
            }
            Event::KeyElsewhere if self.overlooks_own_key => {}
            Event::KeyElsewhere => self.quarantine(Quarantine::KeyUsedElsewhere { what: "connection" }, out),
            Event::Refused { from, count, why } => self.suspecting.note_refused(now, from, count, why),
            Event::Turn => self.on_turn(now, out),
        }
        self.number_batch(out);
    }

    /// When [`Event::Turn`] is due next, by the monotonic clock.
    #[must_use]
    pub fn deadline_ms(&self) -> u64 {
        if self.is_installing {
            return u64::MAX;
        }
        let bundle_ms = match self.standing.signs() {
            true if self.promises.are_due() => 0,
            true => self.bundle_due_ms(),
            false => u64::MAX,
        };
        self.core.deadline_ms().unwrap_or(u64::MAX).min(self.status_due()).min(bundle_ms)
    }

    /// Makes this the correct code of a simulated Byzantine validator: what its attacks signed with its key
    /// comes back from others, and is no reason to stop signing (protocol §7.3 and §7.6 are for correct
    /// validators). No validator can be made to do this: only simulations have a token.
    pub const fn overlook_own_key(&mut self, _: StandInToken) {
        self.overlooks_own_key = true;
    }

    /// Saves what binds later signatures. In quarantine there are none, and a batch that is numbered there would
    /// make a store that lost batches look as new as its guard file: the next start would sign again
    /// (protocol §7.2, §7.4).
    fn save_binding(&self, record: Record, out: &mut Outbox) {
        if self.standing.is_quarantined() && !cfg!(mutant = "quarantine-forgotten") {
            out.save(record);
        } else {
            out.save_guarded(record);
        }
    }

    /// protocol §7.2: a batch out of which anything signed leaves is numbered, in store and guard file.
    fn number_batch(&mut self, out: &mut Outbox) {
        if !out.guard.is_empty() && out.batch.is_none() {
            self.batch = self.batch.saturating_add(1);
            out.batch = Some(self.batch);
            records::batch_number().put(&mut out.records, &self.batch);
        }
    }

    fn on_operation(&mut self, operation: Arc<Operation>, out: &mut Outbox) {
        let id = operation.id();
        let intake = self.lanes.submit(operation);
        out.notices.push(Notice::Intake(id, intake));
    }

    fn on_message(&mut self, now: Now, from: ValidatorIndex, message: Message, out: &mut Outbox) {
        // What a client handed in says nothing about a session.
        if from != self.me {
            self.observe_message(now, from, &message);
        }
        if let Some(what) = self.own_key_elsewhere(&message) {
            return self.quarantine_for(from, what, out);
        }
        self.watch_message(&message, out);
        let input = match message {
            Message::PrePrepare(pre_prepare) => Input::PrePrepare(pre_prepare),
            Message::Vote(VoteMessage { vote, primary }) => Input::Vote(vote, primary),
            Message::Complaint(complaint) => Input::Complaint(complaint),
            Message::ViewChange(change) => Input::ViewChange(change),
            Message::NewView(new_view) => Input::NewView(new_view),
            Message::Certificate(certificate) => Input::Certificate(certificate),
            Message::Proposal(proposal) => Input::Proposal(proposal),
            Message::Segment(segment) => Input::Segment(segment),
            Message::Status(status) => return self.on_status(now, from, *status, out),
            Message::ExecutionVote(vote) => return self.on_execution_vote(now, vote, out),
            Message::ExecutionCertificate(certificate) => return self.on_execution_certificate(now, certificate, out),
            Message::Bundle(bundle) => return self.on_bundle(now, bundle, out),
            Message::Freshness(answer) => return self.on_freshness(&answer, out),
            Message::Checkpoint(checkpoint) => return self.on_checkpoint(from, checkpoint, out),
            Message::Chunk(chunk) => return self.on_chunk(now, from, &chunk, out),
            Message::Operation(operation) => return self.on_foreign_operation(from, operation),
            Message::Request(Request::Freshness(nonce)) => return self.answer_freshness(from, nonce, out),
            Message::Evidence(evidence) => return self.on_evidence(from, *evidence, out),
            Message::EvidenceHeld(id) => return self.on_evidence_held(from, id),
            // The shell answers all other requests from the store (protocol §9.4).
            Message::Request(_) => return,
        };
        self.drive(now, input, out);
    }

    /// Catching up: asks at once for the bundles of the next committed proposals, not for one proposal's after
    /// the other. They are certified, so nothing is fetched on one validator's word alone.
    fn prefetch(&mut self, now: Now, out: &mut Outbox) {
        let payloads = self.core.committed_payloads(PREFETCHED_PROPOSALS);
        if !payloads.is_empty() {
            for want in self.lanes.prefetch(&payloads) {
                self.fetching.want(now, want, self.core.primary(), out);
            }
        }
    }

    /// One input to the core and all that follows from it, signatures included.
    pub(crate) fn drive(&mut self, now: Now, input: Input, out: &mut Outbox) {
        let mut inputs = VecDeque::from([input]);
        let mut effects = Vec::new();
        while let Some(input) = inputs.pop_front() {
            self.core.step(now, input, &mut effects);
            let enters = effects.iter().any(|effect| matches!(effect, Effect::Notice(CoreNotice::Enters { .. })));
            for effect in effects.drain(..) {
                if let Some(own) = self.apply(now, effect, &mut inputs, out) {
                    inputs.push_back(Input::Own(Box::new(own)));
                }
            }
            // Only now: a step that enters a view may also deliver, and what it delivers is no head any more.
            if enters {
                self.forget_other_chains();
            }
        }
    }

    /// Carries one effect out; gives back what the guard signed.
    fn apply(&mut self, now: Now, effect: Effect, inputs: &mut VecDeque<Input>, out: &mut Outbox) -> Option<Own> {
        match effect {
            Effect::SignVote(..)
            | Effect::SignPrePrepare(..)
            | Effect::SignComplaint(_)
            | Effect::SignViewChange(..)
            | Effect::SignNewView(_) => return self.sign(effect, out),
            Effect::SaveView(view, is_active) => {
                let state = ViewState { epoch: self.context.epoch, view, active: is_active };
                self.guard.enter(view);
                self.save_binding(records::view_state().record(&state), out);
            }
            Effect::SaveNewView(new_view) => {
                let slot = records::new_view(new_view.statement.epoch, new_view.statement.view);
                self.save_binding(slot.record(&new_view), out);
            }
            Effect::SaveProposal(digest, proposal) => records::proposal(&digest).put(&mut out.records, &proposal),
            Effect::SaveVote(vote) => records::vote(&vote.statement).put(&mut out.records, &vote),
            Effect::SavePrepared(certificate) => {
                records::prepared(certificate.epoch).put(&mut out.records, &certificate);
            }
            Effect::SaveCommit(certificate) => {
                records::commit(certificate.claim.sequence).put(&mut out.records, &certificate);
            }
            Effect::CheckPayload(digest, proposal) => self.check_payload(now, (digest, proposal), inputs, out),
            Effect::Deliver(link, proposal) => self.deliver(link, proposal, out),
            Effect::Send(to, message) => out.send(to, message),
            Effect::Broadcast(message) => out.broadcast(message),
            Effect::Ask(of, request) => out.ask(of, request),
            Effect::Contradiction(pair) => self.note_contradiction(pair, out),
            Effect::Notice(notice) => {
                if let CoreNotice::SafetyAlarm { sequence, .. } | CoreNotice::InvalidCommitted(Link { sequence, .. }) =
                    notice
                {
                    records::ended().put(&mut out.records, &Ended::Alarm(sequence));
                }
                if let CoreNotice::Complains(view, cause) = notice {
                    self.observe_complaint(now, view, cause);
                }
                out.notices.push(Notice::Core(notice));
            }
        }
        None
    }

    /// protocol §3.6: held and valid, contradicting, or to be fetched and judged again.
    fn check_payload(
        &mut self,
        now: Now,
        (digest, proposal): (Digest, Proposal),
        inputs: &mut VecDeque<Input>,
        out: &mut Outbox,
    ) {
        match self.lanes.check(proposal.parent, digest, &proposal.payload) {
            Check::Valid => inputs.push_back(Input::Payload(digest, true)),
            Check::Invalid(_) => inputs.push_back(Input::Payload(digest, false)),
            Check::Missing(wants) => {
                for want in wants {
                    self.fetching.want(now, want, self.core.primary(), out);
                }
                self.awaiting.insert(digest, proposal);
                return;
            }
            Check::UnknownParent => {
                self.awaiting.insert(digest, proposal);
                return;
            }
        }
        self.awaiting.remove(&digest);
    }

    /// Judges again what waited: bundles have come, or a parent has become known.
    fn recheck(&mut self, now: Now, out: &mut Outbox) {
        let mut waiting: Vec<(Digest, Proposal)> = self.awaiting.iter().map(|(d, p)| (*d, p.clone())).collect();
        waiting.sort_by_key(|(_, proposal)| proposal.sequence);
        for (digest, proposal) in waiting {
            if proposal.sequence <= self.core.tip().sequence {
                self.awaiting.remove(&digest);
                continue;
            }
            let mut inputs = VecDeque::new();
            self.check_payload(now, (digest, proposal), &mut inputs, out);
            for input in inputs {
                self.drive(now, input, out);
            }
        }
    }

    fn deliver(&mut self, link: Link, proposal: Proposal, out: &mut Outbox) {
        let parent = proposal.parent;
        let bundles = self.lanes.expand(parent, &proposal.payload).unwrap_or_default();
        let points = match self.lanes.deliver(link.digest) {
            Ok(points) => points,
            // The core delivers in order, and only what the lanes have called valid.
            Err(fault) => unreachable!("delivery out of order: {fault}"),
        };
        records::delivered().put(&mut out.records, &Delivered { link, points });
        records::committed(link.sequence).put(&mut out.records, &link.digest);
        let view = self.core.view();
        let Link { sequence, digest, time } = link;
        out.notices.push(Notice::Delivered { sequence, digest, time, view });
        out.execute.push(ExecutionJob { sequence, digest, proposal, bundles });
    }

    fn on_bundle(&mut self, now: Now, bundle: Arc<Bundle>, out: &mut Outbox) {
        self.fetching.came(&bundle);
        match self.lanes.admit(Arc::clone(&bundle)) {
            Admission::Stored { missing, contradiction } => {
                records::bundle_slot(&bundle).put(&mut out.records, &bundle);
                if let Some(pair) = contradiction {
                    self.note_contradiction(*pair, out);
                }
                if let Some(want) = missing {
                    self.fetching.want_later(now, want);
                }
                self.rechecks = true;
            }
            Admission::Conflict(pair) => self.note_contradiction(*pair, out),
            Admission::Duplicate
            | Admission::Old
            | Admission::OverLimit
            | Admission::BrokenLink
            | Admission::Foreign => {}
        }
    }

    /// Of what earlier views left behind, only the chains that the core still holds matter.
    fn forget_other_chains(&mut self) {
        let heads = self.core.heads();
        self.lanes.retain(&heads);
        self.awaiting.retain(|digest, _| heads.contains(digest));
    }

    pub(crate) fn quarantine(&mut self, reason: Quarantine, out: &mut Outbox) {
        if self.standing.is_quarantined() {
            return;
        }
        // These the next start wouldn't see by itself: the others forget what is far below, too.
        let ended = match reason {
            Quarantine::Diverged { sequence } => Some(Ended::Diverged(sequence)),
            Quarantine::BehindPeer { .. } | Quarantine::KeyUsedElsewhere { .. } => Some(Ended::OtherSelf),
            _ => None,
        };
        if let Some(ended) = ended {
            records::ended().put(&mut out.records, &ended);
        }
        self.standing = Standing::Quarantined(reason);
        self.core.stop_signing();
        out.notices.push(Notice::Standing(self.standing.clone()));
    }

    /// The end of a turn: what gathered goes out (architecture §5), timers are judged, status is sent.
    fn on_turn(&mut self, now: Now, out: &mut Outbox) {
        self.begin_signing_if_heard(now, out);
        self.vote_on_results(now, out);
        if std::mem::take(&mut self.settles_anew) {
            self.settle_executions(now, out);
        }
        self.prefetch(now, out);
        self.accuse_others(now);
        self.make_bundles(now, out);
        self.make_promises(out);
        if std::mem::take(&mut self.rechecks) {
            self.recheck(now, out);
        }
        let demand = self.lanes.waiting(self.core.view_tip()).unwrap_or_default();
        let waits = |w: quorate_dag::Waiting| {
            let quorate_dag::Waiting { tip, operations, bytes } = w;
            LaneWaits { lane: tip.lane, number: tip.number, bytes, operations }
        };
        self.drive(now, Input::Demand(demand.into_iter().map(waits).collect()), out);
        self.drive(now, Input::Tick, out);
        self.propose(now, out);
        self.fetching.ask_due(now, self.core.primary(), out);
        self.go_on_with_transfer(now, out);
        self.look_at_others(now, out);
        if now.monotonic_ms >= self.status_due() {
            let interval_ms = u64::from(self.context.parameters.status_interval_ms);
            self.status_due_ms = now.monotonic_ms.saturating_add(interval_ms);
            self.status_sent_ms = now.monotonic_ms;
            // What no bundle has answered yet is judged, and asked for, again: no question is ever the last.
            self.recheck(now, out);
            self.send_status(out);
        }
        self.ask_to_return(now, out);
        self.hand_over(now, out);
        self.end_epoch_if_over(out);
        self.begin_anew_if_behind(out);
    }

    /// architecture §5: idle, a bundle goes out at once; busy, when it is full, or when the previous one has been
    /// named by a proposal, so that bundles grow with the load instead of multiplying; and in any case after a
    /// bounded wait, because a slow order must not keep operations from spreading.
    fn bundle_due_ms(&self) -> u64 {
        let (pool, parameters) = (self.lanes.pool(), &self.context.parameters);
        let is_full = pool.operations >= parameters.max_bundle_operations as usize
            || pool.bytes >= u64::from(parameters.max_bundle_bytes);
        let is_unnamed = || {
            let waiting = self.lanes.waiting(self.core.view_tip()).unwrap_or_default();
            waiting.iter().any(|waiting| waiting.tip.lane == self.me)
        };
        // A lane at its bound makes none until something of it is delivered.
        let is_closed = self.lanes.is_muted() || self.lanes.is_full();
        match pool.operations {
            _ if is_closed => u64::MAX,
            0 => u64::MAX,
            _ if is_full || !is_unnamed() => 0,
            _ => self.bundled_ms.saturating_add(BUNDLE_PATIENCE_MS),
        }
    }

    fn make_bundles(&mut self, now: Now, out: &mut Outbox) {
        if !self.standing.signs() || self.bundle_due_ms() > now.monotonic_ms {
            return;
        }
        self.bundled_ms = now.monotonic_ms;
        let mut bytes = 0;
        for _ in 0..BUNDLES_PER_TURN {
            if bytes >= BUNDLE_BYTES_PER_TURN {
                return;
            }
            let Some((header, operations)) = self.lanes.next_bundle() else { return };
            let header = match self.guard.bundle(header) {
                Ok(header) => header,
                Err(refusal) => {
                    out.notices.push(Notice::Refused(refusal));
                    return;
                }
            };
            let bundle = Arc::new(Bundle { header, operations });
            bytes += bundle.size_bytes();
            self.promises.on_bundled(&bundle.operations);
            // Both in the guard file: a header that came back without its bundle would mute the lane for ever.
            out.save_guarded(records::own_bundle(self.context.epoch).record(&header));
            out.save_guarded(records::bundle_slot(&bundle).record(&bundle));
            out.broadcast(Message::Bundle(Arc::clone(&bundle)));
            self.on_bundle(now, bundle, out);
        }
    }

    /// protocol §3.1: as many proposals as the rules let go out now.
    fn propose(&mut self, now: Now, out: &mut Outbox) {
        let mut last = None;
        while let Some(slot) = self.core.slot(now).filter(|slot| last != Some(slot.sequence)) {
            last = Some(slot.sequence);
            let filled = self.lanes.fill(slot.parent).unwrap_or_default();
            let goes = if filled.payload.is_empty() { slot.may_be_empty } else { filled.is_full || !slot.only_full };
            if !goes {
                return;
            }
            self.drive(now, Input::Propose(filled.payload), out);
        }
    }

    fn status(&self) -> Status {
        Status {
            certified: self.executions.certified(),
            executed: self.executed,
            tips: self.lanes.tips(),
            quarantined: self.standing.is_quarantined(),
            asks_for_own: matches!(self.standing, Standing::Asking { .. }),
            ..self.core.status()
        }
    }

    /// protocol §9.1.
    /// On an interval, and once when ordering stalls.
    fn status_due(&self) -> u64 {
        let stall_ms = self.core.stall_ms().filter(|at_ms| *at_ms > self.status_sent_ms);
        stall_ms.map_or(self.status_due_ms, |at_ms| self.status_due_ms.min(at_ms))
    }

    fn send_status(&mut self, out: &mut Outbox) {
        let status = self.status();
        out.broadcast(Message::Status(Box::new(status)));
        self.resend_execution_votes(out);
        self.ask_again(out);
    }

    fn on_status(&mut self, now: Now, from: ValidatorIndex, status: Status, out: &mut Outbox) {
        if status.epoch != self.context.epoch {
            return self.on_status_of_another_epoch(now, from, status, out);
        }
        let interval_ms = u64::from(self.context.parameters.status_interval_ms);
        let told_ms = self.told_own.get(&from).copied();
        let may_tell = told_ms.is_none_or(|told_ms| now.monotonic_ms.saturating_sub(told_ms) >= interval_ms / 2);
        if status.asks_for_own && may_tell {
            self.told_own.insert(from, now.monotonic_ms);
            // At once: it can't sign before it knows (protocol §7.3). Answering needs no vote.
            let yours = Some(Box::new(self.held_of(from)));
            out.send(from, Message::Status(Box::new(Status { yours, asks_for_own: false, ..self.status() })));
        }
        self.hear(now, from, &status, out);
        self.offer_evidence(now, from, out);
        for tip in &status.tips {
            if let Some(want) = self.lanes.lacking(tip) {
                self.fetching.want_of_status(now, want, from, out);
            }
        }
        self.ask_for_certificates(now, from, status.certified, out);
        self.drive(now, Input::Status(from, Box::new(status)), out);
    }

    /// protocol §8.4: of a peer that is ahead, what is left of this epoch can be had. One that is behind asks.
    fn on_status_of_another_epoch(&mut self, now: Now, from: ValidatorIndex, status: Status, out: &mut Outbox) {
        if status.epoch > self.context.epoch {
            self.ask_for_certificates(now, from, status.certified, out);
            self.drive(now, Input::Status(from, Box::new(status)), out);
        }
    }

    /// What waits in the pool for a bundle.
    #[must_use]
    pub fn pool(&self) -> quorate_dag::PoolFigures {
        self.lanes.pool()
    }

    /// Whether this validator signs.
    #[must_use]
    pub const fn standing(&self) -> &Standing {
        &self.standing
    }
}
