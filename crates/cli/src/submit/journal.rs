//! What a bulk submission has signed and what became of it, in a file beside its input.
//!
//! An operation is in the journal, on disk, before it is sent. So after any interruption the same signed
//! bytes are sent again and execute once, and a line is never signed twice as long as its first operation may
//! still execute. The file is only ever appended to; a last line that a crash cut short is dropped.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use quorate_crypto::{Digest, PublicKey, Signature};
use quorate_types::ids::{ClusterId, Sequence};
use quorate_types::operation::{Operation, SignedOperation};
use quorate_types::receipt::{Outcome, Receipt, RejectionCode};
use serde::{Deserialize, Serialize};

use crate::json::{bytes_of_hex, hex_of_bytes};

/// The version of the file's form.
const VERSION: u32 = 1;

/// What a journal belongs to: another cluster, author or input has another journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    version: u32,
    /// The cluster.
    pub cluster: ClusterId,
    /// Who signs.
    pub author: PublicKey,
    /// The SHA-256 of the input.
    pub input: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Entry {
    Signed { line: u64, body: String, signature: Signature },
    Done { line: u64, sequence: Sequence, outcome: String },
    Expired { line: u64, expired: bool },
}

/// How far a line has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Signed; whether it executed isn't known.
    Signed(Arc<Operation>),
    /// It has a receipt.
    Done {
        /// Whether it was applied.
        is_applied: bool,
    },
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    lines: BTreeMap<u64, Progress>,
}

impl Header {
    /// What the journal of this input belongs to.
    #[must_use]
    pub const fn new(cluster: ClusterId, author: PublicKey, input: Digest) -> Self {
        Self { version: VERSION, cluster, author, input }
    }
}

impl Journal {
    /// Opens the journal, or makes it.
    ///
    /// # Errors
    /// If it can't be read, or belongs to another cluster, author or input.
    pub fn open(path: &Path, header: &Header) -> anyhow::Result<Self> {
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = opened.with_context(|| format!("opening the journal {}", path.display()))?;
        let mut text = String::new();
        file.read_to_string(&mut text).with_context(|| format!("reading the journal {}", path.display()))?;
        // What a crash cut short has no line end.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut journal = Self { file, path: path.to_owned(), lines: BTreeMap::new() };
        let mut entries = text[..whole].lines().enumerate();
        match entries.next() {
            None => {
                journal.file.set_len(0)?;
                journal.append(&[serde_json::to_string(header)?])?;
            }
            Some((_, first)) => {
                admit(header, first, path)?;
                for (number, line) in entries {
                    let at = || format!("line {} of the journal {}", number + 1, path.display());
                    journal.take(serde_json::from_str(line).with_context(at)?).with_context(at)?;
                }
                journal.file.set_len(whole as u64)?;
                journal.file.seek(SeekFrom::End(0))?;
            }
        }
        Ok(journal)
    }

    /// How far a line has come; `None` if it isn't signed yet.
    #[must_use]
    pub fn progress(&self, line: u64) -> Option<&Progress> {
        self.lines.get(&line)
    }

    /// Lines that are signed and have no receipt, with their operations.
    pub fn unsettled(&self) -> impl Iterator<Item = (u64, Arc<Operation>)> {
        self.lines.iter().filter_map(|(line, progress)| match progress {
            Progress::Signed(operation) => Some((*line, Arc::clone(operation))),
            Progress::Done { .. } => None,
        })
    }

    /// Lines with receipts: applied ones, and rejected ones.
    #[must_use]
    pub fn done(&self) -> (u64, u64) {
        let count = |wanted| {
            self.lines.values().filter(|progress| **progress == Progress::Done { is_applied: wanted }).count() as u64
        };
        (count(true), count(false))
    }

    /// Records signed operations, durably: only then may they be sent.
    ///
    /// # Errors
    /// If they can't be written.
    pub fn sign(&mut self, operations: &[(u64, Arc<Operation>)]) -> anyhow::Result<()> {
        let entries = operations.iter().map(|(line, operation)| {
            let SignedOperation { body, signature } = operation.signed();
            serde_json::to_string(&Entry::Signed { line: *line, body: hex_of_bytes(body), signature: *signature })
        });
        self.append(&entries.collect::<Result<Vec<_>, _>>()?)?;
        self.file.sync_data().with_context(|| format!("syncing the journal {}", self.path.display()))?;
        let signed = operations.iter().map(|(line, operation)| (*line, Progress::Signed(Arc::clone(operation))));
        self.lines.extend(signed);
        Ok(())
    }

