//! Slow primaries, and the scheduled rotation (protocol §4.11, §4.12).

use quorate_consensus::{Cause, CoreNotice, Effect, Input, LaneWaits, Link};
use quorate_types::ids::{BundleNumber, ValidatorIndex, View};
use quorate_types::parameters::Parameters;

use crate::support::{
    Bench, WALL_MS, child_at, complaint, complaints_in, genesis, index, link_of, parameters, stages, status,
};

/// The tests' clock advances by this.
const STEP_MS: u64 = 10;

fn causes(effects: &[Effect]) -> Vec<Cause> {
    stages(effects, |effect| match effect {
        Effect::Notice(CoreNotice::Complains(_, cause)) => Some(*cause),
        _ => None,
    })
}

/// Round trips count as 50 ms, so a share may wait for 200 ms; two timeouts are a second.
fn judging() -> Parameters {
    Parameters { late_percent: 12, ..unjudged() }
}

/// A window that no test fills, and no other complaint than that of the timeout.
fn unjudged() -> Parameters {
    let (window, checkpoint_interval) = (16_384, 4_096);
    Parameters { fairness_ms: 60_000, checkpoint_max_age_ms: 86_400_000, window, checkpoint_interval, ..parameters() }
}

/// A validator under a primary that names one bundle of a lane in each proposal, after a delay, and commits it.
struct Reign {
    bench: Bench,
    lane: ValidatorIndex,
    tip: Link,
    number: u64,
    effects: Vec<Effect>,
}

impl Reign {
    /// Under primary 0, as seen by validator 1, whose own lane or another one waits.
    fn new(lane: u16, parameters: Parameters) -> Self {
        let bench = Bench::of(4, 1, parameters);
        Self { bench, lane: index(lane), tip: genesis(), number: 0, effects: Vec::new() }
    }

    fn waits(&self, numbers: u64, operations: u64) -> Input {
        let number = BundleNumber(self.number + numbers);
        Input::Demand(vec![LaneWaits { lane: self.lane, number, bytes: 10, operations }])
    }

    /// Time passes while the primary is heard of.
    fn pass(&mut self, ms: u64, demand: &Input) {
        for _ in 0..ms / STEP_MS {
            let primary = self.bench.core.primary();
            let report = status(self.bench.core.view().0, true, self.tip.sequence.0);
            self.effects.extend(self.bench.status(primary.0, report));
            self.effects.extend(self.bench.step(demand.clone()));
            self.effects.extend(self.bench.pass(STEP_MS));
        }
    }

    /// The next bundle of the lane waits for `delay_ms`, then it is named and committed.
    fn proposal_after(&mut self, delay_ms: u64) {
        self.pass(delay_ms, &self.waits(1, 1));
        self.number += 1;
        let view = self.bench.core.view().0;
        let mut proposal = child_at(self.tip, self.number, self.bench.now.wall_ms.max(WALL_MS));
        proposal.payload.tips[0].lane = self.lane;
        self.effects.extend(self.bench.deliver(view, std::slice::from_ref(&proposal)));
        self.tip = link_of(&proposal);
    }

    fn complained(&self) -> Vec<Cause> {
        causes(&self.effects)
    }
}

/// protocol §4.11: commits come before every timeout, and the primary is complained about all the same.
#[test]
fn a_primary_just_under_the_timeout_is_slow() {
    let mut reign = Reign::new(1, judging());
    (0..3).for_each(|_| reign.proposal_after(450));
    assert_eq!(reign.complained(), [], "two timeouts of late time are borne");
    (0..3).for_each(|_| reign.proposal_after(450));
    assert_eq!(reign.complained(), [Cause::SlowPrimary]);
    let slowness = reign.bench.core.slowness().unwrap();
    assert_eq!((slowness.view, slowness.allowed_ms), (View(0), 200));
    assert!(slowness.longest_ms >= 440, "{slowness:?}");
    assert!(!complaints_in(&reign.effects).is_empty());
}

/// protocol §4.11: within the allowance nothing is late, for hours.
#[test]
fn a_primary_within_the_allowance_is_never_slow() {
    let mut reign = Reign::new(1, judging());
    (0..2_000).for_each(|_| reign.proposal_after(190));
    assert_eq!(reign.complained(), []);
}

/// protocol §4.11: a delay that grows by little is judged like one that was always there.
#[test]
fn a_delay_that_grows_slowly_does_not_move_its_own_bound() {
    let mut reign = Reign::new(1, judging());
    let mut delay_ms = 20;
    while reign.complained().is_empty() && delay_ms < 450 {
        (0..5).for_each(|_| reign.proposal_after(delay_ms));
        delay_ms += STEP_MS;
    }
    assert_eq!(reign.complained(), [Cause::SlowPrimary]);
    assert!(delay_ms < 320, "not before {delay_ms} ms");
}

/// protocol §4.11: nineteen good proposals don't pay for one at nine tenths of the timeout.
#[test]
fn a_primary_that_is_slow_now_and_then_is_slow() {
    let mut reign = Reign::new(1, judging());
    for _ in 0..12 {
        (0..19).for_each(|_| reign.proposal_after(20));
        reign.proposal_after(450);
    }
    assert_eq!(reign.complained(), [Cause::SlowPrimary]);
}

