//! What the offline commands judge by: the genesis, the chain of epochs in a file, and a trusted checkpoint.
//! `quorate epochs export` makes the file, and `quorate light-client verify` shows the chain.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::{Args, Subcommand};
use quorate_accountability::file::first_epoch;
use quorate_client::Client;
use quorate_proof::{Checkpoint, EpochChain, EpochInfo, ProofFault};
use quorate_types::epoch::{EpochDefinition, EpochStart};
use quorate_types::genesis::Genesis;
use quorate_types::ids::Epoch;
use quorate_types::verified::Context;
use serde_json::{Value as Json, json};

use crate::connect::ClusterArgs;
use crate::files::{self, Readers};
use crate::paint;

/// How a chain at hand is made longer.
const EXPORT: &str = "export a newer one with `quorate epochs export --output FILE`, and give it with --epochs FILE";

/// What an offline command judges by.
#[derive(Args, Clone, Debug)]
pub struct KnownArgs {
    /// The cluster's genesis file
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,

    /// The chain of epochs, as `quorate epochs export` makes it: for what is of a later epoch than the first
    #[arg(long, value_name = "FILE")]
    epochs: Option<PathBuf>,

    /// A checkpoint that the chain of epochs must lead to, as `quorate status` prints it
    #[arg(long, value_name = "SEQUENCE:DIGEST")]
    trust: Option<Checkpoint>,
}

/// The epochs that follow from what was given, all verified.
#[derive(Debug)]
pub struct Known {
    /// The genesis.
    pub genesis: Genesis,
    /// What proofs are judged by.
    pub info: EpochInfo,
    /// What evidence is judged by, by epoch.
    contexts: Vec<Context>,
}

impl KnownArgs {
    /// Reads and verifies it all.
    ///
    /// # Errors
    /// If a file can't be read, or the chain of epochs doesn't hold.
    pub fn load(&self) -> anyhow::Result<Known> {
        let genesis = files::read(&self.genesis)?;
        let genesis = Genesis::parse(&genesis).with_context(|| self.genesis.display().to_string())?;
        let mut known = Known::of_genesis(genesis, self.trust)?;
        if let Some(path) = &self.epochs {
            known.follow(&read_chain(path)?).with_context(|| path.display().to_string())?;
        }
        if let (Some(trusted), false) = (self.trust, known.info.is_trusted()) {
            bail!("the chain at hand ends before the trusted checkpoint {trusted}: {EXPORT}");
        }
        Ok(known)
    }
}

impl Known {
    fn of_genesis(genesis: Genesis, trust: Option<Checkpoint>) -> anyhow::Result<Self> {
        let mut info = EpochInfo::of_genesis(&genesis);
        if let Some(trusted) = trust {
            info = info.trusting(trusted)?;
        }
        Ok(Self { contexts: vec![first_epoch(&genesis)], info, genesis })
    }

    /// What a client knows that has followed the chain to an epoch.
    ///
    /// # Errors
    /// If no validator hands out the chain, where one is needed.
    pub async fn at(client: &Client, epoch: Epoch) -> anyhow::Result<Self> {
        let mut known = Self::of_genesis(client.genesis().clone(), client.trusted())?;
        if epoch > Epoch::ZERO || !known.info.is_trusted() {
            known.follow(&newest_chain(client).await?)?;
        }
        Ok(known)
    }

    fn follow(&mut self, chain: &EpochChain) -> Result<(), ProofFault> {
        chain.follow(&mut self.info)?;
        for start in &chain.starts {
            let next = self.contexts.last().map(|before| start.context(before));
            self.contexts.extend(next);
        }
        Ok(())
    }

    /// What evidence of an epoch is judged by.
    ///
    /// # Errors
    /// If the chain doesn't lead so far.
    pub fn context(&self, epoch: Epoch, what: &str) -> anyhow::Result<&Context> {
        let found = usize::try_from(epoch.0).ok().and_then(|at| self.contexts.get(at));
        found.ok_or_else(|| self.too_short(epoch, what))
    }

    /// What evidence is judged by, for each epoch.
    #[must_use]
    pub fn contexts(&self) -> &[Context] {
        &self.contexts
    }

    /// A fault in what was judged, with what to do about it.
    #[must_use]
    pub fn explain(&self, fault: ProofFault, what: &str) -> anyhow::Error {
        match fault {
            ProofFault::UnknownEpoch { found, .. } => self.too_short(found, what),
            fault => anyhow!("the {what} doesn't verify: {fault}"),
        }
    }

    fn too_short(&self, epoch: Epoch, what: &str) -> anyhow::Error {
        anyhow!("this {what} is of epoch {epoch}; the chain at hand ends at epoch {}: {EXPORT}", self.info.epoch)
    }
}

fn read_chain(path: &Path) -> anyhow::Result<EpochChain> {
    let shown = || format!("{} is no chain of epochs", path.display());
    EpochChain::from_file(&files::read(path)?).with_context(shown)
}

