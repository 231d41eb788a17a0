//! A validator's two clocks, made from virtual time.

use quorate_replica::Now;

/// Virtual time 0 as block time: 2025-01-01T00:00:00Z.
pub(crate) const START_WALL_MS: u64 = 1_735_689_600_000;

/// The clocks of one validator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Clock {
    /// The wall clock's offset from true time.
    pub(super) offset_ms: i64,
    /// The monotonic clock starts at 0 with the process.
    pub(super) started_us: u64,
}

impl Clock {
    pub(super) fn now(&self, at_us: u64) -> Now {
        let true_ms = START_WALL_MS + at_us / 1_000;
        Now {
            monotonic_ms: at_us.saturating_sub(self.started_us) / 1_000 + 1,
            wall_ms: true_ms.saturating_add_signed(self.offset_ms),
        }
    }

    /// The virtual time at which the monotonic clock shows `monotonic_ms`.
    pub(super) const fn at_us(&self, monotonic_ms: u64) -> u64 {
        self.started_us.saturating_add(monotonic_ms.saturating_sub(1).saturating_mul(1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_reached_at_the_time_computed_for_it() {
        let clock = Clock { offset_ms: -500, started_us: 12_345 };
        for deadline_ms in [1, 2, 77, 10_000] {
            let at = clock.at_us(deadline_ms);
            assert!(clock.now(at).monotonic_ms >= deadline_ms);
        }
        assert_eq!(clock.now(2_000_000).wall_ms, START_WALL_MS + 1_500);
    }
}
