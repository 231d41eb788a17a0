//! Simulated readers: linearizable reads through a validator, as the node carries them out (data-model §5.5).
//!
//! A read begins with a nonce, waits for its round, and then for the first certified state at or above the
//! round's result that the validator holds. A crash of the validator ends it without an answer.

use std::collections::BTreeMap;

use quorate_replica::{Event, Notice};
use quorate_types::freshness::Nonce;
use quorate_types::ids::Sequence;

use super::invariants::Fact;
use super::machine::{Step, World};
use super::recording::State;

/// One read is begun for so many operations.
const EVERY: u64 = 3;

/// Reads under way.
#[derive(Debug, Default)]
pub(super) struct Reads {
    begun: u64,
    operations: u64,
    /// Where each open read was begun, by which process, and its round's result.
    open: BTreeMap<Nonce, Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    me: u16,
    generation: u64,
    result: Option<Sequence>,
}

impl World {
    /// An operation is given to a validator; now and then somebody reads there as well.
    pub(super) fn perhaps_read(&mut self, me: u16) -> Step {
        self.reads.operations += 1;
        if !self.reads.operations.is_multiple_of(EVERY) || self.is_byzantine(me) || !self.host(me).is_up() {
            return Ok(());
        }
        self.reads.begun += 1;
        let mut nonce = Nonce::default();
        nonce[..8].copy_from_slice(&self.reads.begun.to_be_bytes());
        let open = Open { me, generation: self.host(me).generation, result: None };
        self.reads.open.insert(nonce, open);
        self.see(Fact::ReadBegins(&nonce))?;
        self.give(me, Event::Round(nonce));
        Ok(())
    }

    /// A validator's shell hears a notice that readers wait for.
    pub(super) fn tell_readers(&mut self, me: u16, notice: &Notice) -> Step {
        let certified = match notice {
            Notice::Fresh { nonce, sequence } => {
                if let Some(open) = self.reads.open.get_mut(nonce) {
                    open.result = Some(*sequence);
                }
                self.host(me).replica.as_ref().map_or(Sequence::ZERO, |replica| replica.report().certified)
            }
            Notice::Certified(certificate) => certificate.execution.sequence,
            _ => return Ok(()),
        };
        let generation = self.host(me).generation;
        self.reads.open.retain(|_, open| open.me != me || open.generation == generation);
        let is_due = |open: &Open| open.me == me && open.result.is_some_and(|result| result <= certified);
        let due: Vec<Nonce> =
            self.reads.open.iter().filter(|(_, open)| is_due(open)).map(|(nonce, _)| *nonce).collect();
        for nonce in due {
            self.reads.open.remove(&nonce);
            self.reach("linearizable read answered");
            self.tell(State::Reads, Some(me), || format!("{me} answers a linearizable read at {certified}"));
            self.see(Fact::ReadEnds(&nonce, certified))?;
        }
        Ok(())
    }
}
