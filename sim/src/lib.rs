//! quorate-sim

pub mod model;
pub mod world;
