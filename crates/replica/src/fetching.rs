//! Whom to ask for missing bundles, and when again (protocol §3.6, §9.4).
//!
//! One question per missing tip is in flight; when it isn't answered within a status interval, the next
//! validator is asked: first the primary, which named it, then the lane's owner, then the others in turn.
//! Bounded in tips; the oldest are forgotten first, which costs a retry.

use std::collections::BTreeMap;

use quorate_consensus::Now;
use quorate_crypto::Digest;
use quorate_dag::Want;
use quorate_types::bundle::Bundle;
use quorate_types::ids::ValidatorIndex;
use quorate_types::message::Request;
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
}

/// The questions in flight.
#[derive(Debug)]
pub(crate) struct Fetching {
    me: ValidatorIndex,
    validators: usize,
    again_ms: u64,
    asked: BTreeMap<(ValidatorIndex, Digest), Asked>,
}

impl Fetching {
    pub(crate) const fn new(me: ValidatorIndex, validators: usize, again_ms: u64) -> Self {
        Self { me, validators, again_ms, asked: BTreeMap::new() }
    }

    /// Asks for what a proposal names, unless the question is in flight.
    pub(crate) fn want(&mut self, now: Now, want: Want, primary: ValidatorIndex, out: &mut Outbox) {
        let attempts = self.asked.get(&(want.lane, want.tip)).map_or(0, |asked| asked.attempts);
        if let Some(of) = self.whom(want.lane, primary, attempts) {
            self.want_from(now, want, of, out);
        }
    }

    /// The primary, then the lane's owner, then all in turn.
    fn whom(&self, lane: ValidatorIndex, primary: ValidatorIndex, attempts: usize) -> Option<ValidatorIndex> {
        let order = [primary, lane].into_iter().chain(indices(self.validators));
        let candidates: Vec<ValidatorIndex> = order.filter(|validator| *validator != self.me).collect();
        candidates.get(attempts % candidates.len().max(1)).copied()
    }

    /// Asks one validator that is known to hold it.
    pub(crate) fn want_from(&mut self, now: Now, want: Want, of: ValidatorIndex, out: &mut Outbox) {
        let key = (want.lane, want.tip);
        let before = self.asked.get(&key).copied();
        if before.is_some_and(|asked| now.monotonic_ms.saturating_sub(asked.at_ms) < self.again_ms) {
            return;
        }
        if self.asked.len() >= MAX_WANTS && before.is_none() {
            self.asked.pop_first();
        }
        let attempts = before.map_or(0, |asked| asked.attempts).wrapping_add(1);
        self.asked.insert(key, Asked { want, at_ms: now.monotonic_ms, attempts });
        let Want { lane, from, to, tip } = want;
        out.ask(of, Request::Bundles { lane, from, to, tip });
    }

    /// Notes that something is missing that may well be under way: asked for if it doesn't come by itself.
    pub(crate) fn want_later(&mut self, now: Now, want: Want) {
        let fresh = Asked { want, at_ms: now.monotonic_ms, attempts: 0 };
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
            if asked.attempts >= MAX_ATTEMPTS {
                self.asked.remove(&(asked.want.lane, asked.want.tip));
            } else {
                self.want(now, asked.want, primary, out);
            }
        }
    }

    /// A bundle came: it isn't asked for any more.
    pub(crate) fn came(&mut self, bundle: &Bundle) {
        self.asked.remove(&(bundle.header.statement.lane, bundle.digest()));
    }
}
