//! Simulated clients: what they sign, whom they give it to, and what they have been told.
//!
//! A client is told that its operation executed when some correct validator holds the execution certificate
//! of the sequence that has the operation's receipt. Until then it tries again, elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quorate_types::ids::{BlockTime, OperationId, Sequence};
use quorate_types::operation::{Change, Condition, EntityId, Operation, OperationBuilder, OperationFault};
use quorate_types::receipt::Receipt;
use quorate_types::value::Value;

use super::cast::Cast;
use super::clock::START_WALL_MS;
use super::history::History;
use super::settings::{Mix, WorkloadSettings};
use crate::dice::{Dice, Stream};

/// Operations expire so long after the start of the run.
const LIFETIME_MS: u64 = 12 * 3_600_000;

/// An operation that isn't answered yet.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) operation: Arc<Operation>,
    /// When it was signed.
    pub(crate) signed_us: u64,
    /// When it was last given to a validator.
    pub(crate) given_us: u64,
}

/// The clients.
#[derive(Debug)]
pub(crate) struct Workload {
    settings: WorkloadSettings,
    dice: Dice,
    made: u32,
    nonces: Vec<u64>,
    /// Each client's newest operation.
    newest: Vec<Option<OperationId>>,
    /// Clients whose first operation was answered: before, a higher nonce would shut out the lower ones.
    known: BTreeSet<u16>,
    authors: BTreeMap<OperationId, u16>,
    pending: BTreeMap<OperationId, Pending>,
    /// Receipts by sequence, as the first validator that executed it found them.
    receipts: BTreeMap<Sequence, Vec<Receipt>>,
    /// What clients did and were told.
    pub(crate) history: History,
    /// How long each acknowledged operation took, from its signature on.
    pub(crate) waits_us: Vec<u64>,
    acknowledged: u64,
    judged: u64,
}

impl Workload {
    pub(crate) fn new(seed: u64, settings: WorkloadSettings) -> Self {
        let clients = usize::from(settings.clients);
        Self {
            settings,
            dice: Dice::new(seed, Stream::Workload),
            made: 0,
            nonces: vec![0; clients],
            newest: vec![None; clients],
            known: BTreeSet::new(),
            authors: BTreeMap::new(),
            pending: BTreeMap::new(),
            receipts: BTreeMap::new(),
            history: History::default(),
            waits_us: Vec::new(),
            acknowledged: 0,
            judged: 0,
        }
    }

    /// Whether all operations have been signed.
    pub(crate) const fn is_done(&self) -> bool {
        self.made >= self.settings.operations
    }

    /// The time to the next operation.
    pub(crate) fn pause_us(&mut self) -> u64 {
        self.dice.range(1, self.settings.interval_us.saturating_mul(2).max(1))
    }

    /// The next operation; none while the client drawn may not go on.
    ///
    /// # Errors
    /// A fault of this generator.
    pub(crate) fn next(&mut self, cast: &Cast, now_us: u64) -> Result<Option<Arc<Operation>>, OperationFault> {
        let client = u16::try_from(self.dice.below(u64::from(self.settings.clients))).unwrap_or(0);
        let position = usize::from(client);
        if self.is_done() || (self.nonces[position] > 0 && !self.known.contains(&client)) {
            return Ok(None);
        }
        self.nonces[position] += 1;
        self.made += 1;
        let key = cast.client_key(client);
        let expires_at = BlockTime(START_WALL_MS + LIFETIME_MS);
        let cluster = cast.context.cluster;
        let mut builder = OperationBuilder::new(cluster, key.public(), self.nonces[position], expires_at);
        let names_parent = self.dice.chance(self.settings.parent_per_mille);
        if let Some(parent) = self.newest[position].filter(|_| names_parent) {
            builder = builder.parent(parent);
        }
        let operation = Arc::new(self.content(builder).sign(&key)?);
        self.newest[position] = Some(operation.id());
        self.history.on_invoked(&operation, now_us);
        self.authors.insert(operation.id(), client);
        self.pending
            .insert(operation.id(), Pending { operation: Arc::clone(&operation), signed_us: now_us, given_us: now_us });
        Ok(Some(operation))
    }

