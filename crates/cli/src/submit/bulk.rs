//! Many operations, many in flight, each with a verified receipt or a reason why there is none.
//!
//! The first operation of a run goes alone: the first one of an author whom the cluster doesn't know sets the
//! base of its nonces, and those below it would be too old (data-model §3).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use anyhow::{Context, ensure};
use quorate_client::{Client, NonceFault, NonceStore, Pipeline, Reason, Settled, SignFault, Signer, VerifiedReceipt};
use quorate_types::ids::Sequence;
use quorate_types::operation::Operation;

use super::draft::Draft;
use super::journal::Journal;

/// Operations signed and recorded at once.
const CHUNK: usize = 128;

/// The most operations in flight: an author has at most 1,023 nonces outstanding.
pub const MAX_IN_FLIGHT: usize = 1_000;

/// What hears of each receipt.
pub type OnReceipt<'a> = &'a mut (dyn FnMut(&VerifiedReceipt) + Send);

type Drafts = Vec<(u64, Arc<Draft>)>;

/// A submission of many operations.
#[derive(Debug)]
pub struct Bulk<'a, S: NonceStore> {
    client: &'a Client,
    signer: &'a mut Signer<S>,
    journal: Option<&'a mut Journal>,
    lifetime_ms: u64,
    in_flight: usize,
    /// Lines in flight, by nonce.
    open: BTreeMap<u64, u64>,
    /// Set when an operation may still be on its way although nobody answered: no others are signed then, lest
    /// their nonces make its own too old.
    is_cut_off: bool,
    /// Receipts in this run that say that an operation expired.
    expired: u64,
    /// Operations of earlier runs that were refused because they would live too long, by line.
    too_long: Vec<(u64, Arc<Operation>)>,
    report: BulkReport,
}

/// What became of a submission.
#[derive(Debug, Default)]
pub struct BulkReport {
    /// Operations that were applied, in this run.
    pub applied: u64,
    /// Lines that were through before.
    pub before: u64,
    /// Lines that were rejected, with what the receipt says.
    pub rejected: Vec<(u64, String)>,
    /// Lines without a receipt, with the reason.
    pub failed: Vec<(u64, String)>,
    /// Lines whose operation no validator will take as it was signed, with the reason.
    pub refused: Vec<(u64, String)>,
    /// Lines that were not sent, because earlier ones got no answer.
    pub unsent: u64,
    /// The highest sequence of any receipt.
    pub highest: Sequence,
}

impl BulkReport {
    /// Whether every line was applied, now or before.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.rejected.is_empty() && self.failed.is_empty() && self.refused.is_empty() && self.unsent == 0
    }
}

impl<'a, S: NonceStore> Bulk<'a, S> {
    /// A submission by `signer`.
    pub fn new(client: &'a Client, signer: &'a mut Signer<S>, lifetime_ms: u64) -> Self {
        Self {
            client,
            signer,
            journal: None,
            lifetime_ms,
            in_flight: 512,
            open: BTreeMap::new(),
            is_cut_off: false,
            expired: 0,
            too_long: Vec::new(),
            report: BulkReport::default(),
        }
    }

    /// Keeps a journal.
    #[must_use]
    pub fn with_journal(mut self, journal: &'a mut Journal) -> Self {
        self.journal = Some(journal);
        self
    }

    /// How many operations may be in flight.
    #[must_use]
    pub fn with_in_flight(mut self, in_flight: usize) -> Self {
        self.in_flight = in_flight.clamp(1, MAX_IN_FLIGHT);
        self
    }

    /// Submits all drafts, by line.
    ///
    /// # Errors
    /// If nothing can be signed or recorded. An operation without a receipt is in the report.
    pub async fn run(
        mut self,
        drafts: impl IntoIterator<Item = (u64, Draft)>,
        on_receipt: OnReceipt<'_>,
    ) -> anyhow::Result<BulkReport> {
        let drafts: Drafts = drafts.into_iter().map(|(line, draft)| (line, Arc::new(draft))).collect();
        let journal = self.journal.as_deref();
        self.report.before = journal.map_or(0, |journal| journal.done().0 + journal.done().1);
        let unsettled = journal.map(|journal| journal.unsettled().collect()).unwrap_or_default();
        self.round(unsettled, Vec::new(), on_receipt).await?;
        let shortened = self.shorten(&drafts)?;
        self.round(shortened, Vec::new(), on_receipt).await?;
        let left = self.unsigned(&drafts);
        self.fresh(left, on_receipt).await?;
        if self.expired > 0 {
            let left = self.unsigned(&drafts);
            self.fresh(left, on_receipt).await?;
        }
        Ok(self.report)
    }

    /// Signs lines anew that were refused for their long life: with the same nonce, so that at most one of a
    /// line's two operations ever executes.
    fn shorten(&mut self, drafts: &Drafts) -> anyhow::Result<VecDeque<(u64, Arc<Operation>)>> {
        let drafts: BTreeMap<u64, &Arc<Draft>> = drafts.iter().map(|(line, draft)| (*line, draft)).collect();
        let mut signed = Vec::new();
        for (line, refused) in std::mem::take(&mut self.too_long) {
            let Some(draft) = drafts.get(&line) else { continue };
            let builder = self.signer.draft_again(&refused, self.lifetime_ms);
            let operation = self.signer.sign(draft.build(builder)).with_context(|| format!("line {line}"))?;
            if operation.content().expires_at >= refused.content().expires_at {
                self.signer.settle(&refused);
                continue;
            }
            self.report.refused.retain(|(other, _)| *other != line);
            signed.push((line, Arc::new(operation)));
        }
        if let Some(journal) = self.journal.as_deref_mut()
            && !signed.is_empty()
        {
            journal.sign(&signed)?;
        }
        Ok(signed.into())
    }

