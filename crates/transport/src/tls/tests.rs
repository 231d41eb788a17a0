//! Handshakes in memory: who gets through and who doesn't.

use std::io;
use std::sync::Arc;

use quorate_crypto::SecretKey;
use rustls::client::ResolvesClientCert;
use rustls::crypto::ring::sign::any_eddsa_type;
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ServerConfig, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

fn identity(seed: u8) -> NetworkIdentity {
    NetworkIdentity::new(&SecretKey::from_seed([seed; 32])).unwrap()
}

fn expected(seed: u8) -> Expected {
    Expected { name: format!("v{seed}"), key: identity(seed).public() }
}

/// Shakes hands and sends one byte each way; what client and server make of it.
async fn shake(client: Arc<ClientConfig>, server: Arc<ServerConfig>, name: &str) -> [io::Result<()>; 2] {
    let (near, far) = tokio::io::duplex(1 << 16);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let dialling = async {
        let mut stream = TlsConnector::from(client).connect(name, near).await?;
        stream.write_all(b"!").await?;
        stream.flush().await?;
        stream.read_u8().await.map(drop)
    };
    let accepting = async {
        let mut stream = TlsAcceptor::from(server).accept(far).await?;
        let byte = stream.read_u8().await?;
        stream.write_u8(byte).await?;
        stream.flush().await
    };
    let (dialled, accepted) = tokio::join!(dialling, accepting);
    [dialled, accepted]
}

/// Shows one certificate and signs with another key.
#[derive(Debug)]
struct Forger(Arc<CertifiedKey>);

impl Forger {
    fn new(certificate_of: &NetworkIdentity, key_of: &NetworkIdentity) -> Arc<Self> {
        let key = key_of.private_key();
        let pkcs8 = PrivatePkcs8KeyDer::from(key.secret_der().to_vec());
        let signer = any_eddsa_type(&pkcs8).unwrap();
        Arc::new(Self(Arc::new(CertifiedKey::new(certificate_of.certificates(), signer))))
    }
}

impl ResolvesClientCert for Forger {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Forger {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[tokio::test]
async fn validators_with_pinned_keys_shake_hands() {
    let client = dial_config(&identity(1), expected(2)).unwrap();
    let server = listen_config(&identity(2), vec![expected(1), expected(3)]).unwrap();
    let results = shake(client, server, "any.name").await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

#[tokio::test]
async fn a_key_that_is_not_pinned_is_named_with_the_one_expected() {
    let client = dial_config(&identity(1), expected(2)).unwrap();
    let server = listen_config(&identity(9), vec![expected(1)]).unwrap();
    let [dialled, _] = shake(client, server, "any.name").await;
    let fault = WrongKey { expected: vec![expected(2)], shown: Some(identity(9).public()) };
    assert_eq!(wrong_key(&dialled.unwrap_err()), Some(&fault));

    let client = dial_config(&identity(9), expected(2)).unwrap();
    let server = listen_config(&identity(2), vec![expected(1), expected(3)]).unwrap();
    let [dialled, accepted] = shake(client, server, "any.name").await;
    let fault = WrongKey { expected: vec![expected(1), expected(3)], shown: Some(identity(9).public()) };
    assert_eq!(wrong_key(&accepted.unwrap_err()), Some(&fault));
    assert!(dialled.is_err());
    assert!(fault.to_string().ends_with(&format!("{} (v1) or {} (v3)", expected(1).key, expected(3).key)));
}

/// Certificates are public. Showing someone's proves nothing; the handshake's signature does.
#[tokio::test]
async fn a_certificate_without_its_key_is_refused_on_both_sides() {
    let mut client = (*dial_config(&identity(1), expected(2)).unwrap()).clone();
    client.client_auth_cert_resolver = Forger::new(&identity(1), &identity(9));
    let server = listen_config(&identity(2), vec![expected(1)]).unwrap();
    let [_, accepted] = shake(Arc::new(client), server, "any.name").await;
    assert!(accepted.unwrap_err().to_string().contains("BadSignature"));

    let client = dial_config(&identity(1), expected(2)).unwrap();
    let mut server = (*listen_config(&identity(2), vec![expected(1)]).unwrap()).clone();
    server.cert_resolver = Forger::new(&identity(2), &identity(9));
    let [dialled, _] = shake(client, Arc::new(server), "any.name").await;
    assert!(dialled.unwrap_err().to_string().contains("BadSignature"));
}

#[tokio::test]
async fn a_validator_without_a_certificate_is_refused() {
    let server = listen_config(&identity(2), vec![expected(1)]).unwrap();
    let authority = Authority::make("x").unwrap();
    let client = client_config(authority.certificate_pem()).unwrap();
    assert!(shake(client, server, "localhost").await.iter().all(Result::is_err));
}

#[tokio::test]
async fn clients_trust_what_their_authority_signed_under_every_name_of_it() {
    let authority = Authority::make("shop").unwrap();
    let names = ["validator-1.example", "localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let issued = authority.issue(&names).unwrap();
    let server = server_config(&issued.certificate_pem, &issued.key_pem).unwrap();
    let client = client_config(authority.certificate_pem()).unwrap();
    for name in &names {
        let results = shake(Arc::clone(&client), Arc::clone(&server), name).await;
        assert!(results.iter().all(Result::is_ok), "{name}: {results:?}");
    }
    let [dialled, _] = shake(client, Arc::clone(&server), "elsewhere.example").await;
    assert!(dialled.is_err());
    let other = client_config(Authority::make("shop").unwrap().certificate_pem()).unwrap();
    let [dialled, _] = shake(other, server, "localhost").await;
    assert!(dialled.is_err(), "the same name is not the same authority");
}

#[tokio::test]
async fn a_kept_authority_signs_what_its_first_certificate_vouches_for() {
    let first = Authority::make("shop").unwrap();
    let again = Authority::from_key_pem("shop", &first.key_pem()).unwrap();
    let issued = again.issue(&["localhost".to_owned()]).unwrap();
    let server = server_config(&issued.certificate_pem, &issued.key_pem).unwrap();
    // Several authorities in one file are all trusted.
    let both = [Authority::make("other").unwrap().certificate_pem(), first.certificate_pem()].concat();
    let results = shake(client_config(&both).unwrap(), server, "localhost").await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

#[test]
fn texts_that_hold_no_certificate_are_named() {
    assert!(matches!(client_config("hello"), Err(TlsFault::NoCertificate { .. })));
    let authority = Authority::make("x").unwrap();
    let error = server_config(authority.certificate_pem(), "hello").unwrap_err();
    assert!(error.to_string().contains("key of the server certificate"), "{error}");
}

#[test]
fn secrets_do_not_show() {
    let authority = Authority::make("x").unwrap();
    let issued = authority.issue(&["localhost".to_owned()]).unwrap();
    assert!(!format!("{authority:?}{issued:?}").contains("PRIVATE"));
}
