//! How soon those who break a rule are found out (accountability §4.1).
//!
//! One detector hears what the doors of all correct validators let in: what it knows, they would know if each told all
//! others at once. Here it only says when that was; what validators find they find by themselves.

use std::collections::BTreeMap;

use quorate_accountability::Watch;
use quorate_types::evidence::Evidence;
use quorate_types::message::Message;
use quorate_types::verified::Context;

use super::machine::{Letter, World};

/// Who broke which rule.
pub type Deed = (u16, String);

/// The detector, and when all that proves a deed had reached correct validators, in milliseconds.
#[derive(Debug)]
pub(super) struct Detection {
    context: Context,
    watch: Watch,
    pub(super) known_ms: BTreeMap<Deed, u64>,
}

impl Detection {
    pub(super) fn new(context: Context) -> Self {
        Self { watch: Watch::over_records(context.clone()), context, known_ms: BTreeMap::new() }
    }

    fn hear(&mut self, message: &Message, now_ms: u64) {
        let mut found = Vec::new();
        match message {
            // What a door, or a client, has found.
            Message::Evidence(evidence) => found.push((**evidence).clone()),
            message => self.watch.on_message(message, &mut found),
        }
        for evidence in found {
            let accused = evidence.validator().filter(|_| evidence.verify(&self.context).is_ok());
            if let Some(accused) = accused {
                self.known_ms.entry((accused.0, evidence.kind().to_owned())).or_insert(now_ms);
            }
        }
    }
}

impl World {
    /// A correct validator's door lets a message in. The same one says nothing new to the next.
    pub(super) fn on_let_in(&mut self, by: u16, letter: &Letter, message: &Message) {
        let is_of_epoch = self.hosts[usize::from(by)].context.epoch == self.cast.context.epoch;
        if is_of_epoch && !self.is_byzantine(by) && !letter.is_heard.replace(true) {
            self.detection.hear(message, self.now_us / 1_000);
        }
    }

    /// A client has found it, and brings it to correct validators.
    pub(super) fn on_brought(&mut self, evidence: &Evidence) {
        self.detection.hear(&Message::Evidence(Box::new(evidence.clone())), self.now_us / 1_000);
    }
}
