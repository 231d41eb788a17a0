//! From the raw file to the types used: every rule that a genesis must keep.

use std::collections::BTreeMap;

use quorate_crypto::{PublicKey, admit_validator_key};
use toml::{Table, Value};

use super::fault::GenesisError;
use super::raw::{RawAccess, RawAdministrators, RawGenesis, RawKind, RawRight, RawValidator};
use super::{Administrators, GenesisContent, GenesisValidator, MAX_KINDS, VERSION};
use crate::kind::{Access, Consistency, EntityType, Kind, Right};
use crate::limits::MAX_VALIDATORS;
use crate::operation::{MAX_KIND_BYTES, is_kind_name};
use crate::parameters::Parameters;
use crate::schema::Schema;
use crate::set::ValidatorInfo;

type Checked<T> = Result<T, GenesisError>;

pub(super) fn check(raw: RawGenesis) -> Checked<GenesisContent> {
    let only = "this program reads one version of the file";
    in_range("version", raw.version, VERSION, VERSION, only)?;
    let mut keys = Distinct::new("every key has one owner and one purpose");
    let content = GenesisContent {
        name: name("name", raw.name)?,
        validators: validators(raw.validators, &mut keys)?,
        administrators: administrators(&raw.administrators, &mut keys)?,
        parameters: parameters(&raw.parameters)?,
        kinds: kinds(raw.kinds)?,
    };
    let (found, least) = (count(content.validators.len()), i64::from(content.parameters.min_validators));
    in_range("the number of validators", found, least, count(MAX_VALIDATORS), "parameters.min_validators demands it")?;
    Ok(content)
}

/// Values seen so far with the fields that hold them.
struct Distinct<T> {
    seen: BTreeMap<T, String>,
    rule: &'static str,
}

impl<T: Ord> Distinct<T> {
    const fn new(rule: &'static str) -> Self {
        Self { seen: BTreeMap::new(), rule }
    }

    fn admit(&mut self, value: T, field: String) -> Checked<()> {
        match self.seen.get(&value) {
            Some(first) => {
                let (first, rule) = (first.clone(), self.rule);
                Err(GenesisError::Duplicate { first, second: field, rule })
            }
            None => {
                self.seen.insert(value, field);
                Ok(())
            }
        }
    }
}

fn validators(raw: Vec<RawValidator>, keys: &mut Distinct<PublicKey>) -> Checked<Vec<GenesisValidator>> {
    in_range("the number of validators", count(raw.len()), 1, count(MAX_VALIDATORS), "a cluster needs one")?;
    let mut names = Distinct::new("names tell validators apart");
    let mut stores = Distinct::new("every store has an incarnation nonce of its own (protocol §7.4)");
    let mut addresses = Distinct::new("every validator listens on an address of its own");
    let mut validators = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let field = |name: &str| format!("validators[{index}].{name}");
        names.admit(raw.name.clone(), field("name"))?;
        stores.admit(raw.incarnation, field("incarnation"))?;
        addresses.admit(raw.peer_address.clone(), field("peer_address"))?;
        admit_key(&raw.consensus_key, field("consensus_key"), keys)?;
        admit_key(&raw.network_key, field("network_key"), keys)?;
        let client_address = raw.client_address.map(|value| address(field("client_address"), value)).transpose()?;
        let info = ValidatorInfo {
            name: name(&field("name"), raw.name)?,
            consensus_key: raw.consensus_key,
            network_key: raw.network_key,
            incarnation: *raw.incarnation.as_bytes(),
            peer_address: address(field("peer_address"), raw.peer_address)?,
        };
        validators.push(GenesisValidator { info, client_address });
    }
    Ok(validators)
}

fn administrators(raw: &RawAdministrators, keys: &mut Distinct<PublicKey>) -> Checked<Administrators> {
    let owners = count(raw.keys.len());
    in_range("the number of administrators.keys", owners, 1, 64, "somebody must be able to change the cluster")?;
    let needed = "so many administrators must approve a change";
    in_range("administrators.threshold", raw.threshold, 1, owners, needed)?;
    for (index, key) in raw.keys.iter().enumerate() {
        admit_key(key, format!("administrators.keys[{index}]"), keys)?;
    }
    let threshold = usize::try_from(raw.threshold).unwrap_or(usize::MAX);
    Ok(Administrators { threshold, keys: raw.keys.clone() })
}

fn admit_key(key: &PublicKey, field: String, keys: &mut Distinct<PublicKey>) -> Checked<()> {
    match admit_validator_key(key) {
        Ok(()) => keys.admit(*key, field),
        Err(fault) => Err(GenesisError::Key { field, fault }),
    }
}

fn parameters(raw: &Table) -> Checked<Parameters> {
    let mut parameters = Parameters::default();
    for (name, value) in raw {
        let Value::Integer(value) = value else {
            return Err(GenesisError::NotANumber { name: name.clone(), found: value.type_str() });
        };
        let Some(parameter) = parameters.named(name) else {
            return Err(GenesisError::UnknownField { path: format!("parameters.{name}"), nearest: None });
        };
        *parameter = u32::try_from(*value).map_err(|_| beyond(name, *value))?;
    }
    parameters.check()?;
    Ok(parameters)
}

