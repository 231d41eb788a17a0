//! Changes of the validator set and the parameters (protocol §7.4, §8.4, §8.5; data-model §2.5).

mod common;

use std::sync::Arc;

use common::*;
use quorate_crypto::{Digest, PublicKey, SecretKey, sha256};
use quorate_machine::{CheckpointRoot, read};
use quorate_types::epoch::{EpochDefinition, NewValidator, SetChange};
use quorate_types::genesis::Administrators;
use quorate_types::ids::{BlockTime, Epoch, OperationId, Sequence};
use quorate_types::operation::{Operation, Ready, Rejoin, SystemChange};
use quorate_types::receipt::{Outcome, RejectionCode};
use quorate_types::set::{LearnerRole, ValidatorInfo};

const INTERVAL: u64 = 4;
const WINDOW: u64 = 8;
const SHORTEST: u64 = 128;

fn key(seed: u8) -> PublicKey {
    SecretKey::from_seed([seed; 32]).public()
}

fn validator(at: u8) -> ValidatorInfo {
    ValidatorInfo {
        name: format!("v{at}"),
        consensus_key: key(100 + 2 * at),
        network_key: key(101 + 2 * at),
        incarnation: [at + 1; 32],
        peer_address: format!("host-{at}:7000"),
    }
}

/// Four validators, two of three administrators must approve.
fn world() -> World {
    let mut world = World::new();
    world.parameters.checkpoint_interval = INTERVAL as u32;
    world.parameters.window = WINDOW as u32;
    world.parameters.min_epoch_sequences = SHORTEST as u32;
    world.parameters.min_validators = 4;
    world.epoch.validators = (0..4).map(validator).collect();
    world.administrators = Administrators { threshold: 2, keys: vec![admin(), key(60), key(61)] };
    world
}

fn propose(world: &mut World, changes: &[SetChange]) -> Arc<Operation> {
    finish(world.op().system(SystemChange::Propose(changes.to_vec())))
}

fn approve(world: &mut World, by: PublicKey, proposal: OperationId) -> Arc<Operation> {
    finish(world.by(by).system(SystemChange::Approve(proposal)))
}

/// A validator's word, which has no nonce.
fn rejoin(world: &World, at: u8, epoch: u64, nonce: u8) -> Arc<Operation> {
    let rejoin = Rejoin { epoch: Epoch(epoch), incarnation: [nonce; 32] };
    finish(world.with_nonce(validator(at).consensus_key, 0).system(SystemChange::Rejoin(rejoin)))
}

fn add(at: u8) -> SetChange {
    let ValidatorInfo { name, consensus_key, network_key, peer_address, .. } = validator(at);
    SetChange::Add(Box::new(NewValidator { name, consensus_key, network_key, peer_address, replaces: false }))
}

fn parameter(name: &str, value: u32) -> SetChange {
    SetChange::Parameter { name: name.to_owned(), value }
}

/// Proposed and approved by both who must.
fn carry(world: &mut World, changes: &[SetChange]) {
    let proposal = propose(world, changes);
    assert!(world.receipt(&proposal).is_applied());
    for by in [key(60), key(61)] {
        let approval = approve(world, by, proposal.id());
        assert!(world.receipt(&approval).is_applied());
    }
}

fn refused(world: &mut World, operation: &Arc<Operation>) -> (RejectionCode, String) {
    match world.receipt(operation).outcome {
        Outcome::Rejected(rejection) => (rejection.code, rejection.message),
        Outcome::Applied => panic!("it was applied"),
    }
}

fn ends(world: &World) -> Option<u64> {
    read::epoch_end(&world.state, world.epoch.epoch).expect("a map never fails").map(|last| last.0)
}

/// Runs empty sequences up to the epoch's last one, and goes on in the next.
fn reach_end(world: &mut World) -> EpochDefinition {
    let last = ends(world).expect("the epoch ends");
    while world.sequence < last {
        assert_eq!(world.run(&[]).ends, Some(Sequence(last)));
    }
    let next = read::next_epoch(&world.state).expect("a map never fails").expect("a next epoch");
    assert_eq!((next.epoch, next.start), (world.epoch.epoch.next(), Sequence(last)));
    world.epoch = next.clone();
    world.parameters = next.parameters;
    next
}

