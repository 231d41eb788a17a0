//! Debian control data: paragraphs of fields, as `apt-cache dumpavail` prints them (Debian Policy §5.1).
//!
//! Reads from a stream and holds one paragraph at a time. It knows the form, not the fields.

use std::collections::BTreeMap;
use std::io::BufRead;

use anyhow::{Context, bail};

/// One paragraph: fields by name as written, continuation lines joined by newlines without their first
/// space.
pub(crate) type Paragraph = BTreeMap<String, String>;

/// The paragraphs of a stream.
pub(crate) struct Paragraphs<R> {
    from: R,
    line: u64,
}

impl<R: BufRead> Paragraphs<R> {
    /// Reads from `from`.
    pub(crate) const fn new(from: R) -> Self {
        Self { from, line: 0 }
    }

    /// The next paragraph, or `None` at the end.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<Paragraph>> {
        let mut paragraph = Paragraph::new();
        let mut last: Option<String> = None;
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let length = self.from.read_until(b'\n', &mut bytes).context("reading the package list")?;
            self.line += 1;
            // Some maintainers' names were never UTF-8; the rest of such a line is still right.
            let text = String::from_utf8_lossy(&bytes);
            let line = text.trim_end_matches(['\n', '\r']);
            if line.trim().is_empty() {
                if length == 0 || !paragraph.is_empty() {
                    return Ok((!paragraph.is_empty()).then_some(paragraph));
                }
            } else if line.starts_with([' ', '\t']) {
                let Some(value) = last.as_ref().and_then(|name| paragraph.get_mut(name)) else {
                    bail!("line {} of the package list continues a field, but none stands before it", self.line);
                };
                value.push('\n');
                value.push_str(&line[1..]);
            } else if let Some((name, value)) = line.split_once(':') {
                paragraph.insert(name.to_owned(), value.trim().to_owned());
                last = Some(name.to_owned());
            } else {
                bail!("line {} of the package list is no field (\"Name: value\"): {line:?}", self.line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<Vec<Paragraph>> {
        let mut paragraphs = Paragraphs::new(text.as_bytes());
        std::iter::from_fn(|| paragraphs.next().transpose()).collect()
    }

    #[test]
    fn paragraphs_are_split_at_empty_lines_and_fields_continue_on_indented_ones() {
        let text = "\n\nPackage: a\nDescription: first\n second\n .\nTag: x,\n y\n\n\nPackage: b\n";
        let found = read(text).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0]["Description"], "first\nsecond\n.");
        assert_eq!(found[0]["Tag"], "x,\ny");
        assert_eq!(found[1]["Package"], "b");
    }

    #[test]
    fn nothing_gives_no_paragraphs() {
        assert!(read("").unwrap().is_empty());
        assert!(read("\n\n").unwrap().is_empty());
    }

    #[test]
    fn what_is_not_control_data_is_refused_with_its_line() {
        assert!(read("Package: a\nnonsense\n").unwrap_err().to_string().contains("line 2"));
        assert!(read(" lost\n").unwrap_err().to_string().contains("line 1"));
    }
}
