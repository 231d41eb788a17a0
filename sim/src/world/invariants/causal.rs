//! Causal order (data-model §1, Parents): an operation that is applied executes after its parents.

use std::collections::BTreeMap;

use quorate_types::ids::{OperationId, Sequence};

use super::{Fact, Invariant, Scene};

#[derive(Debug, Default)]
pub(super) struct Causal {
    parents: BTreeMap<OperationId, Vec<OperationId>>,
    executed: BTreeMap<OperationId, (Sequence, u32)>,
}

impl Invariant for Causal {
    fn name(&self) -> (&'static str, &'static str) {
        ("parents execute before their children", "data-model §1")
    }

    fn on_fact(&mut self, _: &Scene, fact: &Fact<'_>) -> Result<(), Vec<String>> {
        match fact {
            Fact::Invoked(operation) => {
                self.parents.insert(operation.id(), operation.content().parents.clone());
                Ok(())
            }
            Fact::Executed { receipts, .. } => {
                for receipt in *receipts {
                    self.executed.insert(receipt.operation, (receipt.sequence, receipt.index));
                }
                for receipt in receipts.iter().filter(|receipt| receipt.is_applied()) {
                    let place = (receipt.sequence, receipt.index);
                    for parent in self.parents.get(&receipt.operation).into_iter().flatten() {
                        let before = self.executed.get(parent).copied();
                        if before.is_none_or(|before| before >= place) {
                            return Err(vec![
                                format!("operation {} was applied at {place:?}", receipt.operation),
                                format!("its parent {parent} executed at {before:?}"),
                            ]);
                        }
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
