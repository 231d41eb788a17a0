//! Chance: one seed, split into independent streams (simulation §2.1).
//!
//! Each subject draws from a stream of its own, so that a fault taken out of a plan doesn't shift what the
//! others draw. Nothing else in the world is random.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// What a stream of random numbers is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Size of the cluster and its parameters.
    Topology = 1,
    /// What the clients do.
    Workload = 2,
    /// Delays, losses, duplicates.
    Network = 3,
    /// Latencies of disks, and what a crash leaves on them.
    Storage = 4,
    /// Clocks.
    Clock = 5,
    /// What Byzantine validators do.
    Byzantine = 6,
    /// The order of what happens at one moment.
    Scheduling = 7,
    /// Which faults happen when.
    Faults = 8,
    /// Keys of validators and clients.
    Keys = 9,
}

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream of `seed` for a subject.
    #[must_use]
    pub fn new(seed: u64, stream: Stream) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream as u64);
        Self(rng)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`; 0 if there is none.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.any() % bound }
    }

    /// A number from `low` to `high`, both included.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        low.saturating_add(self.below(high.saturating_sub(low).saturating_add(1)))
    }

    /// True so many times in a thousand.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        // Drawn also where the answer is sure, so that an intensity of 0 shifts nothing.
        self.below(1_000) < u64::from(per_mille)
    }

    /// One of `items`.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let index = self.below(items.len() as u64);
        items.get(usize::try_from(index).unwrap_or(0))
    }

    /// A position in something of `length` items.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// Another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }

    /// Bytes for a key.
    pub fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// simulation §2.1
    #[test]
    fn streams_of_one_seed_are_independent_and_repeat() {
        let draw = |stream| {
            let mut dice = Dice::new(7, stream);
            (0..4).map(|_| dice.any()).collect::<Vec<_>>()
        };
        assert_eq!(draw(Stream::Network), draw(Stream::Network));
        assert_ne!(draw(Stream::Network), draw(Stream::Storage));
    }

    #[test]
    fn an_intensity_of_zero_draws_as_much_as_any_other() {
        let (mut none, mut all) = (Dice::new(1, Stream::Network), Dice::new(1, Stream::Network));
        assert!(!none.chance(0) && all.chance(1_000));
        assert_eq!(none.any(), all.any());
    }
}
