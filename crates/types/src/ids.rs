//! The counters and identities of the protocol, each a type of its own.
//!
//! None converts from a bare integer by `From`: mixing a view with a sequence must not compile.
//! All encode as fixed-width big-endian integers, so that keys made of them sort like the numbers.

use std::fmt;

use quorate_crypto::Digest;
use serde::{Deserialize, Serialize};

use crate::codec::{Canonical, DecodeError, Reader};

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident($width:ty), $read:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $width);

        impl $name {
            /// The lowest value.
            pub const ZERO: Self = Self(0);

            /// The next value; saturates, so that no peer's number can make it wrap.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }

            /// The value before, if there is one.
            #[must_use]
            pub const fn previous(self) -> Option<Self> {
                match self.0.checked_sub(1) {
                    Some(value) => Some(Self(value)),
                    None => None,
                }
            }

            /// This value plus `by`, saturating.
            #[must_use]
            pub const fn plus(self, by: $width) -> Self {
                Self(self.0.saturating_add(by))
            }

            /// How far this value lies above `other`; 0 if it doesn't.
            #[must_use]
            pub const fn above(self, other: Self) -> $width {
                self.0.saturating_sub(other.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl Canonical for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.0.to_be_bytes());
            }

            fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
                input.$read().map(Self)
            }
        }
    };
}

counter!(
    /// An epoch: the span of sequences with one validator set and one set of parameters (protocol §8.4).
    Epoch(u64), u64
);
counter!(
    /// A view: the reign of one primary within an epoch (protocol §3.7). Starts at 0 in every epoch.
    View(u64), u64
);
counter!(
    /// A place in the total order. Genesis is sequence 0 (protocol §1.6); it goes on over epochs.
    Sequence(u64), u64
);
counter!(
    /// A validator's index in its epoch's set, `0..n`.
    ValidatorIndex(u16), u16
);
counter!(
    /// A bundle's number in its lane, from 1; 0 is the empty lane (protocol §7.4).
    BundleNumber(u64), u64
);
counter!(
    /// Block time in milliseconds since the Unix epoch: chosen by the primary, never decreasing along
    /// the chain (protocol §3.2).
    BlockTime(u64), u64
);

impl ValidatorIndex {
    /// The index as a position in a slice.
    #[must_use]
    pub const fn position(self) -> usize {
        self.0 as usize
    }
}

/// The identity of a cluster: the SHA-256 of its genesis file's bytes (protocol §1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterId(pub Digest);

/// The identity of an operation: SHA-256 of its canonical body under its tag (data-model §1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(pub Digest);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Canonical for OperationId {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Digest::decode(input).map(Self)
    }
}
