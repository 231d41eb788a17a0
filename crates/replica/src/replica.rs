//! The composite: ordering, lanes, execution votes and the guard behind one door.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use quorate_accountability::{Ledger, Noted};
use quorate_consensus::{Core, CoreNotice, Effect, Input, LaneWaits, Link, Now, Own};
use quorate_crypto::Digest;
use quorate_dag::{Admission, Check, Lanes};
use quorate_types::bundle::Bundle;
use quorate_types::contradiction::Contradiction;
use quorate_types::execution::ExecutionVote;
use quorate_types::ids::{Sequence, ValidatorIndex};
use quorate_types::message::{Message, Request, Status, VoteMessage};
use quorate_types::operation::Operation;
use quorate_types::proposal::{PrePrepare, Proposal};
use quorate_types::signed::Signed;
use quorate_types::verified::Context;
use quorate_types::view_change::ViewChangeMessage;

use crate::execution::{Executed, ExecutionJob};
use crate::executions::{Executions, Outcome};
use crate::fetching::Fetching;
use crate::guard::{GuardRefusal, SigningGuard};
use crate::outbox::{Event, Notice, Outbox};
use crate::records::{self, Delivered, ViewState};
use crate::standing::{Quarantine, Standing};

/// Bundles made of the pool in one turn at most: a turn stays short, the rest waits for the next.
const BUNDLES_PER_TURN: usize = 8;
/// Committed proposals whose bundles are asked for ahead: with `max_proposal_bytes`, the memory that catching
/// up takes.
const PREFETCHED_PROPOSALS: usize = 16;
/// Own execution votes re-sent with one status.
const RESENT_EXECUTIONS: usize = 32;

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
    pub(crate) standing: Standing,
    /// Payloads that wait for bundles, by proposal.
    pub(crate) awaiting: BTreeMap<Digest, Proposal>,
    /// The number of the last guarded batch.
    pub(crate) batch: u64,
    /// The highest sequence executed here.
    pub(crate) executed: Sequence,
    /// When the next status is due, by the monotonic clock.
    pub(crate) status_due_ms: u64,
}

impl Replica {
    /// One event, all its consequences. The outbox may be carried over several steps of one turn; the shell
    /// ends the turn with [`Event::Turn`] and then does what the outbox says (architecture §4).
    pub fn step(&mut self, now: Now, event: Event, out: &mut Outbox) {
        match event {
            Event::Message { from, message } => self.on_message(now, from, message.into_inner(), out),
            Event::Operation(operation) => self.on_operation(operation.into_inner(), out),
            Event::Executed(executed) => self.on_executed(now, executed, out),
            Event::Turn => self.on_turn(now, out),
        }
        self.number_batch(out);
    }

    /// When [`Event::Turn`] is due next, by the monotonic clock.
    #[must_use]
    pub fn deadline_ms(&self) -> u64 {
        self.core.deadline_ms().unwrap_or(u64::MAX).min(self.status_due_ms)
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
        if let Some(what) = self.own_key_elsewhere(&message) {
            self.quarantine(Quarantine::KeyUsedElsewhere { what }, out);
            return;
        }
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
            Message::ExecutionCertificate(certificate) => {
                if self.executions.on_certificate(&certificate) {
                    records::execution(certificate.execution.sequence).put(&mut out.records, &certificate);
                    out.notices.push(Notice::Certified(Arc::new(certificate)));
                    self.settle_executions(now, out);
                }
                return;
            }
            Message::Bundle(bundle) => return self.on_bundle(now, bundle, out),
            // The shell answers requests from the store (protocol §9.4).
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

    /// protocol §7.6: a vote of the own key, in a slot in which these records have none, was made elsewhere.
    fn own_key_elsewhere(&self, message: &Message) -> Option<&'static str> {
        if !self.standing.signs() {
            return None;
        }
        match message {
            Message::Vote(VoteMessage { vote, .. }) | Message::PrePrepare(PrePrepare { vote, .. })
                if vote.signer() == self.me && !self.core.knows_own_vote(&vote.statement) =>
            {
                Some("vote")
            }
            Message::ViewChange(change)
                if change.signed.signer() == self.me
                    && Some(change.signed.statement.new_view) > self.guard.highest_view_change() =>
            {
                Some("view change")
            }
            Message::Bundle(bundle) if bundle.header.signer() == self.me => {
                (bundle.header.statement.number > self.lanes.own_head().number).then_some("bundle")
            }
            _ => None,
        }
    }

