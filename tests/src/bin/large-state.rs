//! Shows that the state may be far larger than memory (data-model §4): creates many entities through the
//! execution that validators run, with a small block cache, then opens the store again in a fresh process and
//! reads and updates at random.
//!
//! `cargo run --release -p quorate-tests --bin large-state -- --entities 1000000`
//!
//! Signatures are not verified here: that isn't execution's work, and another measurement.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::Parser;
use quorate_replica::machine::read;
use quorate_replica::records;
use quorate_rocks::{RocksOptions, RocksStore};
use quorate_storage::StateOf;
use quorate_tests::chain::Chain;
use quorate_types::operation::{Change, EntityId, Mutation};
use quorate_types::value::Value;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const MIB: u64 = 1 << 20;

/// Mutations in one operation: small enough that receipts and the operation index weigh what they weigh in use.
const MUTATIONS: u64 = 8;

/// Operations in one sequence.
const OPERATIONS: usize = 512;

#[derive(Parser, Debug)]
struct Arguments {
    /// How many entities to create
    #[arg(long, default_value_t = 1_000_000)]
    entities: u64,
    /// The block cache, in MiB
    #[arg(long, default_value_t = 64)]
    cache_mib: usize,
    /// Random reads, and random updates, after the store was opened again
    #[arg(long, default_value_t = 100_000)]
    accesses: u64,
    /// Where the store goes; by default a temporary directory that is removed
    #[arg(long)]
    directory: Option<PathBuf>,
    /// Opens the store that an earlier run left in the directory, and fills nothing
    #[arg(long, requires = "directory")]
    reopen: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let (true, Some(directory)) = (arguments.reopen, &arguments.directory) {
        return reopen(&arguments, directory);
    }
    let temporary = tempfile::tempdir().context("making a temporary directory")?;
    let directory = arguments.directory.clone().unwrap_or_else(|| temporary.path().join("store"));
    fill(&arguments, &directory)?;
    // A fresh process: what filling left in this one's memory must not count.
    let again = Command::new(std::env::current_exe()?)
        .args(["--reopen", "--directory"])
        .arg(&directory)
        .args(["--entities", &arguments.entities.to_string()])
        .args(["--cache-mib", &arguments.cache_mib.to_string()])
        .args(["--accesses", &arguments.accesses.to_string()])
        .status()
        .context("starting again")?;
    ensure!(again.success(), "the second half failed: {again}");
    Ok(())
}

fn open(arguments: &Arguments, directory: &Path) -> anyhow::Result<RocksStore> {
    let options = RocksOptions { block_cache_bytes: arguments.cache_mib << 20, ..RocksOptions::default() };
    Ok(RocksStore::open(directory, &options)?)
}

fn fill(arguments: &Arguments, directory: &Path) -> anyhow::Result<()> {
    let store = open(arguments, directory)?;
    let mut chain = Chain::resume(&store)?;
    let started = Instant::now();
    let mut next = 0;
    while next < arguments.entities {
        let mut operations = Vec::with_capacity(OPERATIONS);
        while operations.len() < OPERATIONS && next < arguments.entities {
            let end = (next + MUTATIONS).min(arguments.entities);
            operations.push(chain.operation((next..end).map(creation))?);
            next = end;
        }
        ensure!(chain.execute(&store, operations)? == 0, "an operation was rejected");
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("created             {} entities in {seconds:.1} s, {:.0} per second", next, next as f64 / seconds);
    println!("resident, filling   {} MiB", resident_mib("VmRSS")?);
    println!("peak, filling       {} MiB", resident_mib("VmHWM")?);
    drop(store);
    println!("store on disk       {} MiB", directory_bytes(directory)? / MIB);
    Ok(())
}

fn reopen(arguments: &Arguments, directory: &Path) -> anyhow::Result<()> {
    let before = resident_mib("VmRSS")?;
    let started = Instant::now();
    let store = open(arguments, directory)?;
    let mark = records::executed().read(&store)?.context("nothing was executed in this store")?;
    let last = read::entity(&StateOf(&store), &name(arguments.entities - 1))?;
    ensure!(last.is_some(), "the last entity is missing");
    println!("opened again        in {} ms, at sequence {}", started.elapsed().as_millis(), mark.execution.sequence);
    println!("resident, opened    {} MiB ({before} before)", resident_mib("VmRSS")?);
    let mut dice = ChaCha8Rng::seed_from_u64(1);
    let started = Instant::now();
    for _ in 0..arguments.accesses {
        let id = name(dice.random_range(0..arguments.entities));
        ensure!(read::entity(&StateOf(&store), &id)?.is_some(), "{id} is missing");
    }
    println!("random reads        {:.0} per second", arguments.accesses as f64 / started.elapsed().as_secs_f64());
    update(arguments, &store, &mut dice)?;
    println!("resident, after     {} MiB", resident_mib("VmRSS")?);
    println!("peak                {} MiB", resident_mib("VmHWM")?);
    let held = store.residence();
    let (cache, buffers) = (held.block_cache_bytes / MIB, held.write_buffer_bytes / MIB);
    println!("held by RocksDB     {cache} MiB of blocks, {buffers} MiB of writes");
    Ok(())
}

fn update(arguments: &Arguments, store: &RocksStore, dice: &mut ChaCha8Rng) -> anyhow::Result<()> {
    let mut chain = Chain::resume(store)?;
    let started = Instant::now();
    let mut done = 0;
    while done < arguments.accesses {
        let wanted = (arguments.accesses - done).min(OPERATIONS as u64);
        let mut operations = Vec::new();
        for _ in 0..wanted {
            let entity = name(dice.random_range(0..arguments.entities));
            let change = Change::Increment { path: "/revision".parse()?, by: 1 };
            operations.push(chain.operation([Mutation { entity, change }])?);
        }
        ensure!(chain.execute(store, operations)? == 0, "an operation was rejected");
        done += wanted;
    }
    println!("random updates      {:.0} per second", done as f64 / started.elapsed().as_secs_f64());
    Ok(())
}

/// Scattered over the key space, as names in use are.
fn name(number: u64) -> EntityId {
    let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    EntityId::new(quorate_tests::chain::KIND, &format!("{scattered:016x}-{number}"))
}

/// A document of some 200 bytes.
fn creation(number: u64) -> Mutation {
    let text = format!("entity {number}: {}", "a document of ordinary size. ".repeat(6));
    let fields = [
        ("number", Value::Integer(number.cast_signed())),
        ("revision", Value::Integer(0)),
        ("text", Value::Text(text)),
    ];
    let value = Value::Map(fields.map(|(key, value)| (key.to_owned(), value)).into());
    Mutation { entity: name(number), change: Change::Create { value: Some(value) } }
}

/// A field of `/proc/self/status`, in MiB.
fn resident_mib(field: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("this needs Linux")?;
    let line = status.lines().find(|line| line.starts_with(field)).context("no such field")?;
    let kib: u64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib / 1024)
}

fn directory_bytes(directory: &Path) -> anyhow::Result<u64> {
    let sizes = std::fs::read_dir(directory)?.map(|entry| Ok(entry?.metadata()?.len()));
    sizes.sum::<std::io::Result<u64>>().context("measuring the store")
}
