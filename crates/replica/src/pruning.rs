//! Pruning: what lies below the operator's retention leaves the store (protocol §8.1).
//!
//! Proposals, votes, bundles, certificates, results and receipts of a sequence go together, oldest first, and
//! a mark says how far; so a crash between two batches leaves a shorter history, never one with holes. What
//! the protocol still needs stays: everything above the stable checkpoint, the newest delivered bundle of each
//! lane, and the certificate of every checkpoint, of which each is a link for light clients.
//!
//! Neither the state nor its tree is touched: they have no history here. When to prune, and how much at once,
//! is the shell's.

use quorate_storage::{Family, Store, WriteBatch};
use quorate_types::codec::Canonical;
use quorate_types::ids::{BundleNumber, Epoch, Sequence, ValidatorIndex};
use quorate_types::proposal::LaneTip;

use crate::records::{self, RecordError};

/// What one call found.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Everything to delete, and the mark, to be written at once.
    pub batch: WriteBatch,
    /// Sequences that go.
    pub sequences: u64,
}

/// The highest sequence that may go: below what this validator executed and holds certified, and below its
/// stable checkpoint, with `retained` sequences kept below that (protocol §8.1).
///
/// # Errors
/// If the records can't be read.
pub fn floor<S: Store>(store: &S, retained: u64) -> Result<Sequence, RecordError> {
    let executed = records::executed().read(store)?.map_or(Sequence::ZERO, |mark| mark.execution.sequence);
    let certified = records::certified().read(store)?.unwrap_or_default();
    let stable = records::stable().read(store)?.unwrap_or_default();
    Ok(Sequence(executed.min(certified).min(stable).0.saturating_sub(retained)))
}

/// The next sequences to go, at most `most`, up to `floor`. Certificates at multiples of `checkpoint_interval`
/// stay.
///
/// # Errors
/// If the records can't be read.
pub fn prune<S: Store>(store: &S, floor: Sequence, checkpoint_interval: u32, most: u64) -> Result<Pruned, RecordError> {
    let mut pruned = Pruned::default();
    let pruned_to = records::pruned().read(store)?.unwrap_or_default();
    // Where a transfer moved the mark ahead, the deleting follows it (protocol §8.7).
    let swept = records::swept().read(store)?;
    let mut at = swept.unwrap_or(pruned_to);
    while at < floor && pruned.sequences < most {
        at = at.next();
        one(store, at, u64::from(checkpoint_interval), &mut pruned.batch)?;
        pruned.sequences += 1;
    }
    match swept {
        _ if pruned.sequences == 0 => {}
        Some(_) if at < pruned_to => records::swept().put(&mut pruned.batch, &at),
        Some(_) => {
            delete(&mut pruned.batch, &records::swept());
            records::pruned().put(&mut pruned.batch, &at);
        }
        None => records::pruned().put(&mut pruned.batch, &at),
    }
    Ok(pruned)
}

/// Void bundles of the oldest ended epoch that go next, at most `most`: those that it didn't order (protocol §8.4). The
/// own ones stay until they were bundled again, which a bundle of a later epoch shows.
///
/// # Errors
/// If the records can't be read.
pub fn sweep_void<S: Store>(store: &S, most: usize) -> Result<WriteBatch, RecordError> {
    let mut batch = WriteBatch::new();
    let Some((ended, delivered)) = records::oldest_void(store)? else { return Ok(batch) };
    let own = records::left_lane(ended.next()).read(store)?.map(|(lane, _)| lane);
    let present = records::epoch().read(store)?.unwrap_or_default();
    let own_is_needed = present == ended.next() && !records::own_bundle(present).is_kept(store)?;
    let highest = BundleNumber(u64::MAX);
    for (lane, point) in (0..).map(ValidatorIndex).zip(&delivered.points) {
        if own_is_needed && own == Some(lane) {
            continue;
        }
        records::bundles_between(store, ended, lane, (point.number.next(), highest), |key| {
            if batch.len() < most {
                batch.delete(Family::Bundles, key);
            }
        })?;
    }
    if batch.is_empty() && !own_is_needed {
        delete(&mut batch, &records::void_above(ended));
    }
    Ok(batch)
}

