//! A validator's first store and guard file (protocol §7.5), and how a store made before its cluster learns
//! to which one it belongs.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use quorate_crypto::Digest;
use quorate_node::config::{NodeConfig, Paths, ResourcesConfig};
use quorate_node::guard_file::GuardFile;
use quorate_replica::{create_store, records};
use quorate_rocks::{RocksOptions, RocksStore};
use quorate_storage::{Durability, Store, WriteBatch};
use quorate_types::genesis::Genesis;
use quorate_types::ids::ClusterId;
use rustix::fs::FlockOperation;

use crate::files;

/// Makes store and guard file. Without a cluster the store belongs to none until [`bind`].
///
/// # Errors
/// If one of them is there already, or can't be written.
pub fn create(paths: &Paths, cluster: Option<ClusterId>, incarnation: [u8; 32]) -> anyhow::Result<()> {
    admit_absent(paths)?;
    GuardFile::create(&paths.guard_file, incarnation)?;
    create_store_files(paths, cluster, incarnation)
}

/// Refuses a place where a store lies.
///
/// # Errors
/// If one does.
pub fn admit_absent(paths: &Paths) -> anyhow::Result<()> {
    ensure!(
        !RocksStore::exists(&paths.store),
        "a store lies in {} already; if it is damaged, move it away first, and keep it",
        paths.store.display()
    );
    Ok(())
}

fn create_store_files(paths: &Paths, cluster: Option<ClusterId>, incarnation: [u8; 32]) -> anyhow::Result<()> {
    admit_absent(paths)?;
    let store = RocksStore::open(&paths.store, &small())
        .with_context(|| format!("making the store in {}", paths.store.display()))?;
    let batch = match cluster {
        Some(cluster) => create_store(cluster, incarnation),
        None => {
            let mut batch = WriteBatch::new();
            records::incarnation().put(&mut batch, &Digest::new(incarnation));
            batch
        }
    };
    store.write(batch, Durability::Synced).context("writing the first records of the store")?;
    drop(store);
    files::sync_directory(paths.store.parent().unwrap_or(Path::new(".")))
}

/// Makes a new store for a validator that lost its own. The cluster knows another incarnation of it, so it will
/// sign nothing that the protocol counts (protocol §7.5).
///
/// # Errors
/// If a store is there, or can't be written.
pub fn replace(config: &Path) -> anyhow::Result<()> {
    let config = NodeConfig::load(config)?;
    let genesis = genesis(&config)?;
    if !config.paths.guard_file.exists() {
        create(&config.paths, Some(genesis.cluster), files::random()?)?;
    } else {
        // What the old store signed stays on record.
        create_store_files(&config.paths, Some(genesis.cluster), files::random()?)?;
    }
    println!(
        "An empty store lies in {}. This validator will follow, execute and serve reads; it signs nothing, and counts \
         as faulty.",
        config.paths.store.display()
    );
    Ok(())
}

/// The genesis where the configuration says.
///
/// # Errors
/// If it can't be read.
pub fn genesis(config: &NodeConfig) -> anyhow::Result<Genesis> {
    let genesis = files::read(&config.paths.genesis)?;
    Genesis::parse(&genesis).with_context(|| config.paths.genesis.display().to_string())
}

/// Gives a copied store an incarnation nonce of its own: it never signs as the store that it is a copy of
/// (protocol §7.4).
///
/// # Errors
/// If it can't be written.
pub fn renew(path: &Path) -> anyhow::Result<()> {
    let store = open_to_write(path)?;
    let mut batch = WriteBatch::new();
    records::incarnation().put(&mut batch, &Digest::new(files::random()?));
    store.write(batch, Durability::Synced).context("writing the store's new incarnation nonce")
}

