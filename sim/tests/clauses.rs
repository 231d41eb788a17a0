//! The documents and the code hold together: every clause of the protocol that this version has is cited
//! by code and by a test, and every clause that anything cites exists.
//!
//! Which clauses belong to a later version is read from the document itself: the mark `*(later: …)*`
//! right after a clause's title. Nothing here knows what a clause means.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A numbered clause, or a whole section when `clause` is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Number {
    section: u32,
    clause: u32,
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.clause {
            0 => write!(f, "{}", self.section),
            clause => write!(f, "{}.{clause}", self.section),
        }
    }
}

/// The documents that have numbered sections, by the word that citations use.
const DOCUMENTS: [&str; 6] = ["protocol", "data-model", "architecture", "accountability", "simulation", "performance"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn document(name: &str) -> String {
    read(&root().join("docs").join(format!("{name}.md")))
}

/// All files with this extension under `folder`, build output left out.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() && !path.ends_with("target") {
                open.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The number at the start of `text`, and what follows it.
fn number(text: &str) -> Option<(Number, &str)> {
    let (section, rest) = digits(text)?;
    let clause = rest.strip_prefix('.').and_then(digits);
    let (clause, rest) = clause.unwrap_or((0, rest));
    Some((Number { section, clause }, rest))
}

fn digits(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// Clauses and sections of a document, each with whether it belongs to a later version.
fn clauses(text: &str) -> Vec<(Number, bool)> {
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some((section, _)) = line.strip_prefix("## ").and_then(number) {
            found.push((section, false));
        } else if let Some((clause, rest)) = line.strip_prefix("**").and_then(number)
            && clause.clause > 0
        {
            let later = rest.split_once("**").is_some_and(|(_, text)| text.trim_start().starts_with("*(later:"));
            found.push((clause, later));
        }
    }
    found
}

/// Joins the lines of comments, so that a citation may be broken by the margin.
fn unwrapped(text: &str) -> String {
    let line = |line: &str| {
        let line = line.trim();
        let text = ["//!", "///", "//"].iter().find_map(|mark| line.strip_prefix(mark));
        text.unwrap_or(line).trim().to_owned()
    };
    text.lines().map(line).collect::<Vec<_>>().join(" ")
}

/// What `text` cites of `document`: `protocol §5.2`, `protocol §§3.1, 3.4–3.6 and 9`.
fn citations(text: &str, document: &str) -> BTreeSet<Number> {
    let mut found = BTreeSet::new();
    let mark = format!("{document} §");
    for (start, _) in text.match_indices(&mark) {
        let mut rest = text[start + mark.len()..].trim_start_matches('§');
        while let Some((first, after)) = number(rest) {
            found.insert(first);
            rest = after;
            let range = rest.strip_prefix('–').or_else(|| rest.strip_prefix('-'));
            if let Some((last, after)) = range.map(|text| text.trim_start_matches('§')).and_then(number) {
                found.insert(last);
                if last.section == first.section {
                    let between = first.clause..last.clause;
                    found.extend(between.map(|clause| Number { clause, ..first }));
                }
                rest = after;
            }
            let next = [", §", " and §", ", ", " and "].iter().find_map(|join| rest.strip_prefix(join));
            rest = next.unwrap_or("");
        }
    }
    found
}

/// The part of a source file that is product, and the part that tests it.
fn split(path: &Path, text: &str) -> (String, String) {
    let is_test = path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "sim")))
        || path.file_name().is_some_and(|name| name == "tests.rs" || name == "suite.rs");
    if is_test {
        return (String::new(), unwrapped(text));
    }
    let inner = text.match_indices("#[cfg(test)]").find(|(at, mark)| {
        let rest = text[at + mark.len()..].trim_start();
        rest.starts_with("mod ") && !rest.lines().next().unwrap_or_default().ends_with(';')
    });
    let at = inner.map_or(text.len(), |(at, _)| at);
    (unwrapped(&text[..at]), unwrapped(&text[at..]))
}

