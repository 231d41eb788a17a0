//! Who may talk to whom, in TLS 1.3.
//!
//! Validators know each other by pinned ed25519 network keys and by nothing else: names, dates and
//! issuers in their certificates say nothing. Clients know a validator by a certificate that the cluster's
//! authority signed, with ECDSA P-256, because common gRPC libraries take no ed25519 certificates.

mod authority;
mod client;
mod identity;
mod peer;
mod pinned;

#[cfg(test)]
mod tests;

use rustls::pki_types::pem;

pub use self::authority::{Authority, ServerCertificate};
pub use self::client::{client_config, server_config};
pub use self::identity::NetworkIdentity;
pub use self::peer::dial_config;
pub(crate) use self::peer::listen_config;
pub use self::pinned::{Expected, WrongKey};
pub(crate) use self::pinned::{key_of, wrong_key};

/// Why a TLS configuration or certificate can't be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// A key or certificate that TLS refuses.
    #[error("TLS refuses the key or certificate: {0}")]
    Rustls(#[from] rustls::Error),
    /// A certificate could not be made.
    #[error("the certificate can't be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A PEM text that can't be read.
    #[error("the {what} can't be read as PEM: {source}")]
    Pem {
        /// What the text should be.
        what: &'static str,
        /// Where reading failed.
        source: pem::Error,
    },
    /// A PEM text without any certificate.
    #[error("the {what} holds no certificate")]
    NoCertificate {
        /// What the text should be.
        what: &'static str,
    },
}

/// The one provider of cryptography.
fn provider() -> std::sync::Arc<rustls::crypto::CryptoProvider> {
    std::sync::Arc::new(rustls::crypto::ring::default_provider())
}

/// What gRPC speaks.
fn alpn() -> Vec<Vec<u8>> {
    vec![b"h2".to_vec()]
}
