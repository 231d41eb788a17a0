//! Real nodes in one process, over loopback TCP, with stores in memory.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod calls;
mod epochs;
mod faults;
mod harness;
mod listeners;
mod ordering;
mod reads;
mod recording;
mod transfer;
mod watching;
