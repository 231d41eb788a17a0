//! From a seed to a plan: a random subset of kinds of faults, then their intensities (simulation §2).

use std::collections::{BTreeMap, BTreeSet};

use crate::byzantine::Conduct;
use crate::dice::{Dice, Stream};
use serde::{Deserialize, Serialize};

use super::plan::{Expectation, FORMAT, Fault, FaultPlan, Target, TimedFault};
use super::settings::{Protocol, Settings};

/// Sizes of clusters, the usual ones more often.
const SIZES: [u16; 16] = [1, 2, 3, 4, 4, 4, 4, 4, 4, 5, 6, 7, 7, 8, 10, 13];
/// Messages whose loss alone is a fault of its own.
const KINDS: [&str; 11] = [
    "pre-prepare",
    "prepare",
    "commit",
    "complaint",
    "view-change",
    "new-view",
    "execution-vote",
    "bundle",
    "status",
    "segment",
    "execution-certificate",
];

/// A kind of fault that a run may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Loss,
    Delays,
    Duplicates,
    Partitions,
    Cuts,
    PrimaryCutOff,
    KindsLost,
    Crashes,
    CrashAll,
    CrashPoints,
    Pauses,
    Skews,
    SlowDisks,
    FailingDisks,
    FullDisks,
    NarrowLinks,
    LostStores,
    Byzantine,
}

/// Tells the stream that decides about pruning from the disks' own.
const PRUNING: u64 = 0x7072_756e;
/// Sets what epochs do apart, too.
const EPOCHS: u64 = 0x6570_6f63;
/// No epoch may be shorter than so many windows (protocol §8.4).
const SHORTEST_EPOCH_WINDOWS: u32 = 16;

const ALL: [Kind; 18] = [
    Kind::Loss,
    Kind::Delays,
    Kind::Duplicates,
    Kind::Partitions,
    Kind::Cuts,
    Kind::PrimaryCutOff,
    Kind::KindsLost,
    Kind::Crashes,
    Kind::CrashAll,
    Kind::CrashPoints,
    Kind::Pauses,
    Kind::Skews,
    Kind::SlowDisks,
    Kind::FailingDisks,
    Kind::FullDisks,
    Kind::NarrowLinks,
    Kind::LostStores,
    Kind::Byzantine,
];

/// What a campaign's runs are like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Anything.
    #[default]
    Any,
    /// Four validators, the first primaries Byzantine, with everything that hostile primaries and voters do.
    Hostile,
    /// Few faults but those that change views, often.
    Views,
    /// View changes and restarts.
    Restarts,
    /// Primaries that start views twice, or hide what they know.
    NewViews,
    /// A lost store in each run.
    LostStores,
    /// Short epochs that end under faults.
    Epochs,
    /// Anything, in short.
    Brief,
}

