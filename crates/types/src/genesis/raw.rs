//! The genesis file as it stands in TOML, before anything is checked.

use quorate_crypto::{Digest, PublicKey};
use serde::Deserialize;
use toml::{Table, Value};

use super::fault::GenesisError;
use super::names::nearest;
use crate::parameters::Parameters;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGenesis {
    pub(super) version: i64,
    pub(super) name: String,
    pub(super) administrators: RawAdministrators,
    #[serde(default)]
    pub(super) parameters: Table,
    #[serde(default)]
    pub(super) validators: Vec<RawValidator>,
    #[serde(default)]
    pub(super) kinds: Vec<RawKind>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAdministrators {
    pub(super) threshold: i64,
    pub(super) keys: Vec<PublicKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawValidator {
    pub(super) name: String,
    pub(super) consensus_key: PublicKey,
    pub(super) network_key: PublicKey,
    pub(super) incarnation: Digest,
    pub(super) peer_address: String,
    pub(super) client_address: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawKind {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) entity_type: String,
    /// Strong is what this version has.
    #[serde(default = "strong")]
    pub(super) consistency: String,
    /// Accounts don't fall below zero unless that is asked for.
    pub(super) overdraft: Option<bool>,
    pub(super) schema: Option<Value>,
    pub(super) access: RawAccess,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAccess {
    pub(super) create: RawRight,
    pub(super) write: RawRight,
    /// What everyone's signature stands under is mostly meant to be read.
    #[serde(default = "anyone")]
    pub(super) read: RawRight,
    /// Nobody mints unless named.
    #[serde(default = "nobody")]
    pub(super) administer: RawRight,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum RawRight {
    Word(String),
    Keys(Vec<PublicKey>),
}

fn strong() -> String {
    "strong".to_owned()
}

fn anyone() -> RawRight {
    RawRight::Word("anyone".to_owned())
}

const fn nobody() -> RawRight {
    RawRight::Keys(Vec::new())
}

const TOP: &[&str] = &["version", "name", "administrators", "parameters", "validators", "kinds"];
const ADMINISTRATORS: &[&str] = &["threshold", "keys"];
const VALIDATOR: &[&str] = &["name", "consensus_key", "network_key", "incarnation", "peer_address", "client_address"];
const KIND: &[&str] = &["name", "type", "consistency", "overdraft", "schema", "access"];
const ACCESS: &[&str] = &["create", "write", "read", "administer"];

/// Reads the file's text; unknown fields are found first, so that they are named with their neighbour.
pub(super) fn read(text: &str) -> Result<RawGenesis, GenesisError> {
    let table: Table = text.parse()?;
    admit_names(&table, "", TOP)?;
    inside(&table, "", "administrators", ADMINISTRATORS)?;
    inside(&table, "", "validators", VALIDATOR)?;
    inside(&table, "", "kinds", KIND)?;
    for (path, kind) in members(&table, "", "kinds") {
        inside(kind, &path, "access", ACCESS)?;
    }
    let parameters: Vec<&str> = Parameters::TABLE.iter().map(|info| info.name).collect();
    inside(&table, "", "parameters", &parameters)?;
    // From the text again: so that an error of a type shows the line.
    Ok(toml::from_str(text)?)
}

/// Reads a kind that stands by itself in a file, with the fields that it has in a genesis.
pub(super) fn read_kind(text: &str) -> Result<RawKind, GenesisError> {
    let table: Table = text.parse()?;
    admit_names(&table, "", KIND)?;
    inside(&table, "", "access", ACCESS)?;
    Ok(toml::from_str(text)?)
}

/// Checks the names in the table or the array of tables at `field`.
fn inside(table: &Table, above: &str, field: &str, known: &[&str]) -> Result<(), GenesisError> {
    members(table, above, field).into_iter().try_for_each(|(path, inner)| admit_names(inner, &path, known))
}

/// The table at `field`, or the tables in the array there, with their paths; other types are refused
/// where they are read.
fn members<'a>(table: &'a Table, above: &str, field: &str) -> Vec<(String, &'a Table)> {
    match table.get(field) {
        Some(Value::Table(inner)) => vec![(join(above, field), inner)],
        Some(Value::Array(items)) => {
            let tables = items.iter().enumerate().filter_map(|(index, item)| Some((index, item.as_table()?)));
            tables.map(|(index, inner)| (format!("{}[{index}]", join(above, field)), inner)).collect()
        }
        _ => Vec::new(),
    }
}

fn admit_names(table: &Table, path: &str, known: &[&str]) -> Result<(), GenesisError> {
    match table.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(GenesisError::UnknownField {
            path: join(path, name),
            nearest: nearest(name, known.iter().copied()).map(str::to_owned),
        }),
    }
}

fn join(above: &str, field: &str) -> String {
    if above.is_empty() { field.to_owned() } else { format!("{above}.{field}") }
}
