//! Why a node doesn't start, or stops by itself.

use std::io;
use std::path::PathBuf;

use quorate_replica::RecoverError;
use quorate_replica::execution::ExecutionError;
use quorate_replica::records::RecordError;
use quorate_replica::transfer::InstallError;
use quorate_storage::StoreError;
use quorate_transport::tls::TlsFault;
use quorate_types::genesis::GenesisError;
use thiserror::Error;

use crate::config::ConfigError;
use crate::guard_file::GuardFileError;
use crate::keys::KeyFileError;

/// Why a node doesn't start, or stops by itself. All of it is local: no peer and no client can cause one.
#[derive(Debug, Error)]
pub enum NodeError {
    /// The configuration is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The genesis is refused.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// A key file is refused.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The key is no validator's of the epoch that the store is in.
    #[error(
        "the consensus key {key} is no validator's in epoch {epoch}: either the genesis file or the key is another's, or \
         this validator was removed, or it is to join and peers.joins isn't set"
    )]
    NotAValidator {
        /// The epoch.
        epoch: quorate_types::ids::Epoch,
        /// The key's public half.
        key: quorate_crypto::PublicKey,
    },
    /// The two keys are those of different validators.
    #[error("the consensus key is {consensus}'s, the network key {network}'s")]
    KeysOfTwo {
        /// Whose consensus key.
        consensus: String,
        /// Whose network key.
        network: String,
    },
    /// A state that was received can't be put in place.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// An address is overridden for a validator that isn't there.
    #[error("peers.addresses names {name}, and no validator of the genesis is called so")]
    UnknownPeer {
        /// The name.
        name: String,
    },
    /// A file can't be read.
    #[error("{} can't be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A listener can't be opened.
    #[error("the {what} can't listen on {address}: {source}")]
    Listen {
        /// Which listener.
        what: &'static str,
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The records don't let a replica start.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// A save failed, or a checksum did: what is on disk isn't known any more.
    #[error("the store failed, so the node stops rather than sign what it may forget: {0}")]
    Store(#[from] StoreError),
    /// A record can't be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The guard file failed.
    #[error("the guard file failed, so the node stops rather than sign what it may forget: {0}")]
    GuardFile(#[from] GuardFileError),
    /// Something signed was to leave, and there is no guard file to record it in.
    #[error("something signed was to leave although there is no guard file; nothing left")]
    Unguarded,
    /// A sequence can't be executed.
    #[error("execution failed: {0}")]
    Execution(#[from] ExecutionError),
    /// TLS refuses a key or certificate.
    #[error(transparent)]
    Tls(#[from] TlsFault),
    /// The operating system refuses a thread or runtime.
    #[error("the operating system refuses {what}: {source}")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A part of the node panicked.
    #[error("the task {task} panicked: {message}")]
    Panicked {
        /// Which.
        task: &'static str,
        /// The panic's words.
        message: String,
    },
    /// A part of the node ended that never should.
    #[error("the task {task} ended although the node runs")]
    Ended {
        /// Which.
        task: &'static str,
    },
    /// A part of the node didn't end in time when the node stopped.
    #[error("the task {task} did not end within {seconds} seconds")]
    Stuck {
        /// Which.
        task: &'static str,
        /// How long it was waited for.
        seconds: u64,
    },
    /// gRPC failed as a whole.
    #[error("the {what} failed: {source}")]
    Serve {
        /// Which listener.
        what: &'static str,
        /// Why.
        source: tonic::transport::Error,
    },
}
