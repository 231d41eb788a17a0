//! `node.toml`: what one validator's operator decides (architecture §8).
//!
//! The file is parsed into [raw](RawConfig) serde types and checked once into [`NodeConfig`]. Every field has a default
//! with a reason ([`FIELDS`]); an unknown one is refused with the nearest known name. Nothing here is
//! agreed upon by the cluster: two validators may differ in all of it, and it may change at a restart.

mod check;
mod fault;
mod fields;
mod raw;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use self::fault::ConfigError;
pub use self::fields::{FIELDS, Field};
pub use self::raw::{RawAdmin, RawClients, RawConfig, RawPaths, RawPeers, RawResources, RawRetention, RawTelemetry};

/// A checked `node.toml`. Paths are absolute or relative to the working directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// The listener for other validators, and where they are.
    pub peers: PeersConfig,
    /// The listener for clients, and what they may do.
    pub clients: ClientsConfig,
    /// The listener for the operator: a unix socket.
    pub admin_socket: PathBuf,
    /// Where things lie.
    pub paths: Paths,
    /// Sequences kept below the stable checkpoint; `None` keeps all.
    pub retained_sequences: Option<u64>,
    /// Bounds of memory, files and threads.
    pub resources: ResourcesConfig,
    /// Logs and metrics.
    pub telemetry: TelemetryConfig,
}

/// How this validator meets the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeersConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// This validator is to be added: it follows although its keys are nobody's yet.
    pub joins: bool,
    /// Addresses (`host:port`) of peers, by name, that replace those of the genesis.
    pub addresses: BTreeMap<String, String>,
    /// Bytes of messages to one peer that wait to be sent; older ones fall out.
    pub queue_bytes: usize,
    /// Bytes per second that one peer may send.
    pub bytes_per_second: u64,
}

/// What clients may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientsConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// No TLS; allowed on a loopback address only.
    pub plaintext: bool,
    /// Calls, and messages on streams, per second from one address.
    pub requests_per_second: u64,
    /// Bytes of operations per second from one address.
    pub bytes_per_second: u64,
    /// Connections open at once.
    pub connections: usize,
    /// Operations waiting for their receipts at once, of all clients.
    pub submissions: usize,
    /// Operations under way at once on one stream.
    pub stream_submissions: usize,
    /// Watches open at once.
    pub watches: usize,
    /// How long an entry may wait for its watcher before the watch is cut.
    pub watch_patience_ms: u64,
    /// The deadline of a call that brings none, and the longest that one may bring.
    pub deadline_ms: u64,
}

/// Where a validator's files lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The genesis file.
    pub genesis: PathBuf,
    /// The store's directory.
    pub store: PathBuf,
    /// The guard file (protocol §7.2).
    pub guard_file: PathBuf,
    /// The key of everything that the protocol counts.
    pub consensus_key: PathBuf,
    /// The key of connections between validators.
    pub network_key: PathBuf,
    /// The certificate chain shown to clients.
    pub client_certificate: PathBuf,
    /// Its key.
    pub client_key: PathBuf,
}

/// Bounds of memory, files and threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourcesConfig {
    /// Bytes of blocks that the store keeps in memory.
    pub block_cache_bytes: usize,
    /// Bytes of writes that the store keeps in memory.
    pub write_buffer_bytes: usize,
    /// Bytes of write-ahead log before old parts are flushed.
    pub max_log_bytes: u64,
    /// Sorted files that the store keeps open.
    pub max_open_files: i32,
    /// Threads for flushes and compactions.
    pub background_jobs: i32,
    /// Threads that verify signatures; at least one.
    pub verification_threads: usize,
    /// Bytes of received messages that are verified as one batch.
    pub batch_bytes: usize,
    /// Executed sequences kept in memory for watchers and receipts.
    pub recent_sequences: usize,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Logs and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// The form of log lines.
    pub log_format: LogFormat,
    /// Which lines are written.
    pub log_filter: String,
    /// Where Prometheus finds the metrics, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// The flight recorder's file, if it runs.
    pub recording: Option<PathBuf>,
    /// The most bytes of a recording: half for the beginning, half for the end.
    pub recording_bytes: u64,
}