/// protocol §8.4, §8.5: the threshold's last approval fixes the epoch's last sequence; there the change takes effect.
#[test]
fn an_approved_change_takes_effect_at_the_end_of_the_epoch() {
    let mut world = world();
    let proposal = propose(&mut world, &[parameter("document_levels", 7)]);
    assert!(world.receipt(&proposal).is_applied());
    let first = approve(&mut world, key(60), proposal.id());
    assert!(world.receipt(&first).is_applied());
    let again = approve(&mut world, key(60), proposal.id());
    assert!(world.receipt(&again).is_applied(), "one administrator's word counts once");
    assert_eq!(ends(&world), None);
    let second = approve(&mut world, key(61), proposal.id());
    assert!(world.receipt(&second).is_applied());
    assert_eq!(ends(&world), Some(SHORTEST), "E_min, a multiple of K");
    assert_eq!(read::open_proposals(&world.state).unwrap(), []);
    let late = approve(&mut world, admin(), proposal.id());
    assert_eq!(refused(&mut world, &late).0, RejectionCode::NoSuchProposal);
    let next = reach_end(&mut world);
    assert_eq!(next.parameters.document_levels, 7);
    assert_eq!(next.validators, (0..4).map(validator).collect::<Vec<_>>());
    assert_eq!(ends(&world), None, "the next epoch goes on until something changes");
    assert_eq!(world.run(&[]).ends, None);
}

/// protocol §8.4: `c` is the first checkpoint at or above `s + W` once `E_min` has passed; what executes up to there
/// takes effect together.
#[test]
fn changes_up_to_the_end_take_effect_together() {
    let mut world = world();
    while world.sequence < 1_001 {
        world.run(&[]);
    }
    let back = rejoin(&world, 2, 0, 9);
    assert!(world.receipt(&back).is_applied(), "no approval is needed");
    assert_eq!(ends(&world), Some(1_012), "the first multiple of 4 at or above 1002 + 8");
    while world.sequence < 1_008 {
        world.run(&[]);
    }
    carry(&mut world, &[parameter("document_levels", 9)]);
    assert_eq!((ends(&world), world.sequence), (Some(1_012), 1_011));
    let at_the_end = rejoin(&world, 3, 0, 8);
    assert!(world.receipt(&at_the_end).is_applied());
    let next = read::next_epoch(&world.state).unwrap().unwrap();
    assert_eq!(next.validators[2].incarnation, [9; 32]);
    assert_eq!(next.validators[3].incarnation, [8; 32]);
    assert_eq!(next.parameters.document_levels, 9);
}

/// protocol §7.4: a validator's word is valid in the epoch that it names, needs no nonce, uses none up, executes once,
/// and the last one counts.
#[test]
fn a_validator_comes_back_without_a_nonce_in_the_epoch_that_it_names() {
    let mut world = world();
    let first = rejoin(&world, 1, 0, 7);
    assert!(world.receipt(&first).is_applied());
    assert!(world.run(&[(0, first.clone()), (1, first)]).receipts.is_empty(), "it has executed");
    let second = rejoin(&world, 1, 0, 8);
    assert!(world.receipt(&second).is_applied());
    assert_eq!(read::pending_changes(&world.state).unwrap().unwrap().changes.len(), 1);
    let author = validator(1).consensus_key;
    let now = BlockTime(world.time);
    assert_eq!(read::author(&world.state, &author, now, &world.parameters), Ok(None), "no nonce was used");
    let later = rejoin(&world, 1, 1, 9);
    assert_eq!(refused(&mut world, &later).0, RejectionCode::OtherEpoch);
    let stranger = finish(
        world.with_nonce(key(99), 0).system(SystemChange::Rejoin(Rejoin { epoch: Epoch(0), incarnation: [1; 32] })),
    );
    world.judgement(&stranger);
    assert_eq!(reach_end(&mut world).validators[1].incarnation, [8; 32]);
    let old = rejoin(&world, 1, 0, 7);
    assert_eq!(refused(&mut world, &old).0, RejectionCode::OtherEpoch, "nothing of an earlier epoch");
}

