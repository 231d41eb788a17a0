//! Clients that send what they must not (data-model §§1, 3, 6): the right error, nothing lost, no panic, and
//! the validator lives on.

use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use prost::Message as _;
use quorate_client::pb::cluster::v1 as cluster_pb;
use quorate_client::pb::entities::v1 as entities_pb;
use quorate_client::pb::operations::v1 as pb;
use quorate_client::pb::operations::v1::operations_client::OperationsClient;
use quorate_client::pb::operations::v1::submit_stream_response::Result as Answer;
use quorate_client::{ApiFault, Client, Reason};
use quorate_crypto::{Digest, SecretKey};
use quorate_tests::{Cluster, raw, workload};
use quorate_types::ids::{BlockTime, ClusterId, OperationId};
use quorate_types::operation::{Change, EntityId, HybridTime, Mutation, OperationContent, operation_id, signing_bytes};
use quorate_types::value::Value;
use tokio::io::AsyncWriteExt;
use tonic::{Code, Request};

use crate::{counting, shared};

/// A body that would be accepted, to be spoilt.
fn content(cluster: ClusterId, key: &SecretKey) -> OperationContent {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let expires_at = BlockTime(u64::try_from(now.as_millis()).unwrap_or(u64::MAX) + workload::LIFETIME_MS);
    let value = Some(Value::Null);
    OperationContent {
        cluster,
        author: key.public(),
        nonce: 1,
        parents: Vec::new(),
        timestamp: HybridTime::default(),
        expires_at,
        guards: Vec::new(),
        mutations: vec![Mutation { entity: EntityId::new("document", "hostile"), change: Change::Create { value } }],
        system: None,
    }
}

/// Signs whatever bytes stand for a body.
fn signed(cluster: ClusterId, key: &SecretKey, body: impl Into<Bytes>) -> pb::SignedOperation {
    let body = body.into();
    let signature = key.sign(&signing_bytes(cluster, operation_id(&body)));
    pb::SignedOperation { body, signature: Bytes::copy_from_slice(signature.as_bytes()) }
}

type Case = (&'static str, pb::SignedOperation, Reason, &'static str);

/// What is wrong, the operation, the reason, and a word that the sentence must hold.
fn cases(cluster: ClusterId) -> Vec<Case> {
    let key = workload::key("hostile");
    let spoilt = |spoil: &dyn Fn(&mut OperationContent)| {
        let mut content = content(cluster, &key);
        spoil(&mut content);
        signed(cluster, &key, content.to_body())
    };
    let body = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = content(cluster, &key).to_body().to_vec();
        change(&mut bytes);
        signed(cluster, &key, bytes)
    };
    let with = |bytes: &'static [u8]| body(&move |body: &mut Vec<u8>| body.extend_from_slice(bytes));
    let mut flipped = spoilt(&|_| {});
    flipped.signature = [&flipped.signature[..63], &[flipped.signature[63] ^ 1]].concat().into();
    let mut short = spoilt(&|_| {});
    short.signature.truncate(63);
    let other = ClusterId(Digest::new([9; 32]));
    let large = |bytes: usize| {
        spoilt(&move |content: &mut OperationContent| {
            content.mutations[0].change = Change::Put { value: Value::Data(vec![7; bytes]) };
        })
    };
    vec![
        ("a changed signature", flipped, Reason::BadSignature, "signature"),
        ("a signature of 63 bytes", short, Reason::Malformed, "signature"),
        (
            "another author's signature",
            signed(cluster, &workload::key("thief"), content(cluster, &key).to_body()),
            Reason::BadSignature,
            "signature",
        ),
        ("another cluster", spoilt(&|content| content.cluster = other), Reason::OtherCluster, "cluster"),
        (
            "129 mutations",
            spoilt(&|content| content.mutations = vec![content.mutations[0].clone(); 129]),
            Reason::Limit,
            "mutations",
        ),
        ("17 parents", spoilt(&|content| content.parents = (0..17).map(parent).collect()), Reason::Limit, "parents"),
        (
            "an id of 257 bytes",
            spoilt(&|content| content.mutations[0].entity.id = "x".repeat(257)),
            Reason::Limit,
            "id",
        ),
        ("256 KiB of content", large(256 << 10), Reason::Limit, "bytes"),
        ("no mutation", spoilt(&|content| content.mutations.clear()), Reason::Malformed, "mutations"),
        ("no expiry", spoilt(&|content| content.expires_at = BlockTime(0)), Reason::Malformed, "expires_at"),
        (
            "a parent twice",
            spoilt(&|content| content.parents = vec![parent(1), parent(1)]),
            Reason::Malformed,
            "parents",
        ),
        ("an unknown field", with(&[0xf8, 0x07, 0x01]), Reason::Malformed, "unknown field"),
        ("a field again", with(&[0x18, 0x05]), Reason::Malformed, "nonce"),
        ("half a field", with(&[0x4a, 0x20, 0x01]), Reason::Malformed, ""),
        ("a long varint", body(&|bytes| lengthen_nonce(bytes)), Reason::Malformed, "nonce"),
        ("an empty body", signed(cluster, &key, Bytes::new()), Reason::Malformed, ""),
        ("noise", signed(cluster, &key, vec![0xa5; 300]), Reason::Malformed, ""),
        ("an expiry long ago", spoilt(&|content| content.expires_at = BlockTime(1)), Reason::Expired, ""),
        ("an expiry in two days", spoilt(&|content| content.expires_at.0 += 2 * 86_400_000), Reason::ExpiresTooFar, ""),
    ]
}