    /// Records a line's receipt. A receipt that says EXPIRED means that the operation never executed and never
    /// will: the line counts as not signed. Gives whether that is so.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn settle(&mut self, line: u64, receipt: &Receipt) -> anyhow::Result<bool> {
        let expired =
            matches!(&receipt.outcome, Outcome::Rejected(rejection) if rejection.code == RejectionCode::Expired);
        let outcome = match &receipt.outcome {
            Outcome::Applied => "APPLIED",
            Outcome::Rejected(rejection) => rejection.code.name(),
        };
        let entry = if expired {
            Entry::Expired { line, expired }
        } else {
            Entry::Done { line, sequence: receipt.sequence, outcome: outcome.to_owned() }
        };
        self.append(&[serde_json::to_string(&entry)?])?;
        self.take(entry)?;
        Ok(expired)
    }

    fn take(&mut self, entry: Entry) -> anyhow::Result<()> {
        match entry {
            Entry::Signed { line, body, signature } => {
                let signed = SignedOperation { body: bytes_of_hex(&body)?.into(), signature };
                let operation = Operation::decode(&signed).context("the operation can't be read")?;
                self.lines.insert(line, Progress::Signed(Arc::new(operation)));
            }
            Entry::Done { line, outcome, .. } => {
                self.lines.insert(line, Progress::Done { is_applied: outcome == "APPLIED" });
            }
            Entry::Expired { line, .. } => {
                self.lines.remove(&line);
            }
        }
        Ok(())
    }

    fn append(&mut self, entries: &[String]) -> anyhow::Result<()> {
        let mut text = entries.join("\n");
        text.push('\n');
        self.file.write_all(text.as_bytes()).with_context(|| format!("writing the journal {}", self.path.display()))
    }
}

fn admit(header: &Header, first: &str, path: &Path) -> anyhow::Result<()> {
    let path = path.display();
    let found: Header = serde_json::from_str(first).with_context(|| format!("{path} is no journal of ours"))?;
    ensure!(found.version == VERSION, "the journal {path} has version {}, this program knows {VERSION}", found.version);
    let differs = [
        (found.cluster != header.cluster, "is for another cluster"),
        (found.author != header.author, "is by another author"),
        (found.input != header.input, "is for other content: the input was changed since"),
    ];
    if let Some((_, how)) = differs.into_iter().find(|(differs, _)| *differs) {
        bail!(
            "the journal {path} {how}. It knows which lines were submitted; to submit all lines of this input as new \
             operations, name another journal with --journal, or remove this one"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use quorate_crypto::SecretKey;
    use quorate_types::ids::{BlockTime, OperationId};
    use quorate_types::operation::{Change, EntityId, OperationBuilder};
    use quorate_types::receipt::{Location, Rejection};

    use super::*;

    fn operation(nonce: u64) -> Arc<Operation> {
        let key = SecretKey::from_seed([1; 32]);
        let builder = OperationBuilder::new(ClusterId(Digest::ZERO), key.public(), nonce, BlockTime(9));
        Arc::new(builder.mutate(EntityId::new("document", "a"), Change::Delete).sign(&key).unwrap())
    }

    fn header() -> Header {
        Header::new(ClusterId(Digest::ZERO), PublicKey::from_bytes([1; 32]), Digest::new([2; 32]))
    }

    fn receipt(operation: OperationId, outcome: Outcome) -> Receipt {
        let (versions, concurrent_with) = (Vec::new(), Vec::new());
        Receipt { operation, sequence: Sequence(5), index: 0, outcome, versions, concurrent_with }
    }

    #[test]
    fn an_interrupted_submission_finds_the_same_signed_operations_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let mut journal = Journal::open(&path, &header()).unwrap();
        journal.sign(&[(1, operation(1)), (2, operation(2)), (3, operation(3))]).unwrap();
        assert!(!journal.settle(1, &receipt(operation(1).id(), Outcome::Applied)).unwrap());
        let expired = Rejection::new(RejectionCode::Expired, Location::Operation, String::new());
        assert!(journal.settle(3, &receipt(operation(3).id(), Outcome::Rejected(expired))).unwrap());
        drop(journal);
        let again = Journal::open(&path, &header()).unwrap();
        assert_eq!(again.progress(1), Some(&Progress::Done { is_applied: true }));
        assert_eq!(again.unsettled().collect::<Vec<_>>(), [(2, operation(2))]);
        assert_eq!(again.progress(3), None, "what has expired is signed anew");
        assert_eq!(again.done(), (1, 0));
    }

    #[test]
    fn a_line_that_a_crash_cut_short_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let mut journal = Journal::open(&path, &header()).unwrap();
        journal.sign(&[(1, operation(1)), (2, operation(2))]).unwrap();
        drop(journal);
        let text = std::fs::read_to_string(&path).unwrap();
        for cut in [text.len() - 1, text.len() - 40] {
            std::fs::write(&path, &text[..cut]).unwrap();
            let mut journal = Journal::open(&path, &header()).unwrap();
            assert_eq!(journal.unsettled().count(), 1);
            journal.sign(&[(2, operation(7))]).unwrap();
            drop(journal);
            assert_eq!(Journal::open(&path, &header()).unwrap().unsettled().count(), 2);
        }
    }

    #[test]
    fn a_journal_of_something_else_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        drop(Journal::open(&path, &header()).unwrap());
        let changed = Header { input: Digest::new([3; 32]), ..header() };
        assert!(Journal::open(&path, &changed).unwrap_err().to_string().contains("was changed since"));
        std::fs::write(&path, "something\n").unwrap();
        assert!(Journal::open(&path, &header()).unwrap_err().to_string().contains("no journal of ours"));
    }
}
