//! Evidence into the state: whoever keeps a piece that the cluster hasn't judged yet says so in its own lane, until it is
//! judged (accountability §2.2).
//!
//! One piece at a time, and the validators in turn, in an order that the piece's id fixes: mostly the first one's word
//! is enough. No primary can keep it out for long, since every correct validator's lane comes to carry it, and once it
//! is in the state nobody says it again.

use std::collections::BTreeSet;
use std::sync::Arc;

use quorate_consensus::Now;
use quorate_crypto::{Digest, PublicKey};
use quorate_dag::Intake;
use quorate_types::codec::Canonical;
use quorate_types::evidence::{Conviction, Evidence};
use quorate_types::ids::BlockTime;
use quorate_types::operation::{OperationBuilder, SystemChange};

use crate::replica::Replica;

/// Status intervals that the next validator leaves to the one before it: a few commits.
const TURN_INTERVALS: u64 = 4;
/// A piece that was said is said again after so many status intervals, then after twice as many, and so on.
const AGAIN_INTERVALS: u64 = 16;
/// The interval is doubled so often at most.
const DOUBLINGS: u32 = 6;
/// How long the word may travel, in block time.
const LIFETIME_MS: u64 = 600_000;

/// A piece of evidence against the owner of a key.
pub(crate) type Piece = (Digest, PublicKey, Arc<Evidence>);

/// What this validator has to say against others.
#[derive(Debug, Default)]
pub(crate) struct Accusing {
    /// What the state holds, by key and kind.
    settled: BTreeSet<(PublicKey, u8)>,
    /// What this validator keeps of the epoch before: indices mean others now.
    before: Vec<Piece>,
    /// Pieces that no bundle can hold.
    too_large: BTreeSet<Digest>,
    /// The piece that is said now, until the state holds it.
    subject: Option<Digest>,
    /// When it is said next, by the monotonic clock.
    due_ms: u64,
    /// How often it was said.
    rounds: u32,
}

impl Accusing {
    pub(crate) fn new(convictions: &[Conviction], before: Vec<Piece>) -> Self {
        let settled = convictions.iter().map(|conviction| (conviction.convicted, conviction.kind)).collect();
        Self { settled, before, ..Self::default() }
    }

    /// The state holds it.
    pub(crate) fn settle(&mut self, conviction: &Conviction) {
        self.settled.insert((conviction.convicted, conviction.kind));
    }

    fn is_open(&self, (id, key, evidence): &Piece) -> bool {
        evidence.is_ordered() && !self.settled.contains(&(*key, evidence.code())) && !self.too_large.contains(id)
    }
}

impl Replica {
    /// The first piece of evidence kept here, by id, that could stand in the state and doesn't.
    #[must_use]
    pub fn unjudged_evidence(&self) -> Option<Digest> {
        self.next_to_accuse().map(|(id, ..)| id)
    }

    /// The first piece, by id, that the state lacks.
    fn next_to_accuse(&self) -> Option<Piece> {
        let piece = |(id, evidence): (&Digest, &Arc<Evidence>)| {
            let accused = self.context.set.validator(evidence.validator()?)?;
            Some((*id, accused.consensus_key, Arc::clone(evidence)))
        };
        let present = self.ledger.all().filter_map(piece);
        let open = self.accusing.before.iter().cloned().chain(present).filter(|piece| self.accusing.is_open(piece));
        open.min_by_key(|(id, ..)| *id)
    }

    /// The end of a turn: what the state lacks is put into the own lane, now and again.
    pub(crate) fn accuse_others(&mut self, now: Now) {
        if !self.standing.signs() {
            return;
        }
        let Some((id, _, evidence)) = self.next_to_accuse() else {
            self.accusing.subject = None;
            return;
        };
        let interval_ms = u64::from(self.context.parameters.status_interval_ms);
        if self.accusing.subject != Some(id) {
            let turn = TURN_INTERVALS.saturating_mul(self.turn_of(&id));
            let due_ms = now.monotonic_ms.saturating_add(turn.saturating_mul(interval_ms));
            (self.accusing.subject, self.accusing.due_ms, self.accusing.rounds) = (Some(id), due_ms, 0);
        }
        if now.monotonic_ms < self.accusing.due_ms {
            return;
        }
        let wait = match self.say_evidence(now, &evidence) {
            Some(Intake::TooLarge) => {
                self.accusing.too_large.insert(id);
                return;
            }
            Some(Intake::Taken | Intake::Known) => {
                self.accusing.rounds = self.accusing.rounds.saturating_add(1);
                AGAIN_INTERVALS << self.accusing.rounds.saturating_sub(1).min(DOUBLINGS)
            }
            // Own clients have filled the pool; a bundle makes room.
            Some(Intake::Full) | None => 1,
        };
        self.accusing.due_ms = now.monotonic_ms.saturating_add(wait.saturating_mul(interval_ms));
    }

    /// How many validators come before this one with a piece.
    fn turn_of(&self, id: &Digest) -> u64 {
        let size = self.context.set.size().max(1);
        let first = usize::from(id.as_bytes()[0]) % size;
        ((self.me.position() + size - first) % size) as u64
    }

    /// A word for the own lane; another one each time, because an operation that was rejected never executes again.
    fn say_evidence(&mut self, now: Now, evidence: &Evidence) -> Option<Intake> {
        let key = self.context.set.validator(self.me)?.consensus_key;
        let block_time = self.core.tip().time.0.max(now.wall_ms);
        let lifetime_ms = LIFETIME_MS.min(u64::from(self.context.parameters.max_lifetime_ms) / 2);
        let expires_at = BlockTime(block_time.saturating_add(lifetime_ms));
        let builder = OperationBuilder::new(self.context.cluster, key, 0, expires_at);
        let word = SystemChange::Accuse(evidence.to_bytes().into());
        let operation = self.guard.own_word(builder, &word)?;
        if operation.admit(&self.context.parameters, &self.context.cluster).is_err() {
            return Some(Intake::TooLarge);
        }
        Some(self.lanes.submit(Arc::new(operation)))
    }
}
