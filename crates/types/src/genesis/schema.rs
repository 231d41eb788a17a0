//! Schemas as they stand in the genesis file.

use crate::value::Value;

/// A TOML value as a schema has it; `None` for floats and dates, which no schema has.
pub(super) fn from_toml(value: toml::Value) -> Option<Value> {
    Some(match value {
        toml::Value::String(text) => Value::Text(text),
        toml::Value::Integer(number) => Value::Integer(number),
        toml::Value::Boolean(value) => Value::Boolean(value),
        toml::Value::Array(items) => Value::List(items.into_iter().map(from_toml).collect::<Option<_>>()?),
        toml::Value::Table(entries) => {
            let entries = entries.into_iter().map(|(name, value)| Some((name, from_toml(value)?)));
            Value::Map(entries.collect::<Option<_>>()?)
        }
        toml::Value::Float(_) | toml::Value::Datetime(_) => return None,
    })
}

/// The inverse. A schema holds none of the values that TOML doesn't have.
pub(super) fn to_toml(value: &Value) -> toml::Value {
    match value {
        Value::Integer(number) => toml::Value::Integer(*number),
        Value::Boolean(value) => toml::Value::Boolean(*value),
        Value::List(items) => toml::Value::Array(items.iter().map(to_toml).collect()),
        Value::Map(entries) => {
            toml::Value::Table(entries.iter().map(|(name, value)| (name.clone(), to_toml(value))).collect())
        }
        Value::Text(text) => toml::Value::String(text.clone()),
        Value::Null | Value::Decimal(_) | Value::Data(_) => toml::Value::String(String::new()),
    }
}