/// Every source file with its product part and its test part, this file left out.
fn sources() -> Vec<(PathBuf, String, String)> {
    let root = root();
    let folders = ["crates", "sim", "tests"].map(|folder| root.join(folder));
    let paths = folders.iter().flat_map(|folder| files(folder, "rs"));
    let paths = paths.filter(|path| !path.ends_with("sim/tests/clauses.rs"));
    let read_one = |path: PathBuf| {
        let inside = path.strip_prefix(&root).expect("it was found under the root").to_path_buf();
        let (product, test) = split(&inside, &read(&path));
        (inside, product, test)
    };
    paths.map(read_one).collect()
}

/// Sections whose clauses must be cited: §§1–7 and 9, and of §8 what this version has.
fn is_required(number: Number) -> bool {
    match (number.section, number.clause) {
        (_, 0) => false,
        (1..=7 | 9, _) | (8, 1 | 3) => true,
        _ => false,
    }
}

#[test]
fn every_clause_of_this_version_is_cited_by_code_and_by_a_test() {
    let (mut by_code, mut by_test) = (BTreeSet::new(), BTreeSet::new());
    for (_, product, test) in sources() {
        by_code.extend(citations(&product, "protocol"));
        by_test.extend(citations(&test, "protocol"));
    }
    let clauses = clauses(&document("protocol"));
    let required: Vec<Number> = clauses
        .into_iter()
        .filter(|(number, later)| is_required(*number) && !later)
        .map(|(number, _)| number)
        .collect();
    assert!(required.len() > 40, "the protocol has lost its clauses: {required:?}");
    let missing = |cited: &BTreeSet<Number>| -> Vec<String> {
        required.iter().filter(|clause| !cited.contains(clause)).map(Number::to_string).collect()
    };
    let (code, test) = (missing(&by_code), missing(&by_test));
    assert!(code.is_empty() && test.is_empty(), "cited by no code: {code:?}\ncited by no test: {test:?}");
}

#[test]
fn every_clause_that_is_cited_exists() {
    let mut texts: Vec<(PathBuf, String)> = Vec::new();
    texts.extend(sources().into_iter().map(|(path, product, test)| (path, format!("{product} {test}"))));
    texts.extend(files(&root().join("docs"), "md").into_iter().map(|path| (path.clone(), unwrapped(&read(&path)))));
    let mut wrong = Vec::new();
    for name in DOCUMENTS {
        let known: BTreeMap<Number, bool> = clauses(&document(name)).into_iter().collect();
        for (path, text) in &texts {
            let unknown = citations(text, name).into_iter().filter(|number| !known.contains_key(number));
            wrong.extend(unknown.map(|number| format!("{}: {name} §{number}", path.display())));
        }
    }
    assert!(wrong.is_empty(), "cited, but not there:\n{}", wrong.join("\n"));
}

#[test]
fn clauses_ascend_without_gaps() {
    for name in DOCUMENTS {
        let mut last = Number { section: 0, clause: 0 };
        for (number, _) in clauses(&document(name)) {
            let next_section = Number { section: last.section + 1, clause: 0 };
            let next_clause = Number { clause: last.clause + 1, ..last };
            assert!(number == next_section || number == next_clause, "{name}: §{number} follows §{last}");
            last = number;
        }
    }
}

#[test]
fn citations_are_read_as_people_write_them() {
    let read = |text: &str| citations(&unwrapped(text), "protocol").iter().map(Number::to_string).collect::<Vec<_>>();
    assert_eq!(read("see protocol §5.2."), ["5.2"]);
    assert_eq!(read("(protocol §§3.1, 3.4–3.6 and 9)"), ["3.1", "3.4", "3.5", "3.6", "9"]);
    assert_eq!(read("/// as protocol\n    /// §3.2(c) says"), ["3.2"]);
    assert_eq!(read("protocol §5 and data-model §1"), ["5"]);
    assert!(read("protocol 5.2").is_empty());
}
