//! What an epoch becomes by changes, and what can't become of it.

use super::*;
use crate::ids::ValidatorIndex;
use quorate_crypto::SecretKey;

fn key(seed: u8) -> PublicKey {
    SecretKey::from_seed([seed; 32]).public()
}

fn info(at: u8) -> ValidatorInfo {
    ValidatorInfo {
        name: format!("v{at}"),
        consensus_key: key(2 * at + 1),
        network_key: key(2 * at + 2),
        incarnation: [at + 1; 32],
        peer_address: format!("host-{at}:7000"),
    }
}

fn new(at: u8) -> NewValidator {
    let ValidatorInfo { name, consensus_key, network_key, peer_address, .. } = info(at);
    NewValidator { name, consensus_key, network_key, peer_address, replaces: false }
}

fn add(at: u8) -> SetChange {
    SetChange::Add(Box::new(new(at)))
}

fn ready(at: u8) -> SetChange {
    SetChange::Ready { validator: info(at).consensus_key, incarnation: [at + 1; 32] }
}

fn remove(at: u8) -> SetChange {
    SetChange::Remove { name: format!("v{at}") }
}

fn four() -> EpochDefinition {
    EpochDefinition {
        epoch: Epoch::ZERO,
        start: Sequence::ZERO,
        validators: (0..4).map(info).collect(),
        learners: Vec::new(),
        barred: Vec::new(),
        parameters: Parameters { min_validators: 3, ..Parameters::default() },
    }
}

fn after(definition: &EpochDefinition, changes: &[SetChange]) -> EpochDefinition {
    definition.after(changes, definition.start.plus(4_096)).unwrap()
}

fn names(definition: &EpochDefinition) -> Vec<&str> {
    definition.validators.iter().map(|info| info.name.as_str()).collect()
}

/// protocol §8.5: an addition learns first, and counts after its `Ready`; whoever leaves serves for one more epoch.
#[test]
fn an_addition_learns_first_and_a_removed_validator_serves_one_epoch_more() {
    let one = after(&four(), &[add(4)]);
    assert_eq!((one.epoch, one.start, one.validators.len()), (Epoch(1), Sequence(4_096), 4));
    assert_eq!(one.set().place_of(&info(4).consensus_key), ValidatorIndex(4));
    assert_eq!(one.set().validator(ValidatorIndex(4)), None, "it isn't counted");
    assert!(one.set().anyone(ValidatorIndex(4)).is_some());
    let two = after(&one, &[ready(4)]);
    assert_eq!(two.validators[4], info(4));
    assert!(two.learners.is_empty());
    let three = after(&two, &[remove(1)]);
    assert_eq!(names(&three), ["v0", "v2", "v3", "v4"]);
    assert_eq!(three.learners[0].role, LearnerRole::Leaving);
    assert!(after(&three, &[]).learners.is_empty());
    assert_eq!(after(&three, &[add(1)]).learners[0].role, LearnerRole::Joining { replaces: None });
}

/// protocol §8.5
#[test]
fn new_keys_take_their_validators_place_when_they_are_ready() {
    let rekeyed = NewValidator { name: "v1".to_owned(), replaces: true, ..new(7) };
    let one = after(&four(), &[SetChange::Add(Box::new(rekeyed))]);
    assert_eq!(one.validators, four().validators, "nothing has changed for those who count");
    let two = after(&one, &[ready(7)]);
    assert_eq!(names(&two), ["v0", "v1", "v2", "v3"]);
    assert_eq!(two.validators[1].consensus_key, info(7).consensus_key);
    assert_eq!(two.learners[0].info, info(1));
    assert!(after(&one, &[remove(1)]).learners.is_empty(), "given up, the old keys stay");
}

/// protocol §8.5: a change that would leave too few is refused, in words that say so.
#[test]
fn changes_are_judged_with_all_that_is_pending() {
    let refused = |changes: &[SetChange]| four().after(changes, Sequence(4_096)).unwrap_err().to_string();
    assert_eq!(refused(&[remove(0), remove(1)]), "2 validators would be left, parameters.min_validators is 3");
    assert_eq!(refused(&[remove(0), remove(0)]), "no validator is called \"v0\"");
    assert!(refused(&[add(0)]).contains("is another validator's already"));
    assert!(refused(&[ready(0)]).contains("is that of no learner that joins"));
    let taken = NewValidator { peer_address: "host-0:7000".to_owned(), ..new(9) };
    assert_eq!(refused(&[SetChange::Add(Box::new(taken))]), "peer address host-0:7000 is another validator's already");
    let parameter = |name: &str, value| SetChange::Parameter { name: name.to_owned(), value };
    assert!(refused(&[parameter("wndow", 1)]).contains("no parameter"));
    assert!(refused(&[parameter("max_lifetime_ms", 1_000)]).contains("stays as the genesis says"));
    assert!(refused(&[parameter("window", 512)]).contains("min_epoch_sequences"));
    let both = [parameter("window", 512), parameter("min_epoch_sequences", 8_192)];
    assert_eq!(after(&four(), &both).parameters.window, 512, "what only holds together is judged together");
}

