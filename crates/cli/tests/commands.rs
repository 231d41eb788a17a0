//! Commands as a person types them, as far as they need no running cluster: what they make, and what they
//! say when something is wrong.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use quorate_types::genesis::Genesis;

fn quorate(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
    command.current_dir(directory).env_remove("QUORATE_CLUSTER").args(arguments).output().expect("the program runs")
}

/// What a command that must succeed printed.
fn good(directory: &Path, arguments: &[&str]) -> String {
    let output = quorate(directory, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints UTF-8")
}

/// What a command that must fail complained about.
fn bad(directory: &Path, arguments: &[&str]) -> String {
    let output = quorate(directory, arguments);
    assert!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).expect("it prints UTF-8")
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("the file is there").permissions().mode() & 0o777
}

/// protocol §7.5
#[test]
fn init_makes_a_cluster_whose_secrets_only_their_owner_may_read_and_never_makes_it_twice() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    good(here, &["init", "--directory", "c", "--validators", "2", "--name", "pair"]);
    let cluster = here.join("c");
    let genesis = Genesis::parse(&std::fs::read(cluster.join("genesis.toml")).unwrap()).unwrap();
    assert_eq!((genesis.content.name.as_str(), genesis.content.validators.len()), ("pair", 2));
    for secret in
        ["administrator.key", "authority.key", "v1/consensus.key", "v1/network.key", "v1/client.key", "v1/guard"]
    {
        assert_eq!(mode(&cluster.join(secret)), 0o600, "{secret}");
    }
    let before = std::fs::read(cluster.join("genesis.toml")).unwrap();
    assert!(bad(here, &["init", "--directory", "c"]).contains("nothing is ever overwritten"));
    assert!(good(here, &["init", "--directory", "c", "--if-absent"]).contains("nothing was changed"));
    assert_eq!(std::fs::read(cluster.join("genesis.toml")).unwrap(), before);
    assert!(bad(here, &["init", "--new-store", "c/v0/node.toml"]).contains("lies in"));
}

#[test]
fn the_public_parts_of_validators_make_a_genesis_and_hold_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    for name in ["beta", "alpha"] {
        good(here, &["init", "--validator", name, "--directory", name, "--host", &format!("{name}.example.org")]);
        let part = std::fs::read_to_string(here.join(name).join("public-part.toml")).unwrap();
        for secret in ["consensus.key", "network.key"] {
            let secret = std::fs::read_to_string(here.join(name).join(secret)).unwrap();
            assert!(!part.contains(secret.trim()));
        }
    }
    let parts = ["alpha/public-part.toml", "beta/public-part.toml"];
    let assemble = |more: &[&'static str]| [&["init", "--assemble"], &parts[..], &["--directory", "g"], more].concat();
    assert!(bad(here, &assemble(&[])).contains("--administrator"));
    let key = good(here, &["keygen", "administrator.key"]);
    let with_key = [assemble(&["--administrator"]), vec![key.trim()]].concat();
    good(here, &with_key);
    let genesis = Genesis::parse(&std::fs::read(here.join("g/genesis.toml")).unwrap()).unwrap();
    let validators = &genesis.content.validators;
    assert_eq!(validators[0].info.name, "alpha", "the order is that of the names");
    assert_eq!(validators[1].info.peer_address, "beta.example.org:7000");
    assert!(bad(here, &with_key).contains("never overwritten"));
    let authorities = std::fs::read_to_string(here.join("g/authority.crt")).unwrap();
    assert_eq!(authorities.matches("BEGIN CERTIFICATE").count(), 2);
}

#[test]
fn a_command_that_is_refused_leaves_nothing_behind_that_stops_the_corrected_one() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let init = |more: &[&'static str]| [&["init", "--directory", "c", "--validators", "1"], more].concat();
    for (wrong, said) in [
        (&["--parameter", "windw=3"][..], "did you mean window?"),
        (&["--kind", "purse"], "NAME:TYPE"),
        (&["--threshold", "9"], "threshold"),
        (&["--host", "a b"], "peer_address"),
    ] {
        let error = bad(here, &init(wrong));
        assert!(error.contains(said), "{wrong:?}: {error}");
        assert!(!here.join("c").exists(), "{wrong:?}");
    }
    good(here, &init(&[]));
}

