//! A cluster of four for the tests of this crate.

use std::sync::Arc;

use quorate_crypto::{Scheme, SecretKey, sha256};
use quorate_proof::EpochInfo;
use quorate_types::execution::{Execution, ExecutionCertificate, ExecutionVote};
use quorate_types::ids::{ClusterId, ValidatorIndex};
use quorate_types::set::{ValidatorInfo, ValidatorSet};
use quorate_types::signed::signing_bytes;

const VALIDATORS: u16 = 4;

pub(crate) fn key(index: u16) -> SecretKey {
    SecretKey::from_seed([u8::try_from(index).expect("few validators") + 1; 32])
}

pub(crate) fn epoch_of(cluster: &[u8]) -> EpochInfo {
    let validators = (0..VALIDATORS)
        .map(|index| ValidatorInfo {
            name: format!("v{index}"),
            consensus_key: key(index).public(),
            network_key: key(index + 100).public(),
            incarnation: [0; 32],
            peer_address: format!("localhost:{index}"),
        })
        .collect();
    let set = Arc::new(ValidatorSet::new(validators).expect("four validators"));
    EpochInfo::first(ClusterId(sha256(&[cluster])), Scheme::Ed25519, set)
}

/// A certificate of the validators with these indices, each with its key's number.
pub(crate) fn certificate(
    epoch: &EpochInfo,
    execution: Execution,
    signers: impl IntoIterator<Item = (u16, u16)>,
) -> ExecutionCertificate {
    let signatures = signers.into_iter().map(|(index, number)| {
        let vote = ExecutionVote { execution, validator: ValidatorIndex(index) };
        (vote.validator, key(number).sign(&signing_bytes(&epoch.cluster, &vote)))
    });
    ExecutionCertificate { execution, signatures: signatures.collect() }
}
