//! Counters and histograms that any thread may add to.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Page;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// What it has grown to.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How often values fell below bounds.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One for each bound, not cumulated, and one for what lies above all.
    buckets: Vec<Counter>,
    sum: Counter,
}

impl Histogram {
    /// An empty one with these ascending bounds.
    #[must_use]
    pub fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, buckets: (0..=bounds.len()).map(|_| Counter::default()).collect(), sum: Counter::default() }
    }

    /// Counts a value.
    pub fn observe(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.buckets[bucket].add(1);
        self.sum.add(value);
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(Counter::value).sum()
    }

    pub(super) fn write(&self, name: &str, page: &mut Page) {
        let (bucket, mut below) = (format!("{name}_bucket"), 0);
        for (bound, counter) in self.bounds.iter().zip(&self.buckets) {
            below += counter.value();
            page.sample(&bucket, &[("le", &bound.to_string())], below);
        }
        let all = self.count();
        page.sample(&bucket, &[("le", "+Inf")], all);
        page.sample(&format!("{name}_sum"), &[], self.sum.value());
        page.sample(&format!("{name}_count"), &[], all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_at_a_bound_counts_below_it_and_buckets_cumulate() {
        let histogram = Histogram::new(&[1, 10]);
        for value in [0, 1, 2, 10, 11] {
            histogram.observe(value);
        }
        let mut page = Page::default();
        histogram.write("h", &mut page);
        let expected = "h_bucket{le=\"1\"} 2\nh_bucket{le=\"10\"} 4\nh_bucket{le=\"+Inf\"} 5\nh_sum 24\nh_count 5\n";
        assert_eq!(page.into_text(), expected);
    }
}
