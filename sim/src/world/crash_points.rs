//! A short script with a view change, crashed at every save and every send (simulation §2.4).

use super::phases::run;
use super::plan::{Expectation, FORMAT, Fault, FaultPlan, Target, TimedFault};
use super::settings::Settings;
use super::verdict::Report;

/// Operations are ordered, the primary is cut off, a view change follows, the primary comes back.
#[must_use]
pub fn script(seed: u64) -> FaultPlan {
    let mut settings = Settings::calm(4);
    settings.workload.operations = 8;
    settings.workload.interval_us = 25_000;
    settings.safety_ms = 900;
    settings.protocol.timeout_base_ms = 100;
    let events = vec![
        TimedFault { at_ms: 150, fault: Fault::Isolate { target: Target::Primary } },
        TimedFault { at_ms: 600, fault: Fault::Heal },
    ];
    FaultPlan { format: FORMAT, seed, settings, expect: Expectation::Pass, events }
}

/// The runs of a script, one per point and fate of what wasn't synced.
#[derive(Clone, Debug)]
pub struct CrashPoints {
    script: FaultPlan,
    points: u64,
}

impl CrashPoints {
    /// Counts the points of a script by running it.
    #[must_use]
    pub fn of(script: FaultPlan) -> Self {
        let points = run(
            &FaultPlan { settings: Settings { liveness_ms: 0, ..script.settings.clone() }, ..script.clone() },
            false,
        );
        Self { points: points.crash_points, script }
    }

    /// How many points there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.points
    }

    /// The plan that crashes at one point, counted from 1.
    #[must_use]
    pub fn plan(&self, ordinal: u64, keep: bool) -> FaultPlan {
        let mut plan = self.script.clone();
        plan.events.insert(0, TimedFault { at_ms: 0, fault: Fault::CrashAtPoint { ordinal, keep, down_ms: 120 } });
        plan
    }

    /// Runs the crash at one point.
    #[must_use]
    pub fn run(&self, ordinal: u64, keep: bool) -> Report {
        run(&self.plan(ordinal, keep), false)
    }
}
