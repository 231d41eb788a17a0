//! Looks through a store that no validator runs on: whether every entry is whole and in its place, whether the
//! history is one chain without holes, and whether the state is the one that was certified.
//!
//! It changes nothing, and it goes on behind what it finds: an operator wants to know all that is damaged. What
//! it can't find is what was lost as a whole from the end, an old copy for example: the guard file and the other
//! validators tell that at the next start (protocol §§7.2, 7.3).

use std::collections::BTreeMap;

use quorate_crypto::Digest;
use quorate_machine::tree;
use quorate_proof::sparse::{self, Finding as Shown, Leaf};
use quorate_storage::{Family, StateOf, Store, StoreError, TreeOf};
use quorate_types::execution::Execution;
use quorate_types::ids::{BundleNumber, Epoch, Sequence, ValidatorIndex};
use quorate_types::merkle;
use quorate_types::proposal::Proposal;
use quorate_types::receipt::Receipt;
use quorate_types::snapshot::{Entry, Span};

use crate::records::{self, RecordError};

/// Entries read at once.
const PAGE: usize = 256;

/// Bytes of entries read at once by their names.
const NAMES_BYTES: usize = 1 << 20;

/// Findings told one by one, at most; the rest is counted.
pub const MAX_FINDINGS: usize = 1_000;

/// What is being looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The entries of a family, one by one.
    Entries(Family),
    /// The history, sequence by sequence.
    Chain,
    /// The state against its tree and root.
    State,
}

/// Something wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub place: String,
    /// What.
    pub what: String,
}

/// What was looked at, and what was found.
#[derive(Clone, Debug, Default)]
pub struct Inspection {
    /// Entries of all families.
    pub entries: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// The history that was followed: from the oldest sequence kept to the last one delivered.
    pub history: Option<(Sequence, Sequence)>,
    /// The result of the last sequence executed.
    pub executed: Option<Execution>,
    /// The highest sequence that a quorum certified with this store's own result.
    pub certified: Sequence,
    /// Entries of the state that have a leaf in its tree.
    pub leaves: u64,
    /// What is wrong, at most [`MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// How many things are wrong in all.
    pub found: u64,
}

impl Inspection {
    fn find(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.found += 1;
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding { place: place.into(), what: what.into() });
        }
    }
}

/// Looks through everything; tells `progress` how many entries, or sequences, of a stage are done.
pub fn inspect<S: Store>(store: &S, progress: &mut dyn FnMut(Stage, u64)) -> Inspection {
    let mut inspection = Inspection::default();
    let mut leaves = Vec::new();
    for family in Family::ALL {
        entries(store, family, &mut inspection, &mut leaves, progress);
    }
    if let Err(error) = chain(store, &mut inspection, progress) {
        inspection.find("history", error.to_string());
    }
    if let Err(error) = state(store, leaves, &mut inspection, progress) {
        inspection.find("state", error.to_string());
    }
    inspection
}

/// Reads each entry of a family; what doesn't open is told and passed over.
fn entries<S: Store>(
    store: &S,
    family: Family,
    inspection: &mut Inspection,
    leaves: &mut Vec<Leaf>,
    progress: &mut dyn FnMut(Stage, u64),
) {
    let (mut from, mut to, mut done) = (Vec::new(), Vec::new(), 0);
    loop {
        let page = match store.scan(family, &from, &to, PAGE) {
            Ok(page) => page,
            // What lies before the damaged entry is read first, then what lies behind it.
            Err(StoreError::Corrupt { key, .. }) if to.is_empty() => {
                inspection.find(format!("{family}/{}", key.escape_ascii()), "its checksum doesn't hold");
                to = key;
                continue;
            }
            Err(error) => return inspection.find(family.name(), error.to_string()),
        };
        for (key, value) in &page {
            inspection.entries += 1;
            inspection.bytes += (key.len() + value.len()) as u64;
            if let Err(error) = records::admit(family, key, value) {
                inspection.find(format!("{family}/{}", key.escape_ascii()), error.to_string());
            }
            if family == Family::State && tree::is_covered(key) {
                leaves.push(Leaf::of(key, value));
            }
        }
        done += page.len() as u64;
        progress(Stage::Entries(family), done);
        match page.last() {
            Some((last, _)) if page.len() == PAGE => from = after(last),
            _ if to.is_empty() => return,
            _ => (from, to) = (after(&to), Vec::new()),
        }
    }
}

