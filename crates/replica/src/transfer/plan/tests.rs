//! Whom it asks, for which checkpoint, and what it makes of the answers (protocol §8.7).

use quorate_crypto::Digest;
use quorate_types::execution::{Execution, ExecutionCertificate};
use quorate_types::ids::{BlockTime, Epoch};
use quorate_types::proposal::{Payload, Proposal};
use quorate_types::snapshot::{Entry, HIGHEST};
use quorate_types::sparse::SparsePath;

use super::*;

const INTERVAL_MS: u64 = 100;

/// Where the receiver stands: far below what the others have pruned.
const BEHIND: Situation = Situation { tip: Sequence(5), diverged: None };

/// The last of four validators, and the time.
struct Receiver {
    transfer: Transfer,
    ms: u64,
}

impl Receiver {
    fn new() -> Self {
        let now = Now { monotonic_ms: 0, wall_ms: 0 };
        Self { transfer: Transfer::new((ValidatorIndex(3), 4), 2, INTERVAL_MS, (None, now)), ms: 0 }
    }

    const fn now(&self) -> Now {
        Now { monotonic_ms: self.ms, wall_ms: 0 }
    }

    /// A validator says what it holds.
    fn offered(&mut self, from: u16, sequence: u64) {
        let sequence = Sequence(sequence);
        let (proposal, state_root, receipts_root) = (Digest::ZERO, Digest::ZERO, Digest::ZERO);
        let execution = Execution { epoch: Epoch(0), sequence, proposal, state_root, receipts_root };
        let certificate = ExecutionCertificate { execution, signatures: Vec::new() };
        let (parent, time, payload) = (Digest::ZERO, BlockTime(0), Payload { tips: Vec::new() });
        let proposal = Proposal { epoch: Epoch(0), sequence, parent, time, payload };
        let checkpoint = Checkpoint { certificate, proposal, pruned: Sequence(50) };
        self.transfer.on_checkpoint(ValidatorIndex(from), Box::new(checkpoint));
    }

    /// A validator answers with what isn't the state.
    fn lied_to(&mut self, from: u16, (_, checkpoint, span): (ValidatorIndex, Sequence, Span)) {
        let path = || SparsePath { end: None, siblings: Vec::new() };
        let entries = vec![Entry { key: vec![1], value: vec![from as u8] }];
        let chunk = Chunk { checkpoint, span, entries, first: path(), last: path() };
        let taken = self.transfer.on_chunk(self.now(), ValidatorIndex(from), &chunk);
        assert!(matches!(taken, Taken::Lie(_)), "{taken:?}");
    }

    /// The end of a turn, so much later.
    fn turn(&mut self, ms: u64) -> Moves {
        self.ms += ms;
        self.transfer.on_turn(self.now(), BEHIND)
    }

    /// A transfer that has begun, with what is asked first.
    fn begun(offers: [(u16, u64); 3]) -> (Self, Moves) {
        let mut receiver = Self::new();
        offers.into_iter().for_each(|(from, sequence)| receiver.offered(from, sequence));
        assert!(receiver.turn(1).begins.is_none(), "the chain must stand still for a while");
        let moves = receiver.turn(STANDSTILL_INTERVALS * INTERVAL_MS);
        assert!(moves.begins.is_some());
        (receiver, moves)
    }
}

fn begins(moves: &Moves) -> Option<u64> {
    moves.begins.as_ref().map(|mark| mark.checkpoint.sequence().0)
}

/// protocol §8.7: whoever leads its own order of checkpoints doesn't make others depend on it.
#[test]
fn the_newest_that_enough_offer_is_taken() {
    assert_eq!(begins(&Receiver::begun([(0, 300), (1, 200), (2, 200)]).1), Some(200));
    assert_eq!(begins(&Receiver::begun([(0, 300), (1, 300), (2, 200)]).1), Some(300));
    assert_eq!(begins(&Receiver::begun([(0, 300), (1, 200), (2, 100)]).1), Some(300), "no two offer the same");
}

