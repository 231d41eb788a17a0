//! With at most `f` faulty validators a correct one never raises the safety alarm, never finds itself in
//! quarantine, is never refused by its own guard, and is never accused by evidence (protocol §3.2,
//! §7.3, §10 Soundness of blame).

use quorate_consensus::CoreNotice;
use quorate_replica::Notice;
use quorate_types::evidence::Evidence;

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
            // A wrong result comes from a broken disk, too: repair follows from it, not blame (accountability §1.9).
            Notice::Evidence(_, evidence) if matches!(**evidence, Evidence::Diverged(_)) => Ok(()),
            Notice::Evidence(_, evidence) => {
                let accused = evidence.accused();
                let is_correct = evidence.validator().is_none_or(|accused| !scene.byzantine.contains(&accused.0));
                if !is_correct {
                    return Ok(());
                }
                Err(vec![format!("validator {by} keeps against {accused}, which is correct: {evidence:?}")])
            }
            _ => Ok(()),
        }
    }
}
