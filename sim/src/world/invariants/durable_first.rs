//! Persist before send (protocol §7.1): when a signed statement leaves, its record, byte for byte, is on the
//! disk.
//!
//! The check doesn't trust the shell's or the replica's word: it looks for the signature itself in the
//! batches that were synced.

use std::collections::{BTreeMap, BTreeSet};

use quorate_storage::{Change, WriteBatch};
use quorate_types::ids::ValidatorIndex;

use super::left_view::short;
use super::{Fact, Invariant, Scene};
use crate::world::statement::statements_of;

#[derive(Debug, Default)]
pub(super) struct DurableFirst {
    /// Signatures made and not yet seen in a synced batch; also over a crash, which a batch may survive.
    open: BTreeMap<u16, BTreeSet<[u8; 16]>>,
    durable: BTreeMap<u16, BTreeSet<[u8; 16]>>,
}

impl Invariant for DurableFirst {
    fn name(&self) -> (&'static str, &'static str) {
        ("nothing signed leaves before its record is durable", "protocol §7.1")
    }

    fn on_fact(&mut self, _: &Scene, fact: &Fact<'_>) -> Result<(), Vec<String>> {
        match fact {
            Fact::Signed { by, statement, .. } => {
                let signature = short(statement.signature());
                if !self.durable.entry(*by).or_default().contains(&signature) {
                    self.open.entry(*by).or_default().insert(signature);
                }
            }
            Fact::Durable { by, records } => {
                let open = self.open.entry(*by).or_default();
                let found: Vec<_> = open.iter().copied().filter(|signature| contains(records, signature)).collect();
                for signature in found {
                    open.remove(&signature);
                    self.durable.entry(*by).or_default().insert(signature);
                }
            }
            Fact::Leaves { by, message } => {
                for statement in statements_of(message, ValidatorIndex(*by)) {
                    let signature = short(statement.signature());
                    if !self.durable.get(by).is_some_and(|durable| durable.contains(&signature)) {
                        return Err(vec![
                            format!("a {} leaves validator {by} in a {}", statement.describe(), message.kind()),
                            "no synced batch holds its signature".to_owned(),
                        ]);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn contains(records: &WriteBatch, signature: &[u8; 16]) -> bool {
    records.changes().any(|change| match change {
        Change::Put { value, .. } => find(value, signature),
        Change::Delete { .. } => false,
    })
}

fn find(value: &[u8], wanted: &[u8; 16]) -> bool {
    value.len() >= wanted.len()
        && value.windows(wanted.len()).any(|window| window[0] == wanted[0] && window == wanted.as_slice())
}
