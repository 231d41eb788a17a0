//! What this validator does at present, and who is missing: for services, metrics and the log.

use std::sync::Arc;

use quorate_replica::{Now, Report, Standing};
use quorate_types::ids::{Sequence, ValidatorIndex, View};
use quorate_types::message::{Message, Status};
use quorate_types::quorum::Quorum;
use tokio::sync::watch;

use crate::quorum_watch::{Missing, QuorumWatch};

/// How often the status is published while nothing of note changes, in milliseconds.
const PUBLISH_MS: u64 = 10;

/// What a validator does at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It votes and takes operations.
    Ordering,
    /// It asks its peers, or fetches what it missed.
    CatchingUp,
    /// No quorum is in touch.
    ReadOnly,
    /// It signs nothing.
    Following,
}

impl Mode {
    /// The name in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ordering => "ordering",
            Self::CatchingUp => "catching up",
            Self::ReadOnly => "read-only",
            Self::Following => "following",
        }
    }
}

/// This validator at one moment.
#[derive(Clone, Debug)]
pub(crate) struct NodeStatus {
    pub(crate) report: Report,
    pub(crate) mode: Mode,
    /// A sentence on why, when the mode isn't `Ordering`; else empty.
    pub(crate) reason: String,
    /// Who is silent or signs nothing.
    pub(crate) missing: Vec<Missing>,
    /// Since when no quorum is in touch, by the monotonic clock.
    pub(crate) lacking_since_ms: Option<u64>,
    /// When this validator last knew that a quorum had nothing newer than what is executed here.
    pub(crate) fresh_at_ms: u64,
    /// The monotonic time of all this.
    pub(crate) at_ms: u64,
    /// What each validator says of itself, by index.
    pub(crate) others: Vec<Other>,
    /// Sequences that wait for the execution thread.
    pub(crate) execution_queue: usize,
}

/// What a validator's last status said beside what the report holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Other {
    pub(crate) view: View,
    pub(crate) is_following: bool,
}

/// Judges mode and age after every turn, and publishes them.
#[derive(Debug)]
pub(crate) struct Judge {
    quorum: Quorum,
    names: Arc<[String]>,
    watch: QuorumWatch,
    others: Vec<Other>,
    /// Behind by more than this, it catches up.
    behind: u64,
    fresh_at_ms: u64,
    published_ms: u64,
    /// Whether something was judged that isn't published.
    has_news: bool,
    published: watch::Sender<Arc<NodeStatus>>,
}

impl Judge {
    /// A judge that publishes `first` at once.
    pub(crate) fn new(
        me: ValidatorIndex,
        context: &quorate_types::verified::Context,
        now: Now,
        first: Report,
    ) -> (Self, watch::Receiver<Arc<NodeStatus>>) {
        let quorum = context.quorum();
        let status = NodeStatus {
            report: first,
            mode: Mode::CatchingUp,
            reason: "starting".to_owned(),
            missing: Vec::new(),
            lacking_since_ms: None,
            fresh_at_ms: 0,
            at_ms: now.monotonic_ms,
            others: vec![Other::default(); quorum.validators()],
            execution_queue: 0,
        };
        let others = status.others.clone();
        let (published, receiver) = watch::channel(Arc::new(status));
        let judge = Self {
            quorum,
            names: context.set.iter().map(|(_, info)| info.name.clone()).collect(),
            watch: QuorumWatch::new(me, quorum, context.parameters.status_interval_ms.into()),
            others,
            behind: u64::from(context.parameters.window) / 2,
            fresh_at_ms: 0,
            published_ms: 0,
            has_news: false,
            published,
        };
        (judge, receiver)
    }

    /// A message came: its sender is in touch.
    pub(crate) fn on_message(&mut self, now: Now, from: ValidatorIndex, message: &Message) {
        self.watch.heard(from, now.monotonic_ms);
        if let Message::Status(status) = message {
            let Status { view, quarantined, .. } = **status;
            self.watch.says_following(from, quarantined);
            if let Some(other) = self.others.get_mut(from.position()) {
                *other = Other { view, is_following: quarantined };
            }
        }
    }

