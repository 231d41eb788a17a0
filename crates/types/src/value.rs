//! The values that documents are made of (data-model §2).
//!
//! There are no floats: a number is a 64-bit integer or a decimal with a stated scale. Two values are
//! equal when type and content are, so the integer 1, the decimal 1 and the decimal 1.0 all differ.
//!
//! The canonical bytes here are those of the state and of nothing else; inside an operation a value is
//! the protobuf message `Value`. Reading from either refuses more than [`MAX_DEPTH`] levels, so
//! recursion over a value is bounded everywhere.

use std::collections::BTreeMap;
use std::fmt;

use crate::codec::{Canonical, DecodeError, Reader, encode_bytes};

/// Levels of nesting in a value: a scalar has one, a list one more than its deepest member. A bound
/// of the format; the parameter `document_levels` may be lower.
pub const MAX_DEPTH: usize = 64;

/// Digits of a decimal, and places behind its point.
pub const MAX_DECIMAL_DIGITS: usize = 38;

/// A node of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing, but present.
    Null,
    /// True or false.
    Boolean(bool),
    /// A signed 64-bit integer.
    Integer(i64),
    /// An exact decimal number.
    Decimal(Decimal),
    /// UTF-8 text.
    Text(String),
    /// Bytes.
    Data(Vec<u8>),
    /// A list.
    List(Vec<Value>),
    /// A map; its keys are ordered by their bytes.
    Map(BTreeMap<String, Value>),
}

impl Value {
    /// The type's name as messages to people say it.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Decimal(_) => "a decimal",
            Self::Text(_) => "text",
            Self::Data(_) => "data",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// Levels of nesting, as [`MAX_DEPTH`] counts them.
    #[must_use]
    pub fn depth(&self) -> usize {
        let below = match self {
            Self::List(items) => items.iter().map(Self::depth).max(),
            Self::Map(entries) => entries.values().map(Self::depth).max(),
            _ => None,
        };
        below.unwrap_or(0).saturating_add(1)
    }

    /// Length of the canonical bytes, without making them.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let content = match self {
            Self::Null => 0,
            Self::Boolean(_) => 1,
            Self::Integer(_) => 8,
            Self::Decimal(decimal) => 5 + decimal.digits.len(),
            Self::Text(text) => 4 + text.len(),
            Self::Data(data) => 4 + data.len(),
            Self::List(items) => 4 + items.iter().map(Self::size_bytes).sum::<usize>(),
            Self::Map(entries) => {
                4 + entries.iter().map(|(key, value)| 4 + key.len() + value.size_bytes()).sum::<usize>()
            }
        };
        content + 1
    }
}

/// `digits` shifted right by `scale` places: an exact decimal number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal {
    digits: String,
    scale: u8,
}

/// Why a decimal is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalFault {
    /// The digits aren't an integer in its one notation.
    #[error("{digits:?} is not a whole number without leading zeros")]
    Digits {
        /// The text given.
        digits: String,
    },
    /// There are too many digits.
    #[error("{digits} digits are above the limit of {limit}")]
    TooLong {
        /// How many there are.
        digits: usize,
        /// How many may be.
        limit: usize,
    },
    /// There are too many places behind the point.
    #[error("the scale {scale} is above the limit of {limit}")]
    Scale {
        /// The scale given.
        scale: u32,
        /// The largest allowed.
        limit: usize,
    },
}

