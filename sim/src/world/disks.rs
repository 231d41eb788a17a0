//! Disks that fail: reads and syncs that fail, no space, flipped bits, syncs that weren't, old copies put back.
//!
//! What the world demands of a validator's shell is what the node does (architecture §4): a store that fails
//! ends the process, a supervisor starts it again, and a store that is damaged is replaced by an empty one, as
//! the operator's guide says, which leads into quarantine (protocol §7.4).

use quorate_replica::records;
use quorate_storage::{Family, MemoryStore, Snapshot as _, Store as _, StoreError};

use super::invariants::Fact;
use super::machine::{Step, World, harness};
use super::recording::State;
use super::verdict::Verdict;
use crate::dice::Dice;

/// A supervisor starts a process again after so long.
const RESTART_MS: u64 = 200;

impl World {
    /// A store gave an error: if a fault of the plan caused it, the process ends and `Ok` is given; if not, what
    /// `otherwise` makes of it.
    pub(super) fn on_store_error(&mut self, me: u16, otherwise: impl FnOnce() -> Box<Verdict>) -> Step {
        let Some(error) = self.host(me).store.take_struck() else { return Err(otherwise()) };
        let what = match &error {
            StoreError::Full { .. } => "process ended over a full disk",
            StoreError::Corrupt { .. } => "damaged value found",
            _ => "process ended over a failed read or save",
        };
        self.reach(what);
        self.tell(State::Crash, Some(me), || format!("-- the process of {me} ends: {error}"));
        let is_damaged = matches!(error, StoreError::Corrupt { .. });
        if is_damaged && !self.host(me).is_damaged {
            return Err(harness(&error));
        }
        if self.host(me).is_up() {
            let unsynced = self.host(me).unsynced_batches().len();
            let survives = (self.storage.index(unsynced + 1), self.storage.chance(500));
            self.crash(me, survives, RESTART_MS)?;
        } else {
            // It failed while it started: what it wrote there and didn't sync may be gone, too.
            let unsynced = self.host(me).store.unsynced();
            let keep = self.storage.index(unsynced + 1);
            self.host(me).crash(keep, false);
            self.start_later(me, RESTART_MS);
        }
        if is_damaged { self.replace_store(me) } else { Ok(()) }
    }

    /// The next read fails, once.
    pub(super) fn fail_read(&mut self, who: u16) {
        self.host(who).store.fail_next_read();
    }

    /// The next sync fails; what it was for may be on the disk, or not.
    pub(super) fn fail_sync(&mut self, who: u16) {
        self.host(who).store.fail_next_sync();
    }

    /// The disk has no space, or has some again.
    pub(super) fn fill_disk(&mut self, who: u16, is_full: bool) {
        let host = self.host(who);
        host.is_full = is_full;
        host.store.set_full(is_full);
    }

    /// One bit of one stored value flips.
    pub(super) fn flip_bit(&mut self, who: u16) -> Step {
        self.admit_loss(who)?;
        let Self { hosts, storage, .. } = self;
        let host = &mut hosts[usize::from(who)];
        host.is_damaged |= flip_any(&host.store, storage);
        if host.is_damaged {
            self.reach("stored bit flipped");
        }
        Ok(())
    }

    /// From now on the disk says that it has synced, and has not.
    pub(super) fn lose_syncs(&mut self, who: u16) -> Step {
        self.admit_loss(who)?;
        let host = self.host(who);
        host.is_lying = true;
        host.store.lose_syncs();
        Ok(())
    }

    /// The operator copies store and guard file.
    pub(super) fn back_up(&mut self, who: u16) {
        let host = self.host(who);
        host.backup = Some((host.store.image(), host.guard_file.clone()));
    }

    /// The process dies, and the operator puts the last copy of the store back; of the guard file, too, if
    /// `with_guard_file`.
    pub(super) fn restore(&mut self, who: u16, with_guard_file: bool, down_ms: u64) -> Step {
        self.admit_loss(who)?;
        self.crash(who, (usize::MAX, false), down_ms)?;
        let host = self.host(who);
        let Some((image, guard_file)) = host.backup.clone() else { return Ok(()) };
        host.store.restore(&image);
        if with_guard_file {
            host.guard_file = guard_file;
        }
        self.reach("old copy of a store put back");
        self.judge_rollback(who)
    }

    /// What a store had acknowledged is gone. Where the guard file shows it, the validator must be found in
    /// quarantine; where nothing does, it counts as Byzantine (protocol §7.3), though correct peers may still
    /// find it out.
    pub(super) fn judge_rollback(&mut self, who: u16) -> Step {
        let by = self.identity(who);
        let host = self.host(who);
        let batch = records::batch_number().read(&host.store).map_err(|error| harness(&error))?.unwrap_or(0);
        let shown = host.guard_file.as_ref().is_none_or(|file| file.batch > batch + 1);
        if shown {
            self.reach("rollback shown by the guard file");
            return self.see(Fact::StoreLost { by });
        }
        self.reach("rollback that the guard file doesn't show");
        self.observer.corrupt(by);
        Ok(())
    }

    /// Whether the verdict's budget allows one more validator to lose what it had (simulation §2.3).
    pub(super) fn admit_loss(&mut self, who: u16) -> Step {
        let by = self.identity(who);
        self.damaged.insert(by);
        let scene = self.observer.scene();
        let mut faulty = scene.byzantine.clone();
        faulty.extend(scene.lost.iter().chain(&self.damaged));
        if faulty.len() > scene.faulty() {
            return Err(harness(&"the plan damages more stores than the verdict allows"));
        }
        Ok(())
    }

    /// Disks that work again.
    pub(super) fn mend_disk(&mut self, who: u16) {
        let host = self.host(who);
        host.is_full = false;
        host.is_lying = false;
        host.store.mend();
    }
}

/// Flips one bit of one stored value, whichever chance picks; false if there is none that can be read.
pub(crate) fn flip_any(store: &MemoryStore, dice: &mut Dice) -> bool {
    // Past the faults that are ordered for reads.
    let Ok(snapshot) = store.snapshot() else { return false };
    let all = |family| snapshot.scan(family, &[], &[], usize::MAX).unwrap_or_default();
    let families: Vec<Family> = Family::ALL.into_iter().filter(|family| !all(*family).is_empty()).collect();
    let Some(family) = dice.pick(&families).copied() else { return false };
    let entries = all(family);
    store.flip_bit(family, &entries[dice.index(entries.len())].0, dice.index(1 << 16))
}
