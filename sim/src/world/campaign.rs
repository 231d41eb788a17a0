//! Many runs: what each showed in short, and what they have shown together (simulation §3).
//!
//! A [`Summary`] is the same for the same seeds, whoever ran them in whatever order: outcomes are added by
//! ascending seed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::generate::Profile;
use super::plan::FaultPlan;
use super::probes;
use super::verdict::{Report, Verdict};

/// Seeds kept of one failure.
const MOST_SEEDS: usize = 20;
/// Runs kept that took longest to heal.
const MOST_SLOW: usize = 5;

/// One run, in short.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// How many validators.
    pub validators: u16,
    /// Faults of the plan by name, and conducts.
    pub injected: Vec<String>,
    /// How it ended.
    pub verdict: Verdict,
    /// Whether that is what the plan expects, and the exit code.
    pub exit_code: u8,
    /// When it ended.
    pub virtual_ms: u64,
    /// Packets delivered.
    pub deliveries: u64,
    /// From the end of all faults until all had healed.
    pub healed_in_ms: Option<u64>,
    /// What was reached.
    pub reached: BTreeMap<&'static str, u64>,
}

/// One thing found, however many seeds found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Invariant and cause, without numbers: what makes it the same as another.
    pub key: String,
    /// The exit code.
    pub exit_code: u8,
    /// The verdict of its first seed.
    pub verdict: String,
    /// How many seeds found it.
    pub count: u64,
    /// Some of them, the first ones.
    pub seeds: Vec<u64>,
}

/// What many runs have shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The profile or scenario.
    pub profile: String,
    /// The first seed.
    pub from: u64,
    /// The seed after the last one counted.
    pub next: u64,
    /// Runs counted.
    pub runs: u64,
    /// Virtual time of all runs.
    pub virtual_ms: u64,
    /// Real time of the sessions that made them.
    pub wall_ms: u64,
    /// Packets delivered in all runs.
    pub deliveries: u64,
    /// Runs by number of validators.
    pub sizes: BTreeMap<u16, u64>,
    /// Runs that had a fault or a conduct, by name.
    pub injected: BTreeMap<String, u64>,
    /// What was reached, by name.
    pub reached: BTreeMap<String, u64>,
    /// Runs by the time that healing took, in powers of two of 100 ms.
    pub healing: BTreeMap<u64, u64>,
    /// The runs that took longest to heal: time, seed.
    pub slowest: Vec<(u64, u64)>,
    /// What was found.
    pub failures: Vec<Failure>,
}

impl Outcome {
    /// A run in short.
    #[must_use]
    pub fn of(seed: u64, plan: &FaultPlan, report: &Report) -> Self {
        let conducts =
            plan.settings.byzantine.values().flatten().map(|conduct| format!("byzantine: {}", conduct.name()));
        let mut injected: Vec<String> = plan.events.iter().map(|timed| timed.fault.name()).chain(conducts).collect();
        let network = plan.settings.network;
        let degraded = [
            ("loss", network.loss_per_mille),
            ("duplicates", network.duplicate_per_mille),
            ("slow packets", network.slow_per_mille),
            ("flipped bits", network.flip_per_mille),
        ];
        injected.extend(degraded.iter().filter(|(_, rate)| *rate > 0).map(|(name, _)| (*name).to_owned()));
        injected.extend((network.bytes_per_second > 0).then(|| "narrow links".to_owned()));
        injected.extend(plan.settings.twins.iter().map(|_| "twins".to_owned()));
        injected.sort();
        injected.dedup();
        Self {
            seed,
            validators: plan.settings.validators,
            injected,
            exit_code: plan.expect.exit_code(&report.verdict),
            verdict: report.verdict.clone(),
            virtual_ms: report.virtual_ms,
            deliveries: report.deliveries,
            healed_in_ms: report.healed_in_ms,
            reached: report.reached.clone(),
        }
    }
}

impl Summary {
    /// Before the first run.
    #[must_use]
    pub fn new(profile: &str, from: u64) -> Self {
        Self { profile: profile.to_owned(), from, next: from, ..Self::default() }
    }

