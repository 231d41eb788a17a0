//! The objects of the protocol at the door (protocol §§1.1–1.6, 2.1–2.11): what passes with all its signatures, and
//! what is refused whoever brings it.

mod support;

use std::sync::Arc;

use quorate_crypto::{Digest, SecretKey, Signature, sha256};
use quorate_types::bundle::{Bundle, BundleHeader, operations_bytes, operations_root};
use quorate_types::codec::Canonical;
use quorate_types::execution::{Execution, ExecutionCertificate, ExecutionVote};
use quorate_types::freshness::{Freshness, FreshnessAnswer};
use quorate_types::ids::{BlockTime, BundleNumber, ClusterId, Epoch, Sequence, ValidatorIndex, View};
use quorate_types::message::{HeldOfYours, Message, Segment, Status, VoteMessage, Voters};
use quorate_types::operation::{Change, EntityId, OperationBuilder};
use quorate_types::proposal::{LaneTip, Payload, PrePrepare, Proposal};
use quorate_types::rules::RuleFault;
use quorate_types::signed::{LAYOUT_VERSION, Signed, Statement, signing_bytes};
use quorate_types::verified::PeerFault;
use quorate_types::view_change::{Complaint, NewView, ViewChange, ViewChangeMessage};
use quorate_types::vote::{Certificate, Claim, Phase, Vote};

use self::support::{EPOCH, cluster, context, key, sign};

fn index(validator: u16) -> ValidatorIndex {
    ValidatorIndex(validator)
}

/// What the door says to a message as it arrives: every kind survives its bytes.
fn judge(message: Message) -> Result<(), PeerFault> {
    assert_eq!(Message::from_bytes(&message.to_bytes()).as_ref(), Ok(&message));
    context().verify(message).map(|_| ())
}

fn rule(message: Message) -> RuleFault {
    match judge(message) {
        Err(PeerFault::Rule(fault)) => fault,
        other => panic!("no rule is broken: {other:?}"),
    }
}

fn is_badly_signed(message: Message, signer: u16) -> bool {
    judge(message) == Err(PeerFault::ValidatorSignature { signer: index(signer) })
}

fn proposal(sequence: u64, parent: Digest) -> Proposal {
    let (sequence, time) = (Sequence(sequence), BlockTime(1_000 + sequence));
    Proposal { epoch: EPOCH, sequence, parent, time, payload: Payload::default() }
}

fn claim(view: u64, sequence: u64) -> Claim {
    let digest = proposal(sequence, Digest::ZERO).digest();
    Claim { view: View(view), sequence: Sequence(sequence), digest }
}

fn vote(validator: u16, phase: Phase, claim: Claim) -> Vote {
    let Claim { view, sequence, digest } = claim;
    Vote { epoch: EPOCH, view, sequence, digest, phase, validator: index(validator) }
}

fn certificate(phase: Phase, claim: Claim, signers: &[u16]) -> Certificate {
    let signatures = signers.iter().map(|signer| (index(*signer), sign(vote(*signer, phase, claim)).signature));
    Certificate { phase, epoch: EPOCH, claim, signatures: signatures.collect() }
}

fn vote_message(vote: Vote, primary: Option<Vote>) -> Message {
    Message::Vote(VoteMessage { vote: sign(vote), primary: primary.map(sign) })
}

fn change(validator: u16, new_view: u64, prepared: Option<Claim>) -> ViewChange {
    let (new_view, validator) = (View(new_view), index(validator));
    ViewChange { epoch: EPOCH, new_view, prepared, committed: None, last_vote: None, validator }
}

fn new_view(view: u64, senders: &[u16], prepared: Option<(u16, Certificate)>) -> NewView {
    let claim_of = |sender: u16| {
        prepared.as_ref().filter(|(claimer, _)| *claimer == sender).map(|(_, certificate)| certificate.claim)
    };
    NewView {
        epoch: EPOCH,
        view: View(view),
        view_changes: senders.iter().map(|sender| sign(change(*sender, view, claim_of(*sender)))).collect(),
        prepared: prepared.as_ref().map(|(_, certificate)| certificate.clone()),
        committed: None,
        validator: index(u16::try_from(view % 4).expect("below four")),
    }
}

fn complaint() -> Complaint {
    Complaint { epoch: EPOCH, view: View(0), time: BlockTime(7), validator: index(2) }
}

