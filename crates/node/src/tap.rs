//! A tap on the driver: sees what goes into the replica and what comes out, and may change what leaves.
//!
//! Production has none, or the flight recorder. A simulation checks its invariants here, and a hostile
//! validator of the tests is the real node whose tap drops, changes and adds messages. A tap decides nothing
//! that the node itself decides: it can't keep records from being saved, or let anything leave before.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use quorate_replica::{Event, Notice, Now, Outbox, Outgoing, Recipient, Replica};
use quorate_transport::convert::encode_frame;
use quorate_transport::links::{Lane, PeerLinks};
use quorate_types::message::Message;

/// Listens to one node. Called on the driver's thread, but for [`Tap::leave`], which answers to other
/// validators' questions pass through, too.
pub trait Tap: Send + Debug {
    /// The replica continues from its records; no turn has been yet. A hostile validator of the tests may still
    /// be told to overlook what its own key signed elsewhere.
    fn on_start(&mut self, _: Now, _: &mut Replica) {}

    /// A state from other validators has replaced the own one, and the replica was built anew from its records.
    fn on_resume(&mut self, _: Now, _: &Replica) {}

    /// An event is about to go into the replica: whether it may.
    fn admit(&mut self, _: Now, _: &Event) -> bool {
        true
    }

    /// A turn has ended. Nothing of what it gave has happened yet.
    fn on_turn(&mut self, _: Now, _: &Replica, _: &Outbox) {}

    /// Clients and people hear of this now; its records are in the store.
    fn on_notice(&mut self, _: Now, _: &Notice) {}

    /// These messages leave now: gives what leaves instead. Called twice in every turn, also with none: before
    /// the save with what may leave at once, after it with the rest.
    fn leave(&mut self, messages: Vec<Outgoing>) -> Vec<Outgoing> {
        messages
    }
}

/// A tap, as the parts of a node share it.
#[derive(Clone, Debug, Default)]
pub struct SharedTap(Option<Arc<Mutex<dyn Tap>>>);

impl SharedTap {
    /// Nobody listens.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// This one listens.
    #[must_use]
    pub fn new(tap: impl Tap + 'static) -> Self {
        Self(Some(Arc::new(Mutex::new(tap))))
    }

    /// The tap, for as long as one look takes.
    pub(crate) fn lock(&self) -> Option<MutexGuard<'_, dyn Tap + 'static>> {
        Some(self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Frames on their way to the links.
pub(crate) type Packed = Vec<(Recipient, Lane, Bytes)>;

/// The one way out to other validators: past the tap, onto the links.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) links: Arc<PeerLinks>,
    pub(crate) tap: SharedTap,
}

impl Post {
    /// Sends messages.
    pub(crate) fn send(&self, messages: Vec<Outgoing>) {
        self.dispatch(Self::pack(&self.tap, messages));
    }

    /// Encodes what the tap lets leave.
    pub(crate) fn pack(tap: &SharedTap, messages: Vec<Outgoing>) -> Packed {
        let messages = match tap.lock() {
            Some(mut tap) => tap.leave(messages),
            None => messages,
        };
        let frame = |Outgoing { to, message }| (to, lane_of(&message), encode_frame(&message));
        messages.into_iter().map(frame).collect()
    }

    /// Puts frames into the links' queues.
    pub(crate) fn dispatch(&self, frames: Packed) {
        for (to, lane, frame) in frames {
            match to {
                Recipient::All => self.links.broadcast(lane, &frame),
                // A full queue leaves it out and counts it; the protocol sends again what matters.
                Recipient::One(peer) => drop(self.links.send(peer, lane, frame)),
            }
        }
    }
}

pub(crate) fn lane_of(message: &Message) -> Lane {
    if message.is_bulk() { Lane::Bulk } else { Lane::Control }
}

#[cfg(test)]
mod tests {
    use quorate_types::ids::{Sequence, ValidatorIndex};
    use quorate_types::message::Request;

    use super::*;

    #[derive(Debug)]
    struct Hush;

    impl Tap for Hush {
        fn leave(&mut self, mut messages: Vec<Outgoing>) -> Vec<Outgoing> {
            messages.retain(|outgoing| outgoing.to != Recipient::One(ValidatorIndex(1)));
            messages
        }
    }

    #[test]
    fn what_the_tap_keeps_back_is_not_packed() {
        let to = |validator| Outgoing {
            to: Recipient::One(ValidatorIndex(validator)),
            message: Message::Request(Request::Execution(Sequence(1))),
        };
        assert_eq!(Post::pack(&SharedTap::none(), vec![to(1), to(2)]).len(), 2);
        let packed = Post::pack(&SharedTap::new(Hush), vec![to(1), to(2)]);
        assert_eq!(packed.len(), 1);
        assert_eq!((packed[0].0, packed[0].1), (Recipient::One(ValidatorIndex(2)), Lane::Bulk));
    }
}
