//! The simulator: the protocol without a network, a disk or a clock.
//!
//! | module | what |
//! |---|---|
//! | [`model`] | the abstract model of the rules, explored exhaustively |
//! | [`world`] | n replicas on one thread under a virtual clock |
//! | [`net`] | real nodes over simulated sockets |
//! | [`flight`] | recordings of real nodes, stepped through |
//! | [`byzantine`] | hostile validators, written once for every level |
//! | [`scenario`] | runs described in TOML, with what they are expected to show |
//! | [`report`] | the picture of a run as one HTML file |
//! | [`cli`] | the command line |
//! | [`dice`] | one seed, split into independent streams |

pub mod byzantine;
pub mod cli;
pub mod dice;
#[cfg(feature = "net")]
pub mod flight;
pub mod model;
#[cfg(feature = "net")]
pub mod net;
pub mod report;
pub mod scenario;
pub mod world;
