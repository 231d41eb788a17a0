//! Chains of epochs in the hands of somebody who holds nothing but the genesis, and in those of whoever forges them
//! (protocol §8.4, data-model §4.9).

mod common;

use common::{certificate, epoch_of, key};
use quorate_crypto::{Digest, sha256};
use quorate_proof::sparse::{Leaf, SparsePath};
use quorate_proof::{Checkpoint, EpochChain, EpochInfo, ProofFault, ReceiptProof, merkle};
use quorate_types::codec::Canonical;
use quorate_types::epoch::{CURRENT, EpochDefinition, EpochStart};
use quorate_types::execution::{Execution, ExecutionCertificate};
use quorate_types::ids::{BlockTime, Epoch, OperationId, Sequence};
use quorate_types::parameters::Parameters;
use quorate_types::proposal::{Payload, Proposal};
use quorate_types::receipt::{Outcome, Receipt};
use quorate_types::rules::RuleFault;
use quorate_types::set::ValidatorInfo;

/// The keys of the validators of the first epoch, of the two that follow, and of whoever forges.
const FIRST: [u16; 4] = [0, 1, 2, 3];
const SECOND: [u16; 4] = [10, 11, 12, 13];
const THIRD: [u16; 4] = [20, 21, 22, 23];
const FORGED: [u16; 4] = [40, 41, 42, 43];

/// Where the first two epochs end.
const ENDS: [u64; 2] = [64, 128];

fn certify(known: &EpochInfo, execution: Execution, members: &[u16], signers: usize) -> ExecutionCertificate {
    certificate(known, execution, (0..).zip(members.iter().copied()).take(signers))
}

/// The start of the epoch after `epoch`, whose validators have the keys `next`, certified by the first `signers` of
/// `members`.
fn start(epoch: u64, end: u64, (members, signers): (&[u16], usize), next: &[u16]) -> EpochStart {
    let known = epoch_of(b"genesis");
    let validators = next.iter().map(|member| ValidatorInfo {
        name: format!("v{member}"),
        consensus_key: key(*member).public(),
        network_key: key(member + 100).public(),
        incarnation: [7; 32],
        peer_address: format!("localhost:{member}"),
    });
    let definition = EpochDefinition {
        epoch: Epoch(epoch + 1),
        start: Sequence(end),
        validators: validators.collect(),
        learners: vec![],
        barred: vec![],
        parameters: Parameters::default(),
    };
    let leaf = Leaf::of(CURRENT, &definition.to_bytes());
    let proposal = Proposal {
        epoch: Epoch(epoch),
        sequence: Sequence(end),
        parent: Digest::ZERO,
        time: BlockTime(1_000),
        payload: Payload::default(),
    };
    let execution = Execution {
        epoch: Epoch(epoch),
        sequence: Sequence(end),
        proposal: proposal.digest(),
        state_root: leaf.digest(),
        receipts_root: Digest::ZERO,
    };
    let certificate = certify(&known, execution, members, signers);
    EpochStart { definition, path: SparsePath { end: Some(leaf), siblings: vec![] }, certificate, proposal }
}

fn chain(starts: Vec<EpochStart>) -> EpochChain {
    EpochChain { cluster: epoch_of(b"genesis").cluster, starts }
}

fn honest() -> EpochChain {
    chain(vec![start(0, ENDS[0], (&FIRST, 3), &SECOND), start(1, ENDS[1], (&SECOND, 3), &THIRD)])
}

/// What somebody makes who has the keys of `signers` of the first epoch's validators.
fn forgery(signers: usize) -> EpochChain {
    chain(vec![start(0, ENDS[0], (&FIRST, signers), &FORGED)])
}

/// A receipt of an epoch, certified by `members`.
fn receipt(epoch: u64, sequence: u64, members: &[u16]) -> ReceiptProof {
    let known = epoch_of(b"genesis");
    let receipt = Receipt {
        operation: OperationId(sha256(&[b"operation"])),
        sequence: Sequence(sequence),
        index: 0,
        outcome: Outcome::Applied,
        versions: vec![],
        concurrent_with: vec![],
    };
    let leaves = [receipt.digest()];
    let execution = Execution {
        epoch: Epoch(epoch),
        sequence: Sequence(sequence),
        proposal: Digest::ZERO,
        state_root: Digest::ZERO,
        receipts_root: merkle::root(&leaves),
    };
    let path = merkle::path(&leaves, 0).expect("an index within");
    ReceiptProof { receipt, path, certificate: certify(&known, execution, members, 3) }
}

fn followed(chain: &EpochChain, mut known: EpochInfo) -> Result<EpochInfo, ProofFault> {
    chain.follow(&mut known)?;
    Ok(known)
}

/// protocol §8.4
#[test]
fn whoever_has_the_chain_judges_receipts_of_every_epoch() {
    let genesis = epoch_of(b"genesis");
    let chain = EpochChain::from_file(&honest().to_file()).unwrap();
    let known = followed(&chain, genesis.clone()).unwrap();
    assert_eq!(known.epoch, Epoch(2));
    for (epoch, sequence, members) in
        [(0, 1, &FIRST), (0, 64, &FIRST), (1, 65, &SECOND), (1, 128, &SECOND), (2, 129, &THIRD)]
    {
        let proof = receipt(epoch, sequence, members);
        assert!(proof.verify(&known).is_ok(), "{epoch} {sequence}");
    }
    let fault = receipt(2, 129, &THIRD).verify(&genesis).unwrap_err();
    assert_eq!(fault, ProofFault::UnknownEpoch { found: Epoch(2), newest: Epoch(0) });
    let other = followed(&chain, epoch_of(b"edited genesis")).unwrap_err();
    assert!(matches!(other, ProofFault::OtherCluster { .. }), "{other}");
}