impl Profile {
    /// All, by name.
    pub const ALL: [(&'static str, Self); 8] = [
        ("any", Self::Any),
        ("hostile", Self::Hostile),
        ("views", Self::Views),
        ("restarts", Self::Restarts),
        ("new-views", Self::NewViews),
        ("lost-stores", Self::LostStores),
        ("epochs", Self::Epochs),
        ("brief", Self::Brief),
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, known)| *known == self).map_or("any", |(name, _)| name)
    }

    /// What its runs are like.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Any => "a random subset of all faults, sizes from 1 to 13",
            Self::Hostile => "the first primaries Byzantine, with all that hostile primaries and voters do",
            Self::Views => "few faults but those that change views, often",
            Self::Restarts => "view changes and restarts",
            Self::NewViews => "primaries that start views twice, or hide what they know",
            Self::Epochs => "epochs as short as they may be, with parameters that change, under crashes and attacks",
            Self::Brief => "as any, but at most 4 validators, 0.6 s of faults and 10 operations: for very many seeds",
            Self::LostStores => "a store lost, damaged or rolled back in each run, and disks that fail",
        }
    }

    /// The kinds of faults and the sizes that it is confined to.
    const fn confines(self) -> Option<(&'static [Kind], &'static [u16])> {
        Some(match self {
            Self::Any | Self::Brief => return None,
            Self::Hostile => (&[Kind::Byzantine, Kind::Delays, Kind::Partitions, Kind::Duplicates], &[4, 4, 4, 7]),
            Self::Views => {
                (&[Kind::PrimaryCutOff, Kind::Partitions, Kind::Cuts, Kind::Loss, Kind::Delays], &[4, 4, 5, 7])
            }
            Self::Restarts => {
                (&[Kind::PrimaryCutOff, Kind::Crashes, Kind::CrashPoints, Kind::CrashAll, Kind::Delays], &[4])
            }
            Self::NewViews => (&[Kind::Byzantine, Kind::PrimaryCutOff, Kind::Delays, Kind::Partitions], &[4]),
            Self::Epochs => (
                &[
                    Kind::Crashes,
                    Kind::LostStores,
                    Kind::Byzantine,
                    Kind::Partitions,
                    Kind::PrimaryCutOff,
                    Kind::CrashPoints,
                    Kind::Loss,
                ],
                &[4, 4, 5, 7],
            ),
            Self::LostStores => (
                &[
                    Kind::LostStores,
                    Kind::PrimaryCutOff,
                    Kind::Crashes,
                    Kind::Loss,
                    Kind::FailingDisks,
                    Kind::FullDisks,
                ],
                &[4, 7],
            ),
        })
    }

    /// What its Byzantine validators do.
    const fn conducts(self) -> &'static [Conduct] {
        match self {
            Self::Hostile => &[
                Conduct::Equivocate,
                Conduct::DoubleVote,
                Conduct::Mutate,
                Conduct::ForgedCertificates,
                Conduct::HiddenClaims,
                Conduct::Selective,
            ],
            Self::NewViews => &[
                Conduct::TwoNewViews,
                Conduct::HiddenClaims,
                Conduct::Equivocate,
                Conduct::DoubleVote,
                Conduct::ViewChangeSpam,
                Conduct::Selective,
            ],
            _ => Conduct::ALL,
        }
    }
}

/// The plan of a seed.
#[must_use]
pub fn plan_of(seed: u64) -> FaultPlan {
    plan_in(Profile::Any, seed)
}

/// The plan of a seed in a campaign of some profile.
#[must_use]
pub fn plan_in(profile: Profile, seed: u64) -> FaultPlan {
    let mut dice = Dice::new(seed, Stream::Topology);
    let mut size = *dice.pick(&SIZES).unwrap_or(&4);
    let mut faults = Dice::new(seed, Stream::Faults);
    let mut kinds = choose(&mut faults);
    if let Some((allowed, sizes)) = profile.confines() {
        size = *dice.pick(sizes).unwrap_or(&4);
        kinds = allowed
            .iter()
            .enumerate()
            .filter(|(at, _)| *at == 0 || faults.chance(600))
            .map(|(_, kind)| *kind)
            .collect();
    }
    if profile == Profile::Brief {
        size = *dice.pick(&[1, 2, 3, 4, 4, 4, 4, 4]).unwrap_or(&4);
    }
    let mut settings = Settings::calm(size);
    vary(&mut dice, &mut settings);
    if profile == Profile::Brief {
        settings.safety_ms = [200, 400, 600][dice.index(3)];
        settings.workload.operations = [3, 6, 10][dice.index(3)];
        settings.workload.interval_us = [2_000, 20_000][dice.index(2)];
        settings.protocol.status_interval_ms = [50, 100][dice.index(2)];
    }
    let faulty = usize::from((size - 1) / 3);
    let mut lost = if kinds.contains(&Kind::LostStores) { faults.below(faulty as u64 + 1) } else { 0 };
    if profile == Profile::LostStores {
        lost = lost.max(1);
    }
    if kinds.contains(&Kind::Byzantine) {
        let most = faulty - usize::try_from(lost).unwrap_or(0);
        settings.byzantine = cast_byzantine(&mut faults, size, most, profile.conducts());
    }
    degrade(&mut faults, &kinds, &mut settings);
    let mut events = Vec::new();
    for kind in &kinds {
        strike(&mut faults, *kind, &settings, &mut events);
    }
    lose_stores(&mut faults, lost, &settings, &mut events);
    // A known limit: no state is handed over an epoch's end, so what all others pruned of an earlier epoch is gone.
    if profile != Profile::Epochs {
        prune(seed, &mut settings, &mut events);
    }
    change_epochs(seed, profile, (&mut settings, &mut events));
    events.sort_by_key(|timed| timed.at_ms);
    FaultPlan { format: FORMAT, seed, settings, expect: Expectation::Pass, events }
}