impl NodeConfig {
    /// Reads and checks a file; relative paths in it start at its directory.
    ///
    /// # Errors
    /// The first thing found wrong, with its place and what is allowed there.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, path.parent().unwrap_or(Path::new("")))
    }

    /// Reads and checks a file's text; relative paths in it start at `base`.
    ///
    /// # Errors
    /// As [`NodeConfig::load`].
    pub fn parse(text: &str, base: &Path) -> Result<Self, ConfigError> {
        check::check(raw::read(text)?, base)
    }

    /// The file that says this, every field with its reason, for `quorate init`. Paths are written as
    /// they are.
    #[must_use]
    pub fn to_toml(&self) -> String {
        fields::write(&self.to_raw())
    }

    /// `docs/configuration.md`.
    #[must_use]
    pub fn to_markdown() -> String {
        fields::to_markdown()
    }

    fn to_raw(&self) -> RawConfig {
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        RawConfig {
            peers: RawPeers {
                listen: self.peers.listen.to_string(),
                queue_bytes: self.peers.queue_bytes as u64,
                bytes_per_second: self.peers.bytes_per_second,
                joins: self.peers.joins,
                addresses: self.peers.addresses.clone(),
            },
            clients: RawClients {
                listen: self.clients.listen.to_string(),
                plaintext: self.clients.plaintext,
                requests_per_second: self.clients.requests_per_second,
                bytes_per_second: self.clients.bytes_per_second,
                connections: self.clients.connections as u64,
                submissions: self.clients.submissions as u64,
                stream_submissions: self.clients.stream_submissions as u64,
                watches: self.clients.watches as u64,
                watch_patience_ms: self.clients.watch_patience_ms,
                deadline_ms: self.clients.deadline_ms,
            },
            admin: RawAdmin { socket: text(&self.admin_socket) },
            paths: RawPaths {
                genesis: text(&self.paths.genesis),
                store: text(&self.paths.store),
                guard_file: text(&self.paths.guard_file),
                consensus_key: text(&self.paths.consensus_key),
                network_key: text(&self.paths.network_key),
                client_certificate: text(&self.paths.client_certificate),
                client_key: text(&self.paths.client_key),
            },
            retention: RawRetention { sequences: self.retained_sequences.unwrap_or(0) },
            resources: self.resources.to_raw(),
            telemetry: RawTelemetry {
                log_format: match self.telemetry.log_format {
                    LogFormat::Text => "text".to_owned(),
                    LogFormat::Json => "json".to_owned(),
                },
                log_filter: self.telemetry.log_filter.clone(),
                metrics: self.telemetry.metrics.map_or_else(String::new, |address| address.to_string()),
                recording: self.telemetry.recording.as_ref().map(text).unwrap_or_default(),
                recording_bytes: self.telemetry.recording_bytes,
            },
        }
    }
}

impl ResourcesConfig {
    fn to_raw(&self) -> RawResources {
        RawResources {
            block_cache_bytes: self.block_cache_bytes as u64,
            write_buffer_bytes: self.write_buffer_bytes as u64,
            max_log_bytes: self.max_log_bytes,
            max_open_files: i64::from(self.max_open_files),
            background_jobs: i64::from(self.background_jobs),
            verification_threads: self.verification_threads as u64,
            batch_bytes: self.batch_bytes as u64,
            recent_sequences: self.recent_sequences as u64,
        }
    }
}

/// Every default, paths relative to the working directory.
impl Default for NodeConfig {
    fn default() -> Self {
        check::check(RawConfig::default(), Path::new("")).expect("the defaults are allowed, a test shows")
    }
}
