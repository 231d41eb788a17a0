//! All correct validators have the same result at each sequence (protocol §10, State), and vote for no
//! other.

use std::collections::BTreeMap;

use quorate_crypto::Digest;
use quorate_types::ids::Sequence;

use super::{Fact, Invariant, Scene};

#[derive(Debug, Default)]
pub(super) struct State {
    results: BTreeMap<Sequence, (Digest, Digest, Digest, u16)>,
}

impl Invariant for State {
    fn name(&self) -> (&'static str, &'static str) {
        ("equal results at each sequence", "protocol §10, State")
    }

    fn on_fact(&mut self, _: &Scene, fact: &Fact<'_>) -> Result<(), Vec<String>> {
        let Fact::Executed { by, executed, .. } = fact else { return Ok(()) };
        let execution = executed.execution;
        let result = (execution.proposal, execution.state_root, execution.receipts_root, *by);
        let first = *self.results.entry(execution.sequence).or_insert(result);
        if (first.0, first.1, first.2) == (result.0, result.1, result.2) {
            return Ok(());
        }
        let says = |(proposal, state, receipts, who): (Digest, Digest, Digest, u16)| {
            format!(
                "validator {who} at {}: proposal {proposal:?}, state {state:?}, receipts {receipts:?}",
                execution.sequence
            )
        };
        Err(vec![says(first), says(result)])
    }
}
