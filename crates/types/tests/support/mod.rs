//! A cluster of four, whose keys all tests hold.

use std::sync::Arc;

use quorate_crypto::{PublicKey, Scheme, SecretKey, sha256};
use quorate_types::ids::{ClusterId, Epoch, Sequence};
use quorate_types::parameters::Parameters;
use quorate_types::set::{ValidatorInfo, ValidatorSet};
use quorate_types::signed::{Signed, Statement, signing_bytes};
use quorate_types::verified::Context;

pub(crate) const EPOCH: Epoch = Epoch(0);

pub(crate) fn key(validator: u16) -> SecretKey {
    SecretKey::from_seed([u8::try_from(validator).expect("a small set") + 1; 32])
}

pub(crate) fn cluster() -> ClusterId {
    ClusterId(sha256(&[b"a cluster"]))
}

pub(crate) fn context() -> Context {
    let validator = |at: u16| ValidatorInfo {
        name: format!("v{at}"),
        consensus_key: key(at).public(),
        network_key: PublicKey::from_bytes([0; 32]),
        incarnation: [0; 32],
        peer_address: String::new(),
    };
    Context {
        cluster: cluster(),
        scheme: Scheme::Ed25519,
        epoch: EPOCH,
        set: Arc::new(ValidatorSet::new((0..4).map(validator).collect()).expect("four are a set")),
        parameters: Arc::new(Parameters::default()),
        start: (Sequence(0), cluster().0),
    }
}

pub(crate) fn sign<T: Statement>(statement: T) -> Signed<T> {
    let signature = key(statement.signer().0).sign(&signing_bytes(&cluster(), &statement));
    Signed { statement, signature }
}
