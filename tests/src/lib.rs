//! What the tests on real processes share: separate validators on TLS and RocksDB, started, killed, stopped
//! and cut off as an operator, a crash or a bad network would.
//!
//! * [`cluster`], [`validator`]: a cluster in a temporary directory; its processes end with the test, whatever
//!   happens to it. How many clusters run at once is bounded over all test processes of a user ([`slots`]), so
//!   that neither `cargo test` nor another runner needs a flag.
//! * [`workload`], [`check`]: clients that keep every verified receipt, and the two questions that every test
//!   of faults ends with: was anything acknowledged lost, and is the state the same everywhere?
//! * [`proxy`]: a network that stalls, delays and cuts, by seed.
//! * [`raw`], [`rogue`]: calls and links that no well-behaved client or validator makes.
//! * [`wait`]: waiting for what must come, with a deadline. Nothing here sleeps and hopes.
//! * [`chain`]: execution without a cluster, for measuring the state.
//! * [`script`]: random writes, for comparing the simulated store with RocksDB.
//!
//! With `QUORATE_TESTS_KEEP=1` in the environment the directories stay, with all logs.

pub mod chain;
pub mod check;
pub mod cluster;
pub mod metrics;
pub mod proxy;
pub mod raw;
pub mod rogue;
pub mod script;
pub mod slots;
pub mod validator;
pub mod wait;
pub mod workload;

pub use crate::cluster::{Cluster, Plan};
pub use crate::workload::Workload;
