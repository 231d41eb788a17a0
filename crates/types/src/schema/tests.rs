//! The subset of JSON Schema (data-model §2.6).

use super::*;

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn list(items: impl IntoIterator<Item = Value>) -> Value {
    Value::List(items.into_iter().collect())
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn integer(number: i64) -> Value {
    Value::Integer(number)
}

fn decimal(digits: &str, scale: u32) -> Value {
    Value::Decimal(Decimal::new(digits, scale).unwrap())
}

fn invoice() -> Schema {
    let schema = map([
        ("type", text("object")),
        ("description", text("an invoice")),
        ("required", list([text("number"), text("lines")])),
        ("additionalProperties", Value::Boolean(false)),
        (
            "properties",
            map([
                ("number", map([("type", text("string")), ("maxLength", integer(4))])),
                ("state", map([("enum", list([text("open"), text("paid")]))])),
                ("total", map([("type", list([text("decimal"), text("integer")])), ("minimum", integer(0))])),
                (
                    "lines",
                    map([
                        ("type", text("array")),
                        ("items", map([("type", text("integer")), ("maximum", integer(10))])),
                    ]),
                ),
            ]),
        ),
    ]);
    Schema::from_value(schema).unwrap()
}

#[test]
fn a_document_that_conforms_is_admitted() {
    let schema = invoice();
    let least = map([("number", text("äöü€")), ("lines", list([]))]);
    assert_eq!(schema.admit(&least), Ok(()));
    let whole = map([
        ("number", text("1")),
        ("lines", list([integer(-3), integer(10)])),
        ("state", text("paid")),
        ("total", decimal("1250", 2)),
    ]);
    assert_eq!(schema.admit(&whole), Ok(()));
}

#[test]
fn each_keyword_refuses_what_breaks_it_and_says_where() {
    let refused = |entries: Value| {
        let violation = invoice().admit(&entries).unwrap_err();
        format!("{}: {}", violation.at, violation.text)
    };
    let with = |name: &str, value: Value| {
        let Value::Map(mut entries) = map([("number", text("1")), ("lines", list([]))]) else { unreachable!() };
        entries.insert(name.to_owned(), value);
        Value::Map(entries)
    };
    assert_eq!(refused(list([])), ": array stands where object is expected");
    assert_eq!(refused(map([("number", text("1"))])), ": the member \"lines\" is missing");
    assert_eq!(refused(with("colour", text("red"))), ": the schema has no member \"colour\"");
    assert_eq!(refused(with("number", text("12345"))), "/number: the text has more than 4 characters");
    assert_eq!(refused(with("number", integer(1))), "/number: integer stands where string is expected");
    assert_eq!(refused(with("state", text("lost"))), "/state: it is none of the values that the schema lists");
    assert_eq!(refused(with("total", decimal("-1", 2))), "/total: the number is below 0");
    assert_eq!(refused(with("total", text("1"))), "/total: string stands where decimal or integer is expected");
    assert_eq!(refused(with("lines", list([integer(1), integer(11)]))), "/lines/1: the number is above 10");
}

#[test]
fn decimals_are_compared_exactly() {
    let schema = Schema::from_value(map([("minimum", integer(-2)), ("maximum", integer(2))])).unwrap();
    let is_admitted = |digits: &str, scale: u32| schema.admit(&decimal(digits, scale)).is_ok();
    for (digits, scale) in [("-2", 0), ("-20", 1), ("-19", 1), ("2", 0), ("200", 2), ("199", 2), ("1", 38)] {
        assert!(is_admitted(digits, scale), "{digits} / 10^{scale}");
    }
    let nines = "9".repeat(38);
    for (digits, scale) in [("-201", 2), ("201", 2), (nines.as_str(), 37), (nines.as_str(), 0)] {
        assert!(!is_admitted(digits, scale), "{digits} / 10^{scale}");
    }
}

#[test]
fn what_the_subset_does_not_have_is_refused_by_name() {
    let refused = |source: Value| Schema::from_value(source).unwrap_err().to_string();
    let one = |keyword: &str, value: Value| map([(keyword, value)]);
    assert!(refused(one("pattern", text("^a"))).contains("at /pattern of the schema: this keyword isn't one of type"));
    assert!(refused(one("type", text("number"))).contains("\"number\" is none of the types null, boolean, integer"));
    assert!(refused(one("type", list([]))).contains("nothing would conform"));
    assert!(refused(one("enum", list([Value::Null]))).contains("booleans, integers and texts only"));
    assert!(refused(one("maxLength", integer(-1))).contains("isn't below zero"));
    assert!(refused(one("minimum", text("1"))).contains("text can't stand here"));
    assert!(refused(one("required", list([integer(1)]))).contains("an integer stands in a list of texts"));
    let nested = one("properties", map([("a", one("items", one("format", text("date"))))]));
    assert!(refused(nested).starts_with("at /properties/a/items/format of the schema"));
    assert!(refused(integer(1)).starts_with("at the top of the schema: an integer stands"));
}

#[test]
fn a_schema_is_bounded() {
    let of = |length: usize| map([("description", text(&"d".repeat(length)))]);
    let frame = of(0).size_bytes();
    assert!(Schema::from_value(of(MAX_SCHEMA_BYTES - frame)).is_ok());
    let fault = Schema::from_value(of(MAX_SCHEMA_BYTES - frame + 1)).unwrap_err();
    assert!(fault.rule.contains("16385 bytes, 16384 are allowed"), "{fault}");
}
