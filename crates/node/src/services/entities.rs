//! `quorate.entities.v1`: reads of this validator's executed state (data-model §5).

use std::sync::Arc;

use quorate_replica::machine::{Content, Entity, read};
use quorate_storage::{StateAt, StateReader, Store, StoreError};
use quorate_transport::convert::{value_to_wire, wire};
use quorate_transport::fault::{ApiFault, Reason};
use quorate_transport::pb::entities::v1 as pb;
use quorate_transport::pb::entities::v1::consistency::Level;
use quorate_transport::pb::entities::v1::entities_server::Entities;
use quorate_types::operation::EntityId;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::Api;
use super::access::Reader;
use super::door::client_of;

/// Entities on one page, at most and unless asked.
const PAGE_MAX: u32 = 1_000;
const PAGE_DEFAULT: u32 = 100;

/// A page ends when it has so many bytes; it may be above by one document.
pub(super) const PAGE_BYTES: usize = 1 << 20;

/// Entities read from the store at a time.
const READ_AT_ONCE: usize = 64;

/// The service.
pub(super) struct EntitiesService<S: Store>(pub(super) Arc<Api<S>>);

#[tonic::async_trait]
impl<S: Store> Entities for EntitiesService<S> {
    async fn get(&self, request: Request<pb::GetRequest>) -> Result<Response<pb::GetResponse>, Status> {
        let api = &self.0;
        let deadline = api.deadline(request.metadata());
        api.answer(async {
            api.door.admit(client_of(request.extensions()), 0)?;
            let reader = api.reader(request.metadata())?;
            let pb::GetRequest { kind, id, consistency } = request.get_ref();
            api.readable_kind(kind, reader)?;
            let state = api.fresh_enough(consistency.as_ref(), deadline).await?;
            api.get(&EntityId::new(kind.as_str(), id.as_str()), &state)
        })
        .await
    }

    async fn get_proof(&self, request: Request<pb::GetProofRequest>) -> Result<Response<pb::GetProofResponse>, Status> {
        let api = &self.0;
        let deadline = api.deadline(request.metadata());
        api.answer(async {
            api.door.admit(client_of(request.extensions()), 0)?;
            let reader = api.reader(request.metadata())?;
            api.prove(request.get_ref(), reader, deadline).await
        })
        .await
    }

    async fn get_freshness(
        &self,
        request: Request<pb::GetFreshnessRequest>,
    ) -> Result<Response<pb::GetFreshnessResponse>, Status> {
        let api = &self.0;
        let deadline = api.deadline(request.metadata());
        api.answer(async {
            api.door.admit(client_of(request.extensions()), 0)?;
            api.freshness(request.get_ref(), deadline).await
        })
        .await
    }

    async fn list(&self, request: Request<pb::ListRequest>) -> Result<Response<pb::ListResponse>, Status> {
        let api = Arc::clone(&self.0);
        let deadline = api.deadline(request.metadata());
        self.0
            .answer(async {
                api.door.admit(client_of(request.extensions()), 0)?;
                let reader = api.reader(request.metadata())?;
                let request = request.into_inner();
                let state = api.admit_list(&request, reader, deadline).await?;
                let (reading, deadline) = (Arc::clone(&api), deadline);
                let read = api.threads.blocking(move || reading.list(&request, &state, deadline));
                read.await.map_err(|_| super::stopping())?
            })
            .await
    }
}

/// A state to read, and how old it is as far as this validator knows.
struct Fresh<N> {
    snapshot: N,
    age_ms: u64,
}

impl<S: Store> Api<S> {
    /// Waits until the state is as fresh as asked for.
    async fn fresh_enough(
        &self,
        consistency: Option<&pb::Consistency>,
        deadline: Instant,
    ) -> Result<Fresh<S::Snapshot>, ApiFault> {
        match consistency.and_then(|consistency| consistency.level) {
            Some(Level::Linearizable(pb::Linearizable {})) => {
                // The round was complete before the state was chosen: nothing acknowledged by then is missing.
                let certified = self.linearizable(deadline).await?;
                return Ok(Fresh { snapshot: certified.snapshot, age_ms: 0 });
            }
            Some(Level::AtLeast(pb::AtLeast { sequence })) => self.executed(sequence, deadline).await?,
            Some(Level::Local(pb::Local { max_age_ms })) if max_age_ms > 0 && self.age_ms() > max_age_ms => {
                let age_ms = self.age_ms();
                let text = format!("the state here is {age_ms} ms old; allow more, or ask another validator");
                return Err(ApiFault::new(Reason::TooStale, text).with("age_ms", age_ms));
            }
            _ => {}
        }
        let age_ms = self.age_ms();
        let snapshot = self.snapshot()?;
        Ok(Fresh { snapshot, age_ms })
    }