fn bundle() -> Bundle {
    let author = SecretKey::from_seed([99; 32]);
    let operation = OperationBuilder::new(cluster(), author.public(), 1, BlockTime(1))
        .mutate(EntityId::new("hits", "page"), Change::Create { value: None })
        .sign(&author)
        .expect("a small operation");
    let operations = vec![Arc::new(operation)];
    let header = BundleHeader {
        epoch: EPOCH,
        lane: index(3),
        number: BundleNumber(1),
        parent: Digest::ZERO,
        cumulative_operations: 1,
        cumulative_bytes: operations_bytes(&operations),
        operations_root: operations_root(&operations),
    };
    Bundle { header: sign(header), operations }
}

fn status() -> Status {
    Status {
        epoch: EPOCH,
        view: View(0),
        active: true,
        committed: Sequence(0),
        stable: Sequence(0),
        executed: Sequence(0),
        certified: Sequence(0),
        slots: Vec::new(),
        tips: Vec::new(),
        view_changes: Voters::default(),
        complaint: None,
        quarantined: false,
        asks_for_own: false,
        yours: None,
    }
}

/// protocol §9.5: a status names each lane once; what would name more is no status.
#[test]
fn a_status_that_names_a_lane_twice_is_refused() {
    let tip = bundle().header.statement.tip();
    let read = |tips: Vec<LaneTip>| Status::from_bytes(&Status { tips, ..status() }.to_bytes());
    let other = LaneTip { lane: index(tip.lane.0 + 1), ..tip };
    assert!(read(vec![tip, other]).is_ok());
    assert!(read(vec![tip, tip]).is_err());
    assert!(read(vec![other, tip]).is_err());
}

/// protocol §1.1: the set is fixed within an epoch: whoever isn't in it says nothing.
#[test]
fn a_statement_of_a_validator_outside_of_the_set_is_refused() {
    let stranger = vote(4, Phase::Prepare, claim(0, 1));
    assert_eq!(rule(vote_message(stranger, None)), RuleFault::UnknownValidator(index(4)));
}

/// protocol §1.5: every statement that is counted carries its validator's signature, wherever it travels.
#[test]
fn one_wrong_signature_anywhere_refuses_the_message() {
    let broken = |mut signed: Signed<Vote>| {
        signed.signature = Signature::from_bytes([1; 64]);
        signed
    };
    let own = sign(vote(1, Phase::Prepare, claim(0, 1)));
    let primary = sign(vote(0, Phase::Prepare, claim(0, 1)));
    assert!(is_badly_signed(Message::Vote(VoteMessage { vote: broken(own), primary: None }), 1));
    assert!(is_badly_signed(Message::Vote(VoteMessage { vote: own, primary: Some(broken(primary)) }), 0));
    let mut forged = certificate(Phase::Commit, claim(0, 1), &[0, 1, 2]);
    forged.signatures[1].1 = forged.signatures[0].1;
    assert!(is_badly_signed(Message::Certificate(forged), 1));
    let yours = HeldOfYours { votes: vec![broken(own)], ..HeldOfYours::default() };
    assert!(is_badly_signed(Message::Status(Box::new(Status { yours: Some(Box::new(yours)), ..status() })), 1));
}

/// protocol §1.5: one validator can't speak for another.
#[test]
fn a_statement_signed_by_another_than_its_signer_is_refused() {
    let statement = vote(1, Phase::Prepare, claim(0, 1));
    let signature = key(2).sign(&signing_bytes(&cluster(), &statement));
    let vote = Signed { statement, signature };
    assert!(is_badly_signed(Message::Vote(VoteMessage { vote, primary: None }), 1));
}

