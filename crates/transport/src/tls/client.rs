//! TLS between clients and validators: the server proves a name under an authority, the client signs its
//! operations and so needs no certificate.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::{TlsFault, alpn, provider};

/// For a validator's client listener: its certificate, with the chain if there is one, and its key.
///
/// # Errors
/// If either can't be read or they don't belong together.
pub fn server_config(certificate_pem: &str, key_pem: &str) -> Result<Arc<ServerConfig>, TlsFault> {
    let chain = certificates(certificate_pem, "server certificate")?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
        .map_err(|source| TlsFault::Pem { what: "key of the server certificate", source })?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = alpn();
    Ok(Arc::new(config))
}

/// For a client that trusts these authorities and no others.
///
/// # Errors
/// If the text holds no certificate of an authority.
pub fn client_config(authorities_pem: &str) -> Result<Arc<ClientConfig>, TlsFault> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authorities_pem, "authority's certificate")? {
        roots.add(certificate)?;
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn();
    Ok(Arc::new(config))
}

fn certificates(text: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let certificates = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| TlsFault::Pem { what, source })?;
    if certificates.is_empty() { Err(TlsFault::NoCertificate { what }) } else { Ok(certificates) }
}
