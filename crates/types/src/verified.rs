//! The door: bytes that came from elsewhere become values that the pure crates may believe.
//!
//! A [`Verified`] is made only here, after the context-free rules and every signature inside have been
//! checked under one rule ([`quorate_crypto::Scheme`]). What depends on a receiver's own position
//! (window, pool, clock) is not judged here. This is the only place where signatures of validators and
//! clients are checked; the shell calls it, in parallel and in batches.

use std::ops::Deref;
use std::sync::Arc;

use quorate_crypto::{Digest, Item, PublicKey, Scheme, Signature};

use crate::bundle::Bundle;
use crate::epoch::EpochStart;
use crate::evidence::{Evidence, EvidenceFault};
use crate::execution::{ExecutionCertificate, ExecutionVote};
use crate::ids::{ClusterId, Epoch, Sequence, ValidatorIndex};
use crate::message::{HeldOfYours, Message, Status, VoteMessage, Voters};
use crate::operation::{Operation, OperationFault};
use crate::parameters::Parameters;
use crate::proposal::PrePrepare;
use crate::quorum::Quorum;
use crate::rules::{self, RuleFault};
use crate::set::{Roster, ValidatorSet};
use crate::signed::{Signed, Statement, signing_bytes};
use crate::view_change::{NewView, ViewChangeMessage};
use crate::vote::{Certificate, Phase};

/// What a message is judged against: one epoch of one cluster.
#[derive(Clone, Debug)]
pub struct Context {
    /// The cluster.
    pub cluster: ClusterId,
    /// The signature scheme.
    pub scheme: Scheme,
    /// The epoch.
    pub epoch: Epoch,
    /// Its validators.
    pub set: Arc<ValidatorSet>,
    /// Its parameters.
    pub parameters: Arc<Parameters>,
    /// The epoch's starting checkpoint: sequence and proposal digest.
    pub start: (Sequence, Digest),
}

/// Why a peer's message is refused. It speaks about the connection that brought it, never about a
/// validator that is merely named inside.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerFault {
    /// A context-free rule is broken.
    #[error(transparent)]
    Rule(#[from] RuleFault),
    /// An operation inside a bundle is invalid.
    #[error("operation {index} of the bundle: {fault}")]
    Operation {
        /// Its position.
        index: usize,
        /// What is wrong.
        fault: OperationFault,
    },
    /// A signature doesn't verify.
    #[error("a signature of validator {signer} doesn't verify")]
    ValidatorSignature {
        /// Who is named as signer.
        signer: ValidatorIndex,
    },
    /// Evidence accuses nobody.
    #[error(transparent)]
    Evidence(Box<EvidenceFault>),
    /// A client's signature inside a bundle doesn't verify.
    #[error("the author's signature of operation {index} of the bundle doesn't verify")]
    ClientSignature {
        /// The operation's position.
        index: usize,
    },
}

impl PeerFault {
    /// Whether what is refused belongs to another epoch, as a whole or in a part: its sender may be there already, or
    /// still, so that says nothing against it (accountability §6.7).
    #[must_use]
    pub fn is_of_another_epoch(&self) -> bool {
        match self {
            Self::Rule(RuleFault::OtherEpoch { .. }) => true,
            Self::Evidence(fault) => matches!(fault.as_ref(), EvidenceFault::Part(part) if part.is_of_another_epoch()),
            _ => false,
        }
    }
}

/// A message that was refused, and what that shows.
#[derive(Debug, thiserror::Error)]
#[error("{fault}")]
pub struct Refused {
    /// What is wrong with it.
    pub fault: PeerFault,
    /// Evidence against its signer, where what is wrong was signed as a whole: any other fault speaks about the
    /// connection alone (accountability §1.4).
    pub shows: Option<Verified<Message>>,
}

