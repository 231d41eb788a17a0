//! The one place that reads clocks.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use quorate_replica::Now;
use tokio::time::Instant;

/// Makes the time of a step. The monotonic part is tokio's, so that a simulation can hold it.
#[derive(Clone)]
pub struct Clock {
    start: Instant,
    wall_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Clock {
    /// The machine's clocks.
    #[must_use]
    pub fn system() -> Self {
        Self::with_wall(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
    }

    /// Another clock for the wall time, in milliseconds since 1970.
    #[must_use]
    pub fn with_wall(wall_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self { start: Instant::now(), wall_ms: Arc::new(wall_ms) }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { monotonic_ms: self.monotonic_ms(Instant::now()), wall_ms: (self.wall_ms)() }
    }

    /// An instant on the replica's monotonic scale, which starts at 1 so that 0 can mean never.
    #[must_use]
    pub fn monotonic_ms(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.start);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// The instant of a time on that scale; `None` if it lies too far ahead.
    #[must_use]
    pub fn instant(&self, monotonic_ms: u64) -> Option<Instant> {
        self.start.checked_add(std::time::Duration::from_millis(monotonic_ms.saturating_sub(1)))
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}
