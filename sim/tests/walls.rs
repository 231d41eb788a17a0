//! The walls between the crates, and what every file keeps (architecture §§2–3, style).
//!
//! The manifests are the allow-lists; this test holds them against the table of the architecture.
//! What clippy can see, it sees in the pure crates by their own `clippy.toml`; this test sees that
//! the file is there and says what it must.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which crates of ours a crate may use, beside `crypto` and, but for `crypto`, `types`.
const EDGES: [(&str, &[&str]); 17] = [
    ("crypto", &[]),
    ("types", &[]),
    ("proof", &[]),
    ("storage", &[]),
    ("accountability", &["proof"]),
    ("machine", &["proof", "storage"]),
    ("rocks", &["storage"]),
    ("transport", &[]),
    ("consensus", &[]),
    ("dag", &[]),
    ("client", &["transport", "proof"]),
    ("replica", &["consensus", "dag", "machine", "accountability", "storage", "proof"]),
    ("node", &["replica", "storage", "transport", "accountability", "proof"]),
    ("cli", &["node", "rocks", "storage", "client", "replica", "accountability", "proof"]),
    ("determinism", &[]),
    ("sim", ALL_BUT_ROCKS_AND_CLI),
    ("tests", ALL),
];

const ALL_BUT_ROCKS_AND_CLI: &[&str] = &[
    "accountability",
    "client",
    "consensus",
    "dag",
    "determinism",
    "machine",
    "node",
    "proof",
    "replica",
    "storage",
    "transport",
];
const ALL: &[&str] = &[
    "accountability",
    "cli",
    "client",
    "consensus",
    "dag",
    "determinism",
    "machine",
    "node",
    "proof",
    "replica",
    "rocks",
    "sim",
    "storage",
    "transport",
];

/// Crates that compute and do nothing else.
const PURE: [&str; 9] =
    ["accountability", "consensus", "crypto", "dag", "machine", "proof", "replica", "storage", "types"];

/// What a pure crate must not even name in its manifest: runtimes, sockets, clocks, dice.
const IMPURE_DEPENDENCIES: [&str; 14] = [
    "async-trait",
    "chrono",
    "futures",
    "getrandom",
    "hyper-util",
    "libc",
    "rand",
    "rand_chacha",
    "rocksdb",
    "rustls",
    "time",
    "tokio",
    "tonic",
    "tracing",
];

/// What the `clippy.toml` of a pure crate must ban.
const BANS: [&str; 8] = [
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::thread::spawn",
    "std::env::var",
    "std::fs::File",
    "std::net::TcpStream",
];

/// Lines beyond which a file must be split.
const LONGEST_FILE_LINES: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The manifest of each package of ours by its short name, with its directory.
fn packages() -> BTreeMap<String, (PathBuf, toml::Table)> {
    let mut directories = vec![root().join("sim"), root().join("sim/determinism"), root().join("tests")];
    let crates = fs::read_dir(root().join("crates")).expect("there are crates");
    directories.extend(crates.map(|entry| entry.expect("crates can be listed").path()));
    directories
        .into_iter()
        .map(|directory| {
            let manifest: toml::Table = read(&directory.join("Cargo.toml")).parse().expect("TOML");
            let name = manifest["package"]["name"].as_str().expect("a package has a name");
            let short = name.strip_prefix("quorate-").expect("packages are named quorate-<folder>");
            (short.to_owned(), (directory, manifest))
        })
        .collect()
}

/// The names of all dependencies of a manifest, those of tests and build scripts too.
fn dependencies(manifest: &toml::Table) -> BTreeSet<String> {
    ["dependencies", "dev-dependencies", "build-dependencies"]
        .into_iter()
        .filter_map(|table| manifest.get(table)?.as_table())
        .flat_map(|table| table.keys().cloned())
        .collect()
}

