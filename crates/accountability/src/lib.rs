//! Who broke the rules, and how it is known (docs/accountability.md).
//!
//! * [`Watch`] finds evidence in the messages that one validator sees.
//! * [`Ledger`] is what is kept of it: each place once, bounded per signer and kind.
//! * [`mod@file`]: evidence as a file, judged offline.
//! * [`forensics`]: who is guilty of two certified histories that contradict each other.
//!
//! What evidence is, and when it holds, stands in [`quorate_types::evidence`]: whoever verifies needs nothing else.
//! What can't be proven is [`suspicion`]; what follows from evidence comes later.
//!
//! Depends on no consensus, lanes or clock.

pub mod file;
pub mod forensics;
mod ledger;
pub mod suspicion;
mod watch;

pub use ledger::{Ledger, MAX_AUTHORS, MAX_KEPT_PER_KIND, Noted};
pub use watch::Watch;
