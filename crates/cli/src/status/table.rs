//! The table of all validators.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};
use quorate_client::ClientFault;
use quorate_client::pb::cluster::v1::{Mode, StatusResponse, SuspicionLevel, ValidatorStatus};
use quorate_types::genesis::Genesis;

use super::{Answer, changes};
use crate::paint;

const HEADER: [&str; 10] =
    ["validator", "standing", "view", "primary", "committed", "executed", "certified", "stable", "lag", "last seen"];

/// The standing of a validator that doesn't answer.
const NO_ANSWER: &str = "no answer";

/// The standing of a validator that is none of the endpoints.
const NOT_ASKED: &str = "not asked";

/// The table, and below it a sentence for each thing that needs attention.
pub(super) fn render(genesis: &Genesis, answers: &[Answer]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(HEADER);
    for column in 2..HEADER.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let statuses: BTreeMap<u32, &StatusResponse> = answers
        .iter()
        .filter_map(|answer| answer.status.as_ref().ok())
        .map(|status| (status.validator, status))
        .collect();
    let highest = statuses.values().map(|status| status.committed).max().unwrap_or_default();
    let mut remarks = Vec::new();
    for (index, validator) in (0u32..).zip(&genesis.content.validators) {
        let name = &validator.info.name;
        let seen: Vec<&ValidatorStatus> = statuses.values().filter_map(|status| seen(status, index)).collect();
        match statuses.get(&index) {
            Some(status) => {
                table.add_row(own_row(name, status, &seen, highest));
                if !status.reason.is_empty() {
                    remarks.push(format!("{name}: {}", status.reason));
                }
            }
            None => {
                let fault = fault_of(validator.client_address.as_deref(), answers);
                let standing = if fault.is_some() { NO_ANSWER } else { NOT_ASKED };
                table.add_row(foreign_row((name, standing), &seen, highest));
                remarks.push(match fault {
                    Some(fault) => format!("{name}: {fault}"),
                    None => format!("{name} was not asked; the others' word is shown"),
                });
            }
        }
        let suspected = seen.iter().filter(|peer| peer.suspicion_level() > SuspicionLevel::Observe).count();
        if suspected > 0 {
            let remark = format!("{suspected} others suspect {name}; `quorate explain {name}` says of what");
            remarks.push(paint::warning(&remark));
        }
        let evidence = seen.iter().map(|peer| peer.evidence).max().unwrap_or_default();
        if evidence > 0 {
            remarks.push(paint::bad(&format!(
                "{evidence} pieces of evidence are kept against {name}: `quorate evidence list` shows them"
            )));
        }
        let own = statuses.values().flat_map(|status| &status.validators).filter(|peer| peer.validator == index);
        let convictions = own.map(|peer| peer.convictions).max().unwrap_or_default();
        if convictions > 0 {
            let kinds = if convictions == 1 { "kind" } else { "kinds" };
            remarks.push(paint::bad(&format!("the cluster has convicted {name} of {convictions} {kinds} of offence")));
        }
    }
    if let Some(newest) = statuses.values().max_by_key(|status| status.executed) {
        remarks.extend(changes::remarks(newest));
    }
    let remarks = remarks.iter().map(|remark| format!("\n{remark}"));
    format!("{}{}", colour(table.to_string()), remarks.collect::<String>())
}

/// Colours the standings in the finished table, whose columns are aligned by then.
fn colour(table: String) -> String {
    let modes = [Mode::CatchingUp, Mode::ReadOnly, Mode::Following, Mode::Unspecified].map(mode_words);
    let warned = modes.into_iter().chain([NO_ANSWER]).fold(table, |text, word| text.replace(word, &paint::bad(word)));
    let voting = mode_words(Mode::Ordering);
    warned.replace(voting, &paint::good(voting))
}

fn seen(status: &StatusResponse, index: u32) -> Option<&ValidatorStatus> {
    status.validators.iter().find(|peer| peer.validator == index && !peer.is_self)
}

