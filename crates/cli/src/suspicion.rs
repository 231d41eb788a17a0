//! `quorate suspicion` and `quorate explain`: whom each validator suspects of what can't be proven, and why.

use anyhow::{Context, ensure};
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use quorate_client::pb::cluster::v1::{ExplainResponse, Suspect, SuspicionLevel, SuspicionPoint, SuspicionResponse};
use quorate_types::genesis::Genesis;
use serde_json::{Value as Json, json};

use crate::connect::ClusterArgs;
use crate::paint;

/// Shows whom each validator suspects; each is asked itself.
#[derive(Args, Debug)]
#[command(after_help = "\
A row for each validator that answers, a column for each that may be suspected. Scores go from 0 to 1. It is each
validator's own view; nothing that the cluster decides depends on it.

Examples:
  quorate suspicion                  a table
  quorate suspicion --json           for a program
  quorate explain v2                 where the points of v2 come from")]
pub struct SuspicionArgs {
    /// Prints JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Says why a validator is suspected: every point, what was seen, how often, and when it fades.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quorate explain v2                            as every validator sees it
  quorate explain 2 --endpoint 10.0.0.1:7100    as one of them does")]
pub struct ExplainArgs {
    /// The validator, by name or by index
    validator: String,

    /// Prints JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArgs,
}

impl SuspicionArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn run(self) -> anyhow::Result<()> {
        let client = self.cluster.client()?;
        let (mut answers, mut silent) = (Vec::new(), Vec::new());
        for (position, endpoint) in client.endpoints().enumerate() {
            match client.suspicion(position).await {
                Ok(answer) => answers.push(answer),
                Err(fault) => silent.push(format!("{endpoint}: {fault}")),
            }
        }
        ensure!(!answers.is_empty(), "no validator answers: {}", silent.join("; "));
        if self.json {
            println!("{:#}", json!({ "validators": answers.iter().map(answer_json).collect::<Vec<_>>() }));
            return Ok(());
        }
        println!("{}", table(client.genesis(), &answers));
        for answer in answers.iter().filter(|answer| answer.many) {
            let name = name_of(client.genesis(), answer.validator);
            println!("{name} sees more than f that look slow: the network or {name} itself is the likelier cause");
        }
        silent.iter().for_each(|words| println!("{}", paint::bad(words)));
        Ok(())
    }
}

impl ExplainArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// If there is no such validator, or nobody answers.
    pub async fn run(self) -> anyhow::Result<()> {
        let client = self.cluster.client()?;
        let index = index_of(client.genesis(), &self.validator)
            .with_context(|| format!("there is no validator `{}` in the genesis file", self.validator))?;
        let (mut answers, mut silent) = (Vec::new(), Vec::new());
        for (position, endpoint) in client.endpoints().enumerate() {
            match client.explain(position, index).await {
                Ok(answer) => answers.push((endpoint.to_owned(), answer)),
                Err(fault) => silent.push(format!("{endpoint}: {fault}")),
            }
        }
        ensure!(!answers.is_empty(), "no validator answers: {}", silent.join("; "));
        if self.json {
            let answers = answers.iter().map(|(endpoint, answer)| explained_json(endpoint, answer));
            println!("{:#}", json!({ "validators": answers.collect::<Vec<_>>() }));
            return Ok(());
        }
        for (endpoint, answer) in &answers {
            println!("{}", explained(endpoint, answer));
        }
        silent.iter().for_each(|words| println!("{}", paint::bad(words)));
        Ok(())
    }
}

fn name_of(genesis: &Genesis, index: u32) -> String {
    let position = usize::try_from(index).unwrap_or(usize::MAX);
    genesis.content.validators.get(position).map_or_else(|| index.to_string(), |known| known.info.name.clone())
}

/// By name, and where no name fits, by number.
fn index_of(genesis: &Genesis, named: &str) -> Option<u32> {
    let by_name = genesis.content.validators.iter().position(|validator| validator.info.name == named);
    let position = by_name.or_else(|| named.parse().ok().filter(|at| *at < genesis.content.validators.len()))?;
    u32::try_from(position).ok()
}

fn score(thousandths: u32) -> String {
    format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000)
}

const fn level_words(level: SuspicionLevel) -> &'static str {
    match level {
        SuspicionLevel::Unspecified => "unknown",
        SuspicionLevel::Observe => "observe",
        SuspicionLevel::Warn => "warn",
        SuspicionLevel::Throttle => "throttle",
        SuspicionLevel::Deprioritise => "deprioritise",
        SuspicionLevel::Disconnect => "disconnect",
    }
}

/// A cell: the score, and where it counts, the level and the heaviest rule.
fn cell(suspect: &Suspect) -> String {
    if suspect.score_thousandths == 0 {
        return "-".to_owned();
    }
    let words = match suspect.level() {
        SuspicionLevel::Observe | SuspicionLevel::Unspecified => suspect.mostly.clone(),
        level => format!("{}, {}", level_words(level), suspect.mostly),
    };
    format!("{} {words}", score(suspect.score_thousandths))
}

