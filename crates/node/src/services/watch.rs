//! Watching: everything that is executed, in order, from a sequence on and without end.
//!
//! A watch reads sequence by sequence, recent ones from memory and older ones from the store, so it holds
//! its queue and nothing else however far behind it is. One whose client doesn't read is cut, with the
//! sequence to resume from.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use quorate_replica::machine::read;
use quorate_storage::{StateAt, Store};
use quorate_transport::convert::{proven_receipt, signed_operation_to_wire, value_to_wire, wire};
use quorate_transport::fault::{ApiFault, Reason};
use quorate_transport::pb::operations::v1 as pb;
use quorate_transport::pb::operations::v1::watch_response::Entry;
use quorate_types::codec::Canonical;
use quorate_types::evidence::Evidence;
use quorate_types::ids::Sequence;
use quorate_types::operation::{Operation, SystemChange};
use quorate_types::receipt::{EntityVersion, Receipt};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tonic::Status;

use super::access::Reader;
use super::{Api, pruned, stopping};
use crate::hub::Sequenced;

/// Entries that wait for their watcher. Bounds a watch's memory with the largest document.
const ENTRIES: usize = 64;

/// The entries of one watch. Its place among the watches is free again when it is dropped.
pub(super) struct WatchStream {
    entries: mpsc::Receiver<Result<pb::WatchResponse, Status>>,
    _place: OwnedSemaphorePermit,
}

impl Stream for WatchStream {
    type Item = Result<pb::WatchResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.entries.poll_recv(cx)
    }
}

/// Begins a watch.
pub(super) fn start<S: Store>(
    api: Arc<Api<S>>,
    request: pb::WatchRequest,
    reader: Reader,
) -> Result<WatchStream, ApiFault> {
    for kind in &request.kinds {
        api.readable_kind(kind, reader)?;
    }
    let Ok(place) = Arc::clone(&api.watches).try_acquire_owned() else {
        let text = "as many watches are open as this validator allows; use another one";
        let fault = ApiFault::new(Reason::PoolFull, text).with("limit", api.config.watches);
        return Err(fault.retry_after(Duration::from_secs(1)));
    };
    let oldest = api.ledger.oldest().map_err(|error| api.record_fault(error))?;
    if request.from_sequence > 0 && request.from_sequence < oldest.0 {
        return Err(pruned(Sequence(request.from_sequence), oldest));
    }
    let (sender, entries) = mpsc::channel(ENTRIES);
    let next = match request.from_sequence {
        0 => api.ledger.hub().progress().borrow().executed.next(),
        from => Sequence(from),
    };
    let watch = Watch { api: Arc::clone(&api), request, reader, next, sender };
    api.faults.spawn("a watch", watch.run());
    Ok(WatchStream { entries, _place: place })
}

struct Watch<S: Store> {
    api: Arc<Api<S>>,
    request: pb::WatchRequest,
    reader: Reader,
    /// The sequence whose entries come next.
    next: Sequence,
    sender: mpsc::Sender<Result<pb::WatchResponse, Status>>,
}

/// Why a watch ends.
enum End {
    /// The client has gone.
    Gone,
    /// It hears why.
    Fault(ApiFault),
}

impl From<ApiFault> for End {
    fn from(fault: ApiFault) -> Self {
        Self::Fault(fault)
    }
}

impl<S: Store> Watch<S> {
    async fn run(mut self) {
        // A place for the last word, however full the queue is.
        let Ok(last) = self.sender.clone().reserve_owned().await else { return };
        let stops = self.api.stopping.clone();
        let end = tokio::select! {
            end = self.follow() => end,
            () = stops.cancelled() => End::Fault(stopping()),
        };
        if let End::Fault(fault) = end {
            last.send(Err(fault.into()));
        }
    }

    async fn follow(&mut self) -> End {
        loop {
            match self.one_sequence().await {
                Ok(()) => self.next = self.next.next(),
                Err(end) => return end,
            }
        }
    }

    async fn one_sequence(&mut self) -> Result<(), End> {
        self.reached().await?;
        let sequenced = self.read().await?;
        for receipt in &sequenced.receipts {
            if !self.request.without_operations {
                let entry = Entry::Operation(self.operation(&sequenced, receipt)?);
                self.send(&sequenced, entry).await?;
            }
            if self.request.with_convictions
                && let Some(conviction) = self.conviction(&sequenced, receipt)?
            {
                self.send(&sequenced, Entry::Conviction(conviction)).await?;
            }
            for version in &receipt.versions {
                if self.is_wanted(version)? {
                    let entry = Entry::Change(self.change(receipt, version)?);
                    self.send(&sequenced, entry).await?;
                }
            }
        }
        let operations = u32::try_from(sequenced.receipts.len()).unwrap_or(u32::MAX);
        self.send(&sequenced, Entry::Done(pb::SequenceDone { operations })).await
    }

    /// Waits until the sequence is executed, and provable if proofs are wanted.
    async fn reached(&self) -> Result<(), End> {
        let mut progress = self.api.ledger.hub().progress();
        let (next, proofs) = (self.next, self.request.with_proofs);
        let is_reached =
            |progress: &crate::hub::Progress| progress.executed >= next && (!proofs || progress.certified >= next);
        tokio::select! {
            reached = progress.wait_for(is_reached) => reached.map(drop).map_err(|_| End::Fault(stopping())),
            () = self.sender.closed() => Err(End::Gone),
        }
    }

