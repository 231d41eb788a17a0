//! Gauges: what is so at the moment that Prometheus asks.

use std::sync::Arc;

use quorate_replica::suspicion::Explanation;
use quorate_transport::links::PeerLinks;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::driver::{Mode, NodeStatus};
use crate::hub::Hub;
use crate::metrics::{Metrics, Page, resident_bytes};

/// What a store holds in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Residence {
    /// In its block cache.
    pub block_cache_bytes: u64,
    /// In its write buffers.
    pub write_buffer_bytes: u64,
}

/// Asks a store what it holds in memory.
pub(super) type AskResidence = Arc<dyn Fn() -> Residence + Send + Sync>;

/// Everything that gauges are read from.
pub(super) struct Gauges {
    pub(super) metrics: Arc<Metrics>,
    pub(super) status: watch::Receiver<Arc<NodeStatus>>,
    pub(super) links: Arc<PeerLinks>,
    pub(super) hub: Arc<Hub>,
    pub(super) clock: Clock,
    pub(super) residence: Option<AskResidence>,
}

impl Gauges {
    /// The whole page.
    pub(super) fn page(&self) -> String {
        let mut page = Page::default();
        self.metrics.write(&mut page);
        self.position(&mut page);
        self.queues(&mut page);
        self.peers(&mut page);
        self.suspicion(&mut page);
        self.memory(&mut page);
        page.into_text()
    }

    fn position(&self, page: &mut Page) {
        let status = Arc::clone(&self.status.borrow());
        let report = &status.report;
        let highest = report.peers.iter().flatten().map(|peer| peer.committed).max().unwrap_or_default();
        let now_ms = self.clock.now().monotonic_ms;
        let figures = [
            ("quorate_view", "The view.", report.view.0),
            ("quorate_view_active", "Whether it votes in the view.", u64::from(report.is_active)),
            ("quorate_committed_sequence", "The highest committed sequence.", report.committed.0),
            ("quorate_executed_sequence", "The highest executed sequence.", report.executed.0),
            ("quorate_certified_sequence", "Every execution certificate up to here is held.", report.certified.0),
            ("quorate_stable_sequence", "The stable checkpoint.", report.stable.0),
            ("quorate_commit_lag", "Sequences behind the highest known.", highest.above(report.committed)),
            ("quorate_execution_lag", "Sequences committed and not executed.", report.committed.above(report.executed)),
            ("quorate_timeout_ms", "The timeout in force.", report.timeout_ms),
            ("quorate_state_age_ms", "Age of the executed state.", now_ms.saturating_sub(status.fresh_at_ms)),
            ("quorate_signs", "Whether it signs.", u64::from(report.standing.signs())),
            ("quorate_safety_alarm", "Whether it stopped over a contradiction.", u64::from(report.is_halted)),
            ("quorate_missing_validators", "Validators that are silent or sign nothing.", status.missing.len() as u64),
            (
                "quorate_transfer_done_millionths",
                "How much of a state that is fetched is here.",
                report.transfer.map_or(0, |transfer| u64::from(transfer.done_millionths)),
            ),
            ("quorate_diverged", "Whether the state isn't the certified one.", u64::from(report.diverged.is_some())),
        ];
        for (name, help, value) in figures {
            page.gauge(name, help, value);
        }
        page.head("quorate_mode", "gauge", "What it does at present.");
        for mode in [Mode::Ordering, Mode::CatchingUp, Mode::ReadOnly, Mode::Following] {
            page.sample("quorate_mode", &[("mode", mode.name())], u64::from(status.mode == mode));
        }
    }

    fn queues(&self, page: &mut Page) {
        let status = Arc::clone(&self.status.borrow());
        let report = &status.report;
        let figures = [
            ("quorate_pool_operations", "Operations that wait for a bundle.", report.pool.operations as u64),
            ("quorate_pool_bytes", "Their bytes.", report.pool.bytes),
            ("quorate_awaiting_bundles", "Proposals that wait for bundles.", report.awaiting_bundles as u64),
            ("quorate_held_votes", "Votes held.", report.held.votes as u64),
            ("quorate_held_proposals", "Proposals held.", report.held.proposals as u64),
            ("quorate_execution_queue", "Sequences that wait for execution.", status.execution_queue as u64),
            ("quorate_waiting_calls", "Calls that wait for receipts.", self.hub.waiting() as u64),
        ];
        for (name, help, value) in figures {
            page.gauge(name, help, value);
        }
    }

    fn peers(&self, page: &mut Page) {
        let views = self.links.views();
        page.head("quorate_peer_up", "gauge", "Whether all streams to and from the peer are up.");
        for view in &views {
            page.sample("quorate_peer_up", &[("peer", &view.name)], u64::from(view.is_connected()));
        }
        page.head("quorate_peer_queue_bytes", "gauge", "Bytes that wait to be sent.");
        for view in &views {
            let bytes: usize = view.lanes.iter().map(|lane| lane.queued_bytes).sum();
            page.sample("quorate_peer_queue_bytes", &[("peer", &view.name)], bytes as u64);
        }
        page.head("quorate_peer_dropped_total", "counter", "Messages left out since the start.");
        for view in &views {
            let dropped = view.lanes.iter().map(|lane| lane.dropped_frames).sum();
            page.sample("quorate_peer_dropped_total", &[("peer", &view.name)], dropped);
        }
    }

    /// What is suspected of others: score and level of each against whom something is held.
    fn suspicion(&self, page: &mut Page) {
        let status = Arc::clone(&self.status.borrow());
        let suspicion = &status.report.suspicion;
        page.gauge("quorate_many_look_slow", "Whether more than f validators look slow.", u64::from(suspicion.many));
        let names: Vec<(String, &Explanation)> =
            suspicion.suspects.iter().map(|suspect| (suspect.validator.0.to_string(), suspect)).collect();
        page.head("quorate_suspicion_thousandths", "gauge", "How much a validator is suspected.");
        for (validator, suspect) in &names {
            page.sample("quorate_suspicion_thousandths", &[("validator", validator)], suspect.score.in_thousandths());
        }
        page.head("quorate_suspicion_level", "gauge", "0 observe, 1 warn, 2 throttle, 3 deprioritise, 4 disconnect.");
        for (validator, suspect) in &names {
            page.sample("quorate_suspicion_level", &[("validator", validator)], suspect.level as u64);
        }
    }

    fn memory(&self, page: &mut Page) {
        page.gauge("quorate_resident_bytes", "Memory that the process occupies.", resident_bytes());
        if let Some(ask) = &self.residence {
            let Residence { block_cache_bytes, write_buffer_bytes } = ask();
            page.gauge("quorate_block_cache_bytes", "Memory in the store's block cache.", block_cache_bytes);
            page.gauge("quorate_write_buffer_bytes", "Memory in the store's write buffers.", write_buffer_bytes);
        }
    }
}
