//! The rules of the ordering core, clause by clause, through its one door: inputs in, effects out.
//!
//! Each file stands for a stretch of `docs/protocol.md`, each test for a sentence of it. Statements carry dummy
//! signatures: that they verify is checked before the core ever sees them.

#[expect(clippy::unwrap_used, reason = "in a test's harness a panic is the report")]
mod support;

mod anchor;
mod bounds;
mod committing;
mod delivering;
mod epochs;
mod far_views;
mod leaving;
mod new_view;
mod pace;
mod payload;
mod preparing;
mod proposing;
mod restart;
mod status;
mod timers;
mod votes;
mod waiting;
mod window;
