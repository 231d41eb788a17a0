//! The accepting half of the links: the `Peer` service.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use quorate_types::ids::ValidatorIndex;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use tracing::{info, warn};

use super::dial::WINDOW_BYTES;
use super::state::PeerState;
use super::{Inboxes, Incoming, Lane, LinkFault, MAX_FRAME_BYTES, Place, Shared, hello};
use crate::Connector;
use crate::limiter::{Rate, TokenBucket};
use crate::pb::peer::v1::Frame;
use crate::pb::peer::v1::frame::Content;
use crate::pb::peer::v1::peer_server::{Peer, PeerServer};
use crate::serve::{AcceptLimits, ConnectionInfo, incoming};
use crate::tls::{Expected, TlsFault, listen_config};

/// Streams that one connection may carry; each needs one.
const STREAMS_PER_CONNECTION: u32 = 2;

type Frames = Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>;

/// Serves the peers' listener until the links close.
pub(super) fn serve<C: Connector>(
    shared: Arc<Shared>,
    listener: C::Listener,
    inboxes: Inboxes,
) -> Result<impl Future<Output = io::Result<()>> + Send + use<C>, TlsFault> {
    let config = &shared.config;
    // Our own key is not among those expected: whoever shows it is a second node that runs with it.
    let others = config.set.everyone().filter(|(index, _)| *index != config.me);
    let expected: Vec<_> =
        others.map(|(_, info)| Expected { name: info.name.clone(), key: info.network_key }).collect();
    let tls = listen_config(&config.identity, expected)?;
    let (timing, closed) = (config.timing, shared.closed());
    // Two connections per peer, twice: an old one may still be dying while its successor is there.
    let limits =
        AcceptLimits { connections: config.set.everyone().count().saturating_mul(8), ..AcceptLimits::default() };
    let service = PeerServer::new(PeerService { shared, inboxes })
        .max_decoding_message_size(MAX_FRAME_BYTES)
        .max_encoding_message_size(MAX_FRAME_BYTES);
    Ok(async move {
        Server::builder()
            .http2_keepalive_interval(Some(timing.keep_alive))
            .http2_keepalive_timeout(Some(timing.keep_alive_timeout))
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .max_concurrent_streams(STREAMS_PER_CONNECTION)
            .add_service(service)
            .serve_with_incoming_shutdown(incoming::<C>(listener, "peers", Some(tls), limits), closed)
            .await
            .map_err(io::Error::other)
    })
}

struct PeerService {
    shared: Arc<Shared>,
    inboxes: Inboxes,
}

#[tonic::async_trait]
impl Peer for PeerService {
    type ControlStream = Frames;
    type BulkStream = Frames;

    async fn control(&self, request: Request<Streaming<Frame>>) -> Result<Response<Frames>, Status> {
        self.receive(Lane::Control, request)
    }

    async fn bulk(&self, request: Request<Streaming<Frame>>) -> Result<Response<Frames>, Status> {
        self.receive(Lane::Bulk, request)
    }
}

impl PeerService {
    /// Answers with our hello, then reads until the stream ends; only then something else is answered.
    fn receive(&self, lane: Lane, request: Request<Streaming<Frame>>) -> Result<Response<Frames>, Status> {
        let info = request.extensions().get::<ConnectionInfo>().cloned();
        let key = info.as_ref().and_then(|info| info.network_key);
        let from = key.and_then(|key| self.shared.config.set.by_network_key(&key));
        let peer = from.and_then(|from| self.shared.peer(from)).map(Arc::clone);
        let Some(peer) = peer else {
            return Err(Status::permission_denied("this network key is not in the validator set"));
        };
        let (inbox, rate) = match lane {
            Lane::Control => (self.inboxes.control.clone(), self.shared.config.limits.control_receive),
            Lane::Bulk => (self.inboxes.bulk.clone(), self.shared.config.limits.bulk_receive),
        };
        let receiver = Receiver { shared: Arc::clone(&self.shared), peer, lane, inbox, rate };
        let ours = stream::once(std::future::ready(Ok(hello::make(&self.shared.config))));
        let end = stream::once(receiver.run(request.into_inner()))
            .filter_map(|end| std::future::ready(end.err().map(|fault| Err(refusal(&fault)))));
        Ok(Response::new(Box::pin(ours.chain(end))))
    }
}

/// What the sender is told.
fn refusal(fault: &LinkFault) -> Status {
    match fault {
        LinkFault::Stream(status) => Status::new(status.code(), status.message()),
        LinkFault::Replaced => Status::already_exists(fault.to_string()),
        fault => Status::failed_precondition(fault.to_string()),
    }
}

/// Reads one stream of one peer.
struct Receiver {
    shared: Arc<Shared>,
    peer: Arc<PeerState>,
    lane: Lane,
    inbox: mpsc::Sender<Incoming>,
    rate: Rate,
}

impl Receiver {
    async fn run(self, mut frames: Streaming<Frame>) -> Result<(), LinkFault> {
        let (peer, stream) = (self.peer.name.as_str(), self.lane.name());
        if let Err(fault) = self.greet(&mut frames).await {
            warn!(peer, stream, "link refused: {fault}");
            return Err(fault);
        }
        let mut replaced = self.peer.on_receiving(self.lane);
        let generation = *replaced.borrow_and_update();
        let end = tokio::select! {
            biased;
            () = self.shared.closed() => Ok(()),
            _ = replaced.changed() => Err(LinkFault::Replaced),
            end = self.read(&mut frames) => end,
        };
        self.peer.on_receive_end(self.lane, generation);
        match &end {
            Ok(()) => info!(peer, stream, "link from the peer closed"),
            Err(fault) => info!(peer, stream, "link from the peer ended: {fault}"),
        }
        end
    }

    async fn greet(&self, frames: &mut Streaming<Frame>) -> Result<(), LinkFault> {
        let limit = self.shared.config.timing.hello_timeout;
        let first = timeout(limit, frames.message()).await.map_err(|_| LinkFault::Timeout { what: "the hello" })?;
        let first = first.map_err(|status| LinkFault::Stream(Box::new(status)))?;
        hello::admit(first, &self.shared.config)
    }

    /// Reads until the stream ends. Slower than the peer sends, if it sends more than it may or than the
    /// inbox takes: flow control then stops it.
    async fn read(&self, frames: &mut Streaming<Frame>) -> Result<(), LinkFault> {
        let from: ValidatorIndex = self.peer.index;
        let mut bucket = TokenBucket::new(self.rate, Instant::now());
        loop {
            let frame = frames.message().await.map_err(|status| LinkFault::Stream(Box::new(status)))?;
            let message = match frame.map(|frame| frame.content) {
                None => return Ok(()),
                Some(Some(Content::Message(message))) if message.is_empty() => return Err(LinkFault::Empty),
                Some(Some(Content::Message(message))) => message,
                Some(_) => return Err(LinkFault::Unexpected),
            };
            let at = Instant::now();
            let bytes = message.len();
            self.peer.on_frame(self.lane, bytes, at);
            let permit = Arc::clone(&self.peer.places[self.lane.position()]).acquire_owned().await;
            let place = Place { _permit: permit.ok().map(Arc::new) };
            if self.inbox.send(Incoming { from, lane: self.lane, frame: message, at, place }).await.is_err() {
                // Nobody reads any more: the validator is stopping.
                return Ok(());
            }
            let wait = bucket.debit(at, bytes as u64);
            if !wait.is_zero() {
                sleep(wait).await;
            }
        }
    }
}
