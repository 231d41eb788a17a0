//! What the detector finds, in whichever order it hears it, and how much it keeps.

use quorate_crypto::{Digest, PublicKey, Scheme, SecretKey, Signature, sha256};
use quorate_types::bundle::BundleHeader;
use quorate_types::execution::Execution;
use quorate_types::ids::{BlockTime, BundleNumber, ClusterId, Epoch};
use quorate_types::operation::{Change, EntityId, OperationBuilder};
use quorate_types::parameters::Parameters;
use quorate_types::proposal::Payload;
use quorate_types::set::{ValidatorInfo, ValidatorSet};
use quorate_types::signed::Statement;
use quorate_types::vote::{Certificate, Claim};

use super::*;

const WINDOW: u32 = 8;
const SIGNER: u16 = 1;

fn context() -> Context {
    let validator = |at: u8| ValidatorInfo {
        name: format!("v{at}"),
        consensus_key: PublicKey::from_bytes([at; 32]),
        network_key: PublicKey::from_bytes([at; 32]),
        incarnation: [0; 32],
        peer_address: String::new(),
    };
    Context {
        cluster: ClusterId(Digest::ZERO),
        scheme: Scheme::Ed25519,
        epoch: Epoch(0),
        set: Arc::new(ValidatorSet::new((0..4).map(validator).collect()).unwrap()),
        parameters: Arc::new(Parameters { window: WINDOW, ..Parameters::default() }),
        start: (Sequence(0), Digest::ZERO),
    }
}

/// The detector checks no signature: that was done at the door.
fn signed<T: Statement>(statement: T) -> Signed<T> {
    Signed { statement, signature: Signature::from_bytes([0; 64]) }
}

fn proposal(sequence: u64, parent: Digest, time: u64) -> Proposal {
    let (sequence, time) = (Sequence(sequence), BlockTime(time));
    Proposal { epoch: Epoch(0), sequence, parent, time, payload: Payload::default() }
}

fn vote(view: u64, sequence: u64, digest: Digest, phase: Phase) -> Signed<Vote> {
    let (view, sequence) = (View(view), Sequence(sequence));
    signed(Vote { epoch: Epoch(0), view, sequence, digest, phase, validator: ValidatorIndex(SIGNER) })
}

fn of_vote(vote: Signed<Vote>) -> Message {
    Message::Vote(VoteMessage { vote, primary: None })
}

fn pre_prepare(view: u64, proposal: &Proposal) -> Message {
    let vote = vote(view, proposal.sequence.0, proposal.digest(), Phase::Prepare);
    Message::PrePrepare(PrePrepare { proposal: proposal.clone(), vote })
}

fn change(validator: u16, new_view: u64, prepared: Option<Claim>, last_vote: Option<Claim>) -> Signed<ViewChange> {
    let (new_view, validator) = (View(new_view), ValidatorIndex(validator));
    signed(ViewChange { epoch: Epoch(0), new_view, prepared, committed: None, last_vote, validator })
}

fn of_change(signed: Signed<ViewChange>) -> Message {
    let (prepared, committed) = (None, None);
    Message::ViewChange(Box::new(quorate_types::view_change::ViewChangeMessage { signed, prepared, committed }))
}

/// A new view 1, led by the signer, upon this proposal.
fn new_view(anchor: Option<&Proposal>) -> Message {
    let claim = |anchor: &Proposal| Claim { view: View(0), sequence: anchor.sequence, digest: anchor.digest() };
    let claim = anchor.map(claim);
    let signatures = [0, 2, 3].map(|at| (ValidatorIndex(at), Signature::from_bytes([0; 64]))).to_vec();
    let prepared = claim.map(|claim| Certificate { phase: Phase::Prepare, epoch: Epoch(0), claim, signatures });
    Message::NewView(Box::new(signed(NewView {
        epoch: Epoch(0),
        view: View(1),
        view_changes: [0, 2, 3].map(|at| change(at, 1, claim, claim)).to_vec(),
        prepared,
        committed: None,
        validator: ValidatorIndex(SIGNER),
    })))
}

fn result(sequence: u64, validator: u16, root: u8) -> Signed<ExecutionVote> {
    let (proposal, receipts_root) = (Digest::ZERO, Digest::ZERO);
    let (sequence, state_root) = (Sequence(sequence), Digest::new([root; 32]));
    let execution = Execution { epoch: Epoch(0), sequence, proposal, state_root, receipts_root };
    signed(ExecutionVote { execution, validator: ValidatorIndex(validator) })
}

fn header(number: u64, parent: Digest) -> Signed<BundleHeader> {
    signed(BundleHeader {
        epoch: Epoch(0),
        lane: ValidatorIndex(SIGNER),
        number: BundleNumber(number),
        parent,
        cumulative_operations: number,
        cumulative_bytes: number,
        operations_root: Digest::ZERO,
    })
}

fn bundle(header: Signed<BundleHeader>, nonces: &[(u64, i64)]) -> Message {
    let key = SecretKey::from_seed([1; 32]);
    let operation = |(nonce, by): &(u64, i64)| {
        let builder = OperationBuilder::new(ClusterId(Digest::ZERO), key.public(), *nonce, BlockTime(1));
        Arc::new(builder.mutate(EntityId::new("hits", "a"), Change::Add { by: *by }).sign(&key).unwrap())
    };
    Message::Bundle(Arc::new(Bundle { header, operations: nonces.iter().map(operation).collect() }))
}

