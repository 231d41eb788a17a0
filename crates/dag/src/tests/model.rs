//! Random lanes with forks, lies and gaps, against a naive model that sees every bundle there is.
//!
//! The model judges a payload by recursion over all bundles ever signed. The lanes, which hold only a
//! part, must never contradict it: valid and invalid only as it says, and missing only until what they
//! want has been served.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_crypto::Digest;
use quorate_types::bundle::Bundle;
use quorate_types::ids::BundleNumber;
use quorate_types::proposal::LaneTip;

use super::*;
use crate::Admission;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % sides as u64).unwrap()
    }
}

const LANES: u16 = 3;

/// Everything there is: bundles by digest, and each proposal's tips.
struct Universe {
    bundles: BTreeMap<Digest, Arc<Bundle>>,
    /// Places from which lanes can be continued, forked or lied about.
    owners: Vec<Owner>,
    /// Valid proposals above the delivered one: parent, and tips of all lanes.
    proposals: BTreeMap<Digest, (Digest, Vec<Point>)>,
    made: u64,
}

impl Universe {
    fn new() -> Self {
        Self {
            bundles: BTreeMap::new(),
            owners: (0..LANES).map(Owner::new).collect(),
            proposals: BTreeMap::from([(ROOT, (ROOT, vec![Point::EMPTY; usize::from(LANES)]))]),
            made: 0,
        }
    }

    /// Signs a bundle: mostly an honest one, sometimes on a fork, sometimes with wrong counts.
    fn sign(&mut self, dice: &mut Dice) -> Arc<Bundle> {
        self.made += 1;
        let chosen = if dice.roll(4) > 0 { dice.roll(usize::from(LANES)) } else { dice.roll(self.owners.len()) };
        let mut owner = self.owners[chosen];
        let is_fork = chosen >= usize::from(LANES) || dice.roll(6) == 0;
        if is_fork {
            owner = owner.fork(u8::try_from(self.made % 250).unwrap() + 1);
        }
        let bundle = match dice.roll(25) {
            0 => owner.twisted(|header| header.cumulative_bytes += 1),
            1 => owner.twisted(|header| header.cumulative_operations -= 1),
            2 => owner.twisted(|header| header.number = BundleNumber(header.number.0 + 1)),
            _ => owner.bundle(1 + dice.roll(4)),
        };
        if is_fork || dice.roll(8) == 0 {
            let before = self.owners[chosen];
            self.owners.push(before);
        }
        if is_fork {
            self.owners.push(owner);
        } else {
            self.owners[chosen] = owner;
        }
        self.bundles.insert(bundle.digest(), Arc::clone(&bundle));
        bundle
    }

    /// The chain from `tip` down to `base`, or `None` if protocol §3.6 says no.
    fn chain(&self, tip: &LaneTip, base: &Point) -> Option<Vec<Arc<Bundle>>> {
        if tip.number <= base.number {
            return None;
        }
        let bundle = self.bundles.get(&tip.digest)?;
        let header = bundle.header.statement;
        if header.number != tip.number || header.lane != tip.lane {
            return None;
        }
        let below = BundleNumber(header.number.0 - 1);
        let (mut chain, parent) = if below == base.number {
            (Vec::new(), (header.parent == base.digest).then_some(*base)?)
        } else {
            let parent = LaneTip { lane: tip.lane, number: below, digest: header.parent };
            let chain = self.chain(&parent, base)?;
            let header = chain.last()?.header.statement;
            (chain, Point::of(&header, header.digest()))
        };
        let follows = header.cumulative_operations == parent.cumulative_operations + bundle.operations.len() as u64
            && header.cumulative_bytes == parent.cumulative_bytes + bundle.size_bytes();
        chain.push(Arc::clone(bundle));
        follows.then_some(chain)
    }

    /// The tips after `payload`, and the bundles that it stands for, if it is valid.
    fn judge(&self, base: &[Point], payload: &Payload) -> Option<(Vec<Point>, Vec<Arc<Bundle>>)> {
        let (mut after, mut all) = (base.to_vec(), Vec::new());
        for tip in &payload.tips {
            let chain = self.chain(tip, &base[tip.lane.position()])?;
            let header = chain.last()?.header.statement;
            after[tip.lane.position()] = Point::of(&header, header.digest());
            all.extend(chain);
        }
        let operations: u64 = all.iter().map(|bundle| bundle.operations.len() as u64).sum();
        let bytes: u64 = all.iter().map(|bundle| bundle.size_bytes()).sum();
        let limits = config(usize::from(LANES)).limits;
        (operations <= limits.proposal_operations && bytes <= limits.proposal_bytes).then_some((after, all))
    }

    /// A payload of random tips, biased to what may be valid above `base`.
    fn payload(&self, base: &[Point], dice: &mut Dice) -> Payload {
        let mut tips = Vec::new();
        for lane in 0..LANES {
            let point = &base[usize::from(lane)];
            let near: Vec<LaneTip> = self
                .bundles
                .values()
                .map(|bundle| bundle.header.statement.tip())
                .filter(|tip| tip.lane.0 == lane && tip.number.above(point.number) <= 4)
                .filter(|tip| tip.number > point.number || dice.roll(20) == 0)
                .collect();
            if !near.is_empty() && dice.roll(3) > 0 {
                tips.push(near[dice.roll(near.len())]);
            }
        }
        Payload { tips }
    }

    fn some_proposal(&self, dice: &mut Dice) -> (Digest, Vec<Point>) {
        let (digest, (_, points)) = self.proposals.iter().nth(dice.roll(self.proposals.len())).unwrap();
        (*digest, points.clone())
    }

