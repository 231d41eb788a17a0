//! The simulated store against RocksDB (simulation §2.13): whatever a crash leaves of RocksDB, the simulated
//! store allows. The same random scripts, live; with a process that is killed; and with a log cut back to any
//! byte behind the last one synced, which is what a loss of power may leave.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use quorate_rocks::{RocksOptions, RocksStore};
use quorate_storage::{Durability, Family, MemoryStore, Snapshot, Store};
use quorate_tests::script::{Allowed, Survived, Write, content, key};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Small enough that scripts fill write buffers and close logs.
fn options() -> RocksOptions {
    RocksOptions { block_cache_bytes: 8 << 20, write_buffer_bytes: 1 << 20, ..RocksOptions::default() }
}

fn open(path: &Path) -> anyhow::Result<RocksStore> {
    Ok(RocksStore::open(path, &options())?)
}

#[test]
fn every_read_of_the_simulated_store_is_that_of_rocksdb() -> anyhow::Result<()> {
    for seed in 0..4 {
        let directory = tempfile::tempdir()?;
        let (disk, memory) = (open(directory.path())?, MemoryStore::new());
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let mut snapshots = Vec::new();
        for place in 0..250 {
            Write::of(seed, place).carry_out(&disk)?;
            Write::of(seed, place).carry_out(&memory)?;
            let family = Family::ALL[dice.random_range(0..Family::ALL.len())];
            let (a, b, limit) = (key(&mut dice), key(&mut dice), dice.random_range(0..4));
            ensure!(disk.get(family, &a)? == memory.get(family, &a)?, "seed {seed}, write {place}");
            ensure!(disk.multi_get(family, &[&a, &b, &a])? == memory.multi_get(family, &[&a, &b, &a])?);
            for to in [&b[..], b""] {
                let up = (disk.scan(family, &a, to, limit)?, memory.scan(family, &a, to, limit)?);
                let down = (disk.scan_back(family, &a, to, limit)?, memory.scan_back(family, &a, to, limit)?);
                ensure!(up.0 == up.1 && down.0 == down.1, "seed {seed}, write {place}, from {a:?} to {to:?}");
            }
            if dice.random_range(0..50) == 0 {
                snapshots.push((disk.snapshot()?, memory.snapshot()?));
            }
        }
        ensure!(content(&disk)? == content(&memory)?, "seed {seed}");
        for (of_disk, of_memory) in snapshots {
            for family in Family::ALL {
                let both = (of_disk.scan(family, b"", b"", 99)?, of_memory.scan(family, b"", b"", 99)?);
                ensure!(both.0 == both.1, "seed {seed}: a snapshot of {family}");
            }
        }
    }
    Ok(())
}

/// A process writes until it is killed after it has said so many lines; gives the first write that isn't known to
/// have returned.
fn write_and_kill(path: &Path, seed: u64, from: u64, lines: u64, forgets: Option<u64>) -> anyhow::Result<u64> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_store-writer"));
    command.arg(path).args([seed.to_string(), from.to_string()]).args(forgets.map(|place| place.to_string()));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut said = BufReader::new(child.stdout.take().context("a pipe was asked for")?).lines();
    let mut done = from;
    let mut hear = |line: std::io::Result<String>| -> anyhow::Result<()> {
        done = line?.parse::<u64>()? + 1;
        Ok(())
    };
    for _ in 0..lines {
        hear(said.next().context("the writer ended by itself")?)?;
    }
    child.kill()?;
    // What it had said before it died is still in the pipe.
    said.try_for_each(hear)?;
    child.wait()?;
    Ok(done)
}

#[test]
fn what_a_killed_process_leaves_is_what_the_simulated_store_allows() -> anyhow::Result<()> {
    for seed in 100..106 {
        let directory = tempfile::tempdir()?;
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let mut allowed = Allowed::new(seed);
        for life in 0..4 {
            let from = allowed.next();
            let done = write_and_kill(directory.path(), seed, from, dice.random_range(1..60), None)?;
            let found = content(&open(directory.path())?)?;
            let Survived { written, kept } = allowed.admit(done, true, &found)?;
            // The operating system has what was written: only power takes that away.
            ensure!(kept == written && written >= done - from, "seed {seed}, life {life}: {kept} of {written}");
        }
    }
    Ok(())
}

