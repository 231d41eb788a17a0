//! The accepting end: connections with their handshakes done, for tonic's `serve_with_incoming`.
//!
//! Bounded in connections and in handshakes under way; a handshake that takes too long is dropped. A
//! refused key is logged with the key that was expected.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use quorate_crypto::PublicKey;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;
use tracing::{debug, warn};

use crate::Connector;
use crate::tls::{key_of, wrong_key};

/// How much an accepting end takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptLimits {
    /// Connections at a time; further ones are closed at once.
    pub connections: usize,
    /// Handshakes under way at a time; further ones wait in the operating system.
    pub handshakes: usize,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
}

impl Default for AcceptLimits {
    fn default() -> Self {
        Self { connections: 1_024, handshakes: 256, handshake_timeout: Duration::from_secs(5) }
    }
}

/// Who is at the other end of a connection; in the extensions of every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Where it comes from.
    pub remote: SocketAddr,
    /// The network key that it proved; only on the peers' listener.
    pub network_key: Option<PublicKey>,
}

/// An accepted connection. Its place among the connections is free again when it is dropped.
pub struct ServerIo<S> {
    stream: ServerStream<S>,
    info: ConnectionInfo,
    _place: OwnedSemaphorePermit,
}

enum ServerStream<S> {
    Plain(S),
    Tls(Box<TlsStream<S>>),
}

/// The connections that arrive at `listener`, named `name` in the log; encrypted if `tls` says how.
pub fn incoming<C: Connector>(
    listener: C::Listener,
    name: &'static str,
    tls: Option<Arc<ServerConfig>>,
    limits: AcceptLimits,
) -> impl Stream<Item = io::Result<ServerIo<C::Stream>>> + Send {
    let accept = Accept::<C> {
        listener,
        name,
        tls: tls.map(TlsAcceptor::from),
        limits,
        places: Arc::new(Semaphore::new(limits.connections)),
        handshakes: JoinSet::new(),
    };
    futures::stream::unfold(accept, |mut accept| async move { Some((Ok(accept.next().await), accept)) })
}

struct Accept<C: Connector> {
    listener: C::Listener,
    name: &'static str,
    tls: Option<TlsAcceptor>,
    limits: AcceptLimits,
    places: Arc<Semaphore>,
    handshakes: JoinSet<Option<ServerIo<C::Stream>>>,
}

impl<C: Connector> Accept<C> {
    async fn next(&mut self) -> ServerIo<C::Stream> {
        loop {
            let has_room = self.handshakes.len() < self.limits.handshakes;
            tokio::select! {
                biased;
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = done {
                        return connection;
                    }
                }
                accepted = C::accept(&mut self.listener), if has_room => match accepted {
                    Ok((stream, remote)) => self.begin(stream, remote),
                    Err(error) => {
                        // Out of file descriptors, mostly: waiting is all that helps.
                        warn!(listener = self.name, %error, "a connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        }
    }

    fn begin(&mut self, stream: C::Stream, remote: SocketAddr) {
        let (name, tls, timeout) = (self.name, self.tls.clone(), self.limits.handshake_timeout);
        let places = Arc::clone(&self.places);
        self.handshakes.spawn(async move {
            let (stream, network_key) = match tls {
                None => (ServerStream::Plain(stream), None),
                Some(tls) => {
                    let stream =
                        handshake(&tls, stream, timeout).await.map_err(|error| log_refusal(name, remote, &error));
                    let stream = stream.ok()?;
                    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                    let network_key = shown.and_then(key_of);
                    (ServerStream::Tls(Box::new(stream)), network_key)
                }
            };
            // Only now: strangers who never finish their handshake take no places from those who do.
            let Ok(place) = places.try_acquire_owned() else {
                warn!(listener = name, %remote, "closed: too many connections");
                return None;
            };
            Some(ServerIo { stream, info: ConnectionInfo { remote, network_key }, _place: place })
        });
    }
}

async fn handshake<S>(tls: &TlsAcceptor, stream: S, limit: Duration) -> io::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let slow = |_| io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long");
    tokio::time::timeout(limit, tls.accept(stream)).await.map_err(slow)?
}

fn log_refusal(listener: &'static str, remote: SocketAddr, error: &io::Error) {
    match wrong_key(error) {
        Some(fault) => warn!(listener, %remote, "connection refused: {fault}"),
        None => debug!(listener, %remote, %error, "the handshake failed"),
    }
}

impl<S> Connected for ServerIo<S> {
    type ConnectInfo = ConnectionInfo;

    fn connect_info(&self) -> ConnectionInfo {
        self.info.clone()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for ServerIo<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            ServerStream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            ServerStream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ServerIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            ServerStream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            ServerStream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            ServerStream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            ServerStream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            ServerStream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            ServerStream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
