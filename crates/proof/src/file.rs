//! The form in which proofs lie in files and travel to clients: a magic text, a version, canonical
//! bytes, nothing else.

use quorate_types::codec::Canonical;

use crate::FormatFault;

/// The version of the form now written.
const VERSION: u8 = 1;

/// Writes `value` behind `magic` and the version.
pub(crate) fn write<T: Canonical>(magic: &'static str, value: &T) -> Vec<u8> {
    let mut bytes = magic.as_bytes().to_vec();
    bytes.push(VERSION);
    value.encode(&mut bytes);
    bytes
}

/// Reads what [`write`] wrote.
pub(crate) fn read<T: Canonical>(magic: &'static str, bytes: &[u8]) -> Result<T, FormatFault> {
    let versioned = bytes.strip_prefix(magic.as_bytes()).ok_or(FormatFault::Magic { expected: magic })?;
    match versioned.split_first() {
        Some((&VERSION, content)) => Ok(T::from_bytes(content)?),
        Some((&found, _)) => Err(FormatFault::Version { found, known: VERSION }),
        None => Err(FormatFault::Magic { expected: magic }),
    }
}
