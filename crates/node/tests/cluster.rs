//! Four nodes over loopback TCP order operations, answer with proofs, and stop as they should.

mod harness;

use harness::{Cluster, submit};
use quorate_transport::pb::cluster::v1::Mode;
use quorate_transport::pb::entities::v1 as entities;

#[tokio::test(flavor = "multi_thread")]
async fn four_nodes_order_operations_and_answer_with_receipts_that_verify() {
    let cluster = Cluster::start(4).await;
    for index in 0..4 {
        cluster.ordering(index).await;
    }
    let calls = (0..40u64).map(|nonce| {
        let operation = cluster.add(nonce, &format!("c{nonce}"));
        let mut client = cluster.operations(usize::try_from(nonce % 4).unwrap());
        async move { client.submit(submit(&operation)).await.unwrap().into_inner() }
    });
    let answers = futures::future::join_all(calls).await;
    let receipts: Vec<_> = answers.iter().map(|answer| cluster.verify(answer).into_receipt()).collect();
    assert!(receipts.iter().all(quorate_types::receipt::Receipt::is_applied));
    let highest = receipts.iter().map(|receipt| receipt.sequence.0).max().unwrap();
    for index in 0..4 {
        let at_least = entities::Consistency {
            level: Some(entities::consistency::Level::AtLeast(entities::AtLeast { sequence: highest })),
        };
        let request = entities::ListRequest {
            kind: "counter".to_owned(),
            page_size: 1_000,
            consistency: Some(at_least),
            ..Default::default()
        };
        let page = cluster.entities(index).list(request).await.unwrap().into_inner();
        assert_eq!(page.entities.len(), 40);
        assert!(page.read.unwrap().sequence >= highest);
    }
    let status = cluster.status(0).await;
    assert_eq!(status.mode, i32::from(Mode::Ordering));
    assert!(status.validators.iter().all(|validator| validator.connected), "{status:?}");
    cluster.stop_all().await;
}
