//! All Byzantine validators of a run: each with its behaviours, and what they know together.

use std::collections::{BTreeMap, BTreeSet};

use quorate_crypto::SecretKey;
use quorate_types::ids::ValidatorIndex;
use quorate_types::message::Message;
use quorate_types::operation::Operation;
use quorate_types::promise::Promise;
use quorate_types::signed::Signed;
use quorate_types::verified::Context;

use super::{Behaviour, Behaviours, Conduct, Letter, Letters, Pool, Stage, UnknownConduct};
use crate::dice::{Dice, Stream};

/// One Byzantine validator's behaviours.
#[derive(Debug)]
struct Actor {
    me: u16,
    behaviours: Vec<Box<dyn Behaviour>>,
}

/// All Byzantine validators.
#[derive(Debug)]
pub struct Troupe {
    actors: Vec<Actor>,
    byzantine: BTreeSet<u16>,
    keys: BTreeMap<u16, SecretKey>,
    pool: Pool,
    dice: Dice,
}

impl Troupe {
    /// The troupe that plays these conducts with these keys, one for each of its validators.
    ///
    /// # Errors
    /// If a conduct has no behaviour.
    pub fn new(
        seed: u64,
        conducts: &BTreeMap<u16, Vec<Conduct>>,
        keys: BTreeMap<u16, SecretKey>,
        known: &Behaviours,
    ) -> Result<Self, UnknownConduct> {
        let mut actors = Vec::new();
        for (me, conducts) in conducts {
            let behaviours: Result<Vec<_>, _> = conducts.iter().map(|conduct| known.make(conduct)).collect();
            actors.push(Actor { me: *me, behaviours: behaviours? });
        }
        let byzantine = conducts.keys().copied().collect();
        Ok(Self { actors, byzantine, keys, pool: Pool::default(), dice: Dice::new(seed, Stream::Byzantine) })
    }

    /// Who is Byzantine.
    #[must_use]
    pub const fn byzantine(&self) -> &BTreeSet<u16> {
        &self.byzantine
    }

    /// From now on all behave.
    pub fn reform(&mut self) {
        self.actors.iter_mut().for_each(|actor| actor.behaviours.clear());
    }

    /// What leaves instead of messages of a Byzantine validator.
    pub fn send(&mut self, context: &Context, wall_ms: u64, me: u16, letters: Letters) -> Letters {
        for letter in &letters.0 {
            self.pool.hear(&letter.message);
        }
        self.act(context, wall_ms, me, |behaviours, stage| {
            let mut current = letters;
            for behaviour in behaviours {
                let mut all = Letters::default();
                for Letter { to, message, after_ms } in current.0 {
                    let mut next = Letters::default();
                    behaviour.send(stage, to, message, &mut next);
                    all.0.extend(next.0.into_iter().map(|l| Letter { after_ms: l.after_ms + after_ms, ..l }));
                }
                current = all;
            }
            current
        })
    }

    /// What a Byzantine validator says to something that it heard, and whether its correct code may see it: never
    /// its own words that come back, which its behaviours may have altered.
    pub fn hear(&mut self, context: &Context, wall_ms: u64, me: u16, message: &Message) -> (Letters, bool) {
        self.pool.hear(message);
        self.act(context, wall_ms, me, |behaviours, stage| {
            let mut out = Letters::default();
            let mut is_let_in = !speaks_for(message, stage.index());
            for behaviour in behaviours {
                behaviour.hear(stage, message, &mut out);
                is_let_in &= behaviour.lets_in(stage, message);
            }
            (out, is_let_in)
        })
    }

    /// What a Byzantine validator says of itself.
    pub fn tick(&mut self, context: &Context, wall_ms: u64, me: u16) -> Letters {
        self.act(context, wall_ms, me, |behaviours, stage| {
            let mut out = Letters::default();
            behaviours.iter_mut().for_each(|behaviour| behaviour.tick(stage, &mut out));
            out
        })
    }

    /// Whether a Byzantine validator gives an operation to its correct code.
    pub fn takes(&mut self, context: &Context, wall_ms: u64, me: u16, operation: &Operation) -> bool {
        self.act(context, wall_ms, me, |behaviours, stage| {
            behaviours.iter_mut().all(|behaviour| behaviour.takes(stage, operation))
        })
    }

    /// What a Byzantine validator promises the client of an operation that its correct code isn't given.
    pub fn promises(
        &mut self,
        context: &Context,
        wall_ms: u64,
        me: u16,
        operation: &Operation,
    ) -> Option<Signed<Promise>> {
        self.act(context, wall_ms, me, |behaviours, stage| {
            behaviours.iter_mut().find_map(|behaviour| behaviour.promises(stage, operation))
        })
    }

    /// One who isn't of the troupe does nothing of its own.
    fn act<T>(
        &mut self,
        context: &Context,
        wall_ms: u64,
        me: u16,
        action: impl FnOnce(&mut [Box<dyn Behaviour>], &mut Stage<'_>) -> T,
    ) -> T {
        let Self { actors, byzantine, keys, pool, dice } = self;
        let mut stage = Stage { me, context, keys, byzantine, dice, pool, wall_ms };
        match actors.iter_mut().find(|actor| actor.me == me) {
            Some(actor) => action(&mut actor.behaviours, &mut stage),
            None => action(&mut [], &mut stage),
        }
    }
}

/// Whether a message is a statement of this validator's key, or accuses it, whoever brings it. Bundles are not meant: a lane's
/// owner may have to fetch the fork that the others ordered.
fn speaks_for(message: &Message, me: ValidatorIndex) -> bool {
    let signer = match message {
        Message::PrePrepare(pre_prepare) => pre_prepare.vote.signer(),
        Message::Vote(vote) => vote.vote.signer(),
        Message::Complaint(complaint) => complaint.signer(),
        Message::ViewChange(change) => change.signed.signer(),
        Message::NewView(new_view) => new_view.signer(),
        Message::ExecutionVote(vote) => vote.signer(),
        // Shown evidence against itself, correct code would stop (accountability §1.5).
        Message::Evidence(evidence) => match evidence.validator() {
            Some(accused) => accused,
            None => return false,
        },
        _ => return false,
    };
    signer == me
}
