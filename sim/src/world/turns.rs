//! The shells at work: packets in, turns, saves, sends, execution.

use std::rc::Rc;

use quorate_replica::execution::execute;
use quorate_replica::{
    Cause, CoreNotice, Event, GuardFile, Notice, Outbox, Outgoing, Quarantine, Recipient, Standing, serve,
};
use quorate_storage::{Durability, Store, WriteBatch};
use quorate_types::ids::ValidatorIndex;
use quorate_types::message::{Message, Request};

use super::host::Saving;
use super::invariants::Fact;
use super::machine::{Happening, Letter, Opened, Step, World, harness, unsafe_};
use super::recording::State;
use super::statement::statements_of;
use super::verdict::{Accusation, Violation};
use super::{suspicion, transfer};
use crate::byzantine::{Letter as Outbound, Letters};

/// Bytes of one answer to a request.
const ANSWER_BYTES: usize = 64 << 10;
/// A process wakes up so much later than its timer, at least: no timer is finer.
const WAKE_US: u64 = 1_000;

impl World {
    /// A packet arrives.
    pub(super) fn arrive(&mut self, to: u16, letter: &Rc<Letter>, flipped: Option<u64>) -> Step {
        if !self.host(to).is_up() {
            return Ok(());
        }
        let paused_until_us = self.host(to).paused_until_us;
        if paused_until_us > self.now_us {
            let packet = Happening::Packet { to, letter: Rc::clone(letter), flipped };
            self.queue.push(paused_until_us + 1, packet);
            return Ok(());
        }
        self.deliveries += 1;
        self.said.count(letter.message.kind());
        self.hash.add(self.now_us, letter.message.kind(), to, &letter.bytes);
        if let Some(bit) = flipped {
            self.try_flipped(letter, bit);
            return Ok(());
        }
        if self.acts(to) {
            let wall_ms = self.wall_ms();
            let (letters, is_let_in) = self.troupe.hear(&self.cast.context, wall_ms, to, &letter.message);
            self.post_all(to, letters)?;
            if !is_let_in {
                return Ok(());
            }
        }
        let Opened { gives, is_refused } = self.open(to, letter);
        if is_refused {
            self.reach_refused(&letter.message);
            self.refuse(to, letter)?;
        }
        let Some(message) = gives else { return Ok(()) };
        // A freshness statement takes a signature, which is the replica's to give.
        if let Message::Request(request) = &letter.message
            && !matches!(request, Request::Freshness(_))
        {
            return self.answer(to, letter.from, request);
        }
        self.on_let_in(to, letter, &message);
        if let Message::Bundle(bundle) = &*message {
            self.on_bundle_received(to, bundle);
        }
        let from = ValidatorIndex(letter.from);
        self.give(to, Event::Message { from, message });
        Ok(())
    }

    fn reach_refused(&mut self, message: &Message) {
        self.reach("message refused at the door");
        match message {
            Message::NewView(_) => self.reach("new view refused at the door"),
            Message::Certificate(_) | Message::Segment(_) => self.reach("certificate refused at the door"),
            _ => {}
        }
    }

    /// A flipped bit never passes in reality, because the session checks; here it shows that nothing panics.
    fn try_flipped(&mut self, letter: &Letter, bit: u64) {
        let mut bytes = letter.bytes.clone();
        let bit = usize::try_from(bit).unwrap_or(0) % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        use quorate_types::codec::Canonical;
        if let Ok(message) = Message::from_bytes(&bytes) {
            let _ = self.cast.context.verify(message);
        }
        self.reach("bit flipped on the way");
    }

    fn answer(&mut self, me: u16, to: u16, request: &Request) -> Step {
        if self.hand_over(me, to, request)? {
            return Ok(());
        }
        let store = self.host(me).store.clone();
        let answers = match serve::answer(&store, request, ANSWER_BYTES) {
            Ok(answers) => answers,
            Err(fault) => {
                return self.on_store_error(me, || {
                    let facts = vec![format!("validator {me} can't answer {request:?}"), fault.to_string()];
                    let invariant = "requests are answered from the store";
                    unsafe_(Violation { invariant, clause: "protocol §9.4", facts })
                });
            }
        };
        for message in answers {
            if !self.host(me).is_up() {
                return Ok(());
            }
            self.send_outgoing(me, &Outgoing { to: Recipient::One(ValidatorIndex(to)), message })?;
        }
        Ok(())
    }

    /// Puts an event into an inbox, and plans a turn.
    pub(super) fn give(&mut self, me: u16, event: Event) {
        self.host(me).inbox.push(event);
        let soon_us = self.now_us + self.scheduling.below(50);
        self.plan_turn(me, soon_us);
    }

