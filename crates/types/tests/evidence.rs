//! Evidence (accountability §1): each kind convinces, what a correct validator signs never does, and no byte of it can be
//! changed.

mod support;

use std::sync::Arc;

use quorate_crypto::{Digest, SecretKey, sha256};
use quorate_types::bundle::{Bundle, BundleHeader, operations_bytes, operations_root};
use quorate_types::codec::Canonical;
use quorate_types::evidence::{
    Accused, BrokenPromise, Certified, Conviction, Diverged, Evidence, EvidenceFault, InvalidBundle, InvalidProposal,
    MAX_EVIDENCE_CHAIN, OffChainVotes, in_order,
};
use quorate_types::execution::{Execution, ExecutionCertificate, ExecutionVote};
use quorate_types::ids::{BlockTime, BundleNumber, ClusterId, Epoch, OperationId, Sequence, ValidatorIndex, View};
use quorate_types::limits::MAX_BUNDLE_OPERATIONS;
use quorate_types::message::Message;
use quorate_types::operation::{Change, EntityId, Operation, OperationBuilder};
use quorate_types::promise::{Promise, listed};
use quorate_types::proposal::{LaneTip, Payload, PrePrepare, Proposal};
use quorate_types::signed::Signed;
use quorate_types::verified::Context;
use quorate_types::view_change::{NewView, ViewChange, ViewChangeMessage};
use quorate_types::vote::{Certificate, Claim, Phase, Vote};

use self::support::{EPOCH, cluster, context, key, sign};

/// The one that breaks the rules; it leads view 1.
const CULPRIT: u16 = 1;

fn digest(name: &str) -> Digest {
    sha256(&[name.as_bytes()])
}

fn proposal(sequence: u64, parent: Digest, time: u64) -> Proposal {
    let (sequence, time) = (Sequence(sequence), BlockTime(time));
    Proposal { epoch: EPOCH, sequence, parent, time, payload: Payload::default() }
}

fn vote(validator: u16, view: u64, sequence: u64, digest: Digest, phase: Phase) -> Signed<Vote> {
    let (view, sequence, validator) = (View(view), Sequence(sequence), ValidatorIndex(validator));
    sign(Vote { epoch: EPOCH, view, sequence, digest, phase, validator })
}

fn pre_prepare(view: u64, proposal: &Proposal) -> PrePrepare {
    let vote = vote(
        u16::try_from(view % 4).expect("below four"),
        view,
        proposal.sequence.0,
        proposal.digest(),
        Phase::Prepare,
    );
    PrePrepare { proposal: proposal.clone(), vote }
}

fn claim(view: u64, sequence: u64, digest: Digest) -> Claim {
    Claim { view: View(view), sequence: Sequence(sequence), digest }
}

fn certificate(phase: Phase, claim: Claim) -> Certificate {
    let of =
        |validator| (ValidatorIndex(validator), vote(validator, claim.view.0, claim.sequence.0, claim.digest, phase));
    let signatures = (0..3).map(of).map(|(validator, vote)| (validator, vote.signature)).collect();
    Certificate { phase, epoch: EPOCH, claim, signatures }
}

fn change(validator: u16, view: u64, prepared: Option<Claim>, last_vote: Option<Claim>) -> Signed<ViewChange> {
    sign(ViewChange {
        epoch: EPOCH,
        new_view: View(view),
        prepared,
        committed: None,
        last_vote,
        validator: ValidatorIndex(validator),
    })
}

/// A valid new view 1 of these validators, whose anchor is `prepared`, or the start.
fn new_view(signers: [u16; 3], prepared: Option<Certificate>) -> NewView {
    let claim = prepared.as_ref().map(|certificate| certificate.claim);
    NewView {
        epoch: EPOCH,
        view: View(1),
        view_changes: signers.iter().map(|signer| change(*signer, 1, claim, claim)).collect(),
        prepared,
        committed: None,
        validator: ValidatorIndex(CULPRIT),
    }
}

fn operation(author: u8, nonce: u64, by: i64) -> Operation {
    let key = SecretKey::from_seed([author; 32]);
    let builder = OperationBuilder::new(cluster(), key.public(), nonce, BlockTime(1));
    builder.mutate(EntityId::new("hits", "a"), Change::Add { by }).sign(&key).expect("a valid operation")
}

fn forged_operation() -> Operation {
    let (mut signed, other) = (operation(9, 1, 1).signed().clone(), operation(9, 2, 1));
    signed.signature = *other.signature();
    Operation::decode(&signed).expect("a well-formed operation")
}

