//! The entities that one operation has touched, apart from the state until all of it has succeeded
//! (data-model §2.4: atomic over all entities).
//!
//! A draft also bounds what an operation may move: the bytes of every entity count when it is read and
//! again when it is written, against the operation's limit and against what the sequence has left.

use std::collections::BTreeMap;

use quorate_storage::{Key, StateReader, StoreError};
use quorate_types::codec::Canonical;
use quorate_types::ids::OperationId;
use quorate_types::kind::Kinds;
use quorate_types::operation::EntityId;
use quorate_types::parameters::Parameters;
use quorate_types::receipt::{EntityVersion, Location, MAX_CONCURRENT, Rejection, RejectionCode};
use quorate_types::schema::Violation;

use crate::entity::{self, Content, Entity, Head, Header, Position};
use crate::keys;
use crate::overlay::{Overlay, damaged};

/// What an operation may touch whatever others of its sequence did.
const ALWAYS_FITS_BYTES: usize = 16 << 10;

/// Why an operation stops: rejected, or the store failed.
pub(crate) enum Stop {
    Rejected(Rejection),
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

/// One entity during an operation.
pub(crate) struct Slot {
    /// Its key in the state.
    key: Key,
    /// As the operation found it.
    before: Option<Header>,
    /// As it is now. Absent when it doesn't exist.
    now: Option<Content>,
    /// Operations applied to it before this one, since it was created.
    applied: u64,
    /// The last mutation that changed it.
    changed_by: Option<u32>,
}

impl Slot {
    pub(crate) const fn content(&self) -> Option<&Content> {
        self.now.as_ref()
    }

    pub(crate) const fn content_mut(&mut self) -> Option<&mut Content> {
        self.now.as_mut()
    }

    /// The header that guards see: guards come before all mutations.
    pub(crate) const fn header(&self) -> Option<&Header> {
        self.before.as_ref()
    }

    pub(crate) fn create(&mut self, content: Content) {
        self.now = Some(content);
    }

    /// Removes it; created again it is a new entity.
    pub(crate) fn delete(&mut self) {
        self.now = None;
        self.applied = 0;
    }

    pub(crate) const fn mark_changed(&mut self, mutation: u32) {
        self.changed_by = Some(mutation);
    }
}

/// Bytes that may still be touched.
pub(crate) struct Budget {
    operation: usize,
    sequence: usize,
    used: usize,
}

impl Budget {
    /// The budget of an operation in a sequence whose operations have touched `touched` bytes.
    pub(crate) fn new(parameters: &Parameters, touched: usize) -> Self {
        let left = (parameters.proposal_touched_bytes as usize).saturating_sub(touched);
        Self { operation: parameters.operation_touched_bytes as usize, sequence: left.max(ALWAYS_FITS_BYTES), used: 0 }
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Rejection> {
        self.used = self.used.saturating_add(bytes);
        if self.used > self.operation {
            let text = format!("the entities it touches hold more than {} bytes; split the operation", self.operation);
            return Err(Rejection::new(RejectionCode::TouchesTooMuch, Location::Operation, text));
        }
        if self.used > self.sequence {
            let text =
                "other operations of this sequence touched too much; sign it again and submit it later".to_owned();
            return Err(Rejection::new(RejectionCode::SequenceFull, Location::Operation, text));
        }
        Ok(())
    }
}

pub(crate) struct Draft<'s, 'r, R> {
    state: &'s Overlay<'r, R>,
    /// Boxed: a map has room for eleven at once, and most operations touch one or two.
    slots: BTreeMap<EntityId, Box<Slot>>,
    supplies: BTreeMap<String, i128>,
    budget: Budget,
}

impl<'s, 'r, R: StateReader> Draft<'s, 'r, R> {
    pub(crate) const fn new(state: &'s Overlay<'r, R>, budget: Budget) -> Self {
        Self { state, slots: BTreeMap::new(), supplies: BTreeMap::new(), budget }
    }

    /// The entity, read from the state when first asked for.
    pub(crate) fn slot(&mut self, entity: &EntityId) -> Result<&mut Slot, Stop> {
        // Two look-ups, since a borrow that is returned on one branch only lasts over both.
        if !self.slots.contains_key(entity) {
            let slot = self.read(entity)?;
            self.slots.insert(entity.clone(), Box::new(slot));
        }
        Ok(self.slots.get_mut(entity).expect("it was inserted above"))
    }

    fn read(&mut self, entity: &EntityId) -> Result<Slot, Stop> {
        let key = keys::entity(entity);
        let Some((Entity { header, content }, size)) = entity::read(self.state, &key)? else {
            return Ok(Slot { key, before: None, now: None, applied: 0, changed_by: None });
        };
        self.budget.spend(size)?;
        Ok(Slot { key, applied: header.version, before: Some(header), now: Some(content), changed_by: None })
    }

