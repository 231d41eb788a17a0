//! The links between validators (architecture §7).
//!
//! Each validator dials every other one twice, on a connection each for control messages and for bulk data,
//! and sends on what it dialled; what it receives comes on connections that it accepted. So a link's two
//! directions fail and heal on their own, and bulk data never stands before a vote.
//!
//! * Outgoing: one bounded queue per peer and lane. [`PeerLinks::send`] never waits; what doesn't fit is
//!   left out and counted (the protocol sends again what matters, protocol §9). A frame is encoded once and
//!   shared by all queues.
//! * Incoming: per peer and lane a token bucket, then a bounded inbox. Both slow the sender down by flow
//!   control; no peer can fill memory or push out another's messages.
//! * Both ends prove the network key of the genesis, and say hello: version, cluster, index. Whoever doesn't
//!   fit is refused with a line in the log of both that names what was expected and what was shown.

mod accept;
mod dial;
mod fault;
mod hello;
mod queue;
mod state;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quorate_types::ids::{ClusterId, ValidatorIndex};
use quorate_types::limits::MAX_MESSAGE_BYTES;
use quorate_types::set::ValidatorSet;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use self::fault::LinkFault;
pub use self::state::{LaneView, PeerView};
use crate::Connector;
use crate::limiter::Rate;
use crate::tls::{NetworkIdentity, TlsFault};
use state::PeerState;

/// Bytes that a frame has besides its message.
const FRAME_OVERHEAD_BYTES: usize = 64;

/// The largest frame on the wire.
const MAX_FRAME_BYTES: usize = MAX_MESSAGE_BYTES + FRAME_OVERHEAD_BYTES;

/// Which of the two streams to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Small messages that others wait for.
    Control,
    /// Bundles, stretches of the chain, requests.
    Bulk,
}

impl Lane {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Control, Self::Bulk];

    /// The name in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Bulk => "bulk",
        }
    }

    const fn position(self) -> usize {
        self as usize
    }
}

/// One message from another validator: who sent it is proven by the connection's key, nothing else is.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Who sent it.
    pub from: ValidatorIndex,
    /// On which stream.
    pub lane: Lane,
    /// The message's bytes, not looked at.
    pub frame: Bytes,
    /// When it was read.
    pub at: Instant,
    /// Its place among those of its sender that wait in the inbox; free again when this is dropped.
    pub place: Place,
}

/// A message's place in the inbox: each sender has only so many, so that none fills it.
#[derive(Clone, Debug, Default)]
pub struct Place {
    _permit: Option<Arc<OwnedSemaphorePermit>>,
}

/// Where incoming messages go. The two may be one and the same.
#[derive(Clone, Debug)]
pub struct Inboxes {
    /// Control messages.
    pub control: mpsc::Sender<Incoming>,
    /// Bulk data.
    pub bulk: mpsc::Sender<Incoming>,
}

/// What became of a frame that was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It waits for the stream.
    Queued,
    /// It was left out: the queue is full.
    Dropped,
    /// It was left out: above [`MAX_MESSAGE_BYTES`], or empty.
    BadSize,
    /// There is no such peer; a validator doesn't send to itself.
    NoPeer,
}

/// Bounds of the links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkLimits {
    /// Frames that wait on one control stream.
    pub control_queue_frames: usize,
    /// Bytes that wait on one control stream.
    pub control_queue_bytes: usize,
    /// Frames that wait on one bulk stream.
    pub bulk_queue_frames: usize,
    /// Bytes that wait on one bulk stream.
    pub bulk_queue_bytes: usize,
    /// Bytes that one peer may send on its control stream.
    pub control_receive: Rate,
    /// Bytes that one peer may send on its bulk stream.
    pub bulk_receive: Rate,
}

impl Default for LinkLimits {
    /// Room for a few seconds of votes, and for a handful of full bundles.
    fn default() -> Self {
        Self {
            control_queue_frames: 8_192,
            control_queue_bytes: 16 << 20,
            bulk_queue_frames: 4_096,
            bulk_queue_bytes: 64 << 20,
            control_receive: Rate { per_second: 32 << 20, burst: 32 << 20 },
            bulk_receive: Rate { per_second: 256 << 20, burst: 256 << 20 },
        }
    }
}

/// Times of the links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkTiming {
    /// How long connecting may take, TLS included.
    pub connect_timeout: Duration,
    /// How long the other end may take to say hello.
    pub hello_timeout: Duration,
    /// How often a connection is probed.
    pub keep_alive: Duration,
    /// How long a probe may take before the connection counts as dead.
    pub keep_alive_timeout: Duration,
    /// The first wait before dialling again; doubled each time.
    pub redial: Duration,
    /// The longest wait before dialling again. Short, so that a healed network is in use at once.
    pub redial_cap: Duration,
}