/// protocol §8.5: an addition learns first; it counts after its `Ready`, which names a state of the last checkpoints.
#[test]
fn an_addition_counts_after_it_has_shown_that_it_caught_up() {
    let mut world = world();
    carry(&mut world, &[add(4)]);
    let learning = reach_end(&mut world);
    assert_eq!(learning.validators.len(), 4);
    assert_eq!(learning.learners[0].role, LearnerRole::Joining { replaces: None });
    let ready = |world: &World, checkpoint: u64, state_root: Digest| {
        let (epoch, incarnation) = (Epoch(1), [5; 32]);
        let ready = Ready { epoch, incarnation, checkpoint: Sequence(checkpoint), state_root };
        finish(world.with_nonce(validator(4).consensus_key, 0).system(SystemChange::Ready(ready)))
    };
    let root = sha256(&[b"the state"]);
    world.before = Some(CheckpointRoot { sequence: Sequence(132), time: BlockTime(world.time), root });
    world.run(&[]);
    world.before = None;
    for wrong in [ready(&world, 132, Digest::ZERO), ready(&world, 136, root)] {
        assert_eq!(refused(&mut world, &wrong).0, RejectionCode::NotCaughtUp);
    }
    let right = ready(&world, 132, root);
    assert!(world.receipt(&right).is_applied());
    let counting = reach_end(&mut world);
    assert_eq!(counting.validators[4].incarnation, [5; 32]);
    assert!(counting.learners.is_empty());
}

/// protocol §8.5: the roots of the last checkpoints stay known, and no more than a bounded number.
#[test]
fn roots_of_checkpoints_are_bounded() {
    let mut world = world();
    for checkpoint in 1..=200 {
        let (sequence, time) = (Sequence(checkpoint * INTERVAL), BlockTime(world.time));
        world.before = Some(CheckpointRoot { sequence, time, root: Digest::ZERO });
        world.run(&[]);
    }
    let kept = |world: &World| world.state[&b"vr"[..]].len();
    assert!(kept(&world) <= 4 + 64 * 48, "{}", kept(&world));
    let before = kept(&world);
    world.before = Some(CheckpointRoot { sequence: Sequence(801), time: BlockTime(0), root: Digest::ZERO });
    world.run(&[]);
    assert_eq!(kept(&world), before, "801 is no checkpoint");
}

/// protocol §8.5: rejected with a sentence that says why, and nothing is changed.
#[test]
fn what_cannot_be_is_refused_when_it_is_proposed_and_when_it_is_approved() {
    let mut world = world();
    let remove = |at: u8| SetChange::Remove { name: format!("v{at}") };
    let too_few = propose(&mut world, &[remove(0)]);
    let (code, text) = refused(&mut world, &too_few);
    assert_eq!(code, RejectionCode::ChangeRefused);
    assert!(text.contains("3 validators would be left, parameters.min_validators is 4"), "{text}");
    let validator_proposes = finish(world.by(validator(0).consensus_key).system(SystemChange::Propose(vec![add(4)])));
    assert_eq!(refused(&mut world, &validator_proposes).0, RejectionCode::PermissionDenied);
    // Both can be proposed; after the first is approved, the second can't be any more.
    let [first, second] = [propose(&mut world, &[add(4)]), propose(&mut world, &[add(4)])];
    assert!(world.receipt(&first).is_applied() && world.receipt(&second).is_applied());
    for (proposal, by, is_fine) in [(&first, 60, true), (&first, 61, true), (&second, 60, true), (&second, 61, false)] {
        let approval = approve(&mut world, key(by), proposal.id());
        assert_eq!(world.receipt(&approval).is_applied(), is_fine);
    }
    assert_eq!(read::open_proposals(&world.state).unwrap().len(), 1, "the second waits on");
}

/// protocol §8.5: proposals that nobody approves are bounded, and lapse.
#[test]
fn open_proposals_are_bounded_and_lapse() {
    let mut world = world();
    for _ in 0..64 {
        let proposal = propose(&mut world, &[parameter("document_levels", 9)]);
        assert!(world.receipt(&proposal).is_applied());
    }
    let one_more = propose(&mut world, &[parameter("document_levels", 9)]);
    assert_eq!(refused(&mut world, &one_more).0, RejectionCode::TooManyProposals);
    world.advance(0, 8 * u64::from(world.parameters.max_lifetime_ms));
    let fresh = propose(&mut world, &[parameter("document_levels", 9)]);
    assert!(world.receipt(&fresh).is_applied());
    assert_eq!(read::open_proposals(&world.state).unwrap().len(), 1);
}
