//! The evidence that this validator keeps, for whoever wants to judge it (accountability §3.3).

use quorate_accountability::file::to_file;
use quorate_crypto::Digest;
use quorate_replica::records;
use quorate_storage::Store;
use quorate_transport::fault::{ApiFault, Reason};
use quorate_transport::pb::cluster::v1 as pb;
use quorate_types::evidence::{Accused, Evidence};

use super::{Api, wire};

impl<S: Store> Api<S> {
    /// All by name, or one with its content.
    pub(super) fn evidence_response(&self, id: &[u8]) -> Result<pb::EvidenceResponse, ApiFault> {
        let store = self.ledger.store();
        let items = if id.is_empty() {
            let kept = records::evidence_kept(store).map_err(|error| self.record_fault(error))?;
            kept.iter().map(|evidence| self.evidence_item(evidence)).collect()
        } else {
            let id = <[u8; 32]>::try_from(id).map(Digest::new);
            let id = id.map_err(|_| ApiFault::new(Reason::Malformed, "the id of evidence has 32 bytes"))?;
            let kept = records::evidence(&id).read(store).map_err(|error| self.record_fault(error))?;
            let kept = kept.ok_or_else(|| ApiFault::new(Reason::NotFound, "no evidence with this id is kept here"))?;
            vec![pb::EvidenceItem { content: to_file(&kept).into(), ..self.evidence_item(&kept) }]
        };
        Ok(pb::EvidenceResponse { cluster: wire(&self.context.cluster.0), items })
    }

    fn evidence_item(&self, evidence: &Evidence) -> pb::EvidenceItem {
        let base = pb::EvidenceItem {
            id: wire(&evidence.id()),
            kind: evidence.kind().to_owned(),
            epoch: evidence.epoch().0,
            ..Default::default()
        };
        match evidence.accused() {
            Accused::Validator(validator) => {
                // Indices are an epoch's.
                let is_of_epoch = evidence.epoch() == self.context.epoch;
                let name = if is_of_epoch { self.name(validator).to_owned() } else { String::new() };
                pb::EvidenceItem { validator: Some(validator.0.into()), name, ..base }
            }
            Accused::Author(author) => pb::EvidenceItem { author: author.as_bytes().to_vec().into(), ..base },
        }
    }
}