fn one<S: Store>(store: &S, at: Sequence, interval: u64, batch: &mut WriteBatch) -> Result<(), RecordError> {
    let committed = records::committed(at);
    if let Some(digest) = committed.read(store)? {
        let slot = records::proposal(&digest);
        if let Some(proposal) = slot.read(store)? {
            for tip in &proposal.payload.tips {
                bundles_below(store, proposal.epoch, tip, batch)?;
            }
            records::votes_at(store, proposal.epoch, at, |key| batch.delete(Family::Votes, key))?;
            delete(batch, &records::own_execution_vote(proposal.epoch, at));
        }
        delete(batch, &slot);
        delete(batch, &committed);
    }
    delete(batch, &records::commit(at));
    delete(batch, &records::result(at));
    if !at.0.is_multiple_of(interval) {
        delete(batch, &records::execution(at));
    }
    for receipt in records::receipts_at(store, at)? {
        delete(batch, &records::receipt(at, receipt.index));
        delete(batch, &records::place(&receipt.operation));
    }
    Ok(())
}

/// The bundles of a lane below a delivered tip, with what was judged of their operations. The tip itself stays
/// until a later one is delivered: it shows where the lane is.
fn bundles_below<S: Store>(store: &S, epoch: Epoch, tip: &LaneTip, batch: &mut WriteBatch) -> Result<(), RecordError> {
    let Some(newest) = records::bundle(epoch, tip.lane, tip.number, &tip.digest).read(store)? else { return Ok(()) };
    let (mut number, mut digest) = (tip.number.previous(), newest.header.statement.parent);
    while let Some(at) = number.filter(|number| *number > BundleNumber::ZERO) {
        let slot = records::bundle(epoch, tip.lane, at, &digest);
        let Some(bundle) = slot.read(store)? else { return Ok(()) };
        for operation in &bundle.operations {
            delete(batch, &records::judged(&operation.id()));
        }
        delete(batch, &slot);
        (number, digest) = (at.previous(), bundle.header.statement.parent);
    }
    Ok(())
}

