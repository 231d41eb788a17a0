//! `quorate proof`: proofs of any kind in files, and what they prove to someone who has nothing but the genesis.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use quorate_client::{Proof, Proven, Subject, VerifiedOrder, VerifiedState};
use quorate_types::ids::{OperationId, Sequence};
use serde_json::{Value as Json, json};

use crate::connect::{self, ClusterArgs};
use crate::epochs::KnownArgs;
use crate::files::{self, Readers};
use crate::submit::draft;
use crate::{json, paint, receipt};

/// Fetches proofs of entities, receipts and the order, and verifies them offline.
#[derive(Args, Debug)]
pub struct ProofArgs {
    #[command(subcommand)]
    command: ProofCommand,
}

#[derive(Subcommand, Debug)]
enum ProofCommand {
    Get(Box<GetProof>),
    Verify(VerifyProof),
}

/// Fetches a proof and verifies it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quorate proof get document/greeting --output greeting.proof
  quorate proof get --operation 6f0c... --output receipt.proof
  quorate proof get --order-from 421
  quorate proof verify greeting.proof --genesis genesis.toml")]
struct GetProof {
    /// The entity, as KIND/ID: its value, or that it doesn't exist
    #[arg(required_unless_present_any = ["operation", "order_from"], conflicts_with_all = ["operation", "order_from"])]
    entity: Option<String>,

    /// An operation's id: its receipt
    #[arg(long, value_name = "ID", conflicts_with = "order_from")]
    operation: Option<String>,

    /// A sequence: the proposals committed from there on
    #[arg(long, value_name = "SEQUENCE")]
    order_from: Option<u64>,

    /// Of an entity, in a state at this sequence or above
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0, requires = "entity")]
    at_least: u64,

    /// The reader's key, where the kind restricts reading
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// Where to keep it, as a file that verifies offline
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Prints JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Verifies a proof file against a genesis file, and the chain of epochs from there. Asks nobody and needs no network.
#[derive(Args, Debug)]
struct VerifyProof {
    /// The proof file
    file: PathBuf,

    #[command(flatten)]
    known: KnownArgs,

    /// Prints JSON
    #[arg(long)]
    json: bool,
}

impl ProofArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// If there is no proof, or it doesn't hold.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command {
            ProofCommand::Get(args) => args.run().await,
            ProofCommand::Verify(args) => args.run(),
        }
    }
}

impl GetProof {
    async fn run(self) -> anyhow::Result<()> {
        let client = self.cluster.client()?;
        let token = connect::read_token(&client, self.key.as_deref())?;
        let (proven, file) = client.prove(&self.subject()?, token.as_ref()).await?;
        if let Some(path) = &self.output {
            files::create(path, &file, Readers::All)?;
        }
        print(&proven, self.json);
        Ok(())
    }

    fn subject(&self) -> anyhow::Result<Subject> {
        match (&self.entity, &self.operation, self.order_from) {
            (Some(entity), None, None) => Ok(Subject::Entity(draft::entity(entity)?, Sequence(self.at_least))),
            (None, Some(operation), None) => {
                let digest = operation.parse().with_context(|| format!("{operation:?} is no operation's id"))?;
                Ok(Subject::Operation(OperationId(digest)))
            }
            (None, None, Some(from)) => Ok(Subject::OrderFrom(Sequence(from))),
            _ => bail!("one of KIND/ID, --operation and --order-from says what to prove"),
        }
    }
}

impl VerifyProof {
    fn run(self) -> anyhow::Result<()> {
        let known = self.known.load()?;
        let proof = Proof::from_file(&files::read(&self.file)?)
            .with_context(|| format!("{} is no proof file", self.file.display()))?;
        print(&proof.verify(&known.info).map_err(|fault| known.explain(fault, "proof"))?, self.json);
        Ok(())
    }
}

fn print(proven: &Proven, as_json: bool) {
    match proven {
        Proven::Receipt(verified) => receipt::print(verified, as_json),
        Proven::State(state) => print_state(state, as_json),
        Proven::Order(order) => print_order(order, as_json),
    }
}

/// Prints an entity, or its absence, as a quorum stands for it.
pub fn print_state(state: &VerifiedState, as_json: bool) {
    let execution = state.execution();
    if as_json {
        println!("{}", state_to_json(state));
        return;
    }
    println!("{} a quorum of the cluster's validators stands for this state", paint::good("verified:"));
    println!("  sequence        {}", execution.sequence);
    println!("  state root      {}", execution.state_root);
    let Some(entity) = state.entity() else {
        println!("  {} did not exist then", state.name());
        return;
    };
    println!("  entity          {}", state.name());
    println!("  version         {}", entity.header.version);
    println!("  changed at      sequence {}", entity.header.changed);
    println!("  last operation  {}", entity.header.last);
    println!("{:#}", json::from_value(&entity.content.to_value()));
}

fn state_to_json(state: &VerifiedState) -> Json {
    let execution = state.execution();
    let entity = state.entity().map(|entity| {
        json!({
            "version": entity.header.version,
            "last_operation": entity.header.last,
            "changed_at": entity.header.changed,
            "value": json::from_value(&entity.content.to_value()),
        })
    });
    json!({
        "kind": state.name().kind,
        "id": state.name().id,
        "entity": entity,
        "sequence": execution.sequence,
        "state_root": execution.state_root,
    })
}

fn print_order(order: &VerifiedOrder, as_json: bool) {
    if !as_json {
        println!("{} a quorum of the cluster's validators committed this order", paint::good("verified:"));
    }
    for proposal in order.proposals() {
        let (sequence, digest, tips) = (proposal.sequence, proposal.digest(), &proposal.payload.tips);
        if as_json {
            let tips = tips.iter().map(|tip| json!({ "lane": tip.lane, "number": tip.number, "digest": tip.digest }));
            let tips: Vec<Json> = tips.collect();
            println!("{}", json!({ "sequence": sequence, "digest": digest, "time_ms": proposal.time, "tips": tips }));
        } else {
            println!("  sequence {sequence:<10} {digest}  {} lanes", tips.len());
        }
    }
}
