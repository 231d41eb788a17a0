//! Between the domain's words and the protobuf messages, with the checks that need no limits.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message as _;
use quorate_crypto::{Digest, PublicKey};

use super::content::{Change, Condition, EntityId, Guard, HybridTime, Mutation, OperationContent, Path};
use super::fault::{Limited, NameRule, OperationFault};
use super::trail::Trail;
use super::{system, wire};
use crate::ids::{BlockTime, ClusterId, OperationId};
use crate::pb;
use crate::value::{Decimal, MAX_DEPTH, Value};

pub(super) type Checked<T> = Result<T, OperationFault>;

/// The content of a body in canonical form.
pub(super) fn decode(body: &Bytes) -> Checked<OperationContent> {
    let message = pb::OperationBody::decode(body.clone()).map_err(|_| wire::locate(body))?;
    if message.encode_to_vec() != body[..] {
        return Err(wire::locate(body));
    }
    read_content(message)
}

/// The canonical body of a content.
pub(super) fn encode(content: &OperationContent) -> Bytes {
    let message = pb::OperationBody {
        cluster: bytes_of(&content.cluster.0),
        author: bytes_of(&content.author),
        nonce: content.nonce,
        parents: content.parents.iter().map(|parent| bytes_of(&parent.0)).collect(),
        timestamp_ms: content.timestamp.ms,
        timestamp_counter: content.timestamp.counter,
        expires_at: content.expires_at.0,
        guards: content.guards.iter().map(write_guard).collect(),
        mutations: content.mutations.iter().map(write_mutation).collect(),
        system: content.system.as_ref().map(system::write),
    };
    message.encode_to_vec().into()
}

pub(super) fn bytes_of(fixed: &impl AsRef<[u8]>) -> Bytes {
    Bytes::copy_from_slice(fixed.as_ref())
}

fn read_content(message: pb::OperationBody) -> Checked<OperationContent> {
    let top = &Trail::BODY;
    let cluster = ClusterId(Digest::new(fixed(&message.cluster, &top.field("cluster"))?));
    let author = PublicKey::from_bytes(fixed(&message.author, &top.field("author"))?);
    if message.expires_at == 0 {
        return Err(missing(&top.field("expires_at")));
    }
    if message.system.is_some() && !(message.guards.is_empty() && message.mutations.is_empty()) {
        return Err(OperationFault::NotAlone);
    }
    if message.mutations.is_empty() && message.system.is_none() {
        return Err(missing(&top.field("mutations")));
    }
    let guards = message.guards.into_iter().enumerate();
    let mutations = message.mutations.into_iter().enumerate();
    Ok(OperationContent {
        cluster,
        author,
        nonce: message.nonce,
        parents: read_parents(&message.parents)?,
        timestamp: HybridTime { ms: message.timestamp_ms, counter: message.timestamp_counter },
        expires_at: BlockTime(message.expires_at),
        guards: guards.map(|(index, guard)| read_guard(guard, &top.item("guards", index))).collect::<Checked<_>>()?,
        mutations: mutations
            .map(|(index, mutation)| read_mutation(mutation, &top.item("mutations", index)))
            .collect::<Checked<_>>()?,
        system: message.system.map(|change| system::read(change, &top.field("system"))).transpose()?,
    })
}

fn read_parents(parents: &[Bytes]) -> Checked<Vec<OperationId>> {
    let mut seen = BTreeSet::new();
    let mut ids = Vec::with_capacity(parents.len());
    for (index, parent) in parents.iter().enumerate() {
        let parent = Digest::new(fixed(parent, &Trail::BODY.item("parents", index))?);
        if !seen.insert(parent) {
            return Err(OperationFault::RepeatedParent { index, parent });
        }
        ids.push(OperationId(parent));
    }
    Ok(ids)
}

