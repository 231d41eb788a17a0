//! Whom to ask for missing bundles, and when again (protocol §3.6, §9.4).
//!
//! One question per missing tip is in flight; when it isn't answered within a status interval, the next
//! validator is asked: first the primary, which named it, then the lane's owner, then the others in turn. What only
//! a peer's status tells of is asked of that peer alone, one tip per lane: it can't crowd out the rest.
//! Bounded in tips; the oldest are forgotten first, which costs a retry.

use std::collections::{BTreeMap, BTreeSet};

use quorate_consensus::Now;
use quorate_crypto::Digest;
use quorate_dag::Want;
use quorate_types::bundle::Bundle;
use quorate_types::ids::{Epoch, ValidatorIndex};
use quorate_types::set::indices;

use crate::outbox::Outbox;

/// After so many unanswered questions a tip is given up until something names it again.
const MAX_ATTEMPTS: usize = 16;
/// The most tips asked for at a time.
const MAX_WANTS: usize = 1_024;

/// One tip asked for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    want: Want,
    at_ms: u64,
    attempts: usize,
    /// Who was asked last; `None` before the first question.
    of: Option<ValidatorIndex>,
    /// Whose status alone told of it.
    told_by: Option<ValidatorIndex>,
}

/// The questions in flight.
#[derive(Debug)]
pub(crate) struct Fetching {
    me: ValidatorIndex,
    epoch: Epoch,
    validators: usize,
    again_ms: u64,
    asked: BTreeMap<(ValidatorIndex, Digest), Asked>,
    /// The tip that each peer's status told of last, by peer and lane.
    told: BTreeMap<(ValidatorIndex, ValidatorIndex), Digest>,
    /// Questions left open by those who must hold what was asked for, since this was last taken.
    unanswered: BTreeMap<ValidatorIndex, u64>,
    /// Whom to ask only when nobody else is left (accountability §6.4).
    last: BTreeSet<ValidatorIndex>,
}

impl Fetching {
    pub(crate) const fn new((me, epoch): (ValidatorIndex, Epoch), validators: usize, again_ms: u64) -> Self {
        Self {
            me,
            epoch,
            validators,
            again_ms,
            asked: BTreeMap::new(),
            told: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            last: BTreeSet::new(),
        }
    }

    /// Asks these only when nobody else is left.
    pub(crate) fn ask_last(&mut self, last: BTreeSet<ValidatorIndex>) {
        self.last = last;
    }

    /// Questions for bundles left open since this was last asked, by whom: a lane's owner, or one whose status told of
    /// the bundle. Anyone else may lack it.
    pub(crate) fn take_unanswered(&mut self) -> BTreeMap<ValidatorIndex, u64> {
        std::mem::take(&mut self.unanswered)
    }

    /// Asks for what a proposal names, unless the question is in flight.
    pub(crate) fn want(&mut self, now: Now, want: Want, primary: ValidatorIndex, out: &mut Outbox) {
        let asked = self.asked.get_mut(&(want.lane, want.tip));
        let attempts = asked.map_or(0, |asked| {
            asked.told_by = None;
            asked.attempts
        });
        if let Some(of) = self.whom(want.lane, primary, attempts) {
            self.want_from(now, want, of, out);
        }
    }

    /// The primary, then the lane's owner, then all in turn.
    fn whom(&self, lane: ValidatorIndex, primary: ValidatorIndex, attempts: usize) -> Option<ValidatorIndex> {
        let order = [primary, lane].into_iter().chain(indices(self.validators));
        let (first, last): (Vec<_>, Vec<_>) =
            order.filter(|validator| *validator != self.me).partition(|validator| !self.last.contains(validator));
        let candidates: Vec<ValidatorIndex> = first.into_iter().chain(last).collect();
        candidates.get(attempts % candidates.len().max(1)).copied()
    }

    /// Asks a peer for what its status says that it holds; what it said of that lane before is forgotten.
    pub(crate) fn want_of_status(&mut self, now: Now, want: Want, of: ValidatorIndex, out: &mut Outbox) {
        let before = self.told.insert((of, want.lane), want.tip).filter(|before| *before != want.tip);
        if let Some(key) = before.map(|before| (want.lane, before))
            && self.asked.get(&key).is_some_and(|asked| asked.told_by == Some(of))
        {
            self.asked.remove(&key);
        }
        let is_new = !self.asked.contains_key(&(want.lane, want.tip));
        self.want_from(now, want, of, out);
        if let Some(asked) = self.asked.get_mut(&(want.lane, want.tip)).filter(|_| is_new) {
            asked.told_by = Some(of);
        }
    }

    /// Asks one validator that is known to hold it.
    fn want_from(&mut self, now: Now, want: Want, of: ValidatorIndex, out: &mut Outbox) {
        let key = (want.lane, want.tip);
        let before = self.asked.get(&key).copied();
        if before.is_some_and(|asked| now.monotonic_ms.saturating_sub(asked.at_ms) < self.again_ms) {
            return;
        }
        if self.asked.len() >= MAX_WANTS && before.is_none() {
            let oldest = self.asked.iter().min_by_key(|(_, asked)| asked.at_ms).map(|(key, _)| *key);
            oldest.and_then(|oldest| self.asked.remove(&oldest));
        }
        let attempts = before.map_or(0, |asked| asked.attempts).wrapping_add(1);
        let told_by = before.and_then(|asked| asked.told_by);
        self.asked.insert(key, Asked { want, at_ms: now.monotonic_ms, attempts, of: Some(of), told_by });
        out.ask(of, want.request(self.epoch));
    }

