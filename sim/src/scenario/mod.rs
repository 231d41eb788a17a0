//! Scenarios: runs described in TOML, by us or by a user, with what they are expected to show
//! (simulation §3).
//!
//! A file that is wrong is refused with its name, the line, and what was expected there. One that says it
//! corrupts validators and would corrupt nobody is refused too.

mod file;

use std::path::Path;

use thiserror::Error;

use crate::byzantine::Behaviours;
use crate::world::{Expectation, FORMAT, FaultPlan, PlanError, Report, Settings, TimedFault, WorkloadSettings};
use file::{Corruption, File};

macro_rules! built_in {
    ($($key:literal),* $(,)?) => {
        const BUILT_IN: &[(&str, &str)] = &[$(($key, include_str!(concat!("../../scenarios/", $key, ".toml")))),*];
    };
}

built_in!(
    "normal",
    "high-latency",
    "packet-loss",
    "byzantine",
    "large-state",
    "rapid-churn",
    "mute-primary",
    "slow-primary",
    "equivocating-primary",
    "censoring-primary",
    "partition-and-heal",
    "rolling-restart",
    "disk-loss",
    "epoch-change",
    "convicted",
    "evicted",
    "far-behind",
    "far-behind-on-liars",
    "too-many-byzantine",
    "flood",
);

/// A scenario that was read and makes sense.
#[derive(Clone, Debug)]
pub struct Scenario {
    key: String,
    file: File,
}

/// Why a scenario or a workload can't be used.
#[derive(Debug, Error)]
pub enum ScenarioError {
    /// The file can't be read.
    #[error("{file} can't be read: {cause}; expected a TOML file, or one of: {known}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why not.
        cause: std::io::Error,
        /// Built-in names.
        known: String,
    },
    /// It isn't of the right form.
    #[error("{file}: {cause}")]
    Form {
        /// The file.
        file: String,
        /// Line, column, what was found and what was expected.
        cause: Box<toml::de::Error>,
    },
    /// It is well-formed and makes no sense.
    #[error("{file}, line {line}: {reason}")]
    Sense {
        /// The file.
        file: String,
        /// The line.
        line: usize,
        /// What was found, and what was expected.
        reason: String,
    },
    /// The plan that it makes isn't one.
    #[error("scenario {key} with {validators} validators: {cause}")]
    Plan {
        /// The scenario.
        key: String,
        /// How many.
        validators: u16,
        /// Why.
        cause: PlanError,
    },
}

/// Those built in.
///
/// # Panics
/// Never: a test reads each of them.
pub fn built_in() -> impl Iterator<Item = Scenario> {
    BUILT_IN.iter().map(|(key, text)| {
        Scenario::parse(key, text, &Behaviours::new()).expect("a test reads each scenario that is built in")
    })
}

/// A scenario by name, or from a file.
///
/// # Errors
/// If there is none, or it is wrong.
pub fn load(name: &str, behaviours: &Behaviours) -> Result<Scenario, ScenarioError> {
    if let Some((key, text)) = BUILT_IN.iter().find(|(key, _)| *key == name) {
        return Scenario::parse(key, text, behaviours);
    }
    let text = read(Path::new(name))?;
    Scenario::parse(name, &text, behaviours)
}

/// What clients do, from a file.
///
/// # Errors
/// If there is none, or it is wrong.
pub fn load_workload(path: &Path) -> Result<WorkloadSettings, ScenarioError> {
    let text = read(path)?;
    parse(&path.display().to_string(), &text)
}

fn read(path: &Path) -> Result<String, ScenarioError> {
    std::fs::read_to_string(path).map_err(|cause| ScenarioError::Unreadable {
        file: path.display().to_string(),
        cause,
        known: BUILT_IN.iter().map(|(key, _)| *key).collect::<Vec<_>>().join(", "),
    })
}

