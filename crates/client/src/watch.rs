//! The live stream of what is ordered and changed. It goes on over lost connections and slow moments: after
//! each break it is opened again, at another validator if need be, behind the last whole sequence.

use quorate_transport::pb::operations::v1 as pb;
use quorate_transport::pb::operations::v1::watch_response::Entry;
use quorate_types::ids::Sequence;
use tonic::Streaming;

use crate::cluster::{Client, Pause};
use crate::fault::ClientFault;
use crate::submit::operations;

/// What to watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchOptions {
    /// The first sequence wanted; 0: from now on.
    pub from: Sequence,
    /// Leave ordered operations out.
    pub without_operations: bool,
    /// Leave entity changes out.
    pub without_changes: bool,
    /// Only entities of these kinds; empty: all.
    pub kinds: Vec<String>,
    /// With the operations' bodies.
    pub with_bodies: bool,
    /// With the receipts' proofs.
    pub with_proofs: bool,
}

/// A watch. [`Watch::next`] gives one entry after the other.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    options: WatchOptions,
    stream: Option<Streaming<pb::WatchResponse>>,
}

impl Client {
    /// Watches from a sequence on.
    #[must_use]
    pub fn watch(&self, options: WatchOptions) -> Watch {
        Watch { client: self.clone(), options, stream: None }
    }
}

impl Watch {
    /// The next entry, in order. Entries of a sequence whose end wasn't seen come again after a break.
    ///
    /// # Errors
    /// If the sequence isn't kept any more, or no validator serves the watch for as long as the retry policy
    /// says.
    pub async fn next(&mut self) -> Result<pb::WatchResponse, ClientFault> {
        let policy = self.client.inner.config.retry;
        let mut pause = Pause::new(policy);
        let started = std::time::Instant::now();
        loop {
            match self.try_next().await {
                Ok(entry) => return Ok(entry),
                Err(fault) if !fault.is_passing() || started.elapsed() >= policy.total => return Err(fault),
                Err(fault) => {
                    let endpoint = self.client.endpoint();
                    self.client.turn_away_from(&endpoint);
                    self.stream = None;
                    tokio::time::sleep(pause.after(&fault)).await;
                }
            }
        }
    }

    /// From where a new watch would go on.
    #[must_use]
    pub const fn resume_from(&self) -> Sequence {
        self.options.from
    }

    async fn try_next(&mut self) -> Result<pb::WatchResponse, ClientFault> {
        let endpoint = self.client.endpoint();
        let fault = |status| ClientFault::of_status(&endpoint.address, status);
        if self.stream.is_none() {
            let opened = operations(&endpoint).watch(self.request()).await.map_err(fault)?;
            self.stream = Some(opened.into_inner());
        }
        let ended = || ClientFault::StreamEnded { endpoint: endpoint.address.clone() };
        let stream = self.stream.as_mut().ok_or_else(ended)?;
        let entry = stream.message().await.map_err(fault)?.ok_or_else(ended)?;
        if let Some(Entry::Done(_)) = entry.entry {
            self.options.from = Sequence(entry.sequence).next();
        }
        Ok(entry)
    }

    fn request(&self) -> pb::WatchRequest {
        let options = &self.options;
        pb::WatchRequest {
            from_sequence: options.from.0,
            without_operations: options.without_operations,
            without_changes: options.without_changes,
            kinds: options.kinds.clone(),
            with_bodies: options.with_bodies,
            with_proofs: options.with_proofs,
        }
    }
}
