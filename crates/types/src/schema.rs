//! What documents of a kind must look like: a small subset of JSON Schema (data-model §2.6).
//!
//! The subset is ours, since it is part of what all validators must agree on: what it doesn't have is
//! refused by name when the kind is declared, never ignored. A schema is a value like those of documents;
//! so it travels and is stored as one.

use std::collections::BTreeMap;

use crate::operation::Path;
use crate::value::{Decimal, Value};

/// Bytes of a schema as a value, at most.
pub const MAX_SCHEMA_BYTES: usize = 16 << 10;

/// Why a value is no schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at {} of the schema: {rule}", if at.is_empty() { "the top" } else { at })]
pub struct SchemaFault {
    /// Where, as a JSON pointer; empty for the top.
    pub at: String,
    /// What must be otherwise.
    pub rule: String,
}

/// Where a document breaks its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where in the document, as a JSON pointer; empty for the whole.
    pub at: String,
    /// What is wrong there.
    pub text: String,
}

/// A schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    source: Value,
    rule: Rule,
}

/// What one place must look like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rule {
    types: Option<Vec<Type>>,
    required: Vec<String>,
    properties: BTreeMap<String, Rule>,
    is_closed: bool,
    items: Option<Box<Rule>>,
    choices: Option<Vec<Value>>,
    minimum: Option<i64>,
    maximum: Option<i64>,
    max_length: Option<usize>,
}

/// A type, by its name in JSON Schema; `decimal` and `data` are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Null,
    Boolean,
    Integer,
    Decimal,
    Text,
    Data,
    List,
    Map,
}

const TYPES: [(&str, Type); 8] = [
    ("null", Type::Null),
    ("boolean", Type::Boolean),
    ("integer", Type::Integer),
    ("decimal", Type::Decimal),
    ("string", Type::Text),
    ("data", Type::Data),
    ("array", Type::List),
    ("object", Type::Map),
];

const KEYWORDS: &str =
    "type, required, properties, additionalProperties, items, enum, minimum, maximum, maxLength and description";

impl Type {
    const fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Boolean(_) => Self::Boolean,
            Value::Integer(_) => Self::Integer,
            Value::Decimal(_) => Self::Decimal,
            Value::Text(_) => Self::Text,
            Value::Data(_) => Self::Data,
            Value::List(_) => Self::List,
            Value::Map(_) => Self::Map,
        }
    }

    fn name(self) -> &'static str {
        TYPES.iter().find(|(_, found)| *found == self).map_or("", |(name, _)| name)
    }
}

impl Schema {
    /// Reads a schema from a value.
    ///
    /// # Errors
    /// If it is too large, or has what the subset doesn't have.
    pub fn from_value(source: Value) -> Result<Self, SchemaFault> {
        let size = source.size_bytes();
        if size > MAX_SCHEMA_BYTES {
            let rule = format!("it has {size} bytes, {MAX_SCHEMA_BYTES} are allowed");
            return Err(SchemaFault { at: String::new(), rule });
        }
        let rule = Rule::read(&source, &mut Path::default())?;
        Ok(Self { source, rule })
    }

    /// The value that it was read from.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.source
    }

    /// Whether a document conforms.
    ///
    /// # Errors
    /// The first place where it doesn't.
    pub fn admit(&self, document: &Value) -> Result<(), Violation> {
        self.rule.admit(document, &mut Path::default())
    }
}

type Read<T> = Result<T, SchemaFault>;

fn fault<T>(at: &Path, rule: impl Into<String>) -> Read<T> {
    Err(SchemaFault { at: at.to_string(), rule: rule.into() })
}

/// What `work` gives one step further down.
fn below<T>(at: &mut Path, step: &str, work: impl FnOnce(&mut Path) -> T) -> T {
    at.0.push(step.to_owned());
    let done = work(at);
    at.0.pop();
    done
}

impl Rule {
    fn read(source: &Value, at: &mut Path) -> Read<Self> {
        let Value::Map(fields) = source else {
            return fault(at, format!("{} stands where a map of rules is expected", source.type_name()));
        };
        let mut rule = Self::default();
        for (keyword, value) in fields {
            below(at, keyword, |at| rule.read_keyword(keyword, value, at))?;
        }
        Ok(rule)
    }