/// data-model §4.9. Even if the sum at the end is made anew.
#[test]
fn every_changed_byte_of_the_file_and_every_cut_is_refused() {
    const SUM: usize = 32;
    let file = honest().to_file();
    let judge = |bytes: &[u8]| EpochChain::from_file(bytes).and_then(|chain| followed(&chain, epoch_of(b"genesis")));
    assert!(judge(&file).is_ok());
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(judge(&changed).is_err(), "byte {at}");
        assert!(judge(&file[..at]).is_err(), "cut at {at}");
        if at < file.len() - SUM {
            changed.truncate(file.len() - SUM);
            changed.extend_from_slice(sha256(&[&changed]).as_bytes());
            assert!(judge(&changed).is_err(), "byte {at}, with a sum that fits");
        }
    }
}

/// protocol §8.4
#[test]
fn fewer_than_a_quorum_of_removed_keys_forge_no_epoch() {
    let fault = followed(&forgery(2), epoch_of(b"genesis")).unwrap_err();
    let rule = ProofFault::Rule(RuleFault::NoQuorum { found: 2, needed: 3 });
    assert_eq!(fault, ProofFault::Start { epoch: Epoch(1), fault: Box::new(rule) });
    // Those of the epoch before count for nothing in the next one, however many they are.
    let mut stale = honest();
    stale.starts[1] = start(1, ENDS[1], (&FIRST, 4), &FORGED);
    assert!(followed(&stale, epoch_of(b"genesis")).is_err());
    // And no link may be left out.
    assert!(followed(&chain(vec![honest().starts[1].clone()]), epoch_of(b"genesis")).is_err());
}

/// protocol §8.4
#[test]
fn against_a_quorum_of_removed_keys_the_genesis_does_not_help_and_a_checkpoint_does() {
    let genesis = epoch_of(b"genesis");
    let deceived = followed(&forgery(3), genesis.clone()).unwrap();
    assert!(receipt(1, 65, &FORGED).verify(&deceived).is_ok(), "the genesis alone doesn't tell");
    let known = followed(&honest(), genesis.clone()).unwrap();
    let (second, third) = (Checkpoint::of(&honest().starts[0].certificate.execution), known.checkpoint());
    let contradicts = |fault: &ProofFault, trusted: Checkpoint| {
        let ProofFault::Start { fault, .. } = fault else { return false };
        matches!(**fault, ProofFault::OtherCheckpoint { trusted: named, .. } if named == trusted)
    };
    let fault = followed(&forgery(3), genesis.clone().trusting(second).unwrap()).unwrap_err();
    assert!(contradicts(&fault, second), "{fault}");
    // Who forges may stop before the checkpoint: then nothing is believed.
    let short = followed(&forgery(3), genesis.clone().trusting(third).unwrap()).unwrap();
    let before = ProofFault::BeforeCheckpoint { trusted: third, newest: Sequence(ENDS[0]) };
    assert!(!short.is_trusted());
    for proof in [receipt(1, 65, &FORGED), receipt(0, 1, &FIRST)] {
        assert_eq!(proof.verify(&short), Err(before.clone()));
    }
    // Or end an epoch at it, or beyond it.
    for end in [ENDS[1], ENDS[1] + 64] {
        let mut longer = forgery(3);
        longer.starts.push(start(1, end, (&FORGED, 3), &FORGED));
        let fault = followed(&longer, genesis.clone().trusting(third).unwrap()).unwrap_err();
        assert!(contradicts(&fault, third), "{fault}");
    }
    for trusted in [second, third, Checkpoint::of_genesis(genesis.cluster)] {
        let known = followed(&honest(), genesis.clone().trusting(trusted).unwrap()).unwrap();
        assert!(known.is_trusted() && receipt(2, 129, &THIRD).verify(&known).is_ok());
    }
    let other = Checkpoint::of_genesis(epoch_of(b"edited genesis").cluster);
    assert!(matches!(genesis.trusting(other), Err(ProofFault::OtherCheckpoint { .. })));
}

/// protocol §8.4
#[test]
fn a_certificate_of_an_epoch_for_a_sequence_outside_of_it_is_refused() {
    let known = followed(&honest(), epoch_of(b"genesis")).unwrap();
    for (epoch, sequence, members) in
        [(0, 65, &FIRST), (0, 1_000, &FIRST), (1, 64, &SECOND), (1, 129, &SECOND), (2, 128, &THIRD)]
    {
        let fault = receipt(epoch, sequence, members).verify(&known).unwrap_err();
        assert_eq!(fault, ProofFault::OutsideEpoch { epoch: Epoch(epoch), sequence: Sequence(sequence) });
    }
    // An epoch can't end before it began.
    let mut backwards = honest();
    backwards.starts[1] = start(1, ENDS[0], (&SECOND, 3), &THIRD);
    assert!(followed(&backwards, epoch_of(b"genesis")).is_err());
}
