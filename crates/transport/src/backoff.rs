//! How long to wait before the next attempt: doubling up to a cap, with jitter so that validators that
//! lost each other at one moment don't all come back at one moment.

use std::time::Duration;

/// The waits of one link or call.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    next: Duration,
}

impl Backoff {
    /// Waits of about `base`, then about twice as long each time, never above `cap`.
    #[must_use]
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, next: base }
    }

    /// The next wait: between half and all of what the doubling says, as `dice` falls.
    pub fn delay(&mut self, dice: u64) -> Duration {
        let whole = self.next.min(self.cap);
        self.next = whole.saturating_mul(2).min(self.cap);
        let half = whole / 2;
        let span_us = u64::try_from(half.as_micros()).unwrap_or(u64::MAX).saturating_add(1);
        half + Duration::from_micros(dice % span_us)
    }

    /// Starts over, after an attempt that led to something.
    pub const fn reset(&mut self) {
        self.next = self.base;
    }
}

/// A random number; a constant one if the system has none to give, which only costs the jitter.
#[must_use]
pub fn dice() -> u64 {
    getrandom::u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(300));
        let longest: Vec<_> = (0..5).map(|_| backoff.delay(25_000).as_millis()).collect();
        assert_eq!(longest[0], 50);
        assert!(longest[4] <= 300 && longest[4] >= 150, "{longest:?}");
        backoff.reset();
        assert_eq!(backoff.delay(0), Duration::from_millis(25));
    }

    #[test]
    fn jitter_stays_between_half_and_whole() {
        for dice in [0, 1, 12_345, u64::MAX] {
            let delay = Backoff::new(Duration::from_millis(80), Duration::from_secs(1)).delay(dice);
            assert!((40..=80).contains(&delay.as_millis()), "{delay:?}");
        }
    }
}
