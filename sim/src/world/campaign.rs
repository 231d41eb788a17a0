//! Many runs, and what they have reached together.

use std::collections::BTreeMap;
use std::ops::Range;

use super::generate::{Profile, plan_in};
use super::phases::run;
use super::verdict::{Report, Verdict};

/// What a campaign showed.
#[derive(Clone, Debug, Default)]
pub struct Campaign {
    /// Runs carried out.
    pub runs: u64,
    /// Virtual time of all runs.
    pub virtual_ms: u64,
    /// Packets delivered in all runs.
    pub deliveries: u64,
    /// What was reached, by name.
    pub reached: BTreeMap<&'static str, u64>,
    /// Seeds that found something, with what.
    pub failures: Vec<(u64, Verdict)>,
}

/// Branches that a campaign of some hundred seeds must have reached (simulation §4).
pub const MUST_REACH: [&str; 12] = [
    "bit flipped on the way",
    "complaint",
    "contradiction seen",
    "crash",
    "delivered",
    "duplicated",
    "lost",
    "message refused at the door",
    "operation acknowledged",
    "stable checkpoint",
    "store lost",
    "view entered",
];

impl Campaign {
    /// Runs seeds; stops early after `most` failures.
    pub fn run(profile: Profile, seeds: Range<u64>, most: usize, mut after_each: impl FnMut(u64, &Report)) -> Self {
        let mut campaign = Self::default();
        for seed in seeds {
            let report = run(&plan_in(profile, seed), false);
            after_each(seed, &report);
            campaign.add(seed, report);
            if campaign.failures.len() >= most {
                break;
            }
        }
        campaign
    }

    fn add(&mut self, seed: u64, report: Report) {
        self.runs += 1;
        self.virtual_ms += report.virtual_ms;
        self.deliveries += report.deliveries;
        for (what, count) in report.reached {
            *self.reached.entry(what).or_default() += count;
        }
        if !report.verdict.is_passed() {
            self.failures.push((seed, report.verdict));
        }
    }

    /// Branches never reached.
    #[must_use]
    pub fn missed(&self) -> Vec<&'static str> {
        MUST_REACH.into_iter().filter(|what| self.reached.get(what).is_none_or(|count| *count == 0)).collect()
    }
}
