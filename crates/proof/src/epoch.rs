//! What a verifier trusts: the validators of the first epoch, by the genesis, and those of every later one by the
//! votes of the one before (protocol §8.4).

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_crypto::{Item, PublicKey, Scheme, Signature};
use quorate_types::epoch::EpochStart;
use quorate_types::execution::{ExecutionCertificate, ExecutionVote};
use quorate_types::freshness::{FreshnessAnswer, Nonce};
use quorate_types::genesis::Genesis;
use quorate_types::ids::{ClusterId, Epoch, Sequence, ValidatorIndex};
use quorate_types::rules::{RuleFault, admit_epoch_start, admit_execution_certificate};
use quorate_types::set::ValidatorSet;
use quorate_types::signed::{Signed, Statement, signing_bytes};

use crate::{Checkpoint, ProofFault};

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
    /// Where it begins.
    start: Checkpoint,
    earlier: Arc<BTreeMap<Epoch, Past>>,
    trusted: Option<Checkpoint>,
}

/// An epoch that is over.
#[derive(Clone, Debug)]
struct Past {
    set: Arc<ValidatorSet>,
    /// The sequence after which it began.
    start: Sequence,
    /// Its last sequence.
    end: Sequence,
}

impl EpochInfo {
    /// The first epoch of a cluster.
    #[must_use]
    pub fn first(cluster: ClusterId, scheme: Scheme, set: Arc<ValidatorSet>) -> Self {
        let start = Checkpoint::of_genesis(cluster);
        Self { cluster, scheme, epoch: Epoch::ZERO, set, start, earlier: Arc::default(), trusted: None }
    }

    /// The first epoch, from the genesis file alone, with real signatures.
    #[must_use]
    pub fn of_genesis(genesis: &Genesis) -> Self {
        Self::first(genesis.cluster, Scheme::Ed25519, Arc::new(genesis.validator_set()))
    }

    /// This epoch, and a later checkpoint that somebody who is trusted has named. A chain that contradicts it isn't
    /// followed, and nothing is believed before the chain has led there. So whoever has the keys of a quorum of an
    /// epoch that ended there or before makes no validators of their own (protocol §8.4).
    ///
    /// # Errors
    /// If this epoch's own beginning contradicts it.
    pub fn trusting(mut self, trusted: Checkpoint) -> Result<Self, ProofFault> {
        self.trusted = Some(trusted);
        self.admit_checkpoint(Sequence::ZERO, self.start)?;
        Ok(self)
    }

    /// Where the newest epoch known begins: what can be trusted from then on.
    #[must_use]
    pub const fn checkpoint(&self) -> Checkpoint {
        self.start
    }

    /// The trusted checkpoint, if there is one.
    #[must_use]
    pub const fn trusted(&self) -> Option<Checkpoint> {
        self.trusted
    }

    /// Whether the chain has led to the trusted checkpoint, if there is one.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.trusted.is_none_or(|trusted| trusted.sequence <= self.start.sequence)
    }

    /// What is wrong with a chain that ends here when something of `epoch` is to be judged.
    #[must_use]
    pub fn lacks(&self, epoch: Epoch) -> ProofFault {
        match self.trusted {
            Some(trusted) if !self.is_trusted() => {
                ProofFault::BeforeCheckpoint { trusted, newest: self.start.sequence }
            }
            _ => ProofFault::UnknownEpoch { found: epoch, newest: self.epoch },
        }
    }

    /// Goes on into the next epoch, whose definition a quorum of the newest one has certified.
    ///
    /// # Errors
    /// The rule broken, the first signer whose signature doesn't verify, or the trusted checkpoint that it
    /// contradicts. Nothing is changed then.
    pub fn follow(&mut self, start: &EpochStart) -> Result<(), ProofFault> {
        admit_epoch_start(start, self.epoch, self.set.quorum())?;
        let execution = &start.certificate.execution;
        self.admit_sequence(self.epoch, execution.sequence)?;
        self.verify_votes(&start.certificate)?;
        let checkpoint = Checkpoint::of(execution);
        self.admit_checkpoint(self.start.sequence.next(), checkpoint)?;
        let set = std::mem::replace(&mut self.set, Arc::new(start.definition.set()));
        let past = Past { set, start: self.start.sequence, end: checkpoint.sequence };
        Arc::make_mut(&mut self.earlier).insert(self.epoch, past);
        self.epoch = start.definition.epoch;
        self.start = checkpoint;
        Ok(())
    }

    /// Whether `found`, the only checkpoint of the chain from `from` up to its own sequence, leaves room for the
    /// trusted one.
    fn admit_checkpoint(&self, from: Sequence, found: Checkpoint) -> Result<(), ProofFault> {
        match self.trusted {
            Some(trusted) if (from..=found.sequence).contains(&trusted.sequence) && trusted != found => {
                Err(ProofFault::OtherCheckpoint { trusted, found })
            }
            _ => Ok(()),
        }
    }

    /// The validators of an epoch, once the chain has led to the trusted checkpoint.
    pub(crate) fn set_of(&self, epoch: Epoch) -> Result<&ValidatorSet, ProofFault> {
        if self.is_trusted() { self.known_set_of(epoch) } else { Err(self.lacks(epoch)) }
    }

    fn known_set_of(&self, epoch: Epoch) -> Result<&ValidatorSet, ProofFault> {
        if epoch == self.epoch {
            return Ok(&self.set);
        }
        self.earlier.get(&epoch).map(|past| past.set.as_ref()).ok_or_else(|| self.lacks(epoch))
    }

    /// Whether a sequence is one about which the validators of an epoch decide: a certificate of theirs for any other
    /// is invalid (protocol §8.4).
    pub(crate) fn admit_sequence(&self, epoch: Epoch, sequence: Sequence) -> Result<(), ProofFault> {
        let belongs = match self.earlier.get(&epoch) {
            Some(past) => past.start < sequence && sequence <= past.end,
            None => self.start.sequence < sequence,
        };
        if belongs { Ok(()) } else { Err(ProofFault::OutsideEpoch { epoch, sequence }) }
    }

    /// Whether a quorum of its epoch signed exactly this execution.
    ///
    /// # Errors
    /// The rule broken, or the first signer whose signature doesn't verify.
    pub fn verify_execution(&self, certificate: &ExecutionCertificate) -> Result<(), ProofFault> {
        let execution = certificate.execution;
        let quorum = self.set_of(execution.epoch)?.quorum();
        self.admit_sequence(execution.epoch, execution.sequence)?;
        admit_execution_certificate(certificate, execution.epoch, quorum)?;
        self.verify_votes(certificate)
    }

    fn verify_votes(&self, certificate: &ExecutionCertificate) -> Result<(), ProofFault> {
        let execution = certificate.execution;
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
        self.set_of(self.epoch)?;
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
                let set = self.known_set_of(signed.statement.epoch())?;
                let info = set.validator(signer).ok_or(RuleFault::UnknownValidator(signer))?;
                let message = signing_bytes(&self.cluster, &signed.statement);
                Ok((signer, info.consensus_key, message, signed.signature))
            })
            .collect::<Result<_, ProofFault>>()?;
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