    fn content(&mut self, builder: OperationBuilder) -> OperationBuilder {
        let number = self.dice.below(self.settings.entities);
        let amount = self.dice.range(1, 20);
        let account = |number: u64| EntityId::new("account", &format!("a{number}"));
        let counter = EntityId::new("counter", &format!("c{number}"));
        let document = EntityId::new("document", &format!("d{number}"));
        let Mix { create_counter, add, put, guarded_put, create_account, mint, transfer } = self.settings.mix;
        let weights = [create_counter, add, put, guarded_put, create_account, mint, transfer];
        match self.weighed(&weights) {
            0 => builder.mutate(counter, Change::Create { value: None }),
            1 => builder.mutate(counter, Change::Add { by: 1 }),
            2 => builder.mutate(document, Change::Put { value: self.text() }),
            // Whoever comes first at this version wins.
            3 => {
                let version = self.dice.range(1, 4);
                builder
                    .guard(document.clone(), Condition::Version(version))
                    .mutate(document, Change::Put { value: self.text() })
            }
            4 => builder.mutate(account(number), Change::Create { value: None }),
            5 => builder.mutate(account(number), Change::Mint { amount: amount * 3 }),
            _ => {
                let to = format!("a{}", (number + 1) % self.settings.entities.max(1));
                builder.mutate(account(number), Change::Transfer { to, amount })
            }
        }
    }

    /// The index of a weight, drawn by weight.
    fn weighed(&mut self, weights: &[u32]) -> usize {
        let mut drawn = self.dice.below(weights.iter().map(|weight| u64::from(*weight)).sum());
        for (index, weight) in weights.iter().enumerate() {
            match drawn.checked_sub(u64::from(*weight)) {
                None => return index,
                Some(rest) => drawn = rest,
            }
        }
        weights.len()
    }

    fn text(&self) -> Value {
        let mut text = format!("value {}", self.made);
        let size = usize::try_from(self.settings.value_bytes).unwrap_or(0);
        text.extend(std::iter::repeat_n('.', size.saturating_sub(text.len())));
        Value::Text(text)
    }

    /// Which validators get an operation: one, or two at once.
    pub(crate) fn gateways(&mut self, up: &[u16]) -> Vec<u16> {
        let first = self.dice.pick(up).copied();
        let second = self.dice.pick(up).copied().filter(|_| self.dice.chance(self.settings.twice_per_mille));
        let mut gateways: Vec<u16> = first.into_iter().chain(second).collect();
        gateways.dedup();
        gateways
    }

    /// Operations that have waited too long and are given to somebody once more.
    pub(crate) fn due(&mut self, now_us: u64) -> Vec<Arc<Operation>> {
        let patience_us = self.settings.retry_ms * 1_000;
        let due = self.pending.values_mut().filter(|pending| now_us.saturating_sub(pending.given_us) >= patience_us);
        due.map(|pending| {
            pending.given_us = now_us;
            Arc::clone(&pending.operation)
        })
        .collect()
    }

    /// A sequence was executed somewhere, with these receipts and these answers without one.
    pub(crate) fn on_executed(&mut self, sequence: Sequence, receipts: &[Receipt], judged: &[OperationId]) {
        self.receipts.entry(sequence).or_insert_with(|| receipts.to_vec());
        for id in judged {
            self.judged += u64::from(self.answer(id));
        }
    }

    /// A client is told that its operation has no receipt; true if it hadn't heard.
    #[cfg(feature = "net")]
    pub(crate) fn on_judged(&mut self, id: &OperationId) -> bool {
        let is_news = self.answer(id);
        self.judged += u64::from(is_news);
        is_news
    }

    fn answer(&mut self, id: &OperationId) -> bool {
        if let Some(client) = self.authors.get(id) {
            self.known.insert(*client);
        }
        self.pending.remove(id).is_some()
    }

    /// A correct validator holds the execution certificate of a sequence: the receipts that clients are told
    /// of now.
    pub(crate) fn on_certified(&mut self, sequence: Sequence, now_us: u64) -> Vec<Receipt> {
        let receipts = self.receipts.get(&sequence).cloned().unwrap_or_default();
        let signed = receipts.iter().filter_map(|receipt| self.pending.get(&receipt.operation));
        self.waits_us.extend(signed.map(|pending| now_us.saturating_sub(pending.signed_us)));
        let told: Vec<Receipt> = receipts.into_iter().filter(|receipt| self.answer(&receipt.operation)).collect();
        told.iter().for_each(|receipt| self.history.on_told(receipt, now_us));
        self.acknowledged += told.len() as u64;
        told
    }

    /// A validator shows the receipt of an operation with its certificate; true if its client hadn't heard.
    pub(crate) fn on_found(&mut self, receipt: &Receipt, now_us: u64) -> bool {
        self.history.on_told(receipt, now_us);
        let is_news = self.answer(&receipt.operation);
        self.acknowledged += u64::from(is_news);
        is_news
    }

    /// What isn't answered yet.
    pub(crate) const fn pending(&self) -> &BTreeMap<OperationId, Pending> {
        &self.pending
    }

    /// Operations signed, acknowledged, and answered without a receipt.
    pub(crate) const fn counted(&self) -> (u32, u64, u64) {
        (self.made, self.acknowledged, self.judged)
    }
}
