//! The replicated state machine: executes ordered operations on entities (data-model §§1–4).
//!
//! [`execute`] takes the state before a sequence and what the sequence orders, and returns what to write,
//! receipts and answers; [`tree`] keeps the tree over the state, whose root validators sign. Nothing but
//! that tree's upper part is held in memory between sequences: the state lives in a store and may be far
//! larger. [`read`] reads the state for those who ask;
//! [`restore`] takes over one that another validator made.
//!
//! What holds:
//! * The result follows from state, charter and block alone. There is no clock and no
//!   randomness, and every collection has an order.
//! * An operation gets at most one receipt, ever; a rejected one changes nothing but its author's nonce
//!   window.
//! * The sum over a kind's accounts is its supply, which only `mint` and `burn` change.
//! * The work of a sequence is bounded by its operations and parameters: entities touched in bytes,
//!   ancestors searched, entries pruned.
//!
//! What is not here: how the order was reached, and whether an operation's signature holds (checked before). The
//! signatures in evidence are checked here: what it proves is part of the state.

mod block;
mod document;
mod draft;
mod entity;
mod epochs;
mod execute;
mod guard;
mod index;
mod keys;
mod kinds;
mod mutation;
mod nonce;
mod overlay;
pub mod read;
pub mod restore;
mod schedule;
mod system;
pub mod tree;
mod waiting;

pub use block::{Block, Charter, EntityChange, Executed, Ordered};
pub use entity::{Content, Entity, Head, Header, Position};
pub use epochs::{Before, CheckpointRoot, OpenProposal, Pending};
pub use execute::execute;
pub use index::Indexed;
pub use waiting::Occupancy;
