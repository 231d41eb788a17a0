//! Pruning, snapshots and transfers in the world's shells (protocol §8.1, §8.7): what is kept, handed over, and put
//! in place batch by batch, with a process that may die between any two.

use quorate_replica::pruning::{floor, prune};
use quorate_replica::records::{self, RecordError};
use quorate_replica::transfer::{Handed, Installation, Sweep, TransferNotice};
use quorate_replica::{Outgoing, Recipient};
use quorate_storage::{Durability, Store, WriteBatch};
use quorate_types::ids::{Sequence, ValidatorIndex};
use quorate_types::message::{Message, Request};

use super::invariants::Fact;
use super::machine::{Happening, Step, World, harness, unsafe_};
use super::recording::State;
use super::verdict::Violation;

/// Bytes of one part of a snapshot: small, so that a small state takes many.
const PART_BYTES: usize = 1 << 10;

impl World {
    /// Answers from a snapshot; false if the question is none for it.
    pub(super) fn hand_over(&mut self, me: u16, to: u16, request: &Request) -> Result<bool, Box<super::Verdict>> {
        let now_ms = self.now_us / 1_000;
        let host = self.host(me);
        let store = host.store.clone();
        let answer = host.snapshots.answer(&store, request, now_ms);
        let answer: Result<_, RecordError> = answer.and_then(|handed| Ok(handed.read(PART_BYTES)?));
        let answer = match answer {
            Ok(answer) => answer,
            Err(fault) => {
                self.on_store_error(me, || {
                    let facts = vec![format!("validator {me} can't answer {request:?}"), fault.to_string()];
                    let invariant = "requests are answered from the store";
                    unsafe_(Violation { invariant, clause: "protocol §9.4", facts })
                })?;
                return Ok(true);
            }
        };
        let Some(message) = answer else { return Ok(matches!(request, Request::Checkpoint | Request::Chunk { .. })) };
        if matches!(message, Message::Chunk(_)) {
            self.reach("part of a snapshot handed over");
        }
        self.send_outgoing(me, &Outgoing { to: Recipient::One(ValidatorIndex(to)), message })?;
        Ok(true)
    }

    /// Right after executing a sequence, or at a start or after a transfer with what was found.
    pub(super) fn keep_snapshot(&mut self, me: u16, executed: Sequence) -> Step {
        let prunes = self.plan.settings.storage.retained_sequences.is_some();
        let now_ms = self.now_us / 1_000;
        let host = self.host(me);
        if prunes && host.snapshots.wants(executed) {
            let snapshot = host.store.snapshot().map_err(|error| harness(&error))?;
            if let Err(error) = host.snapshots.keep(&host.store, (executed, snapshot), now_ms) {
                return self.on_store_error(me, || harness(&error));
            }
        }
        Ok(())
    }

    /// A checkpoint is stable: what lies far below may go.
    pub(super) fn on_stable(&mut self, me: u16) -> Step {
        let Some(retained) = self.plan.settings.storage.retained_sequences else { return Ok(()) };
        let interval = self.plan.settings.protocol.checkpoint_interval;
        let store = self.host(me).store.clone();
        let looked = floor(&store, retained)
            .and_then(|floor| prune(&store, floor, interval, u64::MAX))
            .and_then(|pruned| Ok((pruned, Sweep::default().next(&store)?)));
        let (pruned, swept) = match looked {
            Ok(found) => found,
            Err(error) => return self.on_store_error(me, || harness(&error)),
        };
        if pruned.sequences > 0 {
            self.reach("pruned");
        }
        self.write_unsigned(me, pruned.batch)?;
        if self.host(me).is_up() { self.write_unsigned(me, swept) } else { Ok(()) }
    }

