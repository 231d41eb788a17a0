//! With at most `f` faulty validators a correct one never raises the safety alarm, never finds itself in
//! quarantine, is never refused by its own guard, and is never named in a contradiction (protocol §3.2,
//! §7.3, §10 Soundness of blame).

use quorate_consensus::CoreNotice;
use quorate_replica::Notice;

use super::{Fact, Invariant, Scene};

#[derive(Debug)]
pub(super) struct Alarms;

impl Invariant for Alarms {
    fn name(&self) -> (&'static str, &'static str) {
        ("no correct validator is alarmed, refused or blamed", "protocol §10, Soundness of blame")
    }

    fn on_fact(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), Vec<String>> {
        if let Fact::Restarted { by, place } = fact
            && place.is_quarantined
            && !scene.lost.contains(by)
        {
            return Err(vec![format!("validator {by}, whose store is whole, starts in quarantine: {place:?}")]);
        }
        let Fact::Notice { by, notice } = fact else { return Ok(()) };
        match notice {
            Notice::Core(alarm @ (CoreNotice::SafetyAlarm { .. } | CoreNotice::InvalidCommitted(_))) => {
                Err(vec![format!("validator {by} raises an alarm: {alarm:?}")])
            }
            Notice::Refused(refusal) => Err(vec![format!("the guard of validator {by} refuses: {refusal}")]),
            Notice::Standing(standing) if standing.is_quarantined() && !scene.lost.contains(by) => {
                Err(vec![format!("validator {by}, whose store is whole, is {standing}")])
            }
            Notice::Contradiction(contradiction) => {
                let offender = contradiction.offender().0;
                if scene.byzantine.contains(&offender) {
                    return Ok(());
                }
                Err(vec![format!("validator {by} holds against the correct validator {offender}: {contradiction:?}")])
            }
            _ => Ok(()),
        }
    }
}