fn read_guard(guard: pb::Guard, at: &Trail<'_>) -> Checked<Guard> {
    use pb::guard::Condition as Wire;
    let entity = read_entity(guard.kind, guard.id, at)?;
    let condition = match guard.condition.ok_or_else(|| missing(&at.field("condition")))? {
        Wire::Exists(_) => Condition::Exists,
        Wire::Absent(_) => Condition::Absent,
        Wire::Version(wanted) => Condition::Version(wanted.version),
        Wire::Value(wanted) => Condition::ValueAt {
            path: Path(wanted.path),
            value: read_value(wanted.value, &at.field("value").field("value"))?,
        },
        Wire::Last(wanted) => {
            let id = fixed(&wanted.operation, &at.field("last").field("operation"))?;
            Condition::Last(OperationId(Digest::new(id)))
        }
        Wire::Contains(wanted) => Condition::Contains(read_value(wanted.value, &at.field("contains").field("value"))?),
        Wire::Lacks(wanted) => Condition::Lacks(read_value(wanted.value, &at.field("lacks").field("value"))?),
    };
    Ok(Guard { entity, condition })
}

fn read_mutation(mutation: pb::Mutation, at: &Trail<'_>) -> Checked<Mutation> {
    use pb::mutation::Change as Wire;
    let entity = read_entity(mutation.kind, mutation.id, at)?;
    let value = |value, name| read_value(value, &at.field(name).field("value"));
    let path = |path, name| read_path(path, &at.field(name).field("path"));
    let amount = |amount, name| read_amount(amount, &at.field(name).field("amount"));
    let change = match mutation.change.ok_or_else(|| missing(&at.field("change")))? {
        Wire::Create(create) if create.value.is_none() => Change::Create { value: None },
        Wire::Create(create) => Change::Create { value: Some(value(create.value, "create")?) },
        Wire::Put(put) => Change::Put { value: value(put.value, "put")? },
        Wire::Delete(_) => Change::Delete,
        Wire::Set(set) => Change::Set { path: path(set.path, "set")?, value: value(set.value, "set")? },
        Wire::Unset(unset) => Change::Unset { path: path(unset.path, "unset")? },
        Wire::Increment(add) => Change::Increment { path: path(add.path, "increment")?, by: add.by },
        Wire::Push(push) => Change::Push { path: path(push.path, "push")?, value: value(push.value, "push")? },
        Wire::Pull(pull) => Change::Pull { path: path(pull.path, "pull")?, value: value(pull.value, "pull")? },
        Wire::Add(add) => Change::Add { by: add.by },
        Wire::Transfer(transfer) => Change::Transfer {
            to: read_id(transfer.to, &at.field("transfer").field("to"))?,
            amount: amount(transfer.amount, "transfer")?,
        },
        Wire::Mint(mint) => Change::Mint { amount: amount(mint.amount, "mint")? },
        Wire::Burn(burn) => Change::Burn { amount: amount(burn.amount, "burn")? },
        Wire::Insert(insert) => Change::Insert { value: value(insert.value, "insert")? },
        Wire::Remove(remove) => Change::Remove { value: value(remove.value, "remove")? },
        Wire::Restock(restock) => Change::Restock { amount: amount(restock.amount, "restock")? },
        Wire::Reserve(reserve) => Change::Reserve { amount: amount(reserve.amount, "reserve")? },
        Wire::Release(release) => Change::Release { amount: amount(release.amount, "release")? },
        Wire::Take(take) => Change::Take { amount: amount(take.amount, "take")? },
    };
    Ok(Mutation { entity, change })
}

fn read_entity(kind: String, id: String, at: &Trail<'_>) -> Checked<EntityId> {
    if !is_kind_name(&kind) {
        return Err(OperationFault::Name { field: at.field("kind").path(), rule: NameRule::Kind });
    }
    Ok(EntityId { kind, id: read_id(id, &at.field("id"))? })
}

/// Whether `name` has the form of a kind's name; its length is a limit, not a form.
pub(crate) fn is_kind_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    name.bytes().next().is_some_and(|first| first.is_ascii_lowercase()) && name.bytes().all(allowed)
}

