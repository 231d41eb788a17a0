//! Proofs in the hands of someone who wants to convince us of something else (data-model §4): every
//! changed byte, every cut, every splice of two valid proofs is refused.

mod common;

use common::{certificate, epoch_of, key};
use quorate_crypto::{Digest, sha256};
use quorate_proof::{EpochInfo, FormatFault, OrderProof, ProofFault, ReceiptProof, ReceiptVerifier, merkle};
use quorate_types::execution::Execution;
use quorate_types::ids::{BlockTime, OperationId, Sequence, ValidatorIndex, View};
use quorate_types::message::Segment;
use quorate_types::operation::EntityId;
use quorate_types::proposal::{Payload, Proposal};
use quorate_types::receipt::{EntityVersion, Outcome, Receipt};
use quorate_types::rules::RuleFault;
use quorate_types::signed::signing_bytes;
use quorate_types::vote::{Certificate, Claim, Phase};

fn receipts(sequence: u64, count: u32) -> Vec<Receipt> {
    (0..count)
        .map(|index| Receipt {
            operation: OperationId(sha256(&[&sequence.to_be_bytes(), &index.to_be_bytes()])),
            sequence: Sequence(sequence),
            index,
            outcome: Outcome::Applied,
            versions: vec![EntityVersion { entity: EntityId::new("package", "zlib"), version: 7 }],
            concurrent_with: vec![],
        })
        .collect()
}

/// The proof of receipt `index` among `count` at `sequence`, signed by `signers`.
fn proof(epoch: &EpochInfo, sequence: u64, (index, count): (u32, u32), signers: &[u16]) -> ReceiptProof {
    let receipts = receipts(sequence, count);
    let leaves: Vec<_> = receipts.iter().map(Receipt::digest).collect();
    let execution = Execution {
        epoch: epoch.epoch,
        sequence: Sequence(sequence),
        proposal: sha256(&[b"proposal", &sequence.to_be_bytes()]),
        state_root: Digest::ZERO,
        receipts_root: merkle::root(&leaves),
    };
    ReceiptProof {
        receipt: receipts[index as usize].clone(),
        path: merkle::path(&leaves, index as usize).expect("an index within"),
        certificate: certificate(epoch, execution, signers.iter().map(|index| (*index, *index))),
    }
}

fn judge(epoch: &EpochInfo, file: &[u8]) -> Result<Receipt, ProofFault> {
    Ok(ReceiptProof::from_file(file)?.verify(epoch)?.into_receipt())
}

fn chain(epoch: &EpochInfo, length: u64) -> OrderProof {
    let mut parent = epoch.cluster.0;
    let proposals: Vec<Proposal> = (1..=length)
        .map(|sequence| {
            let proposal = Proposal {
                epoch: epoch.epoch,
                sequence: Sequence(sequence),
                parent,
                time: BlockTime(1_000 + sequence),
                payload: Payload::default(),
            };
            parent = proposal.digest();
            proposal
        })
        .collect();
    let claim = Claim { view: View(2), sequence: Sequence(length), digest: parent };
    let mut certificate = Certificate { phase: Phase::Commit, epoch: epoch.epoch, claim, signatures: vec![] };
    certificate.signatures = (0..3)
        .map(ValidatorIndex)
        .map(|index| (index, key(index.0).sign(&signing_bytes(&epoch.cluster, &certificate.vote_of(index)))))
        .collect();
    OrderProof { segment: Segment { proposals, certificate } }
}

#[test]
fn a_good_receipt_proof_convinces_at_every_place_of_its_sequence() {
    let epoch = epoch_of(b"genesis");
    for index in 0..5 {
        let proof = proof(&epoch, 9, (index, 5), &[0, 2, 3]);
        let verified = ReceiptProof::from_file(&proof.to_file()).unwrap().verify(&epoch).unwrap();
        assert_eq!(verified.receipt(), &proof.receipt);
        assert_eq!(verified.execution(), &proof.certificate.execution);
    }
}

#[test]
fn every_changed_byte_of_a_receipt_file_is_refused() {
    let epoch = epoch_of(b"genesis");
    let file = proof(&epoch, 9, (3, 6), &[0, 2, 3]).to_file();
    for at in 0..file.len() {
        // One low bit, one high bit and all bits: enough to reach every kind of field.
        for mask in [0x01, 0x80, 0xff] {
            let mut changed = file.clone();
            changed[at] ^= mask;
            assert!(judge(&epoch, &changed).is_err(), "byte {at} changed by {mask:#04x} went through");
        }
    }
}

#[test]
fn every_cut_and_every_addition_is_refused() {
    let epoch = epoch_of(b"genesis");
    let file = proof(&epoch, 9, (3, 6), &[0, 2, 3]).to_file();
    for length in 0..file.len() {
        assert!(judge(&epoch, &file[..length]).is_err(), "cut at {length}");
    }
    assert!(judge(&epoch, &[file.as_slice(), &[0]].concat()).is_err());
}

#[test]
fn every_splice_of_two_receipt_files_is_refused() {
    let epoch = epoch_of(b"genesis");
    let files = [
        proof(&epoch, 9, (3, 6), &[0, 2, 3]),
        proof(&epoch, 9, (4, 6), &[0, 2, 3]),
        proof(&epoch, 10, (3, 6), &[0, 1, 3]),
        proof(&epoch, 10, (3, 5), &[0, 1, 3]),
    ]
    .map(|proof| proof.to_file());
    for (first, second) in files.iter().flat_map(|first| files.iter().map(move |second| (first, second))) {
        for at in 0..=first.len().min(second.len()) {
            let spliced = [&first[..at], &second[at..]].concat();
            if !files.contains(&spliced) {
                assert!(judge(&epoch, &spliced).is_err(), "spliced at {at}");
            }
        }
    }
}

