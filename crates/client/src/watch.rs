//! The live stream of what is ordered and changed. It goes on over lost connections and slow moments: after
//! each break it is opened again, at another validator if need be, behind the last whole sequence.

use std::sync::Arc;
use std::time::Instant;

use quorate_crypto::SecretKey;
use quorate_transport::pb::cluster::v1::StatusRequest;
use quorate_transport::pb::cluster::v1::cluster_client::ClusterClient;
use quorate_transport::pb::operations::v1 as pb;
use quorate_transport::pb::operations::v1::watch_response::Entry;
use quorate_transport::read_token::ReadToken;
use quorate_types::ids::Sequence;
use tonic::Streaming;

use crate::cluster::{Client, Endpoint, Pause};
use crate::fault::ClientFault;
use crate::read::with_token;
use crate::signer::now_ms;
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
    /// With the convictions of validators.
    pub with_convictions: bool,
}

/// How long a token is good for that a watch shows when it is opened.
const TOKEN_LIFETIME_MS: u64 = 10 * 60 * 1_000;

/// A watch. [`Watch::next`] gives one entry after the other.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    options: WatchOptions,
    key: Option<Arc<SecretKey>>,
    stream: Option<Open>,
}

/// An open stream, and whose it is.
#[derive(Debug)]
struct Open {
    endpoint: Endpoint,
    entries: Streaming<pb::WatchResponse>,
}

impl Client {
    /// Watches from a sequence on.
    #[must_use]
    pub fn watch(&self, options: WatchOptions) -> Watch {
        Watch { client: self.clone(), options, key: None, stream: None }
    }
}

impl Watch {
    /// Shows whenever it is opened that the owner of `key` reads, for kinds that restrict reading.
    #[must_use]
    pub fn with_key(mut self, key: SecretKey) -> Self {
        self.key = Some(Arc::new(key));
        self
    }

    /// The next entry, in order. Entries of a sequence whose end wasn't seen come again after a break.
    ///
    /// # Errors
    /// If the sequence isn't kept any more, or no validator serves the watch for as long as the retry policy
    /// says.
    pub async fn next(&mut self) -> Result<pb::WatchResponse, ClientFault> {
        let policy = self.client.inner.config.retry;
        let mut pause = Pause::new(policy);
        // However long nothing happened before: time runs from the first failure on.
        let mut failing_since: Option<Instant> = None;
        loop {
            let fault = match self.try_next().await {
                Ok(entry) => return Ok(entry),
                Err(fault) => fault,
            };
            let since = *failing_since.get_or_insert_with(Instant::now);
            if !fault.is_passing() || since.elapsed() >= policy.total {
                return Err(fault);
            }
            tokio::time::sleep(pause.after(&fault)).await;
        }
    }

    /// From where a new watch would go on; 0 before it was open for the first time.
    #[must_use]
    pub const fn resume_from(&self) -> Sequence {
        self.options.from
    }

    /// The next entry of the open stream, or of one opened now. After a failure none is open, and the client
    /// turns to the next validator.
    async fn try_next(&mut self) -> Result<pb::WatchResponse, ClientFault> {
        let mut open = match self.stream.take() {
            Some(open) => open,
            None => self.open().await?,
        };
        let fault = match open.entries.message().await {
            Ok(Some(entry)) => {
                self.stream = Some(open);
                if let Some(Entry::Done(_)) = entry.entry {
                    self.options.from = Sequence(entry.sequence).next();
                }
                return Ok(entry);
            }
            Ok(None) => ClientFault::StreamEnded { endpoint: open.endpoint.address.clone() },
            Err(status) => ClientFault::of_status(&open.endpoint.address, status),
        };
        self.client.turn_away_from(&open.endpoint);
        Err(fault)
    }

    async fn open(&mut self) -> Result<Open, ClientFault> {
        let endpoint = self.client.endpoint();
        let client = self.client.clone();
        let opened = client.in_time(&endpoint, self.open_at(&endpoint)).await;
        match opened {
            Ok(entries) => Ok(Open { endpoint, entries }),
            Err(fault) => {
                self.client.turn_away_from(&endpoint);
                Err(fault)
            }
        }
    }

