//! State proofs: what an entity was after a sequence, or that it did not exist (data-model §4.4).

use quorate_crypto::sha256;
use quorate_types::codec::{Canonical, DecodeError, Reader, encode_bytes};
use quorate_types::entity::{self, Entity};
use quorate_types::execution::{Execution, ExecutionCertificate};
use quorate_types::operation::EntityId;

use crate::sparse::{Finding, SparsePath};
use crate::{EpochInfo, ProofFault};

/// An entity's name in a proof is never longer than any genesis allows.
const MAX_NAME_BYTES: usize = 4 << 10;

/// No entity's record is larger, whatever a genesis allows.
const MAX_RECORD_BYTES: usize = 64 << 20;

/// All that it takes to convince someone of an entity's value, or of its absence. Unverified until
/// [`StateProof::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateProof {
    /// The entity.
    pub entity: EntityId,
    /// Its record as the state holds it; `None` if it doesn't exist.
    pub record: Option<Vec<u8>>,
    /// The path in the state tree.
    pub path: SparsePath,
    /// A quorum's votes for the tree's root.
    pub certificate: ExecutionCertificate,
}

/// What an entity was, as a quorum of validators stands for it. Made only by [`StateProof::verify`].
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedState {
    name: EntityId,
    entity: Option<Entity>,
    execution: Execution,
}

impl StateProof {
    /// Checks that a quorum of `epoch` signed a state in which the entity has this record, or none.
    ///
    /// # Errors
    /// What doesn't hold.
    pub fn verify(&self, epoch: &EpochInfo) -> Result<VerifiedState, ProofFault> {
        let Self { entity: name, record, path, certificate } = self;
        let root = certificate.execution.state_root;
        let key = sha256(&[&entity::state_key(name)]);
        let entity = match (path.prove(&key, root), record) {
            (None, _) => return Err(ProofFault::NotUnderStateRoot { root }),
            (Some(Finding::Absent), None) => None,
            (Some(Finding::Present(digest)), Some(record)) if sha256(&[record]) == digest => {
                Some(Entity::from_bytes(record).map_err(ProofFault::Record)?)
            }
            (Some(_), _) => return Err(ProofFault::OtherRecord),
        };
        epoch.verify_execution(certificate)?;
        Ok(VerifiedState { name: name.clone(), entity, execution: certificate.execution })
    }
}

impl VerifiedState {
    /// The entity's name.
    #[must_use]
    pub const fn name(&self) -> &EntityId {
        &self.name
    }

    /// The entity; `None` if it did not exist.
    #[must_use]
    pub const fn entity(&self) -> Option<&Entity> {
        self.entity.as_ref()
    }

    /// The execution after which this was so.
    #[must_use]
    pub const fn execution(&self) -> &Execution {
        &self.execution
    }

    /// The entity, for keeping.
    #[must_use]
    pub fn into_entity(self) -> Option<Entity> {
        self.entity
    }
}

impl Canonical for StateProof {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_bytes(self.entity.kind.as_bytes(), out);
        encode_bytes(self.entity.id.as_bytes(), out);
        self.record.is_some().encode(out);
        if let Some(record) = &self.record {
            encode_bytes(record, out);
        }
        self.path.encode(out);
        self.certificate.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let entity = EntityId::new(&name(input, "kind")?, &name(input, "id")?);
        let record = match bool::decode(input)? {
            true => Some(input.bytes(MAX_RECORD_BYTES, "record of an entity")?.to_vec()),
            false => None,
        };
        let (path, certificate) = (SparsePath::decode(input)?, ExecutionCertificate::decode(input)?);
        Ok(Self { entity, record, path, certificate })
    }
}

fn name(input: &mut Reader<'_>, what: &'static str) -> Result<String, DecodeError> {
    let bytes = input.bytes(MAX_NAME_BYTES, what)?.to_vec();
    let text = String::from_utf8(bytes).map_err(|_| DecodeError::Malformed { what, rule: "must be UTF-8" })?;
    // A zero byte in a kind's name would let the border between kind and id move.
    if what == "kind" && text.contains('\0') {
        return Err(DecodeError::Malformed { what, rule: "must hold no zero byte" });
    }
    Ok(text)
}
