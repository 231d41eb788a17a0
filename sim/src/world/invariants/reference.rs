//! Receipts are what a second, naive executor says (protocol §10.6): it runs the operations of each sequence in
//! the order of their receipts on a map in memory, and knows only what the simulated clients do.

use std::collections::BTreeMap;

use quorate_types::ids::{OperationId, Sequence};
use quorate_types::operation::{Change, Condition, EntityId, Operation};
use quorate_types::receipt::{Outcome, Receipt, RejectionCode};

use super::{Fact, Invariant, Scene};

/// An entity that exists: its version, and its amount if it is a counter or an account.
type Entities = BTreeMap<EntityId, (u64, i128)>;

#[derive(Debug, Default)]
pub(super) struct Reference {
    operations: BTreeMap<OperationId, Operation>,
    entities: Entities,
    next: Sequence,
}

impl Reference {
    /// Executes one operation, or says why it is rejected.
    fn execute(&self, operation: &Operation) -> Result<(Entities, Vec<EntityId>), RejectionCode> {
        let content = operation.content();
        for guard in &content.guards {
            if let Condition::Version(version) = guard.condition
                && self.entities.get(&guard.entity).map(|entity| entity.0) != Some(version)
            {
                return Err(RejectionCode::GuardFailed);
            }
        }
        let mut after = self.entities.clone();
        let mut touched = Vec::new();
        for mutation in &content.mutations {
            touched.extend(mutate(&mut after, &mutation.entity, &mutation.change)?);
        }
        touched.sort();
        touched.dedup();
        for entity in &touched {
            if let Some((version, _)) = after.get_mut(entity) {
                *version += 1;
            }
        }
        Ok((after, touched))
    }

    fn check(&mut self, by: u16, receipt: &Receipt) -> Result<(), Vec<String>> {
        let Some(operation) = self.operations.get(&receipt.operation) else { return Ok(()) };
        let reference = self.execute(operation);
        let agrees = match (&receipt.outcome, &reference) {
            (Outcome::Applied, Ok((after, touched))) => {
                let versions = touched.iter().map(|entity| (entity, after.get(entity).map_or(0, |e| e.0)));
                versions.eq(receipt.versions.iter().map(|version| (&version.entity, version.version)))
            }
            (Outcome::Applied, Err(_)) => false,
            (Outcome::Rejected(rejection), reference) => match rejection.code {
                RejectionCode::GuardFailed
                | RejectionCode::NotFound
                | RejectionCode::AlreadyExists
                | RejectionCode::InsufficientFunds
                | RejectionCode::SameAccount => reference.as_ref().err() == Some(&rejection.code),
                // Time, parents and room are not the naive executor's business.
                _ => true,
            },
        };
        if !agrees {
            let says = reference.map(|(after, touched)| {
                touched.into_iter().map(|entity| (after.get(&entity).copied(), entity)).collect::<Vec<_>>()
            });
            return Err(vec![format!("validator {by} gives {receipt:?}"), format!("a naive execution gives {says:?}")]);
        }
        if let (Outcome::Applied, Ok((after, _))) = (&receipt.outcome, reference) {
            self.entities = after;
        }
        Ok(())
    }
}

/// What a mutation does, and to which entities.
fn mutate(entities: &mut Entities, entity: &EntityId, change: &Change) -> Result<Vec<EntityId>, RejectionCode> {
    let mut touched = vec![entity.clone()];
    match change {
        Change::Create { .. } => {
            if entities.contains_key(entity) {
                return Err(RejectionCode::AlreadyExists);
            }
            entities.insert(entity.clone(), (0, 0));
        }
        Change::Put { .. } => {
            entities.entry(entity.clone()).or_default();
        }
        Change::Add { by } => pay(entities, entity, i128::from(*by))?,
        Change::Mint { amount } => pay(entities, entity, i128::from(*amount))?,
        Change::Transfer { to, amount } => {
            let to = EntityId::new(&entity.kind, to);
            if to == *entity {
                return Err(RejectionCode::SameAccount);
            }
            let (_, balance) = entities.get(entity).ok_or(RejectionCode::NotFound)?;
            if *balance < i128::from(*amount) {
                return Err(RejectionCode::InsufficientFunds);
            }
            pay(entities, entity, -i128::from(*amount))?;
            pay(entities, &to, i128::from(*amount))?;
            touched.push(to);
        }
        // The clients do nothing else.
        _ => {}
    }
    Ok(touched)
}

fn pay(entities: &mut Entities, entity: &EntityId, amount: i128) -> Result<(), RejectionCode> {
    let (_, balance) = entities.get_mut(entity).ok_or(RejectionCode::NotFound)?;
    *balance += amount;
    Ok(())
}

impl Invariant for Reference {
    fn name(&self) -> (&'static str, &'static str) {
        ("receipts equal a naive execution", "protocol §10.6")
    }

    fn on_fact(&mut self, _: &Scene, fact: &Fact<'_>) -> Result<(), Vec<String>> {
        match fact {
            Fact::Invoked(operation) => {
                self.operations.insert(operation.id(), (*operation).clone());
                Ok(())
            }
            // Each sequence once, at its first execution anywhere.
            Fact::Executed { by, receipts, executed, .. } if executed.execution.sequence >= self.next => {
                self.next = executed.execution.sequence.next();
                receipts.iter().try_for_each(|receipt| self.check(*by, receipt))
            }
            _ => Ok(()),
        }
    }
}
