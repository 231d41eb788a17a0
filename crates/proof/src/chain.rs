//! The chain of epoch starts in a file: what leads from the genesis to later epochs without a network
//! (data-model §4.9).

use quorate_crypto::Digest;
use quorate_types::codec::{Canonical, DecodeError, Reader, encode_list};
use quorate_types::epoch::EpochStart;
use quorate_types::ids::ClusterId;

use crate::{EpochInfo, ProofFault, file};

/// What such a file starts with.
const MAGIC: &str = "quorate-epochs";

/// Starts in one file at most. An epoch takes minutes at least.
const MAX_STARTS: usize = 1 << 20;

/// The starts of the epochs from the second one on, in their order. Unverified until [`EpochChain::follow`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochChain {
    /// The cluster whose they are.
    pub cluster: ClusterId,
    /// The starts; each verifies by the one before, the first by the genesis.
    pub starts: Vec<EpochStart>,
}

impl EpochChain {
    /// The content of a file.
    #[must_use]
    pub fn to_file(&self) -> Vec<u8> {
        file::write_summed(MAGIC, self)
    }

    /// Reads the content of a file, strictly. Nothing is verified yet but that it is as it was written.
    ///
    /// # Errors
    /// [`ProofFault::Format`].
    pub fn from_file(bytes: &[u8]) -> Result<Self, ProofFault> {
        Ok(file::read_summed(MAGIC, bytes)?)
    }

    /// Goes on from what is known, as far as the chain leads.
    ///
    /// # Errors
    /// [`ProofFault::Start`]: the first start that doesn't hold. What comes before it was followed.
    pub fn follow(&self, known: &mut EpochInfo) -> Result<(), ProofFault> {
        if self.cluster != known.cluster {
            return Err(ProofFault::OtherCluster { expected: known.cluster, found: self.cluster });
        }
        for start in &self.starts {
            let epoch = start.definition.epoch;
            known.follow(start).map_err(|fault| ProofFault::Start { epoch, fault: Box::new(fault) })?;
        }
        Ok(())
    }
}

impl Canonical for EpochChain {
    fn encode(&self, out: &mut Vec<u8>) {
        self.cluster.0.encode(out);
        encode_list(&self.starts, out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { cluster: ClusterId(Digest::decode(input)?), starts: input.list(MAX_STARTS, "starts of epochs")? })
    }
}
