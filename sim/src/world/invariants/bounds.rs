//! What a validator holds is bounded by the window and the number of validators, whatever others send
//! (protocol §9.5).

use super::{Fact, Invariant, Scene};

/// Proposals, votes, payloads and pre-prepares per validator and sequence of the window, generously.
const PER_VALIDATOR_AND_SEQUENCE: usize = 12;

#[derive(Debug)]
pub(super) struct Bounds;

impl Invariant for Bounds {
    fn name(&self) -> (&'static str, &'static str) {
        ("buffers are bounded", "protocol §9.5")
    }

    fn on_fact(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), Vec<String>> {
        let Fact::Turn { by, after, .. } = fact else { return Ok(()) };
        let window = scene.context.parameters.window as usize;
        let bound = PER_VALIDATOR_AND_SEQUENCE * window * scene.context.set.size();
        if after.held > bound {
            return Err(vec![format!("validator {by} holds {} things, the bound is {bound}", after.held)]);
        }
        Ok(())
    }
}