fn header(number: u64, parent: Digest, operations: &[Arc<Operation>]) -> Signed<BundleHeader> {
    sign(BundleHeader {
        epoch: EPOCH,
        lane: ValidatorIndex(CULPRIT),
        number: BundleNumber(number),
        parent,
        cumulative_operations: operations.len() as u64,
        cumulative_bytes: operations_bytes(operations),
        operations_root: operations_root(operations),
    })
}

fn result(validator: u16, sequence: u64, proposal: Digest, root: &str) -> Signed<ExecutionVote> {
    let (state_root, receipts_root) = (digest(root), Digest::ZERO);
    let execution = Execution { epoch: EPOCH, sequence: Sequence(sequence), proposal, state_root, receipts_root };
    sign(ExecutionVote { execution, validator: ValidatorIndex(validator) })
}

fn off_chain(lower: Signed<Vote>, upper: Signed<Vote>, chain: Vec<Proposal>) -> Evidence {
    Evidence::OffChainVotes(Box::new(OffChainVotes { lower, upper, chain }))
}

fn invalid(pre_prepare: PrePrepare, new_view: Option<NewView>, parent: Option<Proposal>) -> Evidence {
    let new_view = new_view.map(|new_view| Box::new(sign(new_view)));
    Evidence::InvalidProposal(Box::new(InvalidProposal { pre_prepare, new_view, parent }))
}

fn conflicting<T: Canonical>(first: T, second: T, make: impl Fn(T, T) -> Evidence) -> Evidence {
    let (first, second) = in_order((first, second));
    make(first, second)
}

/// The certificate of a result, by all but the culprit.
fn certified(vote: Signed<ExecutionVote>) -> ExecutionCertificate {
    let signed = |validator| sign(ExecutionVote { validator: ValidatorIndex(validator), ..vote.statement });
    let signatures = [0, 2, 3].map(|validator| (ValidatorIndex(validator), signed(validator).signature)).to_vec();
    ExecutionCertificate { execution: vote.statement.execution, signatures }
}

/// At least one of each kind that accuses a validator, all against the culprit.
fn guilty() -> Vec<Evidence> {
    let (a, b) = (digest("a"), digest("b"));
    let first = proposal(1, cluster().0, 1_000);
    let second = proposal(2, first.digest(), 9_000);
    let early = Proposal { time: BlockTime(500), ..second.clone() };
    let at_anchor = certificate(Phase::Prepare, claim(0, 1, first.digest()));
    let commit = certificate(Phase::Commit, claim(0, 1, first.digest()));
    vec![
        conflicting(vote(1, 0, 5, a, Phase::Commit), vote(1, 0, 5, b, Phase::Commit), Evidence::ConflictingVotes),
        off_chain(
            vote(1, 0, 1, a, Phase::Commit),
            vote(1, 0, 2, second.digest(), Phase::Prepare),
            vec![second.clone()],
        ),
        off_chain(vote(1, 0, 1, a, Phase::Prepare), vote(1, 0, 1, b, Phase::Commit), Vec::new()),
        conflicting(vote(1, 1, 5, a, Phase::Prepare), vote(1, 1, 5, b, Phase::Prepare), Evidence::ConflictingProposals),
        invalid(pre_prepare(1, &Proposal { sequence: Sequence(0), ..first.clone() }), None, None),
        invalid(pre_prepare(1, &proposal(1, a, 1_000)), None, None),
        invalid(pre_prepare(1, &early), Some(new_view([0, 2, 3], None)), Some(first.clone())),
        conflicting(
            change(1, 3, None, None),
            change(1, 3, None, Some(claim(0, 1, a))),
            Evidence::ConflictingViewChanges,
        ),
        Evidence::ConflictingNewViews(Box::new(in_order((
            sign(new_view([0, 2, 3], None)),
            sign(new_view([0, 1, 2], None)),
        )))),
        Evidence::OffAnchor(Box::new((
            sign(new_view([0, 2, 3], Some(at_anchor.clone()))),
            pre_prepare(1, &proposal(2, a, 2_000)),
        ))),
        Evidence::OffAnchor(Box::new((
            sign(new_view([0, 2, 3], Some(at_anchor))),
            pre_prepare(1, &proposal(1, cluster().0, 7_000)),
        ))),
        Evidence::InvalidViewChange(change(1, 3, Some(claim(3, 1, a)), None)),
        Evidence::InvalidNewView(Box::new(sign(new_view([0, 2, 2], None)))),
        Evidence::InvalidNewView(Box::new(sign(NewView {
            view_changes: [0, 2, 3]
                .map(|at| Signed { signature: vote(at, 0, 1, a, Phase::Commit).signature, ..change(at, 1, None, None) })
                .to_vec(),
            ..new_view([0, 2, 3], None)
        }))),
        Evidence::HiddenCertificate(change(1, 3, Some(claim(2, 4, a)), None), vote(1, 2, 5, b, Phase::Commit)),
        Evidence::HiddenVote(change(1, 3, None, None), vote(1, 2, 5, b, Phase::Prepare)),
        conflicting(result(1, 5, a, "x"), result(1, 5, a, "y"), Evidence::ConflictingExecutions),
        Evidence::Diverged(Box::new(Diverged {
            vote: result(1, 5, a, "x"),
            against: Certified::Execution(certified(result(0, 5, a, "y"))),
        })),
        Evidence::Diverged(Box::new(Diverged { vote: result(1, 1, a, "x"), against: Certified::Commit(commit) })),
    ]
    .into_iter()
    .chain(guilty_of_bundles())
    .collect()
}

