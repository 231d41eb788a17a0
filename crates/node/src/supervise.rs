//! Named tasks and threads: all are watched, all are joined, and a panic in one ends the node.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::error::NodeError;

/// How long the parts of a node have to end when it stops.
const PATIENCE: Duration = Duration::from_secs(30);

type End = (&'static str, Result<(), NodeError>);

/// Starts the parts of a node and waits for them.
#[derive(Debug)]
pub(crate) struct Supervisor {
    stopping: CancellationToken,
    ends: mpsc::UnboundedSender<End>,
    /// Bounded by the number of parts, which each end once.
    ended: mpsc::UnboundedReceiver<End>,
    running: Vec<&'static str>,
}

impl Supervisor {
    pub(crate) fn new(stopping: CancellationToken) -> Self {
        let (ends, ended) = mpsc::unbounded_channel();
        Self { stopping, ends, ended, running: Vec::new() }
    }

    /// Runs `part` as a task called `name`. It should end when the node stops, and not before.
    pub(crate) fn task<F>(&mut self, name: &'static str, part: F)
    where
        F: Future<Output = Result<(), NodeError>> + Send + 'static,
    {
        self.running.push(name);
        let ends = self.ends.clone();
        tokio::spawn(async move {
            let result = AssertUnwindSafe(part).catch_unwind().await;
            // The receiver lives as long as anyone waits.
            let _ = ends.send((name, result.unwrap_or_else(|panic| Err(panicked(name, &*panic)))));
        });
    }

    /// Runs `part`, which blocks, on a thread called `name`.
    pub(crate) fn thread(
        &mut self,
        name: &'static str,
        part: impl FnOnce() -> Result<(), NodeError> + Send + 'static,
    ) -> Result<(), NodeError> {
        let ends = self.ends.clone();
        let run = move || {
            let result = std::panic::catch_unwind(AssertUnwindSafe(part));
            let _ = ends.send((name, result.unwrap_or_else(|panic| Err(panicked(name, &*panic)))));
        };
        let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        spawned.map_err(|source| NodeError::System { what: "a thread", source })?;
        self.running.push(name);
        Ok(())
    }

    /// Waits until the node is asked to stop or a part ends; then stops all parts and waits for them.
    ///
    /// # Errors
    /// The first error of any part.
    pub(crate) async fn run(mut self, close: impl FnOnce()) -> Result<(), NodeError> {
        let stopping = self.stopping.clone();
        let mut cause = tokio::select! {
            () = stopping.cancelled() => Ok(()),
            end = self.next() => match end {
                (task, Ok(())) if !stopping.is_cancelled() => Err(NodeError::Ended { task }),
                (_, result) => result,
            },
        };
        self.stopping.cancel();
        close();
        while !self.running.is_empty() {
            let Ok((task, result)) = tokio::time::timeout(PATIENCE, self.next()).await else {
                let (task, seconds) = (self.running[0], PATIENCE.as_secs());
                return cause.and(Err(NodeError::Stuck { task, seconds }));
            };
            debug!(task, "ended");
            // A part that ends because another failed may be heard first.
            cause = match (cause, result) {
                (Ok(()) | Err(NodeError::Ended { .. }), Err(error)) => Err(error),
                (cause, _) => cause,
            };
        }
        cause
    }

    async fn next(&mut self) -> End {
        match self.ended.recv().await {
            Some((task, result)) => {
                let position = self.running.iter().position(|running| *running == task);
                position.map(|position| self.running.swap_remove(position));
                (task, result)
            }
            // The supervisor holds a sender itself.
            None => std::future::pending().await,
        }
    }
}

pub(crate) fn panicked(task: &'static str, panic: &(dyn Any + Send)) -> NodeError {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    NodeError::Panicked { task, message: text.unwrap_or_else(|| "no words".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supervisor() -> (Supervisor, CancellationToken) {
        let stopping = CancellationToken::new();
        (Supervisor::new(stopping.clone()), stopping)
    }

    async fn until(stopping: CancellationToken) -> Result<(), NodeError> {
        stopping.cancelled().await;
        Ok(())
    }

    #[tokio::test]
    async fn a_panicking_task_ends_the_node_with_its_name_and_words() {
        let (mut supervisor, stopping) = supervisor();
        supervisor.task("steady", until(stopping));
        supervisor.task("shaky", async { panic!("out of luck") });
        let error = supervisor.run(|| {}).await.unwrap_err();
        assert!(
            matches!(&error, NodeError::Panicked { task: "shaky", message } if message == "out of luck"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_panicking_thread_and_a_part_that_ends_early_end_the_node_too() {
        let (mut supervisor, stopping) = supervisor();
        supervisor.task("steady", until(stopping));
        supervisor.thread("deep", || panic!("{}", 7)).unwrap();
        assert!(matches!(supervisor.run(|| {}).await, Err(NodeError::Panicked { task: "deep", .. })));
        let (mut supervisor, stopping) = self::supervisor();
        supervisor.task("steady", until(stopping));
        supervisor.task("brief", async { Ok(()) });
        assert!(matches!(supervisor.run(|| {}).await, Err(NodeError::Ended { task: "brief" })));
    }

    #[tokio::test]
    async fn asked_to_stop_it_closes_and_joins_everything() {
        let (mut supervisor, stopping) = supervisor();
        supervisor.task("steady", until(stopping.clone()));
        supervisor.thread("deep", || Ok(())).unwrap();
        stopping.cancel();
        let mut closed = false;
        assert!(supervisor.run(|| closed = true).await.is_ok());
        assert!(closed);
    }
}
