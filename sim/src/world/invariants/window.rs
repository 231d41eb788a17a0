//! Votes only for sequences in the window above the stable checkpoint, which never goes back
//! (protocol §6.1).

use std::collections::BTreeMap;

use quorate_types::ids::Sequence;

use super::{Fact, Invariant, Scene};
use crate::world::statement::Statement;

#[derive(Debug, Default)]
pub(super) struct Window {
    /// The stable checkpoint of each validator before its current turn.
    stable: BTreeMap<u16, Sequence>,
    seen: BTreeMap<u16, std::collections::BTreeSet<[u8; 16]>>,
}

impl Invariant for Window {
    fn name(&self) -> (&'static str, &'static str) {
        ("votes stay in the window", "protocol §6.1")
    }

    fn on_fact(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), Vec<String>> {
        match fact {
            Fact::Turn { by, before, after } => {
                self.stable.insert(*by, before.stable);
                if after.stable < before.stable {
                    return Err(vec![format!(
                        "the stable checkpoint of validator {by} went from {} to {}",
                        before.stable, after.stable
                    )]);
                }
                Ok(())
            }
            Fact::Signed { by, statement: statement @ Statement::Vote(vote), place } => {
                let is_new = self.seen.entry(*by).or_default().insert(super::left_view::short(statement.signature()));
                let low = self.stable.get(by).copied().unwrap_or_default();
                let high = place.stable.plus(u64::from(scene.context.parameters.window));
                let sequence = vote.statement.sequence;
                if is_new && (sequence <= low || sequence > high) {
                    return Err(vec![
                        format!("validator {by} signed a {}", statement.describe()),
                        format!("its window is above {low}, up to {high}"),
                    ]);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
