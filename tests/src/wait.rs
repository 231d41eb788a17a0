//! Waiting for what must come: asked again and again until it is there or the deadline has passed. A pause
//! between two questions is no synchronisation; the answer is.

use std::time::{Duration, Instant};

use anyhow::Context;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(50);

/// Long enough for everything that doesn't have a time of its own: a start, a view change, catching up, on a
/// busy machine with two cores.
pub const LONG: Duration = Duration::from_secs(60);

/// Asks until the answer is `Ok`.
///
/// # Errors
/// The last answer, when `limit` has passed.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let started = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if started.elapsed() >= limit => {
                return Err(error).with_context(|| format!("waited {} s in vain: {what}", limit.as_secs()));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
