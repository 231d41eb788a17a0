//! The cluster's authority: what clients trust, and what signs the validators' certificates for them.
//!
//! ECDSA P-256 throughout. Dates are wide on purpose: a certificate that runs out on a quiet Sunday stops
//! every client, and trust here comes from the file that the operator hands to the clients, not from dates.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use super::TlsFault;

/// A certificate authority with its secret key.
pub struct Authority {
    name: String,
    key: KeyPair,
    certificate_pem: String,
}

/// A validator's certificate for its client listener.
#[derive(Clone)]
pub struct ServerCertificate {
    /// The certificate, for anyone.
    pub certificate_pem: String,
    /// Its key, for the validator alone.
    pub key_pem: String,
}

impl Authority {
    /// A new authority for the cluster called `name`.
    ///
    /// # Errors
    /// If the system gives no randomness.
    pub fn make(name: &str) -> Result<Self, TlsFault> {
        Self::of_key(name, KeyPair::generate()?)
    }

    /// An authority whose key was kept. Its certificate is written anew and says the same: what either one
    /// signed is trusted under the other.
    ///
    /// # Errors
    /// If the text isn't the PEM form of an ECDSA key.
    pub fn from_key_pem(name: &str, key_pem: &str) -> Result<Self, TlsFault> {
        Self::of_key(name, KeyPair::from_pem(key_pem)?)
    }

    fn of_key(name: &str, key: KeyPair) -> Result<Self, TlsFault> {
        let certificate_pem = authority_params(name)?.self_signed(&key)?.pem();
        Ok(Self { name: name.to_owned(), key, certificate_pem })
    }

    /// What clients trust.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The secret key, for keeping.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// A certificate for a server that is reached under `names`: host names and addresses.
    ///
    /// # Errors
    /// If a name is neither.
    pub fn issue(&self, names: &[String]) -> Result<ServerCertificate, TlsFault> {
        let mut params = CertificateParams::new(names.to_vec())?;
        if let Some(first) = names.first() {
            params.distinguished_name.push(DnType::CommonName, first.as_str());
        }
        dates(&mut params);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let issuer = Issuer::new(authority_params(&self.name)?, &self.key);
        let certificate = params.signed_by(&key, &issuer)?;
        Ok(ServerCertificate { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({:?})", self.name)
    }
}

impl std::fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerCertificate").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

fn authority_params(name: &str) -> Result<CertificateParams, TlsFault> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, format!("Quorate cluster {name}"));
    dates(&mut params);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn dates(params: &mut CertificateParams) {
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2120, 1, 1);
}
