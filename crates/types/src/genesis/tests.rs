//! A genesis survives its own file, and whatever is wrong with one is named with place and remedy.

use quorate_crypto::{Digest, SecretKey, WeakKey};

use super::*;
use crate::kind::{Access, Consistency, EntityType, Right};
use crate::schema::Schema;
use crate::value::Value;

fn key(seed: u8) -> PublicKey {
    SecretKey::from_seed([seed; 32]).public()
}

fn validator(seed: u8) -> GenesisValidator {
    let info = ValidatorInfo {
        name: format!("validator-{seed}"),
        consensus_key: key(seed),
        network_key: key(seed + 100),
        incarnation: [seed; 32],
        peer_address: format!("10.0.0.{seed}:7001"),
    };
    GenesisValidator { info, client_address: (seed == 1).then(|| "one.example.org:7002".to_owned()) }
}

fn kind(name: &str, entity_type: EntityType) -> Kind {
    let access = Access {
        create: Right::Keys([key(60)].into()),
        read: Right::Keys([].into()),
        ..Access::open([key(61), key(62)])
    };
    Kind { name: name.to_owned(), consistency: Consistency::Strong, entity_type, schema: None, access }
}

/// Everything that a schema may hold, with characters that TOML escapes.
fn schema() -> Schema {
    let text = |text: &str| Value::Text(text.to_owned());
    let map = |entries: Vec<(&str, Value)>| {
        Value::Map(entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    };
    let choices = Value::List(vec![text("a \"b\"\n"), Value::Integer(-1), Value::Boolean(true)]);
    let properties = map(vec![("a.b c", map(vec![("enum", choices)])), ("", map(vec![]))]);
    Schema::from_value(map(vec![("type", text("object")), ("properties", properties)])).unwrap()
}

fn content() -> GenesisContent {
    GenesisContent {
        name: "demo".to_owned(),
        validators: (1..=4).map(validator).collect(),
        administrators: Administrators { threshold: 2, keys: vec![key(50), key(51)] },
        parameters: Parameters { window: 512, min_epoch_sequences: 8_192, ..Parameters::default() },
        kinds: vec![
            kind("package", EntityType::Document),
            kind("hits", EntityType::Counter),
            kind("money", EntityType::Account { overdraft: false }),
            kind("credit", EntityType::Account { overdraft: true }),
            kind("setting", EntityType::Register),
            kind("tags", EntityType::Set),
            kind("stock", EntityType::Inventory),
            Kind { schema: Some(schema()), ..kind("invoice", EntityType::Document) },
        ],
    }
}

fn parse(text: &str) -> Result<Genesis, GenesisError> {
    Genesis::parse(text.as_bytes())
}

/// The error for the file with one piece of its text replaced.
fn replaced(from: &str, to: &str) -> GenesisError {
    let text = content().to_toml();
    assert!(text.contains(from), "{from} is in the file");
    parse(&text.replacen(from, to, 1)).unwrap_err()
}

#[test]
fn a_genesis_survives_its_file_and_the_cluster_id_is_the_digest_of_the_bytes() {
    let text = content().to_toml();
    let genesis = parse(&text).unwrap();
    assert_eq!(genesis.content, content());
    assert_eq!(genesis.cluster, ClusterId(sha256(&[text.as_bytes()])));
    assert_eq!(genesis.validator_set().size(), 4);
    assert_eq!(genesis.kinds().iter().count(), 8);
}

#[test]
fn a_comment_makes_another_cluster_and_the_error_says_that_the_file_was_edited() {
    let genesis = parse(&content().to_toml()).unwrap();
    let edited = parse(&(content().to_toml() + "# hello\n")).unwrap();
    assert_eq!(genesis.admit_cluster(genesis.cluster), Ok(()));
    let error = edited.admit_cluster(genesis.cluster).unwrap_err();
    assert!(error.to_string().contains("the file was edited"), "{error}");
}

#[test]
fn parameters_left_out_have_their_defaults() {
    let text = content().to_toml();
    let start = text.find("[parameters]").unwrap();
    let end = text.find("[[validators]]").unwrap();
    let genesis = parse(&(text[..start].to_owned() + &text[end..])).unwrap();
    assert_eq!(genesis.content.parameters, Parameters::default());
}

#[test]
fn an_unknown_field_is_named_with_its_place_and_the_nearest_known_one() {
    let cases = [
        ("name = \"demo\"", "name = \"demo\"\nvalidator = 1", "validator", Some("validators")),
        ("threshold", "treshold", "administrators.treshold", Some("threshold")),
        ("window = 512", "windows = 512", "parameters.windows", Some("window")),
        ("network_key", "networkkey", "validators[0].networkkey", Some("network_key")),
        ("consistency", "consistent", "kinds[0].consistent", Some("consistency")),
        ("write = ", "writes = ", "kinds[0].access.writes", Some("write")),
        ("version = 1", "version = 1\ncolour = 2", "colour", None),
    ];
    for (from, to, path, nearest) in cases {
        let nearest = nearest.map(str::to_owned);
        assert_eq!(replaced(from, to), GenesisError::UnknownField { path: path.to_owned(), nearest });
    }
    assert_eq!(
        replaced("window = 512", "windows = 512").to_string(),
        "parameters.windows is not a known field; did you mean window?"
    );
}

#[test]
fn a_number_out_of_range_is_refused_with_field_value_and_range() {
    let message = |from: &str, to: &str| replaced(from, to).to_string();
    assert!(message("window = 512", "window = 127").starts_with("parameters.window is 127; allowed is 128 to"));
    assert!(message("window = 512", "window = -1").starts_with("parameters.window is -1; allowed is 2 to 16384"));
    assert!(message("window = 512", "window = 99999999999").starts_with("parameters.window is 99999999999"));
    assert!(message("window = 512", "window = 5.5").contains("is float; it must be a whole number"));
    assert!(message("threshold = 2", "threshold = 3").starts_with("administrators.threshold is 3; allowed is 1 to 2"));
    assert!(message("threshold = 2", "threshold = 0").starts_with("administrators.threshold is 0"));
    assert!(message("version = 1", "version = 2").starts_with("version is 2; allowed is 1 to 1"));
    let empty = GenesisContent { validators: vec![], ..content() };
    assert!(parse(&empty.to_toml()).unwrap_err().to_string().starts_with("the number of validators is 0"));
    let empty = GenesisContent { kinds: vec![], ..content() };
    assert!(parse(&empty.to_toml()).unwrap_err().to_string().starts_with("the number of kinds is 0"));
}

#[test]
fn every_key_name_store_and_address_stands_once() {
    let cases = [
        (key(2).to_string(), key(1).to_string(), "validators[1].consensus_key", "validators[0].consensus_key"),
        (key(101).to_string(), key(1).to_string(), "validators[0].network_key", "validators[0].consensus_key"),
        (key(50).to_string(), key(1).to_string(), "administrators.keys[0]", "validators[0].consensus_key"),
        ("validator-2".to_owned(), "validator-1".to_owned(), "validators[1].name", "validators[0].name"),
        ("hits".to_owned(), "package".to_owned(), "kinds[1].name", "kinds[0].name"),
        (
            "10.0.0.2:7001".to_owned(),
            "10.0.0.1:7001".to_owned(),
            "validators[1].peer_address",
            "validators[0].peer_address",
        ),
        (
            Digest::new([2; 32]).to_string(),
            Digest::new([1; 32]).to_string(),
            "validators[1].incarnation",
            "validators[0].incarnation",
        ),
    ];
    for (from, to, second, first) in cases {
        match replaced(&from, &to) {
            GenesisError::Duplicate { first: found_first, second: found_second, .. } => {
                assert_eq!((found_second.as_str(), found_first.as_str()), (second, first));
            }
            other => panic!("{second}: {other}"),
        }
    }
}

/// architecture §8: a weak key never enters the set.
#[test]
fn weak_keys_of_validators_and_administrators_are_refused() {
    let weak = PublicKey::from_bytes([0; 32]);
    for (good, field) in [
        (key(1), "validators[0].consensus_key"),
        (key(101), "validators[0].network_key"),
        (key(50), "administrators.keys[0]"),
    ] {
        let error = replaced(&good.to_string(), &weak.to_string());
        assert_eq!(error, GenesisError::Key { field: field.to_owned(), fault: WeakKey::SmallOrder { key: weak } });
    }
}

#[test]
fn what_a_later_version_will_have_is_refused_as_such() {
    for value in ["causal", "session", "eventual"] {
        let error = replaced("consistency = \"strong\"", &format!("consistency = \"{value}\"")).to_string();
        let expected = format!("kinds[0].consistency: {value} comes with a later version of Quorate");
        assert!(error.starts_with(&expected), "{error}");
    }
    let error = replaced("type = \"document\"", "type = \"text\"");
    assert!(matches!(error, GenesisError::Later { .. }), "{error}");
}

#[test]
fn a_schema_that_is_none_is_refused_where_it_stands() {
    let with = |schema: &str| replaced("type = \"document\"", &format!("type = \"document\"\nschema = {schema}"));
    let error = with("{ pattern = \"a\" }").to_string();
    assert!(error.starts_with("kinds[0].schema: at /pattern of the schema: this keyword"), "{error}");
    let error = with("{ minimum = 1.5 }").to_string();
    assert!(error.contains("neither floats nor dates"), "{error}");
    let error = replaced("type = \"counter\"", "type = \"counter\"\nschema = {}").to_string();
    assert!(error.contains("only a kind of documents has a schema"), "{error}");
}

#[test]
fn words_that_mean_nothing_are_refused_with_those_that_do() {
    for (from, to) in [
        ("consistency = \"strong\"", "consistency = \"firm\""),
        ("type = \"document\"", "type = \"tree\""),
        ("write = \"anyone\"", "write = \"everyone\""),
    ] {
        let error = replaced(from, to);
        assert!(matches!(error, GenesisError::UnknownValue { .. }), "{error}");
        assert!(error.to_string().contains("allowed is"), "{error}");
    }
}

#[test]
fn names_addresses_and_overdrafts_are_checked() {
    for bad in ["", "Demo", "9lives", "a b"] {
        let error = replaced("name = \"demo\"", &format!("name = \"{bad}\""));
        assert!(matches!(error, GenesisError::Name { .. }), "{bad}: {error}");
    }
    for bad in ["", "10.0.0.1", ":7001", "10.0.0.1:0", "10.0.0.1:70000", "a b:1", "::1:7001"] {
        let error = replaced("\"10.0.0.1:7001\"", &format!("{bad:?}"));
        assert!(matches!(error, GenesisError::Address { .. }), "{bad}: {error}");
    }
    assert!(parse(&content().to_toml().replace("10.0.0.1:7001", "[::1]:7001")).is_ok());
    let error = replaced("type = \"counter\"", "type = \"counter\"\noverdraft = true");
    assert_eq!(error, GenesisError::NotAnAccount { field: "kinds[1].overdraft".to_owned() });
}

#[test]
fn text_that_is_no_toml_is_refused_with_its_line() {
    let error = parse("version = 1\nname = ").unwrap_err();
    assert!(error.to_string().contains("line 2"), "{error}");
    assert_eq!(Genesis::parse(&[0xff]), Err(GenesisError::NotText));
    let error = replaced("threshold = 2", "threshold = \"two\"");
    assert!(error.to_string().contains("threshold = \"two\""), "{error}");
}