/// A value whose rules and signatures have been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// The value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl Context {
    /// The epoch's quorum arithmetic.
    #[must_use]
    pub fn quorum(&self) -> Quorum {
        self.set.quorum()
    }

    /// What new views are judged by: quorums, and who leads.
    #[must_use]
    pub fn leading(&self) -> (Quorum, &Roster) {
        (self.set.quorum(), self.set.roster())
    }

    /// Checks one message from another validator.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, message: Message) -> Result<Verified<Message>, PeerFault> {
        let message = self.without_foreign(message);
        let mut checks = Checks::new(self);
        checks.message(&message)?;
        checks.settle()?;
        Ok(Verified(message))
    }

    /// As [`Context::verify`]; a message that breaks a rule over its signer's own signature gives evidence.
    ///
    /// # Errors
    /// What is wrong with it, and what that shows.
    pub fn open(&self, message: Message) -> Result<Verified<Message>, Box<Refused>> {
        let message = self.without_foreign(message);
        let mut checks = Checks::new(self);
        match checks.message(&message).and_then(|()| checks.settle()) {
            Ok(()) => Ok(Verified(message)),
            Err(fault) => {
                let evidence = Evidence::of_refused(message, &fault).filter(|shown| shown.verify(self).is_ok());
                let shows = evidence.map(|evidence| Verified(Message::Evidence(Box::new(evidence))));
                Err(Box::new(Refused { fault, shows }))
            }
        }
    }

    /// A report from another epoch without what can't be judged here.
    fn without_foreign(&self, message: Message) -> Message {
        match message {
            Message::Status(status) if status.epoch != self.epoch => Message::Status(Box::new(foreign(&status))),
            message => message,
        }
    }

    /// Checks the step into the next epoch, the signatures of this one's validators included (protocol §8.4).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify_epoch_start(&self, start: &EpochStart) -> Result<(), PeerFault> {
        rules::admit_epoch_start(start, self.epoch, self.quorum())?;
        let mut checks = Checks::new(self);
        checks.execution_certificate(&start.certificate)?;
        checks.settle()
    }

    /// Checks operations that clients sent here, signatures in one batch. One verdict each, in order.
    #[must_use]
    pub fn verify_operations(
        &self,
        operations: Vec<Arc<Operation>>,
    ) -> Vec<Result<Verified<Arc<Operation>>, OperationFault>> {
        let admitted: Vec<_> = operations
            .into_iter()
            .map(|operation| operation.admit(&self.parameters, &self.cluster).map(|()| operation))
            .collect();
        let signed: Vec<_> = admitted.iter().flatten().map(|operation| operation.signing_bytes()).collect();
        let items: Vec<Item<'_>> = admitted
            .iter()
            .flatten()
            .zip(&signed)
            .map(|(operation, message)| Item { key: operation.author(), message, signature: *operation.signature() })
            .collect();
        let mut verdicts = self.scheme.verify_batch(&items).into_iter();
        admitted
            .into_iter()
            .map(|operation| {
                let operation = operation?;
                match verdicts.next() {
                    Some(true) => Ok(Verified(operation)),
                    _ => Err(OperationFault::Signature),
                }
            })
            .collect()
    }
}

/// What can be believed of the report of a validator in another epoch, whose signatures can't be judged here: how far
/// it is, by its own word (protocol §8.4).
fn foreign(status: &Status) -> Status {
    Status {
        epoch: status.epoch,
        view: status.view,
        active: status.active,
        committed: status.committed,
        stable: status.stable,
        executed: status.executed,
        certified: status.certified,
        slots: Vec::new(),
        tips: Vec::new(),
        view_changes: Voters::default(),
        complaint: None,
        quarantined: status.quarantined,
        asks_for_own: false,
        yours: None,
    }
}

/// Whose signature a check is about.
#[derive(Clone, Copy)]
enum Whose {
    Validator(ValidatorIndex),
    Client(usize),
}

/// Collects the signatures of a message and checks them as one batch.
pub(crate) struct Checks<'a> {
    context: &'a Context,
    items: Vec<(Whose, PublicKey, Vec<u8>, Signature)>,
}

impl<'a> Checks<'a> {
    pub(crate) const fn new(context: &'a Context) -> Self {
        Self { context, items: Vec::new() }
    }

