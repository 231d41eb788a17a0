//! What one validator has signed, by place.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use quorate_types::bundle::BundleHeader;
use quorate_types::evidence::in_order;
use quorate_types::execution::ExecutionVote;
use quorate_types::ids::{BundleNumber, Sequence, View};
use quorate_types::signed::Signed;
use quorate_types::view_change::ViewChange;
use quorate_types::vote::{Claim, Phase, Vote};

/// View changes kept, and views whose highest votes are.
const MAX_VIEWS: usize = 16;
/// Bundle headers kept, and results.
const MAX_NUMBERED: usize = 512;

type Slot = (View, Sequence, Phase);
type Headers = (Signed<BundleHeader>, Signed<BundleHeader>);

/// One validator's statements.
#[derive(Debug)]
pub(super) struct Signer {
    votes: BTreeMap<Slot, Signed<Vote>>,
    /// The highest prepare and commit vote of a view: kept when the votes are not any more.
    highest: BTreeMap<View, [Option<Signed<Vote>>; 2]>,
    changes: BTreeMap<View, Signed<ViewChange>>,
    headers: BTreeMap<BundleNumber, Signed<BundleHeader>>,
    results: BTreeMap<Sequence, Signed<ExecutionVote>>,
    limit: usize,
}

impl Signer {
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            votes: BTreeMap::new(),
            highest: BTreeMap::new(),
            changes: BTreeMap::new(),
            headers: BTreeMap::new(),
            results: BTreeMap::new(),
            limit,
        }
    }

    /// A detector that goes through records has room for everything.
    fn room(&self, usual: usize) -> usize {
        if self.limit == usize::MAX { usize::MAX } else { usual }
    }

    pub(super) fn vote_at(&self, slot: Slot) -> Option<&Signed<Vote>> {
        self.votes.get(&slot)
    }

    /// Keeps a vote; false if there is no room for one so old.
    pub(super) fn keep_vote(&mut self, vote: &Signed<Vote>) -> bool {
        let Vote { view, sequence, phase, .. } = vote.statement;
        if self.votes.len() >= self.limit {
            match self.votes.first_key_value() {
                Some((oldest, _)) if *oldest < (view, sequence, phase) => self.votes.pop_first(),
                _ => return false,
            };
        }
        self.votes.insert((view, sequence, phase), *vote);
        let highest = &mut self.highest.entry(view).or_default()[usize::from(phase == Phase::Commit)];
        if highest.is_none_or(|held| held.statement.sequence < sequence) {
            *highest = Some(*vote);
        }
        if self.highest.len() > self.room(MAX_VIEWS) {
            self.highest.pop_first();
        }
        true
    }

    /// The votes of the same view just below and just above.
    pub(super) fn neighbours(&self, vote: &Vote) -> (Option<Signed<Vote>>, Option<Signed<Vote>>) {
        let slot = (vote.view, vote.sequence, vote.phase);
        let below = self.votes.range(..slot).next_back().filter(|((view, ..), _)| *view == vote.view);
        let above = self.votes.range((Excluded(slot), Unbounded)).next().filter(|((view, ..), _)| *view == vote.view);
        (below.map(|(_, vote)| *vote), above.map(|(_, vote)| *vote))
    }

    /// The prepare votes of a view, ascending.
    pub(super) fn prepares_of(&self, view: View) -> Vec<Signed<Vote>> {
        let of_view = self.votes.range((view, Sequence::ZERO, Phase::Prepare)..);
        let of_view = of_view.take_while(|((at, ..), _)| *at == view).map(|(_, vote)| *vote);
        of_view.filter(|vote| vote.statement.phase == Phase::Prepare).collect()
    }

    pub(super) fn change_for(&self, view: View) -> Option<&Signed<ViewChange>> {
        self.changes.get(&view)
    }

    pub(super) fn keep_change(&mut self, change: &Signed<ViewChange>) {
        self.changes.insert(change.statement.new_view, *change);
        if self.changes.len() > self.room(MAX_VIEWS) {
            self.changes.pop_first();
        }
    }

    /// The view changes for views above a vote's that hide it.
    pub(super) fn changes_hiding(&self, vote: &Vote) -> impl Iterator<Item = &Signed<ViewChange>> {
        let (vote, from) = (*vote, vote.view.next());
        self.changes.range(from..).map(|(_, change)| change).filter(move |change| is_hidden(&change.statement, &vote))
    }

    /// The highest votes of the views below a view change's that it hides.
    pub(super) fn hidden_by(&self, change: &ViewChange) -> impl Iterator<Item = Signed<Vote>> {
        let below = || self.highest.range(..change.new_view).rev().map(|(_, votes)| votes);
        let prepare = below().find_map(|votes| votes[0]);
        let commit = below().find_map(|votes| votes[1]);
        let change = *change;
        [prepare, commit].into_iter().flatten().filter(move |vote| is_hidden(&change, &vote.statement))
    }

    /// Keeps a header; gives the pairs that it makes with what is kept, or nothing if it is known.
    pub(super) fn keep_header(&mut self, header: &Signed<BundleHeader>) -> Option<Vec<Headers>> {
        let number = header.statement.number;
        match self.headers.get(&number) {
            Some(first) if first.statement == header.statement => return None,
            Some(first) => return Some(vec![in_order((*first, *header))]),
            None => {}
        }
        let before = number.previous().and_then(|before| self.headers.get(&before));
        let before = before.filter(|before| before.statement.digest() != header.statement.parent);
        let after = self.headers.get(&number.next());
        let after = after.filter(|after| after.statement.parent != header.statement.digest());
        let broken = before.map(|before| (*before, *header)).into_iter().chain(after.map(|after| (*header, *after)));
        let broken = broken.collect();
        self.headers.insert(number, *header);
        if self.headers.len() > self.room(MAX_NUMBERED) {
            self.headers.pop_first();
        }
        Some(broken)
    }

    pub(super) fn result_at(&self, sequence: Sequence) -> Option<&Signed<ExecutionVote>> {
        self.results.get(&sequence)
    }

    pub(super) fn keep_result(&mut self, vote: &Signed<ExecutionVote>) {
        self.results.insert(vote.statement.execution.sequence, *vote);
        if self.results.len() > self.room(MAX_NUMBERED) {
            self.results.pop_first();
        }
    }

    /// Forgets votes at or below the stable checkpoint, the highest ones aside.
    pub(super) fn prune(&mut self, stable: Sequence) {
        self.votes.retain(|(_, sequence, _), _| *sequence > stable);
    }

    pub(super) fn held(&self) -> usize {
        self.votes.len() + 2 * self.highest.len() + self.changes.len() + self.headers.len() + self.results.len()
    }
}

/// Whether a view change claims less than a vote of a view below shows (protocol §2.6).
fn is_hidden(change: &ViewChange, vote: &Vote) -> bool {
    let claimed = if vote.phase == Phase::Commit { change.prepared } else { change.last_vote };
    let rank = |claim: Claim| (claim.view, claim.sequence);
    vote.view < change.new_view && claimed.map(rank) < Some(rank(vote.claim()))
}
