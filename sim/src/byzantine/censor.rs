//! Censorship: a lane, or a client, that a primary never proposes.
//!
//! What is censored doesn't reach the censor's own correct code, so that its proposals are well-formed and
//! simply lack it.

use quorate_crypto::PublicKey;
use quorate_types::message::Message;
use quorate_types::operation::Operation;

use super::{Behaviour, Stage};

/// Doesn't hear the bundles of one lane while it leads: that of the correct validator after it.
#[derive(Debug)]
pub(super) struct Lane;

impl Behaviour for Lane {
    fn lets_in(&mut self, stage: &mut Stage<'_>, message: &Message) -> bool {
        let Message::Bundle(bundle) = message else { return true };
        let victim =
            stage.correct().into_iter().find(|other| *other > stage.me).or_else(|| stage.correct().first().copied());
        !(stage.leads() && Some(bundle.header.signer().0) == victim)
    }
}

/// Takes no operation of one client, the first that it hears of, and hears no bundle that holds one while it
/// leads.
#[derive(Debug, Default)]
pub(super) struct Client {
    victim: Option<PublicKey>,
}

impl Client {
    fn is_censored(&mut self, operation: &Operation) -> bool {
        let author = operation.content().author;
        *self.victim.get_or_insert(author) == author
    }
}

impl Behaviour for Client {
    fn lets_in(&mut self, stage: &mut Stage<'_>, message: &Message) -> bool {
        let Message::Bundle(bundle) = message else { return true };
        !(stage.leads() && bundle.operations.iter().any(|operation| self.is_censored(operation)))
    }

    fn takes(&mut self, _: &mut Stage<'_>, operation: &Operation) -> bool {
        !self.is_censored(operation)
    }
}