    pub(crate) fn settle(self) -> Result<(), PeerFault> {
        let items: Vec<Item<'_>> = self
            .items
            .iter()
            .map(|(_, key, message, signature)| Item { key: *key, message, signature: *signature })
            .collect();
        let verdicts = self.context.scheme.verify_batch(&items);
        match self.items.iter().zip(verdicts).find(|(_, valid)| !valid) {
            None => Ok(()),
            Some(((Whose::Validator(signer), ..), _)) => Err(PeerFault::ValidatorSignature { signer: *signer }),
            Some(((Whose::Client(index), ..), _)) => Err(PeerFault::ClientSignature { index: *index }),
        }
    }

    pub(crate) fn signed<T: Statement>(&mut self, signed: &Signed<T>) -> Result<(), PeerFault> {
        let context = self.context;
        if signed.statement.epoch() != context.epoch {
            let found = signed.statement.epoch();
            return Err(RuleFault::OtherEpoch { expected: context.epoch, found }.into());
        }
        let signer = signed.signer();
        let info = context.set.validator(signer).ok_or(RuleFault::UnknownValidator(signer))?;
        let bytes = signing_bytes(&context.cluster, &signed.statement);
        self.items.push((Whose::Validator(signer), info.consensus_key, bytes, signed.signature));
        Ok(())
    }

    fn optional<T: Statement>(&mut self, signed: Option<&Signed<T>>) -> Result<(), PeerFault> {
        signed.map_or(Ok(()), |signed| self.signed(signed))
    }

    fn message(&mut self, message: &Message) -> Result<(), PeerFault> {
        let context = self.context;
        let (epoch, quorum) = (context.epoch, context.quorum());
        match message {
            Message::PrePrepare(pre_prepare) => self.pre_prepare(pre_prepare),
            Message::Vote(vote) => self.vote(vote),
            Message::Complaint(complaint) => self.signed(complaint),
            Message::ViewChange(change) => self.view_change(change),
            Message::NewView(new_view) => {
                self.signed(new_view)?;
                self.new_view(new_view)
            }
            Message::ExecutionVote(vote) => self.signed(vote),
            Message::Bundle(bundle) => self.bundle(bundle),
            Message::Status(status) => self.status(status),
            Message::Certificate(certificate) => {
                rules::admit_certificate(certificate, certificate.phase, epoch, quorum)?;
                self.certificate(certificate)
            }
            Message::ExecutionCertificate(certificate) => self.execution_certificate(certificate),
            Message::Proposal(proposal) => Ok(rules::admit_proposal(proposal, epoch, quorum)?),
            Message::Segment(segment) => {
                rules::admit_segment(segment, epoch, quorum)?;
                self.certificate(&segment.certificate)
            }
            // Whether a chunk is whole, only the certified root of its checkpoint can tell (protocol §8.7).
            Message::Request(_) | Message::Chunk(_) | Message::EvidenceHeld(_) => Ok(()),
            Message::Evidence(evidence) => match evidence.verify(context) {
                Ok(_) => Ok(()),
                Err(fault) => Err(PeerFault::Evidence(Box::new(fault))),
            },
            Message::Operation(operation) => self.own_word(operation),
            Message::Checkpoint(checkpoint) => {
                rules::admit_checkpoint(checkpoint, epoch, quorum)?;
                self.execution_certificate(&checkpoint.certificate)
            }
            Message::Freshness(answer) => {
                answer.admit(epoch, quorum)?;
                self.signed(&answer.signed)?;
                answer.certificate.as_ref().map_or(Ok(()), |certificate| self.certificate(certificate))
            }
        }
    }

    /// What is in a new view, its own signature aside.
    pub(crate) fn new_view(&mut self, new_view: &Signed<NewView>) -> Result<(), PeerFault> {
        rules::admit_new_view(&new_view.statement, self.context.leading(), self.context.start)?;
        for change in &new_view.statement.view_changes {
            self.signed(change)?;
        }
        self.certificates([&new_view.statement.prepared, &new_view.statement.committed])
    }

