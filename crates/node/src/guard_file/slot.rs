//! One slot of the guard file: length, checksum, content.

use std::fs::File;
use std::io;

use quorate_crypto::sha256;
use quorate_storage::Family;
use quorate_types::codec::{DecodeError, Reader, encode_bytes};

use super::{FIRST_SLOT, MAX_BATCH_BYTES, Record, read_at};

/// Length of the content, and its checksum.
const PREFIX_BYTES: usize = 8 + 32;

/// The records of one batch. Bounds what a count may claim.
const MAX_RECORDS: usize = 1 << 20;

/// A batch as the guard file holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardedBatch {
    /// Its number.
    pub number: u64,
    /// Its protocol records.
    pub records: Vec<Record>,
}

pub(super) const fn offset(slot: u64) -> u64 {
    FIRST_SLOT + slot * MAX_BATCH_BYTES as u64
}

/// The slot's bytes for a batch.
pub(super) fn encode(number: u64, records: &[Record], incarnation: &[u8; 32]) -> Vec<u8> {
    let mut content = number.to_be_bytes().to_vec();
    content.extend_from_slice(&(records.len() as u64).to_be_bytes());
    for (family, key, value) in records {
        content.push(family.index() as u8);
        encode_bytes(key, &mut content);
        encode_bytes(value, &mut content);
    }
    let mut bytes = (content.len() as u64).to_be_bytes().to_vec();
    bytes.extend_from_slice(sha256(&[incarnation, &content]).as_bytes());
    bytes.append(&mut content);
    bytes
}

/// The batch in a slot, if the slot is whole.
pub(super) fn read(file: &File, slot: u64, incarnation: &[u8; 32]) -> io::Result<Option<GuardedBatch>> {
    let prefix = read_at(file, offset(slot), PREFIX_BYTES)?;
    let Some((length, sum)) = prefix.split_first_chunk::<8>() else { return Ok(None) };
    let length = usize::try_from(u64::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if sum.len() != 32 || length > MAX_BATCH_BYTES - PREFIX_BYTES {
        return Ok(None);
    }
    let content = read_at(file, offset(slot) + PREFIX_BYTES as u64, length)?;
    let is_whole = content.len() == length && sha256(&[incarnation, &content]).as_bytes() == sum;
    Ok(is_whole.then(|| decode(&content).ok()).flatten())
}

/// Whether nothing was ever written to a slot.
pub(super) fn is_untouched(file: &File, slot: u64) -> io::Result<bool> {
    Ok(read_at(file, offset(slot), PREFIX_BYTES)?.iter().all(|byte| *byte == 0))
}

fn decode(content: &[u8]) -> Result<GuardedBatch, DecodeError> {
    let mut input = Reader::new(content);
    let number = input.u64()?;
    let count = usize::try_from(input.u64()?).unwrap_or(usize::MAX);
    if count > MAX_RECORDS {
        return Err(DecodeError::TooLong { what: "records of a batch", length: count, limit: MAX_RECORDS });
    }
    let mut records = Vec::new();
    for _ in 0..count {
        let family = input.u8()?;
        let unknown = DecodeError::Unknown { what: "family", value: family };
        let family = Family::ALL.get(usize::from(family)).copied().ok_or(unknown)?;
        let key = input.bytes(MAX_BATCH_BYTES, "key of a record")?.to_vec();
        let value = input.bytes(MAX_BATCH_BYTES, "value of a record")?.to_vec();
        records.push((family, key, value));
    }
    input.finish()?;
    Ok(GuardedBatch { number, records })
}
