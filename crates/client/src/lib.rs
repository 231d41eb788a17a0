//! The SDK: build and sign operations, submit them, check receipts, read, watch.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use quorate_client::{Client, ClientConfig, FileNonces, Signer};
//! use quorate_types::operation::{Change, EntityId};
//!
//! let genesis = std::fs::read("genesis.toml")?;
//! let config = ClientConfig::new(&genesis, ["127.0.0.1:7110".to_owned(), "127.0.0.1:7120".to_owned()])?
//!     .with_authority(&std::fs::read_to_string("authority.pem")?)?;
//! let client = Client::new(config)?;
//! let mut signer = Signer::new(quorate_client::key_from_seed([7; 32]), client.cluster(), FileNonces::open("nonces")?);
//! let draft = signer.draft(60_000)?.mutate(EntityId::new("hits", "front-page"), Change::Add { by: 1 });
//! let receipt = client.submit(&signer.sign(draft)?).await?;
//! println!("{:?} at sequence {}", receipt.receipt().outcome, receipt.receipt().sequence);
//! # Ok(())
//! # }
//! ```
//!
//! Invariants: success is never reported without a receipt that verified against the genesis; a retry, here
//! or at another validator, sends the same signed bytes, so an operation executes at most once; nonces are
//! durable before they are used. No single validator is trusted with a receipt; a `LOCAL` read trusts the one
//! that answers.

mod cluster;
mod config;
mod fault;
mod nonces;
mod pipeline;
mod read;
mod signer;
mod submit;
mod watch;

pub use quorate_crypto::SecretKey;
pub use quorate_proof::{ReceiptProof, VerifiedReceipt};
pub use quorate_transport::convert::value_from_wire;
pub use quorate_transport::fault::{ApiFault, Reason};
pub use quorate_transport::pb;
pub use quorate_transport::read_token::ReadToken;

pub use crate::cluster::Client;
pub use crate::config::{ClientConfig, ConfigFault, RetryPolicy};
pub use crate::fault::{ClientFault, Rejected};
pub use crate::nonces::{FileNonces, MemoryNonces, NonceFault, NonceStore};
pub use crate::pipeline::{Pipeline, Settled};
pub use crate::read::{Consistency, Entity, Page, Read, Session};
pub use crate::signer::{SignFault, Signer};
pub use crate::watch::{Watch, WatchOptions};

/// The key with this seed.
#[must_use]
pub fn key_from_seed(seed: [u8; 32]) -> SecretKey {
    SecretKey::from_seed(seed)
}
