//! The exploration by views against the plain model, which knows no reduction.

use std::collections::BTreeSet;

use super::judge::{CORRECT, Change};
use super::layered::Layered;
use super::past::Past;
use super::plain::Sent;
use super::search::Seen;
use super::trace::{Action, Deed};
use super::votes::Step;
use super::*;

const ALL_PRIMARIES: [Primaries; 5] = [
    Primaries::Untrusted,
    Primaries::Byzantine(0),
    Primaries::Byzantine(1),
    Primaries::Byzantine(2),
    Primaries::Byzantine(3),
];

fn model(views: u8, sequences: u8, values: u8, primaries: Primaries) -> Model {
    let bound = Bound { views: Some(views), sequences, values };
    Model::new(&Config { bound, variant: Variant::None, primaries, only: None }).unwrap()
}

/// Everything that some correct validator may do now.
fn actions(model: &Model, sent: &Sent) -> Vec<Action> {
    let mut actions = Vec::new();
    for view in 0..model.views() {
        let past = sent.past(model, view);
        let offers = sent.offers(model, &past, view);
        let changes = past.claims().into_iter().map(Deed::ViewChange);
        let accepts = offers.iter().map(|anchor| Deed::Step(Step::Accept(anchor)));
        let deeds: Vec<Deed> = changes.chain(accepts).collect();
        let by_all = (0..CORRECT).flat_map(|validator| deeds.iter().map(move |deed| (validator, *deed)));
        let steps = sent.steps(model, &past, view).into_iter().map(|(validator, step)| (validator, Deed::Step(step)));
        let possible = by_all.chain(steps).map(|(validator, deed)| Action { view, validator, deed });
        actions.extend(possible.filter(|action| sent.allows(model, action)));
    }
    actions
}

/// What every reachable set of messages of the plain model leaves behind after all views.
fn plain_pasts(model: &Model) -> BTreeSet<Past> {
    let mut states = vec![Sent::at_start()];
    let mut seen: Seen<Sent> = Seen::default();
    let mut next = 0;
    while let Some(sent) = states.get(next).copied() {
        assert_eq!(sent.broken(model), None, "the protocol is safe");
        for action in actions(model, &sent) {
            let mut after = sent;
            after.take(model, &action);
            seen.entry(after).or_insert_with(|| {
                states.push(after);
                0
            });
        }
        next += 1;
    }
    states.iter().map(|sent| sent.past(model, model.views())).collect()
}

/// The pasts with which each view can be entered, and those after the last view.
fn levels(model: &Model) -> Vec<BTreeSet<Past>> {
    let mut ask = |_: &Progress| true;
    let levels = Layered::new(model).levels(&mut Watch::new(&mut ask));
    levels.into_iter().map(|level| level.into_iter().collect()).collect()
}

fn layered_pasts(model: &Model) -> BTreeSet<Past> {
    levels(model).pop().unwrap_or_default()
}

/// Whether all that can follow `other` can follow `past`.
fn allows_all_of(model: &Model, past: &Past, other: &Past) -> bool {
    let place =
        |past: &Past, number: usize| past.held[number].map(|held| (held.view, model.tree.sequence(held.proposal)));
    past.prepared.iter().zip(other.prepared).all(|(more, less)| less.within(*more))
        && other.committed.within(past.committed)
        && (0..CORRECT).all(|number| place(past, number) <= place(other, number))
}

/// The reductions are sound on bounds that can be explored without them, and find nothing that isn't there.
#[test]
fn the_exploration_by_views_covers_every_run_of_the_plain_model_and_no_other() {
    let mut bounds: Vec<(u8, u8, u8, Primaries)> = Vec::new();
    bounds.extend(ALL_PRIMARIES.map(|primaries| (1, 2, 2, primaries)));
    bounds.extend([Primaries::Byzantine(0), Primaries::Byzantine(3)].map(|primaries| (2, 1, 2, primaries)));
    bounds.push((2, 1, 1, Primaries::Untrusted));
    for (views, sequences, values, primaries) in bounds {
        let mut model = model(views, sequences, values, primaries);
        model.views_are_alike = false;
        let plain = plain_pasts(&model);
        let named = layered_pasts(&model);
        model.rename = false;
        let layered = layered_pasts(&model);
        let about = format!("{views} views, {sequences} sequences, {values} values, {primaries:?}");
        assert!(layered.is_subset(&plain), "{about}: something unreachable was found");
        for past in &plain {
            assert!(layered.iter().any(|other| allows_all_of(&model, other, past)), "{about}: {past:?} was missed");
        }
        model.rename = true;
        let renamed = layered.iter().map(|past| past.canonical(&model, &model.orders(views))).collect();
        assert_eq!(named, renamed, "{about}: renaming lost or made something");
    }
}

/// Beyond the bounds that can be explored plainly: random runs of three views and two sequences.
#[test]
fn random_runs_of_the_plain_model_are_covered() {
    let mut dice = 1u64;
    for primaries in ALL_PRIMARIES {
        let mut model = model(3, 2, 2, primaries);
        model.views_are_alike = false;
        model.rename = false;
        let layered = layered_pasts(&model);
        for _ in 0..60 {
            let mut sent = Sent::at_start();
            loop {
                let possible = actions(&model, &sent);
                // Votes are more interesting than leaving, so they are taken with more weight.
                let votes = possible.iter().filter(|action| matches!(action.deed, Deed::Step(_)));
                let weighted: Vec<Action> = votes.flat_map(|action| [*action; 12]).chain(possible.clone()).collect();
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let Some(choice) = (dice >> 33).checked_rem(weighted.len() as u64) else { break };
                sent.take(&model, &weighted[usize::try_from(choice).unwrap()]);
            }
            assert_eq!(sent.broken(&model), None, "the protocol is safe");
            let past = sent.past(&model, model.views());
            assert!(
                layered.iter().any(|other| allows_all_of(&model, other, &past)),
                "{primaries:?}: {past:?} was missed"
            );
        }
    }
}

