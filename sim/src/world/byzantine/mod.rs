//! What Byzantine validators do: small-scope hostility with real keys.
//!
//! A Byzantine validator runs the correct code, and each of its [`Behaviour`]s stands between that code and
//! the network: it may drop, change and add messages, and sign anything with the keys of all Byzantine
//! validators, which share what they hear. Small changes of well-formed messages find more than random
//! bytes, which die at the first signature check.

mod equivocate;
mod execution;
mod forge;
mod future;
mod lane;
mod mutate;
mod new_view;
mod pool;
mod replay;
mod silence;
mod status;
mod view_change;
mod votes;

use std::collections::BTreeSet;

use quorate_types::ids::ValidatorIndex;
use quorate_types::message::Message;
use quorate_types::signed::{Signed, Statement, signing_bytes};
use serde::{Deserialize, Serialize};

use super::cast::Cast;
use super::dice::{Dice, Stream};
pub use pool::Pool;

/// A kind of behaviour, as a plan names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conduct {
    /// Says nothing, in spells.
    Mute,
    /// Says nothing to some.
    Selective,
    /// As primary proposes one thing to some and another to the rest.
    Equivocate,
    /// Votes, both phases, for everything that anyone votes for.
    DoubleVote,
    /// Changes one field of what it sends, and signs it again.
    Mutate,
    /// Sends old messages again, its own and others'.
    Replay,
    /// Speaks of views and sequences far ahead.
    FarFuture,
    /// Complains and changes view all the time.
    ViewChangeSpam,
    /// Hides its highest certificates in view changes.
    HiddenClaims,
    /// Makes certificates of too few, repeated or mixed votes.
    ForgedCertificates,
    /// As primary starts one view twice.
    TwoNewViews,
    /// Gives its bundles to few, and answers no request.
    Withhold,
    /// Signs two bundles of one number.
    ForkLane,
    /// Signs results that execution didn't give.
    WrongExecution,
    /// Lies about where it stands.
    LyingStatus,
}

impl Conduct {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Mute,
        Self::Selective,
        Self::Equivocate,
        Self::DoubleVote,
        Self::Mutate,
        Self::Replay,
        Self::FarFuture,
        Self::ViewChangeSpam,
        Self::HiddenClaims,
        Self::ForgedCertificates,
        Self::TwoNewViews,
        Self::Withhold,
        Self::ForkLane,
        Self::WrongExecution,
        Self::LyingStatus,
    ];

    fn behaviour(self) -> Box<dyn Behaviour> {
        match self {
            Self::Mute => Box::new(silence::Mute::default()),
            Self::Selective => Box::new(silence::Selective::default()),
            Self::Equivocate => Box::new(equivocate::Equivocate::default()),
            Self::DoubleVote => Box::new(votes::DoubleVote::default()),
            Self::Mutate => Box::new(mutate::Mutate),
            Self::Replay => Box::new(replay::Replay),
            Self::FarFuture => Box::new(future::FarFuture),
            Self::ViewChangeSpam => Box::new(view_change::Spam),
            Self::HiddenClaims => Box::new(view_change::HiddenClaims),
            Self::ForgedCertificates => Box::new(forge::ForgedCertificates),
            Self::TwoNewViews => Box::new(new_view::TwoNewViews),
            Self::Withhold => Box::new(silence::Withhold::default()),
            Self::ForkLane => Box::new(lane::ForkLane::default()),
            Self::WrongExecution => Box::new(execution::WrongExecution),
            Self::LyingStatus => Box::new(status::LyingStatus),
        }
    }
}

/// Messages on their way out, each to one validator.
pub type Letters = Vec<(u16, Message)>;

/// A way to misbehave.
pub trait Behaviour: std::fmt::Debug {
    /// The correct code, or another behaviour, sends `message` to `to`: what leaves instead.
    fn send(&mut self, _: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        out.push((to, message));
    }

