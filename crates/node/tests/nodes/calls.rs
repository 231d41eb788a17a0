//! What clients hear: receipts, errors with reasons, limits.

use bytes::Bytes;
use quorate_crypto::SecretKey;
use quorate_transport::fault::Reason;
use quorate_transport::pb::entities::v1 as entities;
use quorate_transport::pb::operations::v1 as pb;
use quorate_transport::read_token::ReadToken;
use quorate_types::operation::{Change, EntityId, SystemChange};
use quorate_types::parameters::Parameters;
use quorate_types::value::Value;
use tonic::{Code, Request};

use crate::harness::{Cluster, client_key, fault, reader_key, submit};

async fn lone() -> Cluster {
    let cluster = Cluster::start(1).await;
    cluster.ordering(0).await;
    cluster
}

/// data-model §3
#[tokio::test(flavor = "multi_thread")]
async fn the_same_operation_again_has_the_first_receipt_and_another_of_its_nonce_has_none() {
    let cluster = lone().await;
    let operation = cluster.make(5, "c");
    let first = cluster.order(0, &operation).await;
    assert_eq!(cluster.order(0, &operation).await, first);
    let other = cluster.make(5, "d");
    let refused = fault(&cluster.operations(0).submit(submit(&other)).await.unwrap_err());
    assert_eq!(refused.reason, Reason::NonceUsed);
    assert_eq!(refused.metadata["operation"], operation.id().to_string());
    let id = Bytes::copy_from_slice(operation.id().0.as_bytes());
    let mut client = cluster.operations(0);
    let found = client.get_operation(pb::GetOperationRequest { operation: id.clone() }).await.unwrap().into_inner();
    assert_eq!(found.stage, i32::from(pb::Stage::Certified));
    assert_eq!(found.operation.unwrap().body, operation.signed().body);
    let receipt = client.get_receipt(pb::GetReceiptRequest { operation: id, wait: true }).await.unwrap().into_inner();
    let answer = pb::SubmitResponse { receipt: receipt.receipt, ..Default::default() };
    assert_eq!(cluster.verify(&answer).into_receipt(), first);
    let author = Bytes::copy_from_slice(client_key().public().as_bytes());
    let nonces = client.get_author(pb::GetAuthorRequest { author }).await.unwrap().into_inner();
    assert!(nonces.is_known && nonces.highest == 5 && nonces.used.len() == 1);
    let unknown = pb::GetReceiptRequest { operation: Bytes::from_static(&[9; 32]), wait: false };
    assert_eq!(fault(&client.get_receipt(unknown).await.unwrap_err()).reason, Reason::NotFound);
    let heads = client.get_heads(pb::GetHeadsRequest { entity: None }).await.unwrap().into_inner();
    assert_eq!(heads.heads.len(), 1);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_be_ordered_is_refused_at_once_with_its_reason() {
    let cluster = lone().await;
    let good = submit(&cluster.make(1, "c"));
    let with = |change: fn(&mut pb::SignedOperation)| {
        let mut request = good.clone();
        change(request.operation.as_mut().unwrap());
        request
    };
    let accuse = SystemChange::Accuse(Bytes::from_static(b"what only validators say"));
    let own_word = cluster.builder(0).system(accuse).sign(&client_key()).unwrap();
    let cases = [
        (submit(&own_word), Reason::Malformed),
        (with(|operation| operation.signature = Bytes::from_static(&[0; 64])), Reason::BadSignature),
        (with(|operation| operation.signature = Bytes::from_static(&[0; 63])), Reason::Malformed),
        (with(|operation| operation.body = Bytes::from_static(b"\x0a\x01x\xff")), Reason::Malformed),
        (pb::SubmitRequest::default(), Reason::Malformed),
        (pb::SubmitRequest { wait: 77, ..good.clone() }, Reason::Malformed),
    ];
    for (request, reason) in cases {
        let refused = cluster.operations(0).submit(request).await.unwrap_err();
        assert_eq!(fault(&refused).reason, reason, "{refused:?}");
    }
    // The same with its right signature is taken: a bad copy does no harm to the good one.
    assert!(cluster.operations(0).submit(good).await.is_ok());
    cluster.stop_all().await;
}

/// data-model §1: an operation at the limit passes every bound on the way; one above is refused by name.
#[tokio::test(flavor = "multi_thread")]
async fn an_operation_at_the_size_limit_is_ordered_and_one_above_is_refused() {
    let cluster = lone().await;
    let limit = Parameters::default().operation_bytes as usize;
    let note = |nonce, length| {
        let value = Value::Text("x".repeat(length));
        cluster.operation(nonce, EntityId::new("note", "n"), Change::Put { value })
    };
    let overhead = note(1, limit).size_bytes() - limit;
    let largest = note(1, limit - overhead);
    assert_eq!(largest.size_bytes(), limit);
    assert!(cluster.order(0, &largest).await.is_applied());
    let refused = cluster.operations(0).submit(submit(&note(2, limit - overhead + 1))).await.unwrap_err();
    assert_eq!(fault(&refused).reason, Reason::Limit);
    let huge = cluster.operations(0).submit(submit(&note(3, 4 * limit))).await.unwrap_err();
    assert_eq!(huge.code(), Code::OutOfRange, "gRPC's own bound on messages: {huge:?}");
    cluster.stop_all().await;
}

/// data-model §5
#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_restricts_reading_asks_for_a_token_of_a_key_that_may_read() {
    let cluster = lone().await;
    let secret = EntityId::new("secret", "s");
    let created = cluster.operation(1, secret, Change::Create { value: None });
    cluster.order(0, &created).await;
    let show = |metadata: &mut tonic::metadata::MetadataMap, token: Option<SecretKey>| {
        if let Some(key) = token {
            let expires = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
            let expires = u64::try_from(expires).unwrap() + 60_000;
            ReadToken::sign(&key, cluster.genesis.cluster, expires).attach(metadata);
        }
    };
    let get = |token: Option<SecretKey>| {
        let request = entities::GetRequest { kind: "secret".to_owned(), id: "s".to_owned(), consistency: None };
        let mut request = Request::new(request);
        show(request.metadata_mut(), token);
        let mut client = cluster.entities(0);
        async move { client.get(request).await }
    };
    assert_eq!(fault(&get(None).await.unwrap_err()).reason, Reason::TokenMissing);
    assert_eq!(fault(&get(Some(client_key())).await.unwrap_err()).reason, Reason::ReadDenied);
    assert!(get(Some(reader_key())).await.unwrap().into_inner().entity.is_some());
    let body_of = async |key: Option<SecretKey>| {
        let operation = Bytes::copy_from_slice(created.id().0.as_bytes());
        let mut request = Request::new(pb::GetOperationRequest { operation });
        show(request.metadata_mut(), key);
        let found = cluster.operations(0).get_operation(request).await.unwrap().into_inner();
        assert!(found.receipt.is_some(), "that it executed is no secret");
        found.operation
    };
    assert_eq!(body_of(None).await, None);
    assert_eq!(body_of(Some(client_key())).await, None);
    assert!(body_of(Some(reader_key())).await.is_some());
    let unknown = entities::GetRequest { kind: "sekret".to_owned(), ..Default::default() };
    assert_eq!(fault(&cluster.entities(0).get(unknown).await.unwrap_err()).reason, Reason::NotFound);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_each_other_and_keep_to_their_prefix() {
    let cluster = lone().await;
    for (nonce, id) in (0..).zip(["a", "b", "b1", "b2", "b3", "c"]) {
        cluster.order(0, &cluster.make(nonce, id)).await;
    }
    let (mut page, mut ids) = (String::new(), Vec::new());
    for _ in 0..3 {
        let request = entities::ListRequest {
            kind: "counter".to_owned(),
            prefix: "b".to_owned(),
            page_size: 2,
            page: page.clone(),
            consistency: None,
        };
        let response = cluster.entities(0).list(request).await.unwrap().into_inner();
        ids.extend(response.entities.into_iter().map(|entity| entity.id));
        page = response.next_page;
        if page.is_empty() {
            break;
        }
    }
    assert_eq!(ids, ["b", "b1", "b2", "b3"]);
    let large = entities::ListRequest { kind: "counter".to_owned(), page_size: 1_001, ..Default::default() };
    assert_eq!(fault(&cluster.entities(0).list(large).await.unwrap_err()).reason, Reason::Limit);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_answers_each_operation_and_goes_on_after_a_failure() {
    let cluster = lone().await;
    cluster.order(0, &cluster.make(0, "first")).await;
    let mut requests: Vec<pb::SubmitStreamRequest> = (1..=200u64)
        .map(|nonce| {
            let pb::SubmitRequest { operation, wait } = submit(&cluster.make(nonce, &format!("c{nonce}")));
            pb::SubmitStreamRequest { correlation: nonce, operation, wait }
        })
        .collect();
    requests[99].operation.as_mut().unwrap().signature = Bytes::from_static(&[1; 64]);
    let mut answers = cluster.operations(0).submit_stream(futures::stream::iter(requests)).await.unwrap().into_inner();
    let (mut receipts, mut failures) = (0, Vec::new());
    while let Some(answer) = answers.message().await.unwrap() {
        match answer.result.unwrap() {
            pb::submit_stream_response::Result::Submitted(submitted) => {
                assert!(cluster.verify(&submitted).into_receipt().is_applied());
                receipts += 1;
            }
            pb::submit_stream_response::Result::Failure(failure) => failures.push((answer.correlation, failure.reason)),
        }
    }
    assert_eq!((receipts, failures), (199, vec![(100, "BAD_SIGNATURE".to_owned())]));
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_above_its_rate_hears_when_to_come_again() {
    let cluster = Cluster::start_with(1, Parameters::default(), |config| config.clients.requests_per_second = 20).await;
    let mut refused = None;
    for _ in 0..60 {
        let request = quorate_transport::pb::cluster::v1::HealthRequest {};
        let mut client = quorate_transport::pb::cluster::v1::cluster_client::ClusterClient::new(cluster.channel(0));
        if let Err(status) = client.health(request).await {
            refused = Some(status);
            break;
        }
    }
    let refused = fault(&refused.expect("one is refused"));
    assert_eq!(refused.reason, Reason::RateLimited);
    assert!(refused.retry_after.is_some_and(|wait| !wait.is_zero()));
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_of_a_call_is_kept_and_says_that_the_operation_may_still_execute() {
    // Two validators: one is never started, so nothing is ordered.
    let mut cluster = Cluster::start(2).await;
    cluster.ordering(0).await;
    cluster.stop(1).await.unwrap();
    let mut request = Request::new(submit(&cluster.make(0, "c")));
    request.set_timeout(std::time::Duration::from_millis(400));
    let refused = cluster.operations(0).submit(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::DeadlineExceeded, "{refused:?}");
    cluster.stop_all().await;
}
