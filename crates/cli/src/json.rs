//! Values of documents as JSON, in both directions.
//!
//! JSON has one type of number and no bytes, so two objects with one key stand for what it lacks:
//! `{"$decimal": "12.50"}` is a decimal, `{"$data": "00ff"}` are bytes in hexadecimal. `{"$map": {…}}` is
//! a map that would be read as one of these. A number with a fraction or an exponent is refused rather
//! than rounded.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use quorate_types::value::{Decimal, Value};
use serde_json::{Map, Value as Json, json};

const DECIMAL: &str = "$decimal";
const DATA: &str = "$data";
const MAP: &str = "$map";

/// The value that a JSON text stands for.
///
/// # Errors
/// If it isn't JSON, or holds a number that isn't an integer of 64 bits.
pub fn parse(text: &str) -> anyhow::Result<Value> {
    let json =
        serde_json::from_str(text).with_context(|| format!("{text} is not JSON (text needs quotes: '\"text\"')"))?;
    to_value(&json)
}

/// The value that a JSON tree stands for.
///
/// # Errors
/// If it holds a number that isn't an integer of 64 bits, or a `$` object that isn't right.
pub fn to_value(json: &Json) -> anyhow::Result<Value> {
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Boolean(*value),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => Value::Integer(integer),
            None => bail!(
                "{number} is no integer of 64 bits. There are no floating-point numbers; write an exact decimal \
                 as {{\"{DECIMAL}\": \"12.50\"}}"
            ),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(to_value).collect::<Result<_, _>>()?),
        Json::Object(entries) => object(entries)?,
    })
}

fn object(entries: &Map<String, Json>) -> anyhow::Result<Value> {
    let only = (entries.len() == 1).then(|| entries.iter().next()).flatten();
    match only.map(|(key, value)| (key.as_str(), value)) {
        Some((DECIMAL, Json::String(text))) => Ok(Value::Decimal(decimal(text)?)),
        Some((DATA, Json::String(text))) => Ok(Value::Data(bytes_of_hex(text)?)),
        Some((MAP, Json::Object(inner))) => map(inner),
        Some((key @ (DECIMAL | DATA | MAP), found)) => {
            bail!("{{\"{key}\": {found}}}: {key} takes {}", if key == MAP { "an object" } else { "a text in quotes" })
        }
        _ => map(entries),
    }
}

fn map(entries: &Map<String, Json>) -> anyhow::Result<Value> {
    let entries = entries.iter().map(|(key, value)| Ok((key.clone(), to_value(value)?)));
    Ok(Value::Map(entries.collect::<anyhow::Result<BTreeMap<_, _>>>()?))
}

/// A decimal as people write it: `-12.50`.
fn decimal(text: &str) -> anyhow::Result<Decimal> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_cut = text.ends_with('.') || whole.is_empty() || whole == "-";
    if is_cut || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        bail!("{text:?} is no decimal; one looks like -12.50");
    }
    let (sign, magnitude) = whole.strip_prefix('-').map_or(("", whole), |rest| ("-", rest));
    let has_spare_zero = magnitude.len() > 1 && magnitude.starts_with('0');
    let joined = format!("{magnitude}{fraction}");
    let digits = match joined.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits => format!("{sign}{digits}"),
    };
    if has_spare_zero || (sign == "-" && digits == "0") {
        bail!("{text:?} is no decimal in its shortest form: it has a zero or a sign too many");
    }
    let scale = u32::try_from(fraction.len()).unwrap_or(u32::MAX);
    Decimal::new(&digits, scale).with_context(|| format!("the decimal {text:?}"))
}

/// The bytes that hexadecimal digits stand for.
///
/// # Errors
/// If there is an odd number of them, or another character.
pub fn bytes_of_hex(text: &str) -> anyhow::Result<Vec<u8>> {
    let digit = |c: u8| (c as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    bytes.collect::<Option<_>>().with_context(|| format!("{text:?} is no text of hexadecimal digits in pairs"))
}

/// The hexadecimal digits of bytes.
#[must_use]
pub fn hex_of_bytes(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A value as JSON that [`to_value`] reads back.
#[must_use]
pub fn from_value(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Boolean(value) => json!(value),
        Value::Integer(value) => json!(value),
        Value::Decimal(decimal) => json!({ DECIMAL: decimal.to_string() }),
        Value::Text(text) => json!(text),
        Value::Data(bytes) => json!({ DATA: hex_of_bytes(bytes) }),
        Value::List(items) => Json::Array(items.iter().map(from_value).collect()),
        Value::Map(entries) => {
            let is_marked = entries.len() == 1 && [DECIMAL, DATA, MAP].iter().any(|key| entries.contains_key(*key));
            let inner = Json::Object(entries.iter().map(|(key, value)| (key.clone(), from_value(value))).collect());
            if is_marked { json!({ MAP: inner }) } else { inner }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_value_survives_json() {
        for text in [
            "null",
            "true",
            "-9223372036854775808",
            r#""für""#,
            r#"{"$decimal":"-12.50"}"#,
            r#"{"$decimal":"0.005"}"#,
            r#"{"$data":"00ff"}"#,
            r#"{"$map":{"$data":"00ff"}}"#,
            r#"[1,[],{}]"#,
            r#"{"a":{"b":null}}"#,
        ] {
            assert_eq!(from_value(&parse(text).unwrap()).to_string(), text);
        }
    }

    #[test]
    fn a_number_that_would_be_rounded_is_refused_with_what_to_write_instead() {
        for text in ["1.5", "1e3", "9223372036854775808", "[1.0]"] {
            assert!(format!("{:#}", parse(text).unwrap_err()).contains("$decimal"), "{text}");
        }
    }

    #[test]
    fn decimals_have_one_form() {
        for text in ["", ".", "1.", ".5", "-", "-0", "-0.0", "00.1", "1.2.3", "1e3", "+1"] {
            assert!(decimal(text).is_err(), "{text:?}");
        }
        assert_eq!(decimal("-0.50").unwrap(), Decimal::new("-50", 2).unwrap());
    }

    #[test]
    fn bytes_need_pairs_of_digits() {
        assert_eq!(bytes_of_hex("00fF").unwrap(), [0, 255]);
        assert!(bytes_of_hex("0").is_err());
        assert!(bytes_of_hex("zz").is_err());
        assert!(parse(r#"{"$data": 5}"#).is_err());
    }
}
