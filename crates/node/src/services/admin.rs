//! `quorate.admin.v1`: what the operator does to the running process, on a unix socket with mode 0600.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quorate_transport::pb::admin::v1 as pb;
use quorate_transport::pb::admin::v1::admin_server::Admin as AdminApi;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tracing::info;

use crate::error::NodeError;
use crate::hub::Hub;
use crate::node::CopyStore;
use crate::telemetry;
use crate::threads::Threads;

/// The service.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) hub: Arc<Hub>,
    pub(crate) stopping: CancellationToken,
    pub(crate) copy: Option<CopyStore>,
    pub(crate) threads: Threads,
}

#[tonic::async_trait]
impl AdminApi for Admin {
    async fn set_log_filter(
        &self,
        request: Request<pb::SetLogFilterRequest>,
    ) -> Result<Response<pb::SetLogFilterResponse>, Status> {
        let filter = request.into_inner().filter;
        let previous = telemetry::set_filter(&filter).map_err(|error| Status::invalid_argument(error.to_string()))?;
        info!(filter, previous, "the log filter was replaced");
        Ok(Response::new(pb::SetLogFilterResponse { previous }))
    }

    async fn shutdown(&self, request: Request<pb::ShutdownRequest>) -> Result<Response<pb::ShutdownResponse>, Status> {
        let pb::ShutdownRequest { reason } = request.into_inner();
        info!(reason, "asked to stop");
        let executed = self.hub.progress().borrow().executed.0;
        // The listener answers the calls under way before it ends, this one among them.
        self.stopping.cancel();
        Ok(Response::new(pb::ShutdownResponse { executed }))
    }

    async fn copy_store(
        &self,
        request: Request<pb::CopyStoreRequest>,
    ) -> Result<Response<pb::CopyStoreResponse>, Status> {
        let path = PathBuf::from(request.into_inner().path);
        if !path.is_absolute() {
            return Err(Status::invalid_argument(format!("{} is no absolute path", path.display())));
        }
        if path.symlink_metadata().is_ok() {
            return Err(Status::already_exists(format!("{} exists, and nothing is overwritten", path.display())));
        }
        let copy = self.copy.clone().ok_or_else(|| Status::unimplemented("this store can't be copied"))?;
        info!(path = %path.display(), "the store is being copied");
        let told = path.clone();
        let copied = self.threads.blocking(move || copy(&path)).await;
        match copied {
            Ok(Ok(())) => {
                info!(path = %told.display(), "the store was copied");
                Ok(Response::new(pb::CopyStoreResponse {}))
            }
            Ok(Err(error)) => Err(Status::failed_precondition(error.to_string())),
            Err(_) => Err(Status::unavailable("the validator stops")),
        }
    }
}

/// Listens on a new socket that only its owner may open. A socket that nobody listens on any more is
/// replaced; one that is in use is not.
pub(crate) async fn listen(path: &Path) -> Result<(UnixListener, SocketFile), NodeError> {
    let failed = |source| NodeError::Listen { what: "admin socket", address: path.display().to_string(), source };
    if UnixStream::connect(path).await.is_ok() {
        return Err(failed(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")));
    }
    // Made where nobody else can reach it, then moved: it never stands there with another mode.
    let private = path.with_extension(format!("new-{}", std::process::id()));
    let make = || {
        std::fs::DirBuilder::new().mode(0o700).create(&private)?;
        let inside = private.join("s");
        let listener = UnixListener::bind(&inside)?;
        std::fs::set_permissions(&inside, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&inside, path)?;
        Ok(listener)
    };
    let made = make();
    // It is empty by now, or something failed that is told below.
    let _ = std::fs::remove_dir_all(&private);
    Ok((made.map_err(failed)?, SocketFile(path.to_owned())))
}

/// Takes the socket away when the node ends.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Left behind, it is replaced at the next start.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_is_its_owners_alone_and_is_not_taken_from_a_running_node() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let (listener, file) = listen(&path).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(listen(&path).await, Err(NodeError::Listen { .. })));
        drop(listener);
        std::mem::forget(file);
        let (_listener, file) = listen(&path).await.expect("nobody listens any more");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        drop(file);
        assert!(!path.exists());
    }
}