    /// Plans a turn, unless an earlier one is planned.
    pub(super) fn plan_turn(&mut self, me: u16, at_us: u64) {
        let host = self.host(me);
        if host.turn_us.is_some_and(|planned| planned <= at_us) {
            return;
        }
        host.turn_us = Some(at_us);
        let generation = host.generation;
        self.queue.push(at_us, Happening::Turn { me, generation });
    }

    /// A turn: the inbox, the turn's end, what came out.
    pub(super) fn on_turn(&mut self, me: u16, generation: u64) -> Step {
        let now_us = self.now_us;
        let host = self.host(me);
        if host.generation != generation || host.turn_us != Some(now_us) {
            return Ok(());
        }
        host.turn_us = None;
        if host.saving.is_some() {
            return Ok(());
        }
        if host.paused_until_us > now_us {
            let resumes_us = host.paused_until_us;
            self.plan_turn(me, resumes_us);
            return Ok(());
        }
        let before = host.place();
        let now = host.clock.now(now_us);
        let events = std::mem::take(&mut host.inbox);
        let Some(replica) = &mut host.replica else { return Ok(()) };
        let mut out = Outbox::default();
        for event in events {
            replica.step(now, event, &mut out);
        }
        replica.step(now, Event::Turn, &mut out);
        let after = host.place();
        self.turns += 1;
        self.hash.add(now_us, "turn", me, &[]);
        let by = self.identity(me);
        if after.committed.0 > before.committed.0 + 2 {
            self.reach("caught up by a segment");
        }
        if after.committed.0 >= after.stable.0 + u64::from(self.plan.settings.protocol.window) {
            self.reach("window full");
        }
        self.see(Fact::Turn { by, before, after })?;
        let by = self.identity(me);
        if !self.is_byzantine(me) {
            for outgoing in out.after.iter().chain(&out.now) {
                for statement in statements_of(&outgoing.message, ValidatorIndex(by)) {
                    self.observer.see(Fact::Signed { by, statement, place: after }).map_err(unsafe_)?;
                }
            }
        }
        for outgoing in std::mem::take(&mut out.now) {
            self.send_outgoing(me, &outgoing)?;
            if self.host(me).generation != generation {
                return Ok(());
            }
        }
        self.save(me, out)
    }

    fn on_notices(&mut self, me: u16, notices: Vec<Notice>) -> Step {
        for notice in notices {
            self.note(me, &notice);
            let by = self.identity(me);
            self.see(Fact::Notice { by, notice: &notice })?;
            self.tell_readers(me, &notice)?;
            if let Notice::Stable(_) = notice {
                self.on_stable(me)?;
            }
            if let Notice::Promised(promise) = notice {
                self.on_promised(promise);
                continue;
            }
            let Notice::Certified(certificate) = &notice else { continue };
            if self.is_byzantine(me) {
                continue;
            }
            for receipt in self.workload.on_certified(certificate.execution.sequence, self.now_us) {
                self.see(Fact::Acknowledged(&receipt))?;
            }
        }
        Ok(())
    }

    fn note(&mut self, me: u16, notice: &Notice) {
        let (reached, state) = match notice {
            Notice::Core(CoreNotice::Enters { .. }) => (Some("view entered"), State::Enters),
            Notice::Core(CoreNotice::Leaves { .. }) => (Some("view left"), State::Leaves),
            Notice::Core(CoreNotice::Complains(_, cause)) => (Some(complaint_of(*cause)), State::Complains),
            Notice::Core(_) => (None, State::Alarm),
            Notice::Delivered { .. } => (Some("delivered"), State::Delivers),
            Notice::Certified(_) => (Some("execution certificate"), State::Certified),
            Notice::Stable(_) => (Some("stable checkpoint"), State::Stable),
            Notice::Evidence(..) => (Some("contradiction seen"), State::Contradiction),
            Notice::Conviction(_) => (Some("validator convicted"), State::Contradiction),
            Notice::Suspicion(_) => (Some("suspicion changed"), State::Suspicion),
            Notice::Standing(_) => (Some("standing changed"), State::Standing),
            Notice::Refused(_) => (None, State::Alarm),
            Notice::Camps(_) => (Some("results in camps"), State::Alarm),
            Notice::Transfer(transfer) => (Some(transfer::reached_by(transfer)), State::Transfer),
            Notice::Intake(..) => (None, State::Intake),
            Notice::Fresh { .. } => (Some("freshness round complete"), State::Reads),
            Notice::Statement(_) => (None, State::Reads),
            Notice::Promised(_) => (None, State::Intake),
        };
        if let Some(reached) = reached {
            self.reach(reached);
        }
        self.note_rare(notice);
        if let Notice::Evidence(_, evidence) = notice
            && let Some(accused) = evidence.validator()
        {
            let holders = self.blamed.entry(accused.0).or_default();
            holders.entry(evidence.kind().to_string()).or_default().insert(me);
            let (kind, at_ms) = (evidence.kind().to_owned(), self.now_us / 1_000);
            self.accusations.push(Accusation { accused: accused.0, kind, by: me, at_ms });
        }
        if let Notice::Suspicion(change) = notice {
            self.note_suspicion(me, change);
        }
        self.tell(state, Some(me), || describe(me, notice));
    }

