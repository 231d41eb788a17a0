//! What a configuration file may say, and what it is told when it says something else.

use std::path::Path;

use super::{ConfigError, FIELDS, NodeConfig, RawConfig};

fn parse(text: &str) -> Result<NodeConfig, ConfigError> {
    NodeConfig::parse(text, Path::new("/var/lib/quorate/v0"))
}

#[test]
fn an_empty_file_is_the_defaults_and_paths_start_at_its_directory() {
    let config = parse("").unwrap();
    assert_eq!(config.paths.store, Path::new("/var/lib/quorate/v0/store"));
    assert!(!config.clients.plaintext && config.clients.listen.ip().is_loopback());
    let absolute = parse("[paths]\nguard_file = \"/mnt/other/guard\"").unwrap();
    assert_eq!(absolute.paths.guard_file, Path::new("/mnt/other/guard"));
}

#[test]
fn every_field_has_a_reason_and_every_reason_a_field() {
    let written = toml::Table::try_from(RawConfig::default()).unwrap();
    let mut fields: Vec<(String, String)> = Vec::new();
    for (section, content) in &written {
        let names = content.as_table().unwrap().keys();
        fields.extend(names.map(|name| (section.clone(), name.clone())));
    }
    let mut known: Vec<(String, String)> =
        FIELDS.iter().map(|field| (field.section.to_owned(), field.name.to_owned())).collect();
    fields.sort();
    known.sort();
    assert_eq!(fields, known);
    assert!(FIELDS.iter().all(|field| field.reason.len() > 20));
}

#[test]
fn what_init_writes_is_read_back_the_same() {
    let mut config = parse("[clients]\nplaintext = true").unwrap();
    config.peers.addresses.insert("v1".to_owned(), "v1.example.org:7000".to_owned());
    config.telemetry.metrics = Some("127.0.0.1:7200".parse().unwrap());
    let text = config.to_toml();
    assert_eq!(NodeConfig::parse(&text, Path::new("/elsewhere")).unwrap(), config, "{text}");
    assert!(text.contains("# The second record of what was signed"));
}

#[test]
fn an_unknown_field_is_refused_with_its_nearest_neighbour() {
    let error = parse("[clients]\nlisten_on = \"x\"\n").unwrap_err().to_string();
    assert_eq!(error, "unknown field clients.listen_on; did you mean listen?");
    let error = parse("[resource]\n").unwrap_err().to_string();
    assert_eq!(error, "unknown field resource; did you mean resources?");
    assert_eq!(parse("colour = 1").unwrap_err().to_string(), "unknown field colour");
}

#[test]
fn plaintext_is_for_loopback_only() {
    let error = parse("[clients]\nplaintext = true\nlisten = \"0.0.0.0:7100\"").unwrap_err();
    assert!(matches!(error, ConfigError::PlaintextBeyondLoopback { .. }), "{error}");
    assert!(parse("[clients]\nplaintext = true\nlisten = \"[::1]:7100\"").is_ok());
}

#[test]
fn values_that_cannot_be_are_refused_with_their_field() {
    let cases = [
        ("[clients]\nsubmissions = 0", "clients.submissions is 0; allowed is 1 to 4194304"),
        ("[resources]\nbackground_jobs = -1", "resources.background_jobs is -1; allowed is 1 to 64"),
        ("[telemetry]\nlog_format = \"xml\"", "telemetry.log_format is \"xml\"; allowed is \"text\" or \"json\""),
        ("[paths]\nstore = \"\"", "paths.store must not be empty"),
        ("[peers]\nlisten = \"7000\"", "peers.listen is \"7000\"; an IP address and a port are needed"),
        ("[peers]\naddresses = { v1 = \"here\" }", "peers.addresses.v1 is \"here\"; a host and a port are needed"),
    ];
    for (text, expected) in cases {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    assert!(matches!(parse("[clients]\nconnections = \"many\""), Err(ConfigError::Toml(_))));
}

#[test]
fn the_documentation_is_made_from_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let made = NodeConfig::to_markdown();
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == made, "docs/configuration.md must read:\n{made}");
}
