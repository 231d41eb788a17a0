//! Makes a failing plan smaller while it fails in the same way: fewer events, conducts, disturbances,
//! operations and validators, and less time (simulation §3).

use super::phases::{Options, run_with};
use super::plan::FaultPlan;
use super::settings::{Protocol, Settings};
use super::verdict::Verdict;

/// What a plan is shrunk to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kept {
    Unsafe(&'static str),
    Stuck,
}

impl Kept {
    fn of(verdict: &Verdict) -> Option<Self> {
        match verdict {
            Verdict::Unsafe(violation) => Some(Self::Unsafe(violation.invariant)),
            Verdict::Stuck { .. } => Some(Self::Stuck),
            Verdict::Passed | Verdict::Harness(_) => None,
        }
    }
}

/// The work on one plan.
#[derive(Debug)]
pub struct Shrinker<'a> {
    options: &'a Options,
    kept: Kept,
    plan: FaultPlan,
    /// Runs made.
    pub runs: u64,
    most_runs: u64,
}

impl<'a> Shrinker<'a> {
    /// Begins with a plan; `None` if nothing is wrong with it.
    #[must_use]
    pub fn new(plan: FaultPlan, most_runs: u64, options: &'a Options) -> Option<Self> {
        let kept = Kept::of(&run_with(&plan, options).verdict)?;
        Some(Self { options, kept, plan, runs: 1, most_runs })
    }

    /// Shrinks until nothing more can go, or all runs are used; tells of each step that succeeded.
    pub fn shrink(mut self, mut tell: impl FnMut(u64, &FaultPlan, &str)) -> FaultPlan {
        loop {
            let before = self.plan.clone();
            self.drop_events(&mut tell);
            self.drop_conducts(&mut tell);
            for (what, candidate) in simpler(&self.plan) {
                self.attempt(candidate, what, &mut tell);
            }
            if self.plan == before || self.runs >= self.most_runs {
                return self.plan;
            }
        }
    }

    /// Takes a smaller plan if it still fails in the same way.
    fn attempt(&mut self, candidate: FaultPlan, what: &str, tell: &mut impl FnMut(u64, &FaultPlan, &str)) -> bool {
        if candidate == self.plan || candidate.admit().is_err() || self.runs >= self.most_runs {
            return false;
        }
        self.runs += 1;
        let fails = Kept::of(&run_with(&candidate, self.options).verdict).as_ref() == Some(&self.kept);
        if fails {
            self.plan = candidate;
            tell(self.runs, &self.plan, what);
        }
        fails
    }

    /// Leaves out stretches of events, halves first, then smaller ones.
    fn drop_events(&mut self, tell: &mut impl FnMut(u64, &FaultPlan, &str)) {
        let mut length = self.plan.events.len().max(1);
        while length > 0 {
            let mut at = 0;
            while at < self.plan.events.len() {
                let mut candidate = self.plan.clone();
                let end = (at + length).min(candidate.events.len());
                candidate.events.drain(at..end);
                if !self.attempt(candidate, "fewer events", tell) {
                    at += length;
                }
            }
            length /= 2;
        }
    }

    fn drop_conducts(&mut self, tell: &mut impl FnMut(u64, &FaultPlan, &str)) {
        for who in self.plan.settings.byzantine.keys().copied().collect::<Vec<_>>() {
            let mut candidate = self.plan.clone();
            candidate.settings.byzantine.remove(&who);
            if self.attempt(candidate, "fewer Byzantine validators", tell) {
                continue;
            }
            let mut at = 0;
            while at < self.plan.settings.byzantine.get(&who).map_or(0, Vec::len) {
                let mut candidate = self.plan.clone();
                if let Some(conducts) = candidate.settings.byzantine.get_mut(&who) {
                    conducts.remove(at);
                }
                if !self.attempt(candidate, "fewer conducts", tell) {
                    at += 1;
                }
            }
        }
    }
}

/// Plans that are simpler in one respect each.
fn simpler(plan: &FaultPlan) -> Vec<(&'static str, FaultPlan)> {
    let with = |change: &dyn Fn(&mut Settings)| {
        let mut simpler = plan.clone();
        change(&mut simpler.settings);
        simpler.events.retain(|timed| timed.at_ms <= simpler.settings.safety_ms);
        simpler
    };
    let calm = Settings::calm(plan.settings.validators);
    vec![
        ("no packets lost", with(&|s| (s.network.loss_per_mille, s.network.flip_per_mille) = (0, 0))),
        ("no packets twice", with(&|s| s.network.duplicate_per_mille = 0)),
        ("no slow packets", with(&|s| (s.network.slow_per_mille, s.network.slow_us) = (0, 0))),
        ("an ordinary network", with(&|s| s.network = calm.network)),
        ("ordinary disks", with(&|s| s.storage = calm.storage)),
        ("small parameters", with(&|s| s.protocol = Protocol::small())),
        ("stand-in signatures", with(&|s| s.real_signatures = false)),
        ("half the operations", with(&|s| s.workload.operations /= 2)),
        ("one operation less", with(&|s| s.workload.operations = s.workload.operations.saturating_sub(1))),
        ("one client", with(&|s| s.workload.clients = s.workload.clients.min(1))),
        ("half the time", with(&|s| s.safety_ms /= 2)),
        ("three quarters of the time", with(&|s| s.safety_ms = s.safety_ms * 3 / 4)),
        ("one validator less", with(&|s| s.validators = s.validators.saturating_sub(1))),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::generate::plan_of;
    use super::super::plan::{Expectation, Fault, Target, TimedFault};
    use super::*;

    /// A cluster in which nobody ever starts again stays stuck; everything else in the plan is ballast.
    #[test]
    fn ballast_goes_and_what_matters_stays() {
        let mut settings = Settings::calm(4);
        settings.liveness_ms = 3_000;
        settings.network.duplicate_per_mille = 100;
        // No quorum can agree on a time: each proposal waits for longer than anyone does.
        settings.network.delay_min_us = 20_000_000;
        settings.network.delay_max_us = 20_000_000;
        let ballast = Fault::Pause { target: Target::Validator(1), for_ms: 5 };
        let events = (0..6).map(|n| TimedFault { at_ms: n * 100, fault: ballast.clone() }).collect();
        let expect = Expectation::Stuck;
        let plan = FaultPlan { events, settings, expect, ..plan_of(1) };
        let options = Options::default();
        if let Some(shrinker) = Shrinker::new(plan.clone(), 60, &options) {
            let small = shrinker.shrink(|_, _, _| {});
            assert!(small.events.is_empty(), "{:?}", small.events);
            assert_eq!(small.settings.network.duplicate_per_mille, 0);
        }
        let sound = FaultPlan { settings: Settings::calm(4), events: Vec::new(), ..plan };
        assert!(Shrinker::new(sound, 5, &options).is_none(), "nothing is wrong with a calm run");
    }
}
