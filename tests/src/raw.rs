//! Calls as no client of ours makes them: any bytes to any method.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use quorate_transport::TcpConnector;
use quorate_transport::channel::{ChannelTiming, channel};
use quorate_transport::fault::{ApiFault, Reason};
use quorate_transport::tls;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::Cluster;

/// A channel to a validator's listener for clients.
///
/// # Errors
/// If the cluster's files can't be used.
pub fn to(cluster: &Cluster, index: usize) -> anyhow::Result<Channel> {
    let tls = Some(tls::client_config(cluster.authority())?);
    Ok(channel(TcpConnector, &cluster.client_address(index), tls, ChannelTiming::default())?)
}

/// A call whose request is these bytes; the first answer's bytes.
///
/// # Errors
/// The status with which it ends.
pub async fn call(channel: &Channel, path: &'static str, request: impl Into<Bytes>) -> Result<Bytes, Status> {
    let mut service = Grpc::new(channel.clone()).max_encoding_message_size(usize::MAX);
    service.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let request = Request::new(tokio_stream::once(request.into()));
    let answer = service.streaming(request, PathAndQuery::from_static(path), BytesCodec).await?;
    answer.into_inner().message().await.map(Option::unwrap_or_default)
}

/// The reason in an error, if it is one of ours.
#[must_use]
pub fn reason(status: &Status) -> Option<Reason> {
    ApiFault::of_status(status).map(|fault| fault.reason)
}

/// A configuration of TLS that trusts nobody of this cluster.
///
/// # Errors
/// If no authority can be made.
pub fn stranger() -> anyhow::Result<Arc<rustls::ClientConfig>> {
    Ok(tls::client_config(tls::Authority::make("stranger")?.certificate_pem())?)
}

/// Messages are bytes.
#[derive(Clone, Copy, Debug)]
pub struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.put(item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}
