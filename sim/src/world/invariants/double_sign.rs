//! No double sign (protocol §10): whatever leaves a correct validator, over all restarts, never contradicts
//! what left it before.

use std::collections::BTreeMap;

use quorate_types::codec::Canonical;
use quorate_types::ids::ValidatorIndex;
use quorate_types::vote::Vote;

use super::{Fact, Invariant, Scene};
use crate::world::statement::{Statement, statements_of};

/// What may be said once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Vote(u64, u64, u8),
    Complaint(u64, u64),
    ViewChange(u64),
    NewView(u64),
    Bundle(u64),
    Execution(u64),
}

#[derive(Debug, Default)]
pub(super) struct DoubleSign {
    said: BTreeMap<(u16, Slot), Vec<u8>>,
}

impl Invariant for DoubleSign {
    fn name(&self) -> (&'static str, &'static str) {
        ("no double sign, also across restarts", "protocol §10, No double sign")
    }

    fn on_fact(&mut self, _: &Scene, fact: &Fact<'_>) -> Result<(), Vec<String>> {
        let Fact::Leaves { by, message } = fact else { return Ok(()) };
        for statement in statements_of(message, ValidatorIndex(*by)) {
            let (slot, bytes) = slot(&statement);
            let first = self.said.entry((*by, slot)).or_insert_with(|| bytes.clone());
            if *first != bytes {
                return Err(vec![
                    format!(
                        "validator {by} said {slot:?}: {} bytes, {:02x?}",
                        first.len(),
                        &first[..first.len().min(80)]
                    ),
                    format!("validator {by} now says {}: {:02x?}", statement.describe(), &bytes[..bytes.len().min(80)]),
                ]);
            }
        }
        Ok(())
    }
}

/// The slot of a statement, and its content.
fn slot(statement: &Statement<'_>) -> (Slot, Vec<u8>) {
    match statement {
        Statement::Vote(signed) => {
            let Vote { view, sequence, phase, .. } = signed.statement;
            (Slot::Vote(view.0, sequence.0, phase as u8), signed.statement.to_bytes())
        }
        Statement::Complaint(signed) => {
            (Slot::Complaint(signed.statement.view.0, signed.statement.time.0), signed.statement.to_bytes())
        }
        Statement::ViewChange(signed) => (Slot::ViewChange(signed.statement.new_view.0), signed.statement.to_bytes()),
        Statement::NewView(signed) => (Slot::NewView(signed.statement.view.0), signed.statement.to_bytes()),
        Statement::Bundle(signed) => (Slot::Bundle(signed.statement.number.0), signed.statement.to_bytes()),
        Statement::Execution(signed) => {
            (Slot::Execution(signed.statement.execution.sequence.0), signed.statement.to_bytes())
        }
    }
}