impl Decimal {
    /// A number of `digits` (an optional minus and no leading zeros) of which `scale` stand behind the
    /// point.
    ///
    /// # Errors
    /// If the digits aren't in their one notation or a bound is passed.
    pub fn new(digits: &str, scale: u32) -> Result<Self, DecimalFault> {
        let magnitude = digits.strip_prefix('-').unwrap_or(digits);
        if magnitude.len() > MAX_DECIMAL_DIGITS {
            return Err(DecimalFault::TooLong { digits: magnitude.len(), limit: MAX_DECIMAL_DIGITS });
        }
        let is_number = !magnitude.is_empty() && magnitude.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || (magnitude.starts_with('0') && digits != "0") {
            return Err(DecimalFault::Digits { digits: digits.to_owned() });
        }
        let allowed = u8::try_from(scale).ok().filter(|scale| usize::from(*scale) <= MAX_DECIMAL_DIGITS);
        let Some(scale) = allowed else {
            return Err(DecimalFault::Scale { scale, limit: MAX_DECIMAL_DIGITS });
        };
        Ok(Self { digits: digits.to_owned(), scale })
    }

    /// The number without its point.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.digits
    }

    /// How many digits stand behind the point.
    #[must_use]
    pub const fn scale(&self) -> u8 {
        self.scale
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, magnitude) = match self.digits.strip_prefix('-') {
            Some(magnitude) => ("-", magnitude),
            None => ("", self.digits.as_str()),
        };
        let scale = usize::from(self.scale);
        let padded = format!("{magnitude:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        match fraction {
            "" => write!(f, "{sign}{whole}"),
            _ => write!(f, "{sign}{whole}.{fraction}"),
        }
    }
}

impl Canonical for Value {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.push(0),
            Self::Boolean(value) => {
                out.push(1);
                value.encode(out);
            }
            Self::Integer(value) => {
                out.push(2);
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::Decimal(decimal) => {
                out.push(3);
                out.push(decimal.scale);
                encode_bytes(decimal.digits.as_bytes(), out);
            }
            Self::Text(text) => {
                out.push(4);
                encode_bytes(text.as_bytes(), out);
            }
            Self::Data(data) => {
                out.push(5);
                encode_bytes(data, out);
            }
            Self::List(items) => {
                out.push(6);
                encode_count(items.len(), out);
                items.iter().for_each(|item| item.encode(out));
            }
            Self::Map(entries) => {
                out.push(7);
                encode_count(entries.len(), out);
                for (key, value) in entries {
                    encode_bytes(key.as_bytes(), out);
                    value.encode(out);
                }
            }
        }
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        decode_value(input, MAX_DEPTH)
    }
}

/// Counts in memory stay far below 2³² (limits on documents); a larger one saturates and no reader
/// takes it.
fn encode_count(count: usize, out: &mut Vec<u8>) {
    u32::try_from(count).unwrap_or(u32::MAX).encode(out);
}

fn decode_value(input: &mut Reader<'_>, levels: usize) -> Result<Value, DecodeError> {
    let Some(below) = levels.checked_sub(1) else {
        return Err(DecodeError::TooLong { what: "levels of a value", length: MAX_DEPTH + 1, limit: MAX_DEPTH });
    };
    match input.u8()? {
        0 => Ok(Value::Null),
        1 => bool::decode(input).map(Value::Boolean),
        2 => input.array().map(i64::from_be_bytes).map(Value::Integer),
        3 => decode_decimal(input),
        4 => decode_text(input).map(Value::Text),
        5 => input.bytes(input.left(), "data").map(|data| Value::Data(data.to_vec())),
        6 => {
            let count = input.u32()?;
            (0..count).map(|_| decode_value(input, below)).collect::<Result<_, _>>().map(Value::List)
        }
        7 => decode_map(input, below),
        value => Err(DecodeError::Unknown { what: "type of a value", value }),
    }
}

fn decode_text(input: &mut Reader<'_>) -> Result<String, DecodeError> {
    let bytes = input.bytes(input.left(), "text")?;
    let text = std::str::from_utf8(bytes);
    text.map(str::to_owned).map_err(|_| DecodeError::Malformed { what: "text", rule: "must be UTF-8" })
}

fn decode_decimal(input: &mut Reader<'_>) -> Result<Value, DecodeError> {
    let scale = input.u8()?;
    let digits = decode_text(input)?;
    let decimal = Decimal::new(&digits, u32::from(scale));
    decimal.map(Value::Decimal).map_err(|_| DecodeError::Malformed {
        what: "decimal",
        rule: "must be a whole number without leading zeros, and a scale, of at most 38 digits each",
    })
}