/// A validator that answered.
fn own_row(name: &str, status: &StatusResponse, seen: &[&ValidatorStatus], highest: u64) -> Vec<String> {
    let is_primary = status.primary == status.validator;
    let view = if status.active { status.view.to_string() } else { format!("→ {}", status.view) };
    vec![
        name.to_owned(),
        mode_words(status.mode()).to_owned(),
        view,
        if is_primary { "itself".to_owned() } else { status.primary.to_string() },
        status.committed.to_string(),
        status.executed.to_string(),
        status.certified.to_string(),
        status.stable.to_string(),
        highest.saturating_sub(status.committed).to_string(),
        last_seen(seen),
    ]
}

/// A validator that didn't answer, as the others know it.
fn foreign_row((name, standing): (&str, &str), seen: &[&ValidatorStatus], highest: u64) -> Vec<String> {
    let newest = seen.iter().max_by_key(|peer| peer.committed);
    let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    let committed = newest.map(|peer| peer.committed);
    vec![
        name.to_owned(),
        standing.to_owned(),
        number(newest.map(|peer| peer.view)),
        "-".to_owned(),
        number(committed),
        number(newest.map(|peer| peer.executed)),
        "-".to_owned(),
        "-".to_owned(),
        number(committed.map(|committed| highest.saturating_sub(committed))),
        last_seen(seen),
    ]
}

/// How long ago any other validator heard of it.
fn last_seen(seen: &[&ValidatorStatus]) -> String {
    match seen.iter().filter_map(|peer| peer.last_seen_ms).min() {
        Some(ms) => paint::duration_us(ms.saturating_mul(1_000)),
        None if seen.is_empty() => "-".to_owned(),
        None => "never".to_owned(),
    }
}

/// Why the validator with this address said nothing, if it was asked.
fn fault_of<'a>(address: Option<&str>, answers: &'a [Answer]) -> Option<&'a ClientFault> {
    let asked = answers.iter().find(|answer| Some(answer.endpoint.as_str()) == address);
    asked.and_then(|answer| answer.status.as_ref().err())
}

/// What a validator does, in a word.
pub(super) const fn mode_words(mode: Mode) -> &'static str {
    match mode {
        Mode::Unspecified => "unknown",
        Mode::Ordering => "voting",
        Mode::CatchingUp => "catching up",
        Mode::ReadOnly => "read-only",
        Mode::Following => "quarantine",
    }
}

#[cfg(test)]
mod tests {
    use quorate_crypto::SecretKey;
    use quorate_types::genesis::{Administrators, GenesisContent, GenesisValidator};
    use quorate_types::kind::{Access, Consistency, EntityType, Kind};
    use quorate_types::parameters::Parameters;
    use quorate_types::set::ValidatorInfo;

    use super::*;

    fn genesis() -> Genesis {
        let key = |seed| SecretKey::from_seed([seed; 32]).public();
        let validator = |index: u8| GenesisValidator {
            info: ValidatorInfo {
                name: format!("v{index}"),
                consensus_key: key(index + 1),
                network_key: key(index + 101),
                incarnation: [index; 32],
                peer_address: format!("127.0.0.1:700{index}"),
            },
            client_address: Some(format!("127.0.0.1:710{index}")),
        };
        let access = Access::open([key(50)]);
        let kind = Kind {
            name: "counter".to_owned(),
            consistency: Consistency::Strong,
            entity_type: EntityType::Counter,
            schema: None,
            access,
        };
        let content = GenesisContent {
            name: "test".to_owned(),
            validators: (0..4).map(validator).collect(),
            administrators: Administrators { threshold: 1, keys: vec![key(50)] },
            parameters: Parameters::default(),
            kinds: vec![kind],
        };
        Genesis::parse(content.to_toml().as_bytes()).unwrap()
    }

    #[test]
    fn who_was_not_asked_is_told_from_who_did_not_answer() {
        let silent = ClientFault::StreamEnded { endpoint: "127.0.0.1:7101".to_owned() };
        let answers = [
            Answer { endpoint: "127.0.0.1:7100".to_owned(), status: Ok(StatusResponse::default()) },
            Answer { endpoint: "127.0.0.1:7101".to_owned(), status: Err(silent) },
        ];
        let table = render(&genesis(), &answers);
        let row = |name: &str| table.lines().find(|line| line.trim_start().starts_with(name)).unwrap().to_owned();
        assert!(row("v1").contains(NO_ANSWER), "{table}");
        assert!(row("v2").contains(NOT_ASKED) && row("v3").contains(NOT_ASKED), "{table}");
    }
}
