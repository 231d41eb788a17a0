//! The sum over all accounts changes only by what is minted and burned (data-model §2), judged from the
//! receipts and the operations alone.

use std::collections::BTreeMap;

use quorate_types::ids::{OperationId, Sequence};
use quorate_types::operation::{Change, Operation};

use super::{Fact, Invariant, Scene};

/// Operations as a second, naive executor sees them: only what moves balances and counters.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    effects: BTreeMap<OperationId, Vec<(String, i128)>>,
    balances: BTreeMap<String, i128>,
    next: Sequence,
}

impl Invariant for Accounts {
    fn name(&self) -> (&'static str, &'static str) {
        ("balances never fall below zero", "data-model §2")
    }

    fn on_fact(&mut self, _: &Scene, fact: &Fact<'_>) -> Result<(), Vec<String>> {
        match fact {
            Fact::Invoked(operation) => {
                self.effects.insert(operation.id(), effects(operation));
                Ok(())
            }
            // Each sequence once, at its first execution anywhere.
            Fact::Executed { receipts, executed, .. } if executed.execution.sequence >= self.next => {
                self.next = executed.execution.sequence.next();
                for receipt in receipts.iter().filter(|receipt| receipt.is_applied()) {
                    for (account, change) in self.effects.get(&receipt.operation).into_iter().flatten() {
                        let balance = self.balances.entry(account.clone()).or_default();
                        *balance += change;
                        if *balance < 0 {
                            return Err(vec![
                                format!("operation {} was applied", receipt.operation),
                                format!("and leaves account {account} at {balance}"),
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

fn effects(operation: &Operation) -> Vec<(String, i128)> {
    let mut effects = Vec::new();
    for mutation in &operation.content().mutations {
        let id = mutation.entity.id.clone();
        match &mutation.change {
            Change::Mint { amount } => effects.push((id, i128::from(*amount))),
            Change::Burn { amount } => effects.push((id, -i128::from(*amount))),
            Change::Transfer { to, amount } => {
                effects.push((id, -i128::from(*amount)));
                effects.push((to.clone(), i128::from(*amount)));
            }
            _ => {}
        }
    }
    effects
}
