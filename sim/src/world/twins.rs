//! Twins: one validator's key on two machines that run the correct code, and every way in which the network
//! may fall into two halves in each of a few periods (simulation §2.5).
//!
//! Equivocation, double votes and lost state come for free.

use super::plan::{Expectation, FORMAT, Fault, FaultPlan, TimedFault};
use super::settings::Settings;

/// The length of a period: a little more than the first patience of a backup.
const PERIOD_MS: u64 = 260;

/// All cases for some number of validators and periods.
#[derive(Clone, Copy, Debug)]
pub struct Twins {
    validators: u16,
    periods: u32,
}

/// Which validator is doubled, and for each period who is on the second side, by bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The validator with two machines.
    pub twin: u16,
    /// The second side of each period; the machine 0 is always on the first.
    pub sides: Vec<u64>,
}

impl Twins {
    /// For so many validators and periods.
    #[must_use]
    pub const fn new(validators: u16, periods: u32) -> Self {
        Self { validators, periods }
    }

    /// How many cases there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        let splits = 1_u64.checked_shl(u32::from(self.validators) * self.periods).unwrap_or(u64::MAX);
        splits.saturating_mul(self.validators.into())
    }

    /// A number of a case for each `index`: all cases if every index is used, an even sample without repetition
    /// if only the first ones are.
    #[must_use]
    pub fn sampled(&self, index: u64) -> u64 {
        // An odd factor permutes the numbers below a power of two; the doubled validator varies fastest.
        let validators = u64::from(self.validators);
        let splits = (self.count() / validators).max(1);
        let (twin, split) = (index % validators, index / validators % splits);
        twin + validators * (split.wrapping_mul(0x9e37_79b9_7f4a_7c15) % splits)
    }

    /// The case with this number.
    #[must_use]
    pub fn case(&self, number: u64) -> Case {
        let validators = u64::from(self.validators);
        let twin = u16::try_from(number % validators).unwrap_or(0);
        let mut splits = number / validators;
        let mask = (1_u64 << self.validators) - 1;
        let mut sides = Vec::new();
        for _ in 0..self.periods {
            // Machine 0 has no bit: sides have no names.
            sides.push((splits & mask) << 1);
            splits >>= self.validators;
        }
        Case { twin, sides }
    }

    /// The plan of a case.
    #[must_use]
    pub fn plan(&self, number: u64) -> FaultPlan {
        let Case { twin, sides } = self.case(number);
        let mut settings = Settings::calm(self.validators);
        settings.twins = vec![twin];
        settings.protocol.timeout_base_ms = 100;
        settings.workload.operations = 8;
        settings.workload.interval_us = 60_000;
        settings.workload.twice_per_mille = 500;
        settings.safety_ms = PERIOD_MS * sides.len() as u64;
        let mut events = Vec::new();
        for (period, side) in (0..).zip(sides) {
            let (second, first) = (0..=self.validators).partition(|machine| side >> machine & 1 == 1);
            let at_ms = period * PERIOD_MS;
            events.push(TimedFault { at_ms, fault: Fault::Heal });
            events.push(TimedFault { at_ms, fault: Fault::Partition { groups: vec![first, second] } });
        }
        // Delays differ from case to case, but a case has always the same.
        FaultPlan { format: FORMAT, seed: number, settings, expect: Expectation::Pass, events }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::phases::run;
    use super::*;

    #[test]
    fn every_case_is_sampled_once() {
        let twins = Twins::new(4, 1);
        let all: BTreeSet<u64> = (0..twins.count()).map(|index| twins.sampled(index)).collect();
        assert_eq!(all.len() as u64, twins.count());
        assert_eq!(twins.count(), 64);
        let cases: BTreeSet<(u16, Vec<u64>)> =
            all.iter().map(|n| (twins.case(*n).twin, twins.case(*n).sides)).collect();
        assert_eq!(cases.len(), 64);
    }

    /// simulation §2.5, protocol §10: agreement holds, and nobody but the twin is blamed.
    #[test]
    fn one_period_of_four_validators_is_safe_and_heals_in_every_case() {
        let twins = Twins::new(4, 1);
        let mut blamed = 0;
        for number in 0..twins.count() {
            let report = run(&twins.plan(number), false);
            assert!(report.verdict.is_passed(), "case {number}: {}", report.verdict);
            let twin = twins.case(number).twin;
            assert!(report.blamed.keys().all(|offender| *offender == twin), "case {number}: {:?}", report.blamed);
            blamed += u64::from(!report.blamed.is_empty());
        }
        assert!(blamed > 0, "a twin contradicts itself in some case");
    }
}
