//! What a verifier trusts: the validators of the first epoch, by the genesis, and those of every later one by the
//! votes of the one before (protocol §8.4).

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_crypto::{Item, PublicKey, Scheme, Signature};
use quorate_types::epoch::EpochStart;
use quorate_types::execution::{ExecutionCertificate, ExecutionVote};
use quorate_types::freshness::{FreshnessAnswer, Nonce};
use quorate_types::genesis::Genesis;
use quorate_types::ids::{ClusterId, Epoch, ValidatorIndex};
use quorate_types::rules::{RuleFault, admit_epoch_start, admit_execution_certificate};
use quorate_types::set::ValidatorSet;
use quorate_types::signed::{Signed, Statement, signing_bytes};

use crate::ProofFault;

/// The validators of the newest epoch known, and of those before it, and what their signatures are bound to.
#[derive(Clone, Debug)]
pub struct EpochInfo {
    /// The cluster.
    pub cluster: ClusterId,
    /// The signature scheme.
    pub scheme: Scheme,
    /// The epoch.
    pub epoch: Epoch,
    /// Its validators.
    pub set: Arc<ValidatorSet>,
    /// Those of earlier epochs.
    pub earlier: Arc<BTreeMap<Epoch, Arc<ValidatorSet>>>,
}

impl EpochInfo {
    /// The first epoch, from the genesis file alone, with real signatures.
    #[must_use]
    pub fn of_genesis(genesis: &Genesis) -> Self {
        let set = Arc::new(genesis.validator_set());
        let earlier = Arc::default();
        Self { cluster: genesis.cluster, scheme: Scheme::Ed25519, epoch: Epoch::ZERO, set, earlier }
    }

    /// Goes on into the next epoch, whose definition a quorum of the newest one has certified.
    ///
    /// # Errors
    /// The rule broken, or the first signer whose signature doesn't verify. Nothing is changed then.
    pub fn follow(&mut self, start: &EpochStart) -> Result<(), ProofFault> {
        admit_epoch_start(start, self.epoch, self.set.quorum())?;
        self.verify_execution(&start.certificate)?;
        let set = std::mem::replace(&mut self.set, Arc::new(start.definition.set()));
        Arc::make_mut(&mut self.earlier).insert(self.epoch, set);
        self.epoch = start.definition.epoch;
        Ok(())
    }

    /// The validators of an epoch.
    pub(crate) fn set_of(&self, epoch: Epoch) -> Result<&ValidatorSet, RuleFault> {
        if epoch == self.epoch {
            return Ok(&self.set);
        }
        let unknown = RuleFault::OtherEpoch { expected: self.epoch, found: epoch };
        self.earlier.get(&epoch).map(Arc::as_ref).ok_or(unknown)
    }

    /// Whether a quorum of its epoch signed exactly this execution.
    ///
    /// # Errors
    /// The rule broken, or the first signer whose signature doesn't verify.
    pub fn verify_execution(&self, certificate: &ExecutionCertificate) -> Result<(), ProofFault> {
        let execution = certificate.execution;
        admit_execution_certificate(certificate, execution.epoch, self.set_of(execution.epoch)?.quorum())?;
        self.verify_statements(certificate.signatures.iter().map(|(validator, signature)| Signed {
            statement: ExecutionVote { execution, validator: *validator },
            signature: *signature,
        }))
    }

    /// Whether a validator of its epoch signed a statement.
    ///
    /// # Errors
    /// If the epoch or the signer isn't known, or the signature doesn't verify.
    pub fn verify_signed<T: Statement>(&self, signed: Signed<T>) -> Result<(), ProofFault> {
        self.verify_statements(std::iter::once(signed))
    }

    /// Whether a validator of this epoch stated its freshness over `nonce`, and holds the certificate that it
    /// speaks of (data-model §5.3).
    ///
    /// # Errors
    /// The rule broken, or the first signer whose signature doesn't verify.
    pub fn verify_freshness(&self, answer: &FreshnessAnswer, nonce: &Nonce) -> Result<(), ProofFault> {
        answer.admit(self.epoch, self.set.quorum())?;
        let statement = &answer.signed.statement;
        if statement.epoch != self.epoch {
            return Err(RuleFault::OtherEpoch { expected: self.epoch, found: statement.epoch }.into());
        }
        if statement.nonce != *nonce {
            return Err(ProofFault::OtherNonce { signer: statement.validator });
        }
        self.verify_statements(std::iter::once(answer.signed))?;
        answer.certificate.as_ref().map_or(Ok(()), |certificate| self.verify_statements(certificate.votes()))
    }

    /// Whether each of the statements was signed by who it says, all in one batch.
    pub(crate) fn verify_statements<T: Statement>(
        &self,
        statements: impl Iterator<Item = Signed<T>>,
    ) -> Result<(), ProofFault> {
        let signed: Vec<(ValidatorIndex, PublicKey, Vec<u8>, Signature)> = statements
            .map(|signed| {
                let signer = signed.signer();
                let set = self.set_of(signed.statement.epoch())?;
                let info = set.validator(signer).ok_or(RuleFault::UnknownValidator(signer))?;
                let message = signing_bytes(&self.cluster, &signed.statement);
                Ok((signer, info.consensus_key, message, signed.signature))
            })
            .collect::<Result<_, RuleFault>>()?;
        let items: Vec<Item<'_>> = signed
            .iter()
            .map(|(_, key, message, signature)| Item { key: *key, message, signature: *signature })
            .collect();
        let verdicts = self.scheme.verify_batch(&items);
        match signed.iter().zip(verdicts).find(|(_, valid)| !valid) {
            None => Ok(()),
            Some(((signer, ..), _)) => Err(ProofFault::Signature { signer: *signer, cluster: self.cluster }),
        }
    }
}
