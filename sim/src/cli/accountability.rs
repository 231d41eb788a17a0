//! `accountability`: each behaviour alone, again and again: which evidence it leaves, how soon all correct validators
//! keep it, whether it is suspected where it leaves none, and whether anybody innocent is accused (accountability §4).

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

/// When two primaries are cut off, one after the other, and until when.
const CUTS_MS: [(u64, u64); 2] = [(400, 1_600), (2_800, 4_000)];

/// Timeouts within which all correct validators keep what proves a deed, since that had reached any of them.
const PATIENCE: u64 = 2;

/// A wrong result is known to all who have the right one: who executes late learns late (accountability §1.9).
const RESULTS: [&str; 2] = ["conflicting-executions", "diverged"];

/// What the runs of one behaviour showed.
#[derive(Debug, Default)]
struct Row {
    /// Runs in which a kind was kept by a correct validator.
    kinds: BTreeMap<String, u64>,
    /// Of each deed that was proven, how long it took until all correct validators kept that, beside the cuts.
    detected_ms: Vec<u64>,
    /// Deeds for which that took longer than it may.
    late: u64,
    /// Runs without cuts in which a correct validator warned of the Byzantine one, and since when in each.
    suspected_ms: Vec<u64>,
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
        "{:<20} {:>4}  {:>7}  {:>7}  {:>9}  {:>8}  {:>8}  evidence (runs)",
        "behaviour", "runs", "median", "longest", "suspected", "accused", "innocent"
    );
    let (mut innocent, mut failed, mut seen) = (0, 0, BTreeSet::new());
    for conduct in conducts {
        let row = row(arguments, conduct, behaviours);
        println!("{}", line(conduct, arguments.runs, &row));
        innocent += row.innocent;
        failed += row.failed + row.unfinished + row.late;
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
        // What it says of views far ahead is looked at when they begin (decision 13).
        let patience_ms = if *conduct == Conduct::FarFuture { u64::MAX } else { PATIENCE * timeout_ms(&plan) };
        row.take(&report, patience_ms);
    }
    if row.kinds.is_empty() {
        for seed in 0..arguments.runs {
            let plan = plan_without_cuts(seed, arguments.n, conduct);
            let report = run_with(&plan, &Options { behaviours: behaviours.clone(), ..Options::default() });
            row.failed += u64::from(!report.verdict.is_passed());
            let warnings =
                report.byzantine.iter().filter_map(|who| report.suspected.get(who)).flat_map(BTreeMap::values);
            row.suspected_ms.extend(warnings.min());
        }
    }
    row
}

fn timeout_ms(plan: &FaultPlan) -> u64 {
    u64::from(plan.settings.protocol.timeout_base_ms)
}

/// The time from one moment to another in which nobody was cut off.
fn beside_cuts(from_ms: u64, to_ms: u64) -> u64 {
    let cut = |(begins, ends): &(u64, u64)| to_ms.min(*ends).saturating_sub(from_ms.max(*begins));
    to_ms.saturating_sub(from_ms).saturating_sub(CUTS_MS.iter().map(cut).sum())
}

impl Row {
    fn take(&mut self, report: &Report, patience_ms: u64) {
        let correct: BTreeSet<u16> = (0..report.validators).filter(|who| !report.byzantine.contains(who)).collect();
        let mut kept: BTreeMap<(u16, &str), BTreeMap<u16, u64>> = BTreeMap::new();
        for accusation in report.accusations.iter().filter(|accusation| correct.contains(&accusation.by)) {
            if correct.contains(&accusation.accused) {
                self.innocent += 1;
                continue;
            }
            let deed = (accusation.accused, accusation.kind.as_str());
            kept.entry(deed).or_default().entry(accusation.by).or_insert(accusation.at_ms);
        }
        self.accused += u64::from(!kept.is_empty());
        for ((accused, kind), keepers) in kept {
            *self.kinds.entry(kind.to_owned()).or_default() += 1;
            if keepers.len() < correct.len() {
                self.unfinished += 1;
            } else if let (Some(first), Some(last)) = (keepers.values().min(), keepers.values().max()) {
                // What a validator concludes from its own words no other has to be told.
                let known_ms =
                    report.known_ms.get(&(accused, kind.to_owned())).map_or(*first, |known| *known.min(first));
                let took_ms = beside_cuts(known_ms, *last);
                self.late += u64::from(took_ms > patience_ms && !RESULTS.contains(&kind));
                self.detected_ms.push(took_ms);
            }
        }
    }
}

fn line(conduct: &Conduct, runs: u64, row: &Row) -> String {
    let mut detected_ms = row.detected_ms.clone();
    detected_ms.sort_unstable();
    let words = |ms: Option<&u64>| ms.map_or("-".to_owned(), |ms| format!("{ms} ms"));
    let (median, longest) = (words(detected_ms.get(detected_ms.len() / 2)), words(detected_ms.last()));
    let suspected = match row.kinds.is_empty() {
        true => format!("{} of {runs}", row.suspected_ms.len()),
        false => "-".to_owned(),
    };
    let kinds: Vec<String> = row.kinds.iter().map(|(kind, runs)| format!("{kind} ({runs})")).collect();
    let kinds = if kinds.is_empty() { "nothing that proves anything".to_owned() } else { kinds.join(", ") };
    let (accused, innocent) = (row.accused, row.innocent);
    format!(
        "{:<20} {runs:>4}  {median:>7}  {longest:>7}  {suspected:>9}  {accused:>8}  {innocent:>8}  {kinds}",
        conduct.name()
    )
}

/// Half a minute on a good network, for what can only be suspected.
fn plan_without_cuts(seed: u64, validators: u16, conduct: &Conduct) -> FaultPlan {
    let mut plan = plan(seed, validators, conduct);
    plan.events.clear();
    plan.settings.safety_ms = 30_000;
    plan.settings.workload.operations = 1_200;
    plan
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
    let events = CUTS_MS.iter().flat_map(|(begins, ends)| [primary(*begins), heal(*ends)]).collect();
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
        assert_eq!((row.accused, row.innocent, row.failed, row.unfinished, row.late), (2, 0, 0, 0, 0), "{row:?}");
        assert!(!row.detected_ms.is_empty(), "{row:?}");
        assert!(row.kinds.contains_key("conflicting-proposals"), "{row:?}");
    }

    /// accountability §4.1: evidence or suspicion, never both by guess.
    #[test]
    fn a_silent_validator_is_suspected_and_a_broken_promise_is_proven() {
        let arguments = Arguments { runs: 2, n: 4, behaviour: None };
        let silent = row(&arguments, &Conduct::Silent, &Behaviours::new());
        assert!(silent.kinds.is_empty() && silent.suspected_ms.len() == 2 && silent.innocent == 0, "{silent:?}");
        let broken = row(&arguments, &Conduct::BreakPromises, &Behaviours::new());
        assert!(broken.kinds.contains_key("broken-promise") && broken.innocent + broken.late == 0, "{broken:?}");
    }

    #[test]
    fn time_in_a_cut_does_not_count() {
        assert_eq!(beside_cuts(300, 1_700), 200);
        assert_eq!(beside_cuts(500, 1_000), 0);
        assert_eq!(beside_cuts(1_600, 2_000), 400);
    }
}
