//! The listeners: TLS for clients, health, reflection, metrics.

use std::net::SocketAddr;
use std::sync::OnceLock;

use quorate_node::config::NodeConfig;
use quorate_transport::TcpConnector;
use quorate_transport::channel::{ChannelTiming, channel};
use quorate_transport::pb::operations::v1::operations_client::OperationsClient;
use quorate_transport::tls::{Authority, client_config};
use quorate_types::parameters::Parameters;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::harness::{Cluster, free_address, submit};

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_served_over_tls_under_the_clusters_authority_and_no_other() {
    let cluster = Cluster::start_with(1, Parameters::default(), |config| config.clients.plaintext = false).await;
    let address = &cluster.nodes[0].as_ref().unwrap().address;
    let connect = |authority: &str| {
        let tls = Some(client_config(authority).unwrap());
        OperationsClient::new(channel(TcpConnector, address, tls, ChannelTiming::default()).unwrap())
    };
    let mut trusting = connect(cluster.authority.certificate_pem());
    let operation = cluster.make(1, "c");
    let answer = loop {
        // Until it has begun to sign.
        match trusting.submit(submit(&operation)).await {
            Ok(answer) => break answer.into_inner(),
            Err(status) => assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}"),
        }
    };
    assert!(cluster.verify(&answer).into_receipt().is_applied());
    let mut stranger = connect(Authority::make("another").unwrap().certificate_pem());
    assert!(stranger.submit(submit(&operation)).await.is_err());
    let mut plain = cluster.operations(0);
    assert!(plain.submit(submit(&operation)).await.is_err());
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_follows_the_mode_and_reflection_names_the_services() {
    let mut cluster = Cluster::start(2).await;
    cluster.ordering(0).await;
    let health = async |service: &str| {
        let request = HealthCheckRequest { service: service.to_owned() };
        HealthClient::new(cluster.channel(0)).check(request).await.unwrap().into_inner().status()
    };
    let operations = "quorate.operations.v1.Operations";
    while health(operations).await != ServingStatus::Serving {}
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut reflection = ServerReflectionClient::new(cluster.channel(0));
    let answers = reflection.server_reflection_info(futures::stream::iter([request])).await;
    let ServerReflectionResponse { message_response, .. } =
        answers.unwrap().into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(services)) = message_response else { panic!("no list") };
    assert!(services.service.iter().any(|service| service.name == operations));
    cluster.stop(1).await.unwrap();
    let health = async |service: &str| {
        let request = HealthCheckRequest { service: service.to_owned() };
        HealthClient::new(cluster.channel(0)).check(request).await.unwrap().into_inner().status()
    };
    while health(operations).await != ServingStatus::NotServing {}
    assert_eq!(health("quorate.entities.v1.Entities").await, ServingStatus::Serving);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_metrics_shows_where_the_node_stands() {
    static PAGE: OnceLock<SocketAddr> = OnceLock::new();
    let change = |config: &mut NodeConfig| config.telemetry.metrics = Some(*PAGE.get_or_init(free_address));
    let cluster = Cluster::start_with(1, Parameters::default(), change).await;
    cluster.ordering(0).await;
    cluster.order(0, &cluster.make(1, "c")).await;
    let lines = ["quorate_view 0", "quorate_executed_sequence 1", "quorate_signs 1", "quorate_receipt_ms_count 1"];
    let page = loop {
        let mut stream = tokio::net::TcpStream::connect(PAGE.get().unwrap()).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).await.unwrap();
        // The gauges follow within some milliseconds.
        if lines.iter().all(|line| page.lines().any(|found| found == *line)) {
            break page;
        }
    };
    assert!(page.contains("quorate_mode{mode=\"ordering\"} 1") && page.contains("quorate_resident_bytes "));
    cluster.stop_all().await;
}
