//! Makes signatures with chosen encodings and small-order components.
//!
//! A sample says what ZIP-215 makes of it, from how it was made and not from asking the code under
//! test.

use curve25519_dalek::constants::{ED25519_BASEPOINT_TABLE, EIGHT_TORSION};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use quorate_crypto::{PublicKey, Signature, sha256};
use sha2::{Digest, Sha512};

/// A signature with the verdict that it must have.
pub(crate) struct Sample {
    pub(crate) class: &'static str,
    pub(crate) key: PublicKey,
    pub(crate) message: Vec<u8>,
    pub(crate) signature: Signature,
    pub(crate) accepted: bool,
}

/// The eight points of small order.
pub(crate) fn torsion_points() -> [EdwardsPoint; 8] {
    EIGHT_TORSION
}

/// The encodings of small-order points that are not canonical, each with its point: `y >= p`, or
/// the sign bit set where `x = 0`.
pub(crate) fn non_canonical_small_order() -> Vec<(EdwardsPoint, [u8; 32])> {
    let mut candidates = Vec::new();
    for low in 0xed..=0xff {
        for top in [0x7f, 0xff] {
            let mut encoding = [0xff; 32];
            (encoding[0], encoding[31]) = (low, top);
            candidates.push(encoding);
        }
    }
    let mut one = [0; 32];
    (one[0], one[31]) = (1, 0x80);
    let mut minus_one = [0xff; 32];
    minus_one[0] = 0xec;
    candidates.extend([one, minus_one]);
    candidates
        .into_iter()
        .filter_map(|encoding| Some((CompressedEdwardsY(encoding).decompress()?, encoding)))
        .filter(|(point, encoding)| point.is_small_order() && point.compress().to_bytes() != *encoding)
        .collect()
}

/// Draws scalars, torsion points and messages from a seed.
pub(crate) struct Forger {
    seed: u64,
    drawn: u64,
}

/// What a signature is made of. `A = a·B + key_torsion`, `R = r·B + nonce_torsion`, each written as
/// given where an encoding is, and `S = r + k·a`.
struct Parts {
    class: &'static str,
    a: Scalar,
    r: Scalar,
    key_torsion: EdwardsPoint,
    nonce_torsion: EdwardsPoint,
    key_encoding: Option<[u8; 32]>,
    nonce_encoding: Option<[u8; 32]>,
}

impl Forger {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    /// At least one sample of every class, most classes with every torsion point.
    pub(crate) fn every_class(&mut self) -> Vec<Sample> {
        let mut samples = Vec::new();
        for (order, torsion) in torsion_points().into_iter().enumerate() {
            samples.extend(self.with_torsion(torsion));
            if order == 0 {
                continue;
            }
            let twisted = self.parts("mixed-order A and R, other torsion").twisted(torsion, -torsion);
            samples.push(self.sign(twisted));
        }
        for (point, encoding) in non_canonical_small_order() {
            samples.extend(self.with_encoding(point, encoding));
        }
        for multiple in [1, 2, 7, 14] {
            samples.push(self.with_larger_s(multiple));
        }
        samples.push(self.with_huge_s());
        samples.push(self.hashed_over_another_encoding());
        samples.push(self.off_the_curve());
        samples
    }

    /// A valid signature whose key and nonce have random small-order components.
    pub(crate) fn random_mixed_order(&mut self) -> Sample {
        let (key, nonce) = (self.torsion(), self.torsion());
        let parts = self.parts("random mixed order").twisted(key, nonce);
        self.sign(parts)
    }

    pub(crate) fn random_mixed_order_key(&mut self) -> PublicKey {
        let parts = self.parts("key").twisted(EIGHT_TORSION[1], EIGHT_TORSION[0]);
        self.sign(parts).key
    }

    fn with_torsion(&mut self, torsion: EdwardsPoint) -> Vec<Sample> {
        let none = EIGHT_TORSION[0];
        let mut small_a = self.parts("small-order A").twisted(torsion, none);
        small_a.a = Scalar::ZERO;
        let mut small_r = self.parts("small-order R").twisted(none, torsion);
        small_r.r = Scalar::ZERO;
        let mut small_both = self.parts("small-order A and R, S = 0").twisted(torsion, torsion);
        (small_both.a, small_both.r) = (Scalar::ZERO, Scalar::ZERO);
        let mut small_a_mixed_r = self.parts("small A, mixed R").twisted(torsion, torsion);
        small_a_mixed_r.a = Scalar::ZERO;
        let mut mixed_a_small_r = self.parts("mixed A, small R").twisted(torsion, torsion);
        mixed_a_small_r.r = Scalar::ZERO;
        let mixed_a = self.parts("mixed-order A").twisted(torsion, none);
        let mixed_r = self.parts("mixed-order R").twisted(none, torsion);
        let mixed_both = self.parts("mixed-order A and R").twisted(torsion, torsion);
        [small_a, small_r, small_both, small_a_mixed_r, mixed_a_small_r, mixed_a, mixed_r, mixed_both]
            .into_iter()
            .flat_map(|parts| {
                let sample = self.sign(parts);
                [self.with_wrong_s(&sample), sample]
            })
            .collect()
    }

