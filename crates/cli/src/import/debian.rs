//! The package index of a Debian machine as documents: `package/<name>:<architecture>`, the newest version
//! of each.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use quorate_types::value::Value;

use super::Record;
use super::control::{Paragraph, Paragraphs};
use super::version::Version;

/// The kind of the documents.
pub const KIND: &str = "package";

/// Fields that hold a number.
const NUMBERS: [&str; 2] = ["Installed-Size", "Size"];

/// Fields that hold a list separated by commas.
const LISTS: [&str; 10] = [
    "Breaks",
    "Conflicts",
    "Depends",
    "Enhances",
    "Pre-Depends",
    "Provides",
    "Recommends",
    "Replaces",
    "Suggests",
    "Tag",
];

/// What a package index held.
#[derive(Debug, Default)]
pub struct Packages {
    /// The newest version of each package, in the order of names.
    pub records: Vec<Record>,
    /// Paragraphs read.
    pub read: usize,
    /// Older or equal versions of packages that are among the records.
    pub superseded: usize,
}

/// Asks this machine for its package index. Empty where the lists are empty or there is no apt.
///
/// # Errors
/// If apt fails, or prints what can't be read.
pub fn read_machine() -> anyhow::Result<Packages> {
    let child = Command::new("apt-cache").arg("dumpavail").stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Packages::default()),
        Err(error) => return Err(error).context("starting `apt-cache dumpavail`"),
    };
    let output = child.stdout.take().context("`apt-cache dumpavail` has no output")?;
    let packages = read(BufReader::with_capacity(1 << 20, output));
    let status = child.wait().context("waiting for `apt-cache dumpavail`")?;
    ensure!(status.success(), "`apt-cache dumpavail` failed with {status}; run it by hand to see why");
    packages
}

/// Reads a package index in the form of `apt-cache dumpavail`.
///
/// # Errors
/// If it isn't in that form; the error names the line or package.
pub fn read(from: impl BufRead) -> anyhow::Result<Packages> {
    let mut paragraphs = Paragraphs::new(from);
    let mut newest: BTreeMap<String, (Version, Value)> = BTreeMap::new();
    let mut packages = Packages::default();
    while let Some(paragraph) = paragraphs.next()? {
        packages.read += 1;
        let id = format!("{}:{}", field(&paragraph, "Package")?, field(&paragraph, "Architecture")?);
        let version: Version = field(&paragraph, "Version")?.parse().with_context(|| format!("package {id}"))?;
        match newest.entry(id) {
            Entry::Vacant(place) => {
                place.insert((version, document(&paragraph)));
            }
            Entry::Occupied(mut place) => {
                packages.superseded += 1;
                if place.get().0 < version {
                    place.insert((version, document(&paragraph)));
                }
            }
        }
    }
    packages.records = newest.into_iter().map(|(id, (_, value))| Record { id, value }).collect();
    Ok(packages)
}

fn field<'a>(paragraph: &'a Paragraph, name: &str) -> anyhow::Result<&'a str> {
    match paragraph.get(name) {
        Some(value) if !value.is_empty() => Ok(value),
        _ => bail!("a package has no field {name}; it has {paragraph:?}"),
    }
}

/// All fields: numbers as integers, lists as lists, everything else as text.
fn document(paragraph: &Paragraph) -> Value {
    let entries = paragraph.iter().map(|(name, text)| {
        let value = match text.parse() {
            Ok(number) if NUMBERS.contains(&name.as_str()) => Value::Integer(number),
            _ if LISTS.contains(&name.as_str()) => Value::List(items(text)),
            _ => Value::Text(text.clone()),
        };
        (name.to_ascii_lowercase().replace('-', "_"), value)
    });
    Value::Map(entries.collect())
}

fn items(text: &str) -> Vec<Value> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(|item| Value::Text(item.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "\
Package: zlib1g
Version: 1:1.2.13.dfsg-1
Architecture: amd64
Installed-Size: 160
Depends: libc6 (>= 2.14), libx
Description: compression library
 runtime

Package: zlib1g
Version: 1:1.2.13.dfsg-1~bpo11
Architecture: amd64

Package: zlib1g
Version: 1:1.2.9
Architecture: i386
";

    #[test]
    fn of_each_package_and_architecture_the_newest_version_stays() {
        let packages = read(INDEX.as_bytes()).unwrap();
        let ids: Vec<_> = packages.records.iter().map(|record| record.id.as_str()).collect();
        assert_eq!(ids, ["zlib1g:amd64", "zlib1g:i386"]);
        assert_eq!((packages.read, packages.superseded), (3, 1));
        let Value::Map(document) = &packages.records[0].value else { panic!("a package is a map") };
        assert_eq!(document["version"], Value::Text("1:1.2.13.dfsg-1".to_owned()));
        assert_eq!(document["installed_size"], Value::Integer(160));
        let depends = vec![Value::Text("libc6 (>= 2.14)".to_owned()), Value::Text("libx".to_owned())];
        assert_eq!(document["depends"], Value::List(depends));
        assert_eq!(document["description"], Value::Text("compression library\nruntime".to_owned()));
    }

    #[test]
    fn a_package_without_a_version_is_named() {
        let error = read("Package: a\nArchitecture: all\n".as_bytes()).unwrap_err().to_string();
        assert!(error.contains("Version"), "{error}");
    }
}