    /// Milliseconds since this validator last knew that a quorum had nothing newer.
    fn age_ms(&self) -> u64 {
        self.clock.now().monotonic_ms.saturating_sub(self.status().fresh_at_ms)
    }

    fn get(&self, id: &EntityId, fresh: &Fresh<S::Snapshot>) -> Result<pb::GetResponse, ApiFault> {
        let fault = |error| self.store_fault(error);
        let state = StateAt(&fresh.snapshot);
        let read = read_point(&state, fresh.age_ms).map_err(fault)?;
        let entity = read::entity(&state, id).map_err(fault)?;
        Ok(pb::GetResponse { entity: entity.map(|entity| entity_to_wire(id, entity)), read: Some(read) })
    }

    async fn admit_list(
        &self,
        request: &pb::ListRequest,
        reader: Reader,
        deadline: Instant,
    ) -> Result<Fresh<S::Snapshot>, ApiFault> {
        self.readable_kind(&request.kind, reader)?;
        if request.page_size > PAGE_MAX {
            let text = format!("page_size of {} is above the limit of {PAGE_MAX}", request.page_size);
            return Err(ApiFault::new(Reason::Limit, text).with("limit", PAGE_MAX));
        }
        self.fresh_enough(request.consistency.as_ref(), deadline).await
    }

    /// Reads a page. A prefix is found by reading on from it: ids are in the order of their bytes.
    fn list(
        &self,
        request: &pb::ListRequest,
        fresh: &Fresh<S::Snapshot>,
        deadline: Instant,
    ) -> Result<pb::ListResponse, ApiFault> {
        let fault = |error| self.store_fault(error);
        let pb::ListRequest { kind, prefix, page_size, page, .. } = request;
        let wanted = if *page_size == 0 { PAGE_DEFAULT } else { *page_size } as usize;
        let state = StateAt(&fresh.snapshot);
        let mut response =
            pb::ListResponse { read: Some(read_point(&state, fresh.age_ms).map_err(fault)?), ..Default::default() };
        let (mut after, mut bytes) = (page.clone(), 0);
        if after.is_empty() && !prefix.is_empty() {
            let first = EntityId::new(kind.as_str(), prefix.as_str());
            // The prefix itself may be an id; all others lie after it.
            if let Some(entity) = read::entity(&state, &first).map_err(fault)? {
                bytes += entity.content.size_bytes();
                response.entities.push(entity_to_wire(&first, entity));
            }
            after.clone_from(prefix);
        }
        while Instant::now() < deadline {
            let from = (!after.is_empty()).then_some(after.as_str());
            let found = read::entities(&state, kind, from, READ_AT_ONCE).map_err(fault)?;
            let is_last = found.len() < READ_AT_ONCE;
            for (id, entity) in found {
                if !id.id.starts_with(prefix.as_str()) {
                    return Ok(response);
                }
                if response.entities.len() == wanted || bytes >= PAGE_BYTES {
                    response.next_page = after;
                    return Ok(response);
                }
                bytes += entity.content.size_bytes();
                after.clone_from(&id.id);
                response.entities.push(entity_to_wire(&id, entity));
            }
            if is_last {
                return Ok(response);
            }
        }
        response.next_page = after;
        Ok(response)
    }
}

fn read_point(state: &impl StateReader, age_ms: u64) -> Result<pb::ReadPoint, StoreError> {
    let at = read::position(state)?;
    let (sequence, block_time_ms) = at.map_or((0, 0), |at| (at.sequence.0, at.time.0));
    Ok(pb::ReadPoint { sequence, block_time_ms, age_ms })
}

fn entity_to_wire(id: &EntityId, entity: Entity) -> pb::Entity {
    let entity_type = match entity.content {
        Content::Document(_) => pb::EntityType::Document,
        Content::Counter(_) => pb::EntityType::Counter,
        Content::Account(_) => pb::EntityType::Account,
        Content::Register(_) => pb::EntityType::Register,
        Content::Set(_) => pb::EntityType::Set,
        Content::Inventory(_) => pb::EntityType::Inventory,
    };
    pb::Entity {
        kind: id.kind.clone(),
        id: id.id.clone(),
        r#type: entity_type.into(),
        version: entity.header.version,
        last_operation: wire(entity.header.last.0.as_bytes()),
        changed_at: entity.header.changed.0,
        value: Some(value_to_wire(&entity.content.to_value())),
    }
}