fn table(genesis: &Genesis, answers: &[SuspicionResponse]) -> String {
    let mut table = Table::new();
    let names = genesis.content.validators.iter().map(|validator| format!("of {}", validator.info.name));
    table.load_style(presets::NOTHING).set_header(std::iter::once("suspicion".to_owned()).chain(names));
    for column in 1..=genesis.content.validators.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Left);
        }
    }
    for answer in answers {
        let cells = (0u32..).take(genesis.content.validators.len()).map(|index| {
            if index == answer.validator {
                return "itself".to_owned();
            }
            answer.suspects.iter().find(|suspect| suspect.validator == index).map_or_else(|| "?".to_owned(), cell)
        });
        table.add_row(std::iter::once(name_of(genesis, answer.validator)).chain(cells));
    }
    table.to_string()
}

/// One validator's explanation, as lines.
fn explained(endpoint: &str, answer: &ExplainResponse) -> String {
    let suspect = answer.suspect.clone().unwrap_or_default();
    let level = level_words(suspect.level());
    let mut lines = vec![paint::title(&format!(
        "{endpoint} on {}: score {}, level {level}",
        suspect.name,
        score(suspect.score_thousandths)
    ))];
    if answer.points.is_empty() {
        lines.push("  nothing is held against it".to_owned());
    }
    if answer.many {
        lines.push("  more than f look slow to it: circumstances weigh a quarter".to_owned());
    }
    lines.extend(answer.points.iter().flat_map(point_lines));
    lines.join("\n")
}

fn point_lines(point: &SuspicionPoint) -> Vec<String> {
    let ago = |ms: u64| paint::duration_us(ms.saturating_mul(1_000));
    let class = if point.conduct { "conduct" } else { "circumstance" };
    let SuspicionPoint { rule, count, .. } = point;
    let times =
        if *count == 1 { "once".to_owned() } else { format!("{count} times, first {} ago", ago(point.first_ago_ms)) };
    let head = format!(
        "  {} {rule} ({class}): seen {times}, last {} ago; fades in {}",
        score(point.thousandths),
        ago(point.last_ago_ms),
        ago(point.fades_in_ms)
    );
    let sights =
        point.sightings.iter().map(|sighting| format!("      {} ago: {}", ago(sighting.ago_ms), sighting.seen));
    std::iter::once(head).chain(sights).collect()
}

fn suspect_json(suspect: &Suspect) -> Json {
    json!({
        "validator": suspect.validator, "name": suspect.name, "score_thousandths": suspect.score_thousandths,
        "level": level_words(suspect.level()), "mostly": suspect.mostly,
    })
}

fn answer_json(answer: &SuspicionResponse) -> Json {
    let suspects = answer.suspects.iter().map(suspect_json).collect::<Vec<_>>();
    json!({ "validator": answer.validator, "many": answer.many, "suspects": suspects })
}

fn explained_json(endpoint: &str, answer: &ExplainResponse) -> Json {
    let points = answer.points.iter().map(|point| {
        let sightings = point.sightings.iter();
        let sightings = sightings.map(|s| json!({ "ago_ms": s.ago_ms, "count": s.count, "seen": s.seen }));
        json!({
            "rule": point.rule, "conduct": point.conduct, "thousandths": point.thousandths, "count": point.count,
            "first_ago_ms": point.first_ago_ms, "last_ago_ms": point.last_ago_ms, "fades_in_ms": point.fades_in_ms,
            "sightings": sightings.collect::<Vec<_>>(),
        })
    });
    let suspect = answer.suspect.as_ref().map(suspect_json);
    json!({ "endpoint": endpoint, "many": answer.many, "suspect": suspect, "points": points.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use quorate_client::pb::cluster::v1::Sighting;

    use super::*;

    #[test]
    fn a_cell_says_the_score_and_where_it_counts_the_level() {
        let suspect = |score_thousandths, level: SuspicionLevel| Suspect {
            score_thousandths,
            level: level.into(),
            mostly: "silent".to_owned(),
            ..Default::default()
        };
        assert_eq!(cell(&suspect(0, SuspicionLevel::Observe)), "-");
        assert_eq!(cell(&suspect(99, SuspicionLevel::Observe)), "0.099 silent");
        assert_eq!(cell(&suspect(400, SuspicionLevel::Warn)), "0.400 warn, silent");
    }

    #[test]
    fn a_point_is_told_with_what_was_seen_and_when_it_fades() {
        let sighting = Sighting { ago_ms: 3_000, count: 1, seen: "nothing valid for 900 ms".to_owned() };
        let point = SuspicionPoint {
            rule: "silent".to_owned(),
            thousandths: 100,
            last_ago_ms: 3_000,
            count: 1,
            fades_in_ms: 60_000,
            sightings: vec![sighting],
            ..Default::default()
        };
        let lines = point_lines(&point);
        assert_eq!(lines[0], "  0.100 silent (circumstance): seen once, last 3000 ms ago; fades in 60.0 s");
        assert_eq!(lines[1], "      3000 ms ago: nothing valid for 900 ms");
    }
}
