//! Real nodes in one process, over loopback TCP, with stores in memory.

mod calls;
mod faults;
mod harness;
mod ordering;
mod watching;
