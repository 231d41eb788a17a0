//! Evidence in the state (accountability §2.2; data-model §2.5).

mod common;

use std::sync::Arc;

use common::*;
use quorate_crypto::{Digest, PublicKey, SecretKey, sha256};
use quorate_machine::read;
use quorate_types::codec::Canonical;
use quorate_types::epoch::{NewValidator, SetChange};
use quorate_types::evidence::{Conviction, Evidence, in_order};
use quorate_types::execution::{Execution, ExecutionVote};
use quorate_types::ids::{ClusterId, Epoch, Sequence, ValidatorIndex, View};
use quorate_types::operation::{Operation, SystemChange};
use quorate_types::receipt::RejectionCode;
use quorate_types::set::ValidatorInfo;
use quorate_types::signed::{Signed, signing_bytes};
use quorate_types::view_change::ViewChange;
use quorate_types::vote::{Claim, Phase, Vote};

/// What [`World`] executes in.
fn cluster() -> ClusterId {
    ClusterId(sha256(&[]))
}

fn seed(at: u16) -> u8 {
    u8::try_from(at).expect("a small set")
}

fn key(at: u16) -> SecretKey {
    SecretKey::from_seed([200 + seed(at); 32])
}

fn world() -> World {
    let validator = |at: u16| ValidatorInfo {
        name: format!("v{at}"),
        consensus_key: key(at).public(),
        network_key: SecretKey::from_seed([220 + seed(at); 32]).public(),
        incarnation: [1; 32],
        peer_address: format!("host-{at}:7000"),
    };
    let mut world = World::new();
    world.parameters.checkpoint_interval = 4;
    world.parameters.window = 8;
    world.parameters.min_epoch_sequences = 128;
    world.parameters.bar_on_proof = 1;
    world.epoch.validators = (0..4).map(validator).collect();
    world
}

/// Two commit votes of a validator at one place.
fn double_vote(validator: u16, epoch: u64, sequence: u64) -> Evidence {
    let vote = |choice: u8| {
        let statement = Vote {
            epoch: Epoch(epoch),
            view: View(0),
            sequence: Sequence(sequence),
            digest: sha256(&[&[choice]]),
            phase: Phase::Commit,
            validator: ValidatorIndex(validator),
        };
        Signed { statement, signature: key(validator).sign(&signing_bytes(&cluster(), &statement)) }
    };
    let (first, second) = in_order((vote(1), vote(2)));
    Evidence::ConflictingVotes(first, second)
}

/// Two proposals of the primary of a view.
fn double_proposal(validator: u16, (epoch, view): (u64, u64), sequence: u64) -> Evidence {
    let Evidence::ConflictingVotes(first, second) = double_vote(validator, epoch, sequence) else { unreachable!() };
    let prepare = |vote: Signed<Vote>| {
        let statement = Vote { phase: Phase::Prepare, view: View(view), ..vote.statement };
        Signed { statement, signature: key(validator).sign(&signing_bytes(&cluster(), &statement)) }
    };
    let (first, second) = in_order((prepare(first), prepare(second)));
    Evidence::ConflictingProposals(first, second)
}

/// Two view changes for view 5 with different claims.
fn double_view_change(validator: u16, epoch: u64) -> Evidence {
    let change = |sequence: u64| {
        let claim = Claim { view: View(1), sequence: Sequence(sequence), digest: sha256(&[b"claimed"]) };
        let statement = ViewChange {
            epoch: Epoch(epoch),
            new_view: View(5),
            prepared: None,
            committed: None,
            last_vote: Some(claim),
            validator: ValidatorIndex(validator),
        };
        Signed { statement, signature: key(validator).sign(&signing_bytes(&cluster(), &statement)) }
    };
    let (first, second) = in_order((change(130), change(131)));
    Evidence::ConflictingViewChanges(first, second)
}

fn accuse(world: &World, by: u16, evidence: &Evidence) -> Arc<Operation> {
    accuse_with(world, by, evidence.to_bytes())
}

fn accuse_with(world: &World, by: u16, bytes: Vec<u8>) -> Arc<Operation> {
    finish(world.with_nonce(key(by).public(), 0).system(SystemChange::Accuse(bytes.into())))
}