/// A number that doesn't even fit the type is out of the parameter's range, too.
fn beyond(name: &str, value: i64) -> GenesisError {
    let info = Parameters::TABLE.iter().find(|info| info.name == name);
    let (low, high, because) = info.map_or((0, u32::MAX, ""), |info| (info.low, info.high, info.reason));
    let field = format!("parameters.{name}");
    GenesisError::OutOfRange { field, value, low: low.into(), high: high.into(), because }
}

fn kinds(raw: Vec<RawKind>) -> Checked<Vec<Kind>> {
    let because = "without a kind there is nothing to order";
    in_range("the number of kinds", count(raw.len()), 1, count(MAX_KINDS), because)?;
    let mut names = Distinct::new("names tell kinds apart");
    let mut kinds = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let field = |name: &str| format!("kinds[{index}].{name}");
        names.admit(raw.name.clone(), field("name"))?;
        kinds.push(kind(raw, &field)?);
    }
    Ok(kinds)
}

/// One kind; `field` says where its fields stand.
pub(super) fn kind(raw: RawKind, field: &impl Fn(&str) -> String) -> Checked<Kind> {
    let entity_type = entity_type(&raw, field)?;
    Ok(Kind {
        consistency: consistency(&raw, field("consistency"))?,
        entity_type,
        schema: raw.schema.map(|schema| self::schema(schema, entity_type, field)).transpose()?,
        access: access(raw.access, &field("access"))?,
        name: name(&field("name"), raw.name)?,
    })
}

fn consistency(raw: &RawKind, field: String) -> Checked<Consistency> {
    match raw.consistency.as_str() {
        "strong" => Ok(Consistency::Strong),
        "causal" | "session" | "eventual" => {
            Err(GenesisError::Later { field, value: raw.consistency.clone(), present: "\"strong\"" })
        }
        other => Err(GenesisError::UnknownValue { field, value: other.to_owned(), allowed: "\"strong\"" }),
    }
}

fn entity_type(raw: &RawKind, field: &impl Fn(&str) -> String) -> Checked<EntityType> {
    const TYPES: &str = "\"document\", \"counter\", \"account\", \"register\", \"set\" and \"inventory\"";
    let value = raw.entity_type.clone();
    if value == "text" {
        return Err(GenesisError::Later { field: field("type"), value, present: TYPES });
    }
    let Some(found) = EntityType::named(&value, raw.overdraft.unwrap_or(false)) else {
        return Err(GenesisError::UnknownValue { field: field("type"), value, allowed: TYPES });
    };
    if raw.overdraft.is_some() && !matches!(found, EntityType::Account { .. }) {
        return Err(GenesisError::NotAnAccount { field: field("overdraft") });
    }
    Ok(found)
}

fn schema(raw: Value, entity_type: EntityType, field: &impl Fn(&str) -> String) -> Checked<Schema> {
    let field = field("schema");
    let fault = |fault: String| GenesisError::Schema { field: field.clone(), fault };
    if entity_type != EntityType::Document {
        return Err(fault("only a kind of documents has a schema".to_owned()));
    }
    let value = super::schema::from_toml(raw).ok_or_else(|| fault("it has neither floats nor dates".to_owned()))?;
    Schema::from_value(value).map_err(|error| fault(error.to_string()))
}

fn access(raw: RawAccess, field: &str) -> Checked<Access> {
    Ok(Access {
        create: right(raw.create, field, "create")?,
        write: right(raw.write, field, "write")?,
        read: right(raw.read, field, "read")?,
        administer: right(raw.administer, field, "administer")?,
    })
}

fn right(raw: RawRight, access: &str, name: &str) -> Checked<Right> {
    match raw {
        RawRight::Word(word) if word == "anyone" => Ok(Right::Anyone),
        RawRight::Word(value) => Err(GenesisError::UnknownValue {
            field: format!("{access}.{name}"),
            value,
            allowed: "\"anyone\" or a list of keys",
        }),
        RawRight::Keys(keys) => Ok(Right::Keys(keys.into_iter().collect())),
    }
}

fn name(field: &str, value: String) -> Checked<String> {
    if is_name(&value) { Ok(value) } else { Err(GenesisError::Name { field: field.to_owned(), value }) }
}

/// Whether it is a name: 1 to 64 lower-case letters, digits, `-` and `_`, a letter first.
pub(crate) fn is_name(value: &str) -> bool {
    is_kind_name(value) && value.len() <= MAX_KIND_BYTES
}

fn address(field: String, value: String) -> Checked<String> {
    if is_address(&value) { Ok(value) } else { Err(GenesisError::Address { field, value }) }
}

/// Whether it is `host:port`.
pub(crate) fn is_address(value: &str) -> bool {
    let parts = value.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
    let is_host = |host: &str| {
        let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let bracketed = inner.len() != host.len();
        !inner.is_empty()
            && inner.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-' || (bracketed && c == ':'))
    };
    matches!(parts, Some((host, Ok(1..))) if is_host(host))
}

fn in_range(field: &str, value: i64, low: i64, high: i64, because: &'static str) -> Checked<()> {
    if value < low || value > high {
        return Err(GenesisError::OutOfRange { field: field.to_owned(), value, low, high, because });
    }
    Ok(())
}

/// A count as the errors write it; none comes near the bound.
fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
