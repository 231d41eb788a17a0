//! Evidence and promises as files, and the epoch that judges it, out of a genesis file: all that a third party needs.

use std::sync::Arc;

use quorate_crypto::Scheme;
use quorate_types::codec::{Canonical, DecodeError, Reader};
use quorate_types::evidence::Evidence;
use quorate_types::genesis::Genesis;
use quorate_types::ids::{Epoch, Sequence};
use quorate_types::promise::Promise;
use quorate_types::signed::Signed;
use quorate_types::verified::Context;

/// What an evidence file starts with; the last byte is the version of its form.
const MAGIC: &[u8] = b"quorate-evidence\0\x01";

/// What a promise file starts with.
const PROMISE_MAGIC: &[u8] = b"quorate-promise\0\x01";

/// Why bytes are no file of evidence or of a promise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// They don't start as one.
    #[error("it doesn't start like such a file of this version")]
    Magic,
    /// What follows isn't what it says.
    #[error("its content can't be read: {0}")]
    Content(#[from] DecodeError),
}

/// The content of an evidence file.
#[must_use]
pub fn to_file(evidence: &Evidence) -> Vec<u8> {
    write(MAGIC, evidence)
}

/// Reads the content of an evidence file, strictly. Nothing is judged yet.
///
/// # Errors
/// If it isn't one.
pub fn from_file(bytes: &[u8]) -> Result<Evidence, FileFault> {
    read(MAGIC, bytes)
}

/// The content of a promise file.
#[must_use]
pub fn promise_to_file(promise: &Signed<Promise>) -> Vec<u8> {
    write(PROMISE_MAGIC, promise)
}

/// Reads the content of a promise file, strictly. Nothing is judged yet.
///
/// # Errors
/// If it isn't one.
pub fn promise_from_file(bytes: &[u8]) -> Result<Signed<Promise>, FileFault> {
    read(PROMISE_MAGIC, bytes)
}

fn write<T: Canonical>(magic: &[u8], value: &T) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    value.encode(&mut bytes);
    bytes
}

fn read<T: Canonical>(magic: &[u8], bytes: &[u8]) -> Result<T, FileFault> {
    let content = bytes.strip_prefix(magic).ok_or(FileFault::Magic)?;
    let mut input = Reader::new(content);
    let value = T::decode(&mut input)?;
    input.finish()?;
    Ok(value)
}

/// The epoch that begins with a genesis, as evidence is judged in it.
#[must_use]
pub fn first_epoch(genesis: &Genesis) -> Context {
    Context {
        cluster: genesis.cluster,
        scheme: Scheme::Ed25519,
        epoch: Epoch::ZERO,
        set: Arc::new(genesis.validator_set()),
        parameters: Arc::new(genesis.content.parameters),
        start: (Sequence::ZERO, genesis.cluster.0),
    }
}

#[cfg(test)]
mod tests {
    use quorate_crypto::{Digest, Signature};
    use quorate_types::ids::{BundleNumber, OperationId, ValidatorIndex, View};
    use quorate_types::vote::{Phase, Vote};

    use super::*;

    /// accountability §3.3
    #[test]
    fn a_file_holds_exactly_one_piece() {
        let statement = Vote {
            epoch: Epoch(0),
            view: View(1),
            sequence: Sequence(2),
            digest: Digest::ZERO,
            phase: Phase::Commit,
            validator: ValidatorIndex(3),
        };
        let vote = Signed { statement, signature: Signature::from_bytes([0; 64]) };
        let evidence = Evidence::ConflictingVotes(vote, vote);
        let mut bytes = to_file(&evidence);
        assert_eq!(from_file(&bytes), Ok(evidence));
        assert_eq!(from_file(&bytes[1..]), Err(FileFault::Magic));
        bytes.push(0);
        assert_eq!(from_file(&bytes), Err(FileFault::Content(DecodeError::Trailing { left: 1 })));
    }

    /// accountability §1.10
    #[test]
    fn a_promise_file_is_no_evidence_file() {
        let (epoch, lane, number) = (Epoch(0), ValidatorIndex(3), BundleNumber(7));
        let statement = Promise { epoch, lane, number, operation: OperationId(Digest::ZERO) };
        let promise = Signed { statement, signature: Signature::from_bytes([0; 64]) };
        let bytes = promise_to_file(&promise);
        assert_eq!(promise_from_file(&bytes), Ok(promise));
        assert_eq!(from_file(&bytes), Err(FileFault::Magic));
    }
}
