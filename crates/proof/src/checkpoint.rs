//! Checkpoints by name: what a person can write down, and a verifier can hold a chain of epochs against
//! (protocol §8.4).

use std::fmt;
use std::str::FromStr;

use quorate_crypto::{Digest, sha256};
use quorate_types::codec::Canonical;
use quorate_types::execution::Execution;
use quorate_types::ids::{ClusterId, Sequence};

/// What is hashed before an execution, so that its digest names nothing else.
const TAG: &[u8] = b"quorate/checkpoint/v1";

/// The result at the end of an epoch, by its sequence and digest: written `SEQUENCE:DIGEST`. The state root in it
/// covers the definition of the epoch that begins there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Where.
    pub sequence: Sequence,
    /// The digest of the execution there; at sequence 0 that of the genesis, which is the cluster's id.
    pub digest: Digest,
}

/// Why a text names no checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a checkpoint is SEQUENCE:DIGEST, as `quorate status` prints it: a number and 64 hexadecimal digits")]
pub struct NoCheckpoint;

impl Checkpoint {
    /// That of an execution.
    #[must_use]
    pub fn of(execution: &Execution) -> Self {
        Self { sequence: execution.sequence, digest: sha256(&[TAG, &execution.to_bytes()]) }
    }

    /// Where the first epoch begins.
    #[must_use]
    pub const fn of_genesis(cluster: ClusterId) -> Self {
        Self { sequence: Sequence::ZERO, digest: cluster.0 }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sequence, self.digest)
    }
}

impl FromStr for Checkpoint {
    type Err = NoCheckpoint;

    fn from_str(text: &str) -> Result<Self, NoCheckpoint> {
        let (sequence, digest) = text.split_once(':').ok_or(NoCheckpoint)?;
        let sequence = Sequence(sequence.parse().map_err(|_| NoCheckpoint)?);
        Ok(Self { sequence, digest: digest.parse().map_err(|_| NoCheckpoint)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read() {
        let checkpoint = Checkpoint { sequence: Sequence(640), digest: sha256(&[b"any"]) };
        assert_eq!(checkpoint.to_string().parse(), Ok(checkpoint));
        for text in ["", "640", "640:", ":00", "640:zz", "x:00"] {
            assert_eq!(text.parse::<Checkpoint>(), Err(NoCheckpoint), "{text:?}");
        }
    }
}
