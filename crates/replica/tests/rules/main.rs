//! Replicas behind their one door, with stores in memory and a network that only orders: the smallest cluster
//! there is.

mod support;

mod cluster;
mod results;
mod standing;
