//! Batches of ed25519 signatures under the same rule as single ones.
//!
//! A chunk is checked by one equation. If that fails, the bad items are looked for by halving, with
//! a budget: whoever fills batches with bad signatures makes us pay for two further equations over
//! the chunk and one single verification per item, never more. An item is accepted only by an
//! equation that holds or by its own single verification.
//!
//! The equation's coefficients come from a hash of all its items. They need not be secret, only out
//! of the reach of whoever chose the items: 128 bits of a hash of those very items are.

use crate::scheme::{Item, verify_ed25519};
use crate::{Digest, Hasher};
use ed25519_zebra::{Signature, VerificationKeyBytes, batch};
use rand_core::{TryCryptoRng, TryRng};
use std::convert::Infallible;

/// Items of one equation: larger gains little and makes a bad item dearer.
const CHUNK_ITEMS: usize = 128;
/// Below this many items singles cost no more than looking for the bad ones.
const SMALLEST_EQUATION: usize = 4;

/// One verdict per item, in order.
pub(crate) fn verify(items: &[Item<'_>]) -> Vec<bool> {
    let mut verdicts = vec![false; items.len()];
    for (items, verdicts) in items
        .chunks(CHUNK_ITEMS)
        .zip(verdicts.chunks_mut(CHUNK_ITEMS))
    {
        let prepared: Vec<Prepared<'_>> = items.iter().map(Prepared::new).collect();
        let mut search = Search {
            budget: prepared.len() * 2,
        };
        search.decide(&prepared, verdicts, Known::Nothing);
    }
    verdicts
}

/// An item with what every equation needs of it.
struct Prepared<'a> {
    item: Item<'a>,
    term: batch::Item,
    /// Binds the coefficients to the item.
    digest: Digest,
}

impl<'a> Prepared<'a> {
    fn new(item: &Item<'a>) -> Self {
        let key = VerificationKeyBytes::from(*item.key.as_bytes());
        let signature = Signature::from_bytes(item.signature.as_bytes());
        let digest = Hasher::new()
            .update(item.key.as_bytes())
            .update(item.signature.as_bytes())
            .update(item.message)
            .finish();
        Self {
            item: *item,
            term: batch::Item::from((key, signature, item.message)),
            digest,
        }
    }

    fn verify_single(&self) -> bool {
        verify_ed25519(&self.item.key, self.item.message, &self.item.signature)
    }
}

/// What is known of a slice before it is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    /// It contains a bad item: its equation would fail.
    Bad,
}

/// The search for the bad items of one chunk.
struct Search {
    /// Items that equations after the first may still cover.
    budget: usize,
}

impl Search {
    /// Fills in the verdicts of `items`.
    fn decide(&mut self, items: &[Prepared<'_>], verdicts: &mut [bool], known: Known) {
        if known == Known::Nothing && items.len() >= SMALLEST_EQUATION && equation_holds(items) {
            verdicts.fill(true);
            return;
        }
        let middle = items.len() / 2;
        if middle < SMALLEST_EQUATION || self.budget < middle {
            return decide_singly(items, verdicts);
        }
        self.budget -= middle;
        let (left, right) = items.split_at(middle);
        let (left_verdicts, right_verdicts) = verdicts.split_at_mut(middle);
        self.decide(left, left_verdicts, Known::Nothing);
        if left_verdicts.iter().all(|verdict| *verdict) {
            self.decide(right, right_verdicts, Known::Bad);
        } else if self.budget >= right.len() {
            self.budget -= right.len();
            self.decide(right, right_verdicts, Known::Nothing);
        } else {
            decide_singly(right, right_verdicts);
        }
    }
}

fn decide_singly(items: &[Prepared<'_>], verdicts: &mut [bool]) {
    for (item, verdict) in items.iter().zip(verdicts) {
        *verdict = item.verify_single();
    }
}

/// The batch equation over `items`.
fn equation_holds(items: &[Prepared<'_>]) -> bool {
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
        Self {
            seed,
            counter: 0,
            block: Digest::ZERO,
            used: Digest::LENGTH,
        }
    }

    fn next_byte(&mut self) -> u8 {
        if self.used == Digest::LENGTH {
            let counter = self.counter.to_be_bytes();
            self.block = Hasher::new()
                .update(self.seed.as_bytes())
                .update(&counter)
                .finish();
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
        let items: Vec<Item<'_>> = signed
            .iter()
            .map(|(key, message, signature)| Item {
                key: *key,
                message,
                signature: *signature,
            })
            .collect();
        verify(&items)
    }

    #[test]
    fn every_bad_item_is_found_wherever_it_lies() {
        for count in [1, 2, 3, 4, 7, 8, 9, 31, 130, 300] {
            for step in [1, 2, 5, 29, 1000] {
                let verdicts = verdicts_with_bad(count, |index| index % step == step / 2);
                for (index, verdict) in verdicts.iter().enumerate() {
                    assert_eq!(
                        *verdict,
                        index % step != step / 2,
                        "{index} of {count}, {step}"
                    );
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
