//! `quorate backup` and `quorate restore`: a copy of a validator's store as it is at one moment, made while it
//! serves; and a new store out of such a copy.
//!
//! A backup holds the store, the genesis, the configuration, and a list of all files with their digests. It holds
//! no key. A restored store never signs as the one that it is a copy of: it gets an incarnation nonce of its own
//! (protocol §7.4), because nobody knows what the other one signed since.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, ensure};
use clap::Args;
use quorate_client::pb::admin::v1::CopyStoreRequest;
use quorate_client::pb::admin::v1::admin_client::AdminClient;
use quorate_crypto::{Digest, Hasher};
use quorate_node::config::NodeConfig;
use quorate_node::{ChannelTiming, unix_channel};
use quorate_replica::records;
use quorate_rocks::RocksStore;
use quorate_types::ids::Sequence;
use serde::{Deserialize, Serialize};

use crate::files::{self, Readers};
use crate::init::store;
use crate::paint;
use crate::progress::Bar;

/// The list of a backup's files.
const LIST: &str = "backup.toml";

/// The directory of the store in a backup.
const STORE: &str = "store";

/// Bytes read at once.
const CHUNK: usize = 1 << 20;

/// Copies a validator's store to a new directory, as it is at one moment. The validator may run; it goes on
/// meanwhile. The copy holds no key.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  quorate backup --config quorate-cluster/v0/node.toml /var/backups/v0-monday

On the same file system the copy shares its large files with the store: carry it to another disk.")]
pub struct BackupArgs {
    /// Where the backup goes: a directory that doesn't exist yet
    directory: PathBuf,

    /// The validator's configuration
    #[arg(long, value_name = "FILE", default_value = "node.toml")]
    config: PathBuf,
}

/// Makes a store out of a backup, where the validator's own is lost. The validator will follow, execute and serve
/// reads; it signs nothing, because nobody knows what its lost store signed since the backup.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  quorate restore /var/backups/v0-monday --config quorate-cluster/v0/node.toml")]
pub struct RestoreArgs {
    /// The backup
    directory: PathBuf,

    /// The validator's configuration; there must be no store where it says
    #[arg(long, value_name = "FILE", default_value = "node.toml")]
    config: PathBuf,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    version: u32,
    cluster: Digest,
    executed: Sequence,
    made_at_unix_s: u64,
    files: Vec<Listed>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    path: PathBuf,
    bytes: u64,
    sha256: Digest,
}

impl BackupArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// If the directory exists, the store can't be copied, or the copy isn't whole.
    pub async fn run(self) -> anyhow::Result<()> {
        let config = load(&self.config)?;
        ensure!(
            self.directory.symlink_metadata().is_err(),
            "{} exists already, and nothing is overwritten; choose another directory",
            self.directory.display()
        );
        std::fs::create_dir_all(&self.directory)
            .with_context(|| format!("making the directory {}", self.directory.display()))?;
        let directory = self.directory.canonicalize()?;
        if let Err(error) = self.fill(&config, &directory).await {
            // What was begun is no backup, and must not look like one: without its list it isn't.
            let _ = std::fs::remove_dir_all(&directory);
            return Err(error);
        }
        Ok(())
    }

    async fn fill(&self, config: &NodeConfig, directory: &Path) -> anyhow::Result<()> {
        let target = directory.join(STORE);
        copy_store(config, &target).await?;
        // Opened once: what can't be opened, or belongs elsewhere, is no backup.
        let (cluster, executed) = position(&target)?;
        for (name, from) in [("genesis.toml", &config.paths.genesis), ("node.toml", &self.config)] {
            files::create(&directory.join(name), &files::read(from)?, Readers::All)?;
        }
        let made_at_unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
        let files = list(directory)?;
        let bytes: u64 = files.iter().map(|file| file.bytes).sum();
        let manifest = Manifest { version: 1, cluster, executed, made_at_unix_s, files };
        files::create(&directory.join(LIST), toml::to_string(&manifest)?.as_bytes(), Readers::All)?;
        println!(
            "{} {}: {} bytes in {} files, executed up to sequence {executed}.",
            paint::good("backup"),
            directory.display(),
            paint::number(bytes),
            manifest.files.len()
        );
        Ok(())
    }
}

