//! Where plans come from: a seed, a plan's file, a scenario by name or file, with a workload's file.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use crate::byzantine::{Behaviours, Conduct};
use crate::scenario::{self, Scenario};
use crate::world::{FaultPlan, PROBES, Profile, plan_in};

/// What plans are made from.
#[derive(Clone, Debug, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    /// A scenario, by name (see `quorate-sim list`) or as a TOML file
    #[arg(long, short, conflicts_with = "profile")]
    scenario: Option<String>,
    /// What random runs are like (`quorate-sim list` says more of each)
    #[arg(long, short, default_value = "any", value_parser = profile)]
    profile: Profile,
    /// A TOML file that says what the clients do, instead of what the seed or scenario says
    #[arg(long, short)]
    workload: Option<PathBuf>,
}

/// Makes plans from seeds.
#[derive(Clone, Debug)]
pub(super) struct Maker {
    profile: Profile,
    scenario: Option<Scenario>,
    workload: Option<crate::world::WorkloadSettings>,
    /// The arguments that make the same.
    pub(super) arguments: String,
    /// What is run, for people.
    pub(super) name: String,
}

impl Source {
    pub(super) fn maker(&self, behaviours: &Behaviours) -> anyhow::Result<Maker> {
        let scenario = self.scenario.as_deref().map(|name| scenario::load(name, behaviours)).transpose()?;
        let workload = self.workload.as_deref().map(scenario::load_workload).transpose()?;
        let mut arguments = match &self.scenario {
            Some(scenario) => format!("--scenario {scenario}"),
            None => format!("--profile {}", self.profile.name()),
        };
        if let Some(file) = &self.workload {
            arguments.push_str(&format!(" --workload {}", file.display()));
        }
        let name = match &scenario {
            Some(scenario) => scenario.key().to_owned(),
            None => self.profile.name().to_owned(),
        };
        Ok(Maker { profile: self.profile, scenario, workload, arguments, name })
    }
}

impl Maker {
    /// The plan of a seed.
    pub(super) fn plan(&self, seed: u64) -> anyhow::Result<FaultPlan> {
        let mut plan = match &self.scenario {
            Some(scenario) => scenario.plan(seed)?,
            None => plan_in(self.profile, seed),
        };
        if let Some(workload) = self.workload {
            plan.settings.workload = workload;
        }
        Ok(plan)
    }

    /// The scenario, if it is one.
    pub(super) const fn scenario(&self) -> Option<&Scenario> {
        self.scenario.as_ref()
    }
}

pub(super) fn profile(name: &str) -> Result<Profile, String> {
    let names: Vec<&str> = Profile::ALL.into_iter().map(|(name, _)| name).collect();
    let found = Profile::ALL.into_iter().find(|(known, _)| *known == name);
    found.map(|(_, profile)| profile).ok_or_else(|| format!("profiles are: {}", names.join(", ")))
}

/// A plan's file, or a seed of the profile `any`.
pub(super) fn plan_or_seed(text: &str) -> anyhow::Result<FaultPlan> {
    if let Ok(seed) = text.parse::<u64>() {
        return Ok(plan_in(Profile::Any, seed));
    }
    plan_file(Path::new(text))
}

/// A plan's file.
pub(super) fn plan_file(file: &Path) -> anyhow::Result<FaultPlan> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("{} can't be read; expected the plan.json of a run, or a seed", file.display()))?;
    match FaultPlan::from_json(&text) {
        Ok(plan) => Ok(plan),
        Err(error) => bail!("{}: {error}", file.display()),
    }
}

/// Everything that has a name.
pub(super) fn list(behaviours: &Behaviours) -> u8 {
    use super::style::bold;
    println!("{}", bold("Scenarios (run --scenario NAME, or your own TOML file)"));
    for scenario in scenario::built_in() {
        println!("  {:<22} {}", scenario.key(), scenario.about());
    }
    println!("\n{}", bold("Profiles of random runs (run or swarm --profile NAME)"));
    Profile::ALL.into_iter().for_each(|(name, profile)| println!("  {name:<22} {}", profile.about()));
    println!("\n{}", bold("Byzantine behaviours"));
    Conduct::ALL.iter().for_each(|conduct| println!("  {:<22} {}", conduct.name(), conduct.about()));
    for name in behaviours.names().into_iter().filter(|name| Conduct::ALL.iter().all(|known| known.name() != *name)) {
        println!("  {name:<22} Your own.");
    }
    println!("\n{}", bold("Probes (rare branches that a swarm should reach)"));
    PROBES.iter().for_each(|probe| println!("  {:<42} {}", probe.name, probe.about));
    0
}