    fn deliver(&mut self, digest: Digest) {
        let mut alive: BTreeMap<Digest, (Digest, Vec<Point>)> = BTreeMap::new();
        alive.insert(digest, self.proposals[&digest].clone());
        loop {
            let more: Vec<_> = self
                .proposals
                .iter()
                .filter(|(child, (parent, _))| alive.contains_key(parent) && !alive.contains_key(*child))
                .map(|(child, proposal)| (*child, proposal.clone()))
                .collect();
            if more.is_empty() {
                break;
            }
            alive.extend(more);
        }
        self.proposals = alive;
    }
}

/// Serves what is wanted, from the top down, with the odd duplicate, until there is a verdict.
fn settle(lanes: &mut Lanes, universe: &Universe, parent: Digest, digest: Digest, payload: &Payload) -> Check {
    for _ in 0..100 {
        let check = lanes.check(parent, digest, payload);
        let Check::Missing(wants) = &check else { return check };
        assert!(!wants.is_empty());
        let mut served = 0;
        for want in wants {
            let (mut number, mut tip) = (want.to, want.tip);
            while let Some(bundle) = universe.bundles.get(&tip).filter(|bundle| self::number(bundle) == number) {
                if number < want.from {
                    break;
                }
                let admission = lanes.admit(Arc::clone(bundle));
                served += usize::from(matches!(admission, Admission::Stored { .. }));
                (number, tip) = (BundleNumber(number.0 - 1), bundle.header.statement.parent);
            }
        }
        if served == 0 {
            return check; // Names a bundle that doesn't exist: it waits for ever, and that is right.
        }
    }
    panic!("no verdict");
}

fn check_bounds(lanes: &Lanes) {
    for lane in &lanes.lanes {
        let ordinary = lane.entries.values().filter(|entry| !entry.is_extra);
        let held: u64 = ordinary.map(|entry| entry.size_bytes).sum();
        assert!(held <= lanes.config.limits.lane_bytes);
        assert!(lane.top.number >= lane.tip.number);
    }
}

fn check_fill(lanes: &mut Lanes, universe: &Universe, parent: Digest, points: &[Point]) {
    let filled = lanes.fill(parent).unwrap();
    let waiting = lanes.waiting(parent).unwrap();
    let judged = universe.judge(points, &filled.payload);
    assert!(judged.is_some(), "what is proposed is valid");
    if filled.is_full {
        assert!(filled.payload.tips.iter().all(|tip| waiting.iter().any(|lane| lane.tip.lane == tip.lane)));
    } else {
        let all: Vec<LaneTip> = waiting.iter().map(|lane| lane.tip).collect();
        assert_eq!(filled.payload.tips, all, "with room, all that waits is named");
    }
}

fn run(seed: u64, steps: usize) -> [usize; 3] {
    let mut dice = Dice(seed);
    let mut universe = Universe::new();
    let mut lanes = lanes(usize::from(LANES));
    let mut verdicts = [0; 3];
    for step in 0..steps {
        match dice.roll(10) {
            0..=4 => {
                let bundle = universe.sign(&mut dice);
                if dice.roll(3) > 0 {
                    lanes.admit(bundle);
                }
            }
            5 if !universe.bundles.is_empty() => {
                let old = universe.bundles.values().nth(dice.roll(universe.bundles.len())).unwrap();
                lanes.admit(Arc::clone(old));
            }
            6..=8 => {
                let (parent, base) = universe.some_proposal(&mut dice);
                let payload = universe.payload(&base, &mut dice);
                let digest = name(step as u64);
                let expected = universe.judge(&base, &payload);
                let early = lanes.check(parent, digest, &payload);
                let check =
                    if dice.roll(3) > 0 { settle(&mut lanes, &universe, parent, digest, &payload) } else { early };
                match (check, expected) {
                    (Check::Valid, Some((after, bundles))) => {
                        assert_eq!(lanes.expand(parent, &payload), Some(bundles), "seed {seed} step {step}");
                        universe.proposals.insert(digest, (parent, after));
                        verdicts[0] += 1;
                    }
                    (Check::Invalid(_), None) => verdicts[1] += 1,
                    (Check::Missing(_), _) => verdicts[2] += 1,
                    (check, expected) => panic!("seed {seed} step {step}: {check:?} for {expected:?}"),
                }
            }
            _ => {
                let (delivered, _) = lanes.delivered();
                let child = universe
                    .proposals
                    .iter()
                    .find(|(digest, (parent, _))| *parent == delivered && **digest != delivered);
                if let Some((digest, (_, points))) = child.map(|(digest, proposal)| (*digest, proposal.clone())) {
                    assert_eq!(lanes.deliver(digest), Ok(points));
                    universe.deliver(digest);
                }
            }
        }
        check_bounds(&lanes);
        let (parent, points) = universe.some_proposal(&mut dice);
        check_fill(&mut lanes, &universe, parent, &points);
    }
    verdicts
}

#[test]
fn lanes_agree_with_a_naive_model_that_holds_everything() {
    let mut verdicts = [0; 3];
    for seed in 0..150 {
        for (sum, count) in verdicts.iter_mut().zip(run(seed, 150)) {
            *sum += count;
        }
    }
    assert!(verdicts.iter().all(|count| *count > 300), "every verdict was met often: {verdicts:?}");
}

#[test]
fn one_seed_gives_one_run() {
    assert_eq!(run(5, 100), run(5, 100));
}
