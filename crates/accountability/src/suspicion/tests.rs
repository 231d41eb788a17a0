//! The rules of suspicion through its door (accountability §6).

use quorate_types::ids::{BundleNumber, Sequence, ValidatorIndex, View};
use quorate_types::quorum::Quorum;

use super::*;

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const A: ValidatorIndex = ValidatorIndex(1);
const B: ValidatorIndex = ValidatorIndex(2);

fn book(validators: usize) -> Suspicions {
    Suspicions::new(ValidatorIndex(0), Quorum::of(validators))
}

/// A sight of each rule, told apart by `salt`.
fn seen(rule: Rule, salt: u64) -> Seen {
    match rule {
        Rule::Silent => Seen::Silence { for_ms: salt, bound_ms: 1 },
        Rule::SlowPrimary => Seen::SlowPrimary { view: View(salt), sequence: Sequence(1), took_ms: 9, allowed_ms: 1 },
        Rule::MissingVotes => Seen::MissingVotes { up_to: Sequence(salt), missing: 9, of: 9 },
        Rule::Censoring => Seen::Censoring { view: View(salt), lane: B, number: BundleNumber(1) },
        Rule::InvalidMessage => Seen::InvalidMessage { why: Words::of("no signature"), total: salt },
        Rule::StaleOrReplayed => Seen::Stale { stale: 9, of: 9, at_ms: salt },
        Rule::BadSyncData => Seen::BadSyncData { what: "a chunk", total: salt },
        Rule::InconsistentStatus => Seen::Status { what: "committed", claimed: salt, possible: 1 },
        Rule::ClockSkew => Seen::Clock { offset_ms: 0, bound_ms: salt },
    }
}

/// Numbers without order, the same in every run (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// The level of `of` after all that `judge` says.
fn level_after(book: &mut Suspicions, now_ms: u64, of: ValidatorIndex) -> Level {
    book.judge(now_ms);
    book.level(of)
}

/// accountability §6.2, §6.4: over random sights the score stays between 0 and 1; a level rises only after
/// something was seen, and only by what was seen; when nothing is seen any more, nothing is left.
#[test]
fn scores_stay_in_bounds_levels_rise_by_sights_alone_and_everything_fades() {
    for seed in 0..40 {
        // Alone, a validator's level depends on nobody else's.
        let peers = if seed % 2 == 0 { 1 } else { 3 };
        let mut numbers = Numbers(seed);
        let mut book = book(4 + (seed as usize % 4));
        let mut now_ms = 0;
        for salt in 0..2_000 {
            let gap_ms = [0, 10, SECOND, 30 * SECOND, 900 * SECOND][numbers.below(5) as usize];
            now_ms += numbers.below(gap_ms + 1);
            let before = book.level(A);
            book.judge(now_ms);
            assert!(peers > 1 || book.level(A) <= before, "time alone raises nothing: seed {seed}");
            let info = Rule::TABLE[numbers.below(9) as usize];
            let observation = Observation { seen: seen(info.rule, salt), count: 1 + numbers.below(20) };
            book.observe(now_ms, ValidatorIndex(1 + numbers.below(peers) as u16), observation);
            book.judge(now_ms);
            for validator in 0..4 {
                assert!(book.score(ValidatorIndex(validator), now_ms) <= Points::ALL);
            }
        }
        now_ms += 48 * HOUR;
        assert_eq!(level_after(&mut book, now_ms, A), Level::Observe, "seed {seed}");
        assert_eq!(book.score(A, now_ms), Points::NONE);
        assert!(book.explain(A, now_ms).points.is_empty());
        assert!(!book.are_many());
    }
}

/// accountability §6.4: what is seen at a steady rate, whichever it is, leads to one level and not to and fro.
#[test]
fn a_steady_rate_of_sights_never_makes_a_level_flap() {
    for gap_ms in (1..400).map(|gap| gap * SECOND) {
        let mut book = book(4);
        let mut changes = 0;
        for salt in 0..600 {
            book.observe(salt * gap_ms, A, seen(Rule::InvalidMessage, salt));
            changes += book.judge(salt * gap_ms).len();
            changes += book.judge(salt * gap_ms + gap_ms - 1).len();
        }
        assert!(changes <= 4, "{changes} changes with a sight every {gap_ms} ms");
    }
}

/// accountability §6.3
#[test]
fn the_same_sight_again_is_no_second_observation() {
    let mut book = book(4);
    assert!(book.observe(0, A, seen(Rule::BadSyncData, 7)));
    assert!(!book.observe(0, A, seen(Rule::BadSyncData, 7)));
    assert!(!book.observe(60 * SECOND, A, seen(Rule::BadSyncData, 7)));
    assert_eq!(book.score(A, 0).in_thousandths(), 299, "rounded down");
    assert_eq!(book.explain(A, 0).points[0].count, 1);
    assert!(book.observe(60 * SECOND, A, seen(Rule::BadSyncData, 8)));
}

/// accountability §6.3: what comes in a burst weighs once, and is counted in full.
#[test]
fn sights_too_close_together_weigh_once_and_are_all_counted() {
    let mut book = book(4);
    for salt in 0..100 {
        book.observe(salt, A, seen(Rule::InvalidMessage, salt));
    }
    let point = &book.explain(A, 100).points[0];
    assert_eq!((point.points.in_thousandths(), point.count), (39, 100));
    assert_eq!(point.sightings.len(), KEPT_SIGHTINGS);
}