fn decode_map(input: &mut Reader<'_>, levels: usize) -> Result<Value, DecodeError> {
    let count = input.u32()?;
    let mut entries = BTreeMap::new();
    for _ in 0..count {
        let key = decode_text(input)?;
        if entries.last_key_value().is_some_and(|(last, _)| *last >= key) {
            return Err(DecodeError::Malformed { what: "keys of a map", rule: "must ascend" });
        }
        entries.insert(key, decode_value(input, levels)?);
    }
    Ok(Value::Map(entries))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Value {
        let list = vec![
            Value::Null,
            Value::Boolean(true),
            Value::Integer(i64::MIN),
            Value::Decimal(Decimal::new("-1250", 2).unwrap()),
            Value::Text("für".to_owned()),
            Value::Data(vec![0, 255]),
        ];
        let inner = BTreeMap::from([(String::new(), Value::Integer(1)), ("a".to_owned(), Value::List(list))]);
        Value::Map(inner)
    }

    fn nested(levels: usize) -> Value {
        (1..levels).fold(Value::Null, |inner, _| Value::List(vec![inner]))
    }

    #[test]
    fn every_type_survives_the_canonical_bytes_and_its_size_is_right() {
        let value = sample();
        let bytes = value.to_bytes();
        assert_eq!(bytes.len(), value.size_bytes());
        assert_eq!(Value::from_bytes(&bytes), Ok(value));
    }

    #[test]
    fn a_value_of_64_levels_is_read_and_one_of_65_is_not() {
        let deepest = nested(MAX_DEPTH);
        assert_eq!(deepest.depth(), MAX_DEPTH);
        assert_eq!(Value::from_bytes(&deepest.to_bytes()), Ok(deepest));
        let error = Value::from_bytes(&nested(MAX_DEPTH + 1).to_bytes());
        assert!(matches!(error, Err(DecodeError::TooLong { limit: MAX_DEPTH, .. })), "{error:?}");
    }

    #[test]
    fn map_keys_out_of_order_or_repeated_are_refused() {
        for keys in [["b", "a"], ["a", "a"]] {
            let mut bytes = vec![7, 0, 0, 0, 2];
            for key in keys {
                encode_bytes(key.as_bytes(), &mut bytes);
                bytes.push(0);
            }
            assert!(matches!(Value::from_bytes(&bytes), Err(DecodeError::Malformed { .. })));
        }
    }

    #[test]
    fn a_count_that_the_input_does_not_hold_is_truncated_not_allocated() {
        for tag in [6, 7] {
            let error = Value::from_bytes(&[tag, 255, 255, 255, 255]);
            assert!(matches!(error, Err(DecodeError::Truncated { .. })), "{error:?}");
        }
    }

    #[test]
    fn a_decimal_has_one_notation() {
        for digits in ["", "-", "-0", "01", "+1", "1.0", "1e3", "٣"] {
            assert!(matches!(Decimal::new(digits, 0), Err(DecimalFault::Digits { .. })), "{digits}");
        }
        assert!(Decimal::new(&"9".repeat(38), 38).is_ok());
        assert!(matches!(Decimal::new(&"9".repeat(39), 0), Err(DecimalFault::TooLong { .. })));
        assert!(matches!(Decimal::new("1", 39), Err(DecimalFault::Scale { .. })));
    }

    #[test]
    fn a_decimal_is_shown_with_its_point() {
        for (digits, scale, shown) in
            [("-1250", 2, "-12.50"), ("5", 3, "0.005"), ("0", 0, "0"), ("-7", 0, "-7"), ("120", 2, "1.20")]
        {
            assert_eq!(Decimal::new(digits, scale).unwrap().to_string(), shown);
        }
    }
}