    fn read_keyword(&mut self, keyword: &str, value: &Value, at: &mut Path) -> Read<()> {
        match (keyword, value) {
            ("type", Value::Text(name)) => self.types = Some(vec![read_type(name, at)?]),
            ("type", Value::List(names)) if !names.is_empty() => {
                let types = read_texts(names, at)?.into_iter().map(|name| read_type(name, at));
                self.types = Some(types.collect::<Read<_>>()?);
            }
            ("required", Value::List(names)) => {
                self.required = read_texts(names, at)?.into_iter().map(str::to_owned).collect();
            }
            ("properties", Value::Map(properties)) => {
                for (name, source) in properties {
                    let rule = below(at, name, |at| Self::read(source, at))?;
                    self.properties.insert(name.clone(), rule);
                }
            }
            ("additionalProperties", Value::Boolean(is_open)) => self.is_closed = !is_open,
            ("items", source) => self.items = Some(Box::new(Self::read(source, at)?)),
            ("enum", Value::List(choices)) if !choices.is_empty() => {
                let is_plain = |value: &Value| matches!(value, Value::Boolean(_) | Value::Integer(_) | Value::Text(_));
                if !choices.iter().all(is_plain) {
                    return fault(at, "it lists booleans, integers and texts only");
                }
                self.choices = Some(choices.clone());
            }
            ("minimum", Value::Integer(bound)) => self.minimum = Some(*bound),
            ("maximum", Value::Integer(bound)) => self.maximum = Some(*bound),
            ("maxLength", Value::Integer(bound)) => match usize::try_from(*bound) {
                Ok(bound) => self.max_length = Some(bound),
                Err(_) => return fault(at, "a length isn't below zero"),
            },
            ("description", Value::Text(_)) => {}
            ("type" | "enum", Value::List(_)) => return fault(at, "the list is empty, so nothing would conform"),
            (
                "type"
                | "required"
                | "properties"
                | "additionalProperties"
                | "enum"
                | "minimum"
                | "maximum"
                | "maxLength"
                | "description",
                _,
            ) => return fault(at, format!("{} can't stand here", value.type_name())),
            _ => return fault(at, format!("this keyword isn't one of {KEYWORDS}")),
        }
        Ok(())
    }

    fn admit(&self, value: &Value, at: &mut Path) -> Result<(), Violation> {
        let wrong = |at: &Path, text: String| Err(Violation { at: at.to_string(), text });
        let found = Type::of(value);
        if let Some(types) = self.types.as_ref().filter(|types| !types.contains(&found)) {
            let names: Vec<&str> = types.iter().map(|allowed| allowed.name()).collect();
            return wrong(at, format!("{} stands where {} is expected", found.name(), names.join(" or ")));
        }
        if self.choices.as_ref().is_some_and(|choices| !choices.contains(value)) {
            return wrong(at, "it is none of the values that the schema lists".to_owned());
        }
        match value {
            Value::Integer(number) => self.admit_range(i128::from(*number), false, at),
            Value::Decimal(decimal) => {
                let (whole, has_rest) = floor(decimal);
                self.admit_range(whole, has_rest, at)
            }
            Value::Text(text) => match self.max_length {
                // A text has at most as many characters as bytes: most need no counting.
                Some(most) if text.len() > most && text.chars().count() > most => {
                    wrong(at, format!("the text has more than {most} characters"))
                }
                _ => Ok(()),
            },
            Value::List(items) => match &self.items {
                Some(rule) => {
                    let mut numbered = items.iter().enumerate();
                    numbered.try_for_each(|(index, item)| below(at, &index.to_string(), |at| rule.admit(item, at)))
                }
                None => Ok(()),
            },
            Value::Map(entries) => self.admit_map(entries, at),
            Value::Null | Value::Boolean(_) | Value::Data(_) => Ok(()),
        }
    }

    /// A number of which `whole` is the floor, with something behind the point or not.
    fn admit_range(&self, whole: i128, has_rest: bool, at: &Path) -> Result<(), Violation> {
        let wrong = |text: String| Err(Violation { at: at.to_string(), text });
        if let Some(low) = self.minimum.filter(|low| whole < i128::from(*low)) {
            return wrong(format!("the number is below {low}"));
        }
        let is_above = |high: &i64| whole > i128::from(*high) || (whole == i128::from(*high) && has_rest);
        match self.maximum.filter(is_above) {
            Some(high) => wrong(format!("the number is above {high}")),
            None => Ok(()),
        }
    }

    fn admit_map(&self, entries: &BTreeMap<String, Value>, at: &mut Path) -> Result<(), Violation> {
        if let Some(name) = self.required.iter().find(|name| !entries.contains_key(*name)) {
            return Err(Violation { at: at.to_string(), text: format!("the member {name:?} is missing") });
        }
        for (name, value) in entries {
            match self.properties.get(name) {
                Some(rule) => below(at, name, |at| rule.admit(value, at))?,
                None if self.is_closed => {
                    let text = format!("the schema has no member {name:?}");
                    return Err(Violation { at: at.to_string(), text });
                }
                None => {}
            }
        }
        Ok(())
    }
}

fn read_type(name: &str, at: &Path) -> Read<Type> {
    match TYPES.iter().find(|(known, _)| *known == name) {
        Some((_, found)) => Ok(*found),
        None => {
            let names: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
            fault(at, format!("{name:?} is none of the types {}", names.join(", ")))
        }
    }
}

fn read_texts<'v>(names: &'v [Value], at: &Path) -> Read<Vec<&'v str>> {
    let text = |value: &'v Value| match value {
        Value::Text(text) => Ok(text.as_str()),
        other => fault(at, format!("{} stands in a list of texts", other.type_name())),
    };
    names.iter().map(text).collect()
}

/// The largest integer at or below a decimal, and whether the decimal is above it.
fn floor(decimal: &Decimal) -> (i128, bool) {
    // 38 digits fit into 127 bits, and so does ten to the 38th.
    let digits: i128 = decimal.digits().parse().unwrap_or(i128::MAX);
    let unit = 10_i128.pow(u32::from(decimal.scale()));
    (digits.div_euclid(unit), digits.rem_euclid(unit) != 0)
}

#[cfg(test)]
mod tests;
