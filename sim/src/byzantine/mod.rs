//! What Byzantine validators do: small-scope hostility with real keys, written once for every level
//! (simulation §1).
//!
//! A Byzantine validator runs the correct code, and each of its [`Behaviour`]s stands between that code and
//! the network: it may drop, delay, change and add messages, keep things from its own correct code, and sign
//! anything with the keys of all Byzantine validators, which share what they hear. Small changes of
//! well-formed messages find more than random bytes, which die at the first signature check.
//!
//! Nothing here knows of the world or of the real node: a behaviour sees messages, keys and chance
//! ([`Stage`]). A [`Conduct`] names a behaviour in plans and scenarios; [`Behaviours`] adds a user's own.

mod break_promises;
mod censor;
mod conduct;
mod corrupt_answers;
mod crimes;
mod delay;
mod double_vote;
mod equivocate;
mod exclude;
mod far_future;
mod flood;
mod foreign;
mod forged_certificates;
mod fork_lane;
mod framing;
mod hidden_claims;
mod invalid_proposals;
mod lying_status;
mod mutate;
mod mute;
mod new_view;
mod pool;
mod replay;
mod selective;
mod snapshots;
mod troupe;
mod two_faced;
mod view_change_spam;
mod withhold;
mod wrong_execution;

use std::collections::{BTreeMap, BTreeSet};

use quorate_crypto::SecretKey;
use quorate_types::ids::{ValidatorIndex, View};
use quorate_types::message::Message;
use quorate_types::operation::Operation;
use quorate_types::promise::Promise;
use quorate_types::signed::{Signed, Statement, signing_bytes};
use quorate_types::verified::Context;

use crate::dice::Dice;
pub use conduct::{Behaviours, Conduct, UnknownConduct};
pub use pool::Pool;
pub use troupe::Troupe;

/// A message on its way out, to one validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The receiver.
    pub to: u16,
    /// What it is told.
    pub message: Message,
    /// It leaves so much later.
    pub after_ms: u64,
}

/// What leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Letters(pub Vec<Letter>);

impl Letters {
    /// To one validator, at once.
    pub fn push(&mut self, (to, message): (u16, Message)) {
        self.push_late(to, message, 0);
    }

    /// To one validator, later.
    pub fn push_late(&mut self, to: u16, message: Message, after_ms: u64) {
        self.0.push(Letter { to, message, after_ms });
    }
}

impl Extend<(u16, Message)> for Letters {
    fn extend<I: IntoIterator<Item = (u16, Message)>>(&mut self, letters: I) {
        letters.into_iter().for_each(|letter| self.push(letter));
    }
}

/// A way to misbehave.
pub trait Behaviour: std::fmt::Debug + Send {
    /// The correct code, or another behaviour, sends `message` to `to`: what leaves instead.
    fn send(&mut self, _: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        out.push((to, message));
    }

    /// A message arrived here.
    fn hear(&mut self, _: &mut Stage<'_>, _: &Message, _: &mut Letters) {}

    /// A little time passed.
    fn tick(&mut self, _: &mut Stage<'_>, _: &mut Letters) {}

    /// Whether this validator's correct code is shown a message that arrived.
    fn lets_in(&mut self, _: &mut Stage<'_>, _: &Message) -> bool {
        true
    }

    /// Whether this validator's correct code is given a client's operation.
    fn takes(&mut self, _: &mut Stage<'_>, _: &Operation) -> bool {
        true
    }

    /// What the client of an operation is promised that this validator's correct code isn't given.
    fn promises(&mut self, _: &mut Stage<'_>, _: &Operation) -> Option<Signed<Promise>> {
        None
    }
}

/// What a behaviour may use.
#[derive(Debug)]
pub struct Stage<'a> {
    /// The Byzantine validator.
    pub me: u16,
    /// The cluster.
    pub context: &'a Context,
    /// The consensus keys of all Byzantine validators: who may be signed for.
    pub keys: &'a BTreeMap<u16, SecretKey>,
    /// Who is Byzantine.
    pub byzantine: &'a BTreeSet<u16>,
    /// Chance.
    pub dice: &'a mut Dice,
    /// What all Byzantine validators have heard.
    pub pool: &'a Pool,
    /// True time, as block time.
    pub wall_ms: u64,
}

impl Stage<'_> {
    /// Signs a statement as the validator that it names, which must be Byzantine: else it is signed by the
    /// speaker's key, and no door lets it in.
    ///
    /// # Panics
    /// If the troupe was made without the speaker's key.
    pub fn sign<T: Statement>(&self, statement: T) -> Signed<T> {
        self.sign_for(self.context, statement)
    }

    /// Signs a statement as if for another cluster: what a validator of two clusters might have said there.
    ///
    /// # Panics
    /// If the troupe was made without the speaker's key.
    pub fn sign_for<T: Statement>(&self, context: &Context, statement: T) -> Signed<T> {
        let named = statement.signer().0;
        let key = self.keys.get(&named).or_else(|| self.keys.get(&self.me));
        let key = key.expect("a troupe holds the key of each of its actors");
        Signed { signature: key.sign(&signing_bytes(&context.cluster, &statement)), statement }
    }

    /// This validator.
    #[must_use]
    pub const fn index(&self) -> ValidatorIndex {
        ValidatorIndex(self.me)
    }

    /// How many validators there are.
    #[must_use]
    pub fn size(&self) -> u16 {
        u16::try_from(self.context.set.size()).unwrap_or(u16::MAX)
    }

    /// The primary of a view.
    #[must_use]
    pub fn primary(&self, view: View) -> u16 {
        self.context.set.primary(self.context.epoch, view).0
    }

    /// Whether this validator leads the newest view that the Byzantine validators know of.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.primary(self.pool.view()) == self.me
    }

    /// All others.
    #[must_use]
    pub fn others(&self) -> Vec<u16> {
        (0..self.size()).filter(|other| *other != self.me).collect()
    }

    /// The others that are not Byzantine.
    #[must_use]
    pub fn correct(&self) -> Vec<u16> {
        self.others().into_iter().filter(|other| !self.byzantine.contains(other)).collect()
    }

    /// Some of the others: each with even chance.
    pub fn some(&mut self) -> Vec<u16> {
        let others = self.others();
        others.into_iter().filter(|_| self.dice.chance(500)).collect()
    }

    /// To all others.
    pub fn to_all(&self, message: &Message, out: &mut Letters) {
        out.extend(self.others().into_iter().map(|to| (to, message.clone())));
    }

    /// To some of the others.
    pub fn to_some(&mut self, message: &Message, out: &mut Letters) {
        let some = self.some();
        out.extend(some.into_iter().map(|to| (to, message.clone())));
    }
}
