//! What a validator holds is bounded by the window and the number of validators, whatever others send
//! (protocol §9.5).

use quorate_types::limits::MAX_SEGMENT_PROPOSALS;

use super::{Fact, Invariant, Scene};

#[derive(Debug)]
pub(super) struct Bounds;

impl Invariant for Bounds {
    fn name(&self) -> (&'static str, &'static str) {
        ("buffers are bounded", "protocol §9.5")
    }

    fn on_fact(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), Vec<String>> {
        let Fact::Turn { by, after, .. } = fact else { return Ok(()) };
        let Some(held) = after.held else { return Ok(()) };
        let window = scene.context.parameters.window as usize;
        let size = scene.context.set.size();
        let bounds = [
            // What a window's slots can hold per sender, in this view and the one before it.
            ("votes", held.votes, 4 * window * size),
            ("pre-prepares", held.pre_prepares, window * size),
            ("commit certificates to be delivered", held.goals, window + 1),
            ("execution votes", after.execution_votes, 2 * window * size),
            // Chains of the certificates and the views' own, over what is delivered in the window; and one
            // segment that catches up.
            ("proposals", held.proposals, 8 * (window + 1) + MAX_SEGMENT_PROPOSALS),
            ("verdicts on payloads", held.payloads, 8 * (window + 1) + MAX_SEGMENT_PROPOSALS),
        ];
        for (what, found, bound) in bounds {
            if found > bound {
                return Err(vec![format!("validator {by} holds {found} {what}, the bound is {bound}: {after:?}")]);
            }
        }
        Ok(())
    }
}
