//! A script with a view change, crashed at every save and at every send (simulation §2.4).

use quorate_sim::world::{CrashPoints, script};

/// protocol §7.1, §10: no conflicting signature, no lost acknowledged operation, and the cluster goes on.
#[test]
fn a_crash_at_any_save_or_send_contradicts_and_loses_nothing() {
    let points = CrashPoints::of(script(7));
    assert!(points.count() > 500, "{} points are too few for a script with a view change", points.count());
    for ordinal in 1..=points.count() {
        // The fate of what wasn't synced alternates; `quorate-sim crashes` tries both at each point.
        let keep = ordinal % 2 == 0;
        let report = points.run(ordinal, keep);
        assert!(report.verdict.is_passed(), "point {ordinal}, keep {keep}: {}", report.verdict);
        let times = |what: &str| report.reached.get(what).copied().unwrap_or_default();
        assert_eq!(times("crash"), 1, "point {ordinal} of {} was reached", points.count());
        assert!(times("view entered") > 0, "the script has a view change; point {ordinal}");
    }
}
