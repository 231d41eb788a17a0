//! The form in which proofs lie in files and travel to clients: a magic text, a version, canonical
//! bytes, nothing else.

use quorate_crypto::sha256;
use quorate_types::codec::Canonical;

use crate::FormatFault;

/// The version of the form now written.
const VERSION: u8 = 1;

/// The SHA-256 of all before it ends a file that [`write_summed`] wrote.
const SUM_BYTES: usize = 32;

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

/// As [`write`], with a sum at the end.
pub(crate) fn write_summed<T: Canonical>(magic: &'static str, value: &T) -> Vec<u8> {
    let mut bytes = write(magic, value);
    let sum = sha256(&[&bytes]);
    bytes.extend_from_slice(sum.as_bytes());
    bytes
}

/// Reads what [`write_summed`] wrote.
pub(crate) fn read_summed<T: Canonical>(magic: &'static str, bytes: &[u8]) -> Result<T, FormatFault> {
    if !bytes.starts_with(magic.as_bytes()) {
        return Err(FormatFault::Magic { expected: magic });
    }
    let sum_at = bytes.len().checked_sub(SUM_BYTES).ok_or(FormatFault::Damaged)?;
    let (content, sum) = bytes.split_at(sum_at);
    if sha256(&[content]).as_bytes() != sum {
        return Err(FormatFault::Damaged);
    }
    read(magic, content)
}