/// What two messages, and more, show in each order in which they may come.
fn shown_in_every_order(messages: &[Message]) -> &'static str {
    let mut kinds = std::collections::BTreeSet::new();
    let mut order: Vec<usize> = (0..messages.len()).collect();
    permute(&mut order, 0, &mut |order| {
        let mut watch = Watch::new(context());
        let mut found = Vec::new();
        order.iter().for_each(|at| watch.on_message(&messages[*at], &mut found));
        // Once more: what is known shows nothing new.
        let (kind, known) = (found.first().map(Evidence::kind), found.len());
        assert_eq!(known, 1, "{order:?}: {found:?}");
        kinds.insert(kind.unwrap());
    });
    assert_eq!(kinds.len(), 1, "{kinds:?}");
    kinds.pop_first().unwrap()
}

fn permute(order: &mut Vec<usize>, from: usize, each: &mut impl FnMut(&[usize])) {
    if from == order.len() {
        return each(order);
    }
    for at in from..order.len() {
        order.swap(from, at);
        permute(order, from + 1, each);
        order.swap(from, at);
    }
}

/// accountability §1.1, §1.6: found whatever comes last.
#[test]
fn contradictions_are_found_in_every_order_of_arrival() {
    let (a, b) = (Digest::new([7; 32]), Digest::new([8; 32]));
    let first = proposal(1, Digest::ZERO, 1_000);
    let second = proposal(2, first.digest(), 9_000);
    let early = proposal(2, first.digest(), 500);
    let beside = proposal(2, a, 9_000);
    let claim = Claim { view: View(2), sequence: Sequence(3), digest: a };
    let cases: [(&str, Vec<Message>); 10] = [
        ("conflicting-votes", vec![of_vote(vote(0, 1, a, Phase::Commit)), of_vote(vote(0, 1, b, Phase::Commit))]),
        ("conflicting-proposals", vec![of_vote(vote(1, 1, a, Phase::Prepare)), of_vote(vote(1, 1, b, Phase::Prepare))]),
        (
            "off-chain-votes",
            vec![
                of_vote(vote(0, 1, a, Phase::Commit)),
                of_vote(vote(0, 2, second.digest(), Phase::Commit)),
                Message::Proposal(second.clone()),
            ],
        ),
        ("invalid-proposal", vec![new_view(None), pre_prepare(1, &first), pre_prepare(1, &early)]),
        ("off-anchor", vec![new_view(Some(&first)), pre_prepare(1, &beside)]),
        ("conflicting-new-views", vec![new_view(None), new_view(Some(&first))]),
        (
            "conflicting-view-changes",
            vec![of_change(change(1, 3, None, None)), of_change(change(1, 3, None, Some(claim)))],
        ),
        ("hidden-vote", vec![of_change(change(1, 3, None, None)), of_vote(vote(2, 3, a, Phase::Prepare))]),
        ("hidden-certificate", vec![of_change(change(1, 4, None, Some(claim))), of_vote(vote(2, 3, a, Phase::Commit))]),
        ("conflicting-bundles", vec![bundle(header(1, a), &[(1, 1)]), bundle(header(2, b), &[(2, 1)])]),
    ];
    for (kind, messages) in cases {
        assert_eq!(shown_in_every_order(&messages), kind);
    }
}

/// accountability §1.1
#[test]
fn results_and_operations_are_compared_too() {
    let certified = |vote: Signed<ExecutionVote>| ExecutionCertificate {
        execution: vote.statement.execution,
        signatures: Vec::new(),
    };
    let of_result = |vote| Message::ExecutionVote(vote);
    assert_eq!(
        shown_in_every_order(&[of_result(result(1, 1, 7)), of_result(result(1, 1, 8))]),
        "conflicting-executions"
    );
    let certificate = Message::ExecutionCertificate(certified(result(1, 2, 8)));
    assert_eq!(shown_in_every_order(&[of_result(result(1, 1, 7)), certificate]), "diverged");
    let first = header(1, Digest::ZERO);
    let second = header(2, first.statement.digest());
    let twice = [bundle(first, &[(5, 1)]), bundle(second, &[(5, 2)])];
    assert_eq!(shown_in_every_order(&twice), "conflicting-operations");
}

/// accountability §3.1, protocol §9.5: whoever floods fills only its own room, and far ahead is nothing kept.
#[test]
fn what_is_kept_is_bounded_by_signer() {
    let mut watch = Watch::new(context());
    let mut found = Vec::new();
    for at in 0..10_000u64 {
        let digest = sha256(&[&at.to_be_bytes()]);
        let view = at % 2_000;
        watch.on_message(&of_vote(vote(view, 1 + at / 100, digest, Phase::Prepare)), &mut found);
        watch.on_message(&of_change(change(SIGNER, view, None, None)), &mut found);
        watch.on_message(&bundle(header(at, digest), &[(at, 1)]), &mut found);
        watch.on_message(&Message::ExecutionVote(result(at, SIGNER, 1)), &mut found);
        watch.on_message(&Message::Proposal(proposal(1 + at % 200, digest, at)), &mut found);
        if at.is_multiple_of(500) {
            watch.stands_at(View(at / 10), Sequence(at / 1_000));
        }
    }
    let room = 8 * usize::try_from(WINDOW).unwrap();
    let (of_signer, in_all) = watch.held(ValidatorIndex(SIGNER));
    assert!(of_signer <= room + 16 * 3 + 512 * 2, "{of_signer}");
    assert!(in_all <= 2 * room + 16_384, "{in_all}");
    assert_eq!(watch.held(ValidatorIndex(0)).0, 0);
    watch.stands_at(View(2_000), Sequence(1_000));
    assert!(watch.held(ValidatorIndex(SIGNER)).0 <= 16 * 3 + 512 * 2, "votes below the checkpoint are forgotten");
}
