//! Batches of ed25519 signatures under the same rule as single ones.
//!
//! A chunk is checked by one equation. If that fails, each group of the chunk is, and in the groups
//! that fail each item alone. So whoever fills batches with bad signatures makes us pay for two
//! equations and a single verification per item, never more, and one bad item among honest ones
//! costs a second equation over its chunk. (Halving again and again finds it no cheaper: an equation
//! costs half of what its items cost singly, so three levels of it are already too many.) An item is
//! accepted only by an equation that holds or by its own single verification.
//!
//! The equation's coefficients come from a hash of all its items. They need not be secret, only out
//! of the reach of whoever chose the items: 128 bits of a hash of those very items are.

use crate::scheme::{Item, verify_ed25519};
use crate::{Digest, Hasher};
use ed25519_zebra::{Signature, VerificationKeyBytes, batch};
use rand_core::{TryCryptoRng, TryRng};
use std::convert::Infallible;

/// Items of the first equation: more gains little and makes a bad item dearer.
const CHUNK_ITEMS: usize = 128;
/// Items of the equations after a failed one.
const GROUP_ITEMS: usize = 16;
/// Below this many items singles cost no more than an equation.
const SMALLEST_EQUATION: usize = 3;

/// One verdict per item, in order.
pub(crate) fn verify(items: &[Item<'_>]) -> Vec<bool> {
    let mut verdicts = vec![false; items.len()];
    for (items, verdicts) in items.chunks(CHUNK_ITEMS).zip(verdicts.chunks_mut(CHUNK_ITEMS)) {
        if items.len() < SMALLEST_EQUATION {
            decide_singly(items, verdicts);
        } else {
            decide_chunk(items, verdicts);
        }
    }
    verdicts
}

fn decide_chunk(items: &[Item<'_>], verdicts: &mut [bool]) {
    let prepared: Vec<Prepared> = items.iter().map(Prepared::new).collect();
    if equation_holds(&prepared) {
        return verdicts.fill(true);
    }
    if items.len() <= GROUP_ITEMS {
        return decide_singly(items, verdicts);
    }
    let groups = items.chunks(GROUP_ITEMS).zip(prepared.chunks(GROUP_ITEMS));
    for ((items, prepared), verdicts) in groups.zip(verdicts.chunks_mut(GROUP_ITEMS)) {
        if prepared.len() >= SMALLEST_EQUATION && equation_holds(prepared) {
            verdicts.fill(true);
        } else {
            decide_singly(items, verdicts);
        }
    }
}

fn decide_singly(items: &[Item<'_>], verdicts: &mut [bool]) {
    for (item, verdict) in items.iter().zip(verdicts) {
        *verdict = verify_ed25519(&item.key, item.message, &item.signature);
    }
}

/// What every equation needs of an item.
struct Prepared {
    term: batch::Item,
    /// Binds the coefficients to the item.
    digest: Digest,
}

impl Prepared {
    fn new(item: &Item<'_>) -> Self {
        let key = VerificationKeyBytes::from(*item.key.as_bytes());
        let signature = Signature::from_bytes(item.signature.as_bytes());
        let digest =
            Hasher::new().update(item.key.as_bytes()).update(item.signature.as_bytes()).update(item.message).finish();
        Self { term: batch::Item::from((key, signature, item.message)), digest }
    }
}

/// The batch equation over the items.
fn equation_holds(items: &[Prepared]) -> bool {
    let mut seed = Hasher::new();
    let mut verifier = batch::Verifier::new();
    for item in items {
        seed.update(item.digest.as_bytes());
        verifier.queue(item.term.clone());
    }
    verifier.verify(Coefficients::new(seed.finish())).is_ok()
}

/// A stream of bytes from a seed: SHA-256 over the seed and a counter.
struct Coefficients {
    seed: Digest,
    counter: u64,
    block: Digest,
    used: usize,
}

impl Coefficients {
    fn new(seed: Digest) -> Self {
        Self { seed, counter: 0, block: Digest::ZERO, used: Digest::LENGTH }
    }

    fn next_byte(&mut self) -> u8 {
        if self.used == Digest::LENGTH {
            let counter = self.counter.to_be_bytes();
            self.block = Hasher::new().update(self.seed.as_bytes()).update(&counter).finish();
            self.counter += 1;
            self.used = 0;
        }
        self.used += 1;
        self.block.as_bytes()[self.used - 1]
    }

    fn next_array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next_byte())
    }
}

impl TryRng for Coefficients {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.next_array()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.next_array()))
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        to.fill_with(|| self.next_byte());
        Ok(())
    }
}

impl TryCryptoRng for Coefficients {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    fn signed(count: usize) -> Vec<(crate::PublicKey, [u8; 8], crate::Signature)> {
        (0..count)
            .map(|index| {
                let key = SecretKey::from_seed([index as u8 % 7 + 1; 32]);
                let message = (index as u64).to_be_bytes();
                (key.public(), message, key.sign(&message))
            })
            .collect()
    }

    fn verdicts_with_bad(count: usize, is_bad: impl Fn(usize) -> bool) -> Vec<bool> {
        let mut signed = signed(count);
        for (index, (_, message, _)) in signed.iter_mut().enumerate() {
            message[0] ^= u8::from(is_bad(index));
        }
        let items: Vec<Item<'_>> =
            signed.iter().map(|(key, message, signature)| Item { key: *key, message, signature: *signature }).collect();
        verify(&items)
    }

    #[test]
    fn every_bad_item_is_found_wherever_it_lies() {
        for count in [1, 2, 3, 4, 7, 8, 9, 31, 130, 300] {
            for step in [1, 2, 5, 29, 1000] {
                let verdicts = verdicts_with_bad(count, |index| index % step == step / 2);
                for (index, verdict) in verdicts.iter().enumerate() {
                    assert_eq!(*verdict, index % step != step / 2, "{index} of {count}, {step}");
                }
            }
        }
    }

    #[test]
    fn the_coefficients_differ_with_every_item() {
        let mut one = Coefficients::new(crate::sha256(&[b"one"]));
        let mut two = Coefficients::new(crate::sha256(&[b"two"]));
        assert_ne!(one.next_array::<16>(), two.next_array::<16>());
        assert_ne!(one.next_array::<48>(), one.next_array::<48>());
    }
}
