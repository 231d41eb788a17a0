//! The evidence that this validator keeps, for whoever wants to judge it (accountability §3.3).

use quorate_accountability::file::to_file;
use quorate_crypto::Digest;
use quorate_replica::machine::read;
use quorate_replica::records;
use quorate_storage::{StateAt, Store};
use quorate_transport::fault::{ApiFault, Reason};
use quorate_transport::pb::cluster::v1 as pb;
use quorate_types::evidence::{Accused, Conviction, Evidence};
use quorate_types::ids::{Epoch, ValidatorIndex};

use super::{Api, wire};

impl<S: Store> Api<S> {
    /// All by name, or one with its content.
    pub(super) fn evidence_response(&self, id: &[u8]) -> Result<pb::EvidenceResponse, ApiFault> {
        let store = self.ledger.store();
        let items = if id.is_empty() {
            let kept = records::evidence_kept(store).map_err(|error| self.record_fault(error))?;
            let convictions = self.convictions();
            kept.iter().map(|evidence| self.evidence_item(evidence, &convictions)).collect()
        } else {
            let id = <[u8; 32]>::try_from(id).map(Digest::new);
            let id = id.map_err(|_| ApiFault::new(Reason::Malformed, "the id of evidence has 32 bytes"))?;
            let kept = records::evidence(&id).read(store).map_err(|error| self.record_fault(error))?;
            let kept = kept.ok_or_else(|| ApiFault::new(Reason::NotFound, "no evidence with this id is kept here"))?;
            vec![pb::EvidenceItem { content: to_file(&kept).into(), ..self.evidence_item(&kept, &self.convictions()) }]
        };
        Ok(pb::EvidenceResponse { cluster: wire(&self.context.cluster.0), items })
    }

    /// All that the state holds (accountability §2.2); none where it can't be read, as while another state is put in
    /// its place: the status says so elsewhere.
    pub(super) fn convictions(&self) -> Vec<Conviction> {
        let snapshot = self.snapshot().ok();
        snapshot.and_then(|snapshot| read::convictions(&StateAt(&snapshot)).ok()).unwrap_or_default()
    }

    /// A validator's name, where its index is of this epoch; else nothing.
    pub(super) fn name_in(&self, epoch: Epoch, validator: ValidatorIndex) -> String {
        if epoch == self.context.epoch { self.name(validator).to_owned() } else { String::new() }
    }

    fn evidence_item(&self, evidence: &Evidence, convictions: &[Conviction]) -> pb::EvidenceItem {
        let is_of_epoch = evidence.epoch() == self.context.epoch;
        let accused = evidence.validator().filter(|_| is_of_epoch).and_then(|index| self.context.set.validator(index));
        let is_it = |conviction: &&Conviction| {
            let is_same = |key| conviction.convicted == key && conviction.kind == evidence.code();
            conviction.evidence == evidence.id() || accused.is_some_and(|accused| is_same(accused.consensus_key))
        };
        let base = pb::EvidenceItem {
            id: wire(&evidence.id()),
            kind: evidence.kind().to_owned(),
            epoch: evidence.epoch().0,
            convicted_at: convictions.iter().find(is_it).map(|conviction| conviction.sequence.0),
            ..Default::default()
        };
        match evidence.accused() {
            Accused::Validator(validator) => {
                let name = self.name_in(evidence.epoch(), validator);
                pb::EvidenceItem { validator: Some(validator.0.into()), name, ..base }
            }
            Accused::Author(author) => pb::EvidenceItem { author: author.as_bytes().to_vec().into(), ..base },
        }
    }
}