    async fn open_at(&mut self, endpoint: &Endpoint) -> Result<Streaming<pb::WatchResponse>, ClientFault> {
        let fault = |status| ClientFault::of_status(&endpoint.address, status);
        self.client.admit(endpoint).await?;
        if self.options.from == Sequence::ZERO {
            // From now on, also if the stream breaks before the end of its first sequence.
            let mut service = ClusterClient::new(endpoint.service());
            let status = service.status(StatusRequest::default()).await.map_err(fault)?;
            self.options.from = Sequence(status.get_ref().executed).next();
        }
        let token = self.key.as_deref().map(|key| {
            let expires_at_ms = now_ms().saturating_add(TOKEN_LIFETIME_MS);
            ReadToken::sign(key, self.client.cluster(), expires_at_ms)
        });
        let request = with_token(self.request(), token.as_ref());
        Ok(operations(endpoint).watch(request).await.map_err(fault)?.into_inner())
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
            with_convictions: options.with_convictions,
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;
    use crate::testing::{self, Fake, LONG};

    fn entry(sequence: u64, entry: Entry) -> Result<pb::WatchResponse, Status> {
        Ok(pb::WatchResponse { sequence, block_time_ms: 0, entry: Some(entry) })
    }

    fn operation(sequence: u64) -> Result<pb::WatchResponse, Status> {
        entry(sequence, Entry::Operation(pb::OrderedOperation::default()))
    }

    fn done(sequence: u64) -> Result<pb::WatchResponse, Status> {
        entry(sequence, Entry::Done(pb::SequenceDone::default()))
    }

    async fn sequences(watch: &mut Watch, entries: usize) -> Vec<u64> {
        let mut seen = Vec::new();
        for _ in 0..entries {
            let next = tokio::time::timeout(LONG, watch.next()).await;
            seen.push(next.expect("it goes on").expect("the break is mended").sequence);
        }
        seen
    }

    #[tokio::test]
    async fn a_watch_from_now_on_loses_nothing_when_it_breaks_before_its_first_sequence_ends() {
        let fake = Fake::new().executed(41);
        fake.will_stream([operation(42), Err(Status::unavailable("gone"))]);
        fake.will_stream([operation(42), done(42)]);
        let address = fake.clone().start().await;
        let mut watch = testing::client([address.as_str()]).watch(WatchOptions::default());
        assert_eq!(sequences(&mut watch, 3).await, [42, 42, 42]);
        assert_eq!(fake.watched_from(), [42, 42]);
        assert_eq!(watch.resume_from(), Sequence(43));
    }

    #[tokio::test]
    async fn a_break_after_a_time_longer_than_all_patience_is_mended_at_the_next_validator() {
        let (first, second) = (Fake::new(), Fake::new());
        first.will_stream_then_wait([done(1)], testing::PATIENCE * 2);
        second.will_stream([done(2)]);
        let addresses = [first.clone().start().await, second.clone().start().await];
        let client = testing::client(addresses.iter().map(String::as_str));
        let mut watch = client.watch(WatchOptions { from: Sequence(1), ..WatchOptions::default() });
        assert_eq!(sequences(&mut watch, 1).await, [1]);
        // Other calls turn the client elsewhere meanwhile: that says nothing about this stream's validator.
        client.turn_away_from(&client.endpoint());
        assert_eq!(sequences(&mut watch, 1).await, [2]);
        assert_eq!((first.watched_from(), second.watched_from()), (vec![1], vec![2]));
    }

    #[tokio::test]
    async fn a_watch_with_a_key_says_who_reads_whenever_it_is_opened() {
        let fake = Fake::new();
        fake.will_stream([done(1)]);
        fake.will_stream([done(2)]);
        let address = fake.clone().start().await;
        let client = testing::client([address.as_str()]);
        let options = WatchOptions { from: Sequence(1), ..WatchOptions::default() };
        let mut watch = client.watch(options).with_key(SecretKey::from_seed([3; 32]));
        assert_eq!(sequences(&mut watch, 2).await, [1, 2]);
        assert_eq!(fake.readers(), [SecretKey::from_seed([3; 32]).public(); 2]);
    }
}
