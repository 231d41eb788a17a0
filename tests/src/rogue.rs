//! Links to a validator that no validator of ours makes: with a stranger's key, or with a real one and garbage.

use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use quorate_crypto::SecretKey;
use quorate_transport::pb::peer::v1::frame::Content;
use quorate_transport::pb::peer::v1::peer_client::PeerClient;
use quorate_transport::pb::peer::v1::{Frame, Hello};
use quorate_transport::tls::{Expected, NetworkIdentity, dial_config};
use quorate_types::ids::ClusterId;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// Dials a validator's port for validators as the owner of `key`, which proves itself; `expected` is who must be
/// at the other end.
///
/// # Errors
/// If either end refuses.
pub async fn dial(port: u16, key: &SecretKey, expected: Expected) -> anyhow::Result<Channel> {
    let tls = dial_config(&NetworkIdentity::new(key)?, expected)?;
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let name = ServerName::try_from("validator.quorate.invalid")?;
    let stream = TlsConnector::from(Arc::clone(&tls)).connect(name, stream).await?;
    let mut once = Some(TokioIo::new(stream));
    let connect = tower::service_fn(move |_| {
        std::future::ready(once.take().ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotConnected)))
    });
    let endpoint = Endpoint::from_static("http://validator.quorate.invalid");
    endpoint.connect_with_connector(connect).await.context("opening HTTP/2")
}

/// What a validator says first.
#[must_use]
pub fn hello(cluster: ClusterId, validator: u32) -> Frame {
    let hello = Hello {
        version: 1,
        cluster: Bytes::copy_from_slice(cluster.0.as_bytes()),
        validator,
        incarnation: Bytes::from_static(&[0; 32]),
    };
    Frame { content: Some(Content::Hello(hello)) }
}

/// A message on a stream.
#[must_use]
pub fn message(bytes: impl Into<Bytes>) -> Frame {
    Frame { content: Some(Content::Message(bytes.into())) }
}

/// Sends frames on the stream for control messages, and reads until the other end closes it; gives why.
pub async fn send(channel: Channel, frames: Vec<Frame>) -> Status {
    let mut client = PeerClient::new(channel).max_encoding_message_size(usize::MAX);
    // The stream stays open behind the frames: only the other end closes it.
    let frames = tokio_stream::StreamExt::chain(tokio_stream::iter(frames), tokio_stream::pending());
    let mut answers = match client.control(frames).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => return status,
    };
    loop {
        match answers.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return Status::ok("closed"),
            Err(status) => return status,
        }
    }
}