/// One run in ten without faults, one in ten with exactly one kind, the others with a random subset.
fn choose(dice: &mut Dice) -> BTreeSet<Kind> {
    match dice.below(10) {
        0 => BTreeSet::new(),
        1 => dice.pick(&ALL).copied().into_iter().collect(),
        _ => {
            let per_mille = u32::try_from(dice.range(150, 600)).unwrap_or(300);
            ALL.into_iter().filter(|_| dice.chance(per_mille)).collect()
        }
    }
}

fn vary(dice: &mut Dice, settings: &mut Settings) {
    settings.real_signatures = dice.chance(20);
    let interval = [1, 2, 4, 4, 16][dice.index(5)];
    settings.protocol = Protocol {
        checkpoint_interval: interval,
        window: interval * [2, 2, 3, 4][dice.index(4)],
        timeout_base_ms: [100, 200, 400][dice.index(3)],
        status_interval_ms: [20, 50, 100][dice.index(3)],
        max_bundle_operations: [1, 4, 16][dice.index(3)],
        max_proposal_operations: [16, 64][dice.index(2)],
        ..Protocol::small()
    };
    settings.network.delay_max_us = [500, 2_000, 10_000, 40_000][dice.index(4)];
    settings.network.ordered = dice.chance(300);
    settings.storage.sync_max_us = [200, 1_000, 10_000][dice.index(3)];
    settings.workload.clients = [1, 3, 6][dice.index(3)];
    settings.workload.operations = [10, 40, 80][dice.index(3)];
    settings.workload.interval_us = [2_000, 20_000, 60_000][dice.index(3)];
    settings.safety_ms = [1_500, 3_000, 6_000][dice.index(3)];
    if settings.validators > 7 {
        settings.safety_ms = 1_500;
        settings.workload.operations = 10;
    }
}

fn degrade(dice: &mut Dice, kinds: &BTreeSet<Kind>, settings: &mut Settings) {
    let mut per_mille = |high: u64| u32::try_from(dice.range(1, high)).unwrap_or(0);
    let (loss, slow, twice) = (per_mille(250), per_mille(200), per_mille(300));
    let network = &mut settings.network;
    if kinds.contains(&Kind::Loss) {
        (network.loss_per_mille, network.flip_per_mille) = (loss, 2);
    }
    if kinds.contains(&Kind::Delays) {
        (network.slow_per_mille, network.slow_us) = (slow, 1_500_000);
    }
    if kinds.contains(&Kind::NarrowLinks) {
        network.bytes_per_second = [30_000, 100_000, 1_000_000][dice.index(3)];
    }
    if kinds.contains(&Kind::Duplicates) {
        network.duplicate_per_mille = twice;
    }
}

/// Up to `most` hostile validators, each with a few ways of being so; in half of the runs the first
/// primaries.
fn cast_byzantine(dice: &mut Dice, size: u16, most: usize, conducts: &[Conduct]) -> BTreeMap<u16, Vec<Conduct>> {
    let mut candidates: Vec<u16> = (0..size).collect();
    if dice.chance(500) {
        dice.shuffle(&mut candidates);
    }
    candidates.truncate(most);
    let mut hostile = BTreeMap::new();
    for who in candidates {
        let count = dice.range(1, 4);
        let chosen: BTreeSet<Conduct> = (0..count).filter_map(|_| dice.pick(conducts).cloned()).collect();
        hostile.insert(who, chosen.into_iter().collect());
    }
    hostile
}

/// Some of the validators, at least one.
fn some(dice: &mut Dice, size: u16) -> Vec<u16> {
    let mut all: Vec<u16> = (0..size).collect();
    dice.shuffle(&mut all);
    all.truncate(dice.index(usize::from(size)) + 1);
    all
}