    /// One input to the core and all that follows from it, signatures included.
    pub(crate) fn drive(&mut self, now: Now, input: Input, out: &mut Outbox) {
        let mut inputs = VecDeque::from([input]);
        let mut effects = Vec::new();
        while let Some(input) = inputs.pop_front() {
            self.core.step(now, input, &mut effects);
            for effect in effects.drain(..) {
                if let Some(own) = self.apply(now, effect, &mut inputs, out) {
                    inputs.push_back(Input::Own(Box::new(own)));
                }
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
                out.save_guarded(records::view_state().record(&state));
            }
            Effect::SaveNewView(new_view) => {
                let slot = records::new_view(new_view.statement.epoch, new_view.statement.view);
                out.save_guarded(slot.record(&new_view));
            }
            Effect::SaveProposal(digest, proposal) => records::proposal(&digest).put(&mut out.records, &proposal),
            Effect::SaveVote(vote) => records::vote(&vote.statement).put(&mut out.records, &vote),
            Effect::SavePrepared(certificate) => {
                records::prepared(certificate.epoch).put(&mut out.records, &certificate);
            }
            Effect::SaveCommit(certificate) => {
                records::commit(certificate.claim.sequence).put(&mut out.records, &certificate);
            }
            Effect::CheckPayload(digest, proposal) => self.check_payload(now, digest, proposal, inputs, out),
            Effect::Deliver(link, proposal) => self.deliver(link, proposal, out),
            Effect::Send(to, message) => out.send(to, message),
            Effect::Broadcast(message) => out.broadcast(message),
            Effect::Ask(of, request) => out.ask(of, request),
            Effect::Contradiction(pair) => self.note_contradiction(pair, out),
            Effect::Notice(notice) => self.on_core_notice(notice, out),
        }
        None
    }

    /// Signature and record as one value, then the message: in this order nothing leaves unrecorded.
    fn sign(&mut self, effect: Effect, out: &mut Outbox) -> Option<Own> {
        match self.sign_guarded(effect, out) {
            Ok(own) => own,
            Err(refusal) => {
                out.notices.push(Notice::Refused(refusal));
                None
            }
        }
    }

    fn sign_guarded(&mut self, effect: Effect, out: &mut Outbox) -> Result<Option<Own>, GuardRefusal> {
        let own = match effect {
            Effect::SignVote(vote, primary) => {
                let guarded = self.guard.vote(vote)?;
                self.save_own(guarded.record, out);
                let primary = primary.filter(|_| vote.validator != self.core.primary());
                out.broadcast(Message::Vote(VoteMessage { vote: guarded.signed, primary }));
                Own::Vote(guarded.signed)
            }
            Effect::SignPrePrepare(proposal, vote) => {
                let guarded = self.guard.vote(vote)?;
                self.save_own(guarded.record, out);
                let pre_prepare = PrePrepare { proposal, vote: guarded.signed };
                out.broadcast(Message::PrePrepare(pre_prepare.clone()));
                Own::PrePrepare(pre_prepare)
            }
            Effect::SignComplaint(complaint) => {
                let guarded = self.guard.complaint(complaint);
                out.save(guarded.record);
                out.broadcast(Message::Complaint(guarded.signed));
                Own::Complaint(guarded.signed)
            }
            Effect::SignViewChange(statement, prepared, committed) => {
                let attach = |signed| ViewChangeMessage { signed, prepared, committed };
                let guarded = self.guard.view_change(statement, attach)?;
                self.save_own(guarded.record, out);
                out.broadcast(Message::ViewChange(Box::new(guarded.signed.clone())));
                Own::ViewChange(guarded.signed)
            }
            Effect::SignNewView(statement) => {
                let guarded = self.guard.new_view(*statement)?;
                self.save_own(guarded.record, out);
                out.broadcast(Message::NewView(Box::new(guarded.signed.clone())));
                Own::NewView(guarded.signed)
            }
            _ => return Ok(None),
        };
        Ok(Some(own))
    }