    fn with_encoding(&mut self, point: EdwardsPoint, encoding: [u8; 32]) -> Vec<Sample> {
        let none = EIGHT_TORSION[0];
        let mut as_key = self.parts("non-canonical A").twisted(point, none);
        (as_key.a, as_key.key_encoding) = (Scalar::ZERO, Some(encoding));
        let mut as_nonce = self.parts("non-canonical R").twisted(none, point);
        (as_nonce.r, as_nonce.nonce_encoding) = (Scalar::ZERO, Some(encoding));
        let mut as_both = self.parts("non-canonical A and R").twisted(point, point);
        (as_both.a, as_both.key_encoding) = (Scalar::ZERO, Some(encoding));
        (as_both.r, as_both.nonce_encoding) = (Scalar::ZERO, Some(encoding));
        [as_key, as_nonce, as_both].into_iter().map(|parts| self.sign(parts)).collect()
    }

    /// `S` with a multiple of the group's order added: the same number to a careless verifier.
    fn with_larger_s(&mut self, multiple: u8) -> Sample {
        let parts = self.parts("S >= L");
        let mut sample = self.sign(parts);
        let mut bytes = *sample.signature.as_bytes();
        for _ in 0..multiple {
            add_order(&mut bytes[32..]);
        }
        (sample.signature, sample.accepted) = (Signature::from_bytes(bytes), false);
        sample
    }

    fn with_huge_s(&mut self) -> Sample {
        let parts = self.parts("S >> L");
        let mut sample = self.sign(parts);
        let mut bytes = *sample.signature.as_bytes();
        bytes[63] |= 0xe0;
        (sample.signature, sample.accepted) = (Signature::from_bytes(bytes), false);
        sample
    }

    /// An honest signature with one added to `S`.
    fn with_wrong_s(&mut self, sample: &Sample) -> Sample {
        let mut bytes = *sample.signature.as_bytes();
        let mut s = [0; 32];
        s.copy_from_slice(&bytes[32..]);
        let wrong = Scalar::from_bytes_mod_order(s) + Scalar::ONE;
        bytes[32..].copy_from_slice(wrong.as_bytes());
        Sample {
            class: "wrong S",
            key: sample.key,
            message: sample.message.clone(),
            signature: Signature::from_bytes(bytes),
            accepted: false,
        }
    }

    /// `R` given in a non-canonical encoding, `k` computed over the canonical one.
    fn hashed_over_another_encoding(&mut self) -> Sample {
        let (point, encoding) = non_canonical_small_order()[0];
        let mut parts = self.parts("R hashed in another encoding").twisted(EIGHT_TORSION[0], point);
        parts.r = Scalar::ZERO;
        let mut sample = self.sign(parts);
        let mut bytes = *sample.signature.as_bytes();
        bytes[..32].copy_from_slice(&encoding);
        (sample.signature, sample.accepted) = (Signature::from_bytes(bytes), false);
        sample
    }

    fn off_the_curve(&mut self) -> Sample {
        let parts = self.parts("A not on the curve");
        let mut sample = self.sign(parts);
        (sample.key, sample.accepted) = (PublicKey::from_bytes([2; 32]), false);
        sample
    }

    fn sign(&mut self, parts: Parts) -> Sample {
        let message = self.draw().to_vec();
        let key = parts
            .key_encoding
            .unwrap_or_else(|| (ED25519_BASEPOINT_TABLE * &parts.a + parts.key_torsion).compress().to_bytes());
        let nonce = parts
            .nonce_encoding
            .unwrap_or_else(|| (ED25519_BASEPOINT_TABLE * &parts.r + parts.nonce_torsion).compress().to_bytes());
        let hash = Sha512::new().chain_update(nonce).chain_update(key).chain_update(&message);
        let k = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&nonce);
        bytes[32..].copy_from_slice((parts.r + k * parts.a).as_bytes());
        let (key, signature) = (PublicKey::from_bytes(key), Signature::from_bytes(bytes));
        Sample { class: parts.class, key, message, signature, accepted: true }
    }

    fn parts(&mut self, class: &'static str) -> Parts {
        let none = EIGHT_TORSION[0];
        Parts {
            class,
            a: Scalar::from_bytes_mod_order(self.draw()),
            r: Scalar::from_bytes_mod_order(self.draw()),
            key_torsion: none,
            nonce_torsion: none,
            key_encoding: None,
            nonce_encoding: None,
        }
    }

    fn torsion(&mut self) -> EdwardsPoint {
        EIGHT_TORSION[usize::from(self.draw()[0] % 8)]
    }

    fn draw(&mut self) -> [u8; 32] {
        self.drawn += 1;
        *sha256(&[&self.seed.to_be_bytes(), &self.drawn.to_be_bytes()]).as_bytes()
    }
}

impl Parts {
    fn twisted(mut self, key: EdwardsPoint, nonce: EdwardsPoint) -> Self {
        (self.key_torsion, self.nonce_torsion) = (key, nonce);
        self
    }
}

/// Adds the order `L` of the prime-order group to a little-endian number.
fn add_order(number: &mut [u8]) {
    let minus_one = (-Scalar::ONE).to_bytes();
    let mut carry = 1;
    for (digit, order) in number.iter_mut().zip(minus_one) {
        let sum = u16::from(*digit) + u16::from(order) + carry;
        *digit = (sum & 0xff) as u8;
        carry = sum >> 8;
    }
    assert_eq!(carry, 0, "the sum must fit");
}