fn parent(seed: u8) -> OperationId {
    OperationId(Digest::new([seed; 32]))
}

/// Writes the nonce 1 (field 3, behind cluster and author) in two bytes.
fn lengthen_nonce(body: &mut Vec<u8>) {
    const AT: usize = 2 * 34 + 1;
    body.splice(AT..=AT, [0x81, 0x00]);
}

/// data-model §6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_that_breaks_a_rule_is_refused_by_call_and_by_stream_with_its_reason() -> anyhow::Result<()> {
    let cluster = shared().await?;
    let cases = cases(cluster.genesis()?.cluster);
    for (number, (name, operation, reason, word)) in cases.iter().enumerate() {
        let mut service = OperationsClient::new(raw::to(&cluster, number % 4)?);
        let request = pb::SubmitRequest { operation: Some(operation.clone()), wait: 0 };
        let status = service.submit(request).await.err().with_context(|| format!("{name} was accepted"))?;
        let fault = ApiFault::of_status(&status).with_context(|| format!("{name}: {status:?}"))?;
        ensure!(fault.reason == *reason && status.code() == reason.code(), "{name}: {status:?}");
        ensure!(fault.message.contains(word), "{name}: {fault}");
    }
    let requests = (0..).zip(&cases).map(|(correlation, (_, operation, ..))| pb::SubmitStreamRequest {
        correlation,
        operation: Some(operation.clone()),
        wait: 0,
    });
    let requests: Vec<_> = requests.collect();
    let mut service = OperationsClient::new(raw::to(&cluster, 0)?);
    let mut answers = service.submit_stream(tokio_stream::iter(requests)).await?.into_inner();
    for _ in &cases {
        let answer = answers.message().await?.context("the stream ended")?;
        let (name, _, reason, _) = &cases[usize::try_from(answer.correlation)?];
        let Some(Answer::Failure(failure)) = answer.result else { anyhow::bail!("{name} was accepted") };
        ensure!(failure.reason == reason.name() && failure.code == reason.code() as u32, "{name}: {failure:?}");
    }
    still_works(&cluster, "after broken operations").await
}

