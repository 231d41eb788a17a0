//! `quorate forensics`: who is guilty of two certified histories that contradict each other (accountability §5). Offline.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;
use quorate_accountability::file::{first_epoch, from_file, to_file};
use quorate_accountability::forensics::{Findings, Testimony, investigate};
use quorate_client::Proof;
use quorate_proof::{OrderProof, ReceiptProof};
use quorate_replica::testimony::testimony;
use quorate_rocks::RocksStore;
use quorate_types::genesis::Genesis;
use serde_json::{Value as Json, json};

use crate::backup::store_in;
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

    /// The cluster's genesis file
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,

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
        let genesis = files::read(&self.genesis)?;
        let genesis = Genesis::parse(&genesis).with_context(|| self.genesis.display().to_string())?;
        let epoch = first_epoch(&genesis);
        let sides: anyhow::Result<Vec<Testimony>> =
            self.sides.iter().map(|side| read(side).with_context(|| side.display().to_string())).collect();
        let findings = investigate(&epoch, &sides?);
        if let Some(directory) = &self.output {
            keep(directory, &findings)?;
        }
        let needed = epoch.quorum().one_correct();
        if self.json {
            println!("{:#}", to_json(&findings, &genesis, needed));
        } else {
            print(&findings, &genesis, needed);
        }
        let is_enough = findings.fork.is_none() || findings.is_complete(&epoch);
        ensure!(is_enough, "the sides contradict each other, and what they show convicts too few; show more stores");
        Ok(())
    }
}

/// What a store or a file shows.
fn read(side: &Path) -> anyhow::Result<Testimony> {
    if side.is_dir() {
        let path = store_in(side);
        ensure!(RocksStore::exists(&path), "there is no store in {}", path.display());
        let _held = store::hold(&path)?;
        return Ok(testimony(&store::open_to_read(&path)?, quorate_types::ids::Epoch::ZERO)?);
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
fn keep(directory: &Path, findings: &Findings) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    for (culprit, evidence) in &findings.culprits {
        for piece in evidence {
            let name = format!("validator-{culprit}-{}-{}.evidence", piece.kind(), piece.id());
            files::create(&directory.join(name), &to_file(piece), Readers::All)?;
        }
    }
    Ok(())
}

fn name(genesis: &Genesis, validator: quorate_types::ids::ValidatorIndex) -> String {
    genesis.validator_set().validator(validator).map_or_else(String::new, |info| info.name.clone())
}

fn print(findings: &Findings, genesis: &Genesis, needed: usize) {
    match findings.fork {
        Some(sequence) => println!("the sides contradict each other from sequence {sequence} on"),
        None => println!("the sides don't contradict each other"),
    }
    for (culprit, evidence) in &findings.culprits {
        println!("validator {culprit} ({}) is guilty:", name(genesis, *culprit));
        for piece in evidence {
            println!("  {}  {}", piece.id(), piece.kind());
        }
    }
    let count = findings.culprits.len();
    println!("{count} guilty; a fork takes {needed} at least");
}

fn to_json(findings: &Findings, genesis: &Genesis, needed: usize) -> Json {
    let culprits = findings.culprits.iter().map(|(culprit, evidence)| {
        let evidence = evidence.iter().map(|piece| json!({ "id": piece.id().to_string(), "kind": piece.kind() }));
        json!({
            "validator": culprit.0, "name": name(genesis, *culprit), "evidence": evidence.collect::<Vec<_>>(),
        })
    });
    json!({
        "fork": findings.fork.map(|sequence| sequence.0), "needed": needed, "culprits": culprits.collect::<Vec<_>>(),
    })
}
