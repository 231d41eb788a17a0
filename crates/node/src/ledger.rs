//! What was executed, for those who ask: receipts with their proofs, and the operations behind them. Recent
//! sequences come from memory, older ones from the store.

mod bodies;

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use quorate_replica::records::{self, Judged, Place, RecordError};
use quorate_storage::Store;
use quorate_types::execution::ExecutionCertificate;
use quorate_types::ids::{BlockTime, OperationId, Sequence};
use quorate_types::operation::Operation;
use quorate_types::receipt::Receipt;

use crate::hub::{Hub, Sequenced};

/// Older sequences kept once they were read: whoever asks for one receipt asks for its neighbours.
const OLD_SEQUENCES: usize = 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct Ledger<S> {
    store: Arc<S>,
    hub: Arc<Hub>,
    old: Mutex<VecDeque<Arc<Sequenced>>>,
}

impl<S: Store> Ledger<S> {
    pub(crate) fn new(store: Arc<S>, hub: Arc<Hub>) -> Arc<Self> {
        Arc::new(Self { store, hub, old: Mutex::default() })
    }

    pub(crate) fn store(&self) -> &S {
        &self.store
    }

    pub(crate) const fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// A state from other validators has replaced the own one: what was remembered of results may be wrong, and what
    /// lies between isn't here.
    pub(crate) fn on_installed(&self, executed: Sequence, time: BlockTime) {
        self.old().clear();
        self.hub.on_installed(executed, time);
    }

    /// Where an operation's receipt is, if it has one.
    pub(crate) fn place(&self, operation: &OperationId) -> Result<Option<Place>, RecordError> {
        records::place(operation).read(&*self.store)
    }

    /// The lowest sequence that is kept.
    pub(crate) fn oldest(&self) -> Result<Sequence, RecordError> {
        Ok(records::pruned().read(&*self.store)?.unwrap_or_default().next())
    }

    /// The last answer without a receipt.
    pub(crate) fn judged(&self, operation: &OperationId) -> Result<Option<Judged>, RecordError> {
        records::judged(operation).read(&*self.store)
    }

    /// The execution certificate of a sequence, if it is held.
    pub(crate) fn certificate(&self, sequence: Sequence) -> Result<Option<Arc<ExecutionCertificate>>, RecordError> {
        if let Some(certificate) = self.hub.certificate(sequence) {
            return Ok(Some(certificate));
        }
        Ok(records::execution(sequence).read(&*self.store)?.map(Arc::new))
    }

    /// An executed sequence; `None` if it isn't executed here yet.
    pub(crate) fn sequenced(&self, sequence: Sequence) -> Result<Option<Arc<Sequenced>>, RecordError> {
        if let Some(sequenced) = self.hub.sequenced(sequence) {
            return Ok(Some(sequenced));
        }
        let same = |old: &&Arc<Sequenced>| old.execution.sequence == sequence;
        if let Some(sequenced) = self.old().iter().find(same) {
            return Ok(Some(Arc::clone(sequenced)));
        }
        let Some(sequenced) = self.read(sequence)?.map(Arc::new) else { return Ok(None) };
        let mut old = self.old();
        old.push_back(Arc::clone(&sequenced));
        if old.len() > OLD_SEQUENCES {
            old.pop_front();
        }
        Ok(Some(sequenced))
    }

    /// A receipt; `None` if its sequence isn't executed here.
    pub(crate) fn receipt(&self, place: Place) -> Result<Option<Receipt>, RecordError> {
        let sequenced = self.sequenced(place.sequence)?;
        Ok(sequenced.and_then(|sequenced| sequenced.receipts.get(place.index as usize).cloned()))
    }

    /// A receipt with the content of its receipt file; `None` while it can't be proven.
    pub(crate) fn prove(&self, place: Place) -> Result<Option<(Receipt, Bytes)>, RecordError> {
        let Some(certificate) = self.certificate(place.sequence)? else { return Ok(None) };
        let Some(sequenced) = self.sequenced(place.sequence)? else { return Ok(None) };
        let proof = sequenced.prove(place.index, &certificate);
        Ok(proof.map(|proof| {
            let file = Bytes::from(proof.to_file());
            (proof.receipt, file)
        }))
    }

    /// An executed operation. One that waited for a parent came with an earlier sequence, at most
    /// `waiting_sequences` before, as far as is searched.
    pub(crate) fn operation(
        &self,
        operation: &OperationId,
        place: Place,
        waiting_sequences: u64,
    ) -> Result<Option<Arc<Operation>>, RecordError> {
        if let Some(sequenced) = self.sequenced(place.sequence)?
            && let Some(found) = sequenced.operations.get(operation)
        {
            return Ok(Some(Arc::clone(found)));
        }
        let wanted = BTreeSet::from([*operation]);
        for back in 1..=waiting_sequences.min(place.sequence.0) {
            let sequence = Sequence(place.sequence.0 - back);
            let mut found = bodies::read(&*self.store, sequence, &wanted)?;
            if let Some(operation) = found.remove(operation) {
                return Ok(Some(operation));
            }
        }
        Ok(None)
    }

    /// A sequence as the store has it.
    fn read(&self, sequence: Sequence) -> Result<Option<Sequenced>, RecordError> {
        let store = &*self.store;
        if records::executed().read(store)?.is_none_or(|mark| mark.execution.sequence < sequence) {
            return Ok(None);
        }
        let Some(digest) = records::committed(sequence).read(store)? else { return Ok(None) };
        let Some(proposal) = records::proposal(&digest).read(store)? else { return Ok(None) };
        let receipts = records::receipts_at(store, sequence)?;
        let Some(execution) = records::result(sequence).read(store)? else { return Ok(None) };
        let wanted = receipts.iter().map(|receipt| receipt.operation).collect();
        let operations = bodies::read(store, sequence, &wanted)?;
        Ok(Some(Sequenced::new(execution, proposal.time, receipts, operations)))
    }

    /// No code panics while it holds the lock.
    fn old(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<Sequenced>>> {
        self.old.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