impl Default for LinkTiming {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            hello_timeout: Duration::from_secs(3),
            keep_alive: Duration::from_secs(2),
            keep_alive_timeout: Duration::from_secs(4),
            redial: Duration::from_millis(50),
            redial_cap: Duration::from_secs(1),
        }
    }
}

/// What the links of one validator need to know.
#[derive(Debug)]
pub struct LinkConfig {
    /// This validator.
    pub me: ValidatorIndex,
    /// The cluster, compared with the peer's.
    pub cluster: ClusterId,
    /// The validators; network keys and, unless overridden, addresses are from here.
    pub set: Arc<ValidatorSet>,
    /// The incarnation of this validator's store, for the peers' logs.
    pub incarnation: [u8; 32],
    /// This validator's network key.
    pub identity: NetworkIdentity,
    /// Where to reach peers, if not at the address in the set.
    pub addresses: Vec<(ValidatorIndex, String)>,
    /// Bounds.
    pub limits: LinkLimits,
    /// Times.
    pub timing: LinkTiming,
}

/// The links of one validator to all others. Cheap to ask from any thread.
#[derive(Debug)]
pub struct PeerLinks {
    me: ValidatorIndex,
    peers: Vec<Option<Arc<PeerState>>>,
    closing: watch::Sender<bool>,
    changes: watch::Receiver<()>,
}

/// What all tasks of the links share.
#[derive(Debug)]
struct Shared {
    config: LinkConfig,
    peers: Vec<Option<Arc<PeerState>>>,
    closing: watch::Receiver<bool>,
}

impl PeerLinks {
    /// Starts accepting on `listener` and dialling every other validator. The tasks end after
    /// [`PeerLinks::close`], or when the links are dropped; until then an ended task is a failure.
    ///
    /// # Errors
    /// If TLS refuses a key.
    pub fn start<C: Connector>(
        config: LinkConfig,
        connector: &C,
        listener: C::Listener,
        inboxes: Inboxes,
    ) -> Result<(Arc<Self>, JoinSet<io::Result<()>>), TlsFault> {
        let me = config.me;
        let (changed, changes) = watch::channel(());
        let state = |index, name| Arc::new(PeerState::new(index, name, &config.limits, changed.clone()));
        let peers: Vec<_> =
            config.set.everyone().map(|(index, info)| (index != me).then(|| state(index, &info.name))).collect();
        let (closing, closed) = watch::channel(false);
        let shared = Arc::new(Shared { config, peers: peers.clone(), closing: closed });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept::serve::<C>(Arc::clone(&shared), listener, inboxes)?);
        for peer in peers.iter().flatten() {
            for lane in Lane::ALL {
                tasks.spawn(dial::dialler(&shared, peer, lane, connector.clone())?.run());
            }
        }
        Ok((Arc::new(Self { me, peers, closing, changes }), tasks))
    }

    /// Queues `frame` for `to`. Never waits.
    pub fn send(&self, to: ValidatorIndex, lane: Lane, frame: Bytes) -> Sent {
        match self.peers.get(to.position()) {
            Some(Some(peer)) => peer.send(lane, frame),
            _ => Sent::NoPeer,
        }
    }

    /// Queues `frame` for every other validator; the bytes are shared, not copied.
    pub fn broadcast(&self, lane: Lane, frame: &Bytes) {
        for peer in self.peers.iter().flatten() {
            peer.send(lane, frame.clone());
        }
    }

    /// This validator.
    #[must_use]
    pub const fn me(&self) -> ValidatorIndex {
        self.me
    }

    /// What is known about every other validator, by index.
    #[must_use]
    pub fn views(&self) -> Vec<PeerView> {
        self.peers.iter().flatten().map(|peer| peer.view()).collect()
    }

    /// Changes whenever a stream to or from any peer comes up or goes down.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.clone()
    }

    /// Ends all streams and tasks. Frames that still wait are lost, as on any broken link.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }
}

impl Shared {
    fn peer(&self, index: ValidatorIndex) -> Option<&Arc<PeerState>> {
        self.peers.get(index.position())?.as_ref()
    }

    /// Resolves when the links close.
    fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut closing = self.closing.clone();
        async move {
            // An error means that the links were dropped, which closes them as well.
            let _ = closing.wait_for(|closing| *closing).await;
        }
    }
}
