//! TLS between validators: both ends prove a pinned network key.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

use super::pinned::Pinned;
use super::{Expected, NetworkIdentity, TlsFault, alpn, provider};

/// For dialling exactly one validator.
///
/// # Errors
/// If TLS refuses the identity.
pub fn dial_config(identity: &NetworkIdentity, expected: Expected) -> Result<Arc<ClientConfig>, TlsFault> {
    let provider = provider();
    let verifier = Pinned::new(vec![expected], Arc::clone(&provider));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(identity.certificates(), identity.private_key())?;
    config.alpn_protocols = alpn();
    config.enable_sni = false;
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// For accepting any of `expected`.
pub(crate) fn listen_config(
    identity: &NetworkIdentity,
    expected: Vec<Expected>,
) -> Result<Arc<ServerConfig>, TlsFault> {
    let provider = provider();
    let verifier = Pinned::new(expected, Arc::clone(&provider));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.certificates(), identity.private_key())?;
    config.alpn_protocols = alpn();
    // No resumption: every connection proves the key anew.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}
