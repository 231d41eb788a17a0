//! What a validator that is far behind decides: whether it needs a snapshot, of which checkpoint, and whom to ask
//! for which part (protocol §8.3, §8.7).
//!
//! Nothing that a peer says of itself is believed: a checkpoint counts by its certificate, a chunk by the root in
//! it, and that the chain is pruned by the word of so many that a correct validator is among them, or by its standing
//! still for long. What is held is bounded: an offer and a question for each peer.

use quorate_consensus::Now;
use quorate_proof::range::{self, RangeFault};
use quorate_types::ids::{Sequence, ValidatorIndex};
use quorate_types::limits::CHUNK_BYTES;
use quorate_types::snapshot::{Checkpoint, Chunk, Span};

use super::marks::{self, TransferMark, after};

#[cfg(test)]
mod tests;

/// A question is given up after so many status intervals, and somebody else is asked.
const PATIENCE_INTERVALS: u64 = 4;

/// A transfer without a single new chunk for so many times a question's patience is given up for a newer
/// checkpoint, if there is one.
const GIVE_UP: u64 = 5;

/// The chain must have stood still for so many status intervals before a transfer begins.
const STANDSTILL_INTERVALS: u64 = 3;

/// One validator that says that it keeps the chain is enough to go on without a transfer, if its turn comes and it
/// is true: that is waited for so many intervals longer.
const ARCHIVE_INTERVALS: u64 = 16;

/// Who has pruned and has no state to hand over says nothing. So where the chain has stood still for so many
/// intervals, one word is enough: what a transfer brings is certified, whoever hands it over.
const LONE_INTERVALS: u64 = 32;

/// A chunk that ends early and holds less than this share of the bound is a slow provider's.
const SHORT: usize = 8;

/// The receiver's part in a transfer.
#[derive(Debug)]
pub(crate) struct Transfer {
    me: ValidatorIndex,
    /// So many of them include a correct one.
    one_correct: usize,
    interval_ms: u64,
    peers: Vec<Peer>,
    /// Where the chain stands, and since when, while others have pruned what follows.
    stands: Option<(Sequence, u64)>,
    /// When everybody was last asked for a checkpoint.
    asked_all_ms: Option<u64>,
    running: Option<Running>,
}

/// What is known of a peer.
#[derive(Debug, Default)]
struct Peer {
    /// The newest checkpoint that it offered.
    offer: Option<Box<Checkpoint>>,
    /// What it was asked for, and when; stays until it answers or is asked for something else.
    question: Option<(Span, u64)>,
    /// The question was given up.
    is_late: bool,
    /// Questions of this transfer that it left open or answered poorly, since its last good chunk.
    failures: u32,
    /// It answered a question for a part with another checkpoint: it doesn't hold this one.
    lacks: bool,
    /// It sent a chunk that isn't whole: not asked again in this transfer.
    has_lied: bool,
    /// Chunks that weren't whole, since the start.
    lies: u64,
}

#[derive(Debug)]
struct Running {
    mark: TransferMark,
    began_ms: u64,
    /// When the last chunk came.
    progress_ms: u64,
}

/// What became of a chunk.
#[derive(Debug)]
pub(crate) enum Taken {
    /// It wasn't asked for, or somebody else was faster.
    Useless,
    /// It isn't whole.
    Lie(RangeFault),
    /// It is kept; the mark is of the transfer after it.
    Kept(Box<TransferMark>),
}

/// What is to be done in a turn.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    /// A transfer of this checkpoint begins.
    pub(crate) begins: Option<TransferMark>,
    /// The transfer of this checkpoint is given up.
    pub(crate) gives_up: Option<Sequence>,
    /// Those who are asked for a checkpoint.
    pub(crate) asks_for_checkpoint: Vec<ValidatorIndex>,
    /// Questions for parts of the checkpoint with this sequence.
    pub(crate) asks: Vec<(ValidatorIndex, Sequence, Span)>,
    /// Those who left a question open.
    pub(crate) silent: Vec<ValidatorIndex>,
}

