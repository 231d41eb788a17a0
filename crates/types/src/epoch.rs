//! What an epoch is: its validators, those who will be or were validators, and its parameters (protocol §8.4–§8.6).
//!
//! The first epoch follows from the genesis; every later one from the one before and the changes that were approved
//! in it, by [`EpochDefinition::after`] alone, so that all validators, joiners and light clients get the same.
//!
//! What must hold of a definition: names, keys and addresses are distinct over validators and learners together, and
//! the parameters are ones that the protocol can run with.

mod change;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use quorate_crypto::{Digest, PublicKey, Scheme, sha256};

use crate::codec::{Canonical, DecodeError, Reader, encode_bytes, encode_list};
use crate::execution::ExecutionCertificate;
use crate::genesis::Genesis;
use crate::ids::{ClusterId, Epoch, Sequence};
use crate::limits::{MAX_ADDRESS_BYTES, MAX_LEARNERS, MAX_VALIDATORS};
use crate::operation::MAX_KIND_BYTES;
use crate::parameters::Parameters;
use crate::proposal::Proposal;
use crate::set::{Learner, LearnerRole, ValidatorInfo, ValidatorSet};
use crate::sparse::SparsePath;
use crate::verified::Context;

pub(crate) use self::change::MAX_PARAMETER_BYTES;
pub use self::change::{ChangeFault, MAX_CHANGES, NewValidator, SetChange};

/// The key in the replicated state under which the definition of the epoch to come stands since the end of the one
/// before (data-model §4.7).
pub const CURRENT: &[u8] = b"vc";

/// The key in the state tree of [`CURRENT`].
#[must_use]
pub fn place() -> Digest {
    sha256(&[CURRENT])
}

/// One epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochDefinition {
    /// Its number.
    pub epoch: Epoch,
    /// The last sequence of the epoch before, whose execution certificate is this one's starting checkpoint; 0 for
    /// the first epoch.
    pub start: Sequence,
    /// Its validators, by index.
    pub validators: Vec<ValidatorInfo>,
    /// Those who follow without being counted, by index after the validators.
    pub learners: Vec<Learner>,
    /// The consensus keys of validators, and of learners that join, that may not lead, the oldest bar first
    /// (protocol §8.6).
    pub barred: Vec<PublicKey>,
    /// Its parameters.
    pub parameters: Parameters,
}

impl EpochDefinition {
    /// The first epoch.
    #[must_use]
    pub fn of_genesis(genesis: &Genesis) -> Self {
        Self {
            epoch: Epoch::ZERO,
            start: Sequence::ZERO,
            validators: genesis.validator_set().iter().map(|(_, info)| info.clone()).collect(),
            learners: Vec::new(),
            barred: Vec::new(),
            parameters: genesis.content.parameters,
        }
    }

    /// The validators and learners.
    #[must_use]
    pub fn set(&self) -> ValidatorSet {
        let set = ValidatorSet::with_learners(self.validators.clone(), self.learners.clone());
        let set = set.expect("a definition has between 1 and MAX_VALIDATORS validators");
        set.barring(self.barred.clone())
    }

    /// What messages of the epoch are judged against; `start` is the digest of the proposal at the epoch's start, or
    /// of the genesis.
    #[must_use]
    pub fn context(&self, cluster: ClusterId, scheme: Scheme, start: Digest) -> Context {
        Context {
            cluster,
            scheme,
            epoch: self.epoch,
            set: Arc::new(self.set()),
            parameters: Arc::new(self.parameters),
            start: (self.start, start),
        }
    }

    /// The validator with this consensus key.
    #[must_use]
    pub fn validator_with(&self, key: &PublicKey) -> Option<&ValidatorInfo> {
        self.validators.iter().find(|info| info.consensus_key == *key)
    }

    /// The learner with this consensus key.
    #[must_use]
    pub fn learner_with(&self, key: &PublicKey) -> Option<&Learner> {
        self.learners.iter().find(|learner| learner.info.consensus_key == *key)
    }
}

