//! Reads (data-model §5): what one validator's executed state says, as fresh as the level demands.

use quorate_crypto::Digest;
use quorate_transport::convert::{operation_id, value_from_wire};
use quorate_transport::pb::cluster::v1 as cluster_pb;
use quorate_transport::pb::cluster::v1::cluster_client::ClusterClient;
use quorate_transport::pb::entities::v1 as pb;
use quorate_transport::pb::entities::v1::entities_client::EntitiesClient;
use quorate_transport::read_token::ReadToken;
use quorate_types::ids::{BlockTime, OperationId, Sequence};
use quorate_types::operation::EntityId;
use quorate_types::value::Value;

use crate::cluster::{Client, Endpoint, Service};
use crate::fault::ClientFault;
use crate::submit::MAX_ANSWER_BYTES;

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// The answering validator's executed state, at most this old; 0: any age.
    Local {
        /// Milliseconds since the validator last knew that a quorum had nothing newer.
        max_age_ms: u64,
    },
    /// Executed at least up to this sequence: the validator waits until it is.
    AtLeast(Sequence),
    /// Everything acknowledged anywhere before the read began (data-model §5), on the answering validator's
    /// word. [`Client::read_quorum`] trusts no single one.
    Linearizable,
}

/// An entity as a validator has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entity {
    /// Its name.
    pub name: EntityId,
    /// Operations applied to it.
    pub version: u64,
    /// The last of them.
    pub last_operation: OperationId,
    /// Where that executed.
    pub changed_at: Sequence,
    /// Its content.
    pub value: Value,
}

/// What was read, and when that was.
#[derive(Clone, Debug, PartialEq)]
pub struct Read<T> {
    /// The content.
    pub content: T,
    /// Executed up to here when it was read.
    pub sequence: Sequence,
    /// The block time of that sequence.
    pub block_time: BlockTime,
    /// Milliseconds since the validator last knew that a quorum had nothing newer.
    pub age_ms: u64,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Entities, by id.
    pub entities: Vec<Entity>,
    /// Where the next page starts; empty after the last.
    pub next: String,
}

impl Client {
    /// Reads an entity; `None` if it doesn't exist.
    ///
    /// # Errors
    /// If no validator can answer, or reading is denied.
    pub async fn get(
        &self,
        entity: &EntityId,
        consistency: Consistency,
        token: Option<&ReadToken>,
    ) -> Result<Read<Option<Entity>>, ClientFault> {
        let message = pb::GetRequest {
            kind: entity.kind.clone(),
            id: entity.id.clone(),
            consistency: Some(consistency_to_wire(consistency)),
        };
        self.call(|endpoint| {
            let request = with_token(message.clone(), token);
            async move {
                let answer = entities(&endpoint).get(request).await;
                let answer = answer.map_err(|status| ClientFault::of_status(&endpoint.address, status))?.into_inner();
                let content = answer.entity.map(|found| entity_of(&endpoint, found)).transpose()?;
                Ok(read_of(content, answer.read))
            }
        })
        .await
    }

    /// Lists the entities of a kind whose id starts with `prefix`, `page_size` at a time, from `page` on.
    ///
    /// # Errors
    /// If no validator can answer, or reading is denied.
    pub async fn list(
        &self,
        (kind, prefix): (&str, &str),
        (page_size, page): (u32, &str),
        consistency: Consistency,
        token: Option<&ReadToken>,
    ) -> Result<Read<Page>, ClientFault> {
        let message = pb::ListRequest {
            kind: kind.to_owned(),
            prefix: prefix.to_owned(),
            page_size,
            page: page.to_owned(),
            consistency: Some(consistency_to_wire(consistency)),
        };
        self.call(|endpoint| {
            let request = with_token(message.clone(), token);
            async move {
                let answer = entities(&endpoint).list(request).await;
                let answer = answer.map_err(|status| ClientFault::of_status(&endpoint.address, status))?.into_inner();
                let found = answer.entities.into_iter().map(|found| entity_of(&endpoint, found));
                let page = Page { entities: found.collect::<Result<_, _>>()?, next: answer.next_page };
                Ok(read_of(page, answer.read))
            }
        })
        .await
    }

    /// Whom the validator with this position among the endpoints suspects; the chosen one if there is none.
    ///
    /// # Errors
    /// If it doesn't answer.
    pub async fn suspicion(&self, position: usize) -> Result<cluster_pb::SuspicionResponse, ClientFault> {
        let endpoint = self.endpoint_at(position).unwrap_or_else(|| self.endpoint());
        let endpoint = endpoint.within(self.inner.config.retry.attempt);
        let answer = async {
            let asked = ClusterClient::new(endpoint.service()).suspicion(cluster_pb::SuspicionRequest {}).await;
            let answer = asked.map_err(|status| ClientFault::of_status(&endpoint.address, status))?;
            Ok(answer.into_inner())
        };
        self.in_time(&endpoint, answer).await
    }

    /// Why that validator suspects the one with this index in the validator set.
    ///
    /// # Errors
    /// If it doesn't answer, or there is no such index.
    pub async fn explain(&self, position: usize, validator: u32) -> Result<cluster_pb::ExplainResponse, ClientFault> {
        let endpoint = self.endpoint_at(position).unwrap_or_else(|| self.endpoint());
        let endpoint = endpoint.within(self.inner.config.retry.attempt);
        let answer = async {
            let request = cluster_pb::ExplainRequest { validator };
            let asked = ClusterClient::new(endpoint.service()).explain(request).await;
            let answer = asked.map_err(|status| ClientFault::of_status(&endpoint.address, status))?;
            Ok(answer.into_inner())
        };
        self.in_time(&endpoint, answer).await
    }