    fn save_own(&self, record: records::Record, out: &mut Outbox) {
        if cfg!(mutant = "send-before-save") {
            return;
        }
        out.save_guarded(record);
    }

    /// protocol §3.6: held and valid, contradicting, or to be fetched and judged again.
    fn check_payload(
        &mut self,
        now: Now,
        digest: Digest,
        proposal: Proposal,
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
            self.check_payload(now, digest, proposal, &mut inputs, out);
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
                self.recheck(now, out);
            }
            Admission::Conflict(pair) => self.note_contradiction(*pair, out),
            Admission::Duplicate
            | Admission::Old
            | Admission::OverLimit
            | Admission::BrokenLink
            | Admission::Foreign => {}
        }
    }

    fn on_executed(&mut self, now: Now, executed: Executed, out: &mut Outbox) {
        let execution = executed.execution;
        self.executed = self.executed.max(execution.sequence);
        self.core.set_waiting_room(executed.waiting > 0);
        self.executions.on_own(execution);
        if self.standing.signs() && !self.executions.is_certified(execution.sequence) {
            let statement = ExecutionVote { execution, validator: self.me };
            match self.guard.execution(statement) {
                Ok(guarded) => {
                    out.save(guarded.record);
                    out.broadcast(Message::ExecutionVote(guarded.signed));
                    self.on_execution_vote(now, guarded.signed, out);
                }
                Err(refusal) => out.notices.push(Notice::Refused(refusal)),
            }
        }
        self.drive(now, Input::Executed(execution.sequence), out);
        self.settle_executions(now, out);
    }

    pub(crate) fn on_execution_vote(&mut self, now: Now, vote: Signed<ExecutionVote>, out: &mut Outbox) {
        let Outcome { certificate, contradiction } = self.executions.on_vote(vote);
        if let Some(pair) = contradiction {
            self.note_contradiction(pair, out);
        }
        if let Some(certificate) = certificate {
            records::execution(certificate.execution.sequence).put(&mut out.records, &certificate);
            out.notices.push(Notice::Certified(Arc::new(certificate)));
            self.settle_executions(now, out);
        }
    }

    /// Own results against certified ones: a difference ends signing (protocol §8.2); agreement at a
    /// multiple of `K` is the stable checkpoint (protocol §8.1).
    fn settle_executions(&mut self, now: Now, out: &mut Outbox) {
        for (own, certified) in self.executions.settle() {
            let sequence = own.sequence;
            if own != certified {
                self.quarantine(Quarantine::Diverged { sequence }, out);
                return;
            }
            let interval = u64::from(self.context.parameters.checkpoint_interval);
            if sequence.0.is_multiple_of(interval) && sequence > self.core.stable() {
                records::stable().put(&mut out.records, &sequence);
                self.guard.prune(sequence);
                out.notices.push(Notice::Stable(sequence));
                self.drive(now, Input::Stable(sequence), out);
            }
        }
    }

    fn on_core_notice(&mut self, notice: CoreNotice, out: &mut Outbox) {
        if let CoreNotice::Enters { .. } = notice {
            // Of what earlier views left behind, only the chains that the core still holds matter.
            let heads = self.core.heads();
            self.lanes.retain(&heads);
            self.awaiting.retain(|digest, _| heads.contains(digest));
        }
        out.notices.push(Notice::Core(notice));
    }

    pub(crate) fn note_contradiction(&mut self, pair: Contradiction, out: &mut Outbox) {
        if pair.offender() == self.me {
            self.quarantine(Quarantine::KeyUsedElsewhere { what: pair.kind() }, out);
        }
        if self.ledger.note(&pair) == Noted::New {
            records::contradiction(&pair).put(&mut out.records, &pair);
            out.notices.push(Notice::Contradiction(Box::new(pair)));
        }
    }

    pub(crate) fn quarantine(&mut self, reason: Quarantine, out: &mut Outbox) {
        if self.standing.is_quarantined() {
            return;
        }
        self.standing = Standing::Quarantined(reason);
        self.core.stop_signing();
        out.notices.push(Notice::Standing(self.standing.clone()));
    }

    /// The end of a turn: what gathered goes out (architecture §5), timers are judged, status is sent.
    fn on_turn(&mut self, now: Now, out: &mut Outbox) {
        self.begin_signing_if_heard(now, out);
        self.prefetch(now, out);
        self.make_bundles(now, out);
        let demand = self.lanes.waiting(self.core.view_tip()).unwrap_or_default();
        let waits = |w: quorate_dag::Waiting| LaneWaits { lane: w.tip.lane, number: w.tip.number, bytes: w.bytes };
        self.drive(now, Input::Demand(demand.into_iter().map(waits).collect()), out);
        self.drive(now, Input::Tick, out);
        self.propose(now, out);
        self.fetching.ask_due(now, self.core.primary(), out);
        if now.monotonic_ms >= self.status_due_ms {
            let interval_ms = u64::from(self.context.parameters.status_interval_ms);
            self.status_due_ms = now.monotonic_ms.saturating_add(interval_ms);
            self.send_status(out);
        }
    }

    fn make_bundles(&mut self, now: Now, out: &mut Outbox) {
        if !self.standing.signs() {
            return;
        }
        for _ in 0..BUNDLES_PER_TURN {
            let Some((header, operations)) = self.lanes.next_bundle() else { return };
            let header = match self.guard.bundle(header) {
                Ok(header) => header,
                Err(refusal) => {
                    out.notices.push(Notice::Refused(refusal));
                    return;
                }
            };
            let bundle = Arc::new(Bundle { header, operations });
            // The bundle itself is recorded by `on_bundle`; the guard file gets its header.
            out.save_guarded(records::own_bundle(self.context.epoch).record(&header));
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
    fn send_status(&mut self, out: &mut Outbox) {
        let status = self.status();
        out.broadcast(Message::Status(Box::new(status)));
        if self.standing.signs() {
            let own: Vec<_> = self.executions.uncertified_of(self.me).take(RESENT_EXECUTIONS).collect();
            let stale = own.iter().filter(|vote| vote.statement.execution.sequence < self.executed);
            for vote in stale {
                out.broadcast(Message::ExecutionVote(*vote));
            }
        }
    }

    fn on_status(&mut self, now: Now, from: ValidatorIndex, status: Status, out: &mut Outbox) {
        if status.asks_for_own {
            // At once: it can't sign before it knows (protocol §7.3). Answering needs no vote.
            let yours = Some(Box::new(self.held_of(from)));
            out.send(from, Message::Status(Box::new(Status { yours, asks_for_own: false, ..self.status() })));
        }
        self.hear(now, from, &status, out);
        for tip in &status.tips {
            if let Some(want) = self.lanes.lacking(tip) {
                self.fetching.want_from(now, want, from, out);
            }
        }
        if status.certified > self.executions.certified() && self.executed > self.executions.certified() {
            out.ask(from, Request::Execution(self.executions.certified().next()));
        }
        self.drive(now, Input::Status(from, Box::new(status)), out);
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
