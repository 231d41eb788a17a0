//! The dialling half of a link: one task per peer and lane, for as long as the links live.

use std::io;
use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tracing::{debug, info, warn};

use super::state::PeerState;
use super::{Lane, LinkFault, MAX_FRAME_BYTES, Shared, hello};
use crate::Connector;
use crate::backoff::{Backoff, dice};
use crate::pb::peer::v1::Frame;
use crate::pb::peer::v1::frame::Content;
use crate::pb::peer::v1::peer_client::PeerClient;
use crate::tls::{Expected, TlsFault, dial_config, wrong_key};

/// Bytes that HTTP/2 lets a sender have under way: one largest frame.
pub(super) const WINDOW_BYTES: u32 = 8 << 20;

/// After so many failures for one and the same reason it is logged again.
const LOG_EVERY: u32 = 60;

/// Keeps one outgoing stream up.
pub(super) struct Dialler<C> {
    shared: Arc<Shared>,
    peer: Arc<PeerState>,
    lane: Lane,
    address: String,
    tls: Arc<ClientConfig>,
    connector: C,
}

/// The dialler of `lane` to `peer`.
pub(super) fn dialler<C: Connector>(
    shared: &Arc<Shared>,
    peer: &Arc<PeerState>,
    lane: Lane,
    connector: C,
) -> Result<Dialler<C>, TlsFault> {
    let config = &shared.config;
    let info = config.set.anyone(peer.index).expect("peers are made from the set");
    let expected = Expected { name: info.name.clone(), key: info.network_key };
    let overridden = config.addresses.iter().find(|(index, _)| *index == peer.index);
    let address = overridden.map_or_else(|| info.peer_address.clone(), |(_, address)| address.clone());
    let tls = dial_config(&config.identity, expected)?;
    Ok(Dialler { shared: Arc::clone(shared), peer: Arc::clone(peer), lane, address, tls, connector })
}

impl<C: Connector> Dialler<C> {
    /// Dials, sends until the stream fails, waits, and so on until the links close.
    pub(super) async fn run(self) -> io::Result<()> {
        let timing = self.shared.config.timing;
        let mut backoff = Backoff::new(timing.redial, timing.redial_cap);
        let mut told = Told::default();
        let mut closed = std::pin::pin!(self.shared.closed());
        loop {
            let fault = tokio::select! {
                biased;
                () = &mut closed => return Ok(()),
                fault = self.session(&mut backoff, &mut told) => fault,
            };
            if matches!(fault, LinkFault::Replaced) {
                self.peer.on_replaced();
            }
            let problem = fault.to_string();
            told.failure(&self.peer.name, self.lane, &self.address, &problem);
            self.peer.on_send_failure(self.lane, problem);
            tokio::select! {
                biased;
                () = &mut closed => return Ok(()),
                () = tokio::time::sleep(backoff.delay(dice())) => {}
            }
        }
    }

    /// One connection, from dialling to its end.
    async fn session(&self, backoff: &mut Backoff, told: &mut Told) -> LinkFault {
        match self.open().await {
            Ok(Opened { mut replies, ending }) => {
                told.success(&self.peer.name, self.lane, &self.address);
                // The other end has nothing to say but its hello: whatever comes is the end.
                let fault = match replies.message().await {
                    Ok(None) => LinkFault::Closed,
                    Ok(Some(_)) => LinkFault::Unexpected,
                    Err(status) => self.status(status),
                };
                drop(ending);
                // Two nodes with one key would take turns as fast as they can.
                if !matches!(fault, LinkFault::Replaced) {
                    backoff.reset();
                }
                fault
            }
            Err(fault) => fault,
        }
    }