/// Makes the guard file of a store that was renewed, if there is none. One that is there stays: it holds what the
/// lost store signed.
///
/// # Errors
/// If it can't be written.
pub fn renew_guard_file(paths: &Paths, store: &Path) -> anyhow::Result<()> {
    if paths.guard_file.exists() {
        return Ok(());
    }
    let incarnation = records::incarnation().read(&open_to_read(store)?)?;
    GuardFile::create(&paths.guard_file, incarnation.map_or([0; 32], |nonce| *nonce.as_bytes()))?;
    Ok(())
}

/// Opens a store at rest, to write a few records.
///
/// # Errors
/// If it can't be opened: a validator has it open, or it is damaged.
pub fn open_to_write(path: &Path) -> anyhow::Result<RocksStore> {
    RocksStore::open(path, &small()).with_context(|| format!("opening the store in {}", path.display()))
}

/// Opens a store for looking at it: nothing in it is changed. A store at rest is meant: a process that has it open
/// may go on writing.
///
/// # Errors
/// If it can't be opened.
pub fn open_to_read(path: &Path) -> anyhow::Result<RocksStore> {
    RocksStore::open_to_read(path, &small()).with_context(|| format!("opening the store in {}", path.display()))
}

/// Keeps other processes from opening a store, as long as the file is held.
///
/// # Errors
/// If one has it open.
pub fn hold(path: &Path) -> anyhow::Result<File> {
    let lock = File::options().write(true).create(true).truncate(false).open(path.join("LOCK"))?;
    let held = rustix::fs::fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive);
    held.with_context(|| format!("a process has the store in {} open; stop the validator first", path.display()))?;
    Ok(lock)
}

/// Opens the store that `init` made.
///
/// # Errors
/// If there is none: an empty directory is never a first start (protocol §7.5).
pub fn open(config: &NodeConfig) -> anyhow::Result<RocksStore> {
    let path = &config.paths.store;
    if !RocksStore::exists(path) {
        bail!(
            "there is no store in {}. If this validator never ran, make it with `quorate init`. If it ran before, \
             its store is lost: `quorate restore` makes one out of a backup, and `quorate init --new-store` an empty \
             one, with which it follows and serves reads, and signs again from the next epoch on",
            path.display()
        );
    }
    let options = options(&config.resources);
    RocksStore::open(path, &options).with_context(|| format!("opening the store in {}", path.display()))
}

/// Writes into a store that was made before its cluster that it belongs to this one. Does nothing if it
/// belongs to one already.
///
/// # Errors
/// If the genesis doesn't know this store: its nonce is nobody's there.
pub fn bind(store: &RocksStore, genesis: &Genesis) -> anyhow::Result<()> {
    if records::cluster().is_kept(store)? {
        return Ok(());
    }
    let Some(incarnation) = records::incarnation().read(store)? else {
        bail!("the store has no incarnation nonce: it was not made by `quorate init`");
    };
    let known =
        |nonce: &[u8; 32]| genesis.content.validators.iter().find(|validator| validator.info.incarnation == *nonce);
    let Some(validator) = known(incarnation.as_bytes()) else {
        bail!(
            "this store's incarnation nonce {incarnation} is not in the genesis: the public part that went into it \
             was another one. Have the genesis assembled again, with the public-part.toml that lies here"
        );
    };
    tracing::info!(validator = validator.info.name, cluster = %genesis.cluster, "the store now belongs to this cluster");
    let batch = create_store(genesis.cluster, *incarnation.as_bytes());
    store.write(batch, Durability::Synced).context("binding the store to its cluster")
}

fn options(resources: &ResourcesConfig) -> RocksOptions {
    RocksOptions {
        block_cache_bytes: resources.block_cache_bytes,
        write_buffer_bytes: resources.write_buffer_bytes,
        max_log_bytes: resources.max_log_bytes,
        max_open_files: resources.max_open_files,
        background_jobs: resources.background_jobs,
    }
}

/// Enough to write two records, or to look through a store.
fn small() -> RocksOptions {
    RocksOptions { block_cache_bytes: 1 << 20, write_buffer_bytes: 1 << 20, ..RocksOptions::default() }
}
