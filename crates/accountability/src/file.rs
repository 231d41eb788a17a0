//! Evidence as a file, and the epoch that judges it, out of a genesis file: all that a third party needs.

use std::sync::Arc;

use quorate_crypto::Scheme;
use quorate_types::codec::{Canonical, DecodeError, Reader};
use quorate_types::evidence::Evidence;
use quorate_types::genesis::Genesis;
use quorate_types::ids::{Epoch, Sequence};
use quorate_types::verified::Context;

/// What an evidence file starts with; the last byte is the version of its form.
const MAGIC: &[u8] = b"quorate-evidence\0\x01";

/// Why bytes are no evidence file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// They don't start as one.
    #[error("it doesn't start like an evidence file of this version")]
    Magic,
    /// What follows isn't evidence.
    #[error("it is no evidence: {0}")]
    Content(#[from] DecodeError),
}

/// The content of an evidence file.
#[must_use]
pub fn to_file(evidence: &Evidence) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    evidence.encode(&mut bytes);
    bytes
}

/// Reads the content of an evidence file, strictly. Nothing is judged yet.
///
/// # Errors
/// If it isn't one.
pub fn from_file(bytes: &[u8]) -> Result<Evidence, FileFault> {
    let content = bytes.strip_prefix(MAGIC).ok_or(FileFault::Magic)?;
    let mut input = Reader::new(content);
    let evidence = Evidence::decode(&mut input)?;
    input.finish()?;
    Ok(evidence)
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
    use quorate_types::ids::{ValidatorIndex, View};
    use quorate_types::signed::Signed;
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
}