    /// Connects, opens the stream and exchanges hellos.
    async fn open(&self) -> Result<Opened, LinkFault> {
        let timing = self.shared.config.timing;
        let slow = |what| move |_| LinkFault::Timeout { what };
        let connected = timeout(timing.connect_timeout, self.connect()).await.map_err(slow("connecting"))??;
        let (ending, ended) = oneshot::channel::<()>();
        let mut client = PeerClient::new(connected)
            .max_decoding_message_size(MAX_FRAME_BYTES)
            .max_encoding_message_size(MAX_FRAME_BYTES);
        let frames = self.frames(ended);
        let start = Instant::now();
        let said = async {
            let response = match self.lane {
                Lane::Control => client.control(frames).await,
                Lane::Bulk => client.bulk(frames).await,
            };
            let mut replies = response.map_err(|status| self.status(status))?.into_inner();
            let first = replies.message().await.map_err(|status| self.status(status))?;
            hello::admit(first, &self.shared.config)?;
            Ok::<_, LinkFault>(replies)
        };
        let replies = timeout(timing.hello_timeout, said).await.map_err(slow("the hello"))??;
        self.peer.on_sending(self.lane, start.elapsed());
        Ok(Opened { replies, ending })
    }

    /// The outgoing frames: the hello, then what the queue has, until `ended`.
    fn frames(&self, ended: oneshot::Receiver<()>) -> impl Stream<Item = Frame> + Send + use<C> {
        let first = stream::once(std::future::ready(hello::make(&self.shared.config)));
        let rest = stream::unfold((Arc::clone(&self.peer), self.lane), |(peer, lane)| async move {
            let message = peer.queues[lane.position()].pop().await;
            Some((Frame { content: Some(Content::Message(message)) }, (peer, lane)))
        });
        first.chain(rest).take_until(ended)
    }

    async fn connect(&self) -> Result<Channel, LinkFault> {
        let stream = self.handshake().await?;
        let timing = self.shared.config.timing;
        let endpoint = Endpoint::from_static("http://validator.quorate.invalid")
            .http2_keep_alive_interval(timing.keep_alive)
            .keep_alive_timeout(timing.keep_alive_timeout)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES);
        // The stream is there already; HTTP/2 takes it once and is not given another.
        let mut once = Some(TokioIo::new(stream));
        let connect = tower::service_fn(move |_| {
            std::future::ready(once.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
        });
        let ours = self.shared.config.identity.public();
        endpoint.connect_with_connector(connect).await.map_err(|error| LinkFault::of_transport(error, ours))
    }

    async fn handshake(&self) -> Result<TlsStream<C::Stream>, LinkFault> {
        let stream = self.connector.connect(&self.address).await.map_err(LinkFault::Unreachable)?;
        // Not sent (SNI is off) and not checked: the key is what counts.
        let name = ServerName::try_from("validator.quorate.invalid").expect("a valid name");
        TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await.map_err(|error| match wrong_key(&error) {
            Some(fault) => LinkFault::WrongKey(fault.clone()),
            None => LinkFault::Handshake(error),
        })
    }

    fn status(&self, status: tonic::Status) -> LinkFault {
        LinkFault::of_status(status, self.shared.config.identity.public())
    }
}

/// A stream that is up.
struct Opened {
    replies: tonic::Streaming<Frame>,
    /// Dropped when the session ends, so that an old stream takes no more frames from the queue.
    ending: oneshot::Sender<()>,
}

/// What was last logged, so that a peer that is away for a day doesn't fill the disk.
#[derive(Default)]
struct Told {
    problem: Option<String>,
    repeats: u32,
}

impl Told {
    fn success(&mut self, peer: &str, lane: Lane, address: &str) {
        info!(peer, stream = lane.name(), address, "link up");
        *self = Self::default();
    }

    fn failure(&mut self, peer: &str, lane: Lane, address: &str, problem: &str) {
        let is_known = self.problem.as_deref() == Some(problem);
        self.repeats = if is_known { self.repeats.saturating_add(1) } else { 0 };
        if self.repeats.is_multiple_of(LOG_EVERY) {
            warn!(peer, stream = lane.name(), address, repeats = self.repeats, "link down: {problem}");
        } else {
            debug!(peer, stream = lane.name(), address, "link still down: {problem}");
        }
        self.problem = Some(problem.to_owned());
    }
}