fn read_id(id: String, at: &Trail<'_>) -> Checked<String> {
    let broken = if id.is_empty() {
        Some(NameRule::Empty)
    } else {
        id.chars().any(char::is_control).then_some(NameRule::Control)
    };
    match broken {
        Some(rule) => Err(OperationFault::Name { field: at.path(), rule }),
        None => Ok(id),
    }
}

fn read_path(path: Vec<String>, at: &Trail<'_>) -> Checked<Path> {
    if path.is_empty() { Err(missing(at)) } else { Ok(Path(path)) }
}

fn read_amount(amount: u64, at: &Trail<'_>) -> Checked<u64> {
    if amount == 0 { Err(missing(at)) } else { Ok(amount) }
}

pub(super) fn read_value(value: Option<pb::Value>, at: &Trail<'_>) -> Checked<Value> {
    read_node(value.ok_or_else(|| missing(at))?, at, MAX_DEPTH)
}

fn read_node(node: pb::Value, at: &Trail<'_>, levels: usize) -> Checked<Value> {
    use pb::value::Value as Wire;
    let below = levels.checked_sub(1).ok_or(OperationFault::Limit {
        what: Limited::ValueLevels,
        value: MAX_DEPTH + 1,
        limit: MAX_DEPTH,
    })?;
    let wire = node.value.ok_or_else(|| missing(&at.field("value")))?;
    let fits = match wire {
        Wire::List(_) => node.keys.is_empty(),
        Wire::Map(_) => node.keys.len() == node.items.len(),
        _ => node.keys.is_empty() && node.items.is_empty(),
    };
    if !fits {
        let (keys, items) = (node.keys.len(), node.items.len());
        return Err(OperationFault::Members { field: at.path(), keys, items });
    }
    Ok(match wire {
        Wire::Null(_) => Value::Null,
        Wire::Boolean(value) => Value::Boolean(value),
        Wire::Integer(value) => Value::Integer(value),
        Wire::Decimal(decimal) => {
            let decimal = Decimal::new(&decimal.digits, decimal.scale);
            Value::Decimal(decimal.map_err(|fault| OperationFault::Decimal { field: at.path(), fault })?)
        }
        Wire::Text(text) => Value::Text(text),
        Wire::Data(data) => Value::Data(data.to_vec()),
        Wire::List(_) => Value::List(read_items(node.items, at, below)?),
        Wire::Map(_) => Value::Map(read_entries(node.keys, node.items, at, below)?),
    })
}

fn read_items(items: Vec<pb::Value>, at: &Trail<'_>, levels: usize) -> Checked<Vec<Value>> {
    let items = items.into_iter().enumerate();
    items.map(|(index, item)| read_node(item, &at.item("items", index), levels)).collect()
}

fn read_entries(
    keys: Vec<String>,
    items: Vec<pb::Value>,
    at: &Trail<'_>,
    levels: usize,
) -> Checked<BTreeMap<String, Value>> {
    if let Some(index) = keys.windows(2).position(|pair| pair[0] >= pair[1]) {
        return Err(OperationFault::MapKeys { field: at.path(), index: index + 1 });
    }
    let items = read_items(items, at, levels)?;
    Ok(keys.into_iter().zip(items).collect())
}

pub(super) fn fixed<const N: usize>(bytes: &Bytes, at: &Trail<'_>) -> Checked<[u8; N]> {
    let found = bytes.len();
    bytes[..].try_into().map_err(|_| OperationFault::Length { field: at.path(), expected: N, found })
}

pub(super) fn missing(at: &Trail<'_>) -> OperationFault {
    OperationFault::Missing { field: at.path() }
}

