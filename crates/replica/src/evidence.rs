//! Evidence: found in what arrives, kept durably, and given to all, whoever leads (accountability §3).
//!
//! What is found is judged once more by the pure function that everyone uses; only what holds is kept. Each peer is
//! offered what it hasn't said it keeps, a few pieces at a time and ever more rarely while it doesn't answer, so that an
//! idle cluster comes to rest and nobody has to be believed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quorate_accountability::Noted;
use quorate_consensus::Now;
use quorate_crypto::Digest;
use quorate_types::contradiction::Contradiction;
use quorate_types::evidence::Evidence;
use quorate_types::ids::ValidatorIndex;
use quorate_types::message::Message;

use crate::outbox::{Notice, Outbox};
use crate::records;
use crate::replica::Replica;
use crate::standing::Quarantine;

/// Pieces offered to a peer at once.
const OFFERED_AT_ONCE: usize = 4;
/// A peer that doesn't answer is offered less and less often, down to once in so many intervals.
const MAX_INTERVALS: u64 = 64;

/// What a peer has been offered.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    /// What it keeps, or has no room for, as it said.
    settled: BTreeSet<Digest>,
    /// Not before then again, by the monotonic clock.
    next_ms: u64,
    /// Intervals until the next offer.
    wait: u64,
}

/// The offers to all peers.
pub(crate) type Spread = BTreeMap<ValidatorIndex, Offers>;

impl Replica {
    /// Looks at a message that was let in, before anything else happens with it.
    pub(crate) fn watch_message(&mut self, message: &Message, out: &mut Outbox) {
        let mut found = Vec::new();
        self.watch.stands_at(self.core.view(), self.core.stable());
        self.watch.on_message(message, &mut found);
        found.into_iter().for_each(|evidence| self.keep_found(evidence, out));
    }

    /// A contradiction that core or lanes came upon (accountability §1.2).
    pub(crate) fn note_contradiction(&mut self, pair: Contradiction, out: &mut Outbox) {
        let set = Arc::clone(&self.context.set);
        self.keep_found(Evidence::of_pair(pair, |epoch, view| set.primary(epoch, view)), out);
    }

    /// Nothing is kept that wouldn't convince another (accountability §1.7).
    pub(crate) fn keep_found(&mut self, evidence: Evidence, out: &mut Outbox) {
        if evidence.verify(&self.context).is_ok() {
            self.keep_evidence(evidence, out);
        }
    }

    /// Evidence from another validator, or from a client of this one, judged at the door.
    pub(crate) fn on_evidence(&mut self, from: ValidatorIndex, evidence: Evidence, out: &mut Outbox) {
        let id = evidence.id();
        self.keep_evidence(evidence, out);
        if from == self.me {
            return;
        }
        // The sender keeps it. What isn't kept here is never offered, and nothing is remembered of it: a peer may have
        // any number of it.
        self.on_evidence_held(from, id);
        // Whether there was room for it or not, it needn't be offered again.
        out.send(from, Message::EvidenceHeld(id));
    }

    /// A peer keeps it, or never will.
    pub(crate) fn on_evidence_held(&mut self, from: ValidatorIndex, id: Digest) {
        if self.ledger.with_id(&id).is_some() {
            let offers = self.spread.entry(from).or_default();
            offers.settled.insert(id);
            (offers.wait, offers.next_ms) = (0, 0);
        }
    }

    /// accountability §3.1: each place once, bounded per signer and kind, durable with this turn.
    fn keep_evidence(&mut self, evidence: Evidence, out: &mut Outbox) {
        // A wrong result of this validator's own is found, and repaired, by itself (protocol §8.2).
        let is_another_self = !matches!(evidence, Evidence::Diverged(_));
        if evidence.validator() == Some(self.me) && is_another_self && !self.overlooks_own_key {
            self.quarantine(Quarantine::KeyUsedElsewhere { what: evidence.kind() }, out);
        }
        let evidence = Arc::new(evidence);
        if self.ledger.note(&evidence) == Noted::New {
            let id = evidence.id();
            records::evidence(&id).put(&mut out.records, &evidence);
            out.notices.push(Notice::Evidence(id, evidence));
        }
    }

    /// A peer has spoken: it is offered what it isn't known to keep.
    pub(crate) fn offer_evidence(&mut self, now: Now, to: ValidatorIndex, out: &mut Outbox) {
        if self.ledger.kept() == 0 {
            return;
        }
        let interval_ms = u64::from(self.context.parameters.status_interval_ms);
        let offers = self.spread.entry(to).or_default();
        if now.monotonic_ms < offers.next_ms {
            return;
        }
        let lacking = self.ledger.all().filter(|(id, _)| !offers.settled.contains(*id)).take(OFFERED_AT_ONCE);
        let lacking: Vec<Message> =
            lacking.map(|(_, evidence)| Message::Evidence(Box::new(evidence.as_ref().clone()))).collect();
        if lacking.is_empty() {
            return;
        }
        lacking.into_iter().for_each(|evidence| out.send(to, evidence));
        offers.wait = offers.wait.saturating_mul(2).clamp(1, MAX_INTERVALS);
        offers.next_ms = now.monotonic_ms.saturating_add(offers.wait.saturating_mul(interval_ms));
    }

    /// The evidence kept, by id.
    pub fn evidence(&self) -> impl Iterator<Item = (&Digest, &Arc<Evidence>)> {
        self.ledger.all()
    }
}