impl From<&Context> for EpochDefinition {
    fn from(context: &Context) -> Self {
        Self {
            epoch: context.epoch,
            start: context.start.0,
            validators: context.set.iter().map(|(_, info)| info.clone()).collect(),
            learners: context.set.learners().to_vec(),
            barred: context.set.barred().to_vec(),
            parameters: *context.parameters,
        }
    }
}

/// How whoever trusts an epoch comes to trust the next: its definition stands in the state that a quorum certified at
/// its start (protocol §8.4). Unverified until [`crate::rules::admit_epoch_start`] and the certificate's signatures
/// have been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// The epoch that begins.
    pub definition: EpochDefinition,
    /// The path of the definition in the state tree.
    pub path: SparsePath,
    /// The votes of the epoch before for the state at its last sequence.
    pub certificate: ExecutionCertificate,
    /// The proposal executed there.
    pub proposal: Proposal,
}

impl EpochStart {
    /// What messages of the epoch are judged against, by those who judged those of the epoch before against `before`.
    #[must_use]
    pub fn context(&self, before: &Context) -> Context {
        self.definition.context(before.cluster, before.scheme, self.certificate.execution.proposal)
    }
}

impl Canonical for EpochStart {
    fn encode(&self, out: &mut Vec<u8>) {
        self.definition.encode(out);
        self.path.encode(out);
        self.certificate.encode(out);
        self.proposal.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            definition: EpochDefinition::decode(input)?,
            path: SparsePath::decode(input)?,
            certificate: ExecutionCertificate::decode(input)?,
            proposal: Proposal::decode(input)?,
        })
    }
}

impl Canonical for EpochDefinition {
    fn encode(&self, out: &mut Vec<u8>) {
        self.epoch.encode(out);
        self.start.encode(out);
        encode_list(&self.validators, out);
        encode_list(&self.learners, out);
        encode_list(&self.barred, out);
        self.parameters.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let definition = Self {
            epoch: Epoch::decode(input)?,
            start: Sequence::decode(input)?,
            validators: input.list(MAX_VALIDATORS, "validators of an epoch")?,
            learners: input.list(MAX_LEARNERS, "learners of an epoch")?,
            barred: input.list(MAX_VALIDATORS, "barred keys of an epoch")?,
            parameters: Parameters::decode(input)?,
        };
        if definition.validators.is_empty() {
            return Err(DecodeError::Malformed { what: "epoch", rule: "it has a validator" });
        }
        Ok(definition)
    }
}

impl Canonical for ValidatorInfo {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_bytes(self.name.as_bytes(), out);
        self.consensus_key.encode(out);
        self.network_key.encode(out);
        Digest::new(self.incarnation).encode(out);
        encode_bytes(self.peer_address.as_bytes(), out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            name: text(input, MAX_KIND_BYTES, "name of a validator")?,
            consensus_key: PublicKey::decode(input)?,
            network_key: PublicKey::decode(input)?,
            incarnation: *Digest::decode(input)?.as_bytes(),
            peer_address: text(input, MAX_ADDRESS_BYTES, "address of a validator")?,
        })
    }
}

impl Canonical for Learner {
    fn encode(&self, out: &mut Vec<u8>) {
        self.info.encode(out);
        match self.role {
            LearnerRole::Leaving => out.push(0),
            LearnerRole::Joining { replaces: None } => out.push(1),
            LearnerRole::Joining { replaces: Some(key) } => {
                out.push(2);
                key.encode(out);
            }
        }
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let info = ValidatorInfo::decode(input)?;
        let role = match input.u8()? {
            0 => LearnerRole::Leaving,
            1 => LearnerRole::Joining { replaces: None },
            2 => LearnerRole::Joining { replaces: Some(PublicKey::decode(input)?) },
            value => return Err(DecodeError::Unknown { what: "role of a learner", value }),
        };
        Ok(Self { info, role })
    }
}

/// A text of bounded length.
pub(crate) fn text(input: &mut Reader<'_>, limit: usize, what: &'static str) -> Result<String, DecodeError> {
    let bytes = input.bytes(limit, what)?.to_vec();
    String::from_utf8(bytes).map_err(|_| DecodeError::Malformed { what, rule: "must be UTF-8" })
}
