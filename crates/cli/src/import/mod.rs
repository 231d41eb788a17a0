//! `quorate import`: data that nobody here wrote, as documents in the cluster.

pub mod command;
mod control;
pub mod debian;
pub mod version;
pub mod zones;

use quorate_types::value::Value;

/// A document to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its id within its kind.
    pub id: String,
    /// Its content.
    pub value: Value,
}

/// Records of one kind, and where they come from.
#[derive(Clone, Debug)]
pub struct Source {
    /// For people.
    pub name: String,
    /// The kind of the documents.
    pub kind: &'static str,
    /// The documents, ascending by id.
    pub records: Vec<Record>,
}