impl RestoreArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// If there is a store, the backup is damaged or another cluster's, or the store can't be written.
    pub fn run(self) -> anyhow::Result<()> {
        let config = load(&self.config)?;
        let manifest = self.manifest()?;
        store::admit_absent(&config.paths)?;
        let genesis = store::genesis(&config)?;
        ensure!(
            genesis.cluster.0 == manifest.cluster,
            "the backup is of cluster {}, and {} is the genesis of cluster {}",
            manifest.cluster,
            config.paths.genesis.display(),
            genesis.cluster
        );
        let parent = config.paths.store.parent().unwrap_or(Path::new("."));
        let unfinished = tempfile::Builder::new().prefix(".quorate-restore-").tempdir_in(parent);
        let unfinished = unfinished.with_context(|| format!("making a directory in {}", parent.display()))?;
        let copy = unfinished.path().join(STORE);
        self.copy_files(&manifest, &copy)?;
        store::renew(&copy)?;
        store::renew_guard_file(&config.paths, &copy)?;
        // Only a whole store ever lies where the validator looks for one.
        std::fs::rename(&copy, &config.paths.store)
            .with_context(|| format!("moving the store to {}", config.paths.store.display()))?;
        files::sync_directory(parent)?;
        println!(
            "The store of sequence {} lies in {}. This validator will catch up, execute and serve reads; it signs \
             nothing, and counts as faulty.",
            manifest.executed,
            config.paths.store.display()
        );
        Ok(())
    }

    fn manifest(&self) -> anyhow::Result<Manifest> {
        let path = self.directory.join(LIST);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{} is no backup: reading {}", self.directory.display(), path.display()))?;
        let manifest: Manifest = toml::from_str(&text).with_context(|| path.display().to_string())?;
        let version = manifest.version;
        ensure!(version == 1, "{} has version {version}; this program reads version 1", path.display());
        let is_inside =
            |file: &Listed| file.path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        ensure!(manifest.files.iter().all(is_inside), "{} names files outside of the backup", path.display());
        Ok(manifest)
    }

    /// Copies the files of the store; each must be the one that the list says.
    fn copy_files(&self, manifest: &Manifest, copy: &Path) -> anyhow::Result<()> {
        std::fs::create_dir(copy)?;
        let of_store = |file: &&Listed| file.path.starts_with(STORE);
        let total = manifest.files.iter().filter(of_store).map(|file| file.bytes).sum();
        let bar = Bar::new("restoring", total);
        let mut done = 0;
        for file in manifest.files.iter().filter(of_store) {
            let from = self.directory.join(&file.path);
            let name = file.path.file_name().ok_or_else(|| anyhow!("{} has no name", file.path.display()))?;
            let to = File::create_new(copy.join(name))?;
            let (bytes, digest) = digest_of(&from, Some(&to))?;
            ensure!(
                digest == file.sha256 && bytes == file.bytes,
                "{} isn't the file that the backup was made with: it was changed or damaged; take another backup",
                from.display()
            );
            to.sync_all()?;
            done += bytes;
            bar.set(done);
        }
        bar.finish();
        files::sync_directory(copy)
    }
}

fn load(config: &Path) -> anyhow::Result<NodeConfig> {
    NodeConfig::load(config)
        .with_context(|| format!("the configuration {} (--config names the validator's)", config.display()))
}

/// Copies the store: by the validator that runs, or by this process if none does.
async fn copy_store(config: &NodeConfig, target: &Path) -> anyhow::Result<()> {
    // A socket that a killed validator left behind is none.
    if std::os::unix::net::UnixStream::connect(&config.admin_socket).is_err() {
        return Ok(store::open(config)?.copy_to(target)?);
    }
    let mut admin = AdminClient::new(unix_channel(config.admin_socket.clone(), ChannelTiming::default()));
    let path = target.to_str().ok_or_else(|| anyhow!("{} isn't UTF-8", target.display()))?.to_owned();
    let copied = admin.copy_store(CopyStoreRequest { path }).await;
    copied.map(drop).map_err(|status| anyhow!("the validator couldn't copy its store: {}", status.message()))
}

/// Which cluster's store it is, and how far it has executed.
fn position(path: &Path) -> anyhow::Result<(Digest, Sequence)> {
    let copy = store::open_to_read(path)?;
    let cluster = records::cluster().read(&copy)?;
    let cluster = cluster.ok_or_else(|| anyhow!("this store belongs to no cluster yet: there is nothing to keep"))?;
    let executed = records::executed().read(&copy)?.map_or(Sequence::ZERO, |mark| mark.execution.sequence);
    Ok((cluster, executed))
}

/// All files of a backup with their digests, in the order of their names.
fn list(directory: &Path) -> anyhow::Result<Vec<Listed>> {
    let mut paths = vec![PathBuf::from("genesis.toml"), PathBuf::from("node.toml")];
    for entry in std::fs::read_dir(directory.join(STORE))? {
        let name = entry?.file_name();
        // The lock and the database's own log are of the process that had it open.
        if name != "LOCK" && !name.to_string_lossy().starts_with("LOG") {
            paths.push(Path::new(STORE).join(name));
        }
    }
    paths.sort();
    let bar = Bar::new("digests", paths.len() as u64);
    let listed = |path: PathBuf| {
        bar.advance();
        let (bytes, sha256) = digest_of(&directory.join(&path), None)?;
        Ok(Listed { path, bytes, sha256 })
    };
    let listed = paths.into_iter().map(listed).collect();
    bar.finish();
    listed
}

/// Length and digest of a file, which is copied on the way if that is wanted.
fn digest_of(path: &Path, mut copy: Option<&File>) -> anyhow::Result<(u64, Digest)> {
    let context = || format!("reading {}", path.display());
    let mut file = File::open(path).with_context(context)?;
    let (mut hasher, mut buffer, mut bytes) = (Hasher::new(), vec![0; CHUNK], 0);
    loop {
        let count = file.read(&mut buffer).with_context(context)?;
        if count == 0 {
            return Ok((bytes, hasher.finish()));
        }
        let part = &buffer[..count];
        hasher.update(part);
        bytes += count as u64;
        if let Some(copy) = copy.as_mut() {
            copy.write_all(part).context("writing the restored store")?;
        }
    }
}

/// Whether a store lies in a directory: the store of a backup, or a validator's.
#[must_use]
pub fn store_in(directory: &Path) -> PathBuf {
    let inside = directory.join(STORE);
    if RocksStore::exists(&inside) { inside } else { directory.to_owned() }
}