    /// Notes that something is missing that may well be under way: asked for if it doesn't come by itself.
    pub(crate) fn want_later(&mut self, now: Now, want: Want) {
        let fresh = Asked { want, at_ms: now.monotonic_ms, attempts: 0, of: None, told_by: None };
        if self.asked.len() < MAX_WANTS {
            self.asked.entry((want.lane, want.tip)).or_insert(fresh);
        }
    }

    /// Asks again, and others, for what hasn't come.
    pub(crate) fn ask_due(&mut self, now: Now, primary: ValidatorIndex, out: &mut Outbox) {
        let again_ms = self.again_ms;
        let overdue = |asked: &&Asked| now.monotonic_ms.saturating_sub(asked.at_ms) >= again_ms;
        let due: Vec<Asked> = self.asked.values().filter(overdue).copied().collect();
        for asked in due {
            let must_hold = |of: &ValidatorIndex| *of == asked.want.lane || Some(*of) == asked.told_by;
            if let Some(of) = asked.of.filter(must_hold) {
                let count = self.unanswered.entry(of).or_default();
                *count = count.saturating_add(1);
            }
            match asked.told_by {
                _ if asked.attempts >= MAX_ATTEMPTS => {
                    self.asked.remove(&(asked.want.lane, asked.want.tip));
                }
                Some(peer) => self.want_from(now, asked.want, peer, out),
                None => self.want(now, asked.want, primary, out),
            }
        }
    }

    /// A bundle came: it isn't asked for any more.
    pub(crate) fn came(&mut self, bundle: &Bundle) {
        self.asked.remove(&(bundle.header.statement.lane, bundle.digest()));
    }
}

#[cfg(test)]
mod tests {
    use quorate_crypto::sha256;
    use quorate_types::ids::BundleNumber;

    use super::*;

    fn want(lane: u16, number: u64, salt: u64) -> Want {
        let number = BundleNumber(number);
        Want { lane: ValidatorIndex(lane), from: number, to: number, tip: sha256(&[&salt.to_be_bytes()]) }
    }

    fn at(monotonic_ms: u64) -> Now {
        Now { monotonic_ms, wall_ms: 0 }
    }

    /// protocol §9.5: a status tells of what it likes; of each peer and lane one tip is asked for, of that peer.
    #[test]
    fn what_a_peers_status_makes_up_crowds_out_nothing() {
        let mut fetching = Fetching::new((ValidatorIndex(0), Epoch(0)), 4, 100);
        let mut out = Outbox::default();
        let primary = ValidatorIndex(2);
        fetching.want(at(0), want(1, 1, 0), primary, &mut out);
        for salt in 1..5_000 {
            fetching.want_of_status(at(salt), want(1, 1 << 40, salt), ValidatorIndex(3), &mut out);
        }
        assert_eq!(fetching.asked.len(), 2, "the named one, and the last one told of");
        out.now.clear();
        fetching.ask_due(at(10_000), primary, &mut out);
        let asked: Vec<_> = out.now.iter().map(|outgoing| outgoing.to).collect();
        let of_lanes_owner = crate::outbox::Recipient::One(ValidatorIndex(1));
        let of_who_told = crate::outbox::Recipient::One(ValidatorIndex(3));
        assert_eq!(asked.len(), 2);
        assert!(asked.contains(&of_lanes_owner) && asked.contains(&of_who_told), "{asked:?}");
    }

    #[test]
    fn what_a_proposal_names_after_a_status_told_of_it_stays_whatever_the_status_says_then() {
        let mut fetching = Fetching::new((ValidatorIndex(0), Epoch(0)), 4, 100);
        let mut out = Outbox::default();
        fetching.want_of_status(at(0), want(1, 7, 7), ValidatorIndex(3), &mut out);
        fetching.want(at(1), want(1, 7, 7), ValidatorIndex(2), &mut out);
        fetching.want_of_status(at(2), want(1, 8, 8), ValidatorIndex(3), &mut out);
        assert_eq!(fetching.asked.len(), 2);
    }

    /// protocol §9.5
    #[test]
    fn the_oldest_question_is_forgotten_first() {
        let mut fetching = Fetching::new((ValidatorIndex(0), Epoch(0)), 4, 100);
        let mut out = Outbox::default();
        for salt in 0..=MAX_WANTS as u64 {
            fetching.want(at(salt), want(1 + (salt % 3) as u16, salt, salt), ValidatorIndex(2), &mut out);
        }
        assert_eq!(fetching.asked.len(), MAX_WANTS);
        let first = want(1, 0, 0);
        assert!(!fetching.asked.contains_key(&(first.lane, first.tip)));
    }
}