    async fn read(&self) -> Result<Arc<Sequenced>, End> {
        if let Some(sequenced) = self.api.ledger.hub().sequenced(self.next) {
            return Ok(sequenced);
        }
        let (ledger, next) = (Arc::clone(&self.api.ledger), self.next);
        let read = self.api.threads.blocking(move || ledger.sequenced(next)).await.map_err(|_| End::Gone)?;
        let found = read.map_err(|error| self.api.record_fault(error))?;
        if let Some(found) = found {
            return Ok(found);
        }
        // The watcher was so slow that pruning has passed it.
        let oldest = self.api.ledger.oldest().map_err(|error| self.api.record_fault(error))?;
        Err(End::Fault(match self.next < oldest {
            true => pruned(self.next, oldest),
            false => ApiFault::new(Reason::Internal, "an executed sequence can't be found"),
        }))
    }

    fn operation(&self, sequenced: &Sequenced, receipt: &Receipt) -> Result<pb::OrderedOperation, End> {
        let proof = if self.request.with_proofs {
            let held = self.api.ledger.certificate(self.next).map_err(|error| self.api.record_fault(error))?;
            held.and_then(|certificate| sequenced.prove(receipt.index, &certificate))
                .map_or_else(Bytes::new, |proof| Bytes::from(proof.to_file()))
        } else {
            Bytes::new()
        };
        let operation = self.body(sequenced, receipt)?;
        let (author, nonce) = operation
            .as_ref()
            .map_or((Bytes::new(), 0), |operation| (wire(operation.author().as_bytes()), operation.nonce()));
        let body = match operation {
            Some(operation) if self.request.with_bodies && self.api.may_read_body(&operation, self.reader)? => {
                Some(operation)
            }
            _ => None,
        };
        Ok(pb::OrderedOperation {
            author,
            nonce,
            receipt: Some(proven_receipt(receipt, proof)),
            operation: body.map(|operation| signed_operation_to_wire(operation.signed())),
        })
    }

    fn body(&self, sequenced: &Sequenced, receipt: &Receipt) -> Result<Option<Arc<Operation>>, End> {
        match sequenced.operations.get(&receipt.operation) {
            Some(operation) => Ok(Some(Arc::clone(operation))),
            None => self.waited(receipt),
        }
    }

    /// Who is convicted of what, if that is what the operation did.
    fn conviction(&self, sequenced: &Sequenced, receipt: &Receipt) -> Result<Option<pb::Conviction>, End> {
        if !receipt.is_applied() {
            return Ok(None);
        }
        let operation = self.body(sequenced, receipt)?;
        let system = operation.as_ref().and_then(|operation| operation.content().system.as_ref());
        let Some(SystemChange::Accuse(bytes)) = system else { return Ok(None) };
        // Whatever was applied could be read, and accuses a validator.
        let Ok(evidence) = Evidence::from_bytes(bytes) else { return Ok(None) };
        Ok(evidence.validator().map(|validator| pb::Conviction {
            evidence: wire(evidence.id().as_bytes()),
            kind: evidence.kind().to_owned(),
            epoch: evidence.epoch().0,
            validator: validator.0.into(),
            name: self.api.name_in(evidence.epoch(), validator),
            operation: wire(receipt.operation.0.as_bytes()),
        }))
    }

    /// An operation that came with an earlier sequence and waited for a parent.
    fn waited(&self, receipt: &Receipt) -> Result<Option<Arc<Operation>>, End> {
        let place = quorate_replica::records::Place { sequence: receipt.sequence, index: receipt.index };
        let back = u64::from(self.api.context.parameters.waiting_sequences);
        let found = self.api.ledger.operation(&receipt.operation, place, back);
        Ok(found.map_err(|error| self.api.record_fault(error))?)
    }

    fn is_wanted(&self, version: &EntityVersion) -> Result<bool, End> {
        let name = &version.entity.kind;
        let is_named = self.request.kinds.is_empty() || self.request.kinds.contains(name);
        let is_wanted = !self.request.without_changes && is_named;
        Ok(is_wanted && self.api.kind(name)?.is_some_and(|kind| self.reader.may_read(&kind)))
    }

    /// The change, with the value if the entity still is as the operation left it.
    fn change(&self, receipt: &Receipt, version: &EntityVersion) -> Result<pb::EntityChange, End> {
        let snapshot = self.api.snapshot()?;
        let state = StateAt(&snapshot);
        let now = read::entity(&state, &version.entity).map_err(|error| self.api.store_fault(error))?;
        let as_left = |entity: &quorate_replica::machine::Entity| {
            entity.header.version == version.version && entity.header.last == receipt.operation
        };
        let value = now.filter(as_left).map(|entity| value_to_wire(&entity.content.to_value()));
        Ok(pb::EntityChange {
            kind: version.entity.kind.clone(),
            id: version.entity.id.clone(),
            version: version.version,
            operation: wire(receipt.operation.0.as_bytes()),
            value,
        })
    }

    async fn send(&self, sequenced: &Sequenced, entry: Entry) -> Result<(), End> {
        let response = pb::WatchResponse {
            sequence: sequenced.execution.sequence.0,
            block_time_ms: sequenced.time.0,
            entry: Some(entry),
        };
        let patience = Duration::from_millis(self.api.config.watch_patience_ms);
        match self.sender.send_timeout(Ok(response), patience).await {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(End::Gone),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                self.api.metrics.watches_cut.add(1);
                let text = format!("the watcher reads too slowly and was cut; resume from sequence {}", self.next);
                Err(ApiFault::new(Reason::SlowWatcher, text).with("resume_from", self.next).into())
            }
        }
    }
}