    /// After a turn; gives the status if the mode changed.
    pub(crate) fn judge(&mut self, now: Now, report: Report, execution_queue: usize) -> Option<Arc<NodeStatus>> {
        let now_ms = now.monotonic_ms;
        self.watch.judge(now_ms, report.timeout_ms);
        self.note_freshness(now_ms, &report);
        let (mode, reason) = self.mode(now_ms, &report);
        let before = Arc::clone(&self.published.borrow());
        let is_change = before.mode != mode || before.report.view != report.view || before.reason != reason;
        self.has_news = !is_change && now_ms < self.published_ms.saturating_add(PUBLISH_MS);
        if self.has_news {
            return None;
        }
        self.published_ms = now_ms;
        let status = Arc::new(NodeStatus {
            report,
            mode,
            reason,
            missing: self.watch.missing(now_ms),
            lacking_since_ms: self.watch.lacking_since_ms(),
            fresh_at_ms: self.fresh_at_ms,
            at_ms: now_ms,
            others: self.others.clone(),
            execution_queue,
        });
        self.published.send_replace(Arc::clone(&status));
        (before.mode != mode).then_some(status)
    }

    /// When what was judged last must be published, by the monotonic clock.
    pub(crate) fn deadline_ms(&self) -> u64 {
        if self.has_news { self.published_ms.saturating_add(PUBLISH_MS) } else { u64::MAX }
    }

    /// A quorum, this validator included, had nothing newer at the time of its members' last reports.
    fn note_freshness(&mut self, now_ms: u64, report: &Report) {
        let peers = report.peers.iter().flatten();
        let up_to_date = peers.filter(|peer| peer.heard_ms > 0 && peer.committed <= report.executed);
        let mut times: Vec<u64> = up_to_date.map(|peer| peer.heard_ms).collect();
        if report.committed <= report.executed {
            times.push(now_ms);
        }
        times.sort_unstable_by(|a, b| b.cmp(a));
        let by_quorum = times.get(self.quorum.quorum().saturating_sub(1)).copied().unwrap_or(0);
        self.fresh_at_ms = self.fresh_at_ms.max(by_quorum);
    }

    fn mode(&self, now_ms: u64, report: &Report) -> (Mode, String) {
        if report.is_halted {
            let text = "safety alarm: certificates contradict each other; keep all files and see the log";
            return (Mode::Following, text.to_owned());
        }
        if report.standing.is_quarantined() {
            let progress = progress(report).map_or_else(String::new, |progress| format!("; {progress}"));
            return (Mode::Following, format!("{}{progress}", report.standing));
        }
        if self.watch.is_read_only() {
            return (Mode::ReadOnly, self.no_quorum(now_ms));
        }
        if let Some(progress) = progress(report) {
            return (Mode::CatchingUp, progress);
        }
        if let Standing::Asking { .. } = report.standing {
            return (Mode::CatchingUp, report.standing.to_string());
        }
        let highest = report.peers.iter().flatten().map(|peer| peer.committed).max().unwrap_or(Sequence::ZERO);
        let behind = highest.above(report.executed);
        if behind > self.behind {
            return (Mode::CatchingUp, format!("{behind} sequences behind"));
        }
        (Mode::Ordering, String::new())
    }

    fn no_quorum(&self, now_ms: u64) -> String {
        let missing: Vec<&str> =
            self.watch.missing(now_ms).iter().map(|missing| self.name(missing.validator)).collect();
        let needed = self.quorum.quorum();
        format!(
            "no quorum: {} silent or signing nothing, {needed} of {} needed",
            missing.join(", "),
            self.quorum.validators()
        )
    }

    fn name(&self, validator: ValidatorIndex) -> &str {
        self.names.get(validator.position()).map_or("?", String::as_str)
    }
}

/// How far a state from other validators is.
fn progress(report: &Report) -> Option<String> {
    let transfer = report.transfer?;
    let (percent, mib) = (transfer.done_millionths / 10_000, transfer.bytes >> 20);
    Some(format!("fetching the state of checkpoint {}: {percent} %, {mib} MiB", transfer.checkpoint))
}