/// The first key behind this one.
fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// Follows the history from the oldest sequence kept to the last one delivered.
fn chain<S: Store>(
    store: &S,
    inspection: &mut Inspection,
    progress: &mut dyn FnMut(Stage, u64),
) -> Result<(), RecordError> {
    let Some(delivered) = records::delivered().read(store)? else { return Ok(()) };
    let oldest = records::pruned().read(store)?.unwrap_or_default().next();
    let executed = records::executed().read(store)?.map(|mark| mark.execution);
    (inspection.history, inspection.executed) = (Some((oldest, delivered.link.sequence)), executed);
    let last_executed = executed.map_or(Sequence::ZERO, |execution| execution.sequence);
    let mut walk = Walk { store, parent: None, lanes: BTreeMap::new() };
    let mut at = oldest;
    while at <= delivered.link.sequence {
        walk.one(at, at <= last_executed, inspection)?;
        progress(Stage::Chain, at.above(oldest) + 1);
        at = at.next();
    }
    if walk.parent.is_some_and(|parent| parent != delivered.link.digest) {
        inspection.find(format!("sequence {}", delivered.link.sequence), "it isn't the one delivered last");
    }
    Ok(())
}

/// The place in the history, and of each lane in it.
struct Walk<'s, S> {
    store: &'s S,
    parent: Option<Digest>,
    lanes: BTreeMap<(Epoch, ValidatorIndex), BundleNumber>,
}

impl<S: Store> Walk<'_, S> {
    fn one(&mut self, at: Sequence, is_executed: bool, inspection: &mut Inspection) -> Result<(), RecordError> {
        let place = format!("sequence {at}");
        let Some(digest) = records::committed(at).read(self.store)? else {
            self.parent = None;
            inspection.find(place, "no proposal is recorded as delivered there");
            return Ok(());
        };
        let parent = self.parent.replace(digest);
        let Some(proposal) = records::proposal(&digest).read(self.store)? else {
            inspection.find(place, format!("the proposal {digest} delivered there is gone"));
            return Ok(());
        };
        if proposal.digest() != digest || proposal.sequence != at {
            inspection.find(&place, format!("what lies in the place of the proposal {digest} is another one"));
        }
        if parent.is_some_and(|parent| parent != proposal.parent) {
            inspection.find(&place, "its parent isn't the one delivered before it");
        }
        if let Some(commit) = records::commit(at).read(self.store)?.filter(|commit| commit.claim.digest != digest) {
            inspection.find(&place, format!("its commit certificate is for {}", commit.claim.digest));
        }
        self.bundles(&place, &proposal, inspection)?;
        if is_executed {
            self.results(at, digest, inspection)?;
        }
        Ok(())
    }

    /// The bundles that this proposal orders are there: from each tip back to the lane's tip before it.
    fn bundles(&mut self, place: &str, proposal: &Proposal, inspection: &mut Inspection) -> Result<(), RecordError> {
        for tip in &proposal.payload.tips {
            let before = self.lanes.insert((proposal.epoch, tip.lane), tip.number);
            // Where the history begins, nobody knows how far back the lane is kept.
            let lowest = before.or_else(|| tip.number.previous()).unwrap_or_default();
            let (mut number, mut digest) = (tip.number, tip.digest);
            while number > lowest {
                let Some(bundle) = records::bundle(proposal.epoch, tip.lane, number, &digest).read(self.store)? else {
                    inspection.find(place, format!("bundle {number} of lane {} is gone: {digest}", tip.lane));
                    break;
                };
                if bundle.header.statement.digest() != digest {
                    inspection.find(place, format!("bundle {number} of lane {} is another than {digest}", tip.lane));
                }
                digest = bundle.header.statement.parent;
                number = number.previous().unwrap_or_default();
            }
        }
        Ok(())
    }

    /// The result of an executed sequence, its receipts, and what a quorum certified, agree.
    fn results(&self, at: Sequence, proposal: Digest, inspection: &mut Inspection) -> Result<(), RecordError> {
        let place = format!("sequence {at}");
        let Some(result) = records::result(at).read(self.store)? else {
            inspection.find(place, "it was executed, and its result is gone");
            return Ok(());
        };
        if result.proposal != proposal {
            inspection.find(&place, format!("its result is one of the proposal {}", result.proposal));
        }
        let digests: Vec<Digest> = records::receipts_at(self.store, at)?.iter().map(Receipt::digest).collect();
        if merkle::root(&digests) != result.receipts_root {
            inspection.find(&place, "its receipts aren't those that were signed");
        }
        match records::execution(at).read(self.store)? {
            Some(certificate) if certificate.execution == result => inspection.certified = at,
            Some(certificate) => {
                let theirs = certificate.execution.state_root;
                inspection.find(&place, format!("a quorum certified another result, with the state root {theirs}"));
            }
            None => {}
        }
        Ok(())
    }
}