    /// A message arrived here.
    fn hear(&mut self, _: &mut Stage<'_>, _: &Message, _: &mut Letters) {}

    /// A little time passed.
    fn tick(&mut self, _: &mut Stage<'_>, _: &mut Letters) {}
}

/// What a behaviour may use.
#[derive(Debug)]
pub struct Stage<'a> {
    /// The Byzantine validator.
    pub me: u16,
    /// The cluster.
    pub cast: &'a Cast,
    /// Who may be signed for.
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
    pub fn sign<T: Statement>(&self, statement: T) -> Signed<T> {
        let named = statement.signer().0;
        let signer = if self.byzantine.contains(&named) { named } else { self.me };
        let signature = self.cast.key(signer).sign(&signing_bytes(&self.cast.context.cluster, &statement));
        Signed { statement, signature }
    }

    /// This validator.
    #[must_use]
    pub const fn index(&self) -> ValidatorIndex {
        ValidatorIndex(self.me)
    }

    /// All others.
    #[must_use]
    pub fn others(&self) -> Vec<u16> {
        (0..self.cast.size()).filter(|other| *other != self.me).collect()
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

/// One Byzantine validator's behaviours.
#[derive(Debug)]
pub(super) struct Actor {
    me: u16,
    behaviours: Vec<Box<dyn Behaviour>>,
}

/// All Byzantine validators.
#[derive(Debug)]
pub(super) struct Troupe {
    actors: Vec<Actor>,
    byzantine: BTreeSet<u16>,
    pool: Pool,
    dice: Dice,
}

impl Troupe {
    pub(super) fn new(seed: u64, conducts: &std::collections::BTreeMap<u16, Vec<Conduct>>) -> Self {
        let actors = conducts
            .iter()
            .map(|(me, conducts)| Actor { me: *me, behaviours: conducts.iter().map(|c| c.behaviour()).collect() })
            .collect();
        Self {
            actors,
            byzantine: conducts.keys().copied().collect(),
            pool: Pool::default(),
            dice: Dice::new(seed, Stream::Byzantine),
        }
    }

    /// Who is Byzantine.
    pub(super) const fn byzantine(&self) -> &BTreeSet<u16> {
        &self.byzantine
    }

    /// What leaves instead of a message of a Byzantine validator.
    pub(super) fn send(&mut self, cast: &Cast, wall_ms: u64, me: u16, letters: Letters) -> Letters {
        for (_, message) in &letters {
            self.pool.hear(message);
        }
        self.act(cast, wall_ms, me, |behaviours, stage| {
            let mut current = letters;
            for behaviour in behaviours {
                let mut next = Letters::new();
                for (to, message) in current {
                    behaviour.send(stage, to, message, &mut next);
                }
                current = next;
            }
            current
        })
    }

    /// What a Byzantine validator says to something that it heard.
    pub(super) fn hear(&mut self, cast: &Cast, wall_ms: u64, me: u16, message: &Message) -> Letters {
        self.pool.hear(message);
        self.act(cast, wall_ms, me, |behaviours, stage| {
            let mut out = Letters::new();
            behaviours.iter_mut().for_each(|behaviour| behaviour.hear(stage, message, &mut out));
            out
        })
    }

    /// What a Byzantine validator says of itself.
    pub(super) fn tick(&mut self, cast: &Cast, wall_ms: u64, me: u16) -> Letters {
        self.act(cast, wall_ms, me, |behaviours, stage| {
            let mut out = Letters::new();
            behaviours.iter_mut().for_each(|behaviour| behaviour.tick(stage, &mut out));
            out
        })
    }

    fn act(
        &mut self,
        cast: &Cast,
        wall_ms: u64,
        me: u16,
        action: impl FnOnce(&mut [Box<dyn Behaviour>], &mut Stage<'_>) -> Letters,
    ) -> Letters {
        let Self { actors, byzantine, pool, dice } = self;
        let Some(actor) = actors.iter_mut().find(|actor| actor.me == me) else { return Letters::new() };
        let mut stage = Stage { me, cast, byzantine, dice, pool, wall_ms };
        action(&mut actor.behaviours, &mut stage)
    }
}
