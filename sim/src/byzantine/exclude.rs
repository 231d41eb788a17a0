//! A primary that keeps backups in the dark, for ever the same ones, as many as a quorum can do without.

use quorate_types::message::Message;

use super::{Behaviour, Letters, Stage};

/// Tells the last few correct validators nothing about what is ordered.
#[derive(Debug)]
pub(super) struct Exclude;

impl Behaviour for Exclude {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        let spare = usize::from(stage.size()).saturating_sub(stage.context.quorum().quorum());
        let in_the_dark = stage.correct().into_iter().rev().take(spare).any(|other| other == to);
        let orders = matches!(
            message,
            Message::PrePrepare(_)
                | Message::Vote(_)
                | Message::Certificate(_)
                | Message::Proposal(_)
                | Message::Segment(_)
                | Message::NewView(_)
        );
        if !(in_the_dark && orders) {
            out.push((to, message));
        }
    }
}
