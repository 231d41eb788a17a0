//! Answers to those who catch up: broken, cut short, of other things, late or never.

use std::sync::Arc;

use quorate_types::message::{Message, Segment};

use super::{Behaviour, Letters, Stage};

/// Answers with something else than what was asked for.
#[derive(Debug)]
pub(super) struct CorruptAnswers;

impl Behaviour for CorruptAnswers {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        let corrupt = stage.dice.chance(700);
        match message {
            Message::Segment(segment) if corrupt => out.push((to, Message::Segment(Box::new(broken(stage, *segment))))),
            Message::Proposal(mut proposal) if corrupt => {
                proposal.time = proposal.time.next();
                out.push((to, Message::Proposal(proposal)));
            }
            Message::Bundle(bundle) if corrupt && bundle.header.signer() != stage.index() => {
                let mut bundle = (*bundle).clone();
                bundle.operations.pop();
                out.push((to, Message::Bundle(Arc::new(bundle))));
            }
            Message::ExecutionCertificate(mut certificate) if corrupt => {
                certificate.execution.sequence = certificate.execution.sequence.next();
                out.push((to, Message::ExecutionCertificate(certificate)));
            }
            other => out.push((to, other)),
        }
    }
}

fn broken(stage: &mut Stage<'_>, mut segment: Segment) -> Segment {
    let count = segment.proposals.len();
    match stage.dice.below(5) {
        // A link is missing.
        0 => {
            segment.proposals.remove(stage.dice.index(count));
        }
        // The end is missing: the certificate proves something else.
        1 => {
            segment.proposals.pop();
        }
        2 => segment.proposals.reverse(),
        3 => {
            if let Some(first) = segment.proposals.first_mut() {
                first.payload.tips.clear();
            }
        }
        _ => segment.certificate.signatures.truncate(1),
    }
    segment
}

/// Answers after longer than anyone should wait, or never.
#[derive(Debug)]
pub(super) struct StallAnswers;

impl Behaviour for StallAnswers {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        let is_answer = match &message {
            Message::Segment(_) | Message::Proposal(_) | Message::ExecutionCertificate(_) => true,
            Message::Bundle(bundle) => bundle.header.signer() != stage.index(),
            _ => false,
        };
        match (is_answer, stage.dice.chance(500)) {
            (true, true) => {}
            (true, false) => out.push_late(to, message, stage.dice.range(500, 5_000)),
            (false, _) => out.push((to, message)),
        }
    }
}
