//! The simulators of Quorate: the abstract model of its protocol.

pub mod model;
