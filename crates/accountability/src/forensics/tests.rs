//! Forks of each shape, made by hand with real signatures: at least `f+1` culprits, and nobody innocent.

use std::collections::BTreeSet;
use std::sync::Arc;

use quorate_crypto::{PublicKey, Scheme, SecretKey, sha256};
use quorate_types::execution::Execution;
use quorate_types::ids::{BlockTime, ClusterId, Epoch, View};
use quorate_types::parameters::Parameters;
use quorate_types::proposal::Payload;
use quorate_types::set::{ValidatorInfo, ValidatorSet};
use quorate_types::signed::{Statement, signing_bytes};
use quorate_types::vote::{Claim, Phase};

use super::*;

fn key(validator: u16) -> SecretKey {
    SecretKey::from_seed([u8::try_from(validator).unwrap() + 1; 32])
}

fn context() -> Context {
    let validator = |at: u16| ValidatorInfo {
        name: format!("v{at}"),
        consensus_key: key(at).public(),
        network_key: PublicKey::from_bytes([0; 32]),
        incarnation: [0; 32],
        peer_address: String::new(),
    };
    Context {
        cluster: ClusterId(Digest::ZERO),
        scheme: Scheme::Ed25519,
        epoch: Epoch(0),
        set: Arc::new(ValidatorSet::new((0..4).map(validator).collect()).unwrap()),
        parameters: Arc::new(Parameters::default()),
        start: (Sequence(0), Digest::ZERO),
    }
}

fn sign<T: Statement>(statement: T) -> Signed<T> {
    let signature = key(statement.signer().0).sign(&signing_bytes(&ClusterId(Digest::ZERO), &statement));
    Signed { statement, signature }
}

fn proposal(sequence: u64, parent: Digest, time: u64) -> Proposal {
    let (sequence, time) = (Sequence(sequence), BlockTime(time));
    Proposal { epoch: Epoch(0), sequence, parent, time, payload: Payload::default() }
}

fn certificate(phase: Phase, view: u64, proposal: &Proposal, signers: [u16; 3]) -> Certificate {
    let claim = Claim { view: View(view), sequence: proposal.sequence, digest: proposal.digest() };
    let mut certificate = Certificate { phase, epoch: Epoch(0), claim, signatures: Vec::new() };
    certificate.signatures =
        signers.map(ValidatorIndex).map(|signer| (signer, sign(certificate.vote_of(signer)).signature)).to_vec();
    certificate
}

fn new_view(view: u64, signers: [u16; 3], prepared: Option<Certificate>) -> Signed<NewView> {
    let claim = prepared.as_ref().map(|certificate| certificate.claim);
    let change = |validator| {
        sign(ViewChange {
            epoch: Epoch(0),
            new_view: View(view),
            prepared: claim,
            committed: None,
            last_vote: claim,
            validator: ValidatorIndex(validator),
        })
    };
    sign(NewView {
        epoch: Epoch(0),
        view: View(view),
        view_changes: signers.map(change).to_vec(),
        prepared,
        committed: None,
        validator: context().set.primary(Epoch(0), View(view)),
    })
}

fn names(sides: &[Testimony]) -> (Option<u64>, BTreeSet<u16>) {
    let findings = investigate(&context(), sides);
    for (accused, evidence) in &findings.culprits {
        assert!(!evidence.is_empty());
        assert!(evidence.iter().all(|one| one.verify(&context()).is_ok() && one.validator() == Some(*accused)));
    }
    assert_eq!(findings.is_complete(&context()), findings.culprits.len() >= 2);
    (findings.fork.map(|at| at.0), findings.culprits.keys().map(|culprit| culprit.0).collect())
}

fn side(certificates: Vec<Certificate>, proposals: &[&Proposal], new_views: Vec<Signed<NewView>>) -> Testimony {
    let proposals = proposals.iter().map(|proposal| (*proposal).clone()).collect();
    Testimony { certificates, proposals, new_views, ..Testimony::default() }
}

/// accountability §5.1: within one view, at one sequence and at two.
#[test]
fn a_fork_within_a_view_names_those_who_signed_both() {
    let (a, b) = (proposal(1, Digest::ZERO, 1), proposal(1, Digest::ZERO, 2));
    let first = side(vec![certificate(Phase::Commit, 0, &a, [0, 1, 2])], &[&a], Vec::new());
    let second = side(vec![certificate(Phase::Commit, 0, &b, [0, 1, 3])], &[&b], Vec::new());
    assert_eq!(names(&[first.clone(), second]), (Some(1), BTreeSet::from([0, 1])));

    let above = proposal(2, b.digest(), 9_000);
    let second = side(vec![certificate(Phase::Commit, 0, &above, [0, 1, 3])], &[&b, &above], Vec::new());
    assert_eq!(names(&[first, second]), (Some(1), BTreeSet::from([0, 1])));
}

