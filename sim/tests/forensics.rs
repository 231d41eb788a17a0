//! Forensics (accountability §5): with more Byzantine validators than the protocol bears, the forks that random runs
//! make, and whom the stores of the correct validators convict.

use std::collections::{BTreeMap, BTreeSet};

use quorate_sim::byzantine::Conduct;
use quorate_sim::world::{Expectation, FORMAT, Fault, FaultPlan, Report, Settings, Target, TimedFault, Verdict, run};

/// Runs of each cast.
const RUNS: u64 = 12;

/// Two of four, who do all that can split the other two.
fn plan(seed: u64, casts: &[[&[Conduct]; 2]]) -> FaultPlan {
    let cast = &casts[usize::try_from(seed).expect("few seeds") % casts.len()];
    let mut settings = Settings { safety_ms: 4_000, ..Settings::calm(4) };
    settings.workload.operations = 60;
    let first = u16::try_from(seed / 2 % 2).expect("0 or 1");
    for (who, conducts) in [first, first + 1].into_iter().zip(cast) {
        settings.byzantine.insert(who, conducts.to_vec());
    }
    let correct: Vec<u16> = (0..4).filter(|who| *who != first && *who != first + 1).collect();
    let cut = Fault::Cut { from: correct.clone(), to: correct };
    let isolate = Fault::Isolate { target: Target::Primary };
    let at = |at_ms, fault| TimedFault { at_ms, fault };
    let events = match seed % 3 {
        0 => vec![at(0, cut)],
        1 => vec![at(0, cut), at(600, isolate), at(1_500, Fault::Heal)],
        _ => vec![at(300, isolate), at(1_200, Fault::Heal), at(1_400, cut)],
    };
    FaultPlan { format: FORMAT, seed, settings, expect: Expectation::Violation("agreement".to_owned()), events }
}

/// One correct store is enough, beside the certificates of the others: that of a validator which entered the deciding view
/// (accountability §5.2). How many are, of how many; nobody innocent is named by any.
fn one_store_is_enough(seed: u64, report: &Report, needed: usize) -> (usize, usize) {
    for (store, named) in &report.named_by {
        assert!(named.iter().all(|who| report.byzantine.contains(who)), "seed {seed}: {store} names {named:?}");
    }
    let enough = report.named_by.values().filter(|named| named.len() >= needed).count();
    assert!(enough > 0, "seed {seed}: {:?}", report.named_by);
    (enough, report.named_by.len())
}

/// accountability §5.1: seven validators, of which three or four are Byzantine: more than `f`, at most `2f`.
#[test]
fn forks_of_seven_name_three_from_any_one_store() {
    use Conduct::{EquivocateHalf, HiddenClaims, TwoFaced, TwoNewViews};
    let (mut forks, mut stores) = ([0, 0], (0, 0));
    for seed in 0..24_u64 {
        let byzantine = 3 + u16::try_from(seed % 2).expect("0 or 1");
        let mut settings = Settings { safety_ms: 4_000, ..Settings::calm(7) };
        settings.workload.operations = 60;
        for who in 0..byzantine {
            settings.byzantine.insert(who, vec![EquivocateHalf, TwoFaced, TwoNewViews, HiddenClaims]);
        }
        let (one, other): (Vec<u16>, Vec<u16>) = (byzantine..7).partition(|who| who % 2 == 0);
        let cut = |from: &[u16], to: &[u16]| Fault::Cut { from: from.to_vec(), to: to.to_vec() };
        let at = |at_ms, fault| TimedFault { at_ms, fault };
        let mut events = vec![at(0, cut(&one, &other)), at(0, cut(&other, &one))];
        if seed % 4 >= 2 {
            events.push(at(600, Fault::Isolate { target: Target::Primary }));
        }
        let expect = Expectation::Violation("agreement".to_owned());
        let report = run(&FaultPlan { format: FORMAT, seed, settings, expect, events }, false);
        let Verdict::Unsafe(violation) = &report.verdict else { continue };
        if violation.invariant == "agreement" {
            forks[usize::from(byzantine) - 3] += 1;
            let (enough, of) = one_store_is_enough(seed, &report, 3);
            (stores.0, stores.1) = (stores.0 + enough, stores.1 + of);
        }
    }
    println!("forks with 3 and with 4 of 7: {forks:?}; {} of {} stores are enough alone", stores.0, stores.1);
    assert!(forks.iter().all(|count| *count > 0), "{forks:?} forks are too few to show anything");
}

/// accountability §5.1, §5.2
#[test]
fn every_fork_names_more_culprits_than_the_protocol_bears_and_nobody_innocent() {
    use Conduct::{DoubleVote, Equivocate, EquivocateHalf, HiddenClaims, TwoFaced, TwoNewViews};
    let casts: [[&[Conduct]; 2]; 4] = [
        [&[EquivocateHalf, TwoFaced], &[TwoFaced]],
        [&[EquivocateHalf, TwoFaced, HiddenClaims], &[TwoFaced, HiddenClaims]],
        [&[Equivocate, DoubleVote, TwoNewViews], &[TwoFaced, DoubleVote, TwoNewViews]],
        [
            &[EquivocateHalf, TwoFaced, TwoNewViews, HiddenClaims],
            &[EquivocateHalf, TwoFaced, TwoNewViews, HiddenClaims],
        ],
    ];
    let (mut forks, mut kinds, mut stores) = (0, BTreeMap::<String, u64>::new(), (0, 0));
    for seed in 0..RUNS * casts.len() as u64 {
        let plan = plan(seed, &casts);
        let byzantine: BTreeSet<u16> = plan.settings.byzantine.keys().copied().collect();
        let report = run(&plan, false);
        for accusation in &report.accusations {
            assert!(byzantine.contains(&accusation.accused), "seed {seed}: {accusation:?}");
        }
        assert!(
            report.culprits.keys().all(|culprit| byzantine.contains(culprit)),
            "seed {seed}: {:?}",
            report.culprits
        );
        let Verdict::Unsafe(violation) = &report.verdict else { continue };
        if violation.invariant != "agreement" {
            continue;
        }
        forks += 1;
        assert!(report.culprits.len() >= 2, "seed {seed}: {:?}, after {violation}", report.culprits);
        let (enough, of) = one_store_is_enough(seed, &report, 2);
        (stores.0, stores.1) = (stores.0 + enough, stores.1 + of);
        for kind in report.culprits.values().flatten() {
            *kinds.entry(kind.clone()).or_default() += 1;
        }
    }
    println!("{forks} forks; culprits convicted of: {kinds:?}; {} of {} stores are enough alone", stores.0, stores.1);
    assert!(forks >= 10, "{forks} forks are too few to show anything");
}
