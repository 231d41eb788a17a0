//! Connections of the simulated network: turmoil's streams, of which some are cut while they are written to.
//!
//! A packet lost on the way is sent again by TCP and costs time only; what a node can see of a bad line is a
//! connection that breaks. So the loss of a plan cuts connections here.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use quorate_transport::Connector;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::{TcpListener, TcpStream};

use crate::world::{Dice, Stream};

/// So many packets' loss cut one connection: a cut costs a handshake, a lost packet almost nothing.
const PACKETS_PER_CUT: u64 = 20;

/// Listens and connects on turmoil's network.
#[derive(Clone, Debug)]
pub(super) struct Wires(Arc<Shears>);

/// What cuts connections.
#[derive(Debug)]
struct Shears {
    loss_per_mille: AtomicU32,
    cuts: AtomicU32,
    dice: Mutex<Dice>,
}

impl Wires {
    pub(super) fn new(seed: u64, loss_per_mille: u32) -> Self {
        let dice = Mutex::new(Dice::new(seed, Stream::Network));
        Self(Arc::new(Shears { loss_per_mille: AtomicU32::new(loss_per_mille), cuts: AtomicU32::new(0), dice }))
    }

    /// From now on nothing is cut.
    pub(super) fn calm(&self) {
        self.0.loss_per_mille.store(0, Ordering::Relaxed);
    }

    /// Connections cut so far.
    pub(super) fn cuts(&self) -> u32 {
        self.0.cuts.load(Ordering::Relaxed)
    }
}

impl Shears {
    fn strikes(&self) -> bool {
        let per_mille = u64::from(self.loss_per_mille.load(Ordering::Relaxed));
        let drawn = self.dice.lock().unwrap_or_else(PoisonError::into_inner).below(1_000 * PACKETS_PER_CUT);
        let strikes = drawn < per_mille;
        self.cuts.fetch_add(u32::from(strikes), Ordering::Relaxed);
        strikes
    }
}

/// A listener whose connections are cut like all others.
pub(super) struct Harbour {
    listener: TcpListener,
    shears: Arc<Shears>,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    shears: Arc<Shears>,
    is_cut: bool,
}

impl Connector for Wires {
    type Stream = Wire;
    type Listener = Harbour;

    async fn connect(&self, address: &str) -> io::Result<Wire> {
        let unknown = || io::Error::new(io::ErrorKind::InvalidInput, "not host:port");
        let (host, port) = address.rsplit_once(':').ok_or_else(unknown)?;
        let port: u16 = port.parse().map_err(|_| unknown())?;
        let stream = TcpStream::connect((host.to_owned(), port)).await?;
        Ok(Wire { stream, shears: Arc::clone(&self.0), is_cut: false })
    }

    async fn listen(&self, address: &str) -> io::Result<Harbour> {
        let listener = TcpListener::bind(address.to_owned()).await?;
        Ok(Harbour { listener, shears: Arc::clone(&self.0) })
    }

    async fn accept(listener: &mut Harbour) -> io::Result<(Wire, SocketAddr)> {
        let (stream, remote) = listener.listener.accept().await?;
        Ok((Wire { stream, shears: Arc::clone(&listener.shears), is_cut: false }, remote))
    }

    fn local_address(listener: &Harbour) -> io::Result<SocketAddr> {
        listener.listener.local_addr()
    }
}

impl Wire {
    fn try_cut(&mut self) -> io::Result<()> {
        self.is_cut = self.is_cut || self.shears.strikes();
        if self.is_cut { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_cut {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.try_cut()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
