//! Why a genesis file is refused: always with the place, what is there and what may be.

use quorate_crypto::WeakKey;

use crate::ids::ClusterId;
use crate::parameters::ParameterFault;

/// Why a genesis file is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GenesisError {
    /// The file isn't UTF-8.
    #[error("the genesis file is not UTF-8 text")]
    NotText,
    /// The file isn't TOML, or a field has another type than it must.
    #[error("the genesis file: {0}")]
    Toml(#[from] toml::de::Error),
    /// A field that doesn't exist.
    #[error("{path} is not a known field{}", meant(.nearest.as_deref()))]
    UnknownField {
        /// Where it stands.
        path: String,
        /// The known field nearest to it.
        nearest: Option<String>,
    },
    /// A value that must be one of a list.
    #[error("{field} is {value:?}; allowed is {allowed}")]
    UnknownValue {
        /// The field.
        field: String,
        /// Its value.
        value: String,
        /// The values allowed.
        allowed: &'static str,
    },
    /// A value that a later version will have.
    #[error("{field}: {value} comes with a later version of Quorate; this one has {present}")]
    Later {
        /// The field.
        field: String,
        /// Its value, or what it asks for.
        value: String,
        /// What this version has.
        present: &'static str,
    },
    /// A kind's schema isn't one.
    #[error("{field}: {fault}")]
    Schema {
        /// The field.
        field: String,
        /// What is wrong with it.
        fault: String,
    },
    /// A parameter out of range.
    #[error(transparent)]
    Parameter(#[from] ParameterFault),
    /// Another number out of range.
    #[error("{field} is {value}; allowed is {low} to {high}: {because}")]
    OutOfRange {
        /// The field.
        field: String,
        /// Its value.
        value: i64,
        /// The lowest value allowed.
        low: i64,
        /// The highest value allowed.
        high: i64,
        /// Why.
        because: &'static str,
    },
    /// A parameter that isn't a whole number.
    #[error("parameters.{name} is {found}; it must be a whole number")]
    NotANumber {
        /// The parameter.
        name: String,
        /// The type found.
        found: &'static str,
    },
    /// A name that breaks the rule for names.
    #[error("{field} is {value:?}; a name has 1 to 64 lower-case letters, digits, '-' and '_', a letter first")]
    Name {
        /// The field.
        field: String,
        /// Its value.
        value: String,
    },
    /// An address that isn't one.
    #[error("{field} is {value:?}; an address is host:port, such as 10.0.0.1:7001 or one.example.org:7001")]
    Address {
        /// The field.
        field: String,
        /// Its value.
        value: String,
    },
    /// A key that must not enter a validator set or sign for the administrators.
    #[error("{field}: {fault}")]
    Key {
        /// The field.
        field: String,
        /// What is wrong with it.
        fault: WeakKey,
    },
    /// Two fields that must differ are equal.
    #[error("{second} is the same as {first}; {rule}")]
    Duplicate {
        /// The first.
        first: String,
        /// The second.
        second: String,
        /// Why they must differ.
        rule: &'static str,
    },
    /// A field that goes with other types of entities only.
    #[error("{field} is for kinds of type \"account\" only")]
    NotAnAccount {
        /// The field.
        field: String,
    },
    /// The file makes another cluster than the one expected.
    #[error(
        "this genesis file makes cluster {found}, expected is {expected}. The cluster's id is the SHA-256 of the \
         file's bytes: the file was edited, or it is another cluster's. Restore the file exactly as it was made"
    )]
    OtherCluster {
        /// The cluster that the store, peer or user named.
        expected: ClusterId,
        /// The cluster that the file makes.
        found: ClusterId,
    },
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}