    /// Counts the next seed's run.
    pub fn add(&mut self, outcome: Outcome) {
        self.runs += 1;
        self.next = outcome.seed.saturating_add(1);
        self.virtual_ms += outcome.virtual_ms;
        self.deliveries += outcome.deliveries;
        *self.sizes.entry(outcome.validators).or_default() += 1;
        for name in outcome.injected {
            *self.injected.entry(name).or_default() += 1;
        }
        for (what, count) in outcome.reached {
            *self.reached.entry(what.to_owned()).or_default() += count;
        }
        if let Some(healed_ms) = outcome.healed_in_ms {
            *self.healing.entry((healed_ms / 100).max(1).next_power_of_two() * 100).or_default() += 1;
            self.slowest.push((healed_ms, outcome.seed));
            self.slowest.sort_unstable_by(|one, other| other.cmp(one));
            self.slowest.truncate(MOST_SLOW);
        }
        if outcome.exit_code != 0 {
            self.fail(outcome.seed, outcome.exit_code, &outcome.verdict);
        }
    }

    fn fail(&mut self, seed: u64, exit_code: u8, verdict: &Verdict) {
        let key = verdict.cause();
        if let Some(known) = self.failures.iter_mut().find(|failure| failure.key == key) {
            known.count += 1;
            if known.seeds.len() < MOST_SEEDS {
                known.seeds.push(seed);
            }
            return;
        }
        self.failures.push(Failure { key, exit_code, verdict: verdict.to_string(), count: 1, seeds: vec![seed] });
    }

    /// Runs that found something.
    #[must_use]
    pub fn found(&self) -> u64 {
        self.failures.iter().map(|failure| failure.count).sum()
    }

    /// The exit code: that of the gravest thing found (simulation §3).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.failures.iter().map(|failure| failure.exit_code).min().unwrap_or(0)
    }

    /// Branches never reached.
    #[must_use]
    pub fn missed(&self) -> Vec<probes::Probe> {
        probes::missed(&self.reached)
    }

    /// Runs seeds one after the other; stops early after `most` that found something.
    pub fn run(profile: Profile, seeds: std::ops::Range<u64>, most: u64) -> Self {
        let mut summary = Self::new(profile.name(), seeds.start);
        for seed in seeds {
            let plan = super::generate::plan_in(profile, seed);
            summary.add(Outcome::of(seed, &plan, &super::phases::run(&plan, false)));
            if summary.found() >= most {
                break;
            }
        }
        summary
    }
}

impl Verdict {
    /// What was violated and why, without numbers and digests: two runs with the same have found the same.
    #[must_use]
    pub fn cause(&self) -> String {
        match self {
            Self::Passed => "what was expected didn't happen".to_owned(),
            Self::Unsafe(violation) => {
                let fact = violation.facts.last().map(String::as_str).unwrap_or_default();
                format!("{}: {}", violation.invariant, without_numbers(fact))
            }
            Self::Stuck { pending } => {
                let is_report = |line: &&String| line.contains("Report {") || line.contains("Some(");
                let mut lines: Vec<String> =
                    pending.iter().filter(|line| !is_report(line)).map(|line| without_numbers(line)).collect();
                lines.sort();
                lines.dedup();
                format!("stuck: {}", lines.join("; "))
            }
            Self::Harness(reason) => format!("harness: {}", without_numbers(reason)),
        }
    }
}

/// The first words of a line, with each word that holds a digit as `#`.
fn without_numbers(line: &str) -> String {
    let is_number = |word: &str| word.chars().any(|c| c.is_ascii_digit());
    let words = line.split_whitespace().take(14).map(|word| if is_number(word) { "#" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Violation;
    use super::*;

    fn outcome(seed: u64, fact: &str) -> Outcome {
        let violation = Violation { invariant: "agreement", clause: "protocol §10", facts: vec![fact.to_owned()] };
        Outcome {
            seed,
            validators: 4,
            injected: Vec::new(),
            verdict: Verdict::Unsafe(violation),
            exit_code: 1,
            virtual_ms: 1,
            deliveries: 1,
            healed_in_ms: None,
            reached: BTreeMap::new(),
        }
    }

    /// simulation §3
    #[test]
    fn failures_with_one_invariant_and_cause_are_one() {
        let mut summary = Summary::new("any", 1);
        summary.add(outcome(1, "validator 1 delivered abc123 at sequence 4"));
        summary.add(outcome(2, "validator 3 delivered ff0012 at sequence 9"));
        summary.add(outcome(3, "validator 3 executes sequence 9"));
        assert_eq!(summary.failures.len(), 2);
        assert_eq!(summary.failures[0].seeds, [1, 2]);
        assert_eq!((summary.found(), summary.exit_code(), summary.next), (3, 1, 4));
    }

    #[test]
    fn a_summary_survives_its_file() {
        let mut summary = Summary::new("any", 1);
        summary.add(outcome(1, "x"));
        let json = serde_json::to_string(&summary).unwrap();
        assert_eq!(serde_json::from_str::<Summary>(&json).unwrap(), summary);
    }
}
