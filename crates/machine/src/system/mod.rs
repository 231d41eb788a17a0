//! System operations: changes of the cluster itself (data-model §2.5). One file for each.
//!
//! Each judges first and writes only if it may: a rejected one changes nothing but its author's nonce window.

mod define_kind;
mod membership;

use quorate_storage::{StateReader, StoreError};
use quorate_types::operation::{Operation, SystemChange};
use quorate_types::receipt::{Location, Rejection, RejectionCode};

use crate::block::Charter;
use crate::entity::Position;
use crate::overlay::Overlay;

/// What became of it: nothing, or why not.
pub(crate) type Outcome = Result<(), Rejection>;

/// Applies what a system operation says.
pub(crate) fn apply<R: StateReader>(
    state: &mut Overlay<'_, R>,
    charter: &Charter<'_>,
    (operation, at): (&Operation, Position),
    change: &SystemChange,
) -> Result<Outcome, StoreError> {
    let (id, author) = (operation.id(), &operation.author());
    match change {
        SystemChange::Propose(changes) => membership::propose(state, charter, (id, author, at), changes),
        SystemChange::Approve(proposal) => membership::approve(state, charter, (author, at), proposal),
        SystemChange::Ready(ready) => membership::ready(state, charter, (author, at), ready),
        SystemChange::Rejoin(rejoin) => membership::rejoin(state, charter, (author, at), rejoin),
        SystemChange::DefineKind(kind) => define_kind::apply(state, charter, author, kind),
    }
}

fn reject(code: RejectionCode, text: String) -> Outcome {
    Err(Rejection::new(code, Location::Operation, text))
}