/// data-model §1: the same vectors for every language.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_vector_of_the_specification_is_judged_as_it_says() -> anyhow::Result<()> {
    let cluster = shared().await?;
    let vectors: serde_json::Value = serde_json::from_str(include_str!("../../../proto/vectors/operations.json"))?;
    let mut service = OperationsClient::new(raw::to(&cluster, 3)?);
    for (list, accepted) in [("accepted", true), ("refused", false)] {
        let list = vectors[list].as_array().context("no vectors")?;
        ensure!(list.len() >= 20, "{} vectors", list.len());
        for vector in list {
            let bytes = |field: &str| -> anyhow::Result<Bytes> {
                let text = vector[field].as_str().context("a vector is bytes in hexadecimal")?;
                let pairs = (0..text.len()).step_by(2).map(|at| Ok(u8::from_str_radix(&text[at..at + 2], 16)?));
                pairs.collect::<anyhow::Result<Vec<u8>>>().map(Bytes::from)
            };
            let operation = pb::SignedOperation { body: bytes("body")?, signature: bytes("signature")? };
            let request = pb::SubmitRequest { operation: Some(operation), wait: 0 };
            let status = service.submit(request).await.err().context("a vector is of another cluster")?;
            ensure!(status.code() == Code::InvalidArgument, "{vector}: {status:?}");
            let is_well_formed = raw::reason(&status) == Some(Reason::OtherCluster);
            ensure!(is_well_formed || !accepted, "{vector}: {status:?}");
            let said = vector["error"].as_str().unwrap_or_default();
            ensure!(accepted || is_well_formed || status.message().contains(said), "{vector}: {status:?}");
        }
    }
    Ok(())
}

const METHODS: [&str; 12] = [
    "/quorate.operations.v1.Operations/Submit",
    "/quorate.operations.v1.Operations/SubmitStream",
    "/quorate.operations.v1.Operations/GetOperation",
    "/quorate.operations.v1.Operations/GetReceipt",
    "/quorate.operations.v1.Operations/GetAuthor",
    "/quorate.operations.v1.Operations/GetHeads",
    "/quorate.operations.v1.Operations/Watch",
    "/quorate.entities.v1.Entities/Get",
    "/quorate.entities.v1.Entities/List",
    "/quorate.cluster.v1.Cluster/Status",
    "/quorate.cluster.v1.Cluster/Health",
    "/quorate.cluster.v1.Cluster/Validators",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_to_any_method_is_refused_and_the_validator_lives_on() -> anyhow::Result<()> {
    let cluster = shared().await?;
    let channel = raw::to(&cluster, 1)?;
    for method in METHODS {
        for garbage in [vec![0xff; 64], vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], vec![0x0f], vec![0x0a, 0x05, 0x01]] {
            let call = tokio::time::timeout(Duration::from_secs(20), raw::call(&channel, method, garbage.clone()));
            let answer = call.await.with_context(|| format!("{method} hangs"))?;
            // A stream of submissions may also just end: its messages can't be told apart any more.
            let is_refused = match &answer {
                Err(status) => matches!(status.code(), Code::InvalidArgument | Code::Internal),
                Ok(bytes) => method.ends_with("SubmitStream") && bytes.is_empty(),
            };
            ensure!(is_refused, "{method} of {garbage:?}: {answer:?}");
        }
        let huge = raw::call(&channel, method, vec![0; 20 << 20]).await;
        let is_refused = match &huge {
            Err(status) => matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted | Code::InvalidArgument),
            Ok(bytes) => method.ends_with("SubmitStream") && bytes.is_empty(),
        };
        ensure!(is_refused, "{method} of 20 MiB: {huge:?}");
    }
    let unknown = raw::call(&channel, "/quorate.operations.v1.Operations/Steal", Bytes::new()).await;
    ensure!(unknown.as_ref().is_err_and(|status| status.code() == Code::Unimplemented), "{unknown:?}");
    still_works(&cluster, "after garbage").await
}

