//! Faults as they strike: links, processes, clocks, disks.

use std::sync::Arc;

use quorate_types::epoch::SetChange;
use quorate_types::ids::{BlockTime, OperationId};
use quorate_types::operation::{OperationBuilder, SystemChange};
use std::rc::Rc;

use quorate_replica::Event;
use quorate_replica::execution::next_job;
use quorate_storage::WriteBatch;

use super::invariants::Fact;
use super::machine::{Happening, Step, World, harness, unsafe_};
use super::plan::{Fault, Target};
use super::recording::State;
use super::verdict::Violation;

impl World {
    /// The plan's fault with this index strikes.
    pub(super) fn on_fault(&mut self, index: usize) -> Step {
        // The liveness phase has ended all faults.
        let Some(timed) = self.plan.events.get(index).filter(|_| self.core.is_none()) else { return Ok(()) };
        let fault = timed.fault.clone();
        self.tell(State::Fault, None, || format!("-- {}", fault.about()));
        self.hash.add(self.now_us, "fault", 0, &index.to_be_bytes());
        match fault {
            Fault::Partition { groups } => self.network.partition(&groups),
            Fault::Cut { from, to } => self.network.cut(&from, &to),
            Fault::Hold { from, to } => self.network.hold(&from, &to),
            Fault::Isolate { target } => {
                let who = self.resolve(target);
                self.network.isolate(who);
            }
            Fault::DropKind { kind, from, to } => self.network.drop_kind(&kind, from, to),
            Fault::Slow { target, by_ms } => {
                let who = self.resolve(target);
                self.network.slow(who, by_ms * 1_000);
            }
            Fault::Heal => self.heal(),
            Fault::Crash { target, down_ms } => {
                let who = self.resolve(target);
                self.crash_somehow(who, down_ms)?;
            }
            Fault::CrashAll { down_ms } => {
                for who in 0..self.size() {
                    self.crash_somehow(who, down_ms)?;
                }
            }
            Fault::CrashAtPoint { ordinal, keep, down_ms } => self.crash_at = Some((ordinal, keep, down_ms)),
            Fault::Pause { target, for_ms } => {
                let who = self.resolve(target);
                self.host(who).paused_until_us = self.now_us + for_ms * 1_000;
            }
            Fault::Skew { validator, offset_ms } => self.host(validator).clock.offset_ms = offset_ms,
            Fault::SlowDisk { validator, sync_us } => self.host(validator).sync_max_us = sync_us,
            Fault::LoseStore { validator, down_ms } => self.lose_store(validator, down_ms)?,
            Fault::FailRead { validator } => self.fail_read(validator),
            Fault::FailSync { validator } => self.fail_sync(validator),
            Fault::FillDisk { validator, for_ms } => {
                self.fill_disk(validator, true);
                self.queue.push(self.now_us + for_ms * 1_000, Happening::Space { who: validator });
            }
            Fault::FlipBit { validator } => self.flip_bit(validator)?,
            Fault::LoseSyncs { validator } => self.lose_syncs(validator)?,
            Fault::ChangeParameter { name, value } => self.change_parameter(name, value)?,
            Fault::BackUp { validator } => self.back_up(validator),
            Fault::Restore { validator, guard_file, down_ms } => self.restore(validator, guard_file, down_ms)?,
        }
        Ok(())
    }

    /// An administrator's proposal and its approval, given to every correct validator that runs.
    fn change_parameter(&mut self, name: String, value: u32) -> Step {
        let changes = vec![SetChange::Parameter { name, value }];
        let proposal = self.administer(SystemChange::Propose(changes), &[])?;
        self.administer(SystemChange::Approve(proposal), &[proposal])?;
        Ok(())
    }

    fn administer(
        &mut self,
        change: SystemChange,
        parents: &[OperationId],
    ) -> Result<OperationId, Box<super::verdict::Verdict>> {
        self.administered += 1;
        let key = self.cast.administrator();
        let expires = BlockTime(self.wall_ms() + 3_600_000);
        let builder = OperationBuilder::new(self.cast.context.cluster, key.public(), self.administered, expires);
        let builder = parents.iter().fold(builder.system(change), |builder, parent| builder.parent(*parent));
        let operation = Arc::new(builder.sign(&key).map_err(|error| harness(&error))?);
        self.see(Fact::Invoked(&operation))?;
        for me in self.gateways() {
            if self.is_byzantine(me) {
                continue;
            }
            let verdicts = self.cast.context.verify_operations(vec![Arc::clone(&operation)]);
            for verified in verdicts.into_iter().flatten() {
                self.give(me, Event::Operation(verified));
            }
        }
        Ok(operation.id())
    }

    /// Who is meant.
    fn resolve(&self, target: Target) -> u16 {
        self.cast.resolve(target, self.hosts.iter().map(|host| host.place().view))
    }

    /// Links are whole again; what was held goes on its way.
    pub(super) fn heal(&mut self) {
        self.network.heal();
        for (to, letter) in std::mem::take(&mut self.held) {
            self.post(to, &Rc::clone(&letter));
        }
    }

    fn crash_somehow(&mut self, who: u16, down_ms: u64) -> Step {
        let unsynced = self.host(who).unsynced_batches().len();
        let keep = if self.storage.chance(500) { 0 } else { self.storage.index(unsynced + 1) };
        let guard_survives = self.storage.chance(500);
        self.crash(who, (keep, guard_survives), down_ms)
    }