    /// Writes the records; they become durable a moment later.
    fn save(&mut self, me: u16, out: Outbox) -> Step {
        let Outbox { records, guard, batch, after, execute, notices, install, enters, .. } = out;
        let (installs, enters) = (install.is_some(), enters.is_some());
        if records.is_empty() && after.is_empty() && execute.is_empty() {
            self.on_notices(me, notices)?;
            return if enters { self.begin_anew(me) } else { self.rest(me) };
        }
        if !records.is_empty() && self.dies_here(me, (0, false))? {
            return Ok(());
        }
        let must_sync = !after.is_empty() || !execute.is_empty() || !guard.is_empty() || installs || enters;
        let host = self.host(me);
        if !must_sync {
            if let Err(error) = host.store.write(records.clone(), Durability::Buffered) {
                return self.on_store_error(me, || harness(&error));
            }
            host.unsynced.push(records);
            self.on_notices(me, notices)?;
            return self.rest(me);
        }
        let guard_file = batch.filter(|_| !guard.is_empty()).map(|batch| GuardFile { batch, records: guard });
        host.saving = Some(Saving { records, guard_file, after, execute, installs, enters, notices });
        let (generation, sync_max_us) = (host.generation, host.sync_max_us);
        let sync_us = self.storage.range(self.plan.settings.storage.sync_min_us, sync_max_us);
        self.queue.push(self.now_us + sync_us, Happening::Saved { me, generation });
        Ok(())
    }

    /// The disk has synced: what waited for it may go.
    pub(super) fn on_saved(&mut self, me: u16, generation: u64) -> Step {
        let now_us = self.now_us;
        let host = self.host(me);
        if host.generation != generation {
            return Ok(());
        }
        if host.paused_until_us > now_us {
            let resumes_us = host.paused_until_us;
            self.queue.push(resumes_us, Happening::Saved { me, generation });
            return Ok(());
        }
        // Store and guard file are synced in parallel: a crash may find any of the two done, or none.
        let everything = usize::MAX;
        let keep = self.crash_at.is_some_and(|(_, keep, _)| keep);
        let survives = if keep { everything } else { 0 };
        if self.dies_here(me, (survives, false))?
            || self.dies_here(me, (everything, false))?
            || self.dies_here(me, (0, true))?
        {
            return Ok(());
        }
        self.make_durable(me)?;
        if self.dies_here(me, (0, true))? {
            return Ok(());
        }
        let Some(Saving { after, execute, installs, enters, notices, .. }) = self.host(me).saving.take() else {
            return Ok(());
        };
        self.on_notices(me, notices)?;
        for outgoing in &after {
            // It may have died over what a notice led to, such as pruning, or while it sent.
            if self.host(me).generation != generation {
                return Ok(());
            }
            self.send_outgoing(me, outgoing)?;
        }
        if self.host(me).generation != generation {
            return Ok(());
        }
        if enters {
            return self.begin_anew(me);
        }
        self.host(me).jobs.extend(execute);
        self.plan_execution(me);
        if installs {
            self.begin_install(me)?;
        }
        self.rest(me)
    }

    /// The epoch is over, or the store is another incarnation: the replica is built anew on what was written.
    fn begin_anew(&mut self, me: u16) -> Step {
        let before = self.host(me).context.epoch;
        self.host(me).end();
        self.start(me)?;
        let epoch = self.host(me).context.epoch;
        if epoch > before {
            self.reach("epoch entered");
            self.tell(State::Start, Some(me), || format!("-- {me} is in epoch {epoch}"));
            let context = self.host(me).context.clone();
            if !context.set.barred().is_empty() {
                self.reach("barred for the next epoch");
            }
            if context.set.size() < self.cast.context.set.size() {
                self.reach("evicted");
            }
            self.observer.enter(context);
        }
        Ok(())
    }

