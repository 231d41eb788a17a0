//! Records in order: the highest of a kind, and all from somewhere on.

use std::sync::Arc;

use quorate_crypto::Digest;
use quorate_dag::Point;
use quorate_storage::{Family, Store};
use quorate_types::bundle::Bundle;
use quorate_types::codec::Canonical;
use quorate_types::evidence::Evidence;
use quorate_types::execution::{Execution, ExecutionCertificate, ExecutionVote};
use quorate_types::ids::{BundleNumber, Epoch, Sequence, ValidatorIndex};
use quorate_types::proposal::Proposal;
use quorate_types::receipt::Receipt;
use quorate_types::signed::Signed;
use quorate_types::view_change::{NewView, ViewChangeMessage};
use quorate_types::vote::{Certificate, Vote};

use super::slot::{RecordError, open};
use super::values::Delivered;
use super::{
    BY_DIGEST, BY_SEQUENCE, COMMITS, EVIDENCE, EXECUTION_VOTES, EXECUTIONS, NEW_VIEW, RESULTS, VIEW_CHANGE, VOID_ABOVE,
    VOTES, key,
};

/// Entries read from the store at a time.
const PAGE: usize = 256;

/// All evidence kept, by id.
///
/// # Errors
/// As [`super::Slot::read`].
pub fn evidence_kept<S: Store>(store: &S) -> Result<Vec<Evidence>, RecordError> {
    let mut found = Vec::new();
    walk(store, Family::Votes, vec![EVIDENCE], &after(vec![EVIDENCE]), |evidence| found.push(evidence))?;
    Ok(found)
}

/// The execution certificates from a sequence on, ascending, at most `limit`.
///
/// # Errors
/// As [`super::Slot::read`].
pub fn executions_from<S: Store>(
    store: &S,
    sequence: Sequence,
    limit: usize,
) -> Result<Vec<ExecutionCertificate>, RecordError> {
    let (from, to) = (key(&[EXECUTIONS], &[&sequence]), after(vec![EXECUTIONS]));
    let entries = store.scan(Family::Certificates, &from, &to, limit)?;
    entries.iter().map(|(key, bytes)| open(Family::Certificates, key, bytes)).collect()
}

/// All votes of an epoch above a sequence, own ones and the first seen of others, by sequence, then view.
///
/// # Errors
/// As [`super::Slot::read`].
pub fn votes_above<S: Store>(store: &S, epoch: Epoch, sequence: Sequence) -> Result<Vec<Signed<Vote>>, RecordError> {
    let from = key(&[VOTES], &[&epoch, &sequence.next()]);
    let mut votes = Vec::new();
    walk(store, Family::Votes, from, &after(key(&[VOTES], &[&epoch])), |vote| votes.push(vote))?;
    Ok(votes)
}

/// The keys of all votes of an epoch for one sequence.
///
/// # Errors
/// If the store fails.
pub fn votes_at<S: Store>(
    store: &S,
    epoch: Epoch,
    sequence: Sequence,
    mut take: impl FnMut(&[u8]),
) -> Result<(), RecordError> {
    let mut from = key(&[VOTES], &[&epoch, &sequence]);
    let to = after(from.clone());
    loop {
        let entries = store.scan(Family::Votes, &from, &to, PAGE)?;
        entries.iter().for_each(|(key, _)| take(key));
        let Some((mut last, _)) = entries.into_iter().nth(PAGE - 1) else { return Ok(()) };
        last.push(0);
        from = last;
    }
}

/// The keys of the bundles of a lane with numbers from `from` up to and without `to`.
///
/// # Errors
/// If the store fails.
pub fn bundles_between<S: Store>(
    store: &S,
    epoch: Epoch,
    lane: ValidatorIndex,
    (from, to): (BundleNumber, BundleNumber),
    mut take: impl FnMut(&[u8]),
) -> Result<(), RecordError> {
    let (mut from, to) = (key(&[], &[&epoch, &lane, &from]), key(&[], &[&epoch, &lane, &to]));
    loop {
        let entries = store.scan(Family::Bundles, &from, &to, PAGE)?;
        entries.iter().for_each(|(key, _)| take(key));
        let Some((mut last, _)) = entries.into_iter().nth(PAGE - 1) else { return Ok(()) };
        last.push(0);
        from = last;
    }
}