/// protocol §1.6: signed bytes start with a tag and the cluster id, and carry version and epoch: nothing can be
/// replayed in another role, cluster or epoch.
#[test]
fn signed_bytes_are_bound_to_role_cluster_version_and_epoch() {
    let statement = vote(1, Phase::Prepare, claim(0, 1));
    let bytes = signing_bytes(&cluster(), &statement);
    assert!(bytes.starts_with(b"quorate/vote/v1\0"));
    assert_eq!(bytes[16..48], *cluster().0.as_bytes());
    assert_eq!(bytes[48], LAYOUT_VERSION);
    assert_eq!(bytes[49..57], 0u64.to_be_bytes());
    let elsewhere = ClusterId(sha256(&[b"another cluster"]));
    let vote = Signed { statement, signature: key(1).sign(&signing_bytes(&elsewhere, &statement)) };
    assert!(is_badly_signed(Message::Vote(VoteMessage { vote, primary: None }), 1));
    let later = Vote { epoch: Epoch(1), ..statement };
    let refused = rule(Message::Vote(VoteMessage { vote: sign(later), primary: None }));
    assert_eq!(refused, RuleFault::OtherEpoch { expected: EPOCH, found: Epoch(1) });
    let tags = [Vote::TAG, Complaint::TAG, ViewChange::TAG, NewView::TAG, BundleHeader::TAG, ExecutionVote::TAG];
    let distinct: std::collections::BTreeSet<_> = tags.iter().collect();
    assert_eq!(distinct.len(), tags.len());
}

/// protocol §1.6: a signature over one kind of statement is none over another, though their bytes were equal.
#[test]
fn a_signature_of_one_role_is_none_in_another() {
    let said = complaint();
    let mut bytes = signing_bytes(&cluster(), &change(2, 1, None));
    bytes.truncate(8);
    let signature = key(2).sign(&[b"quorate/vote/v1\0".as_slice(), &bytes].concat());
    assert!(is_badly_signed(Message::Complaint(Signed { statement: said, signature }), 2));
}

/// protocol §2.1: the digest covers every field; there is no view in it.
#[test]
fn a_proposals_digest_covers_all_of_it() {
    let base = proposal(1, Digest::ZERO);
    let others = [
        Proposal { epoch: Epoch(1), ..base.clone() },
        Proposal { sequence: Sequence(2), ..base.clone() },
        Proposal { parent: sha256(&[b"x"]), ..base.clone() },
        Proposal { time: BlockTime(9), ..base.clone() },
        Proposal { payload: Payload { tips: vec![bundle().header.statement.tip()] }, ..base.clone() },
    ];
    assert!(others.iter().all(|other| other.digest() != base.digest()));
}

/// protocol §2.2: a pre-prepare is a proposal with the primary's own prepare vote for it, and nothing else is.
#[test]
fn a_pre_prepare_is_the_primarys_prepare_vote_for_the_proposal() {
    let put = |vote: Vote| Message::PrePrepare(PrePrepare { proposal: proposal(1, Digest::ZERO), vote: sign(vote) });
    assert_eq!(judge(put(vote(1, Phase::Prepare, claim(1, 1)))), Ok(()));
    let wrong = put(vote(1, Phase::Prepare, claim(0, 1)));
    assert_eq!(rule(wrong), RuleFault::NotPrimary { sender: index(1), view: View(0) });
    assert_eq!(rule(put(vote(1, Phase::Commit, claim(1, 1)))), RuleFault::VoteForAnother);
    assert_eq!(rule(put(vote(1, Phase::Prepare, claim(1, 2)))), RuleFault::VoteForAnother);
}

/// protocol §2.3: a backup's prepare travels with the primary's vote that it answers: of the same slot.
#[test]
fn the_vote_that_is_answered_is_the_primarys_in_the_same_slot() {
    let own = vote(2, Phase::Prepare, claim(1, 1));
    assert_eq!(judge(vote_message(own, Some(vote(1, Phase::Prepare, claim(1, 1))))), Ok(()));
    for other in [
        vote(0, Phase::Prepare, claim(1, 1)),
        vote(1, Phase::Commit, claim(1, 1)),
        vote(1, Phase::Prepare, claim(1, 2)),
        vote(1, Phase::Prepare, claim(5, 1)),
    ] {
        assert_eq!(rule(vote_message(own, Some(other))), RuleFault::VoteForAnother, "{other:?}");
    }
}

/// protocol §2.4, §1.2: a certificate is a quorum's votes, each signer once.
#[test]
fn a_certificate_names_a_quorum_of_distinct_signers() {
    let of = |signers: &[u16]| Message::Certificate(certificate(Phase::Prepare, claim(0, 1), signers));
    assert_eq!(judge(of(&[0, 2, 3])), Ok(()));
    assert_eq!(rule(of(&[0, 2])), RuleFault::NoQuorum { found: 2, needed: 3 });
    assert_eq!(rule(of(&[0, 2, 2])), RuleFault::SignersOutOfOrder(index(2)));
}

