//! Certificates of too few votes, of one signer repeated, of votes mixed from two views, phases or digests.

use quorate_crypto::Signature;
use quorate_types::ids::ValidatorIndex;
use quorate_types::message::{Message, Segment};
use quorate_types::proposal::{Payload, Proposal};
use quorate_types::vote::{Certificate, Claim, Phase, Vote};

use super::{Behaviour, Letters, Stage};

/// Forges certificates.
#[derive(Debug)]
pub(super) struct ForgedCertificates;

impl Behaviour for ForgedCertificates {
    fn tick(&mut self, stage: &mut Stage<'_>, out: &mut Letters) {
        if !stage.dice.chance(400) {
            return;
        }
        let Some(newest) = stage.pool.newest_proposal().cloned() else { return };
        let invented = Proposal {
            sequence: newest.sequence.next(),
            parent: newest.digest(),
            time: newest.time.plus(stage.dice.range(1, 200)),
            payload: Payload::default(),
            ..newest
        };
        let phase = if stage.dice.chance(300) { Phase::Prepare } else { Phase::Commit };
        let claim = Claim { view: stage.pool.view(), sequence: invented.sequence, digest: invented.digest() };
        let certificate =
            Certificate { phase, epoch: stage.context.epoch, claim, signatures: signatures(stage, claim, phase) };
        stage.to_some(&Message::Certificate(certificate.clone()), out);
        let segment = Segment { proposals: vec![invented], certificate };
        stage.to_some(&Message::Segment(Box::new(segment)), out);
    }
}

/// As many signatures as a quorum has, by hook or by crook.
fn signatures(stage: &mut Stage<'_>, claim: Claim, phase: Phase) -> Vec<(ValidatorIndex, Signature)> {
    let quorum = stage.context.quorum().quorum();
    let epoch = stage.context.epoch;
    let trick = stage.dice.below(3);
    let sign = |validator: ValidatorIndex| {
        let Claim { view, sequence, digest } = claim;
        stage.sign(Vote { epoch, view, sequence, digest, phase, validator }).signature
    };
    let own = (stage.index(), sign(stage.index()));
    match trick {
        // One signer, again and again.
        0 => vec![own; quorum],
        // Others' signatures under something else.
        1 => {
            let others = stage.pool.votes().iter().rev().map(|vote| (vote.signer(), vote.signature));
            let mut mixed: Vec<_> = others.chain([own]).collect();
            mixed.sort_unstable();
            mixed.dedup_by_key(|(signer, _)| *signer);
            mixed.truncate(quorum);
            mixed
        }
        // Only the Byzantine ones', too few.
        _ => stage.byzantine.iter().map(|index| (ValidatorIndex(*index), sign(ValidatorIndex(*index)))).collect(),
    }
}
