//! From the raw file to the configuration used: every rule that a `node.toml` must keep.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::fault::ConfigError;
use super::raw::{RawClients, RawConfig, RawPaths, RawPeers, RawResources, RawTelemetry};
use super::{ClientsConfig, LogFormat, NodeConfig, Paths, PeersConfig, ResourcesConfig, TelemetryConfig};

type Checked<T> = Result<T, ConfigError>;

const KIB: i128 = 1 << 10;
const MIB: i128 = 1 << 20;
const GIB: i128 = 1 << 30;

pub(super) fn check(raw: RawConfig, base: &Path) -> Checked<NodeConfig> {
    Ok(NodeConfig {
        peers: peers(raw.peers)?,
        clients: clients(&raw.clients)?,
        admin_socket: path("admin.socket", &raw.admin.socket, base)?,
        paths: paths(&raw.paths, base)?,
        retained_sequences: retained(raw.retention.sequences)?,
        resources: resources(&raw.resources)?,
        telemetry: telemetry(raw.telemetry, base)?,
    })
}

fn retained(sequences: u64) -> Checked<Option<u64>> {
    match sequences {
        0 => Ok(None),
        some => number("retention.sequences", some, 1_000, 1 << 50).map(Some),
    }
}

fn peers(raw: RawPeers) -> Checked<PeersConfig> {
    for (name, value) in &raw.addresses {
        let port = value.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(1..))) {
            return Err(ConfigError::PeerAddress { name: name.clone(), value: value.clone() });
        }
    }
    Ok(PeersConfig {
        listen: listen("peers.listen", &raw.listen)?,
        queue_bytes: number("peers.queue_bytes", raw.queue_bytes, 8 * MIB, 4 * GIB)?,
        bytes_per_second: number("peers.bytes_per_second", raw.bytes_per_second, MIB, 1_024 * GIB)?,
        joins: raw.joins,
        addresses: raw.addresses,
    })
}

fn clients(raw: &RawClients) -> Checked<ClientsConfig> {
    let listen = listen("clients.listen", &raw.listen)?;
    if raw.plaintext && !listen.ip().is_loopback() {
        return Err(ConfigError::PlaintextBeyondLoopback { listen });
    }
    Ok(ClientsConfig {
        listen,
        plaintext: raw.plaintext,
        requests_per_second: number("clients.requests_per_second", raw.requests_per_second, 1, 1 << 30)?,
        bytes_per_second: number("clients.bytes_per_second", raw.bytes_per_second, KIB, 1_024 * GIB)?,
        connections: number("clients.connections", raw.connections, 1, 65_536)?,
        submissions: number("clients.submissions", raw.submissions, 1, 1 << 22)?,
        stream_submissions: number("clients.stream_submissions", raw.stream_submissions, 1, 65_536)?,
        watches: number("clients.watches", raw.watches, 0, 65_536)?,
        watch_patience_ms: number("clients.watch_patience_ms", raw.watch_patience_ms, 10, 600_000)?,
        deadline_ms: number("clients.deadline_ms", raw.deadline_ms, 100, 3_600_000)?,
    })
}

fn paths(raw: &RawPaths, base: &Path) -> Checked<Paths> {
    Ok(Paths {
        genesis: path("paths.genesis", &raw.genesis, base)?,
        store: path("paths.store", &raw.store, base)?,
        guard_file: path("paths.guard_file", &raw.guard_file, base)?,
        consensus_key: path("paths.consensus_key", &raw.consensus_key, base)?,
        network_key: path("paths.network_key", &raw.network_key, base)?,
        client_certificate: path("paths.client_certificate", &raw.client_certificate, base)?,
        client_key: path("paths.client_key", &raw.client_key, base)?,
    })
}

fn resources(raw: &RawResources) -> Checked<ResourcesConfig> {
    let threads = number("resources.verification_threads", raw.verification_threads, 0, 256)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(ResourcesConfig {
        block_cache_bytes: number("resources.block_cache_bytes", raw.block_cache_bytes, MIB, 1_024 * GIB)?,
        write_buffer_bytes: number("resources.write_buffer_bytes", raw.write_buffer_bytes, MIB, 64 * GIB)?,
        max_log_bytes: number("resources.max_log_bytes", raw.max_log_bytes, MIB, 64 * GIB)?,
        max_open_files: number("resources.max_open_files", raw.max_open_files, 16, 1 << 20)?,
        background_jobs: number("resources.background_jobs", raw.background_jobs, 1, 64)?,
        verification_threads: if threads == 0 { cores } else { threads },
        batch_bytes: number("resources.batch_bytes", raw.batch_bytes, KIB, 64 * MIB)?,
        recent_sequences: number("resources.recent_sequences", raw.recent_sequences, 1, 65_536)?,
    })
}

fn telemetry(raw: RawTelemetry, base: &Path) -> Checked<TelemetryConfig> {
    let log_format = match raw.log_format.as_str() {
        "text" => LogFormat::Text,
        "json" => LogFormat::Json,
        _ => {
            let (field, allowed) = ("telemetry.log_format", "\"text\" or \"json\"");
            return Err(ConfigError::UnknownValue { field, value: raw.log_format, allowed });
        }
    };
    let metrics = match raw.metrics.as_str() {
        "" => None,
        address => Some(listen("telemetry.metrics", address)?),
    };
    let recording = (!raw.recording.is_empty()).then(|| base.join(&raw.recording));
    let recording_bytes = number("telemetry.recording_bytes", raw.recording_bytes, MIB, 1_024 * GIB)?;
    Ok(TelemetryConfig { log_format, log_filter: raw.log_filter, metrics, recording, recording_bytes })
}

fn listen(field: &'static str, value: &str) -> Checked<SocketAddr> {
    value.parse().map_err(|_| ConfigError::ListenAddress { field, value: value.to_owned() })
}

fn path(field: &'static str, value: &str, base: &Path) -> Checked<PathBuf> {
    if value.is_empty() { Err(ConfigError::Empty { field }) } else { Ok(base.join(value)) }
}

fn number<R: Into<i128>, T: TryFrom<i128>>(field: &'static str, value: R, low: i128, high: i128) -> Checked<T> {
    let value = value.into();
    let out_of_range = ConfigError::OutOfRange { field, value, low, high };
    if value < low || value > high {
        return Err(out_of_range);
    }
    T::try_from(value).map_err(|_| out_of_range)
}