    /// Store and guard file are on the disk now.
    fn make_durable(&mut self, me: u16) -> Step {
        let host = self.host(me);
        let mut durable = std::mem::take(&mut host.unsynced);
        if let Some(saving) = &mut host.saving {
            let records = std::mem::take(&mut saving.records);
            let before = host.store.unsynced();
            if let Err(error) = host.store.write(records.clone(), Durability::Synced) {
                // What fails to be written isn't there; what fails to be synced may be.
                durable.extend((host.store.unsynced() > before).then_some(records));
                host.unsynced = durable;
                return self.on_store_error(me, || harness(&error));
            }
            durable.push(records);
            if let Some(file) = saving.guard_file.take() {
                host.guard_file = Some(file);
            }
        }
        for records in &durable {
            let by = self.identity(me);
            self.see(Fact::Durable { by, records })?;
        }
        Ok(())
    }

    /// Until the next event or the next timer.
    fn rest(&mut self, me: u16) -> Step {
        let now_us = self.now_us;
        let host = self.host(me);
        let Some(replica) = &host.replica else { return Ok(()) };
        let due_us = if host.inbox.is_empty() {
            host.clock.at_us(replica.deadline_ms()).max(now_us + WAKE_US)
        } else {
            now_us + 1
        };
        self.plan_turn(me, due_us);
        Ok(())
    }

