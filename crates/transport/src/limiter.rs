//! Token buckets: so much at once, so much per second.
//!
//! Two uses. A sender that can be told to come back ([`TokenBucket::try_take`]: clients, with `RetryInfo`)
//! is refused; one whose data is already here ([`TokenBucket::debit`]: peers) is read more slowly, so that
//! flow control carries the wait back to it. The caller says what time it is.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// What one sender may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Units per second in the long run, at least 1.
    pub per_second: u64,
    /// Units at once after a pause.
    pub burst: u64,
}

/// The account of one sender. It stores the moment at which the bucket is full again.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    rate: Rate,
    full_at: Instant,
}

impl TokenBucket {
    /// A full bucket.
    #[must_use]
    pub const fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, full_at: now }
    }

    /// Takes `units` if they are there. A request above the burst needs a full bucket and empties it
    /// below zero, so that it is slow but not impossible.
    ///
    /// # Errors
    /// How long to wait until they are there; nothing was taken.
    pub fn try_take(&mut self, now: Instant, units: u64) -> Result<(), Duration> {
        let full_at = self.full_at.max(now) + self.time_of(units);
        let allowed_at = full_at.checked_sub(self.time_of(self.rate.burst.max(units))).unwrap_or(now);
        if allowed_at > now {
            return Err(allowed_at - now);
        }
        self.full_at = full_at;
        Ok(())
    }

    /// Takes `units` whether they are there or not, and says how long to wait before the next.
    pub fn debit(&mut self, now: Instant, units: u64) -> Duration {
        self.full_at = self.full_at.max(now) + self.time_of(units);
        self.full_at.saturating_duration_since(now).saturating_sub(self.time_of(self.rate.burst))
    }

    /// Whether the bucket is full: forgetting it changes nothing.
    #[must_use]
    pub fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }

    /// How long it takes to earn `units`; at most an hour, so that no request locks anyone out for ever.
    fn time_of(&self, units: u64) -> Duration {
        const HOUR_NS: u128 = 3_600_000_000_000;
        let nanoseconds = u128::from(units) * 1_000_000_000 / u128::from(self.rate.per_second.max(1));
        Duration::from_nanos(u64::try_from(nanoseconds.min(HOUR_NS)).unwrap_or(u64::MAX))
    }
}

/// Buckets for many senders, by whatever tells them apart. Bounded: a sender whose bucket is full is
/// forgotten when room is needed, and when all are busy new ones have to wait.
#[derive(Clone, Debug)]
pub struct Limiter<K> {
    rates: [Rate; 2],
    capacity: usize,
    accounts: BTreeMap<K, [TokenBucket; 2]>,
}

impl<K: Ord + Clone> Limiter<K> {
    /// Limits for requests (or operations) and for bytes, for at most `capacity` senders at a time.
    #[must_use]
    pub const fn new(requests: Rate, bytes: Rate, capacity: usize) -> Self {
        Self { rates: [requests, bytes], capacity, accounts: BTreeMap::new() }
    }

    /// Charges `sender` for `requests` of together `bytes`.
    ///
    /// # Errors
    /// How long it should wait; nothing was charged.
    pub fn admit(&mut self, now: Instant, sender: &K, requests: u64, bytes: u64) -> Result<(), Duration> {
        if !self.accounts.contains_key(sender) && self.accounts.len() >= self.capacity {
            self.accounts.retain(|_, buckets| !buckets.iter().all(|bucket| bucket.is_full(now)));
            if self.accounts.len() >= self.capacity {
                return Err(Duration::from_secs(1));
            }
        }
        let fresh = self.rates.map(|rate| TokenBucket::new(rate, now));
        let buckets = self.accounts.entry(sender.clone()).or_insert(fresh);
        let [mut by_request, mut by_byte] = buckets.clone();
        by_request.try_take(now, requests)?;
        by_byte.try_take(now, bytes)?;
        *buckets = [by_request, by_byte];
        Ok(())
    }

    /// How many senders have an account.
    #[must_use]
    pub fn accounts(&self) -> usize {
        self.accounts.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10, burst: 20 };

    #[test]
    fn a_burst_goes_through_and_then_the_rate_holds() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(RATE, start);
        assert_eq!(bucket.try_take(start, 20), Ok(()));
        let wait = bucket.try_take(start, 1).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        assert_eq!(bucket.try_take(start + wait, 1), Ok(()));
        assert!(bucket.try_take(start + wait, 1).is_err());
    }

    #[test]
    fn a_request_above_the_burst_needs_a_full_bucket_and_is_paid_for() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(RATE, start);
        assert_eq!(bucket.try_take(start, 50), Ok(()));
        assert_eq!(bucket.try_take(start, 50), Err(Duration::from_secs(5)));
        assert_eq!(bucket.try_take(start + Duration::from_secs(5), 50), Ok(()));
    }

    #[test]
    fn a_debit_is_never_refused_but_costs_a_wait() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(RATE, start);
        assert_eq!(bucket.debit(start, 20), Duration::ZERO);
        assert_eq!(bucket.debit(start, 10), Duration::from_secs(1));
        assert!(bucket.debit(start, u64::MAX) > Duration::from_secs(3_000));
    }

    #[test]
    fn senders_do_not_share_an_account_and_accounts_are_bounded() {
        let start = Instant::now();
        let mut limiter = Limiter::new(RATE, Rate { per_second: 1_000, burst: 1_000 }, 2);
        assert!(limiter.admit(start, &"a", 20, 10).is_ok());
        assert!(limiter.admit(start, &"a", 1, 10).is_err());
        assert!(limiter.admit(start, &"b", 1, 1_000).is_ok());
        assert!(limiter.admit(start, &"b", 1, 10).is_err(), "bytes count on their own");
        assert!(limiter.admit(start, &"c", 1, 1).is_err(), "all accounts are busy");
        assert!(limiter.admit(start + Duration::from_secs(60), &"c", 1, 1).is_ok());
        assert_eq!(limiter.accounts(), 1);
    }

    #[test]
    fn what_is_refused_for_its_bytes_costs_no_request() {
        let start = Instant::now();
        let mut limiter = Limiter::new(RATE, Rate { per_second: 1, burst: 1 }, 2);
        assert!(limiter.admit(start, &1, 10, 1).is_ok());
        assert!(limiter.admit(start, &1, 10, 1).is_err());
        assert!(limiter.admit(start + Duration::from_secs(1), &1, 20, 1).is_ok());
    }
}
