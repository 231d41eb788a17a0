//! The window (protocol §6.1–§6.4).

use quorate_types::ids::Sequence;
use quorate_types::parameters::Parameters;
use quorate_types::vote::Phase;

use crate::support::{Bench, chain, child, genesis, link_of, parameters, places, prepares_in, votes_in};

/// protocol §6.1: votes only for sequences in `(stable, stable + W]`.
#[test]
fn votes_stop_at_the_end_of_the_window() {
    let mut bench = Bench::new(1);
    let proposals = chain(genesis(), 9, 1);
    for proposal in &proposals {
        bench.pre_prepare(0, proposal);
    }
    assert_eq!(prepares_in(&bench.log), [1, 2, 3, 4, 5, 6, 7, 8]);
}

/// protocol §6.2: the stable checkpoint moves the window, and what waited is voted for.
#[test]
fn a_stable_checkpoint_moves_the_window() {
    let mut bench = Bench::new(1);
    let proposals = chain(genesis(), 12, 1);
    bench.deliver(0, &proposals[..8]);
    for proposal in &proposals[8..] {
        assert_eq!(prepares_in(&bench.pre_prepare(0, proposal)), [0; 0]);
    }
    assert_eq!(prepares_in(&bench.stable(4)), [9, 10, 11, 12]);
}

/// protocol §6.2: it never goes back.
#[test]
fn the_stable_checkpoint_never_goes_back() {
    let mut bench = Bench::new(1);
    bench.deliver(0, &chain(genesis(), 8, 1));
    bench.stable(8);
    bench.stable(4);
    assert_eq!(bench.core.stable(), Sequence(8));
}

/// protocol §6.1: at or below the stable checkpoint nothing is kept and nothing is voted on.
#[test]
fn nothing_at_or_below_the_stable_checkpoint_is_taken() {
    let mut bench = Bench::new(1);
    let proposals = chain(genesis(), 8, 1);
    bench.deliver(0, &proposals);
    bench.stable(8);
    let before = bench.core.held();
    for proposal in &proposals {
        assert_eq!(votes_in(&bench.pre_prepare(0, proposal)), []);
        bench.votes(&[0, 2, 3], Phase::Prepare, 0, link_of(proposal));
    }
    assert_eq!(bench.core.held(), before);
}

/// protocol §6.1, §3.2 (c): right above the checkpoint the chain goes on from it, though all votes there are settled.
#[test]
fn the_chain_goes_on_right_above_the_checkpoint() {
    let mut bench = Bench::new(1);
    let proposals = chain(genesis(), 9, 1);
    bench.deliver(0, &proposals[..8]);
    bench.stable(8);
    assert_eq!(places(&votes_in(&bench.pre_prepare(0, &proposals[8]))), [(Phase::Prepare, 0, 9)]);
    assert_eq!(votes_in(&bench.pre_prepare(0, &child(link_of(&proposals[6]), 77))), []);
}

/// protocol §6.2: `W ≥ 2K`, or ordering would stand still while a checkpoint forms.
#[test]
fn a_window_of_less_than_two_intervals_is_refused() {
    let parameters =
        |window| Parameters { checkpoint_interval: 64, window, min_epoch_sequences: 1 << 20, ..Parameters::default() };
    assert!(parameters(127).check().is_err());
    assert_eq!(parameters(128).check(), Ok(()));
}

/// protocol §6.4: the largest proposal passes the slowest link within the timeout cap.
#[test]
fn a_proposal_too_large_for_the_slowest_link_is_refused() {
    let parameters = |min_link_bytes_per_second| Parameters {
        max_proposal_bytes: 8 << 20,
        timeout_cap_ms: 30_000,
        min_link_bytes_per_second,
        ..Parameters::default()
    };
    assert_eq!(parameters(1 << 20).check(), Ok(()));
    assert!(parameters(1 << 17).check().is_err());
}

/// protocol §6.3: when execution falls behind, memory stays bounded however much the primary proposes.
#[test]
fn a_closed_window_bounds_what_is_held() {
    let mut bench = Bench::of(4, 1, parameters());
    let proposals = chain(genesis(), 100, 1);
    for proposal in &proposals {
        bench.pre_prepare(0, proposal);
        bench.votes(&[0, 2, 3], Phase::Prepare, 0, link_of(proposal));
        bench.votes(&[0, 2, 3], Phase::Commit, 0, link_of(proposal));
    }
    let held = bench.core.held();
    assert!(bench.core.tip().sequence >= Sequence(8));
    assert!(held.proposals <= 16 && held.pre_prepares <= 16 && held.votes <= 4 * 32 && held.goals <= 8, "{held:?}");
}
