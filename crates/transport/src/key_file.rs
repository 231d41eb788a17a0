//! Key files: 32 secret bytes as hexadecimal text, readable by their owner alone.
//!
//! A file that others may read is refused with the command that mends it; the key in it may be known
//! already, which no change of mode takes back, and the message says so.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use quorate_crypto::{Digest, ParseHexError, SecretKey};
use thiserror::Error;

/// What can be wrong with a key file.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// It can't be read or written.
    #[error("the key file {} can't be {operation}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        operation: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Others than its owner may read or write it.
    #[error(
        "the key file {} has mode {mode:04o}, so others may read or write it; run: chmod 600 {} (and make a new \
         key, if others use this machine)",
        path.display(), path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Its content isn't a key.
    #[error("the key file {} doesn't hold a key: {fault}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        fault: ParseHexError,
    },
}

/// Refuses a secret file that others than its owner may read or write.
///
/// # Errors
/// [`KeyFileError::Exposed`], or that the file can't be looked at.
pub fn admit_mode(path: &Path) -> Result<(), KeyFileError> {
    let metadata = std::fs::metadata(path).map_err(|source| io_error(path, "read", source))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(KeyFileError::Exposed { path: path.to_owned(), mode }) }
}

/// Reads a key.
///
/// # Errors
/// If the file can't be read, others may read it, or it doesn't hold a key.
pub fn read(path: &Path) -> Result<SecretKey, KeyFileError> {
    admit_mode(path)?;
    let text = std::fs::read_to_string(path).map_err(|source| io_error(path, "read", source))?;
    let seed: Digest =
        text.trim_end().parse().map_err(|fault| KeyFileError::Malformed { path: path.to_owned(), fault })?;
    Ok(SecretKey::from_seed(*seed.as_bytes()))
}

/// Writes a key into a new file with mode 0600; an existing file is never written over.
///
/// # Errors
/// If the file exists or can't be written.
pub fn write_new(path: &Path, key: &SecretKey) -> Result<(), KeyFileError> {
    write_secret(path, format!("{}\n", Digest::new(*key.seed())).as_bytes())
}

/// Writes secret bytes into a new file with mode 0600; an existing file is never written over.
///
/// # Errors
/// As [`write_new`].
pub fn write_secret(path: &Path, content: &[u8]) -> Result<(), KeyFileError> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(|source| io_error(path, "written", source))
}

fn io_error(path: &Path, operation: &'static str, source: io::Error) -> KeyFileError {
    KeyFileError::Io { path: path.to_owned(), operation, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_from_a_file_that_only_its_owner_may_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("consensus.key");
        let key = SecretKey::from_seed([3; 32]);
        write_new(&path, &key).unwrap();
        assert_eq!(read(&path).unwrap().public(), key.public());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(write_new(&path, &key), Err(KeyFileError::Io { operation: "written", .. })));
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_with_the_command_that_mends_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("network.key");
        write_new(&path, &SecretKey::from_seed([3; 32])).unwrap();
        for mode in [0o640, 0o604, 0o660] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("chmod 600 {}", path.display())), "{error}");
            assert!(error.contains(&format!("mode 0{mode:o}")), "{error}");
        }
    }

    #[test]
    fn a_file_without_a_key_is_refused_and_its_content_is_not_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("consensus.key");
        write_secret(&path, b"not a key, but secret").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("expected 64 hexadecimal digits") && !error.contains("secret"), "{error}");
    }
}