    fn pre_prepare(&mut self, pre_prepare: &PrePrepare) -> Result<(), PeerFault> {
        let PrePrepare { proposal, vote } = pre_prepare;
        rules::admit_proposal(proposal, self.context.epoch, self.context.quorum())?;
        let primary = self.context.set.primary(vote.statement.epoch, vote.statement.view);
        if vote.signer() != primary {
            return Err(RuleFault::NotPrimary { sender: vote.signer(), view: vote.statement.view }.into());
        }
        let names_it = vote.statement.phase == Phase::Prepare
            && vote.statement.sequence == proposal.sequence
            && vote.statement.digest == proposal.digest();
        if !names_it {
            return Err(RuleFault::VoteForAnother.into());
        }
        self.signed(vote)
    }

    fn vote(&mut self, message: &VoteMessage) -> Result<(), PeerFault> {
        self.signed(&message.vote)?;
        let Some(primary) = &message.primary else { return Ok(()) };
        let (answer, asked) = (&message.vote.statement, &primary.statement);
        let same_slot = answer.view == asked.view
            && answer.sequence == asked.sequence
            && asked.phase == Phase::Prepare
            && asked.validator == self.context.set.primary(asked.epoch, asked.view);
        if !same_slot {
            return Err(RuleFault::VoteForAnother.into());
        }
        self.signed(primary)
    }

    fn view_change(&mut self, message: &ViewChangeMessage) -> Result<(), PeerFault> {
        rules::admit_view_change(message, self.context.epoch, self.context.quorum())?;
        self.signed(&message.signed)?;
        self.certificates([&message.prepared, &message.committed])
    }

    fn bundle(&mut self, bundle: &Bundle) -> Result<(), PeerFault> {
        let context = self.context;
        rules::admit_bundle(bundle, context.epoch, context.quorum(), &context.parameters)?;
        self.signed(&bundle.header)?;
        for (index, operation) in bundle.operations.iter().enumerate() {
            self.operation(index, operation)?;
        }
        Ok(())
    }

    /// An operation that comes alone: a validator's word about its own store; or, where somebody leaves, what that one
    /// hands over (protocol §8.4). Whether it is that one who sends it, the replica tells.
    fn own_word(&mut self, operation: &Operation) -> Result<(), PeerFault> {
        let leaves = |learner: &crate::set::Learner| learner.role == crate::set::LearnerRole::Leaving;
        if !operation.is_own_word() && !self.context.set.learners().iter().any(leaves) {
            return Err(RuleFault::NotAnOwnWord.into());
        }
        self.operation(0, operation)
    }

    fn operation(&mut self, index: usize, operation: &Operation) -> Result<(), PeerFault> {
        let context = self.context;
        operation
            .admit(&context.parameters, &context.cluster)
            .map_err(|fault| PeerFault::Operation { index, fault })?;
        let bytes = operation.signing_bytes();
        self.items.push((Whose::Client(index), operation.author(), bytes, *operation.signature()));
        Ok(())
    }

    fn status(&mut self, status: &Status) -> Result<(), PeerFault> {
        self.optional(status.complaint.as_ref())?;
        let Some(yours) = &status.yours else { return Ok(()) };
        let HeldOfYours { votes, complaint, view_change, bundle, execution } = yours.as_ref();
        for vote in votes {
            self.signed(vote)?;
        }
        self.optional(complaint.as_ref())?;
        self.optional(view_change.as_ref())?;
        self.optional(bundle.as_ref())?;
        self.optional(execution.as_ref())
    }

    fn certificates(&mut self, certificates: [&Option<Certificate>; 2]) -> Result<(), PeerFault> {
        certificates.into_iter().flatten().try_for_each(|certificate| self.certificate(certificate))
    }

    /// The votes of a certificate that the rules have admitted.
    pub(crate) fn certificate(&mut self, certificate: &Certificate) -> Result<(), PeerFault> {
        certificate.votes().try_for_each(|vote| self.signed(&vote))
    }

    pub(crate) fn execution_certificate(&mut self, certificate: &ExecutionCertificate) -> Result<(), PeerFault> {
        rules::admit_execution_certificate(certificate, self.context.epoch, self.context.quorum())?;
        let execution = certificate.execution;
        certificate.signatures.iter().try_for_each(|(validator, signature)| {
            let statement = ExecutionVote { execution, validator: *validator };
            self.signed(&Signed { statement, signature: *signature })
        })
    }
}
