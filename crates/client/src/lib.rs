//! The SDK: build and sign operations, submit them, check receipts, read, watch.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use quorate_client::{Client, ClientConfig, FileNonces, Signer, read_key};
//! use quorate_types::operation::{Change, EntityId};
//!
//! // What `quorate init` and `quorate keygen author.key` make.
//! let genesis = std::fs::read("quorate-cluster/genesis.toml")?;
//! let config = ClientConfig::new(&genesis, ["127.0.0.1:7100".to_owned(), "127.0.0.1:7101".to_owned()])?
//!     .with_authority(&std::fs::read_to_string("quorate-cluster/authority.crt")?)?;
//! let client = Client::new(config)?;
//! let key = read_key("author.key".as_ref())?;
//! let mut signer = Signer::new(key, client.cluster(), FileNonces::open("author.nonces")?);
//! let visits = EntityId::new("counter", "visits");
//! for change in [Change::Create { value: None }, Change::Add { by: 1 }] {
//!     let draft = signer.draft(60_000)?.mutate(visits.clone(), change);
//!     let operation = signer.sign(draft)?;
//!     let receipt = client.submit(&operation).await?;
//!     signer.settle(&operation);
//!     println!("{:?} at sequence {}", receipt.receipt().outcome, receipt.receipt().sequence);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Invariants: success is never reported without a receipt that verified against the genesis; a retry, here
//! or at another validator, sends the same signed bytes, so an operation executes at most once; nonces are
//! durable before they are used. No single validator is trusted with a receipt, with a proof
//! ([`Client::prove`]) or with a quorum read ([`Client::read_quorum`]); other reads trust the one that answers.

mod cluster;
mod config;
mod fault;
mod nonces;
mod pipeline;
mod promise;
mod prove;
mod read;
mod signer;
mod submit;
#[cfg(test)]
mod testing;
mod watch;

pub use quorate_crypto::SecretKey;
pub use quorate_proof::{
    Checkpoint, EpochChain, Proof, Proven, ReceiptProof, VerifiedOrder, VerifiedReceipt, VerifiedState,
};
pub use quorate_transport::convert::value_from_wire;
pub use quorate_transport::fault::{ApiFault, Reason};
pub use quorate_transport::key_file::{KeyFileError, read as read_key};
pub use quorate_transport::pb;
pub use quorate_transport::read_token::ReadToken;

pub use crate::cluster::Client;
pub use crate::config::{ClientConfig, ConfigFault, RetryPolicy};
pub use crate::fault::{ClientFault, Hint, Rejected};
pub use crate::nonces::{FileNonces, MemoryNonces, NonceFault, NonceStore};
pub use crate::pipeline::{Pipeline, Settled};
pub use crate::promise::{Accepted, Kept};
pub use crate::prove::{QuorumRead, Subject};
pub use crate::read::{Consistency, Entity, Page, Read, Session};
pub use crate::signer::{SignFault, Signer};
pub use crate::submit::KnownOperation;
pub use crate::watch::{Watch, WatchOptions};