/// The Rust files under a directory, without what was built.
fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(directory) else {
        return files;
    };
    for entry in entries {
        let path = entry.expect("the directory can be listed").path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn all_rust_files() -> Vec<PathBuf> {
    ["crates", "sim", "tests"].iter().flat_map(|top| rust_files(&root().join(top))).collect()
}

#[test]
fn every_crate_uses_only_crates_below_it() {
    let allowed: BTreeMap<&str, &[&str]> = EDGES.into_iter().collect();
    for (name, (_, manifest)) in packages() {
        let allowed = allowed.get(name.as_str()).unwrap_or_else(|| panic!("{name} has no floor"));
        for dependency in dependencies(&manifest) {
            let Some(used) = dependency.strip_prefix("quorate-") else {
                continue;
            };
            let is_common = match name.as_str() {
                "crypto" => false,
                "types" | "determinism" => used == "crypto",
                _ => used == "crypto" || used == "types",
            };
            assert!(is_common || allowed.contains(&used), "{name} must not use {used}");
        }
    }
}

#[test]
fn only_judges_can_make_stand_in_signatures() {
    for (name, (_, manifest)) in packages() {
        let is_used = dependencies(&manifest).contains("quorate-determinism");
        assert!(!is_used || name == "sim" || name == "tests", "{name} uses determinism");
    }
}

#[test]
fn a_pure_crate_depends_on_nothing_that_touches_the_world() {
    let packages = packages();
    for name in PURE {
        let (_, manifest) = &packages[name];
        let named = manifest.get("dependencies").and_then(|table| table.as_table());
        for dependency in named.into_iter().flat_map(|table| table.keys()) {
            let is_impure = IMPURE_DEPENDENCIES.contains(&dependency.as_str())
                || dependency.starts_with("tonic")
                || dependency.starts_with("tokio");
            assert!(!is_impure, "{name} is pure and must not use {dependency}");
        }
    }
}

#[test]
fn every_pure_crate_has_the_same_ban_list() {
    let settings = read(&root().join("clippy.toml"));
    let list = read(&root().join("crates/types/clippy.toml"));
    for line in settings.lines().filter(|line| !line.starts_with('#')) {
        assert!(list.contains(line), "the root's settings are not merged: repeat {line}");
    }
    for ban in BANS {
        assert!(list.contains(&format!("\"{ban}\"")), "{ban} is not banned");
    }
    for name in PURE {
        let own = read(&root().join("crates").join(name).join("clippy.toml"));
        assert!(own == list, "the ban list of {name} differs from that of types");
    }
}

#[test]
fn unsafe_code_is_forbidden_everywhere_but_in_determinism() {
    let workspace: toml::Table = read(&root().join("Cargo.toml")).parse().expect("TOML");
    let lint = &workspace["workspace"]["lints"]["rust"]["unsafe_code"];
    assert_eq!(lint.as_str(), Some("forbid"));
    for (name, (_, manifest)) in packages() {
        let inherits = manifest["lints"].get("workspace").and_then(toml::Value::as_bool);
        assert_eq!(inherits == Some(true), name != "determinism", "lints of {name}");
    }
}

#[test]
fn versions_stand_in_the_root_manifest_only() {
    for (name, (_, manifest)) in packages() {
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(table) = manifest.get(table).and_then(toml::Value::as_table) else {
                continue;
            };
            for (dependency, spec) in table {
                let is_inherited = spec.get("workspace").and_then(toml::Value::as_bool);
                assert_eq!(is_inherited, Some(true), "{name}: {dependency}");
            }
        }
    }
}

/// A bare `cargo test` must not compile fifteen minutes of C++.
#[test]
fn the_quick_loop_does_not_reach_rocksdb() {
    let workspace: toml::Table = read(&root().join("Cargo.toml")).parse().expect("TOML");
    let members = workspace["workspace"]["default-members"].as_array().expect("a list");
    let packages = packages();
    let mut reached: BTreeSet<String> =
        members.iter().filter_map(|member| member.as_str()?.rsplit('/').next().map(str::to_owned)).collect();
    let mut open: Vec<String> = reached.iter().cloned().collect();
    while let Some(name) = open.pop() {
        let (_, manifest) = &packages[&name];
        for dependency in dependencies(manifest) {
            assert_ne!(dependency, "rocksdb", "reached through {name}");
            if let Some(used) = dependency.strip_prefix("quorate-")
                && reached.insert(used.to_owned())
            {
                open.push(used.to_owned());
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is_and_is_short_enough_to_read() {
    for path in all_rust_files() {
        let text = read(&path);
        let lines = text.lines().count();
        assert!(lines <= LONGEST_FILE_LINES, "{} has {lines} lines", path.display());
        let first = text.lines().find(|line| !line.starts_with("#!")).unwrap_or_default();
        assert!(first.starts_with("//!"), "{} does not open with //!", path.display());
    }
}

#[test]
fn nothing_is_left_for_later_in_the_code() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    for path in all_rust_files() {
        let text = read(&path);
        for mark in marks {
            assert!(!text.contains(mark), "{} holds a {mark}", path.display());
        }
    }
}

#[test]
fn pure_crates_compute_without_floats() {
    for name in PURE {
        for path in rust_files(&root().join("crates").join(name).join("src")) {
            let text = read(&path);
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
                let has_float = words.any(|word| word == "f32" || word == "f64");
                assert!(!has_float, "{}:{} uses a float", path.display(), number + 1);
            }
        }
    }
}
