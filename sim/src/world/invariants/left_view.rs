//! Once a view change for a view has left a validator, it signs nothing in the views below
//! (protocol §5.1). Sending again what was signed before is no signing.

use std::collections::{BTreeMap, BTreeSet};

use quorate_types::ids::{ValidatorIndex, View};

use super::{Fact, Invariant, Scene};
use crate::world::statement::{Statement, statements_of};

#[derive(Debug, Default)]
pub(super) struct LeftView {
    /// The highest view for which a view change left each validator.
    left_for: BTreeMap<u16, View>,
    signed: BTreeMap<u16, BTreeSet<[u8; 16]>>,
}

impl Invariant for LeftView {
    fn name(&self) -> (&'static str, &'static str) {
        ("nothing is signed in a view that was left", "protocol §5.1")
    }

    fn on_fact(&mut self, _: &Scene, fact: &Fact<'_>) -> Result<(), Vec<String>> {
        match fact {
            Fact::Signed { by, statement, .. } => {
                let view = match statement {
                    Statement::Vote(signed) => signed.statement.view,
                    Statement::Complaint(signed) => signed.statement.view,
                    Statement::NewView(signed) => signed.statement.view,
                    Statement::ViewChange(_) | Statement::Bundle(_) | Statement::Execution(_) => return Ok(()),
                };
                let is_new = self.signed.entry(*by).or_default().insert(short(statement.signature()));
                let left_for = self.left_for.get(by).copied().unwrap_or_default();
                if is_new && view < left_for {
                    return Err(vec![
                        format!("validator {by} sent a view change for view {left_for}"),
                        format!("validator {by} then signed a {}", statement.describe()),
                    ]);
                }
                Ok(())
            }
            Fact::Leaves { by, message } => {
                for statement in statements_of(message, ValidatorIndex(*by)) {
                    if let Statement::ViewChange(signed) = statement {
                        let left_for = self.left_for.entry(*by).or_default();
                        *left_for = signed.statement.new_view.max(*left_for);
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Enough of a signature to know it again.
pub(super) fn short(signature: &[u8; 64]) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&signature[..16]);
    short
}