#[test]
fn learners_are_bounded() {
    let many: Vec<SetChange> = (4..=4 + MAX_LEARNERS as u8).map(add).collect();
    assert_eq!(four().after(&many[1..], Sequence(64)).unwrap().learners.len(), MAX_LEARNERS);
    let fault = four().after(&many, Sequence(64)).unwrap_err();
    assert!(matches!(fault, ChangeFault::TooMany { what: "learners", .. }));
}

/// protocol §7.4
#[test]
fn a_validator_comes_back_with_another_incarnation() {
    let back = |nonce| SetChange::Rejoin { validator: info(2).consensus_key, incarnation: [nonce; 32] };
    let one = after(&four(), &[back(9)]);
    assert_eq!(one.validators[2].incarnation, [9; 32]);
    assert!(back(8).supersedes(&back(9)) && !back(8).supersedes(&ready(2)));
    assert!(four().after(&[remove(2), back(9)], Sequence(1)).is_err(), "whoever leaves doesn't come back");
}

fn bar(at: u8) -> SetChange {
    SetChange::Bar { validator: info(at).consensus_key }
}

fn evict(at: u8) -> SetChange {
    SetChange::Evict { validator: info(at).consensus_key }
}

/// protocol §8.6: a bar leaves the set and its indices alone, outlasts epochs, is counted once, and goes with its owner.
#[test]
fn a_bar_lasts_until_its_owner_has_left() {
    let one = after(&four(), &[bar(2), bar(1), bar(2)]);
    assert_eq!((names(&one), &one.barred[..]), (names(&four()), &[info(2).consensus_key, info(1).consensus_key][..]));
    let leads = |definition: &EpochDefinition, view| definition.set().primary(definition.epoch, crate::ids::View(view));
    let leaders: Vec<u16> = (0..4).map(|view| leads(&one, view).0).collect();
    assert_eq!(leaders, [1, 3, 0, 1], "the oldest of two bars, as f = 1");
    let two = after(&one, &[remove(2)]);
    assert_eq!(two.barred, [info(1).consensus_key], "the one who leaves takes its bar along");
    assert_eq!(after(&two, &[]).barred, two.barred);
    assert!(after(&four(), &[bar(9)]).barred.is_empty(), "nobody's key");
    // A learner that joins may have been convicted before; one that leaves will lead nobody.
    let joins = after(&four(), &[add(4), bar(4), remove(0), bar(0)]);
    assert_eq!(joins.barred, [info(4).consensus_key]);
    assert!(joins.may_lead(&info(4).consensus_key) && !joins.may_lead(&info(0).consensus_key));
}

/// accountability §2.4: an eviction is a removal that nobody asked for; too few must not be left, and whoever was to take
/// the place joins all the same.
#[test]
fn whoever_is_evicted_leaves_like_one_that_is_removed() {
    let one = after(&four(), &[evict(1)]);
    assert_eq!((names(&one), one.learners[0].role), (vec!["v0", "v2", "v3"], LearnerRole::Leaving));
    let refused = |changes: &[SetChange]| four().after(changes, Sequence(4_096)).unwrap_err();
    assert!(matches!(refused(&[evict(1), evict(2)]), ChangeFault::TooFew { left: 2, least: 3 }));
    assert!(matches!(refused(&[evict(1), evict(1)]), ChangeFault::NoSuchKey { .. }));
    let rekeyed = NewValidator { name: "v1".to_owned(), replaces: true, ..new(7) };
    let learning = after(&four(), &[SetChange::Add(Box::new(rekeyed))]);
    let two = after(&learning, &[evict(1), ready(7)]);
    assert_eq!(names(&two), ["v0", "v2", "v3", "v1"]);
    assert_eq!(two.validators[3].consensus_key, info(7).consensus_key);
}

#[test]
fn definitions_and_changes_survive_their_bytes() {
    let two = after(&after(&four(), &[add(4), remove(0), bar(1)]), &[ready(4), add(5)]);
    assert_eq!(EpochDefinition::from_bytes(&two.to_bytes()), Ok(two.clone()));
    let parameter = SetChange::Parameter { name: "window".to_owned(), value: 7 };
    let rejoin = SetChange::Rejoin { validator: key(1), incarnation: [1; 32] };
    for change in [add(4), remove(1), ready(2), parameter, rejoin, bar(3), evict(4)] {
        assert_eq!(SetChange::from_bytes(&change.to_bytes()), Ok(change));
    }
    let mut nobody = two;
    nobody.validators.clear();
    assert!(EpochDefinition::from_bytes(&nobody.to_bytes()).is_err());
}