/// protocol §8.7: the next one is asked at once, nobody is called silent, and what all hold instead is taken.
#[test]
fn a_checkpoint_that_all_have_let_go_is_left_at_once() {
    let (mut receiver, moves) = Receiver::begun([(0, 200), (1, 200), (2, 200)]);
    assert_eq!(moves.asks.len(), 3);
    for from in [0, 1] {
        receiver.offered(from, 300);
        let moves = receiver.turn(1);
        assert!(moves.asks.is_empty() && moves.gives_up.is_none(), "the last one is asked for a part already");
    }
    receiver.offered(2, 300);
    let moves = receiver.turn(1);
    assert_eq!((moves.gives_up, begins(&moves), moves.asks.len()), (Some(Sequence(200)), Some(300), 3));
    assert_eq!(moves.silent, []);
}

/// protocol §8.7: a slow one may still hold it.
#[test]
fn who_has_not_answered_is_waited_for() {
    let (mut receiver, _) = Receiver::begun([(0, 200), (1, 200), (2, 200)]);
    receiver.offered(0, 300);
    receiver.offered(1, 300);
    let mut asked = 0;
    let until_ms = receiver.ms + GIVE_UP * PATIENCE_INTERVALS * INTERVAL_MS;
    while receiver.ms < until_ms - 10 {
        let moves = receiver.turn(10);
        assert!(moves.gives_up.is_none(), "at {} ms", receiver.ms);
        assert!(moves.asks.iter().all(|(of, ..)| *of == ValidatorIndex(2)), "{:?}", moves.asks);
        asked += moves.asks.len();
    }
    assert!((1..=2 * GIVE_UP as usize).contains(&asked), "once in each patience: {asked}");
    let moves = receiver.turn(10);
    assert_eq!((moves.gives_up, begins(&moves)), (Some(Sequence(200)), None), "old offers lead nowhere");
    receiver.offered(0, 400);
    receiver.offered(1, 400);
    receiver.turn(10);
    assert_eq!(begins(&receiver.turn(STANDSTILL_INTERVALS * INTERVAL_MS)), Some(400));
}

/// protocol §8.7: the part itself shows that it is held after all.
#[test]
fn an_answer_to_an_earlier_question_excludes_nobody() {
    let (mut receiver, moves) = Receiver::begun([(0, 200), (1, 200), (2, 200)]);
    receiver.offered(0, 300);
    let of_first = moves.asks.into_iter().find(|(of, ..)| *of == ValidatorIndex(0)).unwrap();
    receiver.lied_to(0, of_first);
    assert_eq!(receiver.transfer.lies(), [1, 0, 0, 0], "it is looked at");
}

/// protocol §8.7: who lied is asked last, and what it offers counts for nothing beside what others offer.
#[test]
fn a_liar_does_not_choose_the_next_checkpoint() {
    let (mut receiver, moves) = Receiver::begun([(0, 200), (1, 200), (2, 200)]);
    let of_first = moves.asks.into_iter().find(|(of, ..)| *of == ValidatorIndex(0)).unwrap();
    receiver.lied_to(0, of_first);
    receiver.offered(1, 300);
    receiver.offered(2, 400);
    receiver.offered(0, 400);
    let moves = receiver.turn(1);
    assert_eq!((moves.gives_up, begins(&moves)), (Some(Sequence(200)), Some(400)), "one that is honest, too, has it");
    assert_eq!(moves.asks[0].0, ValidatorIndex(1));
    assert!(moves.asks.iter().all(|(of, ..)| *of != ValidatorIndex(0)), "{:?}", moves.asks);
    assert_eq!(moves.asks[0].2.to == HIGHEST, moves.asks.len() == 1);
}

/// protocol §8.3: the others may have pruned as well, and have nothing to hand over after a restart.
#[test]
fn one_offer_is_enough_when_the_chain_has_stood_still_for_long() {
    let mut receiver = Receiver::new();
    receiver.offered(1, 200);
    receiver.turn(1);
    assert!(receiver.turn(LONE_INTERVALS * INTERVAL_MS - 1).begins.is_none());
    assert_eq!(begins(&receiver.turn(1)), Some(200));
    let mut receiver = Receiver::new();
    receiver.offered(1, 200);
    receiver.turn(1);
    let moved = Situation { tip: Sequence(6), ..BEHIND };
    receiver.ms += LONE_INTERVALS * INTERVAL_MS;
    assert!(receiver.transfer.on_turn(receiver.now(), moved).begins.is_none(), "the chain has gone on");
}
