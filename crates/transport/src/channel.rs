//! The dialling end for clients: a channel that connects when it is first used and again after a failure.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::Connector;

/// How a client's channel behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelTiming {
    /// How long connecting may take, handshake included.
    pub connect_timeout: Duration,
    /// How often an idle connection is probed; a dead one is noticed after this plus the timeout.
    pub keep_alive: Duration,
    /// How long a probe may take.
    pub keep_alive_timeout: Duration,
}

impl Default for ChannelTiming {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            keep_alive: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(5),
        }
    }
}

/// Why a channel can't be made.
#[derive(Debug, thiserror::Error)]
pub enum ChannelFault {
    /// The address isn't a `host:port`.
    #[error("{address:?} is not an address of the form host:port")]
    Address {
        /// The address given.
        address: String,
    },
}

/// A stream that is both readable and writable.
trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A channel to `address` (`host:port`), encrypted if `tls` says whom to trust. It doesn't connect yet.
///
/// # Errors
/// If the address can't be one.
pub fn channel<C: Connector>(
    connector: C,
    address: &str,
    tls: Option<Arc<ClientConfig>>,
    timing: ChannelTiming,
) -> Result<Channel, ChannelFault> {
    let fault = || ChannelFault::Address { address: address.to_owned() };
    let (host, port) = address.rsplit_once(':').ok_or_else(fault)?;
    let _: u16 = port.parse().map_err(|_| fault())?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host).map_err(|_| fault())?;
    let tls = tls.map(|config| (TlsConnector::from(config), name));
    let dialled = address.to_owned();
    let connect = service_fn(move |_| {
        let (connector, address, tls) = (connector.clone(), dialled.clone(), tls.clone());
        async move {
            let stream = connector.connect(&address).await?;
            let stream: Box<dyn Duplex> = match tls {
                None => Box::new(stream),
                Some((tls, name)) => Box::new(tls.connect(name, stream).await?),
            };
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| fault())?;
    Ok(timed(endpoint, timing).connect_with_connector_lazy(connect))
}

/// A channel to the unix socket at `path`.
#[must_use]
pub fn unix_channel(path: PathBuf, timing: ChannelTiming) -> Channel {
    let connect = service_fn(move |_| {
        let path = path.clone();
        async move { Ok::<_, io::Error>(TokioIo::new(tokio::net::UnixStream::connect(path).await?)) }
    });
    timed(Endpoint::from_static("http://localhost"), timing).connect_with_connector_lazy(connect)
}

fn timed(endpoint: Endpoint, timing: ChannelTiming) -> Endpoint {
    endpoint
        .connect_timeout(timing.connect_timeout)
        .http2_keep_alive_interval(timing.keep_alive)
        .keep_alive_timeout(timing.keep_alive_timeout)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(8 << 20)
}
