//! Every certificate that a correct validator sends holds a quorum of distinct signers' real signatures, and
//! those of correct validators were really made (protocol §2).

use std::collections::{BTreeMap, BTreeSet};

use quorate_crypto::{Digest, Signature};
use quorate_types::execution::{Execution, ExecutionVote};
use quorate_types::ids::{Sequence, ValidatorIndex, View};
use quorate_types::message::Message;
use quorate_types::signed::signing_bytes;
use quorate_types::vote::{Certificate, Phase, Vote};

use super::{Fact, Invariant, Scene};
use crate::world::statement::{Statement, certificates_in};

/// Which votes are meant.
type VoteKey = (View, Sequence, Digest, Phase);

#[derive(Debug, Default)]
pub(super) struct Certificates {
    voted: BTreeMap<VoteKey, BTreeSet<u16>>,
    executed: BTreeMap<Execution, BTreeSet<u16>>,
    /// Certificates found good.
    good: BTreeSet<(VoteKey, Vec<u16>)>,
    good_executions: BTreeSet<(Execution, Vec<u16>)>,
}

impl Certificates {
    fn on_certificate(&mut self, scene: &Scene, by: u16, certificate: &Certificate) -> Result<(), Vec<String>> {
        let claim = certificate.claim;
        let key = (claim.view, claim.sequence, claim.digest, certificate.phase);
        let signers: Vec<u16> = certificate.signatures.iter().map(|(signer, _)| signer.0).collect();
        if self.good.contains(&(key, signers.clone())) {
            return Ok(());
        }
        let about = || {
            format!("validator {by} sends a {:?} certificate for {claim:?} signed by {signers:?}", certificate.phase)
        };
        admit_signers(scene, &signers).map_err(|fault| vec![about(), fault])?;
        let voted = self.voted.get(&key);
        for (signer, signature) in &certificate.signatures {
            let statement = Vote {
                epoch: scene.context.epoch,
                view: claim.view,
                sequence: claim.sequence,
                digest: claim.digest,
                phase: certificate.phase,
                validator: *signer,
            };
            let bytes = signing_bytes(&scene.context.cluster, &statement);
            admit_signature(scene, *signer, &bytes, signature, voted).map_err(|fault| vec![about(), fault])?;
        }
        self.good.insert((key, signers));
        Ok(())
    }

    fn on_message(&mut self, scene: &Scene, by: u16, message: &Message) -> Result<(), Vec<String>> {
        for certificate in certificates_in(message) {
            self.on_certificate(scene, by, certificate)?;
        }
        let Message::ExecutionCertificate(certificate) = message else { return Ok(()) };
        let execution = certificate.execution;
        let signers: Vec<u16> = certificate.signatures.iter().map(|(signer, _)| signer.0).collect();
        if self.good_executions.contains(&(execution, signers.clone())) {
            return Ok(());
        }
        let about = || format!("validator {by} sends an execution certificate for {execution:?} signed by {signers:?}");
        admit_signers(scene, &signers).map_err(|fault| vec![about(), fault])?;
        let voted = self.executed.get(&execution);
        for (signer, signature) in &certificate.signatures {
            let bytes = signing_bytes(&scene.context.cluster, &ExecutionVote { execution, validator: *signer });
            admit_signature(scene, *signer, &bytes, signature, voted).map_err(|fault| vec![about(), fault])?;
        }
        self.good_executions.insert((execution, signers));
        Ok(())
    }
}

fn admit_signers(scene: &Scene, signers: &[u16]) -> Result<(), String> {
    let distinct: BTreeSet<u16> = signers.iter().copied().collect();
    if distinct.len() != signers.len() {
        return Err("a signer stands in it twice".to_owned());
    }
    if distinct.len() < scene.quorum() {
        return Err(format!("{} signers are no quorum of {}", distinct.len(), scene.quorum()));
    }
    Ok(())
}

fn admit_signature(
    scene: &Scene,
    signer: ValidatorIndex,
    bytes: &[u8],
    signature: &Signature,
    voted: Option<&BTreeSet<u16>>,
) -> Result<(), String> {
    let known = scene.context.set.validator(signer);
    if !known.is_some_and(|info| scene.context.scheme.verify(&info.consensus_key, bytes, signature)) {
        return Err(format!("the signature of validator {signer} is not over this"));
    }
    let is_faulty = scene.byzantine.contains(&signer.0);
    if !is_faulty && !voted.is_some_and(|voted| voted.contains(&signer.0)) {
        return Err(format!("validator {signer}, which is correct, never signed this"));
    }
    Ok(())
}

impl Invariant for Certificates {
    fn name(&self) -> (&'static str, &'static str) {
        ("certificates hold what they claim", "protocol §2")
    }

    fn on_fact(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), Vec<String>> {
        match fact {
            Fact::Signed { by, statement: Statement::Vote(vote), .. } => {
                let Vote { view, sequence, digest, phase, .. } = vote.statement;
                self.voted.entry((view, sequence, digest, phase)).or_default().insert(*by);
                Ok(())
            }
            Fact::Signed { by, statement: Statement::Execution(vote), .. } => {
                self.executed.entry(vote.statement.execution).or_default().insert(*by);
                Ok(())
            }
            Fact::Leaves { by, message } => self.on_message(scene, *by, message),
            _ => Ok(()),
        }
    }
}