/// Those about bundles.
fn guilty_of_bundles() -> [Evidence; 3] {
    let both = [Arc::new(operation(9, 1, 1)), Arc::new(forged_operation())];
    let path = quorate_types::merkle::path(&[both[0].leaf(), both[1].leaf()], 1).expect("two leaves");
    [
        conflicting(header(1, Digest::ZERO, &both[..1]), header(1, Digest::ZERO, &both), Evidence::ConflictingBundles),
        Evidence::ConflictingBundles(header(1, Digest::ZERO, &both), header(2, digest("a"), &both)),
        Evidence::InvalidBundle(Box::new(InvalidBundle {
            header: header(1, Digest::ZERO, &both),
            operation: (*both[1]).clone(),
            path,
        })),
    ]
}

/// A promise of bundle `number` for the first operation, and bundle 1 that holds `held`.
fn promised(number: u64, held: &[Arc<Operation>]) -> Evidence {
    let promise = Promise {
        epoch: EPOCH,
        lane: ValidatorIndex(CULPRIT),
        number: BundleNumber(number),
        operation: operation(9, 1, 1).id(),
    };
    let bundle = Bundle { header: header(1, Digest::ZERO, held), operations: held.to_vec() };
    let (promise, operations) = (sign(promise), listed(&bundle));
    Evidence::BrokenPromise(Box::new(BrokenPromise { promise, header: bundle.header, operations }))
}

fn broken_promise() -> Evidence {
    promised(1, &[Arc::new(operation(9, 2, 1)), Arc::new(operation(9, 3, 1))])
}

fn author_conflict() -> Evidence {
    Evidence::ConflictingOperations(Box::new(in_order((operation(9, 1, 1), operation(9, 1, 2)))))
}

fn conviction(evidence: &Evidence) -> Conviction {
    Conviction {
        convicted: key(CULPRIT).public(),
        kind: evidence.code(),
        evidence: evidence.id(),
        epoch: EPOCH,
        shown_by: key(2).public(),
        operation: OperationId(digest("operation")),
        sequence: Sequence(1),
        time: BlockTime(1),
    }
}

/// accountability §1.7
#[test]
fn every_kind_convinces_after_it_travelled_as_bytes() {
    let mut kinds = Vec::new();
    for evidence in guilty() {
        let read = Evidence::from_bytes(&evidence.to_bytes()).unwrap();
        assert_eq!(read, evidence);
        assert_eq!(read.id(), evidence.id());
        let accused = read.verify(&context());
        assert_eq!(accused, Ok(Accused::Validator(ValidatorIndex(CULPRIT))), "{}: {evidence:?}", evidence.kind());
        kinds.push(evidence.kind());
        assert_eq!(conviction(&evidence).kind_name(), evidence.kind());
    }
    let author = author_conflict();
    assert_eq!(author.verify(&context()), Ok(Accused::Author(SecretKey::from_seed([9; 32]).public())));
    kinds.push(author.kind());
    let broken = broken_promise();
    assert_eq!(broken.verify(&context()), Ok(Accused::Validator(ValidatorIndex(CULPRIT))));
    kinds.push(broken.kind());
    assert_eq!(conviction(&broken).kind_name(), broken.kind());
    kinds.dedup();
    assert_eq!(kinds, Evidence::KINDS);
}

