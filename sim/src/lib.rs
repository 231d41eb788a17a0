//! The simulator: the protocol without a network, a disk or a clock.
//!
//! | module | what |
//! |---|---|
//! | [`model`] | the abstract model of the rules, explored exhaustively |
//! | [`world`] | n replicas on one thread under a virtual clock |
//! | [`byzantine`] | hostile validators, written once for every level |
//! | [`dice`] | one seed, split into independent streams |

pub mod byzantine;
pub mod dice;
pub mod model;
pub mod world;
