//! `accountability`: each behaviour alone, again and again: which evidence it leaves, how soon all correct validators
//! keep it, and whether anybody innocent is accused (accountability §4).

use std::collections::{BTreeMap, BTreeSet};

use super::style;
use crate::byzantine::{Behaviours, Conduct};
use crate::world::{Expectation, FORMAT, Fault, FaultPlan, Options, Report, Settings, Target, TimedFault, run_with};

/// Arguments of `accountability`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Runs of each behaviour
    #[arg(long, default_value_t = 8)]
    runs: u64,
    /// How many validators, one of them Byzantine
    #[arg(long, short, default_value_t = 4, value_parser = clap::value_parser!(u16).range(4..=13))]
    n: u16,
    /// Only this behaviour
    #[arg(long)]
    behaviour: Option<String>,
}

/// What the runs of one behaviour showed.
#[derive(Debug, Default)]
struct Row {
    /// Runs in which a kind was kept by a correct validator.
    kinds: BTreeMap<String, u64>,
    /// From the first correct keeper of a kind to the last, in each run.
    spread_ms: Vec<u64>,
    /// Runs in which not all correct validators kept what one kept.
    unfinished: u64,
    /// Runs in which the Byzantine one was accused.
    accused: u64,
    /// Accusations of correct validators.
    innocent: u64,
    /// Runs that ended otherwise than well.
    failed: u64,
}

pub(super) fn run(arguments: &Arguments, behaviours: &Behaviours) -> anyhow::Result<u8> {
    let only = arguments.behaviour.as_ref();
    let conducts: Vec<&Conduct> =
        Conduct::ALL.iter().filter(|conduct| only.is_none_or(|name| conduct.name() == *name)).collect();
    anyhow::ensure!(!conducts.is_empty(), "there is no such behaviour; `quorate-sim list` names them");
    println!(
        "{:<20} {:>4}  {:>9}  {:>8}  {:>8}  evidence (runs)",
        "behaviour", "runs", "all keep", "accused", "innocent"
    );
    let (mut innocent, mut failed, mut seen) = (0, 0, BTreeSet::new());
    for conduct in conducts {
        let row = row(arguments, conduct, behaviours);
        println!("{}", line(conduct, arguments.runs, &row));
        innocent += row.innocent;
        failed += row.failed + row.unfinished;
        seen.extend(row.kinds.into_keys());
    }
    println!("kinds of evidence seen: {}", seen.into_iter().collect::<Vec<_>>().join(", "));
    let verdict = format!("innocent accused: {innocent}; runs that ended otherwise than they should: {failed}");
    println!("{}", if innocent + failed == 0 { style::green(&verdict) } else { style::red(&verdict) });
    Ok(u8::from(innocent + failed > 0))
}

fn row(arguments: &Arguments, conduct: &Conduct, behaviours: &Behaviours) -> Row {
    let mut row = Row::default();
    for seed in 0..arguments.runs {
        let plan = plan(seed, arguments.n, conduct);
        let report = run_with(&plan, &Options { behaviours: behaviours.clone(), ..Options::default() });
        row.failed += u64::from(!report.verdict.is_passed());
        if !report.verdict.is_passed() {
            println!("{} with seed {seed}: {}", conduct.name(), report.verdict);
        }
        row.take(&report);
    }
    row
}

impl Row {
    fn take(&mut self, report: &Report) {
        let correct: BTreeSet<u16> = (0..report.validators).filter(|who| !report.byzantine.contains(who)).collect();
        let mut kept: BTreeMap<&str, BTreeMap<u16, u64>> = BTreeMap::new();
        for accusation in report.accusations.iter().filter(|accusation| correct.contains(&accusation.by)) {
            if correct.contains(&accusation.accused) {
                self.innocent += 1;
                continue;
            }
            kept.entry(&accusation.kind).or_default().entry(accusation.by).or_insert(accusation.at_ms);
        }
        self.accused += u64::from(!kept.is_empty());
        for (kind, keepers) in kept {
            *self.kinds.entry(kind.to_owned()).or_default() += 1;
            if keepers.len() < correct.len() {
                self.unfinished += 1;
            } else if let (Some(first), Some(last)) = (keepers.values().min(), keepers.values().max()) {
                self.spread_ms.push(last - first);
            }
        }
    }
}

fn line(conduct: &Conduct, runs: u64, row: &Row) -> String {
    let mut spread_ms = row.spread_ms.clone();
    spread_ms.sort_unstable();
    let median = spread_ms.get(spread_ms.len() / 2).map_or("-".to_owned(), |ms| format!("{ms} ms"));
    let kinds: Vec<String> = row.kinds.iter().map(|(kind, runs)| format!("{kind} ({runs})")).collect();
    let kinds = if kinds.is_empty() { "nothing that proves anything".to_owned() } else { kinds.join(", ") };
    format!("{:<20} {runs:>4}  {median:>9}  {:>8}  {:>8}  {kinds}", conduct.name(), row.accused, row.innocent)
}

/// One Byzantine validator, which leads the first view or the second; two primaries are cut off for a while, so that
/// views change.
fn plan(seed: u64, validators: u16, conduct: &Conduct) -> FaultPlan {
    let mut settings = Settings { safety_ms: 6_000, ..Settings::calm(validators) };
    settings.workload.operations = 240;
    settings.workload.interval_us = 20_000;
    settings.byzantine.insert(u16::try_from(seed % 2).unwrap_or(0), vec![conduct.clone()]);
    let primary = |at_ms| TimedFault { at_ms, fault: Fault::Isolate { target: Target::Primary } };
    let heal = |at_ms| TimedFault { at_ms, fault: Fault::Heal };
    let events = vec![primary(400), heal(1_600), primary(2_800), heal(4_000)];
    FaultPlan { format: FORMAT, seed, settings, expect: Expectation::default(), events }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// accountability §4.1, §4.2
    #[test]
    fn an_equivocating_primary_is_accused_by_all_and_nobody_else_is() {
        let arguments = Arguments { runs: 2, n: 4, behaviour: None };
        let row = row(&arguments, &Conduct::EquivocateHalf, &Behaviours::new());
        assert_eq!((row.accused, row.innocent, row.failed, row.unfinished), (2, 0, 0, 0), "{row:?}");
        assert!(row.kinds.contains_key("conflicting-proposals"), "{row:?}");
    }
}