    /// The drafts that the journal doesn't know.
    fn unsigned(&self, drafts: &Drafts) -> Drafts {
        let journal = self.journal.as_deref();
        let is_known = |line: u64| journal.and_then(|journal| journal.progress(line)).is_some();
        drafts.iter().filter(|(line, _)| !is_known(*line)).cloned().collect()
    }

    async fn fresh(&mut self, mut drafts: Drafts, on_receipt: OnReceipt<'_>) -> anyhow::Result<()> {
        if drafts.is_empty() {
            return Ok(());
        }
        let rest = drafts.split_off(1);
        self.round(VecDeque::new(), drafts, on_receipt).await?;
        self.round(VecDeque::new(), rest, on_receipt).await
    }

    /// Sends operations, then signs and sends drafts, until all have an answer.
    async fn round(
        &mut self,
        mut ready: VecDeque<(u64, Arc<Operation>)>,
        drafts: Drafts,
        on_receipt: OnReceipt<'_>,
    ) -> anyhow::Result<()> {
        const ENDED: &str = "the connection to the cluster ended unexpectedly";
        let (pipeline, mut answers) = self.client.pipeline(self.in_flight);
        let mut drafts: VecDeque<(u64, Arc<Draft>)> = drafts.into();
        loop {
            if ready.is_empty() && !self.is_cut_off {
                ready.extend(self.sign(&mut drafts)?);
            }
            if ready.is_empty() && self.open.is_empty() {
                break;
            }
            let next = ready.front().map(|(_, operation)| Arc::clone(operation));
            tokio::select! {
                sent = send(&pipeline, next), if !ready.is_empty() => {
                    ensure!(sent, ENDED);
                    self.open.extend(ready.pop_front().map(|(line, operation)| (operation.nonce(), line)));
                }
                settled = answers.recv(), if !self.open.is_empty() => {
                    self.settle(settled.context(ENDED)?, on_receipt)?;
                }
            }
        }
        self.report.unsent += drafts.len() as u64;
        drop(answers);
        pipeline.close().await;
        Ok(())
    }

    /// Signs some drafts, as many as nonces allow, and records them.
    fn sign(&mut self, drafts: &mut VecDeque<(u64, Arc<Draft>)>) -> anyhow::Result<Vec<(u64, Arc<Operation>)>> {
        let mut signed = Vec::new();
        while signed.len() < CHUNK && !drafts.is_empty() {
            let builder = match self.signer.draft(self.lifetime_ms) {
                Ok(builder) => builder,
                // An answer makes room.
                Err(SignFault::Nonce(NonceFault::TooManyOutstanding { .. })) => break,
                Err(fault) => return Err(fault.into()),
            };
            let Some((line, draft)) = drafts.pop_front() else { break };
            let operation = self.signer.sign(draft.build(builder)).with_context(|| format!("line {line}"))?;
            let genesis = self.client.genesis();
            let admitted = operation.admit(&genesis.content.parameters, &genesis.cluster);
            admitted.with_context(|| format!("line {line} is beyond the cluster's limits"))?;
            signed.push((line, Arc::new(operation)));
        }
        if let Some(journal) = self.journal.as_deref_mut()
            && !signed.is_empty()
        {
            journal.sign(&signed)?;
        }
        Ok(signed)
    }

    fn settle(&mut self, settled: Settled, on_receipt: OnReceipt<'_>) -> anyhow::Result<()> {
        let Settled { operation, result, .. } = settled;
        let Some(line) = self.open.remove(&operation.nonce()) else { return Ok(()) };
        self.signer.settle(&operation);
        let verified = match result {
            Ok(verified) => verified,
            Err(fault) => {
                if fault.is_passing() {
                    self.is_cut_off = true;
                    self.report.failed.push((line, fault.to_string()));
                    return Ok(());
                }
                if fault.reason() == Some(Reason::ExpiresTooFar) {
                    self.too_long.push((line, Arc::clone(&operation)));
                }
                self.report.refused.push((line, fault.to_string()));
                return Ok(());
            }
        };
        let receipt = verified.receipt();
        self.report.highest = self.report.highest.max(receipt.sequence);
        let journal = self.journal.as_deref_mut();
        let has_expired = journal.map(|journal| journal.settle(line, receipt)).transpose()?.unwrap_or(false);
        if has_expired {
            self.expired += 1;
        } else if receipt.is_applied() {
            self.report.applied += 1;
        } else {
            self.report.rejected.push((line, crate::receipt::outcome(receipt)));
        }
        on_receipt(&verified);
        Ok(())
    }
}

async fn send(pipeline: &Pipeline, next: Option<Arc<Operation>>) -> bool {
    match next {
        Some(operation) => pipeline.send(operation).await,
        None => true,
    }
}
