//! Proofs that convince whoever holds nothing but the genesis file (data-model §4).
//!
//! * [`ReceiptProof`]: what became of one operation.
//! * [`ReceiptVerifier`]: the same for many receipts, each certificate's signatures checked once.
//! * [`OrderProof`]: which proposals are committed at a stretch of sequences.
//! * [`StateProof`]: what an entity was after a sequence, or that it did not exist; [`sparse`] is the tree.
//! * [`range`]: that a stretch of the state's entries is whole (protocol §8.7).
//! * [`Proof`]: any of them, as it lies in a file.
//! * [`EpochChain`]: what leads from the genesis to later epochs, as a file; [`Checkpoint`] names what somebody trusts.
//!
//! A proof is data from a stranger until `verify` has returned something: [`VerifiedReceipt`],
//! [`VerifiedState`] and [`VerifiedOrder`] are made there alone, after every signature was checked under the one acceptance
//! rule of `quorate-crypto`. No I/O, no clock, nothing but `types` and `crypto`: small enough for any
//! verifier. [`EpochInfo`] follows the chain of checkpoint certificates over epochs.

mod chain;
mod checkpoint;
mod container;
mod epoch;
mod fault;
mod file;
mod order;
pub mod range;
mod receipt;
mod state;
mod verifier;

pub use quorate_types::{merkle, sparse};

pub use self::chain::EpochChain;
pub use self::checkpoint::{Checkpoint, NoCheckpoint};
pub use self::container::{Proof, Proven};
pub use self::epoch::EpochInfo;
pub use self::fault::{FormatFault, ProofFault};
pub use self::order::{OrderProof, VerifiedOrder};
pub use self::receipt::{ReceiptProof, VerifiedReceipt};
pub use self::state::{StateProof, VerifiedState};
pub use self::verifier::ReceiptVerifier;
