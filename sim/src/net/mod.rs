//! The *net* level: the real node with real TLS and gRPC over simulated sockets, under virtual time, on one
//! thread (simulation §1; docs/decisions/0009).
//!
//! A run is a function of its [`FaultPlan`](crate::world::FaultPlan), the same as the world's: [`run`] gives
//! the same report, event hash included, every time and in every process. What is real: `quorate-node`,
//! `quorate-transport`, the guard file, clients' calls, every signature. What stands in: sockets and their
//! links (turmoil), the disk under the store, the clocks.
//!
//! | file | what |
//! |---|---|
//! | `generate` | how a seed chooses a plan for this level |
//! | `wires`, `lines` | connections that are cut, and the state of the lines under them |
//! | `disk` | a store that tells what became durable |
//! | `sight`, `listener` | what is seen of all nodes: invariants, hash, story |
//! | `hostile` | Byzantine validators |
//! | `clients` | calls from outside |
//! | `machine`, `fleet`, `faults` | nodes on their hosts, and what happens to them |
//! | `panics` | a panic in any task fails the run |
//! | `command` | `quorate-sim net` |

mod clients;
pub mod command;
mod disk;
mod faults;
mod fleet;
mod generate;
mod hostile;
mod lines;
mod listener;
mod machine;
mod panics;
mod sight;
mod wires;

pub use fleet::run;
pub use generate::plan_of;
pub use hostile::Rogue;
