//! What a system operation does: a change of the cluster itself (data-model §2.5).
//!
//! It stands alone in its operation. Here is its form; who may do it, and whether it can be done, is judged when it
//! executes.

use std::collections::BTreeSet;

use bytes::Bytes;
use quorate_crypto::PublicKey;

use super::content::MAX_KIND_BYTES;
use super::convert::{Checked, bytes_of, fixed, is_kind_name, missing, read_value, write_value};
use super::fault::{Limited, NameRule, OperationFault};
use super::membership::{self, Ready, Rejoin};
use super::trail::Trail;
use crate::epoch::SetChange;
use crate::ids::OperationId;
use crate::kind::{Access, Consistency, EntityType, Kind, MAX_RIGHT_KEYS, Right};
use crate::pb;
use crate::schema::Schema;

/// A change of the cluster itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SystemChange {
    /// Declares a kind of entities, for ever. For administrators.
    DefineKind(Box<Kind>),
    /// Proposes changes of the validator set or the parameters. For administrators.
    Propose(Vec<SetChange>),
    /// Approves a proposal, by the operation that made it. For administrators.
    Approve(OperationId),
    /// The author, a learner, has caught up.
    Ready(Ready),
    /// The author, a validator in quarantine, comes back.
    Rejoin(Rejoin),
    /// The author, a validator, shows evidence against another: the bytes of an [`crate::evidence::Evidence`], read and
    /// judged when the operation executes. Evidence may hold operations; read here, it would nest without a bound.
    Accuse(Bytes),
}

impl SystemChange {
    /// Its name, as in the documents and the command line.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::DefineKind(_) => "define-kind",
            Self::Propose(_) => "propose",
            Self::Approve(_) => "approve",
            Self::Ready(_) => "ready",
            Self::Rejoin(_) => "rejoin",
            Self::Accuse(_) => "accuse",
        }
    }

    /// Whether it is a validator's own word: signed under a tag of its own, without a nonce, because it counts nonces
    /// nowhere (protocol §7.4, accountability §2.2).
    #[must_use]
    pub const fn is_own_word(&self) -> bool {
        matches!(self, Self::Ready(_) | Self::Rejoin(_) | Self::Accuse(_))
    }

    /// Whether others bundle it for a validator that bundles nothing itself: one on its way in, or back
    /// (protocol §7.4). Whatever else validators say goes into their own lanes.
    #[must_use]
    pub const fn is_bundled_by_others(&self) -> bool {
        matches!(self, Self::Ready(_) | Self::Rejoin(_))
    }

    /// Domain tag of the signature, if it isn't that of ordinary operations.
    pub(crate) const fn tag(&self) -> Option<&'static [u8]> {
        match self {
            Self::Ready(_) => Some(b"quorate/ready/v1"),
            Self::Rejoin(_) => Some(b"quorate/rejoin/v1"),
            Self::Accuse(_) => Some(b"quorate/accuse/v1"),
            _ => None,
        }
    }
}

pub(super) fn read(system: pb::SystemOperation, at: &Trail<'_>) -> Checked<SystemChange> {
    use pb::system_operation::Change as Wire;
    match system.change.ok_or_else(|| missing(&at.field("change")))? {
        Wire::DefineKind(kind) => Ok(SystemChange::DefineKind(Box::new(read_kind(kind, &at.field("define_kind"))?))),
        Wire::Propose(propose) => membership::read_propose(propose, &at.field("propose")).map(SystemChange::Propose),
        Wire::Approve(approve) => membership::read_approve(&approve, &at.field("approve")).map(SystemChange::Approve),
        Wire::Ready(ready) => membership::read_ready(&ready, &at.field("ready")).map(SystemChange::Ready),
        Wire::Rejoin(rejoin) => membership::read_rejoin(&rejoin, &at.field("rejoin")).map(SystemChange::Rejoin),
        Wire::Accuse(pb::Accuse { evidence }) if evidence.is_empty() => {
            Err(missing(&at.field("accuse").field("evidence")))
        }
        Wire::Accuse(pb::Accuse { evidence }) => Ok(SystemChange::Accuse(evidence)),
    }
}

