//! What is kept of validators that contradict themselves.
//!
//! This version keeps both messages of each contradiction, once per offender, kind and place, bounded per
//! offender, and counts the rest. Transferable evidence, suspicion and what follows from them are specified in
//! `docs/accountability.md` and come later; the [`Ledger`] is where they will look.
//!
//! Depends on no consensus, lanes or clock: whoever verifies needs nothing else.

mod ledger;

pub use ledger::{Ledger, MAX_KEPT_PER_OFFENDER, Noted};
