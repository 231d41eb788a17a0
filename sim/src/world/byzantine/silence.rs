//! Saying less than one should: nothing at all in spells, nothing to some, no bundles and answers.

use std::collections::BTreeMap;

use quorate_types::message::Message;

use super::{Behaviour, Letters, Stage};

/// Says nothing, in spells.
#[derive(Debug, Default)]
pub(super) struct Mute {
    is_mute: bool,
}

impl Behaviour for Mute {
    fn send(&mut self, _: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        if !self.is_mute {
            out.push((to, message));
        }
    }

    fn tick(&mut self, stage: &mut Stage<'_>, _: &mut Letters) {
        if stage.dice.chance(80) {
            self.is_mute = !self.is_mute;
        }
    }
}

/// Says nothing to some, and changes its mind about whom.
#[derive(Debug, Default)]
pub(super) struct Selective {
    shunned: Vec<u16>,
}

impl Behaviour for Selective {
    fn send(&mut self, _: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        if !self.shunned.contains(&to) {
            out.push((to, message));
        }
    }

    fn tick(&mut self, stage: &mut Stage<'_>, _: &mut Letters) {
        if stage.dice.chance(60) {
            self.shunned = stage.some();
        }
    }
}

/// Gives each bundle, and each answer, to few or none.
#[derive(Debug, Default)]
pub(super) struct Withhold {
    /// Who gets a bundle; decided once for each.
    given: BTreeMap<quorate_crypto::Digest, Vec<u16>>,
}

impl Behaviour for Withhold {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        let digest = match &message {
            Message::Bundle(bundle) => bundle.digest(),
            Message::Proposal(proposal) => proposal.digest(),
            Message::Segment(_) => return,
            _ => {
                out.push((to, message));
                return;
            }
        };
        let given = self.given.entry(digest).or_insert_with(|| stage.some());
        if given.contains(&to) {
            out.push((to, message));
        }
        if self.given.len() > 256 {
            self.given.pop_first();
        }
    }
}
