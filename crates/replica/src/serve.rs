//! Answers to what other validators ask for, read from the records (protocol §9.4).
//!
//! An answer holds at least one item if there is any, and then as many as fit into the caller's budget;
//! the asker goes on from there. Bundles come from the tip downwards, each named by the one before, so
//! that the asker needs to keep nothing that it can't check ([`quorate_dag::Want`]). Nothing is read that
//! the question doesn't name: a question costs what its answer costs.

use std::sync::Arc;

use quorate_crypto::Digest;
use quorate_storage::Store;
use quorate_types::codec::Canonical;
use quorate_types::ids::{BundleNumber, Epoch, Sequence, ValidatorIndex};
use quorate_types::limits::{MAX_BUNDLES_PER_ANSWER, MAX_SEGMENT_PROPOSALS};
use quorate_types::message::{Message, Request, Segment};
use quorate_types::proposal::Proposal;

use crate::records::{self, RecordError};

/// Execution certificates in one answer at most.
const MAX_CERTIFICATES: usize = 64;

/// Answers `request` out of `store`, whichever epoch it is about. Empty if nothing asked for is kept.
///
/// # Errors
/// If the store fails or its records are damaged.
pub fn answer<S: Store>(store: &S, request: &Request, budget_bytes: usize) -> Result<Vec<Message>, RecordError> {
    match *request {
        Request::Proposal(digest) => {
            let found = records::proposal(&digest).read(store)?;
            Ok(found.map(Message::Proposal).into_iter().collect())
        }
        Request::Segment(from) => {
            let found = segment(store, from, budget_bytes)?;
            Ok(found.map(|segment| Message::Segment(Box::new(segment))).into_iter().collect())
        }
        Request::Bundles { epoch, lane, from, to, tip } => {
            bundles(store, epoch, &Span { lane, from, to, tip }, budget_bytes)
        }
        Request::Execution(from) => {
            let found = records::executions_from(store, from, MAX_CERTIFICATES)?;
            Ok(found.into_iter().map(Message::ExecutionCertificate).collect())
        }
        // The replica's to answer: it takes a signature.
        Request::Freshness(_) => Ok(Vec::new()),
        // From the snapshots ([`crate::transfer::Snapshots`]).
        Request::Checkpoint | Request::Chunk { .. } => Ok(Vec::new()),
    }
}

/// Part of a lane, asked for.
struct Span {
    lane: ValidatorIndex,
    from: BundleNumber,
    to: BundleNumber,
    tip: Digest,
}

/// The bundles of a span from its tip downwards, each named by the one above.
fn bundles<S: Store>(store: &S, epoch: Epoch, span: &Span, budget_bytes: usize) -> Result<Vec<Message>, RecordError> {
    let (mut at, mut tip, mut left) = (span.to, span.tip, budget_bytes);
    let mut found = Vec::new();
    while at >= span.from && at > BundleNumber::ZERO && found.len() < MAX_BUNDLES_PER_ANSWER {
        let Some(bundle) = records::bundle(epoch, span.lane, at, &tip).read(store)? else { break };
        let size = usize::try_from(bundle.size_bytes()).unwrap_or(usize::MAX);
        if size > left && !found.is_empty() {
            break;
        }
        left = left.saturating_sub(size);
        tip = bundle.header.statement.parent;
        at = at.previous().unwrap_or(BundleNumber::ZERO);
        found.push(Message::Bundle(Arc::new(bundle)));
    }
    Ok(found)
}

/// The delivered chain from a sequence on, up to the last one of the same epoch within the budget that has a commit
/// certificate of its own, or the first one if none is within it. An epoch's last sequence has one (protocol §8.4).
fn segment<S: Store>(store: &S, from: Sequence, budget_bytes: usize) -> Result<Option<Segment>, RecordError> {
    let (mut proposals, mut left) = (Vec::new(), budget_bytes);
    let mut end = None;
    let mut at = from;
    while proposals.len() < MAX_SEGMENT_PROPOSALS {
        let Some(digest) = records::committed(at).read(store)? else { break };
        let Some(proposal) = records::proposal(&digest).read(store)? else { break };
        if proposals.first().is_some_and(|first: &Proposal| first.epoch != proposal.epoch) {
            break;
        }
        let size = proposal.to_bytes().len();
        if size > left && end.is_some() {
            break;
        }
        left = left.saturating_sub(size);
        proposals.push(proposal);
        let certificate = records::commit(at).read(store)?;
        end = certificate
            .filter(|certificate| certificate.claim.digest == digest)
            .map(|certificate| (proposals.len(), certificate))
            .or(end);
        at = at.next();
    }
    Ok(end.map(|(length, certificate)| {
        proposals.truncate(length);
        Segment { proposals, certificate }
    }))
}