/// A transfer at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferReport {
    /// The checkpoint.
    pub checkpoint: Sequence,
    /// How much of the snapshot is here, in parts of a million.
    pub done_millionths: u32,
    /// Bytes of entries received.
    pub bytes: u64,
    /// Monotonic time at which it began, or went on after the start.
    pub began_ms: u64,
}

/// How a validator stands, as far as a transfer depends on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation {
    /// The highest delivered sequence.
    pub(crate) tip: Sequence,
    /// The lowest sequence at which the own state is wrong, if it is.
    pub(crate) diverged: Option<Sequence>,
}

impl Transfer {
    /// Goes on with `mark`, if a transfer was under way before the start.
    pub(crate) fn new(
        (me, validators): (ValidatorIndex, usize),
        one_correct: usize,
        interval_ms: u64,
        (mark, now): (Option<TransferMark>, Now),
    ) -> Self {
        let (began_ms, progress_ms) = (now.monotonic_ms, now.monotonic_ms);
        let running = mark.map(|mark| Running { mark, began_ms, progress_ms });
        let peers = (0..validators).map(|_| Peer::default()).collect();
        Self { me, one_correct, interval_ms, peers, stands: None, asked_all_ms: None, running }
    }

    const fn patience_ms(&self) -> u64 {
        self.interval_ms.saturating_mul(PATIENCE_INTERVALS)
    }

    /// The transfer under way.
    pub(crate) fn report(&self) -> Option<TransferReport> {
        self.running.as_ref().map(|Running { mark, began_ms, .. }| TransferReport {
            checkpoint: mark.checkpoint.sequence(),
            done_millionths: 1_000_000_u32.saturating_sub(marks::missing_millionths(&mark.missing)),
            bytes: mark.bytes,
            began_ms: *began_ms,
        })
    }

    /// Chunks of each validator that weren't whole, by index.
    pub(crate) fn lies(&self) -> Vec<u64> {
        self.peers.iter().map(|peer| peer.lies).collect()
    }

    /// A peer says what it can hand over, in answer to a question for that, for the chain, or for a chunk that it
    /// doesn't have.
    pub(crate) fn on_checkpoint(&mut self, from: ValidatorIndex, checkpoint: Box<Checkpoint>) {
        let wanted = self.running.as_ref().map(|running| running.mark.checkpoint.sequence());
        let Some(peer) = self.peers.get_mut(from.position()) else { return };
        // Should an earlier question be meant, the part itself will show that.
        peer.lacks = peer.question.is_some() && wanted.is_some_and(|wanted| wanted != checkpoint.sequence());
        peer.offer = Some(checkpoint);
    }