/// protocol §2.5: a complaint is signed over view and time.
#[test]
fn a_complaint_is_bound_to_its_view_and_time() {
    let signed = sign(complaint());
    assert_eq!(judge(Message::Complaint(signed)), Ok(()));
    for statement in [
        Complaint { view: View(1), ..complaint() },
        Complaint { time: BlockTime(8), ..complaint() },
        Complaint { validator: index(1), ..complaint() },
    ] {
        let moved = Signed { statement, ..signed };
        assert!(is_badly_signed(Message::Complaint(moved), statement.validator.0));
    }
}

/// protocol §2.6: claims are of views below the new view, and come with the certificates that prove them.
#[test]
fn a_view_change_is_refused_without_proof_of_its_claims() {
    let proof = certificate(Phase::Prepare, claim(1, 3), &[0, 1, 3]);
    let message = |new_view, claimed: Option<Claim>, prepared: Option<Certificate>| {
        let signed = sign(change(2, new_view, claimed));
        Message::ViewChange(Box::new(ViewChangeMessage { signed, prepared, committed: None }))
    };
    assert_eq!(judge(message(2, Some(proof.claim), Some(proof.clone()))), Ok(()));
    assert_eq!(rule(message(2, Some(proof.claim), None)), RuleFault::UnprovenClaim);
    assert_eq!(rule(message(2, None, Some(proof.clone()))), RuleFault::UnprovenClaim);
    assert_eq!(rule(message(2, Some(claim(1, 4)), Some(proof.clone()))), RuleFault::UnprovenClaim);
    let not_below = RuleFault::ClaimNotBelow { claimed: View(1), new_view: View(1) };
    assert_eq!(rule(message(1, Some(proof.claim), Some(proof))), not_below);
}

/// protocol §2.7, §5.2: a quorum of view changes for the view, signed by its primary, with proof of the highest claim.
#[test]
fn a_new_view_is_judged_by_recomputing_it() {
    let proof = certificate(Phase::Prepare, claim(0, 3), &[0, 1, 3]);
    let judged = |statement: NewView| judge(Message::NewView(Box::new(sign(statement))));
    let fault = |statement: NewView| rule(Message::NewView(Box::new(sign(statement))));
    let good = new_view(1, &[0, 2, 3], Some((2, proof.clone())));
    assert_eq!(judged(good.clone()), Ok(()));
    assert_eq!(fault(new_view(1, &[0, 2], None)), RuleFault::NoQuorum { found: 2, needed: 3 });
    assert_eq!(fault(new_view(1, &[0, 2, 2], None)), RuleFault::SignersOutOfOrder(index(2)));
    assert_eq!(fault(NewView { prepared: None, ..good.clone() }), RuleFault::UnprovenClaim);
    let other = certificate(Phase::Prepare, claim(0, 2), &[0, 1, 3]);
    assert_eq!(fault(NewView { prepared: Some(other), ..good.clone() }), RuleFault::UnprovenClaim);
    let usurped = NewView { validator: index(2), ..good.clone() };
    assert_eq!(fault(usurped), RuleFault::NotPrimary { sender: index(2), view: View(1) });
    let mut mixed = good;
    mixed.view_changes[2] = sign(change(3, 2, None));
    assert_eq!(fault(mixed), RuleFault::OtherView { expected: View(1), found: View(2) });
}

/// protocol §2.8: a bundle is signed by its lane's owner and binds the operations that it stands for.
#[test]
fn a_bundle_binds_its_operations_and_its_owner() {
    let good = bundle();
    assert_eq!(judge(Message::Bundle(Arc::new(good.clone()))), Ok(()));
    let swapped = Bundle { operations: Vec::new(), ..good.clone() };
    assert!(matches!(rule(Message::Bundle(Arc::new(swapped))), RuleFault::BundleOperations { found: 0, .. }));
    let stolen = BundleHeader { lane: index(1), ..good.header.statement };
    let stolen = Bundle { header: Signed { statement: stolen, ..good.header }, ..good };
    assert!(is_badly_signed(Message::Bundle(Arc::new(stolen)), 1));
}

