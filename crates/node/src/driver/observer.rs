//! What happens, as log lines that a person can follow and as numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_crypto::{Digest, PublicKey};
use quorate_replica::suspicion::{Change, Level, Rule};
use quorate_replica::transfer::{Difference, Divergence, TransferNotice};
use quorate_replica::{Camps, Cause, CoreNotice, Notice, Now, Outbox, Replica, Standing};
use quorate_types::evidence::{Conviction, Evidence};
use quorate_types::ids::{Sequence, ValidatorIndex};
use quorate_types::message::Message;
use quorate_types::set::ValidatorSet;
use tracing::{debug, error, info, warn};

use super::{Mode, NodeStatus};
use crate::metrics::Metrics;

/// Proposals whose first sight is remembered until they are delivered.
const PROPOSALS: usize = 4_096;

/// Turns what the driver sees into log lines and metrics.
#[derive(Debug)]
pub(crate) struct Observer {
    metrics: Arc<Metrics>,
    set: Arc<ValidatorSet>,
    first_seen_ms: BTreeMap<Sequence, u64>,
    counts: Counts,
}

/// What was handled since the last synced batch.
#[derive(Debug, Default)]
struct Counts {
    votes: u64,
    bundles: u64,
    operations: u64,
}

impl Observer {
    pub(crate) fn new(metrics: Arc<Metrics>, set: Arc<ValidatorSet>) -> Self {
        Self { metrics, set, first_seen_ms: BTreeMap::new(), counts: Counts::default() }
    }

    pub(crate) fn on_start(&self, replica: &Replica) {
        let report = replica.report();
        info!(
            view = report.view.0,
            committed = report.committed.0,
            executed = report.executed.0,
            stable = report.stable.0,
            standing = %report.standing,
            "the replica continues from its records"
        );
        if let Standing::Quarantined(_) = report.standing {
            error!(standing = %report.standing, "this validator signs nothing");
        }
    }

    pub(crate) fn on_message(&mut self, now: Now, from: ValidatorIndex, message: &Message) {
        debug!(from = self.name(from), kind = message.kind(), "received");
        self.count(now, message);
    }

    fn count(&mut self, now: Now, message: &Message) {
        match message {
            Message::Vote(_) | Message::ExecutionVote(_) => self.counts.votes += 1,
            Message::PrePrepare(pre_prepare) => {
                self.counts.votes += 1;
                self.first_seen_ms.entry(pre_prepare.proposal.sequence).or_insert(now.monotonic_ms);
                if self.first_seen_ms.len() > PROPOSALS {
                    self.first_seen_ms.pop_first();
                }
            }
            Message::Bundle(bundle) => {
                self.counts.bundles += 1;
                self.counts.operations += bundle.operations.len() as u64;
            }
            _ => {}
        }
    }

    /// Before a turn is saved.
    pub(crate) fn on_turn(&mut self, now: Now, out: &Outbox) {
        self.metrics.turns.add(1);
        for outgoing in &out.after {
            self.count(now, &outgoing.message);
        }
        if !out.after.is_empty() || !out.execute.is_empty() {
            let Counts { votes, bundles, operations } = std::mem::take(&mut self.counts);
            self.metrics.votes_per_sync.observe(votes);
            self.metrics.bundles_per_sync.observe(bundles);
            self.metrics.operations_per_sync.observe(operations);
        }
    }