/// The planted difference: without it, the test above could be one that can't fail.
#[test]
fn a_store_that_forgets_a_write_is_found_out_by_what_a_killed_process_leaves() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    // One that no crash may lose.
    let is_bound = |write: &Write| write.durability == Durability::Synced && write.batch.len() > 3;
    let forgotten = (0..).find(|place| is_bound(&Write::of(100, *place))).unwrap_or_default();
    let done = write_and_kill(directory.path(), 100, 0, forgotten + 1, Some(forgotten))?;
    let found = content(&open(directory.path())?)?;
    let told = Allowed::new(100).admit(done, true, &found);
    ensure!(told.is_err(), "{told:?}");
    Ok(())
}

/// The log written last, and its length.
fn log_of(path: &Path) -> anyhow::Result<(PathBuf, u64)> {
    let files = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    let logs = files.into_iter().filter(|path| path.extension().is_some_and(|end| end == "log"));
    let log = logs.max().context("an open store has a log")?;
    let length = fs::metadata(&log)?.len();
    Ok((log, length))
}

/// Writes, then loses power: of the last log a part of what wasn't synced, as RocksDB itself counts syncs, is gone.
/// Gives the first write that wasn't made. If the store is `lazy`, it syncs nothing.
fn write_and_lose_power(path: &Path, allowed: &Allowed, seed: u64, writes: u64, lazy: bool) -> anyhow::Result<u64> {
    let store = open(path)?;
    let mut dice = ChaCha8Rng::seed_from_u64(seed ^ allowed.next());
    let mut synced = log_of(path)?;
    let mut syncs = store.metrics().log_syncs;
    let ends = allowed.next() + writes;
    for place in allowed.next()..ends {
        let write = Write::of(seed, place);
        let durability = if lazy { Durability::Buffered } else { write.durability };
        Write { durability, ..write }.carry_out(&store)?;
        if store.metrics().log_syncs > syncs {
            syncs = store.metrics().log_syncs;
            synced = log_of(path)?;
        }
    }
    drop(store);
    let (log, length) = log_of(path)?;
    // A log that was begun after the last sync may be gone as a whole.
    let safe = if log == synced.0 { synced.1 } else { 0 };
    let left = match dice.random_range(0..4) {
        0 => safe,
        _ => dice.random_range(safe..=length),
    };
    fs::OpenOptions::new().write(true).open(&log)?.set_len(left)?;
    Ok(ends)
}

#[test]
fn what_a_loss_of_power_leaves_is_what_the_simulated_store_allows() -> anyhow::Result<()> {
    let mut lives = Vec::new();
    for seed in 200..212 {
        let directory = tempfile::tempdir()?;
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let mut allowed = Allowed::new(seed);
        for _ in 0..5 {
            let done = write_and_lose_power(directory.path(), &allowed, seed, dice.random_range(1..70), false)?;
            let found = content(&open(directory.path())?)?;
            lives.push(allowed.admit(done, false, &found)?);
        }
    }
    let lost = lives.iter().filter(|life| life.kept < life.written).count();
    ensure!(lost > lives.len() / 4 && lost < lives.len(), "{lost} of {} lives lost anything", lives.len());
    Ok(())
}

/// The planted difference, as for the kill.
#[test]
fn a_store_that_does_not_sync_is_found_out_by_what_a_loss_of_power_leaves() -> anyhow::Result<()> {
    let found_out = (300..310).try_fold(0, |found_out, seed| {
        let directory = tempfile::tempdir()?;
        let mut allowed = Allowed::new(seed);
        let done = write_and_lose_power(directory.path(), &allowed, seed, 40, true)?;
        let found = content(&open(directory.path())?)?;
        anyhow::Ok(found_out + u32::from(allowed.admit(done, false, &found).is_err()))
    })?;
    ensure!(found_out > 4, "{found_out} of 10");
    Ok(())
}