/// accountability §5.1: over two views, by hiding what was committed to.
#[test]
fn a_fork_over_two_views_names_those_who_hid_their_certificate() {
    let (a, b) = (proposal(1, Digest::ZERO, 1), proposal(1, Digest::ZERO, 2));
    let first = side(vec![certificate(Phase::Commit, 0, &a, [0, 1, 2])], &[&a], Vec::new());
    let commit = certificate(Phase::Commit, 1, &b, [0, 1, 3]);
    let second = side(vec![commit.clone()], &[&b], vec![new_view(1, [0, 1, 3], None)]);
    assert_eq!(names(&[first.clone(), second]), (Some(1), BTreeSet::from([0, 1])));

    // Two views on, from a certificate of the one between, which was made under a new view that hid the first.
    let prepared = certificate(Phase::Prepare, 1, &b, [0, 1, 3]);
    let later = certificate(Phase::Commit, 2, &b, [0, 1, 3]);
    let new_views = vec![new_view(1, [0, 1, 3], None), new_view(2, [0, 2, 3], Some(prepared.clone()))];
    let second = side(vec![later.clone()], &[&b], new_views);
    assert_eq!(names(&[first.clone(), second]), (Some(1), BTreeSet::from([0, 1])));

    // Without the new view of the view between nobody can tell who hid what, and nobody is named.
    let second = side(vec![later], &[&b], vec![new_view(2, [0, 2, 3], Some(prepared))]);
    assert_eq!(names(&[first, second]), (Some(1), BTreeSet::new()));
}

/// accountability §5.1: a prepared certificate of the first view beside the committed chain is what the fork began with.
#[test]
fn a_fork_by_a_prepared_certificate_of_the_first_view_names_its_voters() {
    let (a, b) = (proposal(1, Digest::ZERO, 1), proposal(1, Digest::ZERO, 2));
    let above = proposal(2, b.digest(), 9_000);
    let first = side(vec![certificate(Phase::Commit, 0, &a, [0, 1, 2])], &[&a], Vec::new());
    let prepared = certificate(Phase::Prepare, 0, &above, [0, 1, 3]);
    let commit = certificate(Phase::Commit, 1, &above, [0, 1, 3]);
    let second = side(vec![commit], &[&b, &above], vec![new_view(1, [0, 2, 3], Some(prepared))]);
    assert_eq!(names(&[first, second]), (Some(1), BTreeSet::from([0, 1])));
}

/// accountability §5.1: two receipts of one sequence.
#[test]
fn two_certified_results_name_those_who_signed_both() {
    let certified = |root: &str, signers: [u16; 3]| {
        let (epoch, sequence, proposal) = (Epoch(0), Sequence(7), Digest::ZERO);
        let state_root = sha256(&[root.as_bytes()]);
        let execution = Execution { epoch, sequence, proposal, state_root, receipts_root: Digest::ZERO };
        let sign = |validator| sign(ExecutionVote { execution, validator }).signature;
        let signatures = signers.map(ValidatorIndex).map(|signer| (signer, sign(signer))).to_vec();
        Testimony { executions: vec![ExecutionCertificate { execution, signatures }], ..Testimony::default() }
    };
    assert_eq!(names(&[certified("x", [0, 1, 2]), certified("y", [0, 1, 3])]), (Some(7), BTreeSet::from([0, 1])));
}

/// accountability §5.2: nobody is named by what anyone could have made, nor where nothing contradicts anything.
#[test]
fn nobody_is_named_without_evidence() {
    let (a, b) = (proposal(1, Digest::ZERO, 1), proposal(1, Digest::ZERO, 2));
    let first = side(vec![certificate(Phase::Commit, 0, &a, [0, 1, 2])], &[&a], Vec::new());
    let mut forged = certificate(Phase::Commit, 0, &b, [0, 1, 3]);
    forged.claim.view = View(0);
    forged.signatures = certificate(Phase::Commit, 5, &b, [0, 1, 3]).signatures;
    let second = side(vec![forged], &[&b], Vec::new());
    assert_eq!(names(&[first.clone(), second]), (Some(1), BTreeSet::new()));
    assert_eq!(names(&[first.clone(), first]), (None, BTreeSet::new()));
}
