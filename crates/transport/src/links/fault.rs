//! Why a link isn't up.

use std::error::Error;
use std::io;

use quorate_crypto::PublicKey;
use quorate_types::ids::ClusterId;
use tonic::Code;

use crate::tls::WrongKey;

/// Why a link is refused, fails or ends. All are the peer's or the network's; none stops this validator.
#[derive(Debug, thiserror::Error)]
pub enum LinkFault {
    /// No connection.
    #[error("not reachable: {0}")]
    Unreachable(#[source] io::Error),
    /// The handshake failed.
    #[error("the TLS handshake failed: {0}")]
    Handshake(#[source] io::Error),
    /// The other end has another network key.
    #[error("{0}; either the genesis files differ, or this address belongs to someone else")]
    WrongKey(WrongKey),
    /// The other end refused our network key.
    #[error("the other end refused our network key {ours}: it expects another one, see its log")]
    KeyRefused {
        /// Our key.
        ours: PublicKey,
    },
    /// Something took too long.
    #[error("{what} took too long")]
    Timeout {
        /// What.
        what: &'static str,
    },
    /// The connection failed.
    #[error("the connection failed: {}", chain(.0))]
    Transport(#[source] tonic::transport::Error),
    /// The stream failed, or the other end refused it.
    #[error("the stream ended: {}", chain(.0))]
    Stream(#[source] Box<tonic::Status>),
    /// The other end closed the stream.
    #[error("the other end closed the stream")]
    Closed,
    /// The other end has accepted another connection that proves our network key.
    #[error(
        "another connection with this validator's network key took this one's place; if that goes on, two nodes run \
         with one key"
    )]
    Replaced,
    /// The first frame isn't a hello, or a later one is.
    #[error("the other end sent a frame that has no place here")]
    Unexpected,
    /// A message is empty.
    #[error("the other end sent an empty message")]
    Empty,
    /// The other end speaks another version.
    #[error("the other end speaks version {found} of the peer protocol, this program version {known}")]
    OtherVersion {
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// The other end belongs to another cluster.
    #[error("the other end is of cluster {found}, this validator of {expected}: one genesis file was edited")]
    OtherCluster {
        /// Its cluster, in hexadecimal, as it was sent.
        found: String,
        /// Ours.
        expected: ClusterId,
    },
}

impl LinkFault {
    /// The fault behind a failed stream: an alert during what TLS 1.3 makes the first read means that the
    /// other end has judged our key.
    pub(super) fn of_status(status: tonic::Status, ours: PublicKey) -> Self {
        match status.code() {
            _ if is_alert(&status) => Self::KeyRefused { ours },
            Code::AlreadyExists => Self::Replaced,
            _ => Self::Stream(Box::new(status)),
        }
    }

    /// As [`LinkFault::of_status`], for a connection that failed before there was a stream.
    pub(super) fn of_transport(error: tonic::transport::Error, ours: PublicKey) -> Self {
        if is_alert(&error) { Self::KeyRefused { ours } } else { Self::Transport(error) }
    }
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let inner = error.to_string();
        if !text.contains(&inner) {
            text = format!("{text}: {inner}");
        }
        cause = error.source();
    }
    text
}

/// Whether a TLS alert about our certificate is among the causes. The libraries in between keep the cause
/// sometimes as a type, sometimes only as text.
fn is_alert(error: &(dyn Error + 'static)) -> bool {
    let text = chain(error);
    text.contains("received fatal alert") && text.contains("ertificate")
}
