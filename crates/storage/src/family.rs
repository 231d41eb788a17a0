//! The families of keys.

use std::fmt;

/// A family of keys, one ordered key space of its own; in RocksDB a column family.
///
/// The names are part of the format on disk: they are never changed or used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Identity and format of the store, the executed sequence.
    Meta,
    /// The protocol's own position: epoch, view, watermarks, what the signing guard recorded.
    Protocol,
    /// Votes signed by this validator and received from others.
    Votes,
    /// Proposals by sequence and digest.
    Proposals,
    /// Certificates.
    Certificates,
    /// Bundles by lane and number.
    Bundles,
    /// Where an operation was ordered, by its id.
    Operations,
    /// The replicated state of the entities and authors. Replicated.
    State,
    /// Receipts. Replicated.
    Receipts,
    /// The tree over the state, whose root validators sign. Replicated.
    Tree,
    /// Entries of a state that is on its way from other validators.
    Incoming,
}

impl Family {
    /// All of them, in order.
    pub const ALL: [Self; 11] = [
        Self::Meta,
        Self::Protocol,
        Self::Votes,
        Self::Proposals,
        Self::Certificates,
        Self::Bundles,
        Self::Operations,
        Self::State,
        Self::Receipts,
        Self::Tree,
        Self::Incoming,
    ];

    /// The name on disk.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Protocol => "protocol",
            Self::Votes => "votes",
            Self::Proposals => "proposals",
            Self::Certificates => "certificates",
            Self::Bundles => "bundles",
            Self::Operations => "operations",
            Self::State => "state",
            Self::Receipts => "receipts",
            Self::Tree => "tree",
            Self::Incoming => "incoming",
        }
    }

    /// Whether all correct validators hold the same entries in it at the same executed sequence.
    pub const fn is_replicated(self) -> bool {
        matches!(self, Self::State | Self::Receipts | Self::Tree)
    }

    /// Position in [`ALL`](Self::ALL).
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_has_its_own_name_and_its_index_is_its_position() {
        let names: std::collections::BTreeSet<_> = Family::ALL.map(Family::name).into();
        assert_eq!(names.len(), Family::ALL.len());
        for (index, family) in Family::ALL.into_iter().enumerate() {
            assert_eq!(family.index(), index);
        }
    }
}