    /// The limit that protocol §8.7 states: one of the core lacks what all others of it have pruned, and none of these
    /// has a certified state to hand over, for want of that one's vote.
    pub(super) fn nothing_can_be_handed_over(&mut self) -> Result<bool, Box<super::Verdict>> {
        let core: Vec<u16> = self.core.iter().flatten().copied().collect();
        let executed = |who: &u16| self.hosts[usize::from(*who)].place().executed;
        let Some(behind) = core.iter().copied().min_by_key(executed) else { return Ok(false) };
        let lacks = executed(&behind).next();
        let now_ms = self.now_us / 1_000;
        for who in core.into_iter().filter(|who| *who != behind) {
            let host = self.host(who);
            let pruned = records::pruned().read(&host.store).map_err(|error| harness(&error))?.unwrap_or_default();
            let store = host.store.clone();
            let answer = host.snapshots.answer(&store, &Request::Checkpoint, now_ms);
            let has_nothing = matches!(answer.map_err(|error| harness(&error))?, Handed::Nothing);
            if pruned < lacks || !has_nothing {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Nothing signed is in it; its place in the order of batches is what matters.
    fn write_unsigned(&mut self, me: u16, batch: WriteBatch) -> Step {
        if batch.is_empty() {
            return Ok(());
        }
        let host = self.host(me);
        if let Err(error) = host.store.write(batch, Durability::Buffered) {
            return self.on_store_error(me, || harness(&error));
        }
        let host = self.host(me);
        host.unsynced.push(WriteBatch::new());
        Ok(())
    }

    /// Everything of a snapshot is here, durably.
    pub(super) fn begin_install(&mut self, me: u16) -> Step {
        let store = self.host(me).store.clone();
        let installation = match Installation::of(&store) {
            Ok(installation) => installation,
            Err(error) => return self.on_store_error(me, || harness(&error)),
        };
        let host = self.host(me);
        host.installation = installation;
        let generation = host.generation;
        self.queue.push(self.now_us + 1, Happening::Install { me, generation });
        Ok(())
    }

    /// One more batch of the new state; after the last one the replica goes on with it.
    pub(super) fn on_install(&mut self, me: u16, generation: u64) -> Step {
        let now_us = self.now_us;
        let later_us = now_us + self.storage.range(1, self.plan.settings.storage.execution_max_us);
        let host = self.host(me);
        if host.generation != generation {
            return Ok(());
        }
        let resumes_us = host.paused_until_us;
        if resumes_us > now_us || host.is_executing || !host.jobs.is_empty() {
            self.queue.push(resumes_us.max(later_us), Happening::Install { me, generation });
            return Ok(());
        }
        let store = host.store.clone();
        let Some(installation) = &mut host.installation else { return Ok(()) };
        let checkpoint = installation.checkpoint();
        let batch = match installation.next(&store) {
            Ok(batch) => batch,
            Err(fault) => {
                return self.on_store_error(me, || {
                    let place = format!("validator {me} can't put the state of {checkpoint} in place");
                    let invariant = "what was received is the certified state";
                    unsafe_(Violation { invariant, clause: "protocol §8.7", facts: vec![place, fault.to_string()] })
                });
            }
        };
        let Some((batch, durability)) = batch else { return self.resume(me, checkpoint) };
        if self.dies_here(me, (usize::MAX, false))? {
            return Ok(());
        }
        match durability {
            Durability::Buffered => self.write_unsigned(me, batch)?,
            Durability::Synced => self.write_synced(me, batch)?,
        }
        if self.host(me).is_up() && !self.dies_here(me, (0, false))? {
            self.queue.push(later_us, Happening::Install { me, generation });
        }
        Ok(())
    }

    fn write_synced(&mut self, me: u16, batch: WriteBatch) -> Step {
        let host = self.host(me);
        if let Err(error) = host.store.write(batch.clone(), Durability::Synced) {
            return self.on_store_error(me, || harness(&error));
        }
        let host = self.host(me);
        let mut durable = std::mem::take(&mut host.unsynced);
        durable.push(batch);
        let by = self.identity(me);
        durable.iter().try_for_each(|records| self.see(Fact::Durable { by, records }))
    }

    /// The replica is built anew, as after a restart.
    fn resume(&mut self, me: u16, checkpoint: Sequence) -> Step {
        let now_us = self.now_us;
        let host = self.host(me);
        host.installation = None;
        host.snapshots.clear();
        host.tree = Default::default();
        let Some(replica) = host.replica.take() else { return Ok(()) };
        let resumed = match replica.resume(&host.store, host.clock.now(now_us)) {
            Ok(resumed) => resumed,
            Err(fault) => {
                return self.on_store_error(me, || {
                    let facts =
                        vec![format!("validator {me} can't go on at checkpoint {checkpoint}"), fault.to_string()];
                    let invariant = "what was received can be gone on with";
                    unsafe_(Violation { invariant, clause: "protocol §8.7", facts })
                });
            }
        };
        host.replica = Some(resumed);
        self.reach("state put in place");
        self.tell(State::Transfer, Some(me), || format!("-- {me} goes on at checkpoint {checkpoint}"));
        let (by, place) = (self.identity(me), self.host(me).place());
        self.see(Fact::Restarted { by, place })?;
        self.keep_snapshot(me, place.executed)?;
        if !self.host(me).is_up() {
            return Ok(());
        }
        self.execute_delivered(me)?;
        self.plan_turn(me, now_us + 1);
        Ok(())
    }
}

/// The branch that a notice of a transfer shows.
pub(super) const fn reached_by(notice: &TransferNotice) -> &'static str {
    match notice {
        TransferNotice::Begins { .. } => "transfer begun",
        TransferNotice::Lied { .. } => "part of a snapshot refused",
        TransferNotice::Silent { .. } => "provider of a snapshot passed over",
        TransferNotice::GivenUp { .. } => "transfer given up",
        TransferNotice::Complete { .. } => "transfer complete",
    }
}

/// A notice of a transfer in the story.
pub(super) fn describe(me: u16, notice: &TransferNotice) -> String {
    match notice {
        TransferNotice::Begins { checkpoint, parts } => {
            format!("{me} fetches the state of checkpoint {checkpoint} in {parts} parts")
        }
        TransferNotice::Lied { provider, fault } => format!("{me} refuses part of a snapshot from {provider}: {fault}"),
        TransferNotice::Silent { provider } => format!("{me} waits no longer for {provider}"),
        TransferNotice::GivenUp { checkpoint } => format!("{me} gives the transfer of checkpoint {checkpoint} up"),
        TransferNotice::Complete { checkpoint, bytes } => {
            format!("{me} has the state of checkpoint {checkpoint}, {bytes} bytes")
        }
    }
}
