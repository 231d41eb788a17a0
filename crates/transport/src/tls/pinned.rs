//! The one question of validators' TLS: is the key that proves itself one of those expected?

use std::fmt;
use std::io;
use std::sync::Arc;

use quorate_crypto::PublicKey;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};

/// The SubjectPublicKeyInfo of an ed25519 key, up to the key's 32 bytes.
const SPKI_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A validator that may be at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its name.
    pub name: String,
    /// Its network key, from the genesis.
    pub key: PublicKey,
}

/// The other end proved another key than those expected, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongKey {
    /// Who was expected.
    pub expected: Vec<Expected>,
    /// The network key shown; `None` if the certificate carries no ed25519 key.
    pub shown: Option<PublicKey>,
}

impl fmt::Display for WrongKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.shown {
            Some(key) => write!(f, "the other end shows the network key {key}, expected is ")?,
            None => f.write_str("the other end shows no ed25519 network key, expected is ")?,
        }
        for (position, Expected { name, key }) in self.expected.iter().enumerate() {
            let separator = if position == 0 { "" } else { " or " };
            write!(f, "{separator}{key} ({name})")?;
        }
        Ok(())
    }
}

impl std::error::Error for WrongKey {}

/// Checks a peer's certificate against pinned keys. The proof of possession is the handshake's signature,
/// which is always verified.
#[derive(Debug)]
pub(super) struct Pinned {
    allowed: Vec<Expected>,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    pub(super) fn new(allowed: Vec<Expected>, provider: Arc<CryptoProvider>) -> Arc<Self> {
        Arc::new(Self { allowed, provider })
    }

    fn admit(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let shown = key_of(certificate);
        if shown.is_some_and(|shown| self.allowed.iter().any(|expected| expected.key == shown)) {
            return Ok(());
        }
        let fault = WrongKey { expected: self.allowed.clone(), shown };
        Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(fault)))))
    }

    fn verify(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }
}

/// The ed25519 key in a certificate.
pub(crate) fn key_of(certificate: &CertificateDer<'_>) -> Option<PublicKey> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let spki = parsed.subject_public_key_info();
    let key: [u8; 32] = spki.as_ref().strip_prefix(&SPKI_HEAD)?.try_into().ok()?;
    Some(PublicKey::from_bytes(key))
}

/// The wrong key behind a failed handshake, if that is why it failed.
pub(crate) fn wrong_key(error: &io::Error) -> Option<&WrongKey> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::InvalidCertificate(CertificateError::Other(other)) => other.0.downcast_ref(),
        _ => None,
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.admit(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("validators speak TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.admit(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("validators speak TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
