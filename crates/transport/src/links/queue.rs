//! The bounded queue of one outgoing stream.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

/// Frames that wait for a stream.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    ready: Notify,
    max_frames: usize,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Bytes>,
    bytes: usize,
    is_up: bool,
    dropped: u64,
}

/// How full a queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueueFigures {
    /// Frames that wait.
    pub(super) frames: usize,
    /// Their bytes.
    pub(super) bytes: usize,
    /// Frames left out since the start.
    pub(super) dropped: u64,
}

impl Queue {
    pub(super) fn new(max_frames: usize, max_bytes: usize) -> Self {
        Self { waiting: Mutex::default(), ready: Notify::new(), max_frames, max_bytes }
    }

    /// Adds a frame if it fits. On a stream that is up the newest is left out (those before it are on their
    /// way and the receiver needs them in order); on one that is down the oldest make room, so that what
    /// is sent after an outage is news. Says whether the frame waits now.
    pub(super) fn push(&self, frame: Bytes) -> bool {
        let mut waiting = self.lock();
        while !self.fits(&waiting, frame.len()) {
            waiting.dropped = waiting.dropped.saturating_add(1);
            if waiting.is_up {
                return false;
            }
            let Some(oldest) = waiting.frames.pop_front() else {
                return false;
            };
            waiting.bytes -= oldest.len();
        }
        waiting.bytes += frame.len();
        waiting.frames.push_back(frame);
        drop(waiting);
        self.ready.notify_one();
        true
    }

    /// The oldest frame, as soon as there is one. Dropping the future loses nothing.
    pub(super) async fn pop(&self) -> Bytes {
        loop {
            let ready = self.ready.notified();
            if let Some(frame) = self.try_pop() {
                return frame;
            }
            ready.await;
        }
    }

    /// Says whether the stream is up.
    pub(super) fn set_up(&self, is_up: bool) {
        self.lock().is_up = is_up;
    }

    pub(super) fn figures(&self) -> QueueFigures {
        let waiting = self.lock();
        QueueFigures { frames: waiting.frames.len(), bytes: waiting.bytes, dropped: waiting.dropped }
    }

    fn try_pop(&self) -> Option<Bytes> {
        let mut waiting = self.lock();
        let frame = waiting.frames.pop_front()?;
        waiting.bytes -= frame.len();
        Some(frame)
    }

    fn fits(&self, waiting: &Waiting, bytes: usize) -> bool {
        waiting.frames.len() < self.max_frames && waiting.bytes.saturating_add(bytes) <= self.max_bytes
    }

    /// No code panics while it holds the lock, and counts and frames are changed together.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(byte: u8, length: usize) -> Bytes {
        Bytes::from(vec![byte; length])
    }

    #[tokio::test]
    async fn a_full_queue_of_a_stream_that_is_up_leaves_the_newest_out_and_counts_it() {
        let queue = Queue::new(2, 100);
        queue.set_up(true);
        assert!(queue.push(frame(1, 10)) && queue.push(frame(2, 10)));
        assert!(!queue.push(frame(3, 10)));
        assert_eq!(queue.figures(), QueueFigures { frames: 2, bytes: 20, dropped: 1 });
        assert_eq!(queue.pop().await, frame(1, 10));
        assert!(queue.push(frame(4, 10)));
    }

    #[tokio::test]
    async fn a_full_queue_of_a_stream_that_is_down_keeps_the_newest() {
        let queue = Queue::new(2, 100);
        for byte in 1..=5 {
            assert!(queue.push(frame(byte, 10)));
        }
        assert_eq!(queue.figures().dropped, 3);
        assert_eq!((queue.pop().await, queue.pop().await), (frame(4, 10), frame(5, 10)));
    }

    #[test]
    fn bytes_are_bounded_too_and_one_frame_above_the_bound_never_fits() {
        let queue = Queue::new(100, 30);
        assert!(queue.push(frame(1, 20)) && queue.push(frame(2, 10)));
        assert!(queue.push(frame(3, 30)));
        assert_eq!(queue.figures().bytes, 30);
        assert!(!queue.push(frame(4, 31)));
        assert_eq!(queue.figures().bytes, 0);
    }
}