fn parse<T: serde::de::DeserializeOwned>(file: &str, text: &str) -> Result<T, ScenarioError> {
    toml::from_str(text).map_err(|cause| ScenarioError::Form { file: file.to_owned(), cause: Box::new(cause) })
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(key: &str, text: &str, behaviours: &Behaviours) -> Result<Self, ScenarioError> {
        let file: File = parse(key, text)?;
        file.admit(behaviours).map_err(|(at, reason)| {
            let line = text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
            ScenarioError::Sense { file: key.to_owned(), line, reason }
        })?;
        let key = Path::new(key).file_stem().map_or(key.into(), |stem| stem.to_string_lossy());
        Ok(Self { key: key.into_owned(), file })
    }

    /// The name by which it is called.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What it shows, in a sentence.
    #[must_use]
    pub fn about(&self) -> &str {
        &self.file.about
    }

    /// The plan of a seed: sizes take turns.
    ///
    /// # Errors
    /// If the plan makes no sense.
    pub fn plan(&self, seed: u64) -> Result<FaultPlan, ScenarioError> {
        let file = &self.file;
        let sizes = file.validators.get_ref();
        let turn = usize::try_from(seed % sizes.len().max(1) as u64).unwrap_or(0);
        let validators = sizes.get(turn).copied().unwrap_or(4);
        let mut settings = Settings {
            real_signatures: file.real_signatures,
            protocol: file.protocol,
            network: file.network,
            storage: file.storage,
            workload: file.workload,
            safety_ms: file.safety_ms,
            liveness_ms: file.liveness_ms,
            ..Settings::calm(validators)
        };
        for corruption in &file.byzantine {
            let Corruption { does, .. } = corruption.get_ref();
            for who in corruption.get_ref().who(validators) {
                settings.byzantine.entry(who).or_default().extend(does.iter().cloned());
            }
        }
        let mut events: Vec<TimedFault> = file.events.iter().flat_map(|event| event.get_ref().occurrences()).collect();
        events.sort_by_key(|timed| timed.at_ms);
        let expect = file.expect.expectation();
        let plan = FaultPlan { format: FORMAT, seed, settings, expect, events };
        plan.admit().map_err(|cause| ScenarioError::Plan { key: self.key.clone(), validators, cause })?;
        Ok(plan)
    }

    /// Whether a run showed everything beyond the verdict that the scenario expects.
    ///
    /// # Errors
    /// What it didn't.
    pub fn admit(&self, report: &Report) -> Result<(), String> {
        let expect = &self.file.expect;
        let times = |name: &str| report.reached.get(name).copied().unwrap_or(0);
        if let Some(missing) = expect.reaches.iter().find(|name| times(name.get_ref()) == 0) {
            return Err(format!("the run never reached '{}'", missing.get_ref()));
        }
        let acknowledged = times("operation acknowledged");
        if acknowledged < expect.acknowledged_at_least {
            return Err(format!(
                "{acknowledged} operations were acknowledged, expected at least {}",
                expect.acknowledged_at_least
            ));
        }
        if let (Some(most_ms), Some(healed_ms)) = (expect.heals_within_ms, report.healed_in_ms)
            && healed_ms > most_ms
        {
            return Err(format!("healing took {healed_ms} ms, expected at most {most_ms} ms"));
        }
        if let Some(most) = expect.views_at_most
            && times("view entered") > most * u64::from(report.validators)
        {
            return Err(format!("{} views were entered, expected at most {most} by each", times("view entered")));
        }
        if report.culprits.len() < expect.culprits_at_least {
            let (named, least) = (report.culprits.len(), expect.culprits_at_least);
            return Err(format!("forensics names {named} culprits, expected at least {least}"));
        }
        let mut named = report.blamed.keys().chain(report.culprits.keys());
        let innocent = named.find(|offender| !report.byzantine.contains(offender));
        innocent.map_or(Ok(()), |who| Err(format!("validator {who}, which is correct, was blamed")))
    }

    /// Whether the run's end is the expected one.
    #[must_use]
    pub fn expects(&self) -> Expectation {
        self.file.expect.expectation()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Scenario::parse("mine.toml", text, &Behaviours::new()).unwrap_err().to_string()
    }

    #[test]
    fn every_scenario_that_is_built_in_makes_plans() {
        for scenario in built_in() {
            for seed in 0..3 {
                scenario.plan(seed).unwrap();
            }
            assert!(!scenario.about().is_empty());
        }
        assert!(built_in().count() >= 14);
    }

    /// simulation §3
    #[test]
    fn a_scenario_that_would_corrupt_nobody_is_refused_with_its_line() {
        let text = "about = \"x\"\nvalidators = [4]\n[expect]\nverdict = \"pass\"\n[[byzantine]]\nshare_percent = 20\ndoes = [\"mute\"]\n";
        let said = refusal(text);
        assert!(said.contains("mine.toml, line 5") && said.contains("corrupts nobody of 4"), "{said}");
    }

    #[test]
    fn what_is_wrong_is_named_with_line_and_expectation() {
        let head = "about = \"x\"\n[expect]\nverdict = \"pass\"\n";
        let said = refusal(&format!("{head}[network]\nloss = 3\n"));
        assert!(said.contains("mine.toml") && said.contains("line 5") && said.contains("loss_per_mille"), "{said}");
        let said = refusal(&format!(
            "{head}[[events]]\nat_ms = 1\nfault = {{ isolate = {{ target = {{ validator = 9 }} }} }}\n"
        ));
        assert!(said.contains("line 4") && said.contains("no validator 9"), "{said}");
        let said = refusal(&format!("{head}[[byzantine]]\nvalidators = [0]\ndoes = [\"equivocat\"]\n"));
        assert!(said.contains("'equivocat'") && said.contains("equivocate_half"), "{said}");
        let said = refusal("about = \"x\"\n[expect]\nverdict = \"violation\"\ninvariant = \"agreemnt\"\n");
        assert!(said.contains("line 4") && said.contains("agreement;"), "{said}");
    }

    #[test]
    fn beyond_the_budget_an_expectation_is_demanded() {
        let text =
            "about = \"x\"\n[expect]\nverdict = \"pass\"\n[[byzantine]]\nvalidators = [0, 1]\ndoes = [\"mute\"]\n";
        let said = Scenario::parse("mine", text, &Behaviours::new()).unwrap().plan(1).unwrap_err().to_string();
        assert!(said.contains("tolerates 1") && said.contains("state which violation is expected"), "{said}");
    }
}
