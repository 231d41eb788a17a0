//! The public part of a validator: what its operator sends to whoever assembles the genesis. It holds no
//! secret.

use std::path::Path;

use anyhow::{Context, ensure};
use quorate_crypto::{Digest, PublicKey};
use quorate_types::genesis::GenesisValidator;
use quorate_types::set::ValidatorInfo;
use serde::{Deserialize, Serialize};

use crate::files;

/// The version of the file's form.
const VERSION: u32 = 1;

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublicPart {
    version: u32,
    name: String,
    consensus_key: PublicKey,
    network_key: PublicKey,
    incarnation: Digest,
    peer_address: String,
    client_address: String,
    /// The certificate that clients of this validator trust, PEM.
    authority: String,
}

impl PublicPart {
    pub(super) fn new(validator: &GenesisValidator, authority: &str) -> Self {
        let info = &validator.info;
        Self {
            version: VERSION,
            name: info.name.clone(),
            consensus_key: info.consensus_key,
            network_key: info.network_key,
            incarnation: Digest::new(info.incarnation),
            peer_address: info.peer_address.clone(),
            client_address: validator.client_address.clone().unwrap_or_default(),
            authority: authority.to_owned(),
        }
    }

    pub(super) fn to_toml(&self) -> anyhow::Result<String> {
        let text = toml::to_string(self).context("writing the public part")?;
        Ok(format!("# The public part of the validator {}: nothing in here is secret.\n{text}", self.name))
    }

    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = files::read_text(path)?;
        let part: Self = toml::from_str(&text)
            .with_context(|| format!("{} is no public part, as `quorate init --validator` makes", path.display()))?;
        let found = part.version;
        ensure!(found == VERSION, "{} has version {found}, this program knows version {VERSION}", path.display());
        Ok(part)
    }

    pub(super) fn validator(&self) -> GenesisValidator {
        let info = ValidatorInfo {
            name: self.name.clone(),
            consensus_key: self.consensus_key,
            network_key: self.network_key,
            incarnation: *self.incarnation.as_bytes(),
            peer_address: self.peer_address.clone(),
        };
        let client_address = Some(self.client_address.clone()).filter(|address| !address.is_empty());
        GenesisValidator { info, client_address }
    }

    pub(super) fn authority(&self) -> &str {
        &self.authority
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_part_is_read_back() {
        let info = ValidatorInfo {
            name: "alpha".to_owned(),
            consensus_key: PublicKey::from_bytes([1; 32]),
            network_key: PublicKey::from_bytes([2; 32]),
            incarnation: [3; 32],
            peer_address: "alpha:7000".to_owned(),
        };
        let validator = GenesisValidator { info, client_address: Some("alpha:7100".to_owned()) };
        let part = PublicPart::new(&validator, "PEM");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("part.toml");
        std::fs::write(&path, part.to_toml().unwrap()).unwrap();
        let read = PublicPart::read(&path).unwrap();
        assert_eq!(read, part);
        assert_eq!(read.validator(), validator);
        std::fs::write(&path, "name = 1").unwrap();
        assert!(PublicPart::read(&path).unwrap_err().to_string().contains("no public part"));
    }
}
