//! What the measurements share.

use std::time::Duration;

/// How long this thread has been on a processor: others that use the machine don't count.
#[expect(clippy::disallowed_methods, reason = "a measurement of the core isn't the core")]
pub(crate) fn on_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("this needs Linux");
    let nanoseconds = text.split_whitespace().next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number of nanoseconds"))
}