/// accountability §1.7: nobody but the signer can be accused, and nothing in the evidence can be altered.
#[test]
fn every_flipped_byte_is_refused_or_accuses_the_same_signer() {
    let context = context();
    for evidence in guilty().into_iter().chain([author_conflict(), broken_promise()]) {
        let (bytes, accused) = (evidence.to_bytes(), evidence.accused());
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            let Ok(read) = Evidence::from_bytes(&changed) else { continue };
            let verdict = read.verify(&context);
            assert!(verdict.is_err() || verdict == Ok(accused), "{} at {at}: {read:?}", evidence.kind());
        }
    }
}

/// accountability §1.8: what a correct validator may have signed.
#[test]
fn nothing_that_a_correct_validator_signs_is_evidence() {
    let a = digest("a");
    let first = proposal(1, cluster().0, 1_000);
    let second = proposal(2, first.digest(), 9_000);
    let early = Proposal { time: BlockTime(500), ..second.clone() };
    let anchored = certificate(Phase::Prepare, claim(0, 2, early.digest()));
    let innocent = [
        // Both phases for one proposal, and votes on one chain.
        off_chain(vote(1, 0, 1, a, Phase::Prepare), vote(1, 0, 1, a, Phase::Commit), Vec::new()),
        off_chain(
            vote(1, 0, 1, first.digest(), Phase::Commit),
            vote(1, 0, 2, second.digest(), Phase::Prepare),
            vec![second.clone()],
        ),
        // The primary's vote for its anchor, which another made with a time below its parent's.
        invalid(pre_prepare(1, &early), Some(new_view([0, 2, 3], Some(anchored.clone()))), Some(first.clone())),
        Evidence::OffAnchor(Box::new((sign(new_view([0, 2, 3], Some(anchored))), pre_prepare(1, &early)))),
        // The highest vote is named, whatever was voted for after.
        Evidence::HiddenVote(change(1, 3, None, Some(claim(2, 5, a))), vote(1, 2, 5, a, Phase::Prepare)),
        Evidence::HiddenCertificate(change(1, 3, Some(claim(2, 5, a)), None), vote(1, 2, 5, a, Phase::Commit)),
        Evidence::InvalidViewChange(change(1, 3, Some(claim(2, 5, a)), None)),
        Evidence::InvalidNewView(Box::new(sign(new_view([0, 2, 3], None)))),
        Evidence::ConflictingBundles(
            header(1, Digest::ZERO, &[]),
            header(2, header(1, Digest::ZERO, &[]).statement.digest(), &[]),
        ),
        conflicting(result(1, 5, a, "x"), result(1, 5, a, "x"), Evidence::ConflictingExecutions),
        invalid(pre_prepare(1, &second), Some(new_view([0, 2, 3], None)), Some(first.clone())),
        Evidence::ConflictingOperations(Box::new((operation(9, 1, 1), operation(9, 1, 1)))),
    ];
    for evidence in innocent {
        let verdict = evidence.verify(&context());
        let is_refused = matches!(verdict, Err(EvidenceFault::Innocent | EvidenceFault::Unrelated(_)));
        assert!(is_refused, "{}: {verdict:?}", evidence.kind());
    }
    // Without the new view it may be the view's anchor.
    assert!(invalid(pre_prepare(1, &early), None, Some(first)).verify(&context()).is_err());
}

/// accountability §1.10: a promise is kept by the bundle that it names, and by no other; what the bundle holds can't be
/// hidden.
#[test]
fn a_promise_is_broken_by_its_own_bundle_alone() {
    let verdict = |evidence: &Evidence| evidence.verify(&context());
    let (kept, other) = (Arc::new(operation(9, 1, 1)), Arc::new(operation(9, 2, 1)));
    assert_eq!(verdict(&promised(1, &[Arc::clone(&other), Arc::clone(&kept)])), Err(EvidenceFault::Innocent));
    // The same operation with another signature of its author is the same operation.
    let mut resigned = kept.signed().clone();
    resigned.signature = *other.signature();
    let resigned = Arc::new(Operation::decode(&resigned).expect("a well-formed operation"));
    assert_eq!(verdict(&promised(1, &[resigned])), Err(EvidenceFault::Innocent));
    assert!(matches!(verdict(&promised(2, &[Arc::clone(&other)])), Err(EvidenceFault::Unrelated(_))));
    let Evidence::BrokenPromise(mut partial) = promised(1, &[other, kept]) else { panic!("another kind") };
    partial.operations.pop();
    let partial = Evidence::BrokenPromise(partial);
    assert!(matches!(verdict(&partial), Err(EvidenceFault::Unrelated(_))));
}

