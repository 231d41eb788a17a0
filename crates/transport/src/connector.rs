//! Where byte streams come from. Production takes TCP from the operating system; a simulation brings its
//! own streams and everything above stays the same code.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// Listens and connects.
pub trait Connector: Clone + Send + Sync + 'static {
    /// A connected stream of bytes.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// Where connections arrive.
    type Listener: Send + 'static;

    /// Connects to `address`, a `host:port`.
    ///
    /// # Errors
    /// As the network says.
    fn connect(&self, address: &str) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Listens on `address`, a `host:port`; port 0 takes a free one.
    ///
    /// # Errors
    /// As the network says.
    fn listen(&self, address: &str) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// The next connection and where it comes from. Dropping the future loses no connection.
    ///
    /// # Errors
    /// As the network says; the listener stays usable.
    fn accept(listener: &mut Self::Listener) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;

    /// The address that a listener is bound to.
    ///
    /// # Errors
    /// As the network says.
    fn local_address(listener: &Self::Listener) -> io::Result<SocketAddr>;
}

/// TCP of the operating system, without Nagle's delay.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpConnector;

impl Connector for TcpConnector {
    type Stream = TcpStream;
    type Listener = TcpListener;

    async fn connect(&self, address: &str) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn listen(&self, address: &str) -> io::Result<TcpListener> {
        TcpListener::bind(address).await
    }

    async fn accept(listener: &mut TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, remote) = listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, remote))
    }

    fn local_address(listener: &TcpListener) -> io::Result<SocketAddr> {
        listener.local_addr()
    }
}