pub(super) fn write(change: &SystemChange) -> pb::SystemOperation {
    use pb::system_operation::Change as Wire;
    let change = match change {
        SystemChange::DefineKind(kind) => Wire::DefineKind(write_kind(kind)),
        SystemChange::Propose(changes) => Wire::Propose(membership::write_propose(changes)),
        SystemChange::Approve(proposal) => Wire::Approve(membership::write_approve(proposal)),
        SystemChange::Ready(ready) => Wire::Ready(membership::write_ready(ready)),
        SystemChange::Rejoin(rejoin) => Wire::Rejoin(membership::write_rejoin(rejoin)),
        SystemChange::Accuse(evidence) => Wire::Accuse(pb::Accuse { evidence: evidence.clone() }),
    };
    pb::SystemOperation { change: Some(change) }
}

fn read_kind(kind: pb::DefineKind, at: &Trail<'_>) -> Checked<Kind> {
    if !is_kind_name(&kind.name) {
        return Err(OperationFault::Name { field: at.field("name").path(), rule: NameRule::Kind });
    }
    let (value, limit) = (kind.name.len(), MAX_KIND_BYTES);
    if value > limit {
        return Err(OperationFault::Limit { what: Limited::KindBytes, value, limit });
    }
    let unusable = |name: &str, rule| OperationFault::Unusable { field: at.field(name).path(), rule };
    let consistency = Consistency::named(&kind.consistency).ok_or_else(|| unusable("consistency", CONSISTENCIES))?;
    let entity_type = EntityType::named(&kind.r#type, kind.overdraft).ok_or_else(|| unusable("type", TYPES))?;
    if kind.overdraft && !matches!(entity_type, EntityType::Account { .. }) {
        return Err(unusable("overdraft", "is for kinds of accounts"));
    }
    if kind.schema.is_some() && entity_type != EntityType::Document {
        return Err(unusable("schema", "is for kinds of documents"));
    }
    let schema = kind.schema.map(|schema| read_schema(schema, &at.field("schema"))).transpose()?;
    let access = Access {
        create: read_right(kind.create, &at.field("create"))?,
        write: read_right(kind.write, &at.field("write"))?,
        read: read_right(kind.read, &at.field("read"))?,
        administer: read_right(kind.administer, &at.field("administer"))?,
    };
    Ok(Kind { name: kind.name, consistency, entity_type, schema, access })
}

const CONSISTENCIES: &str = "must be \"strong\"";
const TYPES: &str = "must be \"document\", \"register\", \"counter\", \"set\", \"account\" or \"inventory\"";

fn read_schema(schema: pb::Value, at: &Trail<'_>) -> Checked<Schema> {
    let value = read_value(Some(schema), at)?;
    Schema::from_value(value).map_err(|fault| OperationFault::Schema { field: at.path(), fault: Box::new(fault) })
}

fn read_right(right: Option<pb::Right>, at: &Trail<'_>) -> Checked<Right> {
    let pb::Right { anyone, keys } = right.ok_or_else(|| missing(at))?;
    let unusable = |rule| OperationFault::Unusable { field: at.path(), rule };
    if anyone {
        return if keys.is_empty() { Ok(Right::Anyone) } else { Err(unusable("names keys although anyone has it")) };
    }
    let (value, limit) = (keys.len(), MAX_RIGHT_KEYS);
    if value > limit {
        return Err(OperationFault::Limit { what: Limited::RightKeys, value, limit });
    }
    let named = keys.iter().enumerate();
    let named = named.map(|(index, key)| Ok(PublicKey::from_bytes(fixed(key, &at.item("keys", index))?)));
    let named: Vec<PublicKey> = named.collect::<Checked<_>>()?;
    if !named.is_sorted_by(|one, next| one < next) {
        return Err(unusable("must name its keys in ascending order, each once"));
    }
    Ok(Right::Keys(BTreeSet::from_iter(named)))
}

fn write_kind(kind: &Kind) -> pb::DefineKind {
    pb::DefineKind {
        name: kind.name.clone(),
        consistency: kind.consistency.name().to_owned(),
        r#type: kind.entity_type.name().to_owned(),
        overdraft: kind.entity_type == EntityType::Account { overdraft: true },
        schema: kind.schema.as_ref().map(|schema| write_value(schema.value())),
        create: Some(write_right(&kind.access.create)),
        write: Some(write_right(&kind.access.write)),
        read: Some(write_right(&kind.access.read)),
        administer: Some(write_right(&kind.access.administer)),
    }
}

fn write_right(right: &Right) -> pb::Right {
    match right {
        Right::Anyone => pb::Right { anyone: true, keys: Vec::new() },
        Right::Keys(keys) => pb::Right { anyone: false, keys: keys.iter().map(bytes_of).collect::<Vec<Bytes>>() },
    }
}
