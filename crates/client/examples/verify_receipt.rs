//! Verifies a receipt file offline: `cargo run -p quorate-client --example verify_receipt RECEIPT GENESIS`.

use quorate_client::ReceiptProof;
use quorate_proof::EpochInfo;
use quorate_types::genesis::Genesis;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(receipt), Some(genesis)) = (arguments.next(), arguments.next()) else {
        return Err("usage: verify_receipt RECEIPT GENESIS".into());
    };
    let genesis = Genesis::parse(&std::fs::read(genesis)?)?;
    let proof = ReceiptProof::from_file(&std::fs::read(receipt)?)?;
    let verified = proof.verify(&EpochInfo::of_genesis(&genesis))?;
    let receipt = verified.receipt();
    println!(
        "operation {} at sequence {}, index {}: {:?}",
        receipt.operation, receipt.sequence, receipt.index, receipt.outcome
    );
    Ok(())
}
