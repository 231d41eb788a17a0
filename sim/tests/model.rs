//! The model through its public door: the protocol is safe within a small bound, each wrong variant of it
//! is found, and what is reported is what happened.

use quorate_sim::model::{Bound, Config, Invariant, Primaries, Progress, Report, Variant, explore, smallest};

const BOUND: Bound = Bound { views: Some(3), sequences: 2, values: 2 };

fn config(variant: Variant, bound: Bound) -> Config {
    Config { bound, variant, primaries: Primaries::Untrusted, only: None }
}

fn run(config: &Config) -> Report {
    explore(config, &mut |_| true).expect("the bounds of these tests fit")
}

/// protocol §§3.2, 3.3, 5.2, 5.3, 10
#[test]
fn the_protocol_is_safe_whoever_is_byzantine() {
    let primaries = (0..4).map(Primaries::Byzantine).chain([Primaries::Untrusted]);
    for primaries in primaries {
        let report = run(&Config { primaries, ..config(Variant::None, BOUND) });
        assert_eq!(report.counterexample, None, "{primaries:?}");
        assert_eq!(report.exhausted, 3, "{primaries:?}");
    }
}

/// protocol §10: with a single sequence, however many views there are.
#[test]
fn the_protocol_is_safe_in_any_number_of_views() {
    for (sequences, values) in [(1, 2), (1, 3), (2, 2)] {
        let report = run(&config(Variant::None, Bound { views: None, sequences, values }));
        assert_eq!(report.counterexample, None, "{sequences} sequences, {values} values");
        assert!(report.closed, "{sequences} sequences, {values} values");
    }
}

/// protocol §5: each wrong variant breaks the property named, at the smallest bound named and not below.
#[test]
fn every_wrong_variant_is_found_where_it_is_known_to_break() {
    use Invariant::{Agreement, AnchorAboveCommitted, CertificatesOnOneChain, NoDoubleSign};
    use Variant::*;
    let known = [
        (QuorumMinusOne, (1, 1, CertificatesOnOneChain)),
        (SignerCountedTwice, (1, 1, Agreement)),
        (OtherDigestCounted, (1, 1, CertificatesOnOneChain)),
        (CommitsOfTwoViewsMixed, (3, 2, AnchorAboveCommitted)),
        (ParentMerelyReceived, (2, 1, Agreement)),
        (VoteBelowAnchor, (2, 1, Agreement)),
        (CommitOffChain, (1, 1, NoDoubleSign)),
        (RevoteFromBottom, (3, 2, AnchorAboveCommitted)),
        (AnchorBySequence, (3, 1, AnchorAboveCommitted)),
        (SecondNewView, (2, 1, NoDoubleSign)),
        (NewViewForgotten, (2, 1, NoDoubleSign)),
        (ViewForgotten, (2, 1, AnchorAboveCommitted)),
        (Amnesia, (1, 1, NoDoubleSign)),
    ];
    assert_eq!(known.len(), Variant::wrong().filter(|variant| variant.is_unsafe()).count());
    for (variant, expected) in known {
        let (smaller, report) = smallest(&config(variant, BOUND), &mut |_| true).unwrap().unwrap();
        let found = report.counterexample.unwrap();
        let at = (smaller.bound.views.unwrap_or_default(), smaller.bound.sequences, found.invariant);
        assert_eq!(at, expected, "{variant}");
    }
}

/// protocol §5: what the wrong variants lead to in the end is two different committed proposals.
#[test]
fn wrong_variants_fork_the_order() {
    let harmless = [Variant::CommitOffChain, Variant::SecondNewViewVotesKept];
    for variant in Variant::wrong().filter(|variant| !harmless.contains(variant)) {
        let only = Some(Invariant::Agreement);
        let found = smallest(&Config { only, ..config(variant, BOUND) }, &mut |_| true).unwrap();
        assert!(found.is_some(), "{variant} breaks agreement");
    }
}

/// protocol §3.2: votes on one chain carry the proof; a second `NewView` alone breaks nothing.
#[test]
fn a_second_new_view_is_harmless_as_long_as_all_votes_bind() {
    let bound = Bound { views: Some(2), ..BOUND };
    assert_eq!(run(&config(Variant::SecondNewViewVotesKept, bound)).counterexample, None);
}

#[test]
fn a_counterexample_reads_as_a_run() {
    let report = run(&config(Variant::QuorumMinusOne, BOUND));
    let found = report.counterexample.unwrap();
    assert_eq!(found.facts, "view 0 has prepared certificates for both a and b");
    assert_eq!(found.actions, 2);
    assert_eq!(
        found.lines[2..],
        [
            "0 votes Prepare(0, a)",
            "    now there is a prepared certificate (0, a)",
            "1 votes Prepare(0, b)",
            "    now there is a prepared certificate (0, b)",
        ]
    );
}

#[test]
fn the_same_exploration_twice_reports_the_same() {
    for variant in [Variant::None, Variant::RevoteFromBottom] {
        assert_eq!(run(&config(variant, BOUND)), run(&config(variant, BOUND)));
    }
}

#[test]
fn an_exploration_that_was_stopped_does_not_claim_its_bound() {
    let mut asked = 0;
    let mut stop_soon = |_: &Progress| {
        asked += 1;
        asked < 5
    };
    let report = explore(&config(Variant::None, BOUND), &mut stop_soon).unwrap();
    assert_eq!((report.exhausted, report.counterexample), (1, None));
}
