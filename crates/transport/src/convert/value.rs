//! Values of documents, as in an operation's body.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_types::value::{Decimal, MAX_DEPTH, Value};

use super::FieldFault;
use crate::pb::operations::v1 as pb;
use crate::pb::operations::v1::value::Value as Kind;

/// A value for the wire.
#[must_use]
pub fn value_to_wire(value: &Value) -> pb::Value {
    let (mut keys, mut items) = (Vec::new(), Vec::new());
    let kind = match value {
        Value::Null => Kind::Null(pb::Null {}),
        Value::Boolean(value) => Kind::Boolean(*value),
        Value::Integer(value) => Kind::Integer(*value),
        Value::Decimal(value) => {
            Kind::Decimal(pb::Decimal { digits: value.digits().to_owned(), scale: u32::from(value.scale()) })
        }
        Value::Text(text) => Kind::Text(text.clone()),
        Value::Data(data) => Kind::Data(Bytes::copy_from_slice(data)),
        Value::List(members) => {
            items = members.iter().map(value_to_wire).collect();
            Kind::List(pb::List {})
        }
        Value::Map(entries) => {
            keys = entries.keys().cloned().collect();
            items = entries.values().map(value_to_wire).collect();
            Kind::Map(pb::Map {})
        }
    };
    pb::Value { value: Some(kind), keys, items }
}

/// A value from the wire.
///
/// # Errors
/// If it isn't exactly one type, nested too deeply, or a map whose keys don't ascend.
pub fn value_from_wire(value: pb::Value) -> Result<Value, FieldFault> {
    read(value, MAX_DEPTH)
}

fn read(value: pb::Value, levels: usize) -> Result<Value, FieldFault> {
    let fault = |rule| FieldFault::Rule { field: "value", rule };
    let below = levels.checked_sub(1).ok_or(fault("is nested too deeply"))?;
    let pb::Value { value, keys, items } = value;
    let kind = value.ok_or(fault("has no type"))?;
    let is_compound = matches!(kind, Kind::List(_) | Kind::Map(_));
    let has_members = !keys.is_empty() || !items.is_empty();
    if has_members && !is_compound {
        return Err(fault("has members that do not fit its type"));
    }
    match kind {
        Kind::Null(_) => Ok(Value::Null),
        Kind::Boolean(value) => Ok(Value::Boolean(value)),
        Kind::Integer(value) => Ok(Value::Integer(value)),
        Kind::Decimal(decimal) => Decimal::new(&decimal.digits, decimal.scale)
            .map(Value::Decimal)
            .map_err(|_| fault("is a decimal that is not in its one notation")),
        Kind::Text(text) => Ok(Value::Text(text)),
        Kind::Data(data) => Ok(Value::Data(data.to_vec())),
        Kind::List(_) if !keys.is_empty() => Err(fault("is a list with keys")),
        Kind::List(_) => items.into_iter().map(|item| read(item, below)).collect::<Result<_, _>>().map(Value::List),
        Kind::Map(_) => {
            if keys.len() != items.len() || !keys.is_sorted_by(|a, b| a < b) {
                return Err(fault("is a map whose keys do not ascend or do not fit its items"));
            }
            let values = items.into_iter().map(|item| read(item, below)).collect::<Result<Vec<_>, _>>()?;
            Ok(Value::Map(keys.into_iter().zip(values).collect::<BTreeMap<_, _>>()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Value {
        let list = vec![
            Value::Null,
            Value::Boolean(false),
            Value::Integer(-3),
            Value::Decimal(Decimal::new("125", 2).unwrap()),
            Value::Text("für".to_owned()),
            Value::Data(vec![0, 255]),
        ];
        Value::Map([("a".to_owned(), Value::List(list)), (String::new(), Value::Map(BTreeMap::new()))].into())
    }

    #[test]
    fn every_type_survives_the_wire() {
        assert_eq!(value_from_wire(value_to_wire(&sample())), Ok(sample()));
    }

    #[test]
    fn what_is_not_exactly_one_value_is_refused() {
        let good = value_to_wire(&sample());
        let mut shuffled = good.clone();
        shuffled.keys.reverse();
        let mut short = good.clone();
        short.items.pop();
        let untyped = pb::Value { value: None, ..good.clone() };
        let scalar = pb::Value { value: Some(Kind::Boolean(true)), ..good.clone() };
        let list = pb::Value { value: Some(Kind::List(pb::List {})), ..good };
        for bad in [shuffled, short, untyped, scalar, list] {
            assert!(matches!(value_from_wire(bad), Err(FieldFault::Rule { .. })));
        }
    }

    #[test]
    fn a_value_of_64_levels_is_taken_and_one_of_65_is_not() {
        let nested = |levels: usize| (1..levels).fold(Value::Null, |inner, _| Value::List(vec![inner]));
        assert!(value_from_wire(value_to_wire(&nested(MAX_DEPTH))).is_ok());
        assert!(value_from_wire(value_to_wire(&nested(MAX_DEPTH + 1))).is_err());
    }
}