    /// The highest sequence up to which so many have pruned that a correct validator is among them: everything up to
    /// there is certified, below a stable checkpoint, and can't be had any more.
    pub(crate) fn pruned(&self) -> Sequence {
        let mut pruned: Vec<Sequence> = self.offers().map(|offer| offer.pruned).collect();
        pruned.sort_unstable_by(|one, other| other.cmp(one));
        pruned.get(self.one_correct.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// A chunk came. It is looked at once for each question.
    pub(crate) fn on_chunk(&mut self, now: Now, from: ValidatorIndex, chunk: &Chunk) -> Taken {
        let Some(running) = &mut self.running else { return Taken::Useless };
        let Some(peer) = self.peers.get_mut(from.position()) else { return Taken::Useless };
        let checkpoint = &running.mark.checkpoint;
        let answers = |(span, _): &mut (Span, u64)| {
            chunk.checkpoint == checkpoint.sequence() && chunk.span.from == span.from && chunk.span.to <= span.to
        };
        let Some((asked, _)) = peer.question.take_if(answers) else { return Taken::Useless };
        peer.lacks = false;
        if let Err(fault) = range::verify(chunk, checkpoint.certificate.execution.state_root)
            && !cfg!(mutant = "chunk-unverified")
        {
            peer.has_lied = true;
            peer.lies = peer.lies.saturating_add(1);
            return Taken::Lie(fault);
        }
        let is_short = chunk.span.to < asked.to && chunk.size_bytes() < CHUNK_BYTES / SHORT;
        peer.failures = if is_short { peer.failures.saturating_add(1) } else { 0 };
        let missing = &mut running.mark.missing;
        let Some(at) = missing.iter().position(|part| part.from == chunk.span.from) else { return Taken::Useless };
        match after(&chunk.span.to).filter(|next| *next <= missing[at].to) {
            Some(next) => missing[at].from = next,
            None => drop(missing.remove(at)),
        }
        running.mark.bytes = running.mark.bytes.saturating_add(chunk.size_bytes() as u64);
        running.progress_ms = now.monotonic_ms;
        Taken::Kept(Box::new(running.mark.clone()))
    }

    /// The end of a turn.
    pub(crate) fn on_turn(&mut self, now: Now, situation: Situation) -> Moves {
        let mut moves = Moves::default();
        self.end_if_overtaken(now, situation, &mut moves);
        self.begin_if_needed(now, situation, &mut moves);
        self.ask_on(now, &mut moves);
        moves
    }

    /// The chain has come as far by itself, or nobody has the checkpoint any more and there is a newer one.
    fn end_if_overtaken(&mut self, now: Now, situation: Situation, moves: &mut Moves) {
        let newest = self.offers().map(Checkpoint::sequence).max();
        let give_up_ms = self.patience_ms().saturating_mul(GIVE_UP);
        let Some(running) = &self.running else { return };
        let sequence = running.mark.checkpoint.sequence();
        let is_overtaken = situation.diverged.is_none() && situation.tip >= sequence;
        let is_stuck = now.monotonic_ms.saturating_sub(running.progress_ms) >= give_up_ms;
        let is_gone = self.is_gone();
        if is_overtaken || ((is_stuck || is_gone) && newest > Some(sequence)) {
            moves.gives_up = Some(sequence);
            self.running = None;
            self.forget_questions();
            // What all hold instead they have just said; after a silence their offers are old.
            if !is_gone {
                self.stands = None;
                self.peers.iter_mut().for_each(|peer| peer.offer = None);
            }
        }
    }

    /// All have said that they don't hold the checkpoint, but for those who lied about it.
    fn is_gone(&self) -> bool {
        let others = self.peers.iter().enumerate().filter(|(at, _)| *at != self.me.position());
        let (mut lack, mut all) = (false, true);
        for (_, peer) in others {
            lack |= peer.lacks;
            all &= peer.lacks || peer.has_lied;
        }
        lack && all
    }

    fn forget_questions(&mut self) {
        for peer in &mut self.peers {
            *peer = Peer { offer: peer.offer.take(), lies: peer.lies, ..Peer::default() };
        }
    }

    fn offers(&self) -> impl Iterator<Item = &Checkpoint> {
        self.peers.iter().filter_map(|peer| peer.offer.as_deref())
    }

    /// The newest checkpoint from `least` on that so many offer that one of them is correct, not counting those who
    /// ever lied; where there is none, the one that most offer. So nobody's offer, however new, leads to a transfer
    /// that depends on it alone.
    fn best_offer(&self, least: Sequence) -> Option<&Checkpoint> {
        let honest = |offer: &Checkpoint| {
            let peers = self.peers.iter().filter(|peer| peer.lies == 0);
            peers.filter_map(|peer| peer.offer.as_ref()).filter(|other| other.sequence() == offer.sequence()).count()
        };
        let fit = self.offers().filter(|offer| offer.sequence() >= least);
        fit.max_by_key(|offer| (honest(offer).min(self.one_correct), offer.sequence()))
    }

    /// protocol §8.3: further behind than the others' retention, or with a state that isn't the certified one
    /// (protocol §8.2).
    fn begin_if_needed(&mut self, now: Now, situation: Situation, moves: &mut Moves) {
        if self.running.is_some() {
            return self.ask_all(now, self.patience_ms(), moves);
        }
        let tip = situation.tip;
        let pruned = self.offers().filter(|offer| offer.pruned > tip).count();
        if pruned == 0 && situation.diverged.is_none() {
            self.stands = None;
            return;
        }
        let stands = self.stands.filter(|(at, _)| *at == tip).unwrap_or((tip, now.monotonic_ms));
        self.stands = Some(stands);
        self.ask_all(now, self.interval_ms, moves);
        let is_kept = self.offers().any(|offer| offer.pruned <= tip);
        let needed = if pruned >= self.one_correct { STANDSTILL_INTERVALS } else { LONE_INTERVALS };
        let intervals = needed + if is_kept { ARCHIVE_INTERVALS } else { 0 };
        let is_standing = now.monotonic_ms.saturating_sub(stands.1) >= self.interval_ms.saturating_mul(intervals);
        let is_needed = situation.diverged.is_some() || is_standing;
        let least = situation.diverged.unwrap_or(tip.next());
        let Some(best) = self.best_offer(least).filter(|_| is_needed) else { return };
        let able = self.offers().filter(|offer| offer.sequence() == best.sequence()).count();
        let mark = TransferMark { checkpoint: best.clone(), missing: marks::cut(able), bytes: 0 };
        let (began_ms, progress_ms) = (now.monotonic_ms, now.monotonic_ms);
        self.running = Some(Running { mark: mark.clone(), began_ms, progress_ms });
        self.forget_questions();
        moves.begins = Some(mark);
    }

    /// While a transfer is needed and doesn't go on, everybody who isn't asked for a part is asked what it holds, each
    /// time after a pause.
    fn ask_all(&mut self, now: Now, pause_ms: u64, moves: &mut Moves) {
        let since_ms = |at_ms: u64| now.monotonic_ms.saturating_sub(at_ms);
        let goes_on = self.running.as_ref().is_some_and(|running| since_ms(running.progress_ms) < pause_ms);
        if !goes_on && self.asked_all_ms.is_none_or(|at_ms| since_ms(at_ms) >= pause_ms) {
            self.asked_all_ms = Some(now.monotonic_ms);
            let peers = (0u16..).map(ValidatorIndex).zip(&self.peers);
            let free = peers.filter(|(index, peer)| *index != self.me && peer.question.is_none());
            moves.asks_for_checkpoint.extend(free.map(|(index, _)| index));
        }
    }

    /// Each part that isn't asked for goes to the peer without a question that never lied, has failed least, and was
    /// asked longest ago.
    fn ask_on(&mut self, now: Now, moves: &mut Moves) {
        let patience_ms = self.patience_ms();
        let Some(running) = &self.running else { return };
        let sequence = running.mark.checkpoint.sequence();
        for (index, peer) in (0u16..).map(ValidatorIndex).zip(&mut self.peers) {
            let is_over = |(_, at_ms): (Span, u64)| now.monotonic_ms.saturating_sub(at_ms) >= patience_ms;
            if !peer.is_late && !peer.lacks && peer.question.is_some_and(is_over) {
                peer.is_late = true;
                peer.failures = peer.failures.saturating_add(1);
                moves.silent.push(index);
            }
        }
        let is_asked = |peers: &[Peer], part: &Span| {
            let in_flight = peers.iter().filter(|peer| !peer.is_late && !peer.lacks).filter_map(|peer| peer.question);
            in_flight.into_iter().any(|(span, _)| span.from == part.from)
        };
        for part in &running.mark.missing {
            if is_asked(&self.peers, part) {
                continue;
            }
            let me = self.me.position();
            let is_free = |(at, peer): &(usize, &mut Peer)| {
                *at != me && !peer.has_lied && !peer.lacks && (peer.question.is_none() || peer.is_late)
            };
            let asked_ms = |peer: &Peer| peer.question.map(|(_, at_ms)| at_ms);
            let rank = |(at, peer): &(usize, &mut Peer)| (peer.lies > 0, peer.failures, asked_ms(peer), *at);
            let Some((at, peer)) = self.peers.iter_mut().enumerate().filter(is_free).min_by_key(rank) else { return };
            peer.question = Some((*part, now.monotonic_ms));
            peer.is_late = false;
            moves.asks.extend(u16::try_from(at).ok().map(|at| (ValidatorIndex(at), sequence, *part)));
        }
    }
}
