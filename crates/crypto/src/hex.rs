//! Fixed-width byte strings as lower-case hexadecimal text.
//!
//! Parsing is strict (exact length, either case), so that a digest or key copied from a log or a
//! configuration file is either the one that was meant or an error.

use thiserror::Error;

/// Why a text is not a fixed-width byte string in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ParseHexError {
    /// The text has another number of digits than the type needs.
    #[error("expected {expected} hexadecimal digits, found {found} characters")]
    Length {
        /// Digits that the type needs.
        expected: usize,
        /// Bytes of text that were given.
        found: usize,
    },
    /// A character is not a hexadecimal digit.
    #[error("character {position} is not a hexadecimal digit")]
    Digit {
        /// Where, counted from 0.
        position: usize,
    },
}

/// Parses exactly `2 * N` digits.
pub(crate) fn parse<const N: usize>(text: &str) -> Result<[u8; N], ParseHexError> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return Err(ParseHexError::Length { expected: 2 * N, found: digits.len() });
    }
    let mut bytes = [0u8; N];
    for (position, digit) in digits.iter().enumerate() {
        let value = (*digit as char).to_digit(16).ok_or(ParseHexError::Digit { position })?;
        let byte = &mut bytes[position / 2];
        *byte = (*byte << 4) | value as u8;
    }
    Ok(bytes)
}

/// The lower-case digits of `bytes`.
pub(crate) fn format(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}

/// What every byte-string type of this crate has in common: access to its bytes, text in both
/// directions, a short debug form, and serde as text.
macro_rules! byte_string {
    ($name:ident, $bytes:literal, $what:literal) => {
        impl $name {
            /// Length in bytes.
            pub const LENGTH: usize = $bytes;

            #[doc = concat!("Wraps the bytes of ", $what, "; nothing is checked.")]
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&crate::hex::format(&self.0))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}…", crate::hex::format(&self.0[..4]))
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::ParseHexError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                crate::hex::parse(text).map(Self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&crate::hex::format(&self.0))
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(from)?;
                text.parse().map_err(|error| serde::de::Error::custom(format_args!(concat!($what, ": {}"), error)))
            }
        }
    };
}
pub(crate) use byte_string;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_are_inverse() {
        let bytes = [0x00, 0x0f, 0xa5, 0xff];
        assert_eq!(format(&bytes), "000fa5ff");
        assert_eq!(parse::<4>("000FA5ff"), Ok(bytes));
    }

    #[test]
    fn a_wrong_text_is_told_apart_by_kind() {
        assert_eq!(parse::<2>("00f"), Err(ParseHexError::Length { expected: 4, found: 3 }));
        assert_eq!(parse::<2>("00g0"), Err(ParseHexError::Digit { position: 2 }));
        assert_eq!(parse::<1>("é"), Err(ParseHexError::Digit { position: 0 }));
    }
}
