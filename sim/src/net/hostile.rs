//! A hostile validator as a real node: its tap drops, delays, changes and adds messages, with the same
//! behaviours as in the world.
//!
//! [`Rogue`] is a tap for a process of its own; in a run of this level the listener plays the part, with a
//! troupe that all hostile validators share.

use std::collections::BTreeMap;

use quorate_crypto::SecretKey;
use quorate_node::tap::Tap;
use quorate_replica::{Event, Now, Outbox, Outgoing, Recipient, Replica};
use quorate_types::ids::ValidatorIndex;
use quorate_types::verified::Context;

use crate::byzantine::{Behaviours, Conduct, Letter, Letters, Troupe, UnknownConduct};

/// How often a hostile validator has an idea.
const IDEA_MS: u64 = 20;

/// Letters that wait for their time; more are not kept.
const MOST_WAITING: usize = 4_096;

/// One hostile validator's part.
#[derive(Debug)]
pub(super) struct Hostile {
    me: u16,
    /// The time that the node was last told.
    now: Now,
    /// Letters with the time when they leave.
    waiting: Vec<(u64, Letter)>,
    idea_ms: u64,
}

impl Hostile {
    pub(super) const fn new(me: u16) -> Self {
        Self { me, now: Now { monotonic_ms: 0, wall_ms: 0 }, waiting: Vec::new(), idea_ms: 0 }
    }

    /// Time passes.
    pub(super) const fn at(&mut self, now: Now) {
        self.now = now;
    }

    /// An event is about to go in: whether the correct code is told.
    pub(super) fn admit(&mut self, troupe: &mut Troupe, context: &Context, event: &Event) -> bool {
        let wall_ms = self.now.wall_ms;
        match event {
            Event::Message { message, .. } => {
                let (letters, is_let_in) = troupe.hear(context, wall_ms, self.me, message);
                self.keep(letters);
                is_let_in
            }
            Event::Operation(operation) => troupe.takes(context, wall_ms, self.me, operation),
            Event::Executed(_)
            | Event::Promise(_)
            | Event::Round(_)
            | Event::Statement(_)
            | Event::Refused { .. }
            | Event::KeyElsewhere
            | Event::Turn => true,
        }
    }

    fn keep(&mut self, letters: Letters) {
        let room = MOST_WAITING.saturating_sub(self.waiting.len());
        let now_ms = self.now.monotonic_ms;
        let due = |letter: Letter| (now_ms.saturating_add(letter.after_ms), letter);
        self.waiting.extend(letters.0.into_iter().take(room).map(due));
    }

    /// What leaves instead of `messages`, ideas and what has waited long enough among it.
    pub(super) fn leave(&mut self, troupe: &mut Troupe, context: &Context, messages: Vec<Outgoing>) -> Vec<Outgoing> {
        let size = u16::try_from(context.set.size()).unwrap_or(u16::MAX);
        let mut letters = Letters::default();
        for Outgoing { to, message } in messages {
            match to {
                Recipient::One(to) => letters.push((to.0, message)),
                Recipient::All => letters.extend((0..size).filter(|to| *to != self.me).map(|to| (to, message.clone()))),
            }
        }
        let instead = troupe.send(context, self.now.wall_ms, self.me, letters);
        self.keep(instead);
        let now_ms = self.now.monotonic_ms;
        if now_ms >= self.idea_ms {
            self.idea_ms = now_ms.saturating_add(IDEA_MS);
            let ideas = troupe.tick(context, self.now.wall_ms, self.me);
            self.keep(ideas);
        }
        let due = self.waiting.extract_if(.., |(due_ms, _)| *due_ms <= now_ms);
        due.map(|(_, Letter { to, message, .. })| Outgoing { to: Recipient::One(ValidatorIndex(to)), message })
            .collect()
    }
}

/// The tap that makes a real validator hostile.
#[derive(Debug)]
pub struct Rogue {
    hostile: Hostile,
    troupe: Troupe,
    context: Context,
}

impl Rogue {
    /// Makes validator `me` behave so; `key` is its consensus key, with which the behaviours sign.
    ///
    /// # Errors
    /// If a conduct has no behaviour.
    pub fn new(
        seed: u64,
        (me, key): (ValidatorIndex, SecretKey),
        conducts: Vec<Conduct>,
        context: Context,
    ) -> Result<Self, UnknownConduct> {
        let cast = BTreeMap::from([(me.0, conducts)]);
        let troupe = Troupe::new(seed, &cast, BTreeMap::from([(me.0, key)]), &Behaviours::new())?;
        Ok(Self { hostile: Hostile::new(me.0), troupe, context })
    }
}

impl Tap for Rogue {
    fn on_start(&mut self, _: Now, replica: &mut Replica) {
        replica.overlook_own_key(quorate_determinism::stand_in());
    }

    fn admit(&mut self, now: Now, event: &Event) -> bool {
        self.hostile.at(now);
        self.hostile.admit(&mut self.troupe, &self.context, event)
    }

    fn on_turn(&mut self, now: Now, _: &Replica, _: &Outbox) {
        self.hostile.at(now);
    }

    fn leave(&mut self, messages: Vec<Outgoing>) -> Vec<Outgoing> {
        self.hostile.leave(&mut self.troupe, &self.context, messages)
    }
}
