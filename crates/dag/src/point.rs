//! A place in a lane, with the lane's counts up to it.

use quorate_crypto::Digest;
use quorate_types::bundle::{Bundle, BundleHeader};
use quorate_types::codec::{Canonical, DecodeError, Reader};
use quorate_types::ids::{BundleNumber, ValidatorIndex};
use quorate_types::proposal::LaneTip;

/// A bundle's place in its lane; [`Point::EMPTY`] is the lane before its first bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// The bundle's number; 0 before the first.
    pub number: BundleNumber,
    /// The bundle's digest; zero before the first.
    pub digest: Digest,
    /// Operations in the lane up to and with this bundle.
    pub cumulative_operations: u64,
    /// Bytes of operations in the lane up to and with this bundle.
    pub cumulative_bytes: u64,
}

impl Point {
    /// The lane before its first bundle.
    pub const EMPTY: Self =
        Self { number: BundleNumber::ZERO, digest: Digest::ZERO, cumulative_operations: 0, cumulative_bytes: 0 };

    /// The place of the bundle with this header, whose digest is `digest`.
    #[must_use]
    pub const fn of(header: &BundleHeader, digest: Digest) -> Self {
        Self {
            number: header.number,
            digest,
            cumulative_operations: header.cumulative_operations,
            cumulative_bytes: header.cumulative_bytes,
        }
    }

    /// This place as a tip of `lane`.
    #[must_use]
    pub const fn tip(&self, lane: ValidatorIndex) -> LaneTip {
        LaneTip { lane, number: self.number, digest: self.digest }
    }

    /// Whether `child` follows here: number, parent digest, and counts that grow by exactly what it
    /// holds. (Equal to `types::rules::admit_link`, for a parent of whom only the place is still known.)
    pub(crate) fn is_followed_by(&self, child: &Bundle, child_bytes: u64) -> bool {
        let header = &child.header.statement;
        let operations = self.cumulative_operations.checked_add(child.operations.len() as u64);
        let bytes = self.cumulative_bytes.checked_add(child_bytes);
        self.number.0.checked_add(1) == Some(header.number.0)
            && header.parent == self.digest
            && operations == Some(header.cumulative_operations)
            && bytes == Some(header.cumulative_bytes)
    }
}

impl Canonical for Point {
    fn encode(&self, out: &mut Vec<u8>) {
        self.number.encode(out);
        self.digest.encode(out);
        self.cumulative_operations.encode(out);
        self.cumulative_bytes.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            number: BundleNumber::decode(input)?,
            digest: Digest::decode(input)?,
            cumulative_operations: input.u64()?,
            cumulative_bytes: input.u64()?,
        })
    }
}
