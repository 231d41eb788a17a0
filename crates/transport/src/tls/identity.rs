//! A validator's network key as a TLS identity.

use quorate_crypto::{PublicKey, SecretKey};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::TlsFault;

/// Version 2 of PKCS #8 for an ed25519 key, up to the 32 secret bytes.
const PKCS8_HEAD: [u8; 16] =
    [0x30, 0x51, 0x02, 0x01, 0x01, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Between the secret and the public bytes.
const PKCS8_PUBLIC: [u8; 3] = [0x81, 0x21, 0x00];

/// A network key with the certificate that carries it. The certificate is a pure function of the key, so
/// none is ever stored, renewed or lost.
pub struct NetworkIdentity {
    public: PublicKey,
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

impl NetworkIdentity {
    /// The identity of the owner of `key`.
    ///
    /// # Errors
    /// If no certificate can be made of it; it must be an ed25519 key, not a stand-in.
    pub fn new(key: &SecretKey) -> Result<Self, TlsFault> {
        let public = key.public();
        let pkcs8 = [&PKCS8_HEAD, key.seed().as_slice(), &PKCS8_PUBLIC, public.as_bytes()].concat();
        let key = PrivatePkcs8KeyDer::from(pkcs8);
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ED25519)?;
        let mut params = CertificateParams::new(vec!["validator.quorate.invalid".to_owned()])?;
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(4000, 1, 1);
        params.serial_number = Some(1u64.into());
        let certificate = params.self_signed(&pair)?.der().clone();
        Ok(Self { public, certificate, key })
    }

    /// The network key's public half.
    #[must_use]
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    pub(super) fn certificates(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone()]
    }

    pub(super) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone_key())
    }
}

impl std::fmt::Debug for NetworkIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NetworkIdentity(of {:?})", self.public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_is_a_function_of_the_key() {
        let identity = |seed| NetworkIdentity::new(&SecretKey::from_seed([seed; 32])).unwrap();
        assert_eq!(identity(1).certificate, identity(1).certificate);
        assert_ne!(identity(1).certificate, identity(2).certificate);
    }

    #[test]
    fn the_secret_does_not_show() {
        let identity = NetworkIdentity::new(&SecretKey::from_seed([7; 32])).unwrap();
        assert!(!format!("{identity:?}").contains("0707"));
    }
}
