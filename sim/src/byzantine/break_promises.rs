//! A gateway that says yes and does nothing.

use quorate_types::ids::{BundleNumber, OperationId};
use quorate_types::message::Message;
use quorate_types::operation::Operation;
use quorate_types::promise::Promise;
use quorate_types::signed::Signed;

use super::{Behaviour, Letters, Stage};

/// Drops every other operation, and promises it a place in the next bundle.
#[derive(Debug, Default)]
pub(super) struct BreakPromises {
    /// The highest bundle made.
    made: BundleNumber,
    dropped: Option<OperationId>,
}

impl Behaviour for BreakPromises {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        if let Message::Bundle(bundle) = &message
            && bundle.header.signer() == stage.index()
        {
            self.made = self.made.max(bundle.header.statement.number);
        }
        out.push((to, message));
    }

    fn takes(&mut self, stage: &mut Stage<'_>, operation: &Operation) -> bool {
        self.dropped = stage.dice.chance(500).then(|| operation.id());
        self.dropped.is_none()
    }

    fn promises(&mut self, stage: &mut Stage<'_>, operation: &Operation) -> Option<Signed<Promise>> {
        let operation = self.dropped.filter(|dropped| *dropped == operation.id())?;
        let (epoch, lane) = (stage.context.epoch, stage.index());
        Some(stage.sign(Promise { epoch, lane, number: self.made.next(), operation }))
    }
}
