//! Giving bundles and answers to few.

use std::collections::BTreeMap;

use quorate_types::message::Message;

use super::{Behaviour, Letters, Stage};

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
