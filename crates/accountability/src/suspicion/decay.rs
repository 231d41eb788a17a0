//! Points that halve with time (accountability §6.2).
//!
//! A point count is an integer; [`ONE`] stands for 1. After a time `t`, `p` points with half-life `h` are
//! `p · 2^(−t/h)`: whole half-lives are shifts, and within one the factor is read from a table of sixteen
//! steps, straight between two of them. Every step rounds down, so points never grow by rounding, and never
//! last: after 31 half-lives nothing is left of any. Against the exact curve the factor is at most 0.03 % too
//! high, and points that are decayed in many small steps halve within 2 % of their half-life.

use std::fmt;

/// The integer that stands for 1.
pub const ONE: u64 = 1 << 30;

/// `2^(−i/16)` in parts of 2³², rounded down.
const STEPS: [u64; 17] = [
    4_294_967_296,
    4_112_874_773,
    3_938_502_375,
    3_771_522_796,
    3_611_622_602,
    3_458_501_653,
    3_311_872_529,
    3_171_459_999,
    3_037_000_499,
    2_908_241_642,
    2_784_941_737,
    2_666_869_344,
    2_553_802_833,
    2_445_529_971,
    2_341_847_523,
    2_242_560_871,
    2_147_483_648,
];

/// A number of points, between 0 and [`ONE`] inclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Points(u64);

impl Points {
    /// None.
    pub const NONE: Self = Self(0);
    /// All that there can be.
    pub const ALL: Self = Self(ONE);

    /// So many thousandths, at most 1.
    #[must_use]
    pub const fn thousandths(count: u64) -> Self {
        let count = if count > 1_000 { 1_000 } else { count };
        Self(count * ONE / 1_000)
    }

    /// In thousandths, rounded down.
    #[must_use]
    pub const fn in_thousandths(self) -> u64 {
        self.0 * 1_000 / ONE
    }

    /// Both together, at most `cap`.
    #[must_use]
    pub(super) const fn plus(self, other: Self, cap: Self) -> Self {
        let sum = self.0 + other.0;
        if sum > cap.0 { cap } else { Self(sum) }
    }

    /// `count` times as many, at most 1.
    #[must_use]
    pub(super) const fn times(self, count: u64) -> Self {
        let product = self.0.saturating_mul(count);
        if product > ONE { Self::ALL } else { Self(product) }
    }

    /// Halved so often.
    #[must_use]
    pub(super) const fn halved(self, times: u32) -> Self {
        Self(self.0 >> times)
    }

    /// What is left after `elapsed_ms`.
    #[must_use]
    pub(super) const fn after(self, elapsed_ms: u64, half_life_ms: u64) -> Self {
        let halvings = elapsed_ms / half_life_ms;
        if halvings > 30 {
            return Self::NONE;
        }
        let scaled = (elapsed_ms % half_life_ms) * 16;
        let step = (scaled / half_life_ms) as usize;
        let (from, to) = (STEPS[step], STEPS[step + 1]);
        let factor = from - (from - to) * (scaled % half_life_ms) / half_life_ms;
        Self(((self.0 >> halvings) * factor) >> 32)
    }

    /// After how long fewer than `few` are left: the first such millisecond.
    #[must_use]
    pub(super) const fn fades_in_ms(self, few: Self, half_life_ms: u64) -> u64 {
        let mut halvings = 0;
        while halvings <= 31 && self.0 >> halvings >= few.0 && few.0 > 0 {
            halvings += 1;
        }
        if halvings == 0 {
            return 0;
        }
        // More than `few` at `low`, fewer at `high`.
        let (mut low, mut high) = ((halvings - 1) * half_life_ms, halvings * half_life_ms);
        while high - low > 1 {
            let middle = u64::midpoint(low, high);
            if self.after(middle, half_life_ms).0 < few.0 { high = middle } else { low = middle }
        }
        high
    }
}

impl fmt::Display for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let thousandths = self.in_thousandths();
        write!(f, "{}.{:03}", thousandths / 1_000, thousandths % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    /// accountability §6.2
    #[test]
    fn points_halve_in_a_half_life_and_end_as_nothing() {
        assert_eq!(Points::ALL.after(0, HOUR), Points::ALL);
        assert_eq!(Points::ALL.after(HOUR, HOUR), Points(ONE / 2));
        assert_eq!(Points::ALL.after(3 * HOUR, HOUR), Points(ONE / 8));
        assert_eq!(Points::ALL.after(HOUR / 2, HOUR).in_thousandths(), 707);
        assert_eq!(Points::ALL.after(31 * HOUR, HOUR), Points::NONE);
        assert_eq!(Points::ALL.after(u64::MAX, HOUR), Points::NONE);
    }

    #[test]
    fn points_never_rise_with_time_and_steps_change_little() {
        let mut before = Points::ALL;
        let mut stepped = Points::ALL;
        for elapsed_ms in (0..3 * HOUR).step_by(997) {
            let now = Points::ALL.after(elapsed_ms, HOUR);
            assert!(now <= before, "at {elapsed_ms}");
            before = now;
            stepped = stepped.after(997, HOUR);
        }
        let (at_once, in_steps) = (before.in_thousandths(), stepped.in_thousandths());
        assert!(at_once.abs_diff(in_steps) <= 6, "{at_once} at once, {in_steps} in steps");
    }

    #[test]
    fn what_fades_is_there_until_then_and_not_after() {
        let few = Points::thousandths(1);
        for start in [1, 2, 30, 400, 1_000] {
            let points = Points::thousandths(start);
            let at_ms = points.fades_in_ms(few, 10_000);
            assert!(points.after(at_ms, 10_000) < few, "{start}");
            assert!(at_ms == 0 || points.after(at_ms - 1, 10_000) >= few, "{start}");
        }
        assert_eq!(Points::NONE.fades_in_ms(few, 10_000), 0);
    }
}