/// protocol §2.9, §1.5: a report is not signed; the statements inside it are, and are checked.
#[test]
fn a_report_passes_unsigned_and_its_complaint_does_not() {
    assert_eq!(judge(Message::Status(Box::new(status()))), Ok(()));
    let signed = sign(complaint());
    let with = |complaint| Message::Status(Box::new(Status { complaint: Some(complaint), ..status() }));
    assert_eq!(judge(with(signed)), Ok(()));
    let forged = Signed { signature: Signature::from_bytes([3; 64]), ..signed };
    assert!(is_badly_signed(with(forged), 2));
}

/// protocol §2.10: a quorum of equal results, each signed by its validator.
#[test]
fn an_execution_certificate_is_a_quorum_of_signed_results() {
    let execution = Execution {
        epoch: EPOCH,
        sequence: Sequence(4),
        proposal: claim(0, 4).digest,
        state_root: Digest::ZERO,
        receipts_root: sha256(&[b"receipts"]),
    };
    let signed = |validator: u16| sign(ExecutionVote { execution, validator: index(validator) }).signature;
    let of = |signers: &[u16]| {
        let signatures = signers.iter().map(|signer| (index(*signer), signed(*signer))).collect();
        Message::ExecutionCertificate(ExecutionCertificate { execution, signatures })
    };
    assert_eq!(judge(of(&[1, 2, 3])), Ok(()));
    assert_eq!(rule(of(&[1, 2])), RuleFault::NoQuorum { found: 2, needed: 3 });
    let other = Execution { receipts_root: Digest::ZERO, ..execution };
    let signatures = [1, 2, 3].map(|signer| (index(signer), signed(signer))).to_vec();
    let moved = Message::ExecutionCertificate(ExecutionCertificate { execution: other, signatures });
    assert!(is_badly_signed(moved, 1));
}

/// protocol §2.11: one commit certificate and the chain below it are a full proof of that stretch of the log.
#[test]
fn a_certificate_proves_the_chain_below_it_and_no_other() {
    let first = proposal(1, Digest::ZERO);
    let second = proposal(2, first.digest());
    let top = Claim { view: View(0), sequence: Sequence(2), digest: second.digest() };
    let segment = |proposals: Vec<Proposal>, claim| {
        let certificate = certificate(Phase::Commit, claim, &[0, 1, 2]);
        Message::Segment(Box::new(Segment { proposals, certificate }))
    };
    assert_eq!(judge(segment(vec![first.clone(), second.clone()], top)), Ok(()));
    let other = Proposal { time: BlockTime(1), ..first.clone() };
    assert_eq!(rule(segment(vec![other, second.clone()], top)), RuleFault::BrokenChain(Sequence(2)));
    let wrong_top = Claim { digest: first.digest(), ..top };
    assert_eq!(rule(segment(vec![first, second], wrong_top)), RuleFault::BrokenChain(Sequence(2)));
    assert_eq!(rule(segment(Vec::new(), top)), RuleFault::SegmentLength(0));
}

/// data-model §5.3
#[test]
fn a_statement_of_freshness_proves_the_commit_that_it_speaks_of() {
    let answer = |committed: u64, certificate: Option<Certificate>| {
        let statement = Freshness { epoch: EPOCH, nonce: [7; 32], committed: Sequence(committed), validator: index(2) };
        FreshnessAnswer { signed: sign(statement), certificate }
    };
    let committed = certificate(Phase::Commit, claim(0, 5), &[0, 1, 2]);
    let message = |answer| Message::Freshness(Box::new(answer));
    assert_eq!(judge(message(answer(5, Some(committed.clone())))), Ok(()));
    assert_eq!(judge(message(answer(0, None))), Ok(()));
    assert_eq!(rule(message(answer(6, Some(committed.clone())))), RuleFault::UnprovenClaim);
    assert_eq!(rule(message(answer(5, None))), RuleFault::UnprovenClaim);
    let prepared = certificate(Phase::Prepare, claim(0, 5), &[0, 1, 2]);
    assert!(judge(message(answer(5, Some(prepared)))).is_err(), "what is only prepared may never commit");
    let mut forged = committed;
    forged.signatures[1].1 = Signature::from_bytes([9; 64]);
    assert!(judge(message(answer(5, Some(forged)))).is_err());
    let mut altered = answer(0, None);
    altered.signed.statement.nonce = [8; 32];
    assert!(is_badly_signed(message(altered), 2));
}
