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
        // Delivered: all from the stable checkpoint up to the tip (protocol §9.5). That is three windows in the normal
        // case: votes end a window above the checkpoint, and delivery runs two ahead of execution at most. Who catches
        // up may execute, and so deliver, further above its checkpoint, as long as execution certificates are
        // missing: what is left of the others' retention at most, and never more than was executed and two windows.
        let delivered = after.committed.above(after.stable) as usize + 1;
        // Above the tip: one segment that catches up, and for each of the two prepared certificates, the anchor, the
        // highest vote and the view's own proposals a chain, which a window bounds.
        let proposals = delivered + MAX_SEGMENT_PROPOSALS + 5 * (window + 1);
        let ahead = after.committed.above(after.executed) as usize;
        let bounds = [
            ("proposals that wait for execution", ahead, 2 * window),
            // What a window's slots can hold per sender, in this view and the one before it.
            ("votes", held.votes, 4 * window * size),
            ("pre-prepares", held.pre_prepares, window * size),
            ("commit certificates to be delivered", held.goals, window + 1),
            ("execution votes", after.execution_votes, 2 * window * size),
            ("proposals", held.proposals, proposals),
            ("verdicts on payloads", held.payloads, proposals),
        ];
        for (what, found, bound) in bounds {
            if found > bound {
                return Err(vec![format!("validator {by} holds {found} {what}, the bound is {bound}: {after:?}")]);
            }
        }
        Ok(())
    }
}