fn two_groups(dice: &mut Dice, size: u16) -> Vec<Vec<u16>> {
    let mut all: Vec<u16> = (0..size).collect();
    dice.shuffle(&mut all);
    let rest = all.split_off(dice.index(all.len() + 1));
    vec![all, rest]
}

/// A few faults of a kind at random times, with the healing that belongs to them.
fn strike(dice: &mut Dice, kind: Kind, settings: &Settings, events: &mut Vec<TimedFault>) {
    let size = settings.validators;
    let count = dice.range(1, 5);
    for _ in 0..count {
        let at_ms = dice.below(settings.safety_ms);
        let length_ms = dice.range(10, 1_500);
        let target = if dice.chance(400) {
            Target::Primary
        } else {
            Target::Validator(u16::try_from(dice.below(size.into())).unwrap_or(0))
        };
        let one = u16::try_from(dice.below(size.into())).unwrap_or(0);
        let (fault, heals) = match kind {
            Kind::Partitions => (Fault::Partition { groups: two_groups(dice, size) }, true),
            Kind::Cuts if dice.chance(500) => (Fault::Cut { from: some(dice, size), to: some(dice, size) }, true),
            Kind::Cuts => (Fault::Hold { from: some(dice, size), to: some(dice, size) }, true),
            Kind::PrimaryCutOff => (Fault::Isolate { target: Target::Primary }, true),
            Kind::KindsLost => {
                let kind = dice.pick(&KINDS).copied().unwrap_or("status").to_owned();
                let from = dice.chance(500).then_some(one);
                (Fault::DropKind { kind, from, to: None }, true)
            }
            Kind::Crashes => (Fault::Crash { target, down_ms: length_ms }, false),
            Kind::CrashAll => (Fault::CrashAll { down_ms: length_ms / 4 }, false),
            Kind::CrashPoints => {
                let ordinal = dice.range(1, 400);
                (Fault::CrashAtPoint { ordinal, keep: dice.chance(500), down_ms: length_ms / 4 }, false)
            }
            Kind::Pauses => (Fault::Pause { target, for_ms: length_ms }, false),
            Kind::Skews => {
                let offset_ms = i64::try_from(dice.below(20_000)).unwrap_or(0) - 10_000;
                (Fault::Skew { validator: one, offset_ms }, false)
            }
            Kind::SlowDisks => (Fault::SlowDisk { validator: one, sync_us: dice.range(10_000, 400_000) }, false),
            Kind::FailingDisks if dice.chance(500) => (Fault::FailRead { validator: one }, false),
            Kind::FailingDisks => (Fault::FailSync { validator: one }, false),
            Kind::FullDisks => (Fault::FillDisk { validator: one, for_ms: length_ms }, false),
            Kind::Delays => (Fault::Slow { target, by_ms: length_ms / 3 }, true),
            Kind::Loss | Kind::Duplicates | Kind::NarrowLinks | Kind::LostStores | Kind::Byzantine => return,
        };
        events.push(TimedFault { at_ms, fault });
        if heals {
            events.push(TimedFault { at_ms: at_ms + length_ms, fault: Fault::Heal });
        }
    }
}

fn lose_stores(dice: &mut Dice, lost: u64, settings: &Settings, events: &mut Vec<TimedFault>) {
    let mut candidates: Vec<u16> =
        (0..settings.validators).filter(|who| !settings.byzantine.contains_key(who)).collect();
    dice.shuffle(&mut candidates);
    for who in candidates.into_iter().take(usize::try_from(lost).unwrap_or(0)) {
        let (at_ms, down_ms) = (dice.below(settings.safety_ms), dice.range(10, 500));
        let later_ms = at_ms + dice.below((settings.safety_ms - at_ms).max(1));
        let mut add = |at_ms, fault| events.push(TimedFault { at_ms, fault });
        match dice.below(5) {
            0 => add(at_ms, Fault::FlipBit { validator: who }),
            1 => {
                add(at_ms, Fault::LoseSyncs { validator: who });
                add(later_ms, Fault::Crash { target: Target::Validator(who), down_ms });
            }
            2 => {
                add(at_ms, Fault::BackUp { validator: who });
                add(later_ms, Fault::Restore { validator: who, guard_file: dice.chance(500), down_ms });
            }
            _ => add(at_ms, Fault::LoseStore { validator: who, down_ms }),
        }
    }
}

