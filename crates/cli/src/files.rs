//! Files that are made once and never overwritten, and secret keys in them.
//!
//! Everything is on disk when a function here returns: a key that is lost after its public half was told
//! would be a validator that never signs.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use quorate_crypto::SecretKey;
use quorate_node::keys;

/// Who may read a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Everyone whom the directory lets in.
    All,
    /// The owner alone: mode 0600.
    Owner,
}

/// Writes a new file, synced.
///
/// # Errors
/// If a file of this name is there already, or can't be written.
pub fn create(path: &Path, content: &[u8], readers: Readers) -> anyhow::Result<()> {
    let mode = if readers == Readers::Owner { 0o600 } else { 0o644 };
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} exists already and is never overwritten; move it away, or choose another name", path.display())
        }
        Err(error) => return Err(error).with_context(|| format!("creating {}", path.display())),
    };
    let written = file.write_all(content).and_then(|()| file.sync_all());
    written.with_context(|| format!("writing {}", path.display()))?;
    sync_directory(path.parent().unwrap_or(Path::new(".")))
}

/// Refuses a path at which [`create`] would fail, before anything is done whose result shall go there.
///
/// # Errors
/// If a file of this name is there already, or its directory can't be written.
pub fn admit_new(path: &Path) -> anyhow::Result<()> {
    ensure!(
        path.symlink_metadata().is_err(),
        "{} exists already and is never overwritten; move it away, or choose another name",
        path.display()
    );
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let tried = tempfile::Builder::new().prefix(".quorate-").tempfile_in(directory);
    tried.map(drop).with_context(|| format!("{} can't be made: its directory can't be written", path.display()))
}

/// Makes the entries of a directory durable.
///
/// # Errors
/// If the directory can't be opened or synced.
pub fn sync_directory(path: &Path) -> anyhow::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path).and_then(|file| file.sync_all()).with_context(|| format!("syncing {}", path.display()))
}

/// A directory in which nothing lies yet; made if it isn't there.
///
/// # Errors
/// If something lies in it, or it can't be made.
pub fn create_directory(path: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("making the directory {}", path.display()))?;
    let mut entries = std::fs::read_dir(path).with_context(|| format!("listing {}", path.display()))?;
    ensure!(
        entries.next().is_none(),
        "the directory {} isn't empty, and nothing is ever overwritten; choose another with --directory",
        path.display()
    );
    Ok(())
}

/// Reads a file, or says which one could not be read.
///
/// # Errors
/// If it can't be read.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("reading {}", path.display()))
}

/// Reads a text file, or says which one could not be read.
///
/// # Errors
/// If it can't be read or isn't UTF-8.
pub fn read_text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

/// 32 bytes from the system.
///
/// # Errors
/// If the system has no randomness.
pub fn random() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("the system gives no randomness: {error}"))?;
    Ok(bytes)
}

/// Makes a key and writes it into a new file that only its owner may read.
///
/// # Errors
/// If the file is there already or can't be written.
pub fn create_key(path: &Path) -> anyhow::Result<SecretKey> {
    ensure!(!path.exists(), "{} exists already, and a key is never overwritten; choose another name", path.display());
    let key = SecretKey::from_seed(random()?);
    keys::write_new(path, &key)?;
    Ok(key)
}

/// Reads a key that [`create_key`] wrote.
///
/// # Errors
/// If it can't be read, isn't a key, or others than its owner may read it.
pub fn read_key(path: &Path) -> anyhow::Result<SecretKey> {
    ensure!(path.exists(), "there is no key {0}; `quorate keygen {0}` makes one", path.display());
    Ok(keys::read(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_from_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("author.key");
        let made = create_key(&path).unwrap();
        assert_eq!(read_key(&path).unwrap().public(), made.public());
        assert!(read_key(&directory.path().join("none")).unwrap_err().to_string().contains("quorate keygen"));
    }

    #[test]
    fn a_path_that_cannot_be_written_is_known_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("receipt");
        admit_new(&path).unwrap();
        assert!(!path.exists() && std::fs::read_dir(directory.path()).unwrap().next().is_none());
        std::fs::write(&path, "").unwrap();
        assert!(admit_new(&path).unwrap_err().to_string().contains("never overwritten"));
        assert!(admit_new(&directory.path().join("none/receipt")).is_err());
    }

    #[test]
    fn nothing_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("author.key");
        create_key(&path).unwrap();
        assert!(create_key(&path).unwrap_err().to_string().contains("never overwritten"));
        assert!(create(&path, b"", Readers::All).unwrap_err().to_string().contains("never overwritten"));
        assert!(create_directory(directory.path()).is_err());
        create_directory(&directory.path().join("new")).unwrap();
    }
}
