//! Attempts to have others accused, and to drown everybody in evidence.

use quorate_crypto::sha256;
use quorate_types::evidence::{Evidence, in_order};
use quorate_types::ids::{Sequence, ValidatorIndex, View};
use quorate_types::message::Message;
use quorate_types::signed::Signed;
use quorate_types::vote::{Phase, Vote};

use super::{Behaviour, Letters, Stage};

/// Makes evidence against correct validators: of their true votes beside altered ones, and of votes signed by itself
/// in their name.
#[derive(Debug)]
pub(super) struct ForgedEvidence;

impl Behaviour for ForgedEvidence {
    fn tick(&mut self, stage: &mut Stage<'_>, out: &mut Letters) {
        let count = stage.pool.votes().len() as u64;
        if count == 0 || !stage.dice.chance(300) {
            return;
        }
        let index = usize::try_from(stage.dice.below(count)).unwrap_or(0);
        let Some(held) = stage.pool.votes().get(index).copied() else { return };
        if stage.byzantine.contains(&held.signer().0) {
            return;
        }
        let digest = sha256(&[b"framed", held.statement.digest.as_bytes()]);
        let altered = Vote { digest, ..held.statement };
        let altered = match stage.dice.below(2) {
            0 => Signed { statement: altered, ..held },
            _ => stage.sign(altered),
        };
        let (first, second) = in_order((held, altered));
        let evidence = match stage.dice.below(2) {
            0 => Evidence::ConflictingVotes(first, second),
            _ => Evidence::ConflictingProposals(first, second),
        };
        stage.to_all(&Message::Evidence(Box::new(evidence)), out);
    }
}

/// Signs contradictions at ever new places and sends each as evidence against itself.
#[derive(Debug, Default)]
pub(super) struct EvidenceFlood {
    sequence: u64,
}

impl Behaviour for EvidenceFlood {
    fn tick(&mut self, stage: &mut Stage<'_>, out: &mut Letters) {
        self.sequence += 1;
        let vote = |choice: &[u8]| Vote {
            epoch: stage.context.epoch,
            view: View(0),
            sequence: Sequence(self.sequence),
            digest: sha256(&[choice]),
            phase: Phase::Commit,
            validator: ValidatorIndex(stage.me),
        };
        let (first, second) = in_order((stage.sign(vote(b"a")), stage.sign(vote(b"b"))));
        stage.to_all(&Message::Evidence(Box::new(Evidence::ConflictingVotes(first, second))), out);
    }
}
