//! `quorate propose` and `quorate approve`: how administrators change the validator set and the parameters.

use anyhow::Context;
use clap::{Args, Subcommand};
use quorate_client::Rejected;
use quorate_crypto::{Digest, PublicKey};
use quorate_types::epoch::{NewValidator, SetChange};
use quorate_types::ids::OperationId;
use quorate_types::operation::SystemChange;

use crate::connect::{AuthorArgs, ClusterArgs};
use crate::receipt;

/// Proposes a change of the validators or the protocol's parameters; for administrators.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quorate propose --key administrator.key add five --consensus-key KEY --network-key KEY --address five.example.org:7000
  quorate propose --key administrator.key remove two
  quorate propose --key administrator.key rekey three --consensus-key KEY --network-key KEY --address three.example.org:7000
  quorate propose --key administrator.key parameter document_levels 32

The operation's id names the proposal: `quorate approve ID` by as many administrators as the genesis demands.
What was approved takes effect at the end of the epoch; `quorate status` says when that is.")]
pub struct ProposeArgs {
    #[command(flatten)]
    cluster: ClusterArgs,

    #[command(flatten)]
    author: AuthorArgs,

    /// Prints the receipt as JSON
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// A new validator: it learns from the next epoch on, and counts after it has said that it caught up
    Add(Newcomer),
    /// A validator leaves, or one that is being added is given up
    Remove {
        /// Its name
        name: String,
    },
    /// New keys, on a new machine, for a validator; the old keys count until the new ones have caught up
    Rekey(Newcomer),
    /// Another value of a protocol parameter
    Parameter {
        /// Its name, as in the genesis file
        name: String,
        /// The value
        value: u32,
    },
}

#[derive(Args, Debug)]
struct Newcomer {
    /// Its name
    name: String,
    /// Its consensus key, as `quorate keygen` prints it
    #[arg(long, value_name = "KEY")]
    consensus_key: PublicKey,
    /// Its network key
    #[arg(long, value_name = "KEY")]
    network_key: PublicKey,
    /// Where the other validators reach it
    #[arg(long, value_name = "HOST:PORT")]
    address: String,
}

impl Newcomer {
    fn change(&self, replaces: bool) -> SetChange {
        SetChange::Add(Box::new(NewValidator {
            name: self.name.clone(),
            consensus_key: self.consensus_key,
            network_key: self.network_key,
            peer_address: self.address.clone(),
            replaces,
        }))
    }
}

impl ProposeArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// If there is no receipt, or it says that the change can't be made.
    pub async fn run(self) -> anyhow::Result<()> {
        let change = match &self.what {
            What::Add(newcomer) => newcomer.change(false),
            What::Rekey(newcomer) => newcomer.change(true),
            What::Remove { name } => SetChange::Remove { name: name.clone() },
            What::Parameter { name, value } => SetChange::Parameter { name: name.clone(), value: *value },
        };
        let change = SystemChange::Propose(vec![change]);
        let proposal = submit(change, &self.cluster, &self.author, self.json).await?;
        if !self.json {
            println!("proposed; administrators approve it with: quorate approve {proposal}");
        }
        Ok(())
    }
}

/// Approves a proposal; for administrators.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quorate approve 92dbc572… --key administrator.key")]
pub struct ApproveArgs {
    #[command(flatten)]
    cluster: ClusterArgs,

    #[command(flatten)]
    author: AuthorArgs,

    /// Prints the receipt as JSON
    #[arg(long)]
    json: bool,

    /// The operation that proposed
    proposal: Digest,
}

impl ApproveArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// If there is no receipt, or it says that the proposal can't be approved.
    pub async fn run(self) -> anyhow::Result<()> {
        let change = SystemChange::Approve(OperationId(self.proposal));
        submit(change, &self.cluster, &self.author, self.json).await?;
        Ok(())
    }
}

/// Signs and submits a system operation, and prints its receipt.
pub(crate) async fn submit(
    change: SystemChange,
    cluster: &ClusterArgs,
    author: &AuthorArgs,
    json: bool,
) -> anyhow::Result<OperationId> {
    let client = cluster.client()?;
    let mut signer = author.signer(&client).await?;
    let builder = signer.draft(author.lifetime_ms())?;
    let operation = signer.sign(builder.system(change))?;
    let id = operation.id();
    let submitted = client.submit_with_proof(&operation).await;
    let (verified, _) = submitted
        .with_context(|| format!("operation {id} may still execute; quorate receipt get {id} --wait tells"))?;
    signer.settle(&operation);
    receipt::print(&verified, json);
    Rejected::unless_applied(verified)?;
    Ok(id)
}
