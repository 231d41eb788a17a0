//! Every operation executes at most once (protocol §10, Validity): one receipt in the whole history; and
//! only operations that a client signed.

use std::collections::{BTreeMap, BTreeSet};

use quorate_types::ids::{OperationId, Sequence};

use super::{Fact, Invariant, Scene};

#[derive(Debug, Default)]
pub(super) struct ExactlyOnce {
    invoked: BTreeSet<OperationId>,
    executed: BTreeMap<OperationId, (Sequence, u32)>,
}

impl Invariant for ExactlyOnce {
    fn name(&self) -> (&'static str, &'static str) {
        ("an operation executes at most once, and only if a client signed it", "protocol §10, Validity")
    }

    fn on_fact(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), Vec<String>> {
        match fact {
            Fact::Invoked(operation) => {
                self.invoked.insert(operation.id());
                Ok(())
            }
            Fact::Executed { by, receipts, .. } => receipts.iter().try_for_each(|receipt| {
                let place = (receipt.sequence, receipt.index);
                let id = receipt.operation;
                if !self.invoked.contains(&id) && !scene.own_words.contains(&id) {
                    return Err(vec![format!("validator {by} executed {id} at {place:?}, which no client signed")]);
                }
                let first = *self.executed.entry(id).or_insert(place);
                if first == place {
                    return Ok(());
                }
                Err(vec![
                    format!("operation {id} executed at {first:?}"),
                    format!("validator {by} executes it at {place:?}"),
                ])
            }),
            _ => Ok(()),
        }
    }
}
