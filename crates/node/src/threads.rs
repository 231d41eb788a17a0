//! Where a node's work is done: a value, so that a simulation swaps it and the parts stay the same code
//! (docs/decisions/0009).

use tokio::task::JoinError;

/// Where a node's work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// Driver, execution and guard file have threads of their own, signatures and long reads a pool.
    Own,
    /// Everything on the caller's runtime, for simulations: the order of events follows from the runtime's.
    /// There is no admin socket and no page of metrics.
    Inline,
}

impl Threads {
    /// Does work that computes for long or waits for the disk: not on the runtime's threads, if there are
    /// others.
    ///
    /// # Errors
    /// If the work panicked, or the runtime shuts down.
    pub(crate) async fn blocking<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        match self {
            Self::Own => tokio::task::spawn_blocking(work).await,
            Self::Inline => Ok(work()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/decisions/0009: nothing in a simulation leaves the thread that the seed rules.
    #[tokio::test]
    async fn inline_work_stays_on_the_callers_thread_and_own_work_leaves_it() {
        let here = std::thread::current().id();
        let whose = || std::thread::current().id();
        assert_eq!(Threads::Inline.blocking(whose).await.unwrap(), here);
        assert_ne!(Threads::Own.blocking(whose).await.unwrap(), here);
    }
}
