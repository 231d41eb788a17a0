//! What the node counts, in the text form that Prometheus reads.
//!
//! Counters and histograms are added to where things happen; gauges are sampled when someone asks. Names
//! start with `quorate_`, units are in the names. Nothing here is needed for any decision.

mod http;
mod instrument;

use std::fmt::Write as _;

pub use self::http::serve;
pub use self::instrument::{Counter, Histogram};

/// Bounds of histograms of times, in milliseconds.
const TIME_BOUNDS_MS: &[u64] = &[1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000];

/// Bounds of histograms of counts.
const COUNT_BOUNDS: &[u64] = &[0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

/// Everything that is counted since the start.
#[derive(Debug)]
pub struct Metrics {
    /// Turns of the event loop.
    pub turns: Counter,
    /// Batches of records written and synced to the store.
    pub store_syncs: Counter,
    /// Batches written and synced to the guard file.
    pub guard_syncs: Counter,
    /// Bytes of records in synced batches.
    pub synced_bytes: Counter,
    /// How long a turn's save took, store and guard file side by side.
    pub save_ms: Histogram,
    /// Votes handled, own and others', per synced batch.
    pub votes_per_sync: Histogram,
    /// Bundles handled, own and others', per synced batch.
    pub bundles_per_sync: Histogram,
    /// Operations in them.
    pub operations_per_sync: Histogram,
    /// From the first sight of a proposal to its delivery.
    pub commit_ms: Histogram,
    /// From an own client's operation to its receipt with proof.
    pub receipt_ms: Histogram,
    /// How long executing a sequence took.
    pub execute_ms: Histogram,
    /// Operations executed, rejected ones included.
    pub executed_operations: Counter,
    /// Those of them that were rejected.
    pub rejected_operations: Counter,
    /// Operations judged without a receipt.
    pub judged_operations: Counter,
    /// Operations taken from own clients.
    pub taken_operations: Counter,
    /// Messages from peers that were verified.
    pub verified_messages: Counter,
    /// Messages from peers that were refused.
    pub refused_messages: Counter,
    /// Views entered.
    pub views_entered: Counter,
    /// Complaints made.
    pub complaints: Counter,
    /// Pairs of signed messages that contradict each other.
    pub evidence: Counter,
    /// Intake promises given.
    pub promises: Counter,
    /// Kinds of evidence of which the cluster has convicted a validator.
    pub convictions: Counter,
    /// Signatures that the guard refused to give.
    pub guard_refusals: Counter,
    /// Calls of clients refused by their rate.
    pub rate_limited: Counter,
    /// Watches cut because their watcher was too slow.
    pub watches_cut: Counter,
    /// Times that the node went read-only.
    pub read_only: Counter,
    /// States fetched from other validators.
    pub transfers: Counter,
    /// Bytes of their entries.
    pub transferred_bytes: Counter,
    /// Parts of states that weren't the certified ones.
    pub lying_chunks: Counter,
    /// Questions for parts of states that were left open.
    pub silent_providers: Counter,
    /// Changes of levels of suspicion.
    pub suspicion_changes: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let (times, counts) = (|| Histogram::new(TIME_BOUNDS_MS), || Histogram::new(COUNT_BOUNDS));
        Self {
            turns: Counter::default(),
            store_syncs: Counter::default(),
            guard_syncs: Counter::default(),
            synced_bytes: Counter::default(),
            save_ms: times(),
            votes_per_sync: counts(),
            bundles_per_sync: counts(),
            operations_per_sync: counts(),
            commit_ms: times(),
            receipt_ms: times(),
            execute_ms: times(),
            executed_operations: Counter::default(),
            rejected_operations: Counter::default(),
            judged_operations: Counter::default(),
            taken_operations: Counter::default(),
            verified_messages: Counter::default(),
            refused_messages: Counter::default(),
            views_entered: Counter::default(),
            complaints: Counter::default(),
            evidence: Counter::default(),
            promises: Counter::default(),
            convictions: Counter::default(),
            guard_refusals: Counter::default(),
            rate_limited: Counter::default(),
            watches_cut: Counter::default(),
            read_only: Counter::default(),
            transfers: Counter::default(),
            transferred_bytes: Counter::default(),
            lying_chunks: Counter::default(),
            silent_providers: Counter::default(),
            suspicion_changes: Counter::default(),
        }
    }
}

impl Metrics {
    /// Everything counted, as text.
    pub fn write(&self, page: &mut Page) {
        for (name, help, counter) in self.counters() {
            page.head(name, "counter", help);
            page.sample(name, &[], counter.value());
        }
        for (name, help, histogram) in self.histograms() {
            page.head(name, "histogram", help);
            histogram.write(name, page);
        }
    }

