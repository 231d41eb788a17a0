//! `quorate forensics`: who is guilty of two certified histories that contradict each other (accountability §5). Offline.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use quorate_accountability::file::{from_file, to_file};
use quorate_accountability::forensics::{Findings, Testimony, investigate};
use quorate_client::Proof;
use quorate_proof::{OrderProof, ReceiptProof};
use quorate_replica::testimony::testimony;
use quorate_rocks::RocksStore;
use quorate_types::ids::{Epoch, Sequence, ValidatorIndex};
use quorate_types::verified::Context;
use serde_json::{Value as Json, json};

use crate::backup::store_in;
use crate::epochs::KnownArgs;
use crate::files::{self, Readers};
use crate::init::store;

/// Names those who are guilty of two certified histories that contradict each other, with the evidence for each.
/// Needs no network and changes nothing.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quorate forensics one.receipt another.receipt --genesis genesis.toml
  quorate forensics /var/backups/v0 /var/backups/v2 --genesis genesis.toml --output evidence

Stores tell most: certificates alone convict only where both are of one view, or results of one sequence. The
validators of the stores must not run; backups can be read beside them.")]
pub struct ForensicsArgs {
    /// Stores, backups, files of receipts, proofs or evidence: two that contradict each other, or more
    #[arg(required = true, num_args = 2.., value_name = "STORE_OR_FILE")]
    sides: Vec<PathBuf>,

    #[command(flatten)]
    known: KnownArgs,

    /// A directory for the evidence, a file for each piece
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,

    /// Prints JSON
    #[arg(long)]
    json: bool,
}

impl ForensicsArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// If something can't be read, or the sides contradict each other and not enough are found guilty.
    pub fn run(self) -> anyhow::Result<()> {
        let known = self.known.load()?;
        let mut guilty = Vec::new();
        let (mut fork, mut newest) = (None, Epoch::ZERO);
        // Each epoch by itself: its records alone are in memory then, and an index means another validator in each.
        for context in known.contexts() {
            let read = |side: &PathBuf| read(side, context.epoch).with_context(|| side.display().to_string());
            let sides = self.sides.iter().map(read).collect::<anyhow::Result<Vec<Testimony>>>()?;
            let findings = investigate(context, &sides);
            fork = findings.fork;
            newest = newest.max(newest_of(&sides));
            if let Some(directory) = &self.output {
                keep(directory, context, &findings)?;
            }
            guilty.push((context, findings));
        }
        let judges = |sequence| known.contexts().iter().rfind(|context| context.start.0 < sequence);
        let context = fork.and_then(judges).unwrap_or(&known.contexts()[0]);
        if self.json {
            println!("{:#}", to_json(fork, context, &guilty));
        } else {
            print(fork, context, &guilty);
        }
        let is_complete = |(of, findings): &(&Context, Findings)| of.epoch == context.epoch && findings.is_complete(of);
        if fork.is_none() || guilty.iter().any(is_complete) {
            return Ok(());
        }
        // The chain's last epoch may have ended long before the fork.
        known.context(newest, "testimony")?;
        bail!("the sides contradict each other, and what they show convicts too few; show more stores")
    }
}

/// The newest epoch of which anything is certified.
fn newest_of(sides: &[Testimony]) -> Epoch {
    let commits = sides.iter().flat_map(|side| &side.certificates).map(|certificate| certificate.epoch);
    let results = sides.iter().flat_map(|side| &side.executions).map(|certificate| certificate.execution.epoch);
    commits.chain(results).max().unwrap_or(Epoch::ZERO)
}

/// What a store shows of an epoch, or a file of any.
fn read(side: &Path, epoch: Epoch) -> anyhow::Result<Testimony> {
    if side.is_dir() {
        let path = store_in(side);
        ensure!(RocksStore::exists(&path), "there is no store in {}", path.display());
        let _held = store::hold(&path)?;
        return Ok(testimony(&store::open_to_read(&path)?, epoch)?);
    }
    let bytes = files::read(side)?;
    if let Ok(evidence) = from_file(&bytes) {
        return Ok(Testimony { evidence: vec![evidence], ..Testimony::default() });
    }
    if let Ok(ReceiptProof { certificate, .. }) = ReceiptProof::from_file(&bytes) {
        return Ok(Testimony { executions: vec![certificate], ..Testimony::default() });
    }
    if let Ok(order) = OrderProof::from_file(&bytes) {
        return Ok(of_order(order));
    }
    match Proof::from_file(&bytes).context("it is neither a store nor a file of a receipt, a proof or evidence")? {
        Proof::Receipt(proof) => Ok(Testimony { executions: vec![proof.certificate], ..Testimony::default() }),
        Proof::State(proof) => Ok(Testimony { executions: vec![proof.certificate], ..Testimony::default() }),
        Proof::Order(order) => Ok(of_order(*order)),
    }
}

fn of_order(order: OrderProof) -> Testimony {
    let OrderProof { segment } = order;
    Testimony { certificates: vec![segment.certificate], proposals: segment.proposals, ..Testimony::default() }
}

/// A file for each piece, named by whom it convicts and its id.
fn keep(directory: &Path, context: &Context, findings: &Findings) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    for (culprit, evidence) in &findings.culprits {
        for piece in evidence {
            let (kind, id) = (piece.kind(), piece.id());
            let of_epoch =
                if context.epoch == Epoch::ZERO { String::new() } else { format!("epoch-{}-", context.epoch) };
            let name = format!("{of_epoch}validator-{culprit}-{kind}-{id}.evidence");
            files::create(&directory.join(name), &to_file(piece), Readers::All)?;
        }
    }
    Ok(())
}

fn name(context: &Context, validator: ValidatorIndex) -> &str {
    context.set.validator(validator).map_or("", |info| info.name.as_str())
}

fn print(fork: Option<Sequence>, judge: &Context, guilty: &[(&Context, Findings)]) {
    match fork {
        Some(sequence) => println!("the sides contradict each other from sequence {sequence} on"),
        None => println!("the sides don't contradict each other"),
    }
    for (context, findings) in guilty {
        for (culprit, evidence) in &findings.culprits {
            println!("epoch {}: validator {culprit} ({}) is guilty:", context.epoch, name(context, *culprit));
            for piece in evidence {
                println!("  {}  {}", piece.id(), piece.kind());
            }
        }
    }
    let of_fork = guilty.iter().find(|(context, _)| context.epoch == judge.epoch);
    let count = of_fork.map_or(0, |(_, findings)| findings.culprits.len());
    println!("{count} guilty in epoch {}; a fork takes {} at least", judge.epoch, judge.quorum().one_correct());
}

fn to_json(fork: Option<Sequence>, judge: &Context, guilty: &[(&Context, Findings)]) -> Json {
    let mut culprits = Vec::new();
    for (context, findings) in guilty {
        for (culprit, evidence) in &findings.culprits {
            let evidence = evidence.iter().map(|piece| json!({ "id": piece.id().to_string(), "kind": piece.kind() }));
            culprits.push(json!({
                "epoch": context.epoch.0, "validator": culprit.0, "name": name(context, *culprit),
                "evidence": evidence.collect::<Vec<_>>(),
            }));
        }
    }
    json!({
        "fork": fork.map(|sequence| sequence.0), "epoch": judge.epoch.0, "needed": judge.quorum().one_correct(),
        "culprits": culprits,
    })
}
