//! State transfer in the world: far behind, with crashes of both sides and hostile providers (protocol §8.7).

use quorate_sim::scenario;
use quorate_sim::world::run;

/// protocol §8.3, §8.7
#[test]
fn far_behind_validators_come_back_whatever_dies_or_lies() {
    for key in ["far-behind", "far-behind-on-liars"] {
        let scenario = scenario::built_in().find(|scenario| scenario.key() == key).unwrap();
        let mut reached = std::collections::BTreeMap::new();
        for seed in 0..12 {
            let plan = scenario.plan(seed).unwrap();
            let report = run(&plan, false);
            assert!(plan.expect.is_met(&report.verdict), "{key}, seed {seed}: {}", report.verdict);
            assert_eq!(scenario.admit(&report), Ok(()), "{key}, seed {seed}");
            for (name, times) in report.reached {
                *reached.entry(name).or_insert(0_u64) += times;
            }
        }
        if key == "far-behind-on-liars" {
            assert!(reached.contains_key("part of a snapshot refused"), "{reached:?}");
            assert!(reached.contains_key("provider of a snapshot passed over"), "{reached:?}");
        }
    }
}
