//! Receipts for reading. What convinces is the proof beside them.

use bytes::Bytes;
use quorate_types::ids::Sequence;
use quorate_types::operation::EntityId;
use quorate_types::receipt::{EntityVersion, Location, Outcome, Receipt, Rejection, RejectionCode};

use super::{FieldFault, operation_id, wire};
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

/// A receipt as it was sent for reading. Nothing about it is proven.
///
/// # Errors
/// If a field is missing or can't be what it is.
pub fn receipt_from_wire(receipt: pb::Receipt) -> Result<Receipt, FieldFault> {
    let (outcome, versions) = match receipt.outcome.ok_or(FieldFault::Missing { field: "outcome" })? {
        pb::receipt::Outcome::Applied(applied) => {
            let versions = applied.entities.into_iter().map(|entity| EntityVersion {
                entity: EntityId { kind: entity.kind, id: entity.id },
                version: entity.version,
            });
            (Outcome::Applied, versions.collect())
        }
        pb::receipt::Outcome::Rejected(pb::Rejected { code, at, message }) => {
            let known = RejectionCode::ALL.iter().find(|known| known.name() == code);
            let code = *known.ok_or(FieldFault::Rule { field: "code", rule: "is not known to this program" })?;
            (Outcome::Rejected(Rejection::new(code, location(&at)?, message)), Vec::new())
        }
    };
    let concurrent_with = receipt.concurrent_with.iter().map(|id| operation_id("concurrent_with", id));
    Ok(Receipt {
        operation: operation_id("operation", &receipt.operation)?,
        sequence: Sequence(receipt.sequence),
        index: receipt.index,
        outcome,
        versions,
        concurrent_with: concurrent_with.collect::<Result<_, _>>()?,
    })
}

fn location(at: &str) -> Result<Location, FieldFault> {
    let index = |list: &str| at.strip_prefix(list)?.strip_suffix(']')?.parse().ok();
    match (at, index("guards["), index("mutations[")) {
        ("", ..) => Ok(Location::Operation),
        (_, Some(index), _) => Ok(Location::Guard(index)),
        (_, _, Some(index)) => Ok(Location::Mutation(index)),
        _ => Err(FieldFault::Rule { field: "at", rule: "names no part of an operation" }),
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
    use quorate_types::ids::OperationId;

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
        assert_eq!(receipt_from_wire(readable), Ok(receipt));
    }

    #[test]
    fn an_applied_receipt_survives_the_wire_and_a_broken_one_is_refused() {
        let receipt = Receipt {
            operation: OperationId(Digest::new([1; 32])),
            sequence: Sequence(4),
            index: 5,
            outcome: Outcome::Applied,
            versions: vec![EntityVersion { entity: EntityId::new("package", "zlib"), version: 3 }],
            concurrent_with: vec![],
        };
        let readable = readable_receipt(&receipt);
        assert_eq!(receipt_from_wire(readable.clone()), Ok(receipt));
        assert!(receipt_from_wire(pb::Receipt { outcome: None, ..readable.clone() }).is_err());
        let at = |at: &str| {
            pb::receipt::Outcome::Rejected(pb::Rejected {
                code: "OVERFLOW".into(),
                at: at.into(),
                message: String::new(),
            })
        };
        for bad in ["guards[", "guards[x]", "guards[1]]", "mutation[1]", "mutations[-1]"] {
            assert!(receipt_from_wire(pb::Receipt { outcome: Some(at(bad)), ..readable.clone() }).is_err(), "{bad}");
        }
    }
}
