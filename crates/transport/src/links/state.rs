//! What is known about one peer, for those who send to it and those who ask.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use quorate_types::ids::ValidatorIndex;
use quorate_types::limits::MAX_MESSAGE_BYTES;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::queue::Queue;
use super::{Lane, LinkLimits, Sent};

/// One peer, as its links show it.
#[derive(Clone, Debug)]
pub struct PeerView {
    /// Its index.
    pub validator: ValidatorIndex,
    /// Its name.
    pub name: String,
    /// When the last message from it was read; `None` if none came since the start.
    pub last_seen: Option<Instant>,
    /// How long the last hello took there and back, connection included in neither.
    pub round_trip: Option<Duration>,
    /// Why the last attempt to reach it, or its last stream, failed; `None` while all is well.
    pub problem: Option<String>,
    /// Streams to it that were up and whose place another one took that proves this validator's key, since the start:
    /// not one that this process opened, since it has one of each kind at a time.
    pub replaced: u64,
    /// The control stream, then the bulk stream.
    pub lanes: [LaneView; 2],
}

/// One of a peer's two streams, both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneView {
    /// Whether the stream to it is up.
    pub is_sending: bool,
    /// Whether a stream from it is up.
    pub is_receiving: bool,
    /// Frames received since the start.
    pub received_frames: u64,
    /// Bytes received since the start.
    pub received_bytes: u64,
    /// Frames that wait to be sent.
    pub queued_frames: usize,
    /// Bytes that wait to be sent.
    pub queued_bytes: usize,
    /// Frames that were left out since the start.
    pub dropped_frames: u64,
}

impl PeerView {
    /// Whether all four streams are up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.lanes.iter().all(|lane| lane.is_sending && lane.is_receiving)
    }
}

/// Messages of one peer that wait in an inbox at once: a vote waits behind so many at most, times the peers.
const fn places(lane: Lane) -> usize {
    match lane {
        Lane::Control => 32,
        Lane::Bulk => 4,
    }
}

/// One peer. Written by the tasks of its links.
#[derive(Debug)]
pub(super) struct PeerState {
    pub(super) index: ValidatorIndex,
    pub(super) name: String,
    pub(super) queues: [Queue; 2],
    /// Its places in the inbox of each lane, whichever of its streams takes them.
    pub(super) places: [Arc<Semaphore>; 2],
    known: Mutex<Known>,
    /// Counts the streams accepted per lane: a newer one replaces the one before.
    generations: [watch::Sender<u64>; 2],
    /// Told of every stream that comes up or goes down.
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Known {
    last_seen: Option<Instant>,
    round_trip: Option<Duration>,
    problem: Option<String>,
    replaced: u64,
    lanes: [LaneView; 2],
}

impl PeerState {
    pub(super) fn new(index: ValidatorIndex, name: &str, limits: &LinkLimits, changes: watch::Sender<()>) -> Self {
        let queues = [
            Queue::new(limits.control_queue_frames, limits.control_queue_bytes),
            Queue::new(limits.bulk_queue_frames, limits.bulk_queue_bytes),
        ];
        let places = Lane::ALL.map(|lane| Arc::new(Semaphore::new(places(lane))));
        let generations = [watch::channel(0).0, watch::channel(0).0];
        Self { index, name: name.to_owned(), queues, places, known: Mutex::default(), generations, changes }
    }

    pub(super) fn send(&self, lane: Lane, frame: Bytes) -> Sent {
        if frame.is_empty() || frame.len() > MAX_MESSAGE_BYTES {
            return Sent::BadSize;
        }
        if self.queues[lane.position()].push(frame) { Sent::Queued } else { Sent::Dropped }
    }

    pub(super) fn view(&self) -> PeerView {
        let known = self.lock();
        let lanes = Lane::ALL.map(|lane| {
            let figures = self.queues[lane.position()].figures();
            LaneView {
                queued_frames: figures.frames,
                queued_bytes: figures.bytes,
                dropped_frames: figures.dropped,
                ..known.lanes[lane.position()]
            }
        });
        PeerView {
            validator: self.index,
            name: self.name.clone(),
            last_seen: known.last_seen,
            round_trip: known.round_trip,
            problem: known.problem.clone(),
            replaced: known.replaced,
            lanes,
        }
    }

    pub(super) fn on_sending(&self, lane: Lane, round_trip: Duration) {
        self.queues[lane.position()].set_up(true);
        let mut known = self.lock();
        known.lanes[lane.position()].is_sending = true;
        known.round_trip = Some(round_trip);
        known.problem = None;
        drop(known);
        self.changes.send_replace(());
    }

    pub(super) fn on_send_failure(&self, lane: Lane, problem: String) {
        self.queues[lane.position()].set_up(false);
        let mut known = self.lock();
        known.lanes[lane.position()].is_sending = false;
        known.problem = Some(problem);
        drop(known);
        self.changes.send_replace(());
    }

    /// The peer has ended a stream for another one with this validator's key.
    pub(super) fn on_replaced(&self) {
        let mut known = self.lock();
        known.replaced = known.replaced.saturating_add(1);
    }

    /// A new stream from the peer; it replaces the one before on this lane. The receiver changes when this
    /// one is replaced in turn.
    pub(super) fn on_receiving(&self, lane: Lane) -> watch::Receiver<u64> {
        let generation = &self.generations[lane.position()];
        generation.send_modify(|count| *count = count.wrapping_add(1));
        self.lock().lanes[lane.position()].is_receiving = true;
        self.changes.send_replace(());
        generation.subscribe()
    }

    /// The stream of this generation has ended.
    pub(super) fn on_receive_end(&self, lane: Lane, generation: u64) {
        if *self.generations[lane.position()].borrow() == generation {
            self.lock().lanes[lane.position()].is_receiving = false;
            self.changes.send_replace(());
        }
    }

    pub(super) fn on_frame(&self, lane: Lane, bytes: usize, at: Instant) {
        let mut known = self.lock();
        known.last_seen = Some(at);
        let lane = &mut known.lanes[lane.position()];
        lane.received_frames = lane.received_frames.saturating_add(1);
        lane.received_bytes = lane.received_bytes.saturating_add(bytes as u64);
    }

    /// No code panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