fn delete<T: Canonical>(batch: &mut WriteBatch, slot: &records::Slot<T>) {
    batch.delete(slot.family(), slot.key());
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use quorate_crypto::{Digest, SecretKey, Signature};
    use quorate_dag::Point;
    use quorate_storage::{Durability, MemoryStore};
    use quorate_types::bundle::{Bundle, BundleHeader, operations_bytes, operations_root};
    use quorate_types::execution::{Execution, ExecutionCertificate, ExecutionVote};
    use quorate_types::ids::{BlockTime, ClusterId, OperationId, ValidatorIndex, View};
    use quorate_types::operation::{Change, EntityId, Operation, OperationBuilder};
    use quorate_types::proposal::{Payload, Proposal};
    use quorate_types::receipt::{Judgement, Outcome, Receipt};
    use quorate_types::signed::Signed;
    use quorate_types::vote::{Certificate, Claim, Phase, Vote};

    use super::*;
    use crate::records::{ExecutedMark, Judged, Place};

    const INTERVAL: u32 = 10;
    const LANE: ValidatorIndex = ValidatorIndex(1);

    fn operation(nonce: u64) -> Operation {
        let key = SecretKey::from_seed([1; 32]);
        let builder = OperationBuilder::new(ClusterId(Digest::ZERO), key.public(), nonce, BlockTime(1));
        builder.mutate(EntityId::new("hits", "a"), Change::Add { by: 1 }).sign(&key).unwrap()
    }

    /// A store in which every sequence up to `length` was delivered, executed and certified; each names two
    /// bundles of one operation each.
    fn store(length: u64) -> MemoryStore {
        let store = MemoryStore::default();
        let mut batch = WriteBatch::new();
        let (mut parent, mut lane) = (Digest::ZERO, (BundleNumber::ZERO, Digest::ZERO));
        for sequence in (1..=length).map(Sequence) {
            let mut ids = Vec::new();
            for half in 0..2 {
                let operations = vec![Arc::new(operation(2 * sequence.0 + half))];
                ids.push(operations[0].id());
                let statement = BundleHeader {
                    epoch: Epoch(0),
                    lane: LANE,
                    number: lane.0.next(),
                    parent: lane.1,
                    cumulative_operations: 0,
                    cumulative_bytes: operations_bytes(&operations),
                    operations_root: operations_root(&operations),
                };
                lane = (statement.number, statement.digest());
                let bundle =
                    Bundle { header: Signed { statement, signature: Signature::from_bytes([0; 64]) }, operations };
                records::bundle_slot(&bundle).put(&mut batch, &bundle);
            }
            let tips = vec![LaneTip { lane: LANE, number: lane.0, digest: lane.1 }];
            let proposal =
                Proposal { epoch: Epoch(0), sequence, parent, time: BlockTime(1), payload: Payload { tips } };
            parent = proposal.digest();
            records::proposal(&parent).put(&mut batch, &proposal);
            records::committed(sequence).put(&mut batch, &parent);
            settle(&mut batch, sequence, parent, &ids);
        }
        let last = Execution { sequence: Sequence(length), ..execution(Sequence(length), parent) };
        let mark = ExecutedMark { execution: last, time: BlockTime(1), points: Vec::new() };
        records::executed().put(&mut batch, &mark);
        records::certified().put(&mut batch, &Sequence(length));
        records::stable().put(&mut batch, &Sequence(length - length % u64::from(INTERVAL)));
        store.write(batch, Durability::Synced).unwrap();
        store
    }

    fn execution(sequence: Sequence, proposal: Digest) -> Execution {
        let (state_root, receipts_root) = (Digest::ZERO, Digest::ZERO);
        Execution { epoch: Epoch(0), sequence, proposal, state_root, receipts_root }
    }

    /// Votes, certificates, result and receipts of a sequence; the second operation was judged before.
    fn settle(batch: &mut WriteBatch, sequence: Sequence, digest: Digest, ids: &[OperationId]) {
        let signature = Signature::from_bytes([0; 64]);
        for (validator, phase) in [(0, Phase::Prepare), (1, Phase::Prepare), (1, Phase::Commit)] {
            let validator = ValidatorIndex(validator);
            let statement = Vote { epoch: Epoch(0), view: View(0), sequence, digest, phase, validator };
            records::vote(&statement).put(batch, &Signed { statement, signature });
        }
        let claim = Claim { view: View(0), sequence, digest };
        let commit = Certificate { phase: Phase::Commit, epoch: Epoch(0), claim, signatures: Vec::new() };
        records::commit(sequence).put(batch, &commit);
        let execution = execution(sequence, digest);
        records::result(sequence).put(batch, &execution);
        records::execution(sequence).put(batch, &ExecutionCertificate { execution, signatures: Vec::new() });
        let statement = ExecutionVote { execution, validator: LANE };
        records::own_execution_vote(Epoch(0), sequence).put(batch, &Signed { statement, signature });
        for (index, operation) in (0..).zip(ids.iter().copied()) {
            let (versions, concurrent_with) = (Vec::new(), Vec::new());
            let receipt = Receipt { operation, sequence, index, outcome: Outcome::Applied, versions, concurrent_with };
            records::receipt(sequence, index).put(batch, &receipt);
            records::place(&operation).put(batch, &Place { sequence, index });
        }
        let judged = Judged { sequence, judgement: Judgement::UnknownAuthor };
        records::judged(&ids[1]).put(batch, &judged);
    }

    fn count(store: &MemoryStore, family: Family) -> usize {
        store.scan(family, &[], &[], usize::MAX).unwrap().len()
    }

    fn run(store: &MemoryStore, retained: u64, most: u64) -> u64 {
        let up_to = floor(store, retained).unwrap();
        let Pruned { batch, sequences } = prune(store, up_to, INTERVAL, most).unwrap();
        store.write(batch, Durability::Buffered).unwrap();
        sequences
    }

    /// protocol §8.1
    #[test]
    fn what_lies_below_the_retention_goes_as_a_whole_and_the_rest_stays() {
        let store = store(45);
        while run(&store, 15, 4) > 0 {}
        // Stable is 40, 15 below it stay.
        assert_eq!(records::pruned().read(&store), Ok(Some(Sequence(25))));
        assert_eq!(count(&store, Family::Proposals), 2 * 20);
        assert_eq!(count(&store, Family::Votes), 4 * 20);
        // Commits, results, certificates, and those of the checkpoints 10 and 20.
        assert_eq!(count(&store, Family::Certificates), 3 * 20 + 2);
        assert_eq!(count(&store, Family::Receipts), 2 * 20);
        // The tip of sequence 25 shows where the lane was.
        assert_eq!(count(&store, Family::Bundles), 2 * 20 + 1);
        // Of the last tip's operation the judgement stays, too.
        assert_eq!(count(&store, Family::Operations), 2 * 20 + 20 + 1);
        for sequence in (26..=45).map(Sequence) {
            let digest = records::committed(sequence).read(&store).unwrap().unwrap();
            assert!(records::proposal(&digest).read(&store).unwrap().is_some());
            assert_eq!(records::receipts_at(&store, sequence).unwrap().len(), 2);
        }
        assert!(records::execution(Sequence(20)).read(&store).unwrap().is_some());
        assert!(records::execution(Sequence(21)).read(&store).unwrap().is_none());
        assert_eq!(run(&store, 15, 4), 0, "nothing is left to do");
    }

    #[test]
    fn a_crash_between_batches_leaves_no_hole_and_it_goes_on_from_there() {
        let store = store(40);
        assert_eq!((run(&store, 5, 7), run(&store, 5, 7)), (7, 7));
        store.crash(1);
        assert_eq!(records::pruned().read(&store), Ok(Some(Sequence(7))));
        let kept = |sequence: u64| records::committed(Sequence(sequence)).read(&store).unwrap().is_some();
        assert!((1..=7).all(|sequence| !kept(sequence)) && (8..=40).all(kept));
        while run(&store, 5, 100) > 0 {}
        assert_eq!(count(&store, Family::Bundles), 2 * 5 + 1);
    }

    /// protocol §8.4: what an epoch didn't order leaves the store; the own part of it when it was bundled again.
    #[test]
    fn void_bundles_go_and_own_ones_when_they_were_bundled_again() {
        let store = store(4);
        let own = ValidatorIndex(0);
        let mut batch = WriteBatch::new();
        let mut parent = Digest::ZERO;
        for number in (1..=3).map(BundleNumber) {
            let operations = vec![Arc::new(operation(100 + number.0))];
            let statement = BundleHeader {
                epoch: Epoch(0),
                lane: own,
                number,
                parent,
                cumulative_operations: number.0,
                cumulative_bytes: operations_bytes(&operations),
                operations_root: operations_root(&operations),
            };
            parent = statement.digest();
            let header = Signed { statement, signature: Signature::from_bytes([0; 64]) };
            records::bundle_slot(&Bundle { header, operations: operations.clone() })
                .put(&mut batch, &Bundle { header, operations });
        }
        let point = |number| Point { number: BundleNumber(number), ..Point::EMPTY };
        let link = quorate_consensus::Link { sequence: Sequence(4), digest: Digest::ZERO, time: BlockTime(1) };
        let ended = records::Delivered { link, points: vec![point(1), point(6)] };
        records::void_above(Epoch(0)).put(&mut batch, &ended);
        records::left_lane(Epoch(1)).put(&mut batch, &(own, BundleNumber(1)));
        records::epoch().put(&mut batch, &Epoch(1));
        store.write(batch, Durability::Synced).unwrap();
        let sweep = || {
            let batch = sweep_void(&store, 1).unwrap();
            let found = batch.len();
            store.write(batch, Durability::Buffered).unwrap();
            found
        };
        assert_eq!(count(&store, Family::Bundles), 8 + 3);
        while sweep() > 0 {}
        // Of the other lane, two of eight weren't ordered.
        assert_eq!(count(&store, Family::Bundles), 6 + 3);
        let mut batch = WriteBatch::new();
        let signature = Signature::from_bytes([0; 64]);
        let statement = BundleHeader {
            epoch: Epoch(1),
            lane: own,
            number: BundleNumber(1),
            parent: Digest::ZERO,
            cumulative_operations: 1,
            cumulative_bytes: 1,
            operations_root: Digest::ZERO,
        };
        records::own_bundle(Epoch(1)).put(&mut batch, &Signed { statement, signature });
        store.write(batch, Durability::Synced).unwrap();
        while sweep() > 0 {}
        assert_eq!(count(&store, Family::Bundles), 6 + 1);
        assert_eq!(records::oldest_void(&store), Ok(None), "nothing is left to do");
    }

    /// protocol §6.2, §8.1: nothing goes that was not executed, certified and below the stable checkpoint.
    #[test]
    fn the_floor_is_below_everything_that_the_protocol_needs() {
        let store = store(45);
        assert_eq!(floor(&store, 0), Ok(Sequence(40)));
        assert_eq!(floor(&store, 1_000), Ok(Sequence(0)));
        let mut batch = WriteBatch::new();
        records::certified().put(&mut batch, &Sequence(31));
        store.write(batch, Durability::Synced).unwrap();
        assert_eq!(floor(&store, 1), Ok(Sequence(30)));
        assert_eq!(floor(&MemoryStore::default(), 0), Ok(Sequence(0)));
    }
}
