//! A validator that lost its store signs nothing that the protocol counts (protocol §7.4).

use quorate_types::ids::ValidatorIndex;

use super::{Fact, Invariant, Scene};
use crate::world::statement::statements_of;

#[derive(Debug)]
pub(super) struct LostStore;

impl Invariant for LostStore {
    fn name(&self) -> (&'static str, &'static str) {
        ("nothing is signed after a lost store", "protocol §7.4")
    }

    fn on_fact(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), Vec<String>> {
        let Fact::Leaves { by, message } = fact else { return Ok(()) };
        if !scene.lost.contains(by) {
            return Ok(());
        }
        match statements_of(message, ValidatorIndex(*by)).first() {
            None => Ok(()),
            Some(statement) => Err(vec![
                format!("validator {by} lost its store"),
                format!("and sends a {} in a {}", statement.describe(), message.kind()),
            ]),
        }
    }
}
