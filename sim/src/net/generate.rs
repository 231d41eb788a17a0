//! From a seed to a plan for this level: the world's, where a run stays short enough.

use crate::world::{FaultPlan, plan_of as world_plan_of};

/// Larger clusters are the world's: here every link is two TLS connections each way.
const MOST_VALIDATORS: u16 = 7;

/// The plan of a seed.
#[must_use]
pub fn plan_of(seed: u64) -> FaultPlan {
    // Seeds whose plans are too large lead to others, far away from those that people type.
    let candidates = (0..u64::MAX).map(|round| world_plan_of(seed.wrapping_add(round << 32)));
    let mut plan = candidates
        .into_iter()
        .find(|plan| plan.settings.validators <= MOST_VALIDATORS)
        .unwrap_or_else(|| world_plan_of(seed));
    plan.seed = seed;
    // Two nodes with one key refuse each other's links.
    plan.settings.twins.clear();
    // Keys of a genesis are real ones.
    plan.settings.real_signatures = true;
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_plan_and_no_plan_is_too_large() {
        for seed in 0..200 {
            let plan = plan_of(seed);
            assert_eq!(plan, plan_of(seed));
            assert!(plan.settings.validators <= MOST_VALIDATORS && plan.seed == seed);
        }
    }
}
