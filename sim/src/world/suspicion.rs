//! What validators suspect each other of: for the story, the report, and the soundness of it (accountability §6).

use quorate_replica::Event;
use quorate_replica::suspicion::{Change, Level, Rule, Words};
use quorate_types::ids::ValidatorIndex;
use quorate_types::verified::PeerFault;

use super::machine::{Letter, Step, World, unsafe_};
use super::verdict::Violation;

/// After so long without anything new, nothing that was seen before the faults ended is worth a warning.
const FADED_MS: u64 = 15 * 60 * 1_000;

/// A change as a line of the story.
pub(super) fn describe(me: u16, change: &Change) -> String {
    match change {
        Change::Level { validator, from, to, score, mostly } => {
            let mostly = mostly.map_or(String::new(), |rule| format!(", mostly {}", Rule::name(rule)));
            format!("{me} on {validator}: {} after {}, score {score}{mostly}", to.name(), from.name())
        }
        Change::Many(true) => format!("{me} sees more than f that look slow: the network, or itself"),
        Change::Many(false) => format!("{me} sees no more than f that look slow"),
    }
}

impl World {
    /// The door lets a message not in. No correct validator sends such a one, whatever it was sent before; but one
    /// that was on its way when its receiver entered another epoch says nothing of its sender.
    pub(super) fn refuse(&mut self, to: u16, letter: &Letter) -> Step {
        let from = ValidatorIndex(letter.from);
        let fault = self.hosts[usize::from(to)].context.verify(letter.message.clone()).err();
        if fault.as_ref().is_some_and(PeerFault::is_of_another_epoch) {
            return Ok(());
        }
        if !self.is_byzantine(letter.host) {
            let facts = vec![format!("validator {from} sends {to} what is refused, {fault:?}: {:?}", letter.message)];
            let invariant = "no correct validator's message is refused";
            return Err(unsafe_(Violation { invariant, clause: "accountability §6.8", facts }));
        }
        let why = Words::of(letter.message.kind());
        self.give(to, Event::Refused { from, count: 1, why });
        Ok(())
    }

    /// Remembers when each validator was first suspected by whom.
    pub(super) fn note_suspicion(&mut self, me: u16, change: &Change) {
        let &Change::Level { validator, to, .. } = change else { return };
        if to >= Level::Warn && !self.is_byzantine(me) {
            let at_ms = self.now_us / 1_000;
            self.suspected.entry(validator.0).or_default().entry(me).or_insert(at_ms);
        }
    }

    /// Whether somebody of the core has seen something against another since `from_us`.
    pub(super) fn is_anyone_suspecting(&self, from_us: u64) -> bool {
        let Some(core) = &self.core else { return false };
        core.iter().any(|who| {
            let host = &self.hosts[usize::from(*who)];
            let from_ms = host.clock.now(from_us).monotonic_ms;
            let report = host.replica.as_ref().map(|replica| replica.report().suspicion);
            let suspects = report.iter().flat_map(|report| &report.suspects);
            let in_core = suspects.filter(|suspect| core.contains(&suspect.validator.0));
            in_core.flat_map(|suspect| &suspect.points).any(|point| point.last_ms > from_ms)
        })
    }

    /// Soundness: what correct validators of the core hold against each other once all is calm fades to less than
    /// a warning.
    pub(super) fn check_suspicion(&self) -> Step {
        for who in self.core.iter().flatten() {
            let Some(replica) = &self.hosts[usize::from(*who)].replica else { continue };
            let report = replica.report().suspicion;
            for suspect in &report.suspects {
                let is_correct = self.core.as_ref().is_some_and(|core| core.contains(&suspect.validator.0));
                let lasts = suspect.points.iter().any(|point| {
                    let half_lives = FADED_MS / point.rule.info().half_life_ms;
                    let left = point.points.in_thousandths() >> half_lives.min(63);
                    left >= Level::Warn.leaves_below().in_thousandths()
                });
                if is_correct && lasts {
                    let facts = vec![format!("validator {who} still holds: {suspect:?}")];
                    let invariant = "suspicion of correct validators fades when all is well";
                    return Err(unsafe_(Violation { invariant, clause: "accountability §6.8", facts }));
                }
            }
        }
        Ok(())
    }
}