fn refused(world: &mut World, operation: &Arc<Operation>) -> RejectionCode {
    let before = convictions(world);
    let code = rejection(&world.receipt(operation)).0;
    assert_eq!(convictions(world), before, "what is rejected convicts nobody");
    code
}

fn convictions(world: &World) -> Vec<Conviction> {
    read::convictions(&world.state).expect("a map never fails")
}

/// accountability §2.2
#[test]
fn evidence_that_holds_stands_in_the_state_once_for_each_key_and_kind() {
    let mut world = world();
    let evidence = double_vote(2, 0, 9);
    let operation = accuse(&world, 1, &evidence);
    let executed = world.run(&[(1, Arc::clone(&operation))]);
    assert!(executed.receipts[0].is_applied());
    let conviction = Conviction {
        convicted: key(2).public(),
        kind: evidence.code(),
        evidence: evidence.id(),
        epoch: Epoch(0),
        shown_by: key(1).public(),
        operation: operation.id(),
        sequence: executed.receipts[0].sequence,
        time: quorate_types::ids::BlockTime(world.time),
    };
    assert_eq!(executed.convictions, std::slice::from_ref(&conviction));
    assert_eq!(convictions(&world), std::slice::from_ref(&conviction));
    let stored = &world.state[&Conviction::state_key(&conviction.convicted, conviction.kind)];
    assert_eq!(Conviction::from_bytes(stored), Ok(conviction), "it lies where proofs look for it");
    // The same piece from another one, and another piece of the kind.
    let again = accuse(&world, 3, &evidence);
    assert_eq!(refused(&mut world, &again), RejectionCode::AlreadyConvicted);
    let more = accuse(&world, 1, &double_vote(2, 0, 10));
    assert_eq!(refused(&mut world, &more), RejectionCode::AlreadyConvicted);
    let other = accuse(&world, 1, &double_vote(3, 0, 9));
    assert!(world.receipt(&other).is_applied());
    assert_eq!(convictions(&world).len(), 2);
}

/// accountability §1.7, §2.2: nothing is believed, whoever shows it.
#[test]
fn evidence_that_does_not_hold_is_rejected_with_a_code() {
    let mut world = world();
    let unreadable = accuse_with(&world, 1, vec![99, 1, 2]);
    assert_eq!(refused(&mut world, &unreadable), RejectionCode::InvalidEvidence);
    let Evidence::ConflictingVotes(first, _) = double_vote(2, 0, 9) else { unreachable!() };
    let once = accuse(&world, 1, &Evidence::ConflictingVotes(first, first));
    assert_eq!(refused(&mut world, &once), RejectionCode::InvalidEvidence);
    let nobody = accuse(&world, 1, &double_vote(7, 0, 9));
    assert_eq!(refused(&mut world, &nobody), RejectionCode::InvalidEvidence);
    let forged = Signed { signature: first.signature, ..first };
    let Evidence::ConflictingVotes(_, second) = double_vote(3, 0, 9) else { unreachable!() };
    let framed = accuse(&world, 1, &Evidence::ConflictingVotes(forged, second));
    assert_eq!(refused(&mut world, &framed), RejectionCode::InvalidEvidence);
    for epoch in [1, 7] {
        let other = accuse(&world, 1, &double_vote(2, epoch, 9));
        assert_eq!(refused(&mut world, &other), RejectionCode::OtherEpoch);
    }
    // The word isn't an administrator's, although the key may change entities.
    let stranger =
        finish(world.with_nonce(admin(), 0).system(SystemChange::Accuse(double_vote(2, 0, 9).to_bytes().into())));
    let executed = world.run(&[(0, stranger)]);
    assert_eq!((executed.receipts.len(), executed.judgements.len()), (0, 1));
}