/// The state is the one whose root was the result of the last sequence executed, and its tree leads to each entry.
fn state<S: Store>(
    store: &S,
    mut leaves: Vec<Leaf>,
    inspection: &mut Inspection,
    progress: &mut dyn FnMut(Stage, u64),
) -> Result<(), RecordError> {
    // While the state of another validator takes its place it is nobody's; the next start goes on with that.
    if records::installing().is_kept(store)? {
        return Ok(());
    }
    let Some(mark) = records::executed().read(store)? else { return Ok(()) };
    let signed = mark.execution.state_root;
    leaves.sort_unstable_by_key(|leaf| leaf.key);
    inspection.leaves = leaves.len() as u64;
    let root = sparse::root_of(&leaves);
    if root != signed {
        inspection
            .find("state", format!("its root is {root}, and {signed} was the result at {}", mark.execution.sequence));
    }
    let in_tree = tree::root(&TreeOf(store))?;
    if in_tree != root {
        inspection.find("tree", format!("its root is {in_tree}, and that of the state is {root}"));
        return Ok(());
    }
    names(store, &leaves, inspection)?;
    for (done, leaf) in (1..).zip(&leaves) {
        let path = tree::path(&TreeOf(store), &leaf.key)?;
        if path.prove(&leaf.key, root) != Some(Shown::Present(leaf.value)) {
            inspection.find(format!("tree/{}", leaf.key), "it doesn't lead to this entry");
        }
        if done % PAGE as u64 == 0 || done == inspection.leaves {
            progress(Stage::State, done);
        }
    }
    Ok(())
}

/// The names beside the tree, by which the state is handed over to others, are those of the entries, each once
/// (protocol §8.7).
fn names<S: Store>(store: &S, leaves: &[Leaf], inspection: &mut Inspection) -> Result<(), RecordError> {
    let mut done = 0;
    while let Some(from) = leaves.get(done).map(|leaf| leaf.key) {
        let span = Span { from, ..Span::ALL };
        let (entries, _) = tree::entries(&TreeOf(store), &StateOf(store), span, NAMES_BYTES)?;
        let is_right = |(entry, leaf): (&Entry, &Leaf)| Leaf::of(&entry.key, &entry.value) == *leaf;
        let right = entries.iter().zip(&leaves[done..]).take_while(|pair| is_right(*pair)).count();
        done += right;
        if right < entries.len() || right == 0 {
            let place = leaves.get(done).map_or_else(|| "tree".to_owned(), |leaf| format!("tree/{}", leaf.key));
            inspection.find(place, "the names of the entries aren't those of the state from here on");
            return Ok(());
        }
    }
    Ok(())
}
