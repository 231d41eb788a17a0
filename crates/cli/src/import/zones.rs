//! The time-zone database as documents, for machines without a package index: `timezone/zone:<name>`,
//! `timezone/rule:<name>:<number>` and `timezone/link:<alias>`.
//!
//! The source is `tzdata.zi`, which its authors put into the public domain, as Debian's package tzdata
//! has it. The fields are given names; what they say is left as the database writes it (`zic(8)`).

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use quorate_types::value::Value;

use super::Record;

/// The kind of the documents.
pub const KIND: &str = "timezone";

/// The database that comes with the program.
pub const BUNDLED: &str = include_str!("../../data/tzdata.zi");

/// Names of a rule's fields after its own name.
const RULE: [&str; 8] = ["from", "to", "type", "month", "day", "time", "save", "letters"];

/// Reads a compact time-zone source.
///
/// # Errors
/// If a line has another form; the error names it.
pub fn read(text: &str) -> anyhow::Result<Vec<Record>> {
    let mut records = Vec::new();
    let mut rules: BTreeMap<&str, usize> = BTreeMap::new();
    let mut zone: Option<(&str, Vec<Value>)> = None;
    for (number, line) in text.lines().enumerate() {
        let at = || format!("line {} of the time-zone source: {line:?}", number + 1);
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] | ["#", ..] => {}
            ["R", name, fields @ ..] if fields.len() == RULE.len() => {
                let count = rules.entry(name).or_default();
                *count += 1;
                let entries = RULE.into_iter().zip(fields.iter().copied()).chain([("name", *name)]);
                records.push(Record { id: format!("rule:{name}:{count:03}"), value: map(entries) });
            }
            ["L", target, alias] => {
                records.push(Record { id: format!("link:{alias}"), value: map([("target", *target)]) });
            }
            ["Z", name, fields @ ..] => {
                records.extend(finish(zone.take()));
                zone = Some((name, vec![period(fields).with_context(at)?]));
            }
            fields => match &mut zone {
                Some((_, periods)) => periods.push(period(fields).with_context(at)?),
                None => bail!("{} is neither rule, zone nor link", at()),
            },
        }
    }
    records.extend(finish(zone));
    records.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(records)
}

/// One span of a zone: offset, rules, format, and until when, which the last span lacks.
fn period(fields: &[&str]) -> anyhow::Result<Value> {
    let [offset, rules, format, until @ ..] = fields else {
        bail!("a span of a zone has an offset, rules and a format");
    };
    let until = until.join(" ");
    let entries = [("offset", *offset), ("rules", *rules), ("format", *format)];
    let end = (!until.is_empty()).then_some(("until", until.as_str()));
    Ok(map(entries.into_iter().chain(end)))
}

fn finish(zone: Option<(&str, Vec<Value>)>) -> Option<Record> {
    let (name, periods) = zone?;
    let value = Value::Map(BTreeMap::from([("periods".to_owned(), Value::List(periods))]));
    Some(Record { id: format!("zone:{name}"), value })
}

fn map<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    let entries = entries.into_iter().map(|(key, text)| (key.to_owned(), Value::Text(text.to_owned())));
    Value::Map(entries.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_database_gives_more_than_two_thousand_documents_with_ids_of_their_own() {
        let records = read(BUNDLED).unwrap();
        assert!(records.len() > 2_000, "{}", records.len());
        assert!(records.windows(2).all(|pair| pair[0].id < pair[1].id));
    }

    #[test]
    fn a_zone_keeps_its_spans_in_order() {
        let records = read("# c\nZ A/B 1 - LMT 1911\n2 E C%sT 1940 Jun\n3 - X\nL A/B C\n").unwrap();
        let ids: Vec<_> = records.iter().map(|record| record.id.as_str()).collect();
        assert_eq!(ids, ["link:C", "zone:A/B"]);
        let Value::Map(zone) = &records[1].value else { panic!("a zone is a map") };
        let Value::List(periods) = &zone["periods"] else { panic!("periods are a list") };
        assert_eq!(periods.len(), 3);
        let second = [("offset", "2"), ("rules", "E"), ("format", "C%sT"), ("until", "1940 Jun")];
        assert_eq!(periods[1], map(second));
    }

    #[test]
    fn a_line_of_another_form_is_refused_with_its_number() {
        let error = read("# c\nwhat is this").unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }
}
