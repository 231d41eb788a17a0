//! `node.toml` as it stands in TOML, before anything is checked. Defaults are here, their reasons in
//! [`FIELDS`](super::FIELDS).

use std::collections::BTreeMap;

use quorate_types::genesis::nearest;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::fault::ConfigError;
use super::fields::FIELDS;

macro_rules! raw {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $($(#[$field_doc])* #[expect(missing_docs, reason = "documented in FIELDS")] pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }
    };
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

raw!(
    /// The whole file.
    RawConfig {
        peers: RawPeers = RawPeers::default(),
        clients: RawClients = RawClients::default(),
        admin: RawAdmin = RawAdmin::default(),
        paths: RawPaths = RawPaths::default(),
        retention: RawRetention = RawRetention::default(),
        resources: RawResources = RawResources::default(),
        telemetry: RawTelemetry = RawTelemetry::default(),
    }
);

raw!(
    /// The table `peers`.
    RawPeers {
        listen: String = "0.0.0.0:7000".to_owned(),
        queue_bytes: u64 = 32 * MIB,
        bytes_per_second: u64 = 256 * MIB,
        joins: bool = false,
        addresses: BTreeMap<String, String> = BTreeMap::new(),
    }
);

raw!(
    /// The table `clients`.
    RawClients {
        listen: String = "127.0.0.1:7100".to_owned(),
        plaintext: bool = false,
        requests_per_second: u64 = 50_000,
        bytes_per_second: u64 = 64 * MIB,
        connections: u64 = 1_024,
        submissions: u64 = 32_768,
        stream_submissions: u64 = 4_096,
        watches: u64 = 256,
        watch_patience_ms: u64 = 10_000,
        deadline_ms: u64 = 60_000,
    }
);

raw!(
    /// The table `admin`.
    RawAdmin {
        socket: String = "admin.sock".to_owned(),
    }
);

raw!(
    /// The table `paths`.
    RawPaths {
        genesis: String = "genesis.toml".to_owned(),
        store: String = "store".to_owned(),
        guard_file: String = "guard".to_owned(),
        consensus_key: String = "consensus.key".to_owned(),
        network_key: String = "network.key".to_owned(),
        client_certificate: String = "client.crt".to_owned(),
        client_key: String = "client.key".to_owned(),
    }
);

raw!(
    /// The table `retention`.
    RawRetention {
        sequences: u64 = 0,
    }
);

raw!(
    /// The table `resources`.
    RawResources {
        block_cache_bytes: u64 = 256 * MIB,
        write_buffer_bytes: u64 = 64 * MIB,
        max_log_bytes: u64 = 256 * MIB,
        max_open_files: i64 = 512,
        background_jobs: i64 = 2,
        verification_threads: u64 = 0,
        batch_bytes: u64 = 512 * KIB,
        recent_sequences: u64 = 1_024,
    }
);

raw!(
    /// The table `telemetry`.
    RawTelemetry {
        log_format: String = "text".to_owned(),
        log_filter: String = "info".to_owned(),
        metrics: String = String::new(),
        recording: String = String::new(),
        recording_bytes: u64 = 256 * MIB,
    }
);

/// Reads the text; unknown names are found first, so that they are named with their neighbour.
pub(super) fn read(text: &str) -> Result<RawConfig, ConfigError> {
    let table: Table = text.parse()?;
    let mut sections: Vec<&str> = FIELDS.iter().map(|field| field.section).collect();
    sections.dedup();
    for (section, content) in &table {
        admit(section, section, &sections)?;
        let Value::Table(content) = content else { continue };
        let names: Vec<&str> = FIELDS.iter().filter(|field| field.section == section).map(|field| field.name).collect();
        for name in content.keys() {
            admit(&format!("{section}.{name}"), name, &names)?;
        }
    }
    // From the text again: so that an error of a type shows the line.
    Ok(toml::from_str(text)?)
}

fn admit(path: &str, name: &str, known: &[&str]) -> Result<(), ConfigError> {
    if known.contains(&name) {
        return Ok(());
    }
    let nearest = nearest(name, known.iter().copied()).map(str::to_owned);
    Err(ConfigError::UnknownField { path: path.to_owned(), nearest })
}