/// accountability §2.2: what a validator can make all others compute is bounded; its word isn't lost, only early.
#[test]
fn one_sequence_judges_one_piece_of_each_validator() {
    let mut world = world();
    let (first, second, third) = (double_vote(2, 0, 9), double_vote(3, 0, 9), double_vote(0, 0, 9));
    let own = [accuse(&world, 1, &first), accuse(&world, 1, &second)];
    let other = accuse(&world, 2, &third);
    let executed = world.run(&[(1, own[0].clone()), (1, own[1].clone()), (2, other)]);
    let applied = executed.receipts.iter().filter(|receipt| receipt.is_applied()).count();
    assert_eq!((executed.receipts.len(), applied, executed.convictions.len()), (3, 2, 2));
    let late = executed.receipts.iter().find(|receipt| !receipt.is_applied()).unwrap();
    assert_eq!(rejection(late).0, RejectionCode::TooMuchEvidence);
    let missing = if late.operation == own[0].id() { first } else { second };
    world.advance(1, 1_000);
    let again = accuse(&world, 1, &missing);
    assert!(world.receipt(&again).is_applied());
}

/// accountability §2.2: what was done shortly before an epoch's end is judged by that epoch's set.
#[test]
fn evidence_of_the_epoch_before_is_judged_by_its_own_set() {
    let mut world = world();
    let rejoin = quorate_types::operation::Rejoin { epoch: Epoch(0), incarnation: [9; 32] };
    let rejoin = finish(world.with_nonce(key(0).public(), 0).system(SystemChange::Rejoin(rejoin)));
    assert!(world.receipt(&rejoin).is_applied());
    let last = read::epoch_end(&world.state, Epoch(0)).unwrap().expect("the epoch ends");
    while world.sequence < last.0 {
        world.run(&[]);
    }
    let before = read::epoch_before(&world.state).unwrap().expect("it is remembered");
    assert_eq!((before.definition.epoch, before.start), (Epoch(0), Digest::ZERO));
    world.epoch = read::next_epoch(&world.state).unwrap().expect("a next epoch");
    // Another order: index 2 means another one now.
    world.epoch.validators.reverse();
    let evidence = accuse(&world, 1, &double_vote(3, 0, 9));
    assert!(world.receipt(&evidence).is_applied());
    assert_eq!(convictions(&world)[0].convicted, key(3).public());
    let mine = accuse(&world, 1, &double_vote(3, 1, 9));
    assert_eq!(refused(&mut world, &mine), RejectionCode::InvalidEvidence, "index 3 has another key in this epoch");
}

fn pending(world: &World) -> Vec<SetChange> {
    read::pending_changes(&world.state).expect("a map never fails").map(|pending| pending.changes).unwrap_or_default()
}

fn bar(at: u16) -> SetChange {
    SetChange::Bar { validator: key(at).public() }
}

fn evict(at: u16) -> SetChange {
    SetChange::Evict { validator: key(at).public() }
}

fn convict(world: &mut World, evidence: &Evidence) {
    let by = evidence.validator().map_or(0, |accused| (accused.0 + 1) % 4);
    let operation = accuse(world, by, evidence);
    assert!(world.receipt(&operation).is_applied());
}

fn next_epoch(world: &mut World) {
    let last = read::epoch_end(&world.state, world.epoch.epoch).expect("a map never fails").expect("the epoch ends");
    while world.sequence < last.0 {
        world.run(&[]);
    }
    world.epoch = read::next_epoch(&world.state).expect("a map never fails").expect("a next epoch");
}

/// accountability §2.3, protocol §8.6: a conviction ends the epoch by itself, and bars its subject in the next.
#[test]
fn a_conviction_is_a_change_that_nobody_approves() {
    let mut world = world();
    convict(&mut world, &double_vote(2, 0, 9));
    assert_eq!(pending(&world), [bar(2)]);
    assert_eq!(read::epoch_end(&world.state, Epoch(0)).unwrap(), Some(Sequence(128)), "E_min is kept");
    // Another kind against the same key says nothing new about who may lead.
    convict(&mut world, &double_proposal(2, (0, 2), 10));
    convict(&mut world, &double_vote(1, 0, 9));
    assert_eq!(pending(&world), [bar(2), bar(1)]);
    next_epoch(&mut world);
    assert_eq!(world.epoch.barred, [key(2).public(), key(1).public()]);
    assert_eq!(world.epoch.validators.len(), 4, "they vote on");
    let roster = world.epoch.set();
    let leads = |at| roster.roster().leads(ValidatorIndex(at));
    assert_eq!([0, 1, 2, 3].map(leads), [true, true, false, true], "one of four, the one barred first");
    let again = accuse(&world, 3, &double_proposal(2, (1, 1), 200));
    assert_eq!(refused(&mut world, &again), RejectionCode::AlreadyConvicted);
    convict(&mut world, &double_view_change(2, 1));
    assert_eq!(pending(&world), [], "no second epoch for one that is barred already");
}

