//! Replicas behind their one door, with stores in memory and a network that only orders: the smallest cluster
//! there is.

#[expect(clippy::unwrap_used, reason = "in a test's harness a panic is the report")]
mod support;

mod cluster;
mod epochs;
mod evidence;
mod inspect;
mod losses;
mod promises;
mod reading;
mod results;
#[expect(clippy::unwrap_used, reason = "in a test's helpers a panic is the report")]
mod standing;
#[expect(clippy::unwrap_used, reason = "in a test's helpers a panic is the report")]
mod transfer;