/// accountability §6.4: whatever a bad link, a slow machine or a wrong clock looks like, for however long, ends
/// at a warning.
#[test]
fn one_flaky_link_never_passes_a_warning() {
    let mut book = book(4);
    let mut highest = Level::Observe;
    for step in 0..5_000 {
        for info in Rule::TABLE.iter().filter(|info| info.class == Class::Circumstance) {
            book.observe(step * 3 * SECOND, A, seen(info.rule, step));
        }
        highest = highest.max(level_after(&mut book, step * 3 * SECOND, A));
    }
    assert_eq!(highest, Level::Warn);
    assert!(book.score(A, 5_000 * 3 * SECOND) < Level::Throttle.enters_at());
}

/// accountability §6.5
#[test]
fn when_many_look_slow_at_once_it_is_the_network_and_nobody_is_warned_of() {
    let mut book = book(7);
    let mut changes = Vec::new();
    for step in 0..20 {
        for peer in 1..=3 {
            book.observe(step * 3 * SECOND, ValidatorIndex(peer), seen(Rule::Silent, step));
        }
        changes.extend(book.judge(step * 3 * SECOND));
    }
    assert_eq!(changes, [Change::Many(true)]);
    assert!(book.are_many());
    // Two of seven are f: they stand out.
    let mut book = self::book(7);
    for step in 0..20 {
        for peer in 1..=2 {
            book.observe(step * 3 * SECOND, ValidatorIndex(peer), seen(Rule::Silent, step));
        }
        book.judge(step * 3 * SECOND);
    }
    assert!(!book.are_many());
    assert_eq!((book.level(A), book.level(B)), (Level::Warn, Level::Warn));
}

/// accountability §6.5: when the network has healed, nobody stands out for what was seen meanwhile.
#[test]
fn what_was_seen_while_many_looked_slow_warns_of_nobody_afterwards() {
    let mut book = book(4);
    for step in 0..40 {
        for peer in 1..=3 {
            // One of them a little worse than the others.
            if peer == 1 || step % 2 == 0 {
                book.observe(step * 3 * SECOND, ValidatorIndex(peer), seen(Rule::Silent, step));
            }
        }
        book.judge(step * 3 * SECOND);
    }
    for second in 120..7_200 {
        book.judge(second * SECOND);
        assert_eq!(book.level(A), Level::Observe, "at {second} s");
    }
}

/// accountability §6.4
#[test]
fn no_more_than_f_are_held_beyond_a_warning() {
    let mut book = book(4);
    for step in 0..60 {
        for peer in [2, 1, 3] {
            book.observe(step * SECOND, ValidatorIndex(peer), seen(Rule::BadSyncData, step));
        }
        book.judge(step * SECOND);
        if step == 0 {
            // The first one there keeps its place, whoever comes later.
            book.observe(500, B, seen(Rule::BadSyncData, 1_000));
            book.judge(500);
        }
    }
    let levels = [1, 2, 3].map(|peer| book.level(ValidatorIndex(peer)));
    assert_eq!(levels, [Level::Warn, Level::Disconnect, Level::Warn]);
    // Without a fault to tolerate nobody is kept out.
    let mut alone = self::book(3);
    (0..60).for_each(|step| {
        alone.observe(step * SECOND, A, seen(Rule::BadSyncData, step));
    });
    assert_eq!(level_after(&mut alone, 60 * SECOND, A), Level::Warn);
}

/// accountability §6.6
#[test]
fn an_explanation_says_what_was_seen_how_often_and_when_it_fades() {
    let mut book = book(4);
    book.observe(5 * SECOND, A, seen(Rule::Censoring, 3));
    book.observe(9 * SECOND, A, seen(Rule::InvalidMessage, 1));
    let Explanation { score, points, level, .. } = book.explain(A, 9 * SECOND);
    assert_eq!(level, Level::Observe, "not judged yet");
    assert_eq!(points.iter().map(|point| point.rule).collect::<Vec<_>>(), [Rule::Censoring, Rule::InvalidMessage]);
    assert!(score.in_thousandths() > 330);
    let censoring = &points[0];
    assert_eq!((censoring.first_ms, censoring.last_ms, censoring.count), (5 * SECOND, 5 * SECOND, 1));
    assert_eq!(
        censoring.sightings[0].seen.to_string(),
        "view 3: lane 2 passed over at bundle 1 while others committed"
    );
    let fades_ms = censoring.fades_at_ms;
    book.judge(fades_ms - 1);
    assert!(book.explain(A, fades_ms - 1).points.iter().any(|point| point.rule == Rule::Censoring));
    book.judge(fades_ms);
    assert!(book.explain(A, fades_ms).points.iter().all(|point| point.rule != Rule::Censoring));
}

#[test]
fn nobody_suspects_itself_or_a_validator_that_there_is_not() {
    let mut book = book(4);
    assert!(!book.observe(0, ValidatorIndex(0), seen(Rule::BadSyncData, 1)));
    assert!(!book.observe(0, ValidatorIndex(4), seen(Rule::BadSyncData, 1)));
    assert!(book.judge(0).is_empty());
}

/// A clock that goes back by mistake must not make points last.
#[test]
fn a_time_before_the_last_one_changes_nothing() {
    let mut book = book(4);
    book.observe(100 * SECOND, A, seen(Rule::BadSyncData, 1));
    let score = book.score(A, 100 * SECOND);
    assert_eq!(book.score(A, 0), score);
    assert!(book.observe(0, A, seen(Rule::BadSyncData, 2)));
}