    /// Changes the sum over a kind's accounts. It is wider than any number of balances can reach.
    pub(crate) fn change_supply(&mut self, kind: &str, by: i128) -> Result<(), StoreError> {
        let supply = match self.supplies.get(kind) {
            Some(supply) => *supply,
            None => read_supply(self.state, kind)?,
        };
        self.supplies.insert(kind.to_owned(), supply.saturating_add(by));
        Ok(())
    }

    /// The heads of all entities touched so far.
    pub(crate) fn heads(&self) -> impl Iterator<Item = &Head> {
        let headers = self.slots.values().filter_map(|slot| slot.before.as_ref());
        headers.flat_map(|header| &header.heads)
    }

    /// Bytes touched so far.
    pub(crate) const fn touched(&self) -> usize {
        self.budget.used
    }

    /// Checks the documents that changed against the schemas of their kinds (data-model §2.6): as the operation
    /// leaves them, not as they were in between.
    pub(crate) fn conform(&self, kinds: &Kinds) -> Result<(), Rejection> {
        for (entity, slot) in &self.slots {
            let (Some(mutation), Some(Content::Document(document))) = (slot.changed_by, slot.content()) else {
                continue;
            };
            let Some(schema) = kinds.kind(&entity.kind).and_then(|kind| kind.schema.as_ref()) else { continue };
            if let Err(Violation { at, text }) = schema.admit(document) {
                let place = if at.is_empty() { entity.to_string() } else { format!("{at} of {entity}") };
                let code = RejectionCode::SchemaViolation;
                return Err(Rejection::new(code, Location::Mutation(mutation), format!("at {place}: {text}")));
            }
        }
        Ok(())
    }

    /// What the operation writes, if it may; the draft is empty afterwards.
    pub(crate) fn finish(
        &mut self,
        operation: OperationId,
        at: Position,
        parameters: &Parameters,
        is_head: impl Fn(&Head) -> bool,
    ) -> Result<Written, Rejection> {
        let mut written = Written { writes: Vec::new(), versions: Vec::new() };
        for (entity, slot) in std::mem::take(&mut self.slots) {
            let Some(mutation) = slot.changed_by else { continue };
            let Slot { key, before, now, applied, .. } = *slot;
            let existed = before.is_some();
            let Some(content) = now else {
                if existed {
                    written.writes.push((key, None));
                    written.versions.push(EntityVersion { entity, version: 0 });
                }
                continue;
            };
            let version = applied.saturating_add(1);
            // An entity deleted and created again is a new one: nobody has built on it.
            let before = before.filter(|_| applied > 0);
            let mut heads: Vec<Head> = before.map(|header| header.heads).unwrap_or_default();
            heads.retain(&is_head);
            heads.push(Head { operation, at });
            // The oldest falls out.
            heads.drain(..heads.len().saturating_sub(MAX_CONCURRENT));
            let header = Header { version, last: operation, changed: at.sequence, heads };
            let bytes = encode(&entity, &Entity { header, content }, mutation, parameters)?;
            self.budget.spend(bytes.len())?;
            written.writes.push((key, Some(bytes)));
            written.versions.push(EntityVersion { entity, version });
        }
        for (kind, supply) in &self.supplies {
            written.writes.push((keys::supply(kind), Some(supply.to_be_bytes().to_vec())));
        }
        Ok(written)
    }
}

/// What an operation that succeeded leaves.
pub(crate) struct Written {
    pub(crate) writes: Vec<(Key, Option<Vec<u8>>)>,
    pub(crate) versions: Vec<EntityVersion>,
}

fn encode(entity: &EntityId, record: &Entity, mutation: u32, parameters: &Parameters) -> Result<Vec<u8>, Rejection> {
    if let Content::Document(_) | Content::Register(_) | Content::Set(_) = &record.content {
        let (size, limit) = (record.content.size_bytes(), parameters.document_bytes as usize);
        if size > limit {
            let text = format!("{entity} would hold {size} bytes, {limit} are allowed; split it");
            return Err(Rejection::new(RejectionCode::DocumentTooLarge, Location::Mutation(mutation), text));
        }
    }
    Ok(record.to_bytes())
}

/// A kind's supply as the state holds it; 0 before the first mint.
pub(crate) fn read_supply<R: StateReader>(state: &Overlay<'_, R>, kind: &str) -> Result<i128, StoreError> {
    let key = keys::supply(kind);
    let supply = state.look(&key, |bytes| {
        let fixed: [u8; 16] = bytes.try_into().map_err(|_| damaged(&key))?;
        Ok(i128::from_be_bytes(fixed))
    });
    Ok(supply?.unwrap_or(0))
}