/// accountability §2.3: nothing follows where nobody asked for it.
#[test]
fn without_the_parameter_a_conviction_changes_nothing() {
    let mut world = world();
    world.parameters.bar_on_proof = 0;
    convict(&mut world, &double_vote(2, 0, 9));
    assert_eq!((convictions(&world).len(), pending(&world)), (1, vec![]));
    assert_eq!(read::epoch_end(&world.state, Epoch(0)), Ok(None));
}

/// accountability §1.9, §2.3: a wrong result can come from a broken disk.
#[test]
fn a_wrong_result_bars_nobody() {
    let mut world = world();
    let vote = |root: u8| {
        let digest = |what: u8| sha256(&[&[what]]);
        let execution = Execution {
            epoch: Epoch(0),
            sequence: Sequence(3),
            proposal: digest(1),
            state_root: digest(root),
            receipts_root: digest(2),
        };
        let statement = ExecutionVote { execution, validator: ValidatorIndex(2) };
        Signed { statement, signature: key(2).sign(&signing_bytes(&cluster(), &statement)) }
    };
    let (first, second) = in_order((vote(3), vote(4)));
    convict(&mut world, &Evidence::ConflictingExecutions(first, second));
    assert_eq!((convictions(&world).len(), pending(&world)), (1, vec![]));
    assert!(!convictions(&world)[0].blames());
}

/// accountability §2.4: where the parameters say so a convicted validator leaves, as long as enough are left; whoever
/// can't be spared leads no more.
#[test]
fn by_policy_a_convicted_validator_leaves_while_enough_are_left() {
    let mut world = world();
    world.parameters.evict_on_proof = 1;
    world.parameters.min_validators = 3;
    convict(&mut world, &double_vote(2, 0, 9));
    assert_eq!(pending(&world), [evict(2)]);
    convict(&mut world, &double_vote(1, 0, 9));
    assert_eq!(pending(&world), [evict(2), bar(1)]);
    next_epoch(&mut world);
    let names: Vec<&str> = world.epoch.validators.iter().map(|info| info.name.as_str()).collect();
    assert_eq!((names, &world.epoch.barred[..]), (vec!["v0", "v1", "v3"], &[key(1).public()][..]));
    assert_eq!(world.epoch.learners.len(), 1, "it serves for one epoch more");
    // What it did in the epoch before convicts it of more, and nothing is left to follow.
    let operation = accuse(&world, 0, &double_proposal(2, (0, 2), 7));
    assert!(world.receipt(&operation).is_applied());
    assert_eq!(pending(&world), []);
}

/// accountability §2.3: it comes back as somebody else, or not at all.
#[test]
fn nobody_who_is_convicted_is_added_under_the_same_key() {
    let mut world = world();
    world.parameters.evict_on_proof = 1;
    convict(&mut world, &double_vote(2, 0, 9));
    next_epoch(&mut world);
    let add = |consensus_key: PublicKey| {
        let network_key = SecretKey::from_seed([240; 32]).public();
        let (name, peer_address) = ("v9".to_owned(), "host-9:7000".to_owned());
        SetChange::Add(Box::new(NewValidator { name, consensus_key, network_key, peer_address, replaces: false }))
    };
    let old = finish(world.op().system(SystemChange::Propose(vec![add(key(2).public())])));
    let (code, text) = rejection(&world.receipt(&old));
    assert_eq!(code, RejectionCode::ChangeRefused);
    assert!(text.contains("is convicted"), "{text}");
    let new = finish(world.op().system(SystemChange::Propose(vec![add(key(30).public())])));
    assert!(world.receipt(&new).is_applied());
}