#[cfg(test)]
mod tests {
    use quorate_crypto::Signature;
    use quorate_storage::{Durability, MemoryStore, WriteBatch};
    use quorate_types::bundle::{Bundle, BundleHeader};
    use quorate_types::execution::{Execution, ExecutionCertificate};
    use quorate_types::ids::{BlockTime, View};
    use quorate_types::operation::{Change, EntityId, OperationBuilder};
    use quorate_types::proposal::Payload;
    use quorate_types::signed::Signed;
    use quorate_types::value::Value;
    use quorate_types::vote::{Certificate, Claim, Phase};

    use super::*;

    const EPOCH: Epoch = Epoch(0);
    const LANE: ValidatorIndex = ValidatorIndex(2);

    /// A chain of proposals from sequence 1, with commit certificates where `certified` says.
    fn chain(store: &MemoryStore, length: u64, certified: impl Fn(u64) -> bool) -> Vec<Proposal> {
        let (mut parent, mut proposals, mut batch) = (Digest::ZERO, Vec::new(), WriteBatch::new());
        for number in 1..=length {
            let (sequence, time) = (Sequence(number), BlockTime(number));
            let proposal = Proposal { epoch: EPOCH, sequence, parent, time, payload: Payload::default() };
            parent = proposal.digest();
            records::proposal(&parent).put(&mut batch, &proposal);
            records::committed(sequence).put(&mut batch, &parent);
            if certified(number) {
                let claim = Claim { view: View(0), sequence, digest: parent };
                let commit = Certificate { phase: Phase::Commit, epoch: EPOCH, claim, signatures: Vec::new() };
                records::commit(sequence).put(&mut batch, &commit);
            }
            proposals.push(proposal);
        }
        store.write(batch, Durability::Synced).unwrap();
        proposals
    }

    fn served(store: &MemoryStore, from: u64, budget: usize) -> Option<(u64, u64, u64)> {
        let messages = answer(store, &Request::Segment(Sequence(from)), budget).unwrap();
        let [Message::Segment(segment)] = &messages[..] else { return None };
        let (first, last) = (segment.proposals.first()?, segment.proposals.last()?);
        assert_eq!(segment.certificate.claim.digest, last.digest());
        Some((first.sequence.0, last.sequence.0, segment.proposals.len() as u64))
    }

    /// protocol §8.3.
    #[test]
    fn a_segment_ends_at_the_last_certificate_within_its_bounds() {
        let store = MemoryStore::default();
        let proposals = chain(&store, 300, |number| number % 10 == 0);
        let size = proposals[0].to_bytes().len();
        assert_eq!(served(&store, 1, usize::MAX), Some((1, 250, 250)), "256 proposals at most");
        assert_eq!(served(&store, 251, usize::MAX), Some((251, 300, 50)));
        assert_eq!(served(&store, 1, 39 * size), Some((1, 30, 30)));
        assert_eq!(served(&store, 1, 40 * size), Some((1, 40, 40)));
        assert_eq!(served(&store, 1, 0), Some((1, 10, 10)), "one certificate's worth in any case");
        assert_eq!(served(&store, 301, usize::MAX), None);
    }

    #[test]
    fn a_chain_without_a_certificate_is_not_served() {
        let store = MemoryStore::default();
        chain(&store, 20, |number| number == 5);
        assert_eq!(served(&store, 1, usize::MAX), Some((1, 5, 5)));
        assert_eq!(served(&store, 6, usize::MAX), None);
        assert_eq!(served(&store, 0, usize::MAX), None, "genesis is no proposal");
    }

