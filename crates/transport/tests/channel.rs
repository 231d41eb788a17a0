//! A client's channel against a listener: TLS by the cluster's authority, in the clear, over a unix socket.

use std::sync::Arc;

use futures::stream;
use quorate_transport::channel::{ChannelFault, ChannelTiming, channel, unix_channel};
use quorate_transport::pb::admin::v1::admin_client::AdminClient;
use quorate_transport::pb::admin::v1::admin_server::{Admin, AdminServer};
use quorate_transport::pb::admin::v1::{
    CopyStoreRequest, CopyStoreResponse, SetLogFilterRequest, SetLogFilterResponse, ShutdownRequest, ShutdownResponse,
};
use quorate_transport::serve::{AcceptLimits, ConnectionInfo, incoming};
use quorate_transport::tls::{Authority, client_config, server_config};
use quorate_transport::{Connector, TcpConnector};
use rustls::ServerConfig;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};

/// Answers with where the call came from.
struct Echo;

#[tonic::async_trait]
impl Admin for Echo {
    async fn set_log_filter(
        &self,
        request: Request<SetLogFilterRequest>,
    ) -> Result<Response<SetLogFilterResponse>, Status> {
        let info = request.extensions().get::<ConnectionInfo>().cloned();
        let previous = info.map_or_else(String::new, |info| info.remote.ip().to_string());
        Ok(Response::new(SetLogFilterResponse { previous }))
    }

    async fn shutdown(&self, _: Request<ShutdownRequest>) -> Result<Response<ShutdownResponse>, Status> {
        Ok(Response::new(ShutdownResponse { executed: 7 }))
    }

    async fn copy_store(&self, _: Request<CopyStoreRequest>) -> Result<Response<CopyStoreResponse>, Status> {
        Err(Status::unimplemented("there is no store here"))
    }
}

type Serving = JoinHandle<Result<(), tonic::transport::Error>>;

async fn serve(tls: Option<Arc<ServerConfig>>, limits: AcceptLimits) -> (String, Serving) {
    let listener = TcpConnector.listen("127.0.0.1:0").await.expect("a free port");
    let address = TcpConnector::local_address(&listener).expect("an address");
    let connections = incoming::<TcpConnector>(listener, "clients", tls, limits);
    let serving = Server::builder().add_service(AdminServer::new(Echo)).serve_with_incoming(connections);
    (format!("localhost:{}", address.port()), tokio::spawn(serving))
}

async fn ask(channel: Channel) -> Result<String, Status> {
    let answer = AdminClient::new(channel).set_log_filter(SetLogFilterRequest::default()).await?;
    Ok(answer.into_inner().previous)
}

#[tokio::test]
async fn a_client_reaches_a_server_that_its_authority_signed_and_no_other() {
    let authority = Authority::make("shop").unwrap();
    let issued = authority.issue(&["localhost".to_owned()]).unwrap();
    let tls = server_config(&issued.certificate_pem, &issued.key_pem).unwrap();
    let (address, serving) = serve(Some(tls), AcceptLimits::default()).await;
    let open = |pem: &str| {
        channel(TcpConnector, &address, Some(client_config(pem).unwrap()), ChannelTiming::default()).unwrap()
    };
    assert_eq!(ask(open(authority.certificate_pem())).await.unwrap(), "127.0.0.1");
    let stranger = Authority::make("shop").unwrap();
    let refused = ask(open(stranger.certificate_pem())).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    let clear = channel(TcpConnector, &address, None, ChannelTiming::default()).unwrap();
    assert!(ask(clear).await.is_err(), "no plaintext on a listener with TLS");
    serving.abort();
}

#[tokio::test]
async fn connections_above_the_limit_are_closed_and_places_come_back() {
    let (address, serving) = serve(None, AcceptLimits { connections: 1, ..AcceptLimits::default() }).await;
    let open = || channel(TcpConnector, &address, None, ChannelTiming::default()).unwrap();
    let first = open();
    assert!(ask(first.clone()).await.is_ok());
    assert!(ask(open()).await.is_err());
    assert!(ask(first.clone()).await.is_ok(), "who is there stays");
    drop(first);
    while ask(open()).await.is_err() {
        tokio::task::yield_now().await;
    }
    serving.abort();
}

#[tokio::test]
async fn an_operator_reaches_the_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let connections = stream::unfold(listener, |listener| async move {
        let accepted = listener.accept().await.map(|(stream, _)| stream);
        Some((accepted, listener))
    });
    let serving = tokio::spawn(Server::builder().add_service(AdminServer::new(Echo)).serve_with_incoming(connections));
    let mut client = AdminClient::new(unix_channel(path, ChannelTiming::default()));
    assert_eq!(client.shutdown(ShutdownRequest::default()).await.unwrap().into_inner().executed, 7);
    serving.abort();
}

#[tokio::test]
async fn what_is_no_address_is_said_at_once() {
    for bad in ["localhost", "localhost:port", "localhost:70000", ":80", "a b:80"] {
        let fault = channel(TcpConnector, bad, None, ChannelTiming::default()).unwrap_err();
        assert!(matches!(fault, ChannelFault::Address { .. }), "{bad}");
    }
    assert!(channel(TcpConnector, "[::1]:80", None, ChannelTiming::default()).is_ok());
}
