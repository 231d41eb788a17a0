//! Receipts for reading. What convinces is the proof beside them.

use bytes::Bytes;
use quorate_types::receipt::{Location, Outcome, Receipt, Rejection};

use super::wire;
use crate::pb::operations::v1 as pb;

/// A receipt with its proof: the content of a receipt file, or nothing if it can't be proven yet.
#[must_use]
pub fn proven_receipt(receipt: &Receipt, proof: Bytes) -> pb::ProvenReceipt {
    pb::ProvenReceipt { receipt: Some(readable_receipt(receipt)), proof }
}

/// A receipt as a message that any language can read.
#[must_use]
pub fn readable_receipt(receipt: &Receipt) -> pb::Receipt {
    let outcome = match &receipt.outcome {
        Outcome::Applied => {
            let entities = receipt.versions.iter().map(|version| pb::EntityVersion {
                kind: version.entity.kind.clone(),
                id: version.entity.id.clone(),
                version: version.version,
            });
            pb::receipt::Outcome::Applied(pb::Applied { entities: entities.collect() })
        }
        Outcome::Rejected(Rejection { code, at, message }) => pb::receipt::Outcome::Rejected(pb::Rejected {
            code: code.name().to_owned(),
            at: place(*at),
            message: message.clone(),
        }),
    };
    pb::Receipt {
        operation: wire(receipt.operation.0.as_bytes()),
        sequence: receipt.sequence.0,
        index: receipt.index,
        outcome: Some(outcome),
        concurrent_with: receipt.concurrent_with.iter().map(|id| wire(id.0.as_bytes())).collect(),
    }
}

fn place(at: Location) -> String {
    match at {
        Location::Operation => String::new(),
        Location::Guard(index) => format!("guards[{index}]"),
        Location::Mutation(index) => format!("mutations[{index}]"),
    }
}

#[cfg(test)]
mod tests {
    use quorate_crypto::Digest;
    use quorate_types::ids::{OperationId, Sequence};
    use quorate_types::receipt::RejectionCode;

    use super::*;

    #[test]
    fn a_rejection_says_where_and_why() {
        let rejection = Rejection::new(RejectionCode::GuardFailed, Location::Guard(2), "it moved".to_owned());
        let receipt = Receipt {
            operation: OperationId(Digest::new([1; 32])),
            sequence: Sequence(4),
            index: 5,
            outcome: Outcome::Rejected(rejection),
            versions: vec![],
            concurrent_with: vec![OperationId(Digest::new([2; 32]))],
        };
        let readable = readable_receipt(&receipt);
        let rejected = pb::Rejected { code: "GUARD_FAILED".into(), at: "guards[2]".into(), message: "it moved".into() };
        assert_eq!(readable.outcome, Some(pb::receipt::Outcome::Rejected(rejected)));
        assert_eq!(readable.concurrent_with, [Bytes::from_static(&[2; 32])]);
    }
}
