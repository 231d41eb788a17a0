//! A validator's view never decreases, also across restarts (protocol §5.1, §7.1).

use std::collections::BTreeMap;

use quorate_types::ids::{ValidatorIndex, View};

use super::{Fact, Invariant, Scene};
use crate::world::statement::{Statement, statements_of};

#[derive(Debug, Default)]
pub(super) struct ViewMonotone {
    /// The highest view of each validator that something which left it, or its own report since the last
    /// start, shows.
    shown: BTreeMap<u16, View>,
    reported: BTreeMap<u16, View>,
}

impl Invariant for ViewMonotone {
    fn name(&self) -> (&'static str, &'static str) {
        ("views never decrease", "protocol §5.1")
    }

    fn on_fact(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), Vec<String>> {
        match fact {
            Fact::Leaves { by, message } => {
                for statement in statements_of(message, ValidatorIndex(*by)) {
                    let view = match statement {
                        Statement::Vote(signed) => signed.statement.view,
                        Statement::ViewChange(signed) => signed.statement.new_view,
                        _ => continue,
                    };
                    let shown = self.shown.entry(*by).or_default();
                    *shown = view.max(*shown);
                }
                Ok(())
            }
            Fact::Turn { by, after, .. } => {
                let before = self.reported.insert(*by, after.view).unwrap_or_default();
                if after.view < before {
                    return Err(vec![
                        format!("validator {by} was in view {before}"),
                        format!("and is in {}", after.view),
                    ]);
                }
                Ok(())
            }
            Fact::Restarted { by, place } => {
                self.reported.insert(*by, place.view);
                let shown = self.shown.get(by).copied().unwrap_or_default();
                if place.view < shown && !scene.lost.contains(by) {
                    return Err(vec![
                        format!("validator {by} said something in view {shown}"),
                        format!("and starts again in view {}", place.view),
                    ]);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