#[test]
fn parts_of_valid_proofs_do_not_combine() {
    let epoch = epoch_of(b"genesis");
    let proofs = [
        proof(&epoch, 9, (3, 6), &[0, 2, 3]),
        proof(&epoch, 9, (4, 6), &[0, 1, 2]),
        proof(&epoch, 10, (3, 6), &[0, 1, 3]),
        proof(&epoch, 10, (3, 5), &[1, 2, 3]),
    ];
    // Certificates 0 and 1 are of one execution: either serves, which is no forgery.
    let same_execution = |a: usize, b: usize| proofs[a].certificate.execution == proofs[b].certificate.execution;
    for (receipt, path, certificate) in (0..64).map(|i: usize| (i / 16, i / 4 % 4, i % 4)) {
        let mixed = ReceiptProof {
            receipt: proofs[receipt].receipt.clone(),
            path: proofs[path].path.clone(),
            certificate: proofs[certificate].certificate.clone(),
        };
        let fits = proofs[receipt].receipt == proofs[path].receipt && same_execution(path, certificate);
        assert_eq!(mixed.verify(&epoch).is_ok(), fits, "{receipt} {path} {certificate}");
    }
}

#[test]
fn a_proof_of_another_cluster_or_too_few_signers_does_not_convince() {
    let (epoch, other) = (epoch_of(b"genesis"), epoch_of(b"edited genesis"));
    let good = proof(&epoch, 9, (0, 1), &[0, 2, 3]);
    let fault = good.verify(&other).unwrap_err();
    assert_eq!(fault, ProofFault::Signature { signer: ValidatorIndex(0), cluster: other.cluster });
    let thin = proof(&epoch, 9, (0, 1), &[0, 2]);
    assert_eq!(thin.verify(&epoch).unwrap_err(), RuleFault::NoQuorum { found: 2, needed: 3 }.into());
    let twice = proof(&epoch, 9, (0, 1), &[0, 2, 2]);
    assert_eq!(twice.verify(&epoch).unwrap_err(), RuleFault::SignersOutOfOrder(ValidatorIndex(2)).into());
}

#[test]
fn the_fault_says_what_does_not_fit() {
    let epoch = epoch_of(b"genesis");
    let good = proof(&epoch, 9, (3, 6), &[0, 2, 3]);
    let mut moved = good.clone();
    moved.receipt.index = 2;
    assert_eq!(moved.verify(&epoch), Err(ProofFault::OtherIndex { receipt: 2, path: 3 }));
    let mut later = good.clone();
    later.receipt.sequence = Sequence(10);
    let fault = ProofFault::OtherSequence { receipt: Sequence(10), certificate: Sequence(9) };
    assert_eq!(later.verify(&epoch), Err(fault));
    let mut better = good.clone();
    better.receipt.versions[0].version = 8;
    assert_eq!(better.verify(&epoch), Err(ProofFault::NotUnderRoot { root: good.certificate.execution.receipts_root }));
    let mut newer = good.to_file();
    newer[15] = 9;
    assert_eq!(ReceiptProof::from_file(&newer), Err(FormatFault::Version { found: 9, known: 1 }.into()));
    assert!(matches!(ReceiptProof::from_file(b"PK"), Err(ProofFault::Format(FormatFault::Magic { .. }))));
}

#[test]
fn a_verifier_that_has_seen_a_certificate_still_refuses_every_changed_byte() {
    let epoch = epoch_of(b"genesis");
    let proofs = [proof(&epoch, 9, (3, 6), &[0, 2, 3]), proof(&epoch, 9, (4, 6), &[0, 2, 3])];
    let mut verifier = ReceiptVerifier::new(epoch.clone());
    for proof in &proofs {
        assert_eq!(verifier.verify(proof), proof.verify(&epoch));
    }
    let file = proofs[1].to_file();
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 1;
        let judged = ReceiptProof::from_file(&changed).and_then(|proof| verifier.verify(&proof));
        assert!(judged.is_err(), "byte {at}");
    }
    // More sequences than it remembers change no verdict.
    for sequence in 10..40 {
        let proof = proof(&epoch, sequence, (0, 2), &[0, 1, 2]);
        assert!(verifier.verify(&proof).is_ok() && verifier.verify(&proof).is_ok());
    }
}

#[test]
fn an_order_proof_convinces_and_every_changed_byte_of_it_is_refused() {
    let epoch = epoch_of(b"genesis");
    let proof = chain(&epoch, 4);
    let file = proof.to_file();
    let order = OrderProof::from_file(&file).unwrap().verify(&epoch).unwrap();
    assert_eq!(order.digest_at(Sequence(3)), Some(proof.segment.proposals[2].digest()));
    assert_eq!(order.digest_at(Sequence(5)), None);
    // The first proposal's parent is bound by its digest, so nothing is left free.
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 1;
        let judged = OrderProof::from_file(&changed).and_then(|proof| proof.verify(&epoch));
        assert!(judged.is_err(), "byte {at}");
    }
}

#[test]
fn prepares_do_not_prove_order_and_chains_do_not_splice() {
    let epoch = epoch_of(b"genesis");
    let (short, long) = (chain(&epoch, 3), chain(&epoch, 4));
    let mut prepared = long.clone();
    prepared.segment.certificate.phase = Phase::Prepare;
    assert_eq!(prepared.verify(&epoch), Err(RuleFault::OtherPhase.into()));
    let mut spliced = long.clone();
    spliced.segment.certificate = short.segment.certificate;
    assert!(spliced.verify(&epoch).is_err());
    let mut holed = long;
    holed.segment.proposals.remove(1);
    assert!(holed.verify(&epoch).is_err());
}
