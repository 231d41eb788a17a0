//! Proposals, properly signed, that no correct backup may accept.

use quorate_crypto::sha256;
use quorate_types::ids::{BlockTime, BundleNumber, Epoch, Sequence, ValidatorIndex};
use quorate_types::message::Message;
use quorate_types::proposal::{LaneTip, PrePrepare, Proposal};
use quorate_types::vote::Vote;

use super::{Behaviour, Letters, Stage};

/// Proposes against the rules, beside the true proposal or instead of it.
#[derive(Debug)]
pub(super) struct InvalidProposals;

impl Behaviour for InvalidProposals {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        let Message::PrePrepare(PrePrepare { proposal, vote }) = &message else {
            out.push((to, message));
            return;
        };
        if vote.signer() != stage.index() || !stage.dice.chance(400) {
            out.push((to, message));
            return;
        }
        let mut wrong = proposal.clone();
        spoil(stage, &mut wrong);
        let Vote { view, phase, validator, .. } = vote.statement;
        let vote =
            Vote { epoch: wrong.epoch, view, sequence: wrong.sequence, digest: wrong.digest(), phase, validator };
        let spoiled = Message::PrePrepare(PrePrepare { vote: stage.sign(vote), proposal: wrong });
        out.push((to, spoiled));
        if stage.dice.chance(500) {
            out.push((to, message));
        }
    }
}

/// Breaks one rule.
fn spoil(stage: &mut Stage<'_>, proposal: &mut Proposal) {
    let nobody = LaneTip { lane: ValidatorIndex(stage.size()), number: BundleNumber(1), digest: proposal.parent };
    match stage.dice.below(9) {
        // Far ahead of every clock, and before its parent.
        0 => proposal.time = proposal.time.plus(u64::from(stage.context.parameters.drift_ms) * 10),
        1 => proposal.time = BlockTime(0),
        // A parent that nobody knows.
        2 => proposal.parent = sha256(&[b"no proposal", proposal.parent.as_bytes()]),
        // A gap, and the end of all numbers.
        3 => proposal.sequence = proposal.sequence.plus(stage.dice.range(1, 3)),
        4 => proposal.sequence = Sequence(u64::MAX),
        // Another epoch.
        5 => proposal.epoch = Epoch(proposal.epoch.0 + 1),
        // A lane of nobody, a lane named twice, a bundle that nobody has.
        6 => proposal.payload.tips.push(nobody),
        7 => {
            if let Some(tip) = proposal.payload.tips.first().copied() {
                proposal.payload.tips.push(tip);
            }
        }
        _ => {
            let lane = ValidatorIndex(u16::try_from(stage.dice.below(stage.size().into())).unwrap_or(0));
            let digest = sha256(&[b"no bundle", proposal.parent.as_bytes()]);
            let tip = LaneTip { lane, number: BundleNumber(stage.dice.range(1, 50)), digest };
            proposal.payload.tips = vec![tip];
        }
    }
}
