//! Agreement and chain (protocol §10): one proposal per sequence, each the parent of the next, in order.

use std::collections::BTreeMap;

use quorate_crypto::Digest;
use quorate_replica::Notice;
use quorate_types::ids::Sequence;

use super::{Fact, Invariant, Scene};

#[derive(Debug, Default)]
pub(super) struct Agreement {
    /// What was delivered where, and who was first.
    delivered: BTreeMap<Sequence, (Digest, u16)>,
    /// The last sequence that each validator delivered since its start.
    last: BTreeMap<u16, Sequence>,
}

impl Agreement {
    fn on_delivered(&mut self, by: u16, sequence: Sequence, digest: Digest) -> Result<(), Vec<String>> {
        let (first, witness) = *self.delivered.entry(sequence).or_insert((digest, by));
        if first != digest {
            return Err(vec![
                format!("validator {witness} delivered {first:?} at sequence {sequence}"),
                format!("validator {by} delivered {digest:?} at sequence {sequence}"),
            ]);
        }
        let last = self.last.insert(by, sequence);
        match last {
            Some(last) if sequence != last.next() => Err(vec![
                format!("validator {by} delivered sequence {sequence}"),
                format!("after sequence {last}, without a restart between"),
            ]),
            _ => Ok(()),
        }
    }
}

impl Invariant for Agreement {
    fn name(&self) -> (&'static str, &'static str) {
        ("agreement", "protocol §10, Agreement and Chain")
    }

    fn on_fact(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), Vec<String>> {
        match fact {
            Fact::Notice { by, notice: Notice::Delivered { sequence, digest, .. } } => {
                self.on_delivered(*by, *sequence, *digest)
            }
            Fact::Executed { by, proposal, .. } => {
                let before = proposal.sequence.previous().unwrap_or_default();
                let start = scene.context.start;
                let parent = if before == start.0 { Some(start.1) } else { self.delivered.get(&before).map(|d| d.0) };
                match parent {
                    Some(parent) if parent != proposal.parent => Err(vec![
                        format!("{parent:?} was delivered at sequence {before}"),
                        format!(
                            "validator {by} executes sequence {} whose parent is {:?}",
                            before.next(),
                            proposal.parent
                        ),
                    ]),
                    _ => Ok(()),
                }
            }
            Fact::Restarted { by, .. } => {
                self.last.remove(by);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
