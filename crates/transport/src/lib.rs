//! The wire: gRPC messages and services, encrypted links between validators, listeners for clients.
//!
//! * [`links`]: two streams to every other validator (control and bulk), redialled for ever, bounded in
//!   both directions; frames come out with the index of the validator whose network key brought them.
//! * [`tls`]: who may talk: pinned ed25519 network keys between validators, an ECDSA authority for clients.
//! * [`serve`], [`channel`]: the accepting and the dialling end of connections, over any [`Connector`].
//! * [`pb`]: the generated code; [`convert`], [`fault`], [`read_token`]: the way between it and the words of
//!   `quorate-types`, with strict decoding.
//! * [`limiter`], [`backoff`]: token buckets for peers and clients; waits between attempts.
//! * [`key_file`]: how keys lie on disk, for nodes and clients alike.
//!
//! This crate refuses malformed bytes and wrong keys; it decides nothing. In particular it checks no
//! signature of a protocol message: that is the door in `quorate_types::verified`.

pub mod backoff;
pub mod channel;
pub mod connector;
pub mod convert;
pub mod fault;
pub mod key_file;
pub mod limiter;
pub mod links;
pub mod pb;
pub mod read_token;
pub mod serve;
pub mod tls;

pub use self::connector::{Connector, TcpConnector};
