//! The genesis file: what all validators and clients of a cluster agree on from the start
//! (architecture §8).
//!
//! The file is parsed into raw types and checked once into the ones used. The cluster's id is the
//! SHA-256 of the file's bytes, comments included: two files that say the same are two clusters.
//! Neither files nor keys are made here; `quorate init` does that.

mod check;
mod fault;
mod names;
mod raw;
mod schema;
mod write;

#[cfg(test)]
mod tests;

use quorate_crypto::{PublicKey, sha256};

pub(crate) use self::check::{is_address, is_name};
pub use self::fault::GenesisError;
pub use self::names::nearest;
use crate::ids::ClusterId;
use crate::kind::{Kind, Kinds};
use crate::parameters::Parameters;
use crate::set::{ValidatorInfo, ValidatorSet};

/// The version of the file's format.
pub const VERSION: i64 = 1;

/// Kinds that a genesis may declare at most.
pub const MAX_KINDS: usize = 1_024;

/// A checked genesis with the id of the cluster that it makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// The SHA-256 of the file's bytes.
    pub cluster: ClusterId,
    /// What the file says.
    pub content: GenesisContent,
}

/// What a genesis file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisContent {
    /// The cluster's name, for people.
    pub name: String,
    /// The validators of epoch 0, by index.
    pub validators: Vec<GenesisValidator>,
    /// Who may change the cluster.
    pub administrators: Administrators,
    /// The parameters of epoch 0.
    pub parameters: Parameters,
    /// The kinds of entities.
    pub kinds: Vec<Kind>,
}

/// A validator of the genesis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisValidator {
    /// What the protocol knows of it.
    pub info: ValidatorInfo,
    /// Where clients reach it, as `host:port`, if its operator says so.
    pub client_address: Option<String>,
}

/// Reads a kind that stands by itself, with the fields that it has in a genesis file (data-model §2.2): what an
/// administrator defines later.
///
/// # Errors
/// The first thing found wrong, with its place and what is allowed there.
pub fn parse_kind(text: &str) -> Result<Kind, GenesisError> {
    check::kind(raw::read_kind(text)?, &str::to_owned)
}

/// Who may change the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Administrators {
    /// So many must approve a change.
    pub threshold: usize,
    /// Their keys.
    pub keys: Vec<PublicKey>,
}

impl Genesis {
    /// Reads and checks a genesis file.
    ///
    /// # Errors
    /// The first thing found wrong, with its place and what is allowed there.
    pub fn parse(file: &[u8]) -> Result<Self, GenesisError> {
        let text = std::str::from_utf8(file).map_err(|_| GenesisError::NotText)?;
        let content = check::check(raw::read(text)?)?;
        Ok(Self { cluster: ClusterId(sha256(&[file])), content })
    }

    /// Checks that this is the genesis of `expected`, the cluster that a store or a peer belongs to.
    ///
    /// # Errors
    /// [`GenesisError::OtherCluster`], which says that the file was edited.
    pub fn admit_cluster(&self, expected: ClusterId) -> Result<(), GenesisError> {
        let found = self.cluster;
        if found == expected { Ok(()) } else { Err(GenesisError::OtherCluster { expected, found }) }
    }

    /// The validator set of epoch 0.
    #[must_use]
    pub fn validator_set(&self) -> ValidatorSet {
        let infos = self.content.validators.iter().map(|validator| validator.info.clone()).collect();
        ValidatorSet::new(infos).expect("a checked genesis has between 1 and MAX_VALIDATORS validators")
    }

    /// The kinds, by name.
    #[must_use]
    pub fn kinds(&self) -> Kinds {
        Kinds::new(self.content.kinds.iter().cloned())
    }
}

impl GenesisContent {
    /// The file as `quorate init` writes it. [`Genesis::parse`] of it gives this content back, if it
    /// keeps the rules.
    #[must_use]
    pub fn to_toml(&self) -> String {
        write::write(self)
    }
}