    /// A process dies; `survives` says how many unsynced batches are found again, and whether the guard file
    /// that was being written is.
    pub(super) fn crash(&mut self, who: u16, survives: (usize, bool), down_ms: u64) -> Step {
        if !self.host(who).is_up() {
            return Ok(());
        }
        self.reach("crash");
        self.tell(State::Crash, Some(who), || {
            format!("-- {who} dies, for {down_ms} ms; of its unsynced batches {} survive", survives.0)
        });
        self.hash.add(self.now_us, "crash", who, &[u8::from(survives.1)]);
        let loses_syncs = self.host(who).is_lying;
        let most = if loses_syncs { 0 } else { survives.0 };
        let kept: Vec<WriteBatch> = self.host(who).unsynced_batches().into_iter().take(most).collect();
        self.host(who).crash(survives.0, survives.1);
        let by = self.identity(who);
        self.see(Fact::Crashed { by })?;
        for records in &kept {
            self.see(Fact::Durable { by, records })?;
        }
        self.start_later(who, down_ms);
        if loses_syncs { self.judge_rollback(who) } else { Ok(()) }
    }

    /// A point at which a process may die: if it is the ordered one, it does, now.
    pub(super) fn dies_here(&mut self, me: u16, survives: (usize, bool)) -> Result<bool, Box<super::verdict::Verdict>> {
        self.points += 1;
        let Some((left, keep, down_ms)) = self.crash_at else { return Ok(false) };
        if left > 1 {
            self.crash_at = Some((left - 1, keep, down_ms));
            return Ok(false);
        }
        self.crash_at = None;
        self.crash(me, survives, down_ms)?;
        Ok(true)
    }

    /// A process starts after so long.
    pub(super) fn start_later(&mut self, who: u16, down_ms: u64) {
        self.queue.push(self.now_us + down_ms * 1_000, Happening::Start { me: who });
    }

    /// Store and guard file are gone.
    fn lose_store(&mut self, who: u16, down_ms: u64) -> Step {
        self.admit_loss(who)?;
        self.reach("store lost");
        self.crash(who, (0, false), down_ms)?;
        self.replace_store(who)
    }

    /// The operator runs `init` with the old key in place of a lost or damaged store.
    pub(super) fn replace_store(&mut self, who: u16) -> Step {
        let by = self.identity(who);
        self.see(Fact::StoreLost { by })?;
        self.mend_disk(who);
        self.host(who).is_damaged = false;
        self.host(who).store.lose_disk();
        let Self { hosts, cast, .. } = self;
        hosts[usize::from(who)].init(cast).map_err(|error| harness(&error))
    }

    /// A process starts on what its disk holds, and executes what it had delivered and not executed.
    pub(super) fn start(&mut self, me: u16) -> Step {
        if self.host(me).is_up() {
            return Ok(());
        }
        let now_us = self.now_us;
        let Self { hosts, cast, .. } = self;
        if let Err(fault) = hosts[usize::from(me)].start(cast, now_us) {
            return self.on_store_error(me, || {
                let facts = vec![format!("validator {me} can't start again"), fault.to_string()];
                let invariant = "a store that wasn't damaged can be started from";
                unsafe_(Violation { invariant, clause: "protocol §7.1", facts })
            });
        }
        if self.acts(me)
            && let Some(replica) = &mut self.host(me).replica
        {
            replica.overlook_own_key(quorate_determinism::stand_in());
        }
        let place = self.host(me).place();
        let standing = self.host(me).replica.as_ref().map(|replica| replica.standing().to_string());
        self.tell(State::Start, Some(me), || format!("-- {me} starts, {}: {place:?}", standing.unwrap_or_default()));
        self.see_guard_file(me)?;
        let by = self.identity(me);
        self.see(Fact::Restarted { by, place })?;
        // What it finds can be handed over, whatever sequence it is.
        self.keep_snapshot(me, place.executed)?;
        if !self.host(me).is_up() {
            return Ok(());
        }
        self.execute_delivered(me)?;
        self.plan_turn(me, now_us + 1);
        Ok(())
    }

    /// Executes what was delivered and not executed.
    pub(super) fn execute_delivered(&mut self, me: u16) -> Step {
        let store = self.host(me).store.clone();
        loop {
            let job = match next_job(&store) {
                Ok(Some(job)) => job,
                Ok(None) => return Ok(()),
                Err(fault) => {
                    return self.on_store_error(me, || {
                        let facts = vec![format!("validator {me} can't go on executing"), fault.to_string()];
                        let invariant = "what is delivered can be executed";
                        unsafe_(Violation { invariant, clause: "protocol §3.5", facts })
                    });
                }
            };
            self.carry_out(me, &job)?;
            if !self.host(me).is_up() {
                return Ok(());
            }
        }
    }

    /// What a guard file holds is durable, whether the store has it or not.
    fn see_guard_file(&mut self, me: u16) -> Step {
        let Some(file) = self.host(me).guard_file.clone() else { return Ok(()) };
        let mut records = WriteBatch::new();
        for (family, key, value) in file.records {
            records.put(family, key, value);
        }
        let by = self.identity(me);
        self.see(Fact::Durable { by, records: &records })
    }
}