#[test]
fn one_validator_is_only_made_as_it_can_work_and_forgets_no_flag() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let host = ["--host", "one.example.org"];
    for (name, more, said) in [
        ("a b", &host[..], "validators[0].name"),
        ("alpha", &[], "--validator needs --host"),
        ("alpha", &["--host", "a", "--parameter", "zzz=1"], "go to --assemble"),
        ("alpha", &["--host", "a", "--kind", "a:b"], "go to --assemble"),
        ("alpha", &["--host", "a", "--name", "x"], "go to --assemble"),
    ] {
        let arguments = [&["init", "--validator", name, "--directory", "v"], more].concat();
        let error = bad(here, &arguments);
        assert!(error.contains(said), "{arguments:?}: {error}");
        assert!(!here.join("v").exists(), "{arguments:?}");
    }
    good(here, &["init", "--validator", "alpha", "--directory", "v", "--host", "one.example.org"]);
}

#[test]
fn a_key_is_made_once_and_shown_again() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let made = good(here, &["keygen", "author.key"]);
    assert_eq!(good(here, &["keygen", "author.key", "--show"]), made);
    assert_eq!(mode(&here.join("author.key")), 0o600);
    assert!(bad(here, &["keygen", "author.key"]).contains("never overwritten"));
    assert!(bad(here, &["keygen", "other.key", "--show"]).contains("quorate keygen other.key"));
}

#[test]
fn what_is_missing_or_wrong_is_named_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    std::fs::write(here.join("bad.jsonl"), "{\"do\":\"delete\",\"entity\":\"document/a\"}\nnonsense\n").unwrap();
    std::fs::write(here.join("genesis.toml"), "version = 1\nnmae = \"x\"\n").unwrap();
    for (arguments, said) in [
        (&["status"][..], "--cluster names the directory"),
        (&["status", "--genesis", "genesis.toml"], "did you mean name?"),
        (&["start", "--config", "none.toml"], "quorate init"),
        (&["stop", "--config", "none.toml"], "--config names the validator's"),
        (&["log-filter", "debug", "--config", "none.toml"], "--config names the validator's"),
        (&["submit", "lines", "bad.jsonl", "--check"], "line 2"),
        (&["submit", "lines", "none.jsonl"], "none.jsonl"),
        (&["submit", "lines", "bad.jsonl", "--if-exists", "document/a"], "for a single operation"),
        (&["submit", "lines", "bad.jsonl", "--json", "--check"], "for a single operation"),
        (&["submit", "put", "document/a", "1", "--receipt", "genesis.toml"], "never overwritten"),
        (&["submit", "put", "document/a", "1", "--receipt", "none/r"], "can't be written"),
        (&["receipt", "verify", "none", "--genesis", "none"], "none"),
        (&["init", "--directory", "x", "--parameter", "windw=3"], "did you mean window?"),
        (&["init", "--directory", "y", "--validators", "0"], "at least one validator"),
        (&["init", "--directory", "z", "--host", "a,b"], "2 hosts for 4 validators"),
        (&["demo", "--validators", "3"], "at least four"),
        (&["bench", "--in-flight", "0"], "--in-flight"),
    ] {
        let error = bad(here, arguments);
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}

#[test]
fn a_well_formed_file_passes_its_check_without_a_cluster() {
    let directory = tempfile::tempdir().unwrap();
    let lines = "{\"do\":\"add\",\"entity\":\"counter/a\",\"by\":1}\n\n{\"do\":\"delete\",\"entity\":\"document/a\"}\n";
    std::fs::write(directory.path().join("good.jsonl"), lines).unwrap();
    assert!(good(directory.path(), &["submit", "lines", "good.jsonl", "--check"]).contains("2 operations"));
}
