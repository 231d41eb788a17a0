//! Linearizable reads: freshness rounds of this validator's clients, and statements for others' (data-model
//! §§5.3, 5.4).
//!
//! The shell makes the nonce and waits for [`Notice::Fresh`]; what it does with the result, waiting for a
//! certified state at or above it (data-model §5.5), is its own. A round that isn't answered in time is asked
//! for again with every status, and dropped when newer ones push it out.

use quorate_types::freshness::{Freshness, FreshnessAnswer, Nonce, Round};
use quorate_types::ids::{Sequence, ValidatorIndex};
use quorate_types::message::{Message, Request};

use crate::outbox::{Notice, Outbox};
use crate::replica::Replica;

/// Rounds under way at once. The shell lets all reads that wait share the next one, so there are few.
const MAX_ROUNDS: usize = 8;

impl Replica {
    /// Begins a round for own clients.
    pub(crate) fn begin_round(&mut self, nonce: Nonce, out: &mut Outbox) {
        let mut round = Round::new(nonce, self.context.quorum());
        if self.standing.signs() {
            let committed = self.core.highest_commit().map_or(Sequence::ZERO, |commit| commit.claim.sequence);
            round.hear(&Freshness { epoch: self.context.epoch, nonce, committed, validator: self.me });
        }
        if let Some(sequence) = round.result() {
            out.notices.push(Notice::Fresh { nonce, sequence });
            return;
        }
        self.ask_for_freshness(&round, out);
        self.rounds.push_back(round);
        if self.rounds.len() > MAX_ROUNDS {
            self.rounds.pop_front();
        }
    }

    /// This validator's statement over somebody's nonce; nothing while it doesn't sign. It leaves after the
    /// turn's records are durable, the certificate that it speaks of among them.
    pub(crate) fn state_freshness(&mut self, nonce: Nonce) -> Option<FreshnessAnswer> {
        if !self.standing.signs() {
            return None;
        }
        let certificate = self.core.highest_commit().cloned();
        let committed = certificate.as_ref().map_or(Sequence::ZERO, |commit| commit.claim.sequence);
        // What was delivered is certified; should that ever not hold, silence is safe and a low claim is not.
        // Where nothing was committed in the epoch, its start stands for that, as in a view change (protocol §2.6).
        if committed.max(self.context.start.0) < self.core.tip().sequence {
            return None;
        }
        let statement = Freshness { epoch: self.context.epoch, nonce, committed, validator: self.me };
        Some(FreshnessAnswer { signed: self.guard.freshness(statement), certificate })
    }

    /// A peer asks for its own clients.
    pub(crate) fn answer_freshness(&mut self, from: ValidatorIndex, nonce: Nonce, out: &mut Outbox) {
        if let Some(answer) = self.state_freshness(nonce) {
            out.send(from, Message::Freshness(Box::new(answer)));
        }
    }

    /// A statement that was asked for.
    pub(crate) fn on_freshness(&mut self, answer: &FreshnessAnswer, out: &mut Outbox) {
        let statement = &answer.signed.statement;
        let Some(at) = self.rounds.iter().position(|round| *round.nonce() == statement.nonce) else { return };
        self.rounds[at].hear(statement);
        if let Some(sequence) = self.rounds[at].result() {
            self.rounds.remove(at);
            out.notices.push(Notice::Fresh { nonce: statement.nonce, sequence });
        }
    }

    /// Questions and answers may have been lost.
    pub(crate) fn ask_again(&self, out: &mut Outbox) {
        self.rounds.iter().for_each(|round| self.ask_for_freshness(round, out));
    }

    fn ask_for_freshness(&self, round: &Round, out: &mut Outbox) {
        for (peer, _) in self.context.set.iter() {
            if peer != self.me && !round.has_heard(peer) {
                out.ask(peer, Request::Freshness(*round.nonce()));
            }
        }
    }
}
