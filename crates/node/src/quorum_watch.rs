//! Whether a quorum is in touch: the rule of read-only mode.
//!
//! A validator is *in touch* while messages from it keep coming. When so many are silent that those left,
//! this one included, are no quorum, and that lasts two timeouts, writes are refused by naming who is
//! missing; the moment that a quorum is in touch again, they are taken again. This decides nothing that
//! the protocol counts: it only spares clients a wait that can't end well.

use quorate_types::ids::ValidatorIndex;
use quorate_types::quorum::Quorum;

/// So many status intervals without a message mean silence: two may be lost.
const SILENT_INTERVALS: u64 = 4;

/// A validator that is silent or signs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Which.
    pub validator: ValidatorIndex,
    /// When the last message from it came, by the monotonic clock; `None` if none came since the start.
    pub last_heard_ms: Option<u64>,
}

/// Who is in touch, and since when no quorum is.
#[derive(Clone, Debug)]
pub struct QuorumWatch {
    me: ValidatorIndex,
    quorum: Quorum,
    silence_ms: u64,
    last_heard_ms: Vec<Option<u64>>,
    /// Says that it signs nothing, so that no quorum can be built on it.
    is_following: Vec<bool>,
    lacking_since_ms: Option<u64>,
    is_read_only: bool,
}

impl QuorumWatch {
    /// Nobody was heard yet.
    #[must_use]
    pub fn new(me: ValidatorIndex, quorum: Quorum, status_interval_ms: u64) -> Self {
        let validators = quorum.validators();
        Self {
            me,
            quorum,
            silence_ms: status_interval_ms.saturating_mul(SILENT_INTERVALS),
            last_heard_ms: vec![None; validators],
            is_following: vec![false; validators],
            lacking_since_ms: None,
            is_read_only: false,
        }
    }

    /// A message from `validator` came.
    pub fn heard(&mut self, validator: ValidatorIndex, now_ms: u64) {
        if let Some(heard) = self.last_heard_ms.get_mut(validator.position()) {
            *heard = Some(now_ms);
        }
    }

    /// `validator` says whether it signs nothing.
    pub fn says_following(&mut self, validator: ValidatorIndex, is_following: bool) {
        if let Some(known) = self.is_following.get_mut(validator.position()) {
            *known = is_following;
        }
    }

    /// Judges the time; true if the mode changed.
    pub fn judge(&mut self, now_ms: u64, timeout_ms: u64) -> bool {
        let before = self.is_read_only;
        if self.in_touch(now_ms) >= self.quorum.quorum() {
            self.lacking_since_ms = None;
            self.is_read_only = false;
        } else {
            let since = *self.lacking_since_ms.get_or_insert(now_ms);
            self.is_read_only |= now_ms.saturating_sub(since) >= timeout_ms.saturating_mul(2);
        }
        self.is_read_only != before
    }

    /// Whether writes are refused.
    #[must_use]
    pub const fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    /// Since when no quorum is in touch, by the monotonic clock.
    #[must_use]
    pub const fn lacking_since_ms(&self) -> Option<u64> {
        self.lacking_since_ms
    }

    /// Who is out of touch, or signs nothing.
    #[must_use]
    pub fn missing(&self, now_ms: u64) -> Vec<Missing> {
        let indices = quorate_types::set::indices(self.quorum.validators());
        let absent = indices.filter(|validator| !self.counts(*validator, now_ms));
        absent.map(|validator| Missing { validator, last_heard_ms: self.last_heard_ms[validator.position()] }).collect()
    }

    /// How many a quorum could be built of.
    fn in_touch(&self, now_ms: u64) -> usize {
        quorate_types::set::indices(self.quorum.validators())
            .filter(|validator| self.counts(*validator, now_ms))
            .count()
    }

    fn counts(&self, validator: ValidatorIndex, now_ms: u64) -> bool {
        if validator == self.me {
            return true;
        }
        let heard = self.last_heard_ms[validator.position()];
        heard.is_some_and(|heard| now_ms.saturating_sub(heard) <= self.silence_ms)
            && !self.is_following[validator.position()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: u64 = 500;

    fn watch() -> QuorumWatch {
        QuorumWatch::new(ValidatorIndex(0), Quorum::of(4), 250)
    }

    fn hear(watch: &mut QuorumWatch, validators: &[u16], now: u64) {
        validators.iter().for_each(|index| watch.heard(ValidatorIndex(*index), now));
    }

    #[test]
    fn two_timeouts_without_a_quorum_make_it_read_only_and_one_message_ends_that() {
        let mut watch = watch();
        hear(&mut watch, &[1, 2, 3], 0);
        assert!(!watch.judge(1_000, TIMEOUT));
        hear(&mut watch, &[1], 1_500);
        assert!(!watch.judge(1_500, TIMEOUT), "out of touch since now");
        assert_eq!(watch.lacking_since_ms(), Some(1_500));
        hear(&mut watch, &[1], 2_499);
        assert!(!watch.judge(2_499, TIMEOUT));
        assert!(watch.judge(2_500, TIMEOUT) && watch.is_read_only());
        let missing: Vec<_> = watch.missing(2_500).iter().map(|missing| missing.validator.0).collect();
        assert_eq!(missing, [2, 3]);
        assert_eq!(watch.missing(2_500)[0].last_heard_ms, Some(0));
        hear(&mut watch, &[3], 2_600);
        assert!(watch.judge(2_600, TIMEOUT) && !watch.is_read_only());
    }

    #[test]
    fn a_short_gap_changes_nothing() {
        let mut watch = watch();
        for now in (0..10_000).step_by(900) {
            hear(&mut watch, &[1, 2], now);
            assert!(!watch.judge(now, TIMEOUT));
        }
    }

    #[test]
    fn who_signs_nothing_is_missing_however_much_it_talks() {
        let mut watch = watch();
        watch.says_following(ValidatorIndex(2), true);
        for now in (0..=2_000).step_by(100) {
            hear(&mut watch, &[1, 2], now);
            watch.judge(now, TIMEOUT);
        }
        assert!(watch.is_read_only());
        watch.says_following(ValidatorIndex(2), false);
        assert!(watch.judge(2_000, TIMEOUT));
    }

    #[test]
    fn a_lone_validator_is_its_own_quorum() {
        let mut watch = QuorumWatch::new(ValidatorIndex(0), Quorum::of(1), 250);
        assert!(!watch.judge(0, TIMEOUT) && !watch.judge(1_000_000, TIMEOUT));
        assert!(watch.missing(1_000_000).is_empty());
    }
}
