//! What can be wrong with `node.toml`.

use std::path::PathBuf;

use thiserror::Error;

/// Why a node's configuration is refused.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{} can't be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It isn't TOML, or a value has the wrong type.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// A name that means nothing here.
    #[error("unknown field {path}{}", nearest.as_ref().map_or_else(String::new, |name| format!("; did you mean {name}?")))]
    UnknownField {
        /// The path of the field.
        path: String,
        /// The known name that was probably meant.
        nearest: Option<String>,
    },
    /// A number is out of its range.
    #[error("{field} is {value}; allowed is {low} to {high}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// Its value.
        value: i128,
        /// The lowest value allowed.
        low: i128,
        /// The highest value allowed.
        high: i128,
    },
    /// An address to listen on isn't one.
    #[error("{field} is {value:?}; an IP address and a port are needed, such as \"127.0.0.1:7100\"")]
    ListenAddress {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// An address to reach a peer at isn't one.
    #[error("peers.addresses.{name} is {value:?}; a host and a port are needed, such as \"v1.example.org:7000\"")]
    PeerAddress {
        /// The peer.
        name: String,
        /// Its value.
        value: String,
    },
    /// A word that means nothing here.
    #[error("{field} is {value:?}; allowed is {allowed}")]
    UnknownValue {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// Something that must be named isn't.
    #[error("{field} must not be empty")]
    Empty {
        /// The field.
        field: &'static str,
    },
    /// Clients without TLS on an address that others can reach.
    #[error("clients.plaintext is allowed on a loopback address only, and clients.listen is {listen}")]
    PlaintextBeyondLoopback {
        /// Where clients would be listened for.
        listen: std::net::SocketAddr,
    },
}
