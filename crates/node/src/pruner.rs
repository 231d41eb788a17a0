//! Pruning in the background: what lies below the operator's retention leaves the store (protocol §8.1).
//!
//! It works in small batches with pauses, so that it never competes with what clients wait for; a restart
//! goes on where it stopped. What is asked for and has gone is answered as pruned, with the oldest sequence
//! kept.

use std::sync::Arc;
use std::time::Duration;

use quorate_replica::pruning::{Pruned, floor, prune, sweep_void};
use quorate_replica::records::RecordError;
use quorate_replica::transfer::Sweep;
use quorate_storage::{Durability, Store};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::error::NodeError;
use crate::threads::Threads;

/// Sequences that go at once.
const BATCH: u64 = 32;

/// Void bundles that go at once.
const VOID_BATCH: usize = 64;

/// The pause after each batch: up to some 1,500 sequences per second, above what any load adds.
const PAUSE: Duration = Duration::from_millis(20);

/// How long to wait when there is nothing to prune.
const IDLE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(crate) struct Pruner<S> {
    pub(crate) store: Arc<S>,
    /// Sequences kept below the stable checkpoint; `None`: all.
    pub(crate) retained: Option<u64>,
    /// Every so many sequences there is a checkpoint, whose certificate stays.
    pub(crate) checkpoint_interval: u32,
    pub(crate) threads: Threads,
    pub(crate) stopping: CancellationToken,
}

impl<S: Store> Pruner<S> {
    /// Works until the node stops.
    pub(crate) async fn run(self) -> Result<(), NodeError> {
        let mut sweep = Sweep::default();
        loop {
            let (store, retained, interval) = (Arc::clone(&self.store), self.retained, self.checkpoint_interval);
            let mut at = sweep.clone();
            let step = self.threads.blocking(move || {
                let done = step(&*store, &mut at, (retained, interval))?;
                Ok::<_, RecordError>((done, at))
            });
            let sequences = match step.await {
                Ok(done) => {
                    let (sequences, at) = done?;
                    sweep = at;
                    sequences
                }
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => return Ok(()),
            };
            let pause = if sequences == 0 { IDLE } else { PAUSE };
            tokio::select! {
                () = self.stopping.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

/// One batch. How much went.
fn step<S: Store>(
    store: &S,
    sweep: &mut Sweep,
    (retained, checkpoint_interval): (Option<u64>, u32),
) -> Result<u64, RecordError> {
    // What is left of transfers that are over (protocol §8.7).
    let left = sweep.next(store)?;
    let swept = left.len() as u64;
    if swept > 0 {
        store.write(left, Durability::Buffered)?;
    }
    let void = sweep_void(store, VOID_BATCH)?;
    let swept = swept + void.len() as u64;
    if !void.is_empty() {
        store.write(void, Durability::Buffered)?;
    }
    let Some(retained) = retained else { return Ok(swept) };
    let floor = floor(store, retained)?;
    let Pruned { batch, sequences } = prune(store, floor, checkpoint_interval, BATCH)?;
    if sequences > 0 {
        debug!(sequences, entries = batch.len(), "pruned");
        // Lost in a crash, it is done again.
        store.write(batch, Durability::Buffered)?;
    }
    Ok(sequences + swept)
}