    /// protocol §8.2: what the wrong state began with, as far as it can be told.
    pub(crate) fn on_repaired(divergence: &Divergence) {
        let Divergence { sequence, own, certified, differences, .. } = divergence;
        warn!(
            sequence = sequence.0,
            own = %own.state_root,
            certified = %certified.state_root,
            entities = differences.len(),
            "the state was wrong from this sequence on and is repaired; look at this machine's memory and disk"
        );
        for Difference { key, own, certified } in differences {
            // What all keys of entities begin with, and the zero byte between kind and id.
            let name = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).replace('\0', " ");
            let (had, has) = (own.is_some(), certified.is_some());
            warn!(entity = name, had, has, "this entity differed from the certified state");
        }
    }

    fn on_camps(&self, camps: &Camps) {
        let sequence = camps.first().map_or(0, |(execution, _)| execution.sequence.0);
        error!(
            sequence,
            "ALARM: no quorum of equal results is possible at this sequence; keep all files of all validators"
        );
        for (execution, voters) in camps {
            let names: Vec<&str> = voters.iter().map(|voter| self.name(*voter)).collect();
            let (state_root, receipts_root) = (execution.state_root, execution.receipts_root);
            error!(sequence, ?state_root, ?receipts_root, voters = names.join(", "), "one camp");
        }
    }

    fn on_transfer(&self, notice: &TransferNotice) {
        match notice {
            TransferNotice::Begins { checkpoint, parts } => {
                info!(checkpoint = checkpoint.0, parts, "fetches the state of a checkpoint from other validators");
            }
            TransferNotice::Lied { provider, fault } => {
                self.metrics.lying_chunks.add(1);
                let provider = self.name(*provider);
                error!(provider, %fault, "sent part of a state that isn't the certified one; it isn't asked again");
            }
            TransferNotice::Silent { provider } => {
                self.metrics.silent_providers.add(1);
                warn!(provider = self.name(*provider), "left a question for part of a state open; another is asked");
            }
            TransferNotice::GivenUp { checkpoint } => {
                warn!(checkpoint = checkpoint.0, "the state of this checkpoint is fetched no longer");
            }
            TransferNotice::Complete { checkpoint, bytes } => {
                self.metrics.transfers.add(1);
                self.metrics.transferred_bytes.add(*bytes);
                info!(checkpoint = checkpoint.0, bytes, "the state of a checkpoint is here");
            }
        }
    }

    pub(crate) fn on_notice(&mut self, now: Now, notice: &Notice) {
        match notice {
            Notice::Core(notice) => self.on_core(notice),
            Notice::Intake(..) => self.metrics.taken_operations.add(1),
            Notice::Delivered { sequence, digest, view, .. } => {
                debug!(sequence = sequence.0, proposal = ?digest, view = view.0, "delivered");
                if let Some(seen) = self.first_seen_ms.remove(sequence) {
                    self.metrics.commit_ms.observe(now.monotonic_ms.saturating_sub(seen));
                }
            }
            Notice::Certified(certificate) => debug!(sequence = certificate.execution.sequence.0, "certified"),
            Notice::Stable(sequence) => {
                self.first_seen_ms = self.first_seen_ms.split_off(sequence);
                info!(sequence = sequence.0, "stable checkpoint");
            }
            Notice::Evidence(id, evidence) => self.on_evidence(id, evidence),
            Notice::Conviction(conviction) => self.on_conviction(conviction),
            Notice::Standing(standing @ Standing::Quarantined(_)) => error!(%standing, "this validator signs nothing"),
            Notice::Standing(standing) => info!(%standing, "standing"),
            Notice::Fresh { sequence, .. } => debug!(sequence = sequence.0, "a freshness round is complete"),
            Notice::Statement(_) => {}
            Notice::Promised(_) => self.metrics.promises.add(1),
            Notice::Suspicion(change) => self.on_suspicion(change),
            Notice::Transfer(notice) => self.on_transfer(notice),
            Notice::Camps(camps) => self.on_camps(camps),
            Notice::Refused(refusal) => {
                self.metrics.guard_refusals.add(1);
                error!(%refusal, "the signing guard refused: a fault in this program, please report it");
            }
        }
    }

    fn on_conviction(&self, conviction: &Conviction) {
        self.metrics.convictions.add(1);
        let Conviction { convicted, evidence, epoch, shown_by, sequence, .. } = conviction;
        let (kind, accused, shown_by) = (conviction.kind_name(), self.name_of(convicted), self.name_of(shown_by));
        error!(?evidence, kind, accused, shown_by, epoch = epoch.0, sequence = sequence.0, "a validator is convicted");
    }

    fn on_evidence(&self, id: &Digest, evidence: &Evidence) {
        self.metrics.evidence.add(1);
        let kind = evidence.kind();
        let Some(accused) = evidence.validator() else {
            warn!(evidence = ?id, kind, accused = %evidence.accused(), "an author signed what contradicts itself");
            return;
        };
        let accused = self.name(accused);
        error!(evidence = ?id, kind, accused, "evidence: malice, a fault in its program, or one key at two nodes");
        debug!(?evidence, "what was signed");
    }

    fn on_suspicion(&self, change: &Change) {
        match change {
            Change::Level { validator, from, to, score, mostly } => {
                self.metrics.suspicion_changes.add(1);
                let (validator, from, level) = (self.name(*validator), from.name(), to.name());
                let rule = mostly.map_or("", Rule::name);
                if to > &Level::Observe {
                    warn!(validator, from, level, %score, rule, "suspicion: see `quorate explain`");
                } else {
                    info!(validator, from, level, %score, "suspicion has faded");
                }
            }
            Change::Many(true) => {
                warn!("more than f validators look slow: the network or this validator is the likelier cause");
            }
            Change::Many(false) => info!("no more than f validators look slow any more"),
        }
    }

    fn on_core(&self, notice: &CoreNotice) {
        match notice {
            CoreNotice::Complains(view, Cause::Rotation) => {
                info!(view = view.0, cause = describe(Cause::Rotation), "asks for the next view");
            }
            CoreNotice::Complains(view, cause) => {
                self.metrics.complaints.add(1);
                warn!(view = view.0, cause = describe(*cause), "complains about the view");
            }
            CoreNotice::Leaves { from, to } => warn!(from = from.0, to = to.0, "leaves its view"),
            CoreNotice::Enters { view, primary, anchor } => {
                self.metrics.views_entered.add(1);
                info!(view = view.0, primary = self.name(*primary), anchor = anchor.0, "enters a view");
            }
            CoreNotice::SafetyAlarm { sequence, committed, other } => error!(
                sequence = sequence.0, %committed, %other,
                "SAFETY ALARM: two proposals are certified at one sequence; more than f validators are faulty. \
                 This validator has stopped voting. Keep all files of all validators"
            ),
            CoreNotice::InvalidCommitted(link) => error!(
                sequence = link.sequence.0, proposal = %link.digest,
                "SAFETY ALARM: a committed proposal contradicts the lanes held here. Keep all files of all validators"
            ),
        }
    }

    pub(crate) fn on_mode(&self, status: &NodeStatus) {
        let NodeStatus { mode, reason, .. } = status;
        match mode {
            Mode::Ordering => info!("takes operations and orders them"),
            Mode::CatchingUp => info!(reason, "catches up"),
            Mode::ReadOnly => {
                self.metrics.read_only.add(1);
                warn!(reason, "read-only: writes are refused, reads go on with their age");
            }
            Mode::Following => error!(reason, "follows, executes and serves reads; signs nothing"),
        }
    }

    fn name(&self, validator: ValidatorIndex) -> &str {
        self.set.anyone(validator).map_or("?", |info| info.name.as_str())
    }

    /// The name of whoever has this key; the key, if it is nobody's any more.
    fn name_of(&self, key: &PublicKey) -> String {
        let owner = self.set.everyone().find(|(_, info)| info.consensus_key == *key);
        owner.map_or_else(|| key.to_string(), |(_, info)| info.name.clone())
    }
}

const fn describe(cause: Cause) -> &'static str {
    match cause {
        Cause::Progress => "something waits and nothing commits",
        Cause::Fairness => "a lane is passed over while others commit",
        Cause::Heartbeat => "the primary's status is missing",
        Cause::SlowClock => "the primary's block times stay behind",
        Cause::NewViewMissing => "no new view although a quorum wants one",
        Cause::SlowPrimary => "lanes wait longer than under other primaries",
        Cause::Rotation => "it has lasted as long as a view may",
    }
}