    /// The status of the validator at a position of the configuration, as it sees itself and its peers;
    /// `dump_at` asks for the digest of its replicated state at that sequence (0: at its newest).
    ///
    /// # Errors
    /// If it doesn't answer, or can't give the digest.
    pub async fn status(
        &self,
        position: usize,
        dump_at: Option<Sequence>,
    ) -> Result<cluster_pb::StatusResponse, ClientFault> {
        let endpoint = self.endpoint_at(position).unwrap_or_else(|| self.endpoint());
        let dump = dump_at.map(|sequence| cluster_pb::DumpRequest { at_sequence: sequence.0 });
        // A digest walks the whole state; the ordinary status answers at once.
        let attempt = self.inner.config.retry.attempt * if dump_at.is_some() { 12 } else { 1 };
        let endpoint = endpoint.within(attempt);
        let answer = async {
            let asked = ClusterClient::new(endpoint.service()).status(cluster_pb::StatusRequest { dump }).await;
            let status = asked.map_err(|status| ClientFault::of_status(&endpoint.address, status))?.into_inner();
            self.admit_cluster(&endpoint, &status.cluster)?;
            Ok(status)
        };
        self.in_time(&endpoint, answer).await
    }

    /// The evidence that a validator keeps (accountability §3): all of it by name, or one piece, by its id, with its
    /// content. What it proves is for the caller to judge.
    ///
    /// # Errors
    /// If the validator doesn't answer, or keeps no piece with this id.
    pub async fn evidence(
        &self,
        position: usize,
        id: Option<Digest>,
    ) -> Result<Vec<cluster_pb::EvidenceItem>, ClientFault> {
        let endpoint = self.endpoint_at(position).unwrap_or_else(|| self.endpoint());
        let endpoint = endpoint.within(self.inner.config.retry.attempt);
        let id = id.map_or_else(Vec::new, |id| id.as_bytes().to_vec());
        let answer = async {
            let request = cluster_pb::EvidenceRequest { id: id.into() };
            let asked = ClusterClient::new(endpoint.service()).evidence(request).await;
            let kept = asked.map_err(|status| ClientFault::of_status(&endpoint.address, status))?.into_inner();
            self.admit_cluster(&endpoint, &kept.cluster)?;
            Ok(kept.items)
        };
        self.in_time(&endpoint, answer).await
    }

    /// A session: reads your writes, and never goes back (data-model §5).
    #[must_use]
    pub const fn session(&self) -> Session<'_> {
        Session { client: self, seen: Sequence::ZERO, token: None }
    }
}

/// Reads that never go back behind what the session has seen.
#[derive(Debug)]
pub struct Session<'a> {
    client: &'a Client,
    seen: Sequence,
    token: Option<ReadToken>,
}

impl Session<'_> {
    /// Reads of this session show this token, for kinds that restrict reading.
    #[must_use]
    pub fn with_token(mut self, token: ReadToken) -> Self {
        self.token = Some(token);
        self
    }

    /// Notes a sequence that was seen elsewhere: a receipt's, say.
    pub fn saw(&mut self, sequence: Sequence) {
        self.seen = self.seen.max(sequence);
    }

    /// The highest sequence seen.
    #[must_use]
    pub const fn seen(&self) -> Sequence {
        self.seen
    }

    /// Submits an operation; later reads of this session see it.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub async fn submit(
        &mut self,
        operation: &quorate_types::operation::Operation,
    ) -> Result<quorate_proof::VerifiedReceipt, ClientFault> {
        let receipt = self.client.submit(operation).await?;
        self.saw(receipt.receipt().sequence);
        Ok(receipt)
    }

    /// Reads an entity at or above what was seen.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get(&mut self, entity: &EntityId) -> Result<Read<Option<Entity>>, ClientFault> {
        let read = self.client.get(entity, Consistency::AtLeast(self.seen), self.token.as_ref()).await?;
        self.saw(read.sequence);
        Ok(read)
    }
}

fn consistency_to_wire(consistency: Consistency) -> pb::Consistency {
    use pb::consistency::Level;
    let level = match consistency {
        Consistency::Local { max_age_ms } => Level::Local(pb::Local { max_age_ms }),
        Consistency::AtLeast(sequence) => Level::AtLeast(pb::AtLeast { sequence: sequence.0 }),
        Consistency::Linearizable => Level::Linearizable(pb::Linearizable {}),
    };
    pb::Consistency { level: Some(level) }
}

pub(crate) fn with_token<T>(message: T, token: Option<&ReadToken>) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    if let Some(token) = token {
        token.attach(request.metadata_mut());
    }
    request
}

fn read_of<T>(content: T, read: Option<pb::ReadPoint>) -> Read<T> {
    let read = read.unwrap_or_default();
    Read { content, sequence: Sequence(read.sequence), block_time: BlockTime(read.block_time_ms), age_ms: read.age_ms }
}

fn entity_of(endpoint: &Endpoint, found: pb::Entity) -> Result<Entity, ClientFault> {
    let fault = |fault| ClientFault::Answer { endpoint: endpoint.address.clone(), fault };
    let value = found.value.map(value_from_wire).transpose().map_err(fault)?;
    Ok(Entity {
        name: EntityId::new(&found.kind, &found.id),
        version: found.version,
        last_operation: operation_id("last_operation", &found.last_operation).map_err(fault)?,
        changed_at: Sequence(found.changed_at),
        value: value.unwrap_or(Value::Null),
    })
}

pub(crate) fn entities(endpoint: &Endpoint) -> EntitiesClient<Service> {
    EntitiesClient::new(endpoint.service()).max_decoding_message_size(MAX_ANSWER_BYTES)
}