/// accountability §1.7
#[test]
fn a_bundle_of_the_largest_number_of_operations_fits_into_evidence() {
    let Evidence::BrokenPromise(mut broken) = broken_promise() else { panic!("another kind") };
    broken.operations = vec![broken.operations[0]; MAX_BUNDLE_OPERATIONS];
    let most = Evidence::BrokenPromise(broken.clone());
    assert_eq!(Evidence::from_bytes(&most.to_bytes()), Ok(most));
    broken.operations.push(broken.operations[0]);
    assert!(Evidence::from_bytes(&Evidence::BrokenPromise(broken).to_bytes()).is_err());
}

/// accountability §1.7: what is judged in its epoch says nothing in another epoch or cluster.
#[test]
fn evidence_of_another_epoch_or_cluster_is_refused() {
    let other_epoch = Context { epoch: Epoch(1), ..context() };
    let other_cluster = Context { cluster: ClusterId(digest("another cluster")), ..context() };
    for evidence in guilty().into_iter().chain([broken_promise()]) {
        assert!(evidence.verify(&other_epoch).is_err(), "{}", evidence.kind());
        assert!(evidence.verify(&other_cluster).is_err(), "{}", evidence.kind());
    }
    assert!(author_conflict().verify(&other_cluster).is_err());
}

/// accountability §1.7
#[test]
fn a_chain_longer_than_the_bound_is_not_read() {
    let of = |length: usize| {
        let chain = (0..length).map(|at| proposal(at as u64, Digest::ZERO, 1)).collect();
        off_chain(vote(1, 0, 1, Digest::ZERO, Phase::Prepare), vote(1, 0, 2, Digest::ZERO, Phase::Prepare), chain)
    };
    assert!(Evidence::from_bytes(&of(MAX_EVIDENCE_CHAIN).to_bytes()).is_ok());
    assert!(Evidence::from_bytes(&of(MAX_EVIDENCE_CHAIN + 1).to_bytes()).is_err());
}

fn shown_by(message: Message) -> Option<Evidence> {
    let refused = context().open(message).expect_err("it is refused");
    match refused.shows?.into_inner() {
        Message::Evidence(evidence) => Some(*evidence),
        other => panic!("{other:?}"),
    }
}

/// accountability §1.4: a message that breaks a rule over its signer's own signature convicts; one that anyone could
/// have made doesn't.
#[test]
fn the_door_tells_the_signers_fault_from_the_messengers() {
    let nobody = LaneTip { lane: ValidatorIndex(9), number: BundleNumber(1), digest: digest("a") };
    let foreign = Proposal { payload: Payload { tips: vec![nobody] }, ..proposal(1, cluster().0, 1) };
    let shown = shown_by(Message::PrePrepare(pre_prepare(1, &foreign))).unwrap();
    assert_eq!(shown.kind(), "invalid-proposal");
    let mut unsigned = pre_prepare(1, &foreign);
    unsigned.vote.signature = vote(2, 0, 1, digest("a"), Phase::Prepare).signature;
    assert_eq!(shown_by(Message::PrePrepare(unsigned)), None);

    let change = |prepared| {
        Message::ViewChange(Box::new(ViewChangeMessage {
            signed: change(1, 3, prepared, None),
            prepared: None,
            committed: None,
        }))
    };
    assert_eq!(shown_by(change(Some(claim(3, 1, digest("a"))))).unwrap().kind(), "invalid-view-change");
    assert_eq!(shown_by(change(Some(claim(2, 1, digest("a"))))), None, "the certificate may have been swapped");

    let shown = shown_by(Message::NewView(Box::new(sign(new_view([0, 2, 2], None))))).unwrap();
    assert_eq!(shown.kind(), "invalid-new-view");

    let operations = vec![Arc::new(operation(9, 1, 1)), Arc::new(forged_operation())];
    let bundle = |header| Message::Bundle(Arc::new(Bundle { header, operations: operations.clone() }));
    assert_eq!(shown_by(bundle(header(1, Digest::ZERO, &operations))).unwrap().kind(), "invalid-bundle");
    assert_eq!(shown_by(bundle(header(1, Digest::ZERO, &operations[..1]))), None, "other operations than its own");
}
