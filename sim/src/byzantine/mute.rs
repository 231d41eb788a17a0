//! Saying nothing at all, in spells.

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

/// Says nothing, ever.
#[derive(Debug)]
pub(super) struct Silent;

impl Behaviour for Silent {
    fn send(&mut self, _: &mut Stage<'_>, _: u16, _: Message, _: &mut Letters) {}
}
