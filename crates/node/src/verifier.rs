//! Signatures are checked here, before the replica's door: in parallel, in batches, bounded.
//!
//! A [`Verifier`] is a value: production gives it threads, a simulation lets it work inline, so that the
//! order of events follows from the seed alone.

use std::sync::Arc;

use quorate_transport::convert::decode_frame;
use quorate_transport::links::Lane;
use quorate_types::codec::DecodeError;
use quorate_types::ids::ValidatorIndex;
use quorate_types::message::Message;
use quorate_types::operation::{Operation, OperationFault};
use quorate_types::verified::{Context, Refused, Verified};
use tokio::sync::Semaphore;

use crate::tap::lane_of;

/// Frames of so many bytes together are checked on the caller's thread: some votes, or a bundle of a few operations,
/// cost less than waking another thread twice.
const ON_THE_SPOT_BYTES: usize = 4 << 10;

/// As above, operations.
const ON_THE_SPOT_OPERATIONS: usize = 4;

/// Why a frame of a peer is refused.
#[derive(Debug, thiserror::Error)]
pub enum FrameFault {
    /// Its bytes aren't a message.
    #[error(transparent)]
    Bytes(#[from] DecodeError),
    /// It belongs on the other stream: there it would wait behind its like, here votes wait behind it.
    #[error("a {kind} came on the {} stream", lane.name())]
    Lane {
        /// What it is.
        kind: &'static str,
        /// Where it came.
        lane: Lane,
    },
    /// The message breaks a rule, or a signature doesn't verify.
    #[error(transparent)]
    Message(#[from] Box<Refused>),
}

impl FrameFault {
    /// Evidence against whoever signed what was refused.
    pub(crate) fn into_evidence(self) -> Option<Verified<Message>> {
        match self {
            Self::Message(refused) => refused.shows,
            Self::Bytes(_) | Self::Lane { .. } => None,
        }
    }
}

/// A frame, and whose connection brought it.
pub(crate) type Frame = (ValidatorIndex, bytes::Bytes);

/// What became of a frame.
pub(crate) type Verdict = (ValidatorIndex, Result<Verified<Message>, FrameFault>);

/// Checks signatures against one epoch.
#[derive(Clone, Debug)]
pub struct Verifier {
    context: Arc<Context>,
    /// One permit per thread; `None` works inline.
    threads: Option<(Arc<Semaphore>, usize)>,
}

impl Verifier {
    /// Works on the caller's thread.
    #[must_use]
    pub const fn inline(context: Arc<Context>) -> Self {
        Self { context, threads: None }
    }

    /// Works on so many threads at most.
    #[must_use]
    pub fn on_threads(context: Arc<Context>, threads: usize) -> Self {
        Self { context, threads: Some((Arc::new(Semaphore::new(threads)), threads)) }
    }

    /// The epoch.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Reads and checks frames of one kind of stream; verdicts come in their order.
    pub(crate) async fn frames(&self, lane: Lane, frames: Vec<Frame>) -> Vec<Verdict> {
        let check = match lane {
            Lane::Control => |context: &Context, frames: Vec<Frame>| read_all(context, Lane::Control, frames),
            Lane::Bulk => |context: &Context, frames: Vec<Frame>| read_all(context, Lane::Bulk, frames),
        };
        let bytes: usize = frames.iter().map(|(_, frame)| frame.len()).sum();
        if bytes <= ON_THE_SPOT_BYTES {
            return check(&self.context, frames);
        }
        self.spread(frames, 1, check).await
    }

    /// Checks clients' operations, signatures in batches; verdicts come in their order.
    pub(crate) async fn operations(
        &self,
        operations: Vec<Arc<Operation>>,
    ) -> Vec<Result<Verified<Arc<Operation>>, OperationFault>> {
        if operations.len() <= ON_THE_SPOT_OPERATIONS {
            return self.context.verify_operations(operations);
        }
        // Batches below this gain less from a second thread than they lose by being smaller.
        self.spread(operations, 32, |context, operations| context.verify_operations(operations)).await
    }

    /// Splits the work into as many parts as there are threads, each of at least `least` items.
    async fn spread<T, R>(&self, mut items: Vec<T>, least: usize, work: fn(&Context, Vec<T>) -> Vec<R>) -> Vec<R>
    where
        T: Send + 'static,
        R: Send + 'static,
    {
        let Some((permits, threads)) = &self.threads else { return work(&self.context, items) };
        let part = items.len().div_ceil(*threads).max(least).max(1);
        let mut parts = Vec::new();
        while !items.is_empty() {
            let rest = items.split_off(part.min(items.len()));
            let (context, items) = (Arc::clone(&self.context), std::mem::replace(&mut items, rest));
            let permit = Arc::clone(permits).acquire_owned().await;
            parts.push(tokio::task::spawn_blocking(move || {
                let _permit = permit;
                work(&context, items)
            }));
        }
        let mut results = Vec::new();
        for part in parts {
            match part.await {
                Ok(part) => results.extend(part),
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                // The runtime is shutting down; nobody waits for the answer.
                Err(_) => return results,
            }
        }
        results
    }
}

fn read_all(context: &Context, lane: Lane, frames: Vec<Frame>) -> Vec<Verdict> {
    frames.into_iter().map(|(from, frame)| (from, read(context, lane, &frame))).collect()
}

fn read(context: &Context, lane: Lane, frame: &[u8]) -> Result<Verified<Message>, FrameFault> {
    let message = decode_frame(frame)?;
    // Before any signature is looked at.
    if lane_of(&message) != lane {
        return Err(FrameFault::Lane { kind: message.kind(), lane });
    }
    Ok(context.open(message)?)
}

#[cfg(test)]
mod tests {
    use quorate_transport::convert::encode_frame;
    use quorate_types::ids::Sequence;
    use quorate_types::message::Request;

    use super::*;

    /// protocol §9.5: bulk data on the stream of the votes is refused before its signatures cost anything, and so is
    /// the opposite.
    #[test]
    fn what_comes_on_the_other_stream_is_refused() {
        let message = Message::Request(Request::Segment(Sequence(1)));
        let (right, wrong) = match lane_of(&message) {
            Lane::Control => (Lane::Control, Lane::Bulk),
            Lane::Bulk => (Lane::Bulk, Lane::Control),
        };
        let frame = encode_frame(&message);
        let context = crate::intake::tests::context();
        assert!(read(&context, right, &frame).is_ok());
        assert!(matches!(read(&context, wrong, &frame), Err(FrameFault::Lane { .. })));
    }
}