/// The bundles of one number of a lane: one, or more where the lane forked.
///
/// # Errors
/// As [`super::Slot::read`].
pub fn bundles_at<S: Store>(
    store: &S,
    epoch: Epoch,
    lane: ValidatorIndex,
    number: BundleNumber,
) -> Result<Vec<Bundle>, RecordError> {
    let from = key(&[], &[&epoch, &lane, &number]);
    let mut found = Vec::new();
    walk(store, Family::Bundles, from.clone(), &after(from), |bundle| found.push(bundle))?;
    Ok(found)
}

/// This validator's own execution votes of an epoch above a sequence.
///
/// # Errors
/// As [`super::Slot::read`].
pub fn own_execution_votes_above<S: Store>(
    store: &S,
    epoch: Epoch,
    sequence: Sequence,
) -> Result<Vec<Signed<ExecutionVote>>, RecordError> {
    let from = key(&[EXECUTION_VOTES], &[&epoch, &sequence.next()]);
    let mut votes = Vec::new();
    walk(store, Family::Votes, from, &after(key(&[EXECUTION_VOTES], &[&epoch])), |vote| votes.push(vote))?;
    Ok(votes)
}

/// The own results of execution above a sequence, ascending.
///
/// # Errors
/// As [`super::Slot::read`].
pub fn results_above<S: Store>(store: &S, sequence: Sequence) -> Result<Vec<Execution>, RecordError> {
    let mut results = Vec::new();
    let from = key(&[RESULTS], &[&sequence.next()]);
    walk(store, Family::Certificates, from, &after(vec![RESULTS]), |result| results.push(result))?;
    Ok(results)
}

/// All bundles of an epoch above the lanes' tips, by lane, then number.
///
/// # Errors
/// As [`super::Slot::read`].
pub fn bundles_above<S: Store>(store: &S, epoch: Epoch, tips: &[Point]) -> Result<Vec<Arc<Bundle>>, RecordError> {
    let mut bundles = Vec::new();
    for (lane, tip) in (0u16..).map(ValidatorIndex).zip(tips) {
        let from = key(&[], &[&epoch, &lane, &tip.number.next()]);
        let to = after(key(&[], &[&epoch, &lane]));
        walk(store, Family::Bundles, from, &to, |bundle: Bundle| bundles.push(Arc::new(bundle)))?;
    }
    Ok(bundles)
}

/// The bundles of a lane above a number, ascending.
///
/// # Errors
/// As [`super::Slot::read`].
pub fn bundles_of<S: Store>(
    store: &S,
    epoch: Epoch,
    lane: ValidatorIndex,
    above: BundleNumber,
) -> Result<Vec<Bundle>, RecordError> {
    let mut bundles = Vec::new();
    let from = key(&[], &[&epoch, &lane, &above.next()]);
    walk(store, Family::Bundles, from, &after(key(&[], &[&epoch, &lane])), |bundle| bundles.push(bundle))?;
    Ok(bundles)
}

/// The oldest epoch that has ended and whose void bundles may still be here, with what was delivered last in it.
///
/// # Errors
/// As [`super::Slot::read`].
pub fn oldest_void<S: Store>(store: &S) -> Result<Option<(Epoch, Delivered)>, RecordError> {
    let entries = store.scan(Family::Meta, VOID_ABOVE, &after(VOID_ABOVE.to_vec()), 1)?;
    let Some((key, bytes)) = entries.into_iter().next() else { return Ok(None) };
    let epoch = Epoch::from_bytes(key.get(VOID_ABOVE.len()..).unwrap_or_default());
    let malformed = |fault| RecordError::Malformed { family: Family::Meta, key: key.clone(), fault };
    Ok(Some((epoch.map_err(malformed)?, open(Family::Meta, &key, &bytes)?)))
}

/// The highest number of which a bundle of a lane is kept; 0 if none is.
///
/// # Errors
/// As [`super::Slot::read`].
pub fn highest_bundle<S: Store>(store: &S, epoch: Epoch, lane: ValidatorIndex) -> Result<BundleNumber, RecordError> {
    let found: Option<Bundle> = last(store, Family::Bundles, key(&[], &[&epoch, &lane]))?;
    Ok(found.map_or(BundleNumber::ZERO, |bundle| bundle.header.statement.number))
}

/// The commit certificate with the highest sequence, if it is of this epoch.
///
/// # Errors
/// As [`super::Slot::read`].
pub fn highest_commit<S: Store>(store: &S, epoch: Epoch) -> Result<Option<Certificate>, RecordError> {
    let found: Option<Certificate> = last(store, Family::Certificates, vec![COMMITS])?;
    Ok(found.filter(|certificate| certificate.epoch == epoch))
}