    /// Sends a message; the process may die between two receivers.
    pub(super) fn send_outgoing(&mut self, me: u16, outgoing: &Outgoing) -> Step {
        let by = self.identity(me);
        let recipients: Vec<u16> = match outgoing.to {
            Recipient::All => self.hosts.iter().filter(|to| to.me != by).map(|to| to.id).collect(),
            Recipient::One(to) => self.hosts.iter().filter(|host| host.me == to.0).map(|to| to.id).collect(),
        };
        self.see(Fact::Leaves { by, message: &outgoing.message })?;
        if self.acts(me) {
            let mut letters = Letters::default();
            letters.extend(recipients.into_iter().map(|to| (to, outgoing.message.clone())));
            let wall_ms = self.wall_ms();
            let letters = self.troupe.send(&self.cast.context, wall_ms, me, letters);
            return self.post_all(me, letters);
        }
        let letter = self.letter(me, &outgoing.message)?;
        for to in recipients {
            self.post(to, &letter);
            if self.dies_here(me, (0, true))? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Posts what a Byzantine validator says.
    pub(super) fn post_all(&mut self, me: u16, letters: Letters) -> Step {
        let by = self.identity(me);
        for Outbound { to, message, after_ms } in letters.0 {
            self.see(Fact::Leaves { by, message: &message })?;
            let letter = self.letter(me, &message)?;
            if after_ms == 0 {
                self.post(to, &letter);
            } else {
                self.queue.push(self.now_us + after_ms * 1_000, Happening::Leaves { to, letter });
            }
        }
        Ok(())
    }

    /// Whether a machine is an actor of the troupe.
    pub(super) fn acts(&self, host: u16) -> bool {
        self.troupe.byzantine().contains(&self.identity(host))
    }

    fn plan_execution(&mut self, me: u16) {
        let execution_us = self.storage.range(1, self.plan.settings.storage.execution_max_us);
        let at_us = self.now_us + execution_us;
        let host = self.host(me);
        if host.is_executing || host.jobs.is_empty() {
            return;
        }
        host.is_executing = true;
        let generation = host.generation;
        self.queue.push(at_us, Happening::Execute { me, generation });
    }

    /// The execution thread carries one job out.
    pub(super) fn on_execute(&mut self, me: u16, generation: u64) -> Step {
        let now_us = self.now_us;
        let host = self.host(me);
        if host.generation != generation {
            return Ok(());
        }
        if host.paused_until_us > now_us {
            let resumes_us = host.paused_until_us;
            self.queue.push(resumes_us, Happening::Execute { me, generation });
            return Ok(());
        }
        host.is_executing = false;
        let Some(job) = host.jobs.pop_front() else { return Ok(()) };
        self.carry_out(me, &job)?;
        self.plan_execution(me);
        Ok(())
    }

    /// Executes a job, writes what came out, and tells the replica.
    pub(super) fn carry_out(&mut self, me: u16, job: &quorate_replica::ExecutionJob) -> Step {
        let store = self.host(me).store.clone();
        let mut tree = std::mem::take(&mut self.host(me).tree);
        let setup = self.execution(me);
        let done = match execute(&store, &setup, &mut tree, job) {
            Ok(done) => done,
            Err(fault) => {
                return self.on_store_error(me, || {
                    let facts =
                        vec![format!("validator {me} can't execute sequence {}", job.sequence), fault.to_string()];
                    let invariant = "what is delivered can be executed";
                    unsafe_(Violation { invariant, clause: "protocol §3.5", facts })
                });
            }
        };
        let (executed, receipts, proposal) = (&done.executed, &done.receipts[..], &job.proposal);
        let by = self.identity(me);
        self.see(Fact::Executed { by, executed, proposal, receipts })?;
        if !self.is_byzantine(me) {
            let judged: Vec<_> = done.judgements.iter().map(|(id, _)| *id).collect();
            self.workload.on_executed(job.sequence, receipts, &judged);
        }
        self.tell(State::Executes, Some(me), || {
            format!("{me} executes {}: {} receipts", job.sequence, done.receipts.len())
        });
        let host = self.host(me);
        host.tree = tree;
        if let Err(error) = host.store.write(done.batch, Durability::Buffered) {
            return self.on_store_error(me, || harness(&error));
        }
        // Nothing signed is in it; its place in the order of batches is what matters.
        host.unsynced.push(WriteBatch::new());
        self.keep_snapshot(me, job.sequence)?;
        self.give(me, Event::Executed(done.executed));
        Ok(())
    }
}

impl World {
    /// Rarer branches that a notice shows.
    fn note_rare(&mut self, notice: &Notice) {
        match notice {
            Notice::Core(CoreNotice::Leaves { from, to }) if to.0 > from.0 + 1 => {
                self.reach("view passed over");
            }
            Notice::Core(CoreNotice::Enters { view, anchor, .. }) if view.0 > 0 && anchor.0 > 0 => {
                self.reach("anchor above the first sequence");
            }
            Notice::Standing(Standing::Quarantined(Quarantine::BehindPeer { .. })) => {
                self.reach("rollback found by asking a peer");
            }
            Notice::Standing(standing) if standing.is_quarantined() => self.reach("stopped for lack of a whole store"),
            _ => {}
        }
    }
}

/// The branch that a complaint is.
const fn complaint_of(cause: Cause) -> &'static str {
    match cause {
        Cause::Progress => "complaint: nothing commits",
        Cause::Fairness => "complaint: a lane is passed over",
        Cause::Heartbeat => "complaint: the primary is silent",
        Cause::SlowClock => "complaint: the primary's clock stays behind",
        Cause::NewViewMissing => "complaint: no new view",
        Cause::SlowPrimary => "complaint: the primary is slow",
        Cause::Rotation => "complaint: the view has lasted long enough",
    }
}

/// A notice as a line of the story.
fn describe(me: u16, notice: &Notice) -> String {
    match notice {
        Notice::Core(CoreNotice::Enters { view, anchor, .. }) => format!("{me} enters view {view}, anchor at {anchor}"),
        Notice::Core(CoreNotice::Leaves { from, to }) => format!("{me} leaves view {from} for {to}"),
        Notice::Core(CoreNotice::Complains(view, cause)) => format!("{me} complains about view {view}: {cause:?}"),
        Notice::Core(other) => format!("{me}: {other:?}"),
        Notice::Delivered { sequence, digest, view, .. } => {
            format!("{me} delivers {sequence} {digest:?} in view {view}")
        }
        Notice::Certified(certificate) => {
            format!("{me} holds the execution certificate of {}", certificate.execution.sequence)
        }
        Notice::Stable(sequence) => format!("{me} has stable checkpoint {sequence}"),
        Notice::Evidence(id, evidence) => {
            format!("{me} keeps {} against {}: {id:?}", evidence.kind(), evidence.accused())
        }
        Notice::Conviction(conviction) => {
            let (kind, key, sequence) = (conviction.kind_name(), conviction.convicted, conviction.sequence);
            format!("{me}: {kind} of {key} stand in the state since {sequence}: {:?}", conviction.evidence)
        }
        Notice::Suspicion(change) => suspicion::describe(me, change),
        Notice::Standing(standing) => format!("{me} is {standing}"),
        Notice::Refused(refusal) => format!("the guard of {me} refuses: {refusal}"),
        Notice::Transfer(notice) => transfer::describe(me, notice),
        Notice::Camps(camps) => format!("ALARM: {me} sees results that leave no quorum possible: {camps:?}"),
        Notice::Promised(promise) => {
            format!("{me} promises {} in its bundle {}", promise.statement.operation, promise.statement.number)
        }
        Notice::Intake(id, intake) => format!("{me} takes {id} in: {intake:?}"),
        Notice::Fresh { sequence, .. } => format!("{me} hears that the order is at {sequence}"),
        Notice::Statement(answer) => format!("{me} says that {} is committed", answer.signed.statement.committed),
    }
}
