//! Random scripts of writes, and what the simulated store says may be left of them after a crash.
//!
//! The simulator's verdicts about disks are worth what its store is worth: [`MemoryStore`] must allow every state
//! in which RocksDB can be found (simulation §2.13). [`Allowed`] asks it, by its own crashes.

use anyhow::Context;
use quorate_storage::{Durability, Family, Image, MemoryStore, Store, StoreError, WriteBatch};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Different keys in each family; few, so that they are written again and again.
const KEYS: u64 = 6;

/// A key too long for the store in memory to keep in place.
const LONG_KEY_BYTES: usize = 70;

/// Changes in one batch, at most.
const MOST_CHANGES: u64 = 8;

/// A value that fills a write buffer within a few dozen writes, so that logs are closed and tables flushed.
const LARGE_VALUE_BYTES: usize = 150_000;

/// One write.
#[derive(Clone, Debug)]
pub struct Write {
    /// What is written.
    pub batch: WriteBatch,
    /// And how.
    pub durability: Durability,
}

impl Write {
    /// The write at this place of the script of `seed`; scripts don't end.
    #[must_use]
    pub fn of(seed: u64, place: u64) -> Self {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        dice.set_stream(place);
        let mut batch = WriteBatch::new();
        for _ in 0..dice.random_range(0..=MOST_CHANGES) {
            let family = Family::ALL[dice.random_range(0..Family::ALL.len())];
            let key = key(&mut dice);
            match dice.random_range(0..40) {
                0..10 => batch.delete(family, key),
                10 => batch.put(family, key, vec![dice.random(); LARGE_VALUE_BYTES]),
                11 => batch.put(family, key, b""),
                _ => batch.put(family, key, [seed.to_be_bytes(), place.to_be_bytes()].concat()),
            }
        }
        let is_synced = dice.random_range(0..4) == 0;
        let durability = if is_synced { Durability::Synced } else { Durability::Buffered };
        Self { batch, durability }
    }

    /// Carries it out.
    ///
    /// # Errors
    /// If the store fails.
    pub fn carry_out<S: Store>(self, store: &S) -> Result<(), StoreError> {
        store.write(self.batch, self.durability)
    }
}

/// One of the keys of scripts.
pub fn key(dice: &mut ChaCha8Rng) -> Vec<u8> {
    match dice.random_range(0..KEYS) {
        0 => vec![b'k'; LONG_KEY_BYTES],
        1 => vec![0xff; 3],
        number => vec![b'k', u8::try_from(number).unwrap_or_default()],
    }
}

/// Everything that a store holds.
pub type Content = Vec<(Family, Vec<u8>, Vec<u8>)>;

/// Reads everything.
///
/// # Errors
/// If the store fails.
pub fn content<S: Store>(store: &S) -> Result<Content, StoreError> {
    let mut all = Content::new();
    for family in Family::ALL {
        all.extend(store.scan(family, b"", b"", usize::MAX)?.into_iter().map(|(key, value)| (family, key, value)));
    }
    Ok(all)
}

/// What the simulated store allows a crash to leave.
#[derive(Debug, Default)]
pub struct Allowed {
    seed: u64,
    /// What was there, durably, before the present life.
    before: Image,
    /// The place in the script where the present life began.
    from: u64,
}

/// What a crash left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survived {
    /// Writes of the life that ended.
    pub written: u64,
    /// Those that survived, from the first one on.
    pub kept: u64,
}

impl Allowed {
    /// An empty store, and the script of `seed` from its beginning.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// The next write.
    #[must_use]
    pub const fn next(&self) -> u64 {
        self.from
    }

    /// A life has ended in which the writes up to, and without, the one at `done` have returned, and perhaps the
    /// one at `done` was under way, too. What was `found` must be what the simulated store allows; from it the
    /// next life goes on.
    ///
    /// # Errors
    /// If it isn't.
    pub fn admit(&mut self, done: u64, is_one_under_way: bool, found: &Content) -> anyhow::Result<Survived> {
        for ends in [Some(done), is_one_under_way.then_some(done + 1)].into_iter().flatten() {
            let at_risk = self.live(ends)?.unsynced();
            // The most that may be kept comes first: of states that are equal, it is the likeliest.
            for keep in (0..=at_risk).rev() {
                let store = self.live(ends)?;
                store.crash(keep);
                if content(&store)? == *found {
                    let written = ends - self.from;
                    let lost = u64::try_from(at_risk - keep)?;
                    let survived = Survived { written, kept: written - lost };
                    self.from += survived.kept;
                    self.before = store.image();
                    return Ok(survived);
                }
            }
        }
        anyhow::bail!(
            "seed {}: after the writes {}..{done} the store holds what the simulated store doesn't allow: {}",
            self.seed,
            self.from,
            summary(found)
        )
    }

    /// The simulated store after the writes of this life.
    fn live(&self, ends: u64) -> anyhow::Result<MemoryStore> {
        let store = MemoryStore::new();
        store.restore(&self.before);
        for place in self.from..ends {
            Write::of(self.seed, place).carry_out(&store).context("the store in memory has no faults here")?;
        }
        Ok(store)
    }
}

fn summary(content: &Content) -> String {
    let short = |bytes: &[u8]| bytes[..bytes.len().min(20)].escape_ascii().to_string();
    let entries = content.iter().map(|(family, key, value)| format!("{family}/{}={}", short(key), short(value)));
    entries.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_a_function_of_its_seed_and_has_writes_of_every_sort() {
        let writes: Vec<Write> = (0..200).map(|place| Write::of(7, place)).collect();
        assert!((0..200).zip(&writes).all(|(place, write)| Write::of(7, place).batch == write.batch));
        assert!(writes.iter().any(|write| write.batch.is_empty() && write.durability == Durability::Synced));
        assert!(writes.iter().any(|write| write.batch.size_bytes() > LARGE_VALUE_BYTES));
        assert!(writes.iter().any(|write| write.durability == Durability::Buffered));
    }

    #[test]
    fn what_a_crash_may_leave_is_found_again_and_nothing_else() {
        let store = MemoryStore::new();
        let mut allowed = Allowed::new(3);
        (0..40).for_each(|place| Write::of(3, place).carry_out(&store).unwrap());
        let at_risk = (0..40).rev().take_while(|place| Write::of(3, *place).durability == Durability::Buffered).count();
        assert!(at_risk > 0, "the script ends with a buffered write");
        let whole = content(&store).unwrap();
        assert!(allowed.admit(39, false, &whole).is_err(), "a write that nobody made");
        let found = Allowed::new(3).admit(39, true, &whole).unwrap();
        assert_eq!(found, Survived { written: 40, kept: 40 });
        store.crash(0);
        let found = allowed.admit(40, false, &content(&store).unwrap()).unwrap();
        assert_eq!((found.written, allowed.next()), (40, found.kept));
        assert!(found.kept >= 40 - at_risk as u64);
    }
}
