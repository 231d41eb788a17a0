//! The table of all validators.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};
use quorate_client::pb::cluster::v1::{Mode, StatusResponse, ValidatorStatus};
use quorate_types::genesis::Genesis;

use super::Answer;
use crate::paint;

const HEADER: [&str; 10] =
    ["validator", "standing", "view", "primary", "committed", "executed", "certified", "stable", "lag", "last seen"];

/// The standing of a validator that doesn't answer.
const NO_ANSWER: &str = "no answer";

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
                table.add_row(foreign_row(name, &seen, highest));
                remarks.push(unreachable(name, validator.client_address.as_deref(), answers));
            }
        }
        let contradictions = seen.iter().map(|peer| peer.contradictions).max().unwrap_or_default();
        if contradictions > 0 {
            remarks.push(paint::bad(&format!(
                "{name} signed {contradictions} messages that contradict others of its own"
            )));
        }
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
fn foreign_row(name: &str, seen: &[&ValidatorStatus], highest: u64) -> Vec<String> {
    let newest = seen.iter().max_by_key(|peer| peer.committed);
    let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    let committed = newest.map(|peer| peer.committed);
    vec![
        name.to_owned(),
        NO_ANSWER.to_owned(),
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

fn unreachable(name: &str, address: Option<&str>, answers: &[Answer]) -> String {
    let fault = answers.iter().find(|answer| Some(answer.endpoint.as_str()) == address);
    match fault.and_then(|answer| answer.status.as_ref().err()) {
        Some(fault) => format!("{name}: {fault}"),
        None => format!("{name} was not asked; the others' word is shown"),
    }
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
