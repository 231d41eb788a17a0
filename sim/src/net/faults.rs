//! Faults as they strike real nodes: lines, processes, clocks, disks.
//!
//! Some of a plan's faults are nearer to the world than to a node and strike here as what a node can see of
//! them: a crash at the n-th point is a store that fails at the n-th write, which must stop the node; a process
//! that stands still is one whose lines are held back; how long a sync takes has no meaning where a save takes
//! no time.

use std::sync::atomic::Ordering;

use quorate_storage::StoreError;

use super::fleet::{Fleet, Step, harness};
use crate::world::flip_any;
use crate::world::invariants::Fact;
use crate::world::{Fault, Target, Verdict, Violation};

/// Points of the world for one write of a node here, about.
const POINTS_PER_WRITE: u64 = 8;

/// How long a machine is down whose node ended over a failed save.
const DOWN_MS: u64 = 200;

impl Fleet<'_> {
    /// Faults that are due.
    pub(super) fn strike(&mut self) -> Step {
        while let Some(timed) = self.plan.events.get(self.next_fault).filter(|timed| timed.at_ms <= self.now_ms) {
            let fault = timed.fault.clone();
            let index = self.next_fault;
            self.next_fault += 1;
            self.sight.with(|sight| {
                sight.note("fault", 0, &index.to_be_bytes());
                sight.tell(|| format!("-- {fault:?}"));
            });
            self.on_fault(fault)?;
        }
        Ok(())
    }

    fn on_fault(&mut self, fault: Fault) -> Step {
        match fault {
            Fault::Partition { groups } => self.lines.partition(&groups),
            Fault::Cut { from, to } => self.lines.cut(&from, &to),
            Fault::Hold { from, to } => self.lines.hold(&from, &to),
            Fault::Isolate { target } => {
                let who = self.resolve(target);
                self.lines.isolate(who);
            }
            Fault::DropKind { kind, from, to } => self.sight.with(|sight| sight.dropped.push((kind, from, to))),
            Fault::Slow { target, by_ms } => {
                let who = self.resolve(target);
                self.lines.slow(&self.sim, who, by_ms);
            }
            Fault::Heal => {
                self.lines.heal(&self.sim);
                self.sight.with(|sight| sight.dropped.clear());
            }
            Fault::Crash { target, down_ms } => {
                let who = self.resolve(target);
                self.crash(who, down_ms)?;
            }
            Fault::CrashAll { down_ms } => {
                for who in 0..self.cluster.cast.size() {
                    self.crash(who, down_ms)?;
                }
            }
            Fault::CrashAtPoint { ordinal, keep, .. } => self.fail_disk(ordinal, keep),
            Fault::Pause { target, for_ms } => {
                let who = self.resolve(target);
                self.lines.still(who, self.now_ms + for_ms);
            }
            Fault::Skew { validator, offset_ms } => {
                self.machines[usize::from(validator)].offset_ms.store(offset_ms, Ordering::Relaxed);
            }
            Fault::SlowDisk { .. } => self.sight.with(|sight| sight.reach("fault without meaning here")),
            Fault::LoseStore { validator, down_ms } => self.lose_store(validator, down_ms)?,
            Fault::FailRead { validator } => {
                self.machines[usize::from(validator)].disk.fail_next_read();
            }
            Fault::FailSync { validator } => {
                self.machines[usize::from(validator)].disk.store().fail_next_sync();
            }
            Fault::FillDisk { validator, for_ms } => {
                self.machines[usize::from(validator)].disk.store().set_full(true);
                self.full_until_ms.insert(validator, self.now_ms + for_ms);
            }
            Fault::FlipBit { validator } => self.flip_bit(validator)?,
            Fault::LoseSyncs { .. } | Fault::BackUp { .. } | Fault::Restore { .. } | Fault::ChangeParameter { .. } => {
                self.sight.with(|sight| sight.reach("fault without meaning here"));
            }
        }
        Ok(())
    }

    /// Who is meant.
    fn resolve(&self, target: Target) -> u16 {
        self.sight.with(|sight| self.cluster.cast.resolve(target, sight.places.iter().map(|place| place.view)))
    }

    /// The disk of a machine that chance picks fails at a later write, or at the next sync.
    fn fail_disk(&mut self, ordinal: u64, at_sync: bool) {
        let who = self.storage.index(self.machines.len());
        let store = self.machines[who].disk.store();
        if at_sync {
            store.fail_next_sync();
        } else {
            store.fail_write_after(ordinal / POINTS_PER_WRITE);
        }
    }

    /// A process dies; of what wasn't synced a prefix that chance decides survives.
    pub(super) fn crash(&mut self, who: u16, down_ms: u64) -> Step {
        let position = usize::from(who);
        if self.starts_ms[position].is_some() {
            return Ok(());
        }
        let machine = &self.machines[position];
        self.sim.crash(machine.name.as_str());
        let keep = if self.storage.chance(500) { 0 } else { self.storage.index(machine.disk.at_risk() + 1) };
        let kept = machine.disk.crash(keep);
        self.starts_ms[position] = Some(self.now_ms + down_ms);
        machine.disk.store().set_full(self.full_until_ms.contains_key(&who));
        self.sight.with(|sight| {
            sight.ended[position] = None;
            sight.up.remove(&who);
            sight.reach("crash");
            sight.note("crash", who, &[]);
            sight.tell(|| format!("-- {who} dies, for {down_ms} ms; {keep} of its unsynced batches survive"));
            sight.see(Fact::Crashed { by: who });
            kept.iter().for_each(|records| sight.see(Fact::Durable { by: who, records }));
        });
        Ok(())
    }

    /// One bit of one stored value flips.
    fn flip_bit(&mut self, who: u16) -> Step {
        self.admit_loss(who)?;
        let store = self.machines[usize::from(who)].disk.store();
        if flip_any(store, &mut self.storage) {
            self.sight.with(|sight| sight.reach("stored bit flipped"));
        }
        Ok(())
    }

    /// Disks that are full until now have space again.
    pub(super) fn make_space(&mut self) {
        let now_ms = self.now_ms;
        for (who, _) in self.full_until_ms.extract_if(.., |_, until_ms| *until_ms <= now_ms) {
            self.machines[usize::from(who)].disk.store().set_full(false);
        }
    }

    /// Whether the verdict's budget allows one more validator to lose what it had.
    fn admit_loss(&mut self, who: u16) -> Step {
        self.damaged.insert(who);
        let damaged = &self.damaged;
        let within_budget = self.sight.with(|sight| {
            let scene = sight.observer.scene();
            let mut faulty = scene.byzantine.clone();
            faulty.extend(scene.lost.iter().chain(damaged));
            faulty.len() <= scene.faulty()
        });
        if !within_budget {
            return Err(harness(&"the plan damages more stores than the verdict allows"));
        }
        Ok(())
    }

    fn lose_store(&mut self, who: u16, down_ms: u64) -> Step {
        self.admit_loss(who)?;
        self.crash(who, down_ms)?;
        self.sight.with(|sight| sight.reach("store lost"));
        self.replace_store(who)
    }

    /// The operator runs `init` with the old key in place of a lost or damaged store.
    fn replace_store(&mut self, who: u16) -> Step {
        self.sight.with(|sight| sight.see(Fact::StoreLost { by: who }));
        self.full_until_ms.remove(&who);
        let Self { machines, cluster, .. } = self;
        machines[usize::from(who)].lose_store(cluster).map_err(|error| harness(&error))
    }

    /// Machines that were down long enough start.
    pub(super) fn restart(&mut self) -> Step {
        for who in 0..self.cluster.cast.size() {
            let start = &mut self.starts_ms[usize::from(who)];
            if start.is_none_or(|start_ms| start_ms > self.now_ms) {
                continue;
            }
            *start = None;
            let machine = &self.machines[usize::from(who)];
            // What struck the last process excuses no other.
            machine.disk.take_struck();
            let records = machine.guarded().map_err(|error| harness(&error))?;
            self.sight.with(|sight| {
                sight.up.insert(who);
                sight.see(Fact::Durable { by: who, records: &records });
            });
            self.sim.bounce(machine.name.as_str());
        }
        Ok(())
    }

    /// A node has ended by itself. It may if its disk failed it, and for no other reason; then the machine starts
    /// again.
    pub(super) fn on_end(&mut self, who: u16, reason: String) -> Step {
        let struck = self.machines[usize::from(who)].disk.take_struck();
        if self.damaged.contains(&who) && matches!(struck, Some(StoreError::Corrupt { .. })) {
            self.sight.with(|sight| sight.reach("damaged value found"));
            self.crash(who, DOWN_MS)?;
            return self.replace_store(who);
        }
        let over = match struck {
            Some(StoreError::Full { .. }) => "node ended over a full disk",
            Some(StoreError::Io { .. } | StoreError::Closed) => "node ended over a failed save",
            _ => {
                let facts = vec![format!("the node of validator {who} has ended"), reason];
                let (invariant, clause) = ("a node that nobody stops runs on", "architecture §4");
                return Err(Box::new(Verdict::Unsafe(Violation { invariant, clause, facts })));
            }
        };
        self.sight.with(|sight| sight.reach(over));
        self.crash(who, DOWN_MS)
    }
}
