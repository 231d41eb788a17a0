//! An acknowledged operation is never lost (protocol §7.1, §10): whatever crashes, a later execution of its
//! sequence gives the receipt that the client was told.

use std::collections::BTreeMap;

use quorate_types::ids::{OperationId, Sequence};
use quorate_types::receipt::Receipt;

use super::{Fact, Invariant, Scene};

#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    told: BTreeMap<Sequence, BTreeMap<OperationId, Receipt>>,
}

impl Invariant for Acknowledged {
    fn name(&self) -> (&'static str, &'static str) {
        ("an acknowledged operation is never lost", "protocol §7.1")
    }

    fn on_fact(&mut self, _: &Scene, fact: &Fact<'_>) -> Result<(), Vec<String>> {
        match fact {
            Fact::Acknowledged(receipt) => {
                let told = self.told.entry(receipt.sequence).or_default();
                told.insert(receipt.operation, (*receipt).clone());
                Ok(())
            }
            Fact::Executed { by, executed, receipts, .. } => {
                let Some(told) = self.told.get(&executed.execution.sequence) else { return Ok(()) };
                for (id, receipt) in told {
                    if receipts.iter().find(|found| found.operation == *id) != Some(receipt) {
                        return Err(vec![
                            format!("a client was told that {id} executed at sequence {}", receipt.sequence),
                            format!("validator {by} executes that sequence without it, or otherwise"),
                        ]);
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
