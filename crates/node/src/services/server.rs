//! The two listeners that clients and operators reach, with health and reflection.

use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use quorate_storage::Store;
use quorate_transport::pb::FILE_DESCRIPTOR_SET;
use quorate_transport::pb::admin::v1::admin_server::AdminServer;
use quorate_transport::pb::cluster::v1::cluster_server::ClusterServer;
use quorate_transport::pb::entities::v1::entities_server::EntitiesServer;
use quorate_transport::pb::operations::v1::operations_server::OperationsServer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tracing::debug;

use super::Api;
use super::admin::{Admin, SocketFile};
use super::cluster::ClusterService;
use super::entities::{EntitiesService, PAGE_BYTES};
use super::operations::OperationsService;
use crate::driver::Mode;
use crate::error::NodeError;

/// What a request has besides the operation in it, at most.
const REQUEST_OVERHEAD_BYTES: usize = 4 << 10;

/// What an answer has besides its largest part: proofs, certificates, metadata.
const ANSWER_OVERHEAD_BYTES: usize = 2 << 20;

/// Calls at once on one connection.
const CALLS_PER_CONNECTION: u32 = 1_024;

/// How often an idle connection is probed, and how long the answer may take.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How long calls under way have to end when the node stops.
const LAST_CALLS: Duration = Duration::from_secs(5);

fn server() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .max_concurrent_streams(Some(CALLS_PER_CONNECTION))
        .initial_stream_window_size(Some(1 << 20))
        .initial_connection_window_size(Some(4 << 20))
}

/// Serves clients until the node stops.
pub(crate) async fn serve_clients<S, IO>(
    api: Arc<Api<S>>,
    incoming: impl Stream<Item = std::io::Result<IO>> + Send + 'static,
) -> Result<(), NodeError>
where
    S: Store,
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let parameters = &api.context.parameters;
    let request_bytes = parameters.operation_bytes as usize + REQUEST_OVERHEAD_BYTES;
    let answer_bytes = parameters.document_bytes as usize + PAGE_BYTES + ANSWER_OVERHEAD_BYTES;
    let operations = OperationsServer::new(OperationsService(Arc::clone(&api)))
        .max_decoding_message_size(request_bytes)
        .max_encoding_message_size(answer_bytes);
    let entities = EntitiesServer::new(EntitiesService(Arc::clone(&api)))
        .max_decoding_message_size(request_bytes)
        .max_encoding_message_size(answer_bytes);
    let cluster = ClusterServer::new(ClusterService(Arc::clone(&api))).max_decoding_message_size(request_bytes);
    let (reporter, health) = tonic_health::server::health_reporter();
    let described = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let reflection = described().build_v1().expect("the descriptors were written by our own build");
    // Older tools ask for this one.
    let reflection_alpha = described().build_v1alpha().expect("the descriptors were written by our own build");
    api.faults.spawn("health", report_health(Arc::clone(&api), reporter));
    let stopping = api.stopping.clone();
    let serving = server()
        .add_service(operations)
        .add_service(entities)
        .add_service(cluster)
        .add_service(health)
        .add_service(reflection)
        .add_service(reflection_alpha)
        .serve_with_incoming_shutdown(incoming, stopping.clone().cancelled_owned());
    end_in_time("client listener", stopping, serving).await
}

/// Serves the operator until the node stops.
pub(crate) async fn serve_admin(admin: Admin, (listener, file): (UnixListener, SocketFile)) -> Result<(), NodeError> {
    let stopping = admin.stopping.clone();
    let serving = server()
        .add_service(AdminServer::new(admin))
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stopping.clone().cancelled_owned());
    let served = end_in_time("admin socket", stopping, serving).await;
    drop(file);
    served
}

async fn end_in_time(
    what: &'static str,
    stopping: CancellationToken,
    serving: impl Future<Output = Result<(), tonic::transport::Error>>,
) -> Result<(), NodeError> {
    let too_late = async {
        stopping.cancelled().await;
        tokio::time::sleep(LAST_CALLS).await;
    };
    tokio::select! {
        served = serving => served.map_err(|source| NodeError::Serve { what, source }),
        () = too_late => {
            debug!(what, "connections were closed with calls under way");
            Ok(())
        }
    }
}

/// Keeps the standard health service in step: reads are served as long as the node runs, the whole and
/// operations while it takes them.
async fn report_health<S: Store>(api: Arc<Api<S>>, reporter: HealthReporter) {
    const READS: [&str; 2] = ["quorate.entities.v1.Entities", "quorate.cluster.v1.Cluster"];
    const WRITES: [&str; 2] = ["", "quorate.operations.v1.Operations"];
    for service in READS {
        reporter.set_service_status(service, ServingStatus::Serving).await;
    }
    let mut status = api.status.clone();
    loop {
        let is_ordering = status.borrow_and_update().mode == Mode::Ordering;
        let serving = if is_ordering { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in WRITES {
            reporter.set_service_status(service, serving).await;
        }
        let changed = status.wait_for(|status| (status.mode == Mode::Ordering) != is_ordering);
        tokio::select! {
            changed = changed => if changed.is_err() { return },
            () = api.stopping.cancelled() => return,
        }
    }
}