/// Keeps the chain of epochs as a file, for verification without a network.
#[derive(Args, Debug)]
pub struct EpochsArgs {
    #[command(subcommand)]
    command: EpochsCommand,
}

#[derive(Subcommand, Debug)]
enum EpochsCommand {
    Export(ExportEpochs),
}

/// Fetches the chain of epochs from the genesis to the newest one, verifies it, and keeps it as a file.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quorate epochs export --output cluster.epochs
  quorate proof verify greeting.proof --genesis genesis.toml --epochs cluster.epochs")]
struct ExportEpochs {
    /// Where to keep it
    #[arg(long, value_name = "FILE")]
    output: PathBuf,

    #[command(flatten)]
    cluster: ClusterArgs,
}

impl EpochsArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// If no validator hands out a chain that holds, or the file can't be made.
    pub async fn run(self) -> anyhow::Result<()> {
        let EpochsCommand::Export(args) = self.command;
        files::admit_new(&args.output)?;
        let chain = newest_chain(&args.cluster.client()?).await?;
        files::create(&args.output, &chain.to_file(), Readers::All)?;
        println!("the chain of epochs up to epoch {} is in {}", chain.starts.len(), args.output.display());
        Ok(())
    }
}

/// The longest chain that any validator hands out and that holds.
///
/// # Errors
/// If there is none, or two that hold contradict each other.
pub async fn newest_chain(client: &Client) -> anyhow::Result<EpochChain> {
    let (mut newest, mut problems) = (None::<EpochChain>, Vec::new());
    for position in 0..client.endpoints().count() {
        match client.epoch_chain(position).await {
            Err(fault) => problems.push(fault.to_string()),
            Ok(chain) => newest = Some(newest.map_or(Ok(chain.clone()), |known| longer(known, chain))?),
        }
    }
    newest.with_context(|| format!("no validator hands out a chain of epochs that holds: {}", problems.join("; ")))
}

fn longer(one: EpochChain, other: EpochChain) -> anyhow::Result<EpochChain> {
    let pairs = one.starts.iter().zip(&other.starts);
    let fork = pairs.map(|(one, other)| (one.certificate.execution, other.certificate.execution));
    if let Some((one, other)) = fork.into_iter().find(|(one, other)| one != other) {
        bail!(
            "two chains that both hold lead to different validators: {} and {}. A quorum of epoch {} signed both; \
             ask those who run the cluster for a checkpoint to trust",
            Checkpoint::of(&one),
            Checkpoint::of(&other),
            one.epoch
        );
    }
    Ok(if other.starts.len() > one.starts.len() { other } else { one })
}

/// Follows the chain of epochs as somebody who holds the genesis and nothing else.
#[derive(Args, Debug)]
pub struct LightClientArgs {
    #[command(subcommand)]
    command: LightClientCommand,
}

#[derive(Subcommand, Debug)]
enum LightClientCommand {
    Verify(VerifyChain),
}

/// Verifies the chain of epochs from the genesis to the newest one, and shows who the validators are in each.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quorate light-client verify                            the chain that the validators hand out
  quorate light-client verify --epochs cluster.epochs    one in a file; asks nobody
  quorate light-client verify --trust 640:6f0c...        and it must lead to this checkpoint

The genesis alone doesn't tell a chain that was forged with the keys of a quorum of an earlier epoch; a checkpoint
from somebody who is trusted does. `quorate status` prints one.")]
struct VerifyChain {
    /// A file with the chain, as `quorate epochs export` makes it
    #[arg(long, value_name = "FILE")]
    epochs: Option<PathBuf>,

    /// Prints JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArgs,
}

impl LightClientArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// If the chain doesn't hold.
    pub async fn run(self) -> anyhow::Result<()> {
        let LightClientCommand::Verify(args) = self.command;
        let chain = match &args.epochs {
            Some(path) => read_chain(path)?,
            None => newest_chain(&args.cluster.client()?).await?,
        };
        let path = args.cluster.genesis_path();
        let genesis = Genesis::parse(&files::read(&path)?).with_context(|| path.display().to_string())?;
        let first = EpochDefinition::of_genesis(&genesis);
        let mut known = Known::of_genesis(genesis, args.cluster.trust)?;
        let followed = known.follow(&chain);
        let reached = usize::try_from(known.info.epoch.0).unwrap_or(usize::MAX);
        let shown = chain.starts.get(..reached).unwrap_or_default();
        if args.json {
            println!("{:#}", to_json(&first, shown, &known.info, followed.is_ok()));
        } else {
            print_chain(&first, shown);
        }
        followed?;
        ensure!(
            known.info.is_trusted(),
            "the chain ends at sequence {}, before the trusted checkpoint: nothing in it is believed",
            known.info.checkpoint().sequence
        );
        if !args.json {
            let (epoch, checkpoint) = (known.info.epoch, known.info.checkpoint());
            let from = args.cluster.trust.map_or_else(String::new, |trusted| format!(" and {trusted}"));
            println!("{} the chain holds from the genesis{from} to epoch {epoch}", paint::good("verified:"));
            println!("checkpoint {checkpoint}");
        }
        Ok(())
    }
}