/// Canonical pasts have the same future as those that they stand for: further up than the plain model can
/// be explored.
#[test]
fn nothing_is_lost_in_canonical_pasts() {
    for (views, sequences) in [(4, 1), (3, 2)] {
        let mut model = model(views, sequences, 2, Primaries::Untrusted);
        model.views_are_alike = false;
        let canonical = levels(&model);
        model.rename = false;
        let named = levels(&model);
        model.rename = true;
        for (view, (canonical, named)) in (0..).zip(canonical.iter().zip(&named)) {
            let orders = model.orders(view);
            let expected = named.iter().map(|past| past.canonical(&model, &orders)).collect();
            assert_eq!(*canonical, expected, "{sequences} sequences, entering view {view}");
        }
    }
}

/// A past that was met in a lower view is explored there, with all that can follow.
#[test]
fn nothing_is_lost_when_views_are_alike() {
    for (views, sequences) in [(5, 1), (4, 2)] {
        let mut model = model(views, sequences, 2, Primaries::Untrusted);
        let alike = levels(&model);
        model.views_are_alike = false;
        let apart = levels(&model);
        let mut known = BTreeSet::new();
        for (alike, apart) in alike.iter().zip(&apart) {
            assert!(alike.is_disjoint(&known), "a past was explored twice");
            known.extend(alike.iter().copied());
            assert!(apart.is_subset(&known), "a past was lost");
            assert!(alike.is_subset(apart), "a past came from nowhere");
        }
    }
}

/// Why the exploration needs each validator's least claim only: the Byzantine one can claim the rest.
#[test]
fn a_higher_claim_of_a_correct_validator_only_takes_anchors_away() {
    let model = model(3, 2, 2, Primaries::Untrusted);
    let mut shorter = Model::new(&Config {
        bound: Bound { views: Some(2), ..model.bound },
        variant: Variant::None,
        primaries: Primaries::Untrusted,
        only: None,
    })
    .unwrap();
    shorter.views_are_alike = false;
    let mut compared = 0;
    for past in layered_pasts(&shorter) {
        let least = std::array::from_fn(|validator| Some(past.least_claim(&model, validator)));
        let most = past.offers(&model, &least);
        let claims: [Vec<Option<Change>>; CORRECT] = std::array::from_fn(|validator| {
            let honest = past.claims().into_iter().filter(|claim| past.is_honest(&model, validator, *claim));
            honest.map(Some).chain([None]).collect()
        });
        for first in &claims[0] {
            for second in &claims[1] {
                for third in &claims[2] {
                    let offers = past.offers(&model, &[*first, *second, *third]);
                    assert!(offers.base.within(most.base) && offers.chosen.within(most.chosen), "{past:?}");
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 1_000, "only {compared} combinations of claims");
}

/// protocol §§1, 2: with one Byzantine validator of four, two correct ones and it make a certificate.
#[test]
fn certificates_and_new_views_need_two_correct_validators() {
    let tree = Tree::new(2, 2).unwrap();
    for byzantine in 0..VALIDATORS {
        let judge = Judge::new(&tree, byzantine, Variant::None);
        for correct in 0u8..1 << CORRECT {
            assert_eq!(judge.certifies(correct), correct.count_ones() >= 2);
            assert_eq!(judge.starts_view(correct, true), correct.count_ones() >= 2);
            assert_eq!(judge.starts_view(correct, false), correct.count_ones() >= 3);
        }
    }
}

/// protocol §5.2: what certificates may be forgotten for is asked of the core, not taken for granted.
#[test]
fn claims_are_ranked_by_view_before_sequence() {
    let tree = Tree::new(2, 2).unwrap();
    assert!(Judge::new(&tree, 0, Variant::None).ranks_by_view);
    assert!(!Judge::new(&tree, 0, Variant::AnchorBySequence).ranks_by_view);
}

#[test]
fn a_bound_that_does_not_fit_is_refused() {
    let ask = &mut |_: &Progress| true;
    let with = |views, sequences, values, primaries| Config {
        bound: Bound { views: Some(views), sequences, values },
        variant: Variant::None,
        primaries,
        only: None,
    };
    assert_eq!(explore(&with(0, 1, 1, Primaries::Untrusted), ask), Err(Misuse::Views(0)));
    assert_eq!(explore(&with(9, 1, 1, Primaries::Untrusted), ask), Err(Misuse::Views(9)));
    assert_eq!(explore(&with(1, 5, 2, Primaries::Untrusted), ask), Err(Misuse::Proposals(5, 2)));
    assert_eq!(explore(&with(1, 1, 1, Primaries::Byzantine(4)), ask), Err(Misuse::Validator(4)));
    let mut endless = with(1, 1, 1, Primaries::Byzantine(0));
    endless.bound.views = None;
    assert_eq!(explore(&endless, ask), Err(Misuse::EndlessWithPrimaries));
}
