//! Faults that calls find and that must stop the node: a damaged store, a panic.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::error::NodeError;
use crate::supervise::panicked;

/// Where calls report.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    /// One place: the first fault stops the node, further ones say nothing new.
    first: mpsc::Sender<NodeError>,
}

/// The two ends: one for calls, one to be supervised.
pub(crate) fn faults(
    stopping: CancellationToken,
) -> (Faults, impl Future<Output = Result<(), NodeError>> + Send + 'static) {
    let (first, mut reported) = mpsc::channel(1);
    let watch = async move {
        tokio::select! {
            biased;
            Some(fault) = reported.recv() => Err(fault),
            () = stopping.cancelled() => Ok(()),
        }
    };
    (Faults { first }, watch)
}

impl Faults {
    /// Stops the node with this fault, unless it stops already.
    pub(crate) fn report(&self, fault: NodeError) {
        let _ = self.first.try_send(fault);
    }

    /// Runs a part of a call; `None`, and a report, if it panics.
    pub(crate) async fn watch<T>(&self, name: &'static str, part: impl Future<Output = T>) -> Option<T> {
        match AssertUnwindSafe(part).catch_unwind().await {
            Ok(result) => Some(result),
            Err(panic) => {
                self.report(panicked(name, &*panic));
                None
            }
        }
    }

    /// Runs the rest of a call beside it; a panic is reported.
    pub(crate) fn spawn(&self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        let faults = self.clone();
        tokio::spawn(async move { faults.watch(name, part).await });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_that_panics_stops_the_node() {
        let (faults, watch) = faults(CancellationToken::new());
        assert_eq!(faults.watch("fine", async { 7 }).await, Some(7));
        faults.spawn("shaky", async { panic!("out of luck") });
        assert!(matches!(watch.await, Err(NodeError::Panicked { task: "shaky", .. })));
    }
}
