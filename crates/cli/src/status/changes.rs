//! What is to change in the cluster, in sentences: what was approved and where it takes effect, what waits for
//! approvals, who learns, who is barred from leading.

use quorate_client::pb::cluster::v1::{Changes, LearnerStatus, StatusResponse};
use serde_json::{Value as Json, json};

use crate::json::hex_of_bytes;
use crate::paint;

/// A sentence for each thing that is on its way, by what one validator says.
pub(super) fn remarks(status: &StatusResponse) -> Vec<String> {
    let Some(changes) = &status.changes else { return Vec::new() };
    let mut remarks = Vec::new();
    if changes.epoch_ends > 0 {
        let (ends, left) = (changes.epoch_ends, changes.epoch_ends.saturating_sub(status.executed));
        remarks.push(format!(
            "epoch {} ends with sequence {ends}, {} from now; then takes effect:",
            status.epoch,
            paint::number(left)
        ));
        remarks.extend(changes.approved.iter().map(|change| format!("  {change}")));
    }
    for proposal in &changes.proposed {
        remarks.push(format!(
            "proposal {}, with {} of {} approvals: {}",
            hex_of_bytes(&proposal.id),
            proposal.approvals,
            changes.approvals_needed,
            proposal.changes.join("; ")
        ));
    }
    remarks.extend(changes.learners.iter().map(|learner| format!("{} {}", learner.name, learner_words(learner))));
    remarks.extend(changes.barred.iter().map(|name| format!("{name} is convicted: it votes, and may not lead")));
    remarks
}

const fn learner_words(learner: &LearnerStatus) -> &'static str {
    match (learner.leaving, learner.ready, learner.connected) {
        (true, ..) => "was removed; it serves those who are behind until this epoch ends",
        (false, true, _) => "has caught up; it is a validator from the next epoch on",
        (false, false, true) => "learns; it hasn't said yet that it has caught up",
        (false, false, false) => "is to be a validator, and isn't in touch: has it been started?",
    }
}

/// The same for a program.
pub(super) fn to_json(changes: &Changes) -> Json {
    let proposed = changes.proposed.iter().map(|proposal| {
        json!({
            "id": hex_of_bytes(&proposal.id), "changes": proposal.changes, "approvals": proposal.approvals,
            "proposed_at_ms": proposal.proposed_at_ms,
        })
    });
    let learners = changes.learners.iter().map(|learner| {
        json!({
            "name": learner.name, "leaving": learner.leaving, "ready": learner.ready, "connected": learner.connected,
        })
    });
    json!({
        "epoch_ends": (changes.epoch_ends > 0).then_some(changes.epoch_ends),
        "approved": changes.approved,
        "proposed": proposed.collect::<Vec<_>>(),
        "approvals_needed": changes.approvals_needed,
        "learners": learners.collect::<Vec<_>>(),
        "barred": changes.barred,
    })
}

#[cfg(test)]
mod tests {
    use quorate_client::pb::cluster::v1::ProposedChange;

    use super::*;

    /// accountability §2.5
    #[test]
    fn everything_that_is_on_its_way_is_said() {
        let learner =
            |name: &str, leaving, ready| LearnerStatus { name: name.to_owned(), leaving, ready, connected: true };
        let proposal = ProposedChange {
            id: vec![0xab; 32].into(),
            changes: vec!["two is removed".to_owned()],
            approvals: 1,
            proposed_at_ms: 5,
        };
        let changes = Changes {
            epoch_ends: 4_096,
            approved: vec!["five at five:7000 is added".to_owned()],
            proposed: vec![proposal],
            approvals_needed: 2,
            learners: vec![learner("six", false, false), learner("seven", false, true), learner("one", true, false)],
            barred: vec!["three".to_owned()],
        };
        let status = StatusResponse { executed: 4_000, changes: Some(changes), ..StatusResponse::default() };
        let said = remarks(&status).join("\n");
        for part in [
            "ends with sequence 4096, 96 from now",
            "five at five:7000 is added",
            "with 1 of 2 approvals: two is removed",
            "six learns",
            "seven has caught up",
            "one was removed",
            "three is convicted",
        ] {
            assert!(said.contains(part), "{part:?} isn't in {said}");
        }
        assert_eq!(remarks(&StatusResponse::default()), Vec::<String>::new());
    }
}