/// protocol §4.11: a backlog of many shares may wait for as many allowances.
#[test]
fn a_backlog_that_fills_many_proposals_may_wait_longer() {
    let operations = |shares: u64| shares * u64::from(parameters().max_proposal_operations) / 4;
    let mut reign = Reign::new(1, judging());
    let (many, one) = (reign.waits(1, operations(8)), reign.waits(1, operations(1)));
    // Something else commits meanwhile, so that the progress timer says nothing.
    let others = |reign: &mut Reign, demand: &Input| {
        for _ in 0..7 {
            reign.pass(200, demand);
            let time = reign.bench.now.wall_ms;
            let mut proposal = child_at(reign.tip, 1, time);
            proposal.payload.tips[0].lane = index(3);
            reign.effects.extend(reign.bench.deliver(0, std::slice::from_ref(&proposal)));
            reign.tip = link_of(&proposal);
        }
    };
    others(&mut reign, &many);
    assert_eq!(reign.complained(), []);
    let mut reign = Reign::new(1, judging());
    others(&mut reign, &one);
    assert_eq!(reign.complained(), [Cause::SlowPrimary]);
}

/// protocol §4.11: a single other lane, which may talk to all but the primary, is late an interval of `Status` later.
#[test]
fn a_single_other_lane_is_late_only_when_the_primary_was_told_of_it() {
    let mut reign = Reign::new(2, judging());
    (0..40).for_each(|_| reign.proposal_after(290));
    assert_eq!(reign.complained(), []);
    (0..12).for_each(|_| reign.proposal_after(450));
    assert_eq!(reign.complained(), [Cause::SlowPrimary]);
}

/// protocol §4.11: while ordering waits for execution alone, nothing is late.
#[test]
fn overload_of_execution_makes_no_primary_slow() {
    let mut reign = Reign::new(1, Parameters { window: 8, checkpoint_interval: 4, ..judging() });
    (0..8).for_each(|_| reign.proposal_after(20));
    let demand = reign.waits(1, 1);
    reign.pass(5_000, &demand);
    assert_eq!(reign.complained(), [], "the window is full: stable is 0, and W is 8");
}

/// protocol §4.11, §4.8: one that is alone with it doubts itself and bears twice as much.
#[test]
fn who_alone_finds_the_primary_slow_doubts_itself() {
    let mut reign = Reign::new(1, judging());
    (0..12).for_each(|_| reign.proposal_after(450));
    assert_eq!(reign.complained(), [Cause::SlowPrimary]);
    assert!(reign.bench.core.self_doubt() >= 2);
}

/// protocol §4.11: with others who find the same, the view is left, and the next one is given twice the time.
#[test]
fn a_view_left_for_slowness_makes_patient() {
    let mut reign = Reign::new(1, judging());
    (0..6).for_each(|_| reign.proposal_after(450));
    let time = reign.bench.core.tip().time.0;
    reign.effects.extend(reign.bench.complaint(complaint(2, 0, time)));
    assert_eq!((reign.bench.core.view(), reign.bench.core.is_active()), (View(1), false));
    assert_eq!(reign.bench.core.slowness(), None);
    reign.bench.enter(2, None, None);
    (0..4).for_each(|_| reign.proposal_after(390));
    assert_eq!(reign.complained(), [Cause::SlowPrimary], "400 ms are allowed now");
}

/// protocol §4.11: 100 percent: never judged.
#[test]
fn slowness_can_be_left_unjudged() {
    let mut reign = Reign::new(1, unjudged());
    (0..40).for_each(|_| reign.proposal_after(450));
    assert_eq!(reign.complained(), []);
    assert_eq!(reign.bench.core.slowness(), None);
}

/// protocol §4.12: a view in which something commits lasts so long and no longer; and nobody doubts itself for it.
#[test]
fn a_view_that_is_used_ends_after_its_time() {
    let mut reign = Reign::new(1, Parameters { rotation_ms: 120_000, ..unjudged() });
    reign.proposal_after(20);
    reign.pass(119_900, &Input::Demand(Vec::new()));
    assert_eq!(reign.complained(), []);
    reign.pass(200, &Input::Demand(Vec::new()));
    assert_eq!(reign.complained(), [Cause::Rotation]);
    (0..4).for_each(|_| reign.proposal_after(300));
    assert_eq!(reign.bench.core.self_doubt(), 1);
    let time = reign.bench.core.tip().time.0;
    reign.bench.complaint(complaint(2, 0, time));
    assert_eq!(reign.bench.core.view(), View(1));
}

/// protocol §4.12
#[test]
fn an_idle_view_stays() {
    let mut reign = Reign::new(1, Parameters { rotation_ms: 120_000, ..unjudged() });
    reign.pass(400_000, &Input::Demand(Vec::new()));
    assert_eq!(reign.complained(), []);
    assert_eq!(reign.bench.core.view(), View(0));
}