/// All commit certificates at or above a sequence, ascending.
///
/// # Errors
/// As [`super::Slot::read`].
pub fn commits_from<S: Store>(store: &S, sequence: Sequence) -> Result<Vec<Certificate>, RecordError> {
    let mut found = Vec::new();
    let from = key(&[COMMITS], &[&sequence]);
    walk(store, Family::Certificates, from, &after(vec![COMMITS]), |certificate| found.push(certificate))?;
    Ok(found)
}

/// The highest delivered sequence, with its proposal's digest.
///
/// # Errors
/// As [`super::Slot::read`].
pub fn highest_committed<S: Store>(store: &S) -> Result<Option<(Sequence, Digest)>, RecordError> {
    let entries = store.scan_back(Family::Proposals, &[BY_SEQUENCE], &after(vec![BY_SEQUENCE]), 1)?;
    let Some((key, bytes)) = entries.into_iter().next() else { return Ok(None) };
    let digest = open(Family::Proposals, &key, &bytes)?;
    let sequence = Sequence::from_bytes(key.get(1..).unwrap_or_default());
    let malformed = |fault| RecordError::Malformed { family: Family::Proposals, key: key.clone(), fault };
    Ok(Some((sequence.map_err(malformed)?, digest)))
}

/// This validator's view change for the highest view.
///
/// # Errors
/// As [`super::Slot::read`].
pub fn highest_view_change<S: Store>(store: &S, epoch: Epoch) -> Result<Option<ViewChangeMessage>, RecordError> {
    last(store, Family::Protocol, key(VIEW_CHANGE, &[&epoch]))
}

/// The new view accepted for the highest view.
///
/// # Errors
/// As [`super::Slot::read`].
pub fn highest_new_view<S: Store>(store: &S, epoch: Epoch) -> Result<Option<Signed<NewView>>, RecordError> {
    last(store, Family::Protocol, key(NEW_VIEW, &[&epoch]))
}

/// All new views accepted in an epoch, by view.
///
/// # Errors
/// As [`super::Slot::read`].
pub fn new_views<S: Store>(store: &S, epoch: Epoch) -> Result<Vec<Signed<NewView>>, RecordError> {
    let mut found = Vec::new();
    let from = key(NEW_VIEW, &[&epoch]);
    walk(store, Family::Protocol, from.clone(), &after(from), |new_view| found.push(new_view))?;
    Ok(found)
}

/// All proposals kept, in no order that means anything.
///
/// # Errors
/// As [`super::Slot::read`].
pub fn proposals<S: Store>(store: &S) -> Result<Vec<Proposal>, RecordError> {
    let mut found = Vec::new();
    walk(store, Family::Proposals, vec![BY_DIGEST], &after(vec![BY_DIGEST]), |proposal| found.push(proposal))?;
    Ok(found)
}

/// The receipts of a sequence, by index.
///
/// # Errors
/// As [`super::Slot::read`].
pub fn receipts_at<S: Store>(store: &S, sequence: Sequence) -> Result<Vec<Receipt>, RecordError> {
    let mut receipts = Vec::new();
    let prefix = key(&[], &[&sequence]);
    walk(store, Family::Receipts, prefix.clone(), &after(prefix), |receipt| receipts.push(receipt))?;
    Ok(receipts)
}

/// Reads all values with `from <= key < to`, a page at a time.
fn walk<S: Store, T: Canonical>(
    store: &S,
    family: Family,
    mut from: Vec<u8>,
    to: &[u8],
    mut take: impl FnMut(T),
) -> Result<(), RecordError> {
    loop {
        let entries = store.scan(family, &from, to, PAGE)?;
        for (key, bytes) in &entries {
            take(open(family, key, bytes)?);
        }
        match entries.into_iter().nth(PAGE - 1) {
            None => return Ok(()),
            Some((mut last, _)) => {
                last.push(0);
                from = last;
            }
        }
    }
}

/// The value with the highest key under `prefix`.
fn last<S: Store, T: Canonical>(store: &S, family: Family, prefix: Vec<u8>) -> Result<Option<T>, RecordError> {
    let entries = store.scan_back(family, &prefix, &after(prefix.clone()), 1)?;
    entries.first().map(|(key, bytes)| open(family, key, bytes)).transpose()
}

/// The first key after all that start with `prefix`; empty, which means the end, if there is none.
fn after(mut prefix: Vec<u8>) -> Vec<u8> {
    while let Some(byte) = prefix.pop() {
        if let Some(next) = byte.checked_add(1) {
            prefix.push(next);
            break;
        }
    }
    prefix
}