fn print_chain(first: &EpochDefinition, starts: &[EpochStart]) {
    let mut before = first;
    println!("epoch 0, from sequence 1: {}", members(first));
    for definition in starts.iter().map(|start| &start.definition) {
        let first = definition.start.next();
        println!("epoch {}, from sequence {first}: {}", definition.epoch, members(definition));
        changes(before, definition).iter().for_each(|change| println!("  {change}"));
        before = definition;
    }
}

fn members(definition: &EpochDefinition) -> String {
    let names: Vec<&str> = definition.validators.iter().map(|info| info.name.as_str()).collect();
    format!("{} validators: {}", names.len(), names.join(", "))
}

/// What makes a definition another one than that before it, in words.
fn changes(before: &EpochDefinition, after: &EpochDefinition) -> Vec<String> {
    let mut said = Vec::new();
    for info in &after.validators {
        match before.validators.iter().find(|old| old.name == info.name) {
            None => said.push(format!("{} is a validator", info.name)),
            Some(old) if old.consensus_key != info.consensus_key => said.push(format!("{} has new keys", info.name)),
            Some(old) if old.incarnation != info.incarnation => said.push(format!("{} has a new store", info.name)),
            Some(_) => {}
        }
    }
    let has_left = |old: &&quorate_types::set::ValidatorInfo| after.validators.iter().all(|info| info.name != old.name);
    said.extend(before.validators.iter().filter(has_left).map(|old| format!("{} is no validator any more", old.name)));
    let is_new = |learner: &&quorate_types::set::Learner| {
        let key = learner.info.consensus_key;
        before.validator_with(&key).is_none() && before.learner_with(&key).is_none()
    };
    let is_barred_now = |info: &&quorate_types::set::ValidatorInfo| {
        let key = &info.consensus_key;
        after.barred.contains(key) && !before.barred.contains(key)
    };
    let barred = after.validators.iter().filter(is_barred_now);
    said.extend(barred.map(|info| format!("{} is convicted and may not lead", info.name)));
    said.extend(after.learners.iter().filter(is_new).map(|learner| format!("{} learns", learner.info.name)));
    if before.parameters != after.parameters {
        said.push("other parameters".to_owned());
    }
    said
}

/// The names of those who may not lead, the longest barred first.
fn barred(definition: &EpochDefinition) -> Vec<&str> {
    let owner = |key| definition.validator_with(key).map(|info| info.name.as_str());
    definition.barred.iter().filter_map(owner).collect()
}

fn to_json(first: &EpochDefinition, starts: &[EpochStart], info: &EpochInfo, holds: bool) -> Json {
    let (mut before, mut epochs) = (first, Vec::new());
    for definition in std::iter::once(first).chain(starts.iter().map(|start| &start.definition)) {
        let names: Vec<&str> = definition.validators.iter().map(|info| info.name.as_str()).collect();
        epochs.push(json!({
            "epoch": definition.epoch.0, "first_sequence": definition.start.next().0, "validators": names,
            "barred": barred(definition), "changes": changes(before, definition),
        }));
        before = definition;
    }
    json!({
        "epochs": epochs, "checkpoint": info.checkpoint().to_string(), "verified": holds && info.is_trusted(),
    })
}

#[cfg(test)]
mod tests {
    use quorate_crypto::{PublicKey, SecretKey};
    use quorate_types::ids::Sequence;
    use quorate_types::parameters::Parameters;
    use quorate_types::set::ValidatorInfo;

    use super::*;

    fn info(name: &str, seed: u8) -> ValidatorInfo {
        let key = |seed| -> PublicKey { SecretKey::from_seed([seed; 32]).public() };
        ValidatorInfo {
            name: name.to_owned(),
            consensus_key: key(seed),
            network_key: key(seed + 100),
            incarnation: [seed; 32],
            peer_address: format!("{name}:7000"),
        }
    }

    /// accountability §2.5
    #[test]
    fn what_an_epoch_changes_is_said_in_words() {
        let before = EpochDefinition {
            epoch: Epoch(1),
            start: Sequence(64),
            validators: vec![info("one", 1), info("two", 2), info("three", 3)],
            learners: vec![],
            barred: vec![],
            parameters: Parameters::default(),
        };
        let mut after = before.clone();
        after.validators[0] = info("one", 4);
        after.validators[1].incarnation = [9; 32];
        after.validators[2] = info("four", 5);
        after.parameters.document_levels += 1;
        after.barred = vec![after.validators[1].consensus_key];
        assert_eq!(
            changes(&before, &after),
            [
                "one has new keys",
                "two has a new store",
                "four is a validator",
                "three is no validator any more",
                "two is convicted and may not lead",
                "other parameters",
            ]
        );
        assert!(changes(&before, &before).is_empty());
    }
}
