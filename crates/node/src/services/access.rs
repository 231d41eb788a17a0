//! Who may read: kinds that restrict reading ask for a token (data-model §5).

use std::sync::Arc;

use quorate_crypto::PublicKey;
use quorate_replica::machine::read;
use quorate_storage::{StateAt, Store};
use quorate_transport::fault::{ApiFault, Reason};
use quorate_transport::read_token::ReadToken;
use quorate_types::kind::{Kind, Right};
use quorate_types::operation::Operation;
use tonic::metadata::MetadataMap;

use super::Api;

/// Who reads, as far as a call's token shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader(Option<PublicKey>);

impl Reader {
    /// Whether the reader may read entities of `kind`.
    pub(super) fn may_read(self, kind: &Kind) -> bool {
        match (&kind.access.read, self.0) {
            (Right::Anyone, _) => true,
            (right, Some(key)) => right.includes(&key),
            (Right::Keys(_), None) => false,
        }
    }
}

impl<S: Store> Api<S> {
    /// Who reads; a token that is there must be good.
    pub(super) fn reader(&self, metadata: &MetadataMap) -> Result<Reader, ApiFault> {
        let Some(token) = ReadToken::of_call(metadata)? else { return Ok(Reader(None)) };
        let key = token.verify(self.context.scheme, self.context.cluster, self.clock.now().wall_ms)?;
        Ok(Reader(Some(key)))
    }

    /// Whether the reader may read all that an operation names: its body shows what it writes and compares.
    pub(super) fn may_read_body(&self, operation: &Operation, reader: Reader) -> Result<bool, ApiFault> {
        let content = operation.content();
        let guarded = content.guards.iter().map(|guard| &guard.entity.kind);
        let mutated = content.mutations.iter().map(|mutation| &mutation.entity.kind);
        for name in guarded.chain(mutated) {
            if self.kind(name)?.is_some_and(|kind| !reader.may_read(&kind)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The kind of this name: the genesis declares it, or an operation has defined it.
    pub(super) fn kind(&self, name: &str) -> Result<Option<Arc<Kind>>, ApiFault> {
        if let Some(kind) = self.kinds.shared(name) {
            return Ok(Some(kind));
        }
        let snapshot = self.snapshot()?;
        let found = read::defined_kind(&StateAt(&snapshot), name).map_err(|error| self.store_fault(error))?;
        Ok(found.map(Arc::new))
    }

    /// The kind of this name, if the reader may read it.
    pub(super) fn readable_kind(&self, name: &str, reader: Reader) -> Result<Arc<Kind>, ApiFault> {
        let Some(kind) = self.kind(name)? else {
            return Err(ApiFault::new(Reason::NotFound, format!("there is no kind {name:?}")).with("kind", name));
        };
        if reader.may_read(&kind) {
            return Ok(kind);
        }
        let (reason, text) = match reader.0 {
            None => (Reason::TokenMissing, "restricts reading: send a read token of a key that may read it"),
            Some(_) => (Reason::ReadDenied, "restricts reading, and the read token's key may not read it"),
        };
        Err(ApiFault::new(reason, format!("the kind {name:?} {text}")).with("kind", name))
    }
}
