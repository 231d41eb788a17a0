//! A validator that lost its store signs nothing that the protocol counts (protocol §7.4). What it signed
//! before may come back to it, and it may pass that on.

use std::collections::{BTreeMap, BTreeSet};

use quorate_types::ids::ValidatorIndex;

use super::left_view::short;
use super::{Fact, Invariant, Scene};
use crate::world::statement::statements_of;

#[derive(Debug, Default)]
pub(super) struct LostStore {
    /// What each validator had said before.
    said: BTreeMap<u16, BTreeSet<[u8; 16]>>,
}

impl Invariant for LostStore {
    fn name(&self) -> (&'static str, &'static str) {
        ("nothing is signed after a lost store", "protocol §7.4")
    }

    fn on_fact(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), Vec<String>> {
        let Fact::Leaves { by, message } = fact else { return Ok(()) };
        let said = self.said.entry(*by).or_default();
        for statement in statements_of(message, ValidatorIndex(*by)) {
            let signature = short(statement.signature());
            // It signs again in later epochs, in which its lost self can't have signed anything.
            let is_later = scene.lost_in.get(by).is_none_or(|lost| statement.epoch() > *lost);
            if !scene.lost.contains(by) || is_later {
                said.insert(signature);
            } else if !said.contains(&signature) {
                return Err(vec![
                    format!("validator {by} lost its store"),
                    format!("and sends a new {} in a {}", statement.describe(), message.kind()),
                ]);
            }
        }
        Ok(())
    }
}
