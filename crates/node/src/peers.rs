//! Between the links and the driver: frames in batches through the verifier, requests to the store.

mod responder;

use std::sync::Arc;
use std::time::Duration;

use quorate_transport::links::{Incoming, Lane, PeerLinks, PeerView};
use quorate_types::ids::ValidatorIndex;
use quorate_types::message::{Message, Request};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub(crate) use self::responder::{Responders, Sources};
use crate::driver::Inputs;
use crate::error::NodeError;
use crate::metrics::Metrics;
use crate::refusals::Refusals;
use crate::verifier::{Frame, FrameFault, Verifier};

/// Frames of control messages that wait for the verifier, of all peers.
pub(crate) const CONTROL_FRAMES: usize = 1_024;

/// Frames of bulk data that wait for the verifier, of all peers; one may have 8 MiB, most have 0.5.
pub(crate) const BULK_FRAMES: usize = 16;

/// Frames verified as one batch at most.
const BATCH_FRAMES: usize = 256;

/// A refused message is logged at most so often.
const REFUSAL_LOG: Duration = Duration::from_secs(1);

/// Reads the frames of one of the two kinds of streams and hands them to the driver, verified.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) lane: Lane,
    pub(crate) frames: mpsc::Receiver<Incoming>,
    pub(crate) batch_bytes: usize,
    pub(crate) verifier: Verifier,
    pub(crate) inputs: Inputs,
    pub(crate) responders: Responders,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) names: Arc<[String]>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) stopping: CancellationToken,
}

impl Intake {
    /// Works until the node stops.
    pub(crate) async fn run(mut self) -> Result<(), NodeError> {
        let mut logged = None;
        loop {
            let frames = tokio::select! {
                () = self.stopping.cancelled() => return Ok(()),
                frames = next_batch(&mut self.frames, self.batch_bytes) => frames,
            };
            let Some(frames) = frames else { return Ok(()) };
            let mut batch = Vec::with_capacity(frames.len());
            for (from, verdict) in self.verifier.frames(self.lane, frames).await {
                match verdict {
                    Ok(message) => {
                        match &*message {
                            // Signed by the replica; all other questions are answered from the store.
                            Message::Request(Request::Freshness(_)) => batch.push((from, message)),
                            Message::Request(request) => self.responders.ask(from, *request),
                            _ => batch.push((from, message)),
                        }
                    }
                    Err(fault) => {
                        self.on_refused(from, &fault, &mut logged);
                        batch.extend(fault.into_evidence().map(|evidence| (from, evidence)));
                    }
                }
            }
            self.metrics.verified_messages.add(batch.len() as u64);
            if batch.is_empty() {
                continue;
            }
            let to_driver = match self.lane {
                Lane::Control => &self.inputs.control,
                Lane::Bulk => &self.inputs.bulk,
            };
            let sent = tokio::select! {
                () = self.stopping.cancelled() => return Ok(()),
                sent = to_driver.send(batch) => sent,
            };
            if sent.is_err() {
                return Ok(());
            }
        }
    }

    fn on_refused(&self, from: ValidatorIndex, fault: &FrameFault, logged: &mut Option<Instant>) {
        self.refusals.note(from, fault);
        self.metrics.refused_messages.add(1);
        let now = Instant::now();
        if logged.is_none_or(|logged| now.duration_since(logged) >= REFUSAL_LOG) {
            *logged = Some(now);
            let from = self.names.get(from.position()).map_or("?", String::as_str);
            warn!(from, %fault, total = self.metrics.refused_messages.value(), "a peer's message was refused");
        }
    }
}

/// The frames that wait, up to the bounds of a batch; `None` when the links are gone.
async fn next_batch(frames: &mut mpsc::Receiver<Incoming>, batch_bytes: usize) -> Option<Vec<Frame>> {
    let Incoming { from, frame, .. } = frames.recv().await?;
    let mut bytes = frame.len();
    let mut batch = vec![(from, frame)];
    while batch.len() < BATCH_FRAMES && bytes < batch_bytes {
        let Ok(Incoming { from, frame, .. }) = frames.try_recv() else { break };
        bytes += frame.len();
        batch.push((from, frame));
    }
    Some(batch)
}

/// At each of so many peers another connection must have taken the place of one of ours before that counts: no accident of
/// a network or a restart does it even once.
const TIMES_REPLACED: u64 = 3;

/// Whether another node runs with this validator's key, by the word of so many that one is correct (protocol §7.6).
fn is_key_elsewhere(views: &[PeerView], one_correct: usize) -> bool {
    views.iter().filter(|view| view.replaced >= TIMES_REPLACED).count() >= one_correct
}

/// Says when a peer comes or goes, until the node stops; and tells the replica when its key runs elsewhere.
pub(crate) async fn log_peers(
    links: Arc<PeerLinks>,
    (refusals, one_correct): (Arc<Refusals>, usize),
    stopping: CancellationToken,
) -> Result<(), NodeError> {
    let mut changes = links.changes();
    let mut before: Vec<PeerView> = links.views();
    loop {
        tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            changed = changes.changed() => if changed.is_err() {
                // A validator alone has no peers.
                stopping.cancelled().await;
                return Ok(());
            },
        }
        let now = links.views();
        for (before, now) in before.iter().zip(&now) {
            match (before.is_connected(), now.is_connected()) {
                (false, true) => info!(peer = now.name, round_trip = ?now.round_trip, "connected"),
                (true, false) => {
                    let problem = now.problem.as_deref().unwrap_or("its stream ended");
                    warn!(peer = now.name, problem, "disconnected");
                }
                _ => {}
            }
        }
        if is_key_elsewhere(&now, one_correct) && !is_key_elsewhere(&before, one_correct) {
            refusals.note_key_elsewhere();
        }
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use quorate_transport::links::Place;

    use super::*;

    fn incoming(length: usize) -> Incoming {
        let frame = Bytes::from(vec![0; length]);
        Incoming { from: ValidatorIndex(1), lane: Lane::Bulk, frame, at: Instant::now(), place: Place::default() }
    }

    #[tokio::test]
    async fn a_batch_ends_at_its_bounds_in_frames_and_bytes() {
        let (sender, mut frames) = mpsc::channel(1_000);
        for _ in 0..BATCH_FRAMES + 5 {
            sender.send(incoming(1)).await.unwrap();
        }
        assert_eq!(next_batch(&mut frames, 1 << 20).await.unwrap().len(), BATCH_FRAMES);
        assert_eq!(next_batch(&mut frames, 1 << 20).await.unwrap().len(), 5);
        for length in [60, 60, 60] {
            sender.send(incoming(length)).await.unwrap();
        }
        assert_eq!(next_batch(&mut frames, 100).await.unwrap().len(), 2);
        assert_eq!(next_batch(&mut frames, 100).await.unwrap().len(), 1);
        drop(sender);
        assert!(next_batch(&mut frames, 100).await.is_none());
    }
}