    fn counters(&self) -> [(&'static str, &'static str, &Counter); 24] {
        [
            ("quorate_turns_total", "Turns of the event loop.", &self.turns),
            ("quorate_store_syncs_total", "Synced batches of records.", &self.store_syncs),
            ("quorate_guard_syncs_total", "Synced batches of the guard file.", &self.guard_syncs),
            ("quorate_synced_bytes_total", "Bytes of records in synced batches.", &self.synced_bytes),
            ("quorate_executed_operations_total", "Operations executed.", &self.executed_operations),
            ("quorate_rejected_operations_total", "Operations executed and rejected.", &self.rejected_operations),
            ("quorate_judged_operations_total", "Operations judged without a receipt.", &self.judged_operations),
            ("quorate_taken_operations_total", "Operations taken from own clients.", &self.taken_operations),
            ("quorate_verified_messages_total", "Messages of peers verified.", &self.verified_messages),
            ("quorate_refused_messages_total", "Messages of peers refused.", &self.refused_messages),
            ("quorate_views_entered_total", "Views entered.", &self.views_entered),
            ("quorate_complaints_total", "Complaints made.", &self.complaints),
            ("quorate_evidence_total", "Pieces of evidence kept since the start.", &self.evidence),
            ("quorate_promises_total", "Intake promises given to clients since the start.", &self.promises),
            ("quorate_convictions_total", "Convictions of validators executed since the start.", &self.convictions),
            ("quorate_guard_refusals_total", "Signatures that the guard refused.", &self.guard_refusals),
            ("quorate_rate_limited_total", "Calls of clients refused by their rate.", &self.rate_limited),
            ("quorate_watches_cut_total", "Watches cut because the watcher was slow.", &self.watches_cut),
            ("quorate_read_only_total", "Times that the node went read-only.", &self.read_only),
            ("quorate_transfers_total", "States fetched from other validators.", &self.transfers),
            ("quorate_transferred_bytes_total", "Bytes of their entries.", &self.transferred_bytes),
            ("quorate_lying_chunks_total", "Parts of states that weren't certified.", &self.lying_chunks),
            ("quorate_silent_providers_total", "Questions for parts of states left open.", &self.silent_providers),
            ("quorate_suspicion_changes_total", "Changes of levels of suspicion.", &self.suspicion_changes),
        ]
    }

    fn histograms(&self) -> [(&'static str, &'static str, &Histogram); 7] {
        [
            ("quorate_save_ms", "Time of a turn's save.", &self.save_ms),
            ("quorate_votes_per_sync", "Votes handled per synced batch.", &self.votes_per_sync),
            ("quorate_bundles_per_sync", "Bundles handled per synced batch.", &self.bundles_per_sync),
            ("quorate_operations_per_sync", "Operations handled per synced batch.", &self.operations_per_sync),
            ("quorate_commit_ms", "From first sight of a proposal to its delivery.", &self.commit_ms),
            ("quorate_receipt_ms", "From an own client's operation to its proven receipt.", &self.receipt_ms),
            ("quorate_execute_ms", "Time of executing a sequence.", &self.execute_ms),
        ]
    }
}

/// A page in the text format.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
}

impl Page {
    /// Starts a metric.
    pub fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// A metric of one number.
    pub fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "gauge", help);
        self.sample(name, &[], value);
    }

    /// One number, with labels.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        if labels.is_empty() {
            return self.line(format_args!("{name} {value}"));
        }
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escape(value))).collect();
        self.line(format_args!("{name}{{{}}} {value}", labels.join(",")));
    }

    /// The text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("writing to a string cannot fail");
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Bytes of memory that the process occupies; 0 where the system doesn't say.
#[must_use]
pub fn resident_bytes() -> u64 {
    const PAGE_BYTES: u64 = 4_096;
    let read = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = read.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0).saturating_mul(PAGE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_metric_once_with_help_and_type() {
        let metrics = Metrics::default();
        metrics.store_syncs.add(3);
        metrics.save_ms.observe(7);
        let mut page = Page::default();
        metrics.write(&mut page);
        page.head("quorate_peer_up", "gauge", "Streams to a peer.");
        page.sample("quorate_peer_up", &[("peer", "v\"1")], 1);
        let text = page.into_text();
        assert!(text.contains("\nquorate_store_syncs_total 3\n"), "{text}");
        assert!(text.contains("quorate_save_ms_bucket{le=\"10\"} 1\n"), "{text}");
        assert!(text.contains("quorate_peer_up{peer=\"v\\\"1\"} 1"), "{text}");
        let types: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        let mut distinct = types.clone();
        distinct.dedup();
        assert_eq!(types.len(), distinct.len());
    }

    #[test]
    fn this_process_occupies_some_memory() {
        assert!(resident_bytes() > 1 << 20);
    }
}
