//! `DefineKind`: an administrator declares a kind of entities, for ever (data-model §2.2).

use quorate_crypto::PublicKey;
use quorate_storage::{StateReader, StoreError};
use quorate_types::genesis::MAX_KINDS;
use quorate_types::kind::Kind;
use quorate_types::receipt::RejectionCode;

use super::{Outcome, reject};
use crate::block::Charter;
use crate::kinds;
use crate::overlay::Overlay;

pub(super) fn apply<R: StateReader>(
    state: &mut Overlay<'_, R>,
    charter: &Charter<'_>,
    author: &PublicKey,
    kind: &Kind,
) -> Result<Outcome, StoreError> {
    let name = &kind.name;
    if !charter.administrators.keys.contains(author) {
        let text = format!("only an administrator of the genesis defines a kind, {author} is none");
        return Ok(reject(RejectionCode::PermissionDenied, text));
    }
    if charter.kinds.kind(name).is_some() || kinds::defined(state, name)?.is_some() {
        let text = format!("the kind {name} exists; a kind is never declared anew, choose another name");
        return Ok(reject(RejectionCode::KindExists, text));
    }
    let present = charter.kinds.len().saturating_add(kinds::count(state)? as usize);
    if present >= MAX_KINDS {
        let text = format!("the cluster has {present} kinds, more than {MAX_KINDS} are not allowed");
        return Ok(reject(RejectionCode::TooManyKinds, text));
    }
    kinds::define(state, kind)?;
    Ok(Ok(()))
}
