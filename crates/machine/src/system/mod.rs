//! System operations: changes of the cluster itself (data-model §2.5). One file for each.
//!
//! Each judges first and writes only if it may: a rejected one changes nothing but its author's nonce window.

pub(crate) mod accuse;
mod define_kind;
mod membership;

use std::collections::BTreeSet;

use quorate_crypto::PublicKey;
use quorate_storage::{StateReader, StoreError};
use quorate_types::evidence::Conviction;
use quorate_types::ids::ClusterId;
use quorate_types::operation::{Operation, SystemChange};
use quorate_types::receipt::{Location, Rejection, RejectionCode};

use crate::block::Charter;
use crate::entity::Position;
use crate::overlay::Overlay;

/// What became of it: nothing, or why not.
pub(crate) type Outcome = Result<(), Rejection>;

/// A system operation in its place, and what the sequence has judged so far.
pub(crate) struct Said<'a> {
    /// The operation.
    pub(crate) operation: &'a Operation,
    /// Where it executes.
    pub(crate) at: Position,
    /// The cluster.
    pub(crate) cluster: ClusterId,
    /// Authors of whom this sequence has judged evidence.
    pub(crate) judged: &'a mut BTreeSet<PublicKey>,
    /// What this sequence has found.
    pub(crate) convictions: &'a mut Vec<Conviction>,
}

/// Applies what a system operation says.
pub(crate) fn apply<R: StateReader>(
    state: &mut Overlay<'_, R>,
    charter: &Charter<'_>,
    said: &mut Said<'_>,
    change: &SystemChange,
) -> Result<Outcome, StoreError> {
    let (id, author, at) = (said.operation.id(), &said.operation.author(), said.at);
    match change {
        SystemChange::Propose(changes) => membership::propose(state, charter, (id, author, at), changes),
        SystemChange::Approve(proposal) => membership::approve(state, charter, (author, at), proposal),
        SystemChange::Ready(ready) => membership::ready(state, charter, (author, at), ready),
        SystemChange::Rejoin(rejoin) => membership::rejoin(state, charter, (author, at), rejoin),
        SystemChange::Accuse(evidence) => accuse::apply(state, charter, said, evidence),
        SystemChange::DefineKind(kind) => define_kind::apply(state, charter, author, kind),
    }
}

fn reject(code: RejectionCode, text: String) -> Outcome {
    Err(Rejection::new(code, Location::Operation, text))
}
