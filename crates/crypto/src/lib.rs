//! Digests, keys and signatures.
//!
//! Everything in Quorate that hashes, signs or verifies does it here, so that there is one place to
//! audit and one rule by which a signature is accepted:
//!
//! * A signature is accepted by [ZIP-215](https://zips.z.cash/zip-0215): any encoding of the points
//!   `A` and `R`, a canonical `S`, and the equation multiplied by the cofactor. A batch checks the
//!   same equation, so [`Scheme::verify`] and [`Scheme::verify_batch`] never disagree. The ordinary
//!   rules of RFC 8032 do disagree with their batches on signatures with a small-order component:
//!   with those, any client could split correct validators.
//! * The verdict of a batch is a function of its items alone; no randomness is drawn.
//! * A key that enters a validator set passes [`admit_validator_key`] first.
//!
//! What is not here: what the signed bytes mean, which is for the crate `types` and its domain tags.
//!
//! [`Scheme::StandIn`] is a keyed hash for simulations, where a real signature would cost more than
//! all the rest. It takes a [`StandInToken`], which only the package `quorate-determinism` can make;
//! a test shows that the released program does not contain that package.

mod admission;
mod batch;
mod digest;
mod hex;
mod key;
mod scheme;
mod secret;
mod stand_in;

pub use admission::{WeakKey, admit_validator_key};
pub use digest::{Digest, Hasher, sha256};
pub use hex::ParseHexError;
pub use key::{PublicKey, Signature};
pub use scheme::{Item, Scheme};
pub use secret::SecretKey;
pub use stand_in::StandInToken;
