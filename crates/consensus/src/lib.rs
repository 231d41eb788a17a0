//! The ordering core: chained PBFT as a pure state machine.
//!
//! Specified in `docs/protocol.md`; this is the map from its clauses to the files here.
//!
//! | clause | what | file |
//! |---|---|---|
//! | §3.1 | when and what the primary proposes | `proposing` |
//! | §3.2 – §3.4 | prepare, commit, deliver | `ordering` |
//! | §3 | one vote per slot, certificates from votes | `votes` |
//! | §4 | timers, complaints, self-doubt | `timers`, `timeouts`, `fairness`, `pace`, `complaints` |
//! | §5 | leaving, new views, anchors | `leaving` (the anchor rule itself: `quorate_types::rules`) |
//! | §6 | the window | `core` |
//! | §7.1 | starting from records | `recovered` |
//! | §9 | reports and retransmission | `retransmit`, `peers` |
//! | accountability §6 | what was seen of others | `conduct` |
//!
//! The contract with the caller:
//!
//! * One door: [`Core::step`]. Time comes in as an argument, statements go out unsigned as [`Effect`]s; the
//!   caller signs them, records them, and hands them back as [`Input::Own`] before the next input.
//! * All `Save…` effects of a step, and the records of what was signed, are durable before anything signed
//!   in that step leaves (protocol §7.1). A failed save stops the caller.
//! * Inputs have passed the door of `quorate_types::verified`. What a peer can choose is never asserted on.
//! * The core knows neither operations nor lanes' contents: it asks whether a payload is held and valid
//!   ([`Effect::CheckPayload`]) and is told later. Lack of data holds a vote back; it never rejects.

mod chain;
mod complaints;
mod conduct;
mod config;
mod core;
mod effect;
mod fairness;
mod leaving;
mod ordering;
mod pace;
mod peers;
mod proposing;
mod recovered;
mod retransmit;
mod timeouts;
mod timers;
mod votes;

pub use crate::conduct::{Attendance, LeftSlow};
pub use crate::config::{Config, Link, Now};
pub use crate::core::{Core, Held};
pub use crate::effect::{Cause, CoreNotice, Effect, Input, Own};
pub use crate::fairness::{LaneDemand, LaneWaits};
pub use crate::pace::Slowness;
pub use crate::peers::{Peer, Turns};
pub use crate::proposing::Slot;
pub use crate::recovered::Recovered;
