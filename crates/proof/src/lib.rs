//! Proofs that convince whoever holds nothing but the genesis file (data-model §4).
//!
//! * [`ReceiptProof`]: what became of one operation.
//! * [`ReceiptVerifier`]: the same for many receipts, each certificate's signatures checked once.
//! * [`OrderProof`]: which proposals are committed at a stretch of sequences.
//!
//! A proof is data from a stranger until `verify` has returned something: [`VerifiedReceipt`] and
//! [`VerifiedOrder`] are made there alone, after every signature was checked under the one acceptance
//! rule of `quorate-crypto`. No I/O, no clock, nothing but `types` and `crypto`: small enough for any
//! verifier. State proofs and the chain of checkpoint certificates over epochs aren't here yet.

mod epoch;
mod fault;
mod file;
mod order;
mod receipt;
mod verifier;

pub use quorate_types::merkle;

pub use self::epoch::EpochInfo;
pub use self::fault::{FormatFault, ProofFault};
pub use self::order::{OrderProof, VerifiedOrder};
pub use self::receipt::{ReceiptProof, VerifiedReceipt};
pub use self::verifier::ReceiptVerifier;