/// One request with its method, and the reason with which it is refused.
fn wrong_requests() -> Vec<(&'static str, Vec<u8>, Reason)> {
    let id = |bytes: &'static [u8]| Bytes::from_static(bytes);
    let kind = "nothing".to_owned();
    let at = |at_sequence| cluster_pb::StatusRequest { dump: Some(cluster_pb::DumpRequest { at_sequence }) };
    let heads = pb::GetHeadsRequest { entity: Some(pb::EntityName { kind: kind.clone(), id: "x".to_owned() }) };
    let get = entities_pb::GetRequest { kind: kind.clone(), id: "x".to_owned(), consistency: None };
    let list =
        |kind: &str, page_size| entities_pb::ListRequest { kind: kind.to_owned(), page_size, ..Default::default() };
    let watch = pb::WatchRequest { kinds: vec![kind.clone()], ..Default::default() };
    let receipt = |operation| pb::GetReceiptRequest { operation, wait: false };
    vec![
        (METHODS[0], pb::SubmitRequest { operation: None, wait: 0 }.encode_to_vec(), Reason::Malformed),
        (
            METHODS[0],
            pb::SubmitRequest { operation: Some(Default::default()), wait: 9 }.encode_to_vec(),
            Reason::Malformed,
        ),
        (METHODS[2], pb::GetOperationRequest { operation: id(&[1; 31]) }.encode_to_vec(), Reason::Malformed),
        (METHODS[2], pb::GetOperationRequest { operation: id(&[1; 32]) }.encode_to_vec(), Reason::NotFound),
        (METHODS[3], receipt(id(&[])).encode_to_vec(), Reason::Malformed),
        (METHODS[3], receipt(id(&[1; 32])).encode_to_vec(), Reason::NotFound),
        (METHODS[4], pb::GetAuthorRequest { author: id(&[1; 5]) }.encode_to_vec(), Reason::Malformed),
        (METHODS[5], heads.encode_to_vec(), Reason::NotFound),
        (METHODS[6], watch.encode_to_vec(), Reason::NotFound),
        (METHODS[7], get.encode_to_vec(), Reason::NotFound),
        (METHODS[8], list(&kind, 0).encode_to_vec(), Reason::NotFound),
        (METHODS[8], list("document", 1_001).encode_to_vec(), Reason::Limit),
        (METHODS[9], at(1).encode_to_vec(), Reason::SequencePassed),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_request_to_any_method_is_refused_with_its_reason() -> anyhow::Result<()> {
    let cluster = shared().await?;
    still_works(&cluster, "so that sequence 1 has passed").await?;
    let channel = raw::to(&cluster, 0)?;
    for (method, request, reason) in wrong_requests() {
        let answer = raw::call(&channel, method, request.clone()).await;
        let status = answer.err().with_context(|| format!("{method} of {request:?} was answered"))?;
        ensure!(raw::reason(&status) == Some(reason), "{method}: {status:?} instead of {reason:?}");
        ensure!(status.code() == reason.code(), "{method}: {status:?}");
    }
    late_and_unproven(&cluster).await
}

/// A read that can't be served in time, and a token that proves nothing.
async fn late_and_unproven(cluster: &Cluster) -> anyhow::Result<()> {
    use entities_pb::consistency::Level;
    let mut service = entities_pb::entities_client::EntitiesClient::new(raw::to(cluster, 0)?);
    let level = Level::AtLeast(entities_pb::AtLeast { sequence: u64::MAX });
    let consistency = Some(entities_pb::Consistency { level: Some(level) });
    let get = entities_pb::GetRequest { kind: "document".to_owned(), id: "x".to_owned(), consistency };
    let mut request = Request::new(get.clone());
    request.set_timeout(Duration::from_millis(500));
    let status = service.get(request).await.err().context("sequence 2^64 - 1 was served")?;
    ensure!(raw::reason(&status) == Some(Reason::Timeout), "{status:?}");
    for token in [&b"noise"[..], &[]] {
        let mut request = Request::new(entities_pb::GetRequest { consistency: None, ..get.clone() });
        let value = tonic::metadata::MetadataValue::from_bytes(token);
        request.metadata_mut().insert_bin("quorate-read-token-bin", value);
        let status = service.get(request).await.err().context("a bad token was taken")?;
        ensure!(raw::reason(&status) == Some(Reason::TokenInvalid), "{status:?}");
    }
    Ok(())
}

/// A huge batch: far more than may be under way at once, each operation answered on its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_operations_at_once_on_one_stream_are_all_answered() -> anyhow::Result<()> {
    const OPERATIONS: usize = 1_000;
    let cluster = shared().await?;
    let client = cluster.client_of(2)?;
    let (counter, operations) = counting(&client, "batch", 1 + OPERATIONS)?;
    // The first one of an author sets the base of its nonces, so it goes alone (data-model §3).
    client.submit(&operations[0]).await?;
    let requests: Vec<_> = (0..)
        .zip(&operations[1..])
        .map(|(correlation, operation)| pb::SubmitStreamRequest {
            correlation,
            operation: Some(quorate_transport::convert::signed_operation_to_wire(operation.signed())),
            wait: pb::Wait::Executed.into(),
        })
        .collect();
    let mut service = OperationsClient::new(raw::to(&cluster, 2)?);
    let mut answers = service.submit_stream(tokio_stream::iter(requests)).await?.into_inner();
    let mut answered = std::collections::BTreeSet::new();
    while answered.len() < OPERATIONS {
        let answer = answers.message().await?.context("the stream ended")?;
        ensure!(matches!(answer.result, Some(Answer::Submitted(_))), "{answer:?}");
        ensure!(answered.insert(answer.correlation), "{} was answered twice", answer.correlation);
    }
    let read = client.get(&counter, quorate_client::Consistency::Local { max_age_ms: 0 }, None).await?;
    ensure!(read.content.context("it is gone")?.version == 1 + OPERATIONS as u64);
    Ok(())
}

/// Connections that aren't what the listener expects: noise, plain HTTP/2, and silence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noise_on_any_port_harms_nobody() -> anyhow::Result<()> {
    let cluster = shared().await?;
    let ports = cluster.ports(1);
    let mut silent = Vec::new();
    for port in [ports.client, ports.peer, ports.metrics] {
        for noise in [&[0xff; 4_096][..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"] {
            let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
            // The other end may close in the middle of it.
            let _ = stream.write_all(noise).await;
        }
        for _ in 0..20 {
            silent.push(tokio::net::TcpStream::connect(("127.0.0.1", port)).await?);
        }
    }
    still_works(&cluster, "while twenty silent connections hang on each port").await?;
    drop(silent);
    Ok(())
}

/// A client that trusts another authority doesn't talk to the validator.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_trusts_another_authority_refuses_the_validator() -> anyhow::Result<()> {
    let cluster = shared().await?;
    let address = cluster.client_address(0);
    let timing = quorate_transport::channel::ChannelTiming::default();
    let connector = quorate_transport::TcpConnector;
    let channel = quorate_transport::channel::channel(connector, &address, Some(raw::stranger()?), timing)?;
    let answer = OperationsClient::new(channel).get_heads(pb::GetHeadsRequest { entity: None }).await;
    ensure!(answer.is_err(), "it talked to a stranger");
    Ok(())
}

/// Operations are ordered through every validator.
async fn still_works(cluster: &Cluster, when: &str) -> anyhow::Result<()> {
    for index in 0..cluster.size() {
        let client: Client = cluster.client_of(index)?;
        let (_, operations) = counting(&client, &format!("{when} {index}"), 1)?;
        client.submit(&operations[0]).await.with_context(|| format!("{when}, at validator {index}"))?;
    }
    Ok(())
}
