//! What a client needs to hold a gateway to its promise, and where it brings the proof (accountability §1.10).

use std::sync::Arc;

use quorate_accountability::file::from_file;
use quorate_replica::records;
use quorate_storage::Store;
use quorate_transport::convert::wire as bytes_to_wire;
use quorate_transport::fault::{ApiFault, Reason};
use quorate_transport::pb::cluster::v1 as pb;
use quorate_types::bundle::Bundle;
use quorate_types::codec::Canonical;
use quorate_types::ids::{BundleNumber, Epoch, ValidatorIndex};
use quorate_types::message::Message;
use quorate_types::promise::listed;

use super::{Api, stopping, wire};

/// Bundles of one number in an answer: two are enough to convict a lane's owner.
const FORKS: usize = 2;

impl<S: Store> Api<S> {
    pub(super) fn bundle_response(&self, asked: &pb::BundleRequest) -> Result<pb::BundleResponse, ApiFault> {
        let lane = u16::try_from(asked.lane).map(ValidatorIndex);
        let lane = lane.map_err(|_| ApiFault::new(Reason::Malformed, "a lane is a validator's index"))?;
        let (epoch, number) = (Epoch(asked.epoch), BundleNumber(asked.number));
        let found = records::bundles_at(self.ledger.store(), epoch, lane, number);
        let found = found.map_err(|error| self.record_fault(error))?;
        Ok(pb::BundleResponse { bundles: found.iter().take(FORKS).map(bundle_to_wire).collect() })
    }

    /// Judged here as at the door for other validators' messages, and given to the replica as this validator's own.
    pub(super) async fn accuse(&self, file: &[u8]) -> Result<pb::AccuseResponse, ApiFault> {
        let refused = |why: String| ApiFault::new(Reason::Malformed, format!("it accuses nobody: {why}"));
        let evidence = from_file(file).map_err(|fault| refused(fault.to_string()))?;
        let id = evidence.id();
        let context = Arc::clone(&self.context);
        let judge = move || context.verify(Message::Evidence(Box::new(evidence)));
        let verdict = self.threads.blocking(judge).await.map_err(|_| stopping())?;
        let verified = verdict.map_err(|fault| refused(fault.to_string()))?;
        self.accusations.send(vec![(self.me, verified)]).await.map_err(|_| stopping())?;
        Ok(pb::AccuseResponse { id: wire(&id) })
    }
}

fn bundle_to_wire(bundle: &Bundle) -> pb::BundleContent {
    let operation = |(id, signature): (quorate_types::ids::OperationId, quorate_crypto::Signature)| {
        let (id, signature) = (bytes_to_wire(id.0.as_bytes()), signature.as_bytes().to_vec().into());
        pb::ListedOperation { id, signature }
    };
    let operations = listed(bundle).into_iter().map(operation).collect();
    pb::BundleContent { header: bundle.header.to_bytes().into(), operations }
}
