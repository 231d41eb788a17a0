//! The shell of one validator: everything that touches the world.
//!
//! A plain function decides (`quorate_replica`), this crate carries events in and actions out:
//!
//! * [`config`], [`guard_file`]: what the operator's files say, and the second record of what was
//!   signed.
//! * [`quorum_watch`], [`metrics`], [`telemetry`]: what the operator and the clients are told.
//! * [`recorder`]: what a replica was told, for replays.
//! * [`Environment`]: sockets, clocks, threads and [`tap`], all swapped by simulations.
//!
//! Generic over the store and the connector; no rule about votes is here.

pub mod clock;
pub mod config;
mod driver;
pub mod dump;
mod error;
mod executor;
pub mod guard_file;
pub mod hub;
mod intake;
mod ledger;
pub mod metrics;
mod node;
mod peers;
mod persist;
mod pruner;
pub mod quorum_watch;
mod reads;
pub mod recorder;
mod refusals;
mod services;
mod supervise;
pub mod tap;
pub mod telemetry;
mod threads;

/// The way to a node's admin socket.
pub use quorate_transport::channel::{ChannelTiming, unix_channel};
/// Key files, for whoever makes a cluster.
pub use quorate_transport::key_file as keys;
/// The authority that signs the certificates for clients, for whoever makes a cluster.
pub use quorate_transport::tls;
pub mod verifier;

pub use self::driver::Mode;
pub use self::error::NodeError;
pub use self::node::{
    ClientTls, Ended, Environment, Listeners, Node, OpenStore, Plan, Residence, Secrets, run, signals,
};
pub use self::threads::Threads;