/// In some runs little is kept below the stable checkpoint, and in half of those somebody is away for so long that
/// only a transfer brings it back (protocol §8.1, §8.7). Drawn apart, so that nothing else is another for it.
fn prune(seed: u64, settings: &mut Settings, events: &mut Vec<TimedFault>) {
    let mut dice = Dice::new(seed ^ PRUNING, Stream::Storage);
    // A known limit (protocol §8.7): after a restart of all, the only states left may be ones that aren't certified.
    let all_die = events.iter().any(|timed| matches!(timed.fault, Fault::CrashAll { .. }));
    if !dice.chance(300) || all_die {
        return;
    }
    settings.storage.retained_sequences = Some([1, 2, 8][dice.index(3)]);
    if settings.validators > 1 && dice.chance(500) {
        let away = u16::try_from(dice.below(settings.validators.into())).unwrap_or(0);
        let at_ms = dice.below((settings.safety_ms / 4).max(1));
        let fault = Fault::Crash { target: Target::Validator(away), down_ms: settings.safety_ms };
        events.push(TimedFault { at_ms, fault });
    }
}

/// In some runs epochs are as short as they may be, and parameters change on the way; who lost its store comes back
/// (protocol §7.4, §8.4). Drawn apart, so that nothing else is another for it.
fn change_epochs(seed: u64, profile: Profile, (settings, events): (&mut Settings, &mut Vec<TimedFault>)) {
    let mut dice = Dice::new(seed ^ EPOCHS, Stream::Topology);
    let prunes = settings.storage.retained_sequences.is_some();
    if prunes || !dice.chance(if profile == Profile::Epochs { 1_000 } else { 250 }) {
        return;
    }
    settings.protocol.min_epoch_sequences = SHORTEST_EPOCH_WINDOWS * settings.protocol.window;
    settings.protocol.empty_interval_ms = [10, 20, 100][dice.index(3)];
    // A cluster that is on its way to an epoch's end is busy: only where epochs are what a run is about.
    settings.protocol.bar_on_proof = u32::from(profile == Profile::Epochs);
    let changes = dice.below(4).max(u64::from(profile == Profile::Epochs));
    for _ in 0..changes {
        // What nothing else depends on.
        let value = u32::try_from(dice.range(1, 17)).unwrap_or(1);
        let fault = Fault::ChangeParameter { name: "document_levels".to_owned(), value };
        events.push(TimedFault { at_ms: dice.below(settings.safety_ms), fault });
    }
}

/// A run in which one validator's store is lost half-way (protocol §7.4).
#[must_use]
pub fn lost_store_plan(seed: u64, validator: u16) -> FaultPlan {
    let settings = Settings::calm(4);
    let lose = Fault::LoseStore { validator, down_ms: 100 };
    let events = vec![
        TimedFault { at_ms: settings.safety_ms / 3, fault: lose },
        TimedFault { at_ms: settings.safety_ms / 2, fault: Fault::Isolate { target: Target::Primary } },
        TimedFault { at_ms: settings.safety_ms / 2 + 900, fault: Fault::Heal },
    ];
    FaultPlan { format: FORMAT, seed, settings, expect: Expectation::Pass, events }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_plan_and_seeds_differ() {
        assert_eq!(plan_of(5), plan_of(5));
        assert_ne!(plan_of(5).settings, plan_of(6).settings);
    }

    /// simulation §2.3
    #[test]
    fn plans_keep_within_the_budget_of_faulty_validators() {
        for seed in 0..2_000 {
            let plan = plan_of(seed);
            let lost: BTreeSet<u16> = plan.events.iter().filter_map(|timed| timed.fault.damages()).collect();
            let lost = lost.len();
            let faulty = usize::from((plan.settings.validators - 1) / 3);
            assert!(plan.settings.byzantine.len() + lost <= faulty, "seed {seed}");
            assert_eq!(plan.settings.protocol.parameters().check(), Ok(()), "seed {seed}");
        }
    }
}
