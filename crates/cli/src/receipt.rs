//! `quorate receipt`: receipts in files, and what they prove to someone who has nothing but the genesis.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use quorate_proof::{ReceiptProof, VerifiedReceipt};
use quorate_types::ids::OperationId;
use quorate_types::receipt::{Location, Outcome, Receipt};
use serde_json::{Value as Json, json};

use crate::connect::ClusterArgs;
use crate::epochs::KnownArgs;
use crate::files::{self, Readers};
use crate::paint;

/// Fetches receipts, and verifies them offline.
#[derive(Args, Debug)]
pub struct ReceiptArgs {
    #[command(subcommand)]
    command: ReceiptCommand,
}

#[derive(Subcommand, Debug)]
enum ReceiptCommand {
    Get(GetReceipt),
    Verify(VerifyReceipt),
}

/// Fetches the receipt of an operation with its proof, and verifies it.
#[derive(Args, Debug)]
struct GetReceipt {
    /// The operation's id
    operation: String,

    /// Where to keep it, as a file that verifies offline
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Waits for the receipt if there is none yet
    #[arg(long)]
    wait: bool,

    /// Prints JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Verifies a receipt file against a genesis file, and the chain of epochs from there. Asks nobody and needs no network.
#[derive(Args, Debug)]
struct VerifyReceipt {
    /// The receipt file
    file: PathBuf,

    #[command(flatten)]
    known: KnownArgs,

    /// Prints JSON
    #[arg(long)]
    json: bool,
}

impl ReceiptArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// If there is no receipt, or it doesn't verify.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command {
            ReceiptCommand::Get(args) => args.run().await,
            ReceiptCommand::Verify(args) => args.run(),
        }
    }
}

impl GetReceipt {
    async fn run(self) -> anyhow::Result<()> {
        let digest = self.operation.parse().with_context(|| format!("{:?} is no operation's id", self.operation))?;
        if let Some(path) = &self.output {
            files::admit_new(path)?;
        }
        let client = self.cluster.client()?;
        let (receipt, proof) = client.receipt(OperationId(digest), self.wait).await?;
        print(&receipt, self.json);
        self.output.as_ref().map_or(Ok(()), |path| keep(&receipt, &proof, path))
    }
}

impl VerifyReceipt {
    fn run(self) -> anyhow::Result<()> {
        let known = self.known.load()?;
        let proof = ReceiptProof::from_file(&files::read(&self.file)?)
            .with_context(|| format!("{} is no receipt file", self.file.display()))?;
        let receipt = proof.verify(&known.info).map_err(|fault| known.explain(fault, "receipt"))?;
        print(&receipt, self.json);
        Ok(())
    }
}

/// Keeps a receipt's proof in a new file.
///
/// # Errors
/// If it can't be kept: what executed, and how to get the receipt again.
pub fn keep(verified: &VerifiedReceipt, proof: &[u8], path: &Path) -> anyhow::Result<()> {
    files::create(path, proof, Readers::All).map_err(|why| {
        let Receipt { operation, sequence, .. } = verified.receipt();
        anyhow!(
            "operation {operation} executed at sequence {sequence}, but its receipt couldn't be kept in {}: {why:#}. \
             Don't submit it again; fetch it: quorate receipt get {operation} --output OTHER",
            path.display()
        )
    })
}

/// Prints a receipt that was verified.
pub fn print(verified: &VerifiedReceipt, as_json: bool) {
    let receipt = verified.receipt();
    if as_json {
        println!("{}", to_json(receipt));
        return;
    }
    println!("{} a quorum of the cluster's validators stands for this receipt", paint::good("verified:"));
    println!("  operation  {}", receipt.operation);
    println!("  sequence   {}, number {} of its receipts", receipt.sequence, receipt.index);
    println!("  outcome    {}", outcome(receipt));
    for version in &receipt.versions {
        println!("  changed    {} to version {}", version.entity, version.version);
    }
    for other in &receipt.concurrent_with {
        println!("  concurrent with {other}");
    }
}

/// What became of an operation, in one line.
#[must_use]
pub fn outcome(receipt: &Receipt) -> String {
    match &receipt.outcome {
        Outcome::Applied => paint::good("APPLIED"),
        Outcome::Rejected(rejection) => {
            let at = location(rejection.at).map(|at| format!(" at {at}")).unwrap_or_default();
            format!("{}{at}: {}", paint::warning(rejection.code.name()), rejection.message)
        }
    }
}

/// A receipt as JSON.
#[must_use]
pub fn to_json(receipt: &Receipt) -> Json {
    let outcome = match &receipt.outcome {
        Outcome::Applied => json!({ "outcome": "APPLIED" }),
        Outcome::Rejected(rejection) => json!({
            "outcome": "REJECTED",
            "code": rejection.code.name(),
            "at": location(rejection.at),
            "message": rejection.message,
        }),
    };
    let changed = receipt
        .versions
        .iter()
        .map(|version| json!({ "kind": version.entity.kind, "id": version.entity.id, "version": version.version }));
    json!({
        "operation": receipt.operation,
        "sequence": receipt.sequence,
        "index": receipt.index,
        "result": outcome,
        "changed": changed.collect::<Vec<_>>(),
        "concurrent_with": receipt.concurrent_with,
    })
}

fn location(at: Location) -> Option<String> {
    match at {
        Location::Operation => None,
        Location::Guard(index) => Some(format!("guards[{index}]")),
        Location::Mutation(index) => Some(format!("mutations[{index}]")),
    }
}
