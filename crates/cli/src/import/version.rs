//! Debian version numbers and their order (Debian Policy §5.6.12).
//!
//! A version is `[epoch:]upstream[-revision]`. Parts are compared piece by piece: what isn't digits by
//! letters before all else but `~`, which sorts before even the end of the text; digits as numbers of
//! any length. Nothing here knows packages.

use std::cmp::Ordering;
use std::fmt;

/// A version number of a Debian package. Two that order as equal may be written differently (`1.0` and
/// `1.00`), so equality follows the order, not the text.
#[derive(Clone, Debug)]
pub struct Version {
    epoch: u64,
    upstream: String,
    revision: String,
}

/// Why a text is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionFault {
    /// There is no upstream part.
    #[error("the version {text:?} is empty")]
    Empty {
        /// The text given.
        text: String,
    },
    /// What stands before the colon isn't a number.
    #[error("the version {text:?} has an epoch that isn't a number; it reads [epoch:]upstream[-revision]")]
    Epoch {
        /// The text given.
        text: String,
    },
    /// A character that no version has.
    #[error("the version {text:?} holds {found:?}; allowed are letters, digits and . + - ~ :")]
    Character {
        /// The text given.
        text: String,
        /// The first such character.
        found: char,
    },
}

impl std::str::FromStr for Version {
    type Err = VersionFault;

    fn from_str(text: &str) -> Result<Self, VersionFault> {
        let (epoch, rest) = match text.split_once(':') {
            Some((epoch, rest)) => {
                let is_number = !epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_digit());
                let fault = || VersionFault::Epoch { text: text.to_owned() };
                (if is_number { epoch.parse().map_err(|_| fault())? } else { return Err(fault()) }, rest)
            }
            None => (0, text),
        };
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        if upstream.is_empty() {
            return Err(VersionFault::Empty { text: text.to_owned() });
        }
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '~' | ':');
        if let Some(found) = rest.chars().find(|c| !is_allowed(*c)) {
            return Err(VersionFault::Character { text: text.to_owned(), found });
        }
        Ok(Self { epoch, upstream: upstream.to_owned(), revision: revision.to_owned() })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.epoch > 0 {
            write!(f, "{}:", self.epoch)?;
        }
        f.write_str(&self.upstream)?;
        if self.revision.is_empty() { Ok(()) } else { write!(f, "-{}", self.revision) }
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let upstream = || compare(self.upstream.as_bytes(), other.upstream.as_bytes());
        let revision = || compare(self.revision.as_bytes(), other.revision.as_bytes());
        self.epoch.cmp(&other.epoch).then_with(upstream).then_with(revision)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

/// Compares two parts by turns: a piece without digits, a piece of digits, and so on to both ends.
fn compare(mut left: &[u8], mut right: &[u8]) -> Ordering {
    while !left.is_empty() || !right.is_empty() {
        let order = compare_letters(&mut left, &mut right).then_with(|| compare_numbers(&mut left, &mut right));
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// Takes the piece without digits from both and compares them.
fn compare_letters(left: &mut &[u8], right: &mut &[u8]) -> Ordering {
    let (a, b) = (take(left, |byte| !byte.is_ascii_digit()), take(right, |byte| !byte.is_ascii_digit()));
    let length = a.len().max(b.len());
    let weights = |piece: &[u8]| (0..length).map(|at| weight(piece.get(at).copied())).collect::<Vec<_>>();
    weights(a).cmp(&weights(b))
}

/// Takes the digits from both and compares them as numbers; none is zero.
fn compare_numbers(left: &mut &[u8], right: &mut &[u8]) -> Ordering {
    let digits = |from: &mut &[u8]| {
        take(from, |byte| *byte == b'0');
        take(from, u8::is_ascii_digit).to_vec()
    };
    let (a, b) = (digits(left), digits(right));
    a.len().cmp(&b.len()).then_with(|| a.cmp(&b))
}

/// Splits off the longest beginning whose bytes all are as asked.
fn take<'a>(from: &mut &'a [u8], is_wanted: impl Fn(&u8) -> bool) -> &'a [u8] {
    let end = from.iter().position(|byte| !is_wanted(byte)).unwrap_or(from.len());
    let (taken, rest) = from.split_at(end);
    *from = rest;
    taken
}

/// The place of a character in the order: `~`, then the end, then letters, then everything else.
fn weight(byte: Option<u8>) -> u16 {
    match byte {
        Some(b'~') => 0,
        None => 1,
        Some(letter) if letter.is_ascii_alphabetic() => 2 + u16::from(letter),
        Some(other) => 300 + u16::from(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    /// The examples of Debian Policy and of dpkg's own tests, and cases that simple comparisons get wrong.
    #[test]
    fn versions_order_as_dpkg_orders_them() {
        let ascending = [
            ["1.0~~", "1.0~~a"],
            ["1.0~~a", "1.0~"],
            ["1.0~", "1.0"],
            ["1.0", "1.0a"],
            ["1.0~beta1~svn1245", "1.0~beta1"],
            ["1.0~beta1", "1.0"],
            ["9", "10"],
            ["1.2.3", "1.2.20"],
            ["1.0-1", "1.0-1.1"],
            ["1.0-9", "1.0-10"],
            ["1.0", "1.0-1"],
            ["2.0", "1:1.0"],
            ["9:0", "10:0"],
            ["1.0a", "1.0+"],
            ["1.0a", "1.0.1"],
            ["1.0Z", "1.0a"],
            ["1.0-a", "1.0-b"],
            ["1.0-1~bpo11+1", "1.0-1"],
            ["2.36-9+deb12u9", "2.36-9+deb12u13"],
            ["0.99999999999999999999999", "0.100000000000000000000000"],
            ["1.0-1-1", "1.0-1-2"],
        ];
        for [low, high] in ascending {
            assert_eq!(version(low).cmp(&version(high)), Ordering::Less, "{low} < {high}");
            assert_eq!(version(high).cmp(&version(low)), Ordering::Greater, "{high} > {low}");
        }
    }

    #[test]
    fn different_texts_may_be_the_same_version() {
        for [one, other] in [["0:1.0", "1.0"], ["1.00", "1.0"], ["1.0-0", "1.0"], ["1.02", "1.2"], ["1.a0", "1.a"]] {
            assert_eq!(version(one), version(other), "{one} = {other}");
        }
    }

    #[test]
    fn what_is_no_version_is_refused_with_the_reason() {
        for text in ["", "1:", "-1", "x:1", ":1"] {
            assert!(text.parse::<Version>().is_err(), "{text:?}");
        }
        let fault = "1.0_1".parse::<Version>().unwrap_err();
        assert!(matches!(fault, VersionFault::Character { found: '_', .. }), "{fault}");
    }

    #[test]
    fn a_version_is_shown_as_it_was_written() {
        for text in ["1:2.36-9+deb12u9", "1.0", "1.0-rc1-2"] {
            assert_eq!(version(text).to_string(), text);
        }
    }
}