fn write_guard(guard: &Guard) -> pb::Guard {
    use pb::guard::Condition as Wire;
    let condition = match &guard.condition {
        Condition::Exists => Wire::Exists(pb::Exists {}),
        Condition::Absent => Wire::Absent(pb::Absent {}),
        Condition::Version(version) => Wire::Version(pb::VersionIs { version: *version }),
        Condition::ValueAt { path, value } => {
            Wire::Value(pb::ValueIs { path: path.0.clone(), value: Some(write_value(value)) })
        }
        Condition::Last(operation) => Wire::Last(pb::LastIs { operation: bytes_of(&operation.0) }),
        Condition::Contains(value) => Wire::Contains(pb::Contains { value: Some(write_value(value)) }),
        Condition::Lacks(value) => Wire::Lacks(pb::Lacks { value: Some(write_value(value)) }),
    };
    let EntityId { kind, id } = guard.entity.clone();
    pb::Guard { kind, id, condition: Some(condition) }
}

fn write_mutation(mutation: &Mutation) -> pb::Mutation {
    use pb::mutation::Change as Wire;
    let some = |value| Some(write_value(value));
    let change = match &mutation.change {
        Change::Create { value } => Wire::Create(pb::Create { value: value.as_ref().map(write_value) }),
        Change::Put { value } => Wire::Put(pb::Put { value: some(value) }),
        Change::Delete => Wire::Delete(pb::Delete {}),
        Change::Set { path, value } => Wire::Set(pb::Set { path: path.0.clone(), value: some(value) }),
        Change::Unset { path } => Wire::Unset(pb::Unset { path: path.0.clone() }),
        Change::Increment { path, by } => Wire::Increment(pb::Increment { path: path.0.clone(), by: *by }),
        Change::Push { path, value } => Wire::Push(pb::Push { path: path.0.clone(), value: some(value) }),
        Change::Pull { path, value } => Wire::Pull(pb::Pull { path: path.0.clone(), value: some(value) }),
        Change::Add { by } => Wire::Add(pb::Add { by: *by }),
        Change::Transfer { to, amount } => Wire::Transfer(pb::Transfer { to: to.clone(), amount: *amount }),
        Change::Mint { amount } => Wire::Mint(pb::Mint { amount: *amount }),
        Change::Burn { amount } => Wire::Burn(pb::Burn { amount: *amount }),
        Change::Insert { value } => Wire::Insert(pb::Insert { value: some(value) }),
        Change::Remove { value } => Wire::Remove(pb::Remove { value: some(value) }),
        Change::Restock { amount } => Wire::Restock(pb::Restock { amount: *amount }),
        Change::Reserve { amount } => Wire::Reserve(pb::Reserve { amount: *amount }),
        Change::Release { amount } => Wire::Release(pb::Release { amount: *amount }),
        Change::Take { amount } => Wire::Take(pb::Take { amount: *amount }),
    };
    let EntityId { kind, id } = mutation.entity.clone();
    pb::Mutation { kind, id, change: Some(change) }
}

pub(super) fn write_value(value: &Value) -> pb::Value {
    use pb::value::Value as Wire;
    let (mut keys, mut items) = (Vec::new(), Vec::new());
    let wire = match value {
        Value::Null => Wire::Null(pb::Null {}),
        Value::Boolean(value) => Wire::Boolean(*value),
        Value::Integer(value) => Wire::Integer(*value),
        Value::Decimal(decimal) => {
            Wire::Decimal(pb::Decimal { digits: decimal.digits().to_owned(), scale: u32::from(decimal.scale()) })
        }
        Value::Text(text) => Wire::Text(text.clone()),
        Value::Data(data) => Wire::Data(Bytes::copy_from_slice(data)),
        Value::List(members) => {
            items = members.iter().map(write_value).collect();
            Wire::List(pb::List {})
        }
        Value::Map(entries) => {
            keys = entries.keys().cloned().collect();
            items = entries.values().map(write_value).collect();
            Wire::Map(pb::Map {})
        }
    };
    pb::Value { value: Some(wire), keys, items }
}