    #[test]
    fn proposals_and_execution_certificates_are_served_by_name() {
        let store = MemoryStore::default();
        let proposals = chain(&store, 2, |_| false);
        let wanted = Request::Proposal(proposals[1].digest());
        assert_eq!(answer(&store, &wanted, 0), Ok(vec![Message::Proposal(proposals[1].clone())]));
        assert_eq!(answer(&store, &Request::Proposal(Digest::ZERO), 0), Ok(Vec::new()));
        let execution = Execution {
            epoch: EPOCH,
            sequence: Sequence(1),
            proposal: proposals[0].digest(),
            state_root: Digest::ZERO,
            receipts_root: Digest::ZERO,
        };
        let certificate = ExecutionCertificate { execution, signatures: Vec::new() };
        let mut batch = WriteBatch::new();
        records::execution(Sequence(1)).put(&mut batch, &certificate);
        store.write(batch, Durability::Synced).unwrap();
        let found = answer(&store, &Request::Execution(Sequence(1)), 0);
        assert_eq!(found, Ok(vec![Message::ExecutionCertificate(certificate)]));
        assert_eq!(answer(&store, &Request::Execution(Sequence(2)), 0), Ok(Vec::new()));
    }

    /// A lane of one-operation bundles.
    fn lane(store: &MemoryStore, length: u64) -> Vec<Bundle> {
        let key = quorate_crypto::SecretKey::from_seed([1; 32]);
        let cluster = quorate_types::ids::ClusterId(Digest::ZERO);
        let operation = OperationBuilder::new(cluster, key.public(), 1, BlockTime(1))
            .mutate(EntityId::new("note", "n"), Change::Put { value: Value::Null })
            .sign(&key)
            .unwrap();
        let operation = Arc::new(operation);
        let (mut parent, mut bundles, mut batch) = (Digest::ZERO, Vec::new(), WriteBatch::new());
        for number in 1..=length {
            let header = BundleHeader {
                epoch: EPOCH,
                lane: LANE,
                number: BundleNumber(number),
                parent,
                cumulative_operations: number,
                cumulative_bytes: number * operation.size_bytes() as u64,
                operations_root: Digest::ZERO,
            };
            parent = header.digest();
            let header = Signed { statement: header, signature: Signature::from_bytes([0; 64]) };
            let bundle = Bundle { header, operations: vec![Arc::clone(&operation)] };
            records::bundle_slot(&bundle).put(&mut batch, &bundle);
            bundles.push(bundle);
        }
        store.write(batch, Durability::Synced).unwrap();
        bundles
    }

    #[test]
    fn bundles_are_served_from_the_tip_downwards_within_the_budget_and_the_span() {
        let store = MemoryStore::default();
        let bundles = lane(&store, 100);
        let size = usize::try_from(bundles[0].size_bytes()).unwrap();
        let ask = |from: u64, to: u64, tip: Digest, budget: usize| -> Vec<u64> {
            let request =
                Request::Bundles { epoch: EPOCH, lane: LANE, from: BundleNumber(from), to: BundleNumber(to), tip };
            let answers = answer(&store, &request, budget).unwrap();
            let number = |message: &Message| match message {
                Message::Bundle(bundle) => bundle.header.statement.number.0,
                other => panic!("{}", other.kind()),
            };
            answers.iter().map(number).collect()
        };
        let tip = |number: usize| bundles[number - 1].digest();
        assert_eq!(ask(3, 6, tip(6), usize::MAX), [6, 5, 4, 3]);
        assert_eq!(ask(1, 6, tip(6), 2 * size), [6, 5]);
        assert_eq!(ask(1, 6, tip(6), 0), [6], "one in any case");
        assert_eq!(ask(0, 2, tip(2), usize::MAX), [2, 1]);
        assert_eq!(ask(1, 100, tip(100), usize::MAX).len(), MAX_BUNDLES_PER_ANSWER);
        assert_eq!(ask(1, 6, tip(7), usize::MAX), [0; 0], "the tip isn't the bundle of that number");
        assert_eq!(ask(7, 6, tip(6), usize::MAX), [0; 0]);
        assert_eq!(ask(0, 0, Digest::ZERO, usize::MAX), [0; 0]);
        assert_eq!(ask(1, u64::MAX, tip(100), usize::MAX), [0; 0]);
    }
}
