//! Clients that race, repeat themselves, and ask for too much (data-model §§2, 3, 5, 6).

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures::future::try_join_all;
use quorate_client::pb::operations::v1::GetAuthorRequest;
use quorate_client::pb::operations::v1::operations_client::OperationsClient;
use quorate_client::{ApiFault, Client, ClientFault, Consistency, MemoryNonces, Reason, Signer};
use quorate_tests::{raw, workload};
use quorate_transport::convert::wire;
use quorate_types::operation::{Change, Condition, EntityId};
use quorate_types::receipt::{Outcome, RejectionCode};
use quorate_types::value::Value;

use crate::{counting, plan, shared, sign};

/// data-model §2: the total order decides, and everybody hears the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_clients_that_race_on_one_entity_exactly_one_wins_each_version() -> anyhow::Result<()> {
    const ROUNDS: u64 = 15;
    let cluster = shared().await?;
    let clients = [cluster.client()?.starting_at(0)?, cluster.client()?.starting_at(2)?];
    let mut signers = [workload::signer(&clients[0], "racer 0"), workload::signer(&clients[1], "racer 1")];
    let entity = EntityId::new("document", "raced");
    let first = sign(&mut signers[0], &entity, Change::Create { value: Some(Value::Integer(-1)) })?;
    clients[0].submit(&first).await?;
    for version in 1..=ROUNDS {
        let mut bids = Vec::new();
        for (client, signer) in clients.iter().zip(&mut signers) {
            bids.push(bid(client, signer, &entity, version)?);
        }
        let won = try_join_all(bids).await?.into_iter().filter(|won| *won).count();
        ensure!(won == 1, "{won} won version {version}");
    }
    let read = clients[0].get(&entity, Consistency::Local { max_age_ms: 0 }, None).await?;
    ensure!(read.content.context("it is gone")?.version == ROUNDS + 1);
    Ok(())
}

/// One of two attempts to change the entity at `version`: whether it won.
fn bid(
    client: &Client,
    signer: &mut Signer<MemoryNonces>,
    entity: &EntityId,
    version: u64,
) -> anyhow::Result<impl Future<Output = anyhow::Result<bool>>> {
    let draft = signer.draft(workload::LIFETIME_MS)?.guard(entity.clone(), Condition::Version(version));
    let change = Change::Put { value: Value::Integer(version.cast_signed()) };
    let operation = signer.sign(draft.mutate(entity.clone(), change))?;
    signer.settle(&operation);
    let client = client.clone();
    Ok(async move {
        match client.submit(&operation).await?.receipt().outcome.clone() {
            Outcome::Applied => Ok(true),
            Outcome::Rejected(rejection) if rejection.code == RejectionCode::GuardFailed => Ok(false),
            other => bail!("{other:?}"),
        }
    })
}

/// data-model §3: the same id again is the same receipt, ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_submitted_again_and_elsewhere_executes_once_with_one_receipt() -> anyhow::Result<()> {
    const OPERATIONS: usize = 30;
    let cluster = shared().await?;
    let clients: Vec<Client> = (0..4).map(|index| cluster.client_of(index)).collect::<anyhow::Result<_>>()?;
    let (counter, operations) = counting(&clients[0], "again", OPERATIONS)?;
    let mut last = 0;
    for (number, operation) in operations.iter().enumerate() {
        // At once at two validators, so that it lies in two lanes; then at a third.
        let twice = [&clients[number % 4], &clients[(number + 1) % 4]].map(|client| client.submit(operation));
        let mut receipts = try_join_all(twice).await?;
        receipts.push(clients[(number + 2) % 4].submit(operation).await?);
        let first = receipts[0].receipt().clone();
        ensure!(receipts.iter().all(|receipt| *receipt.receipt() == first), "{receipts:?}");
        ensure!(first.outcome == Outcome::Applied, "{:?}", first.outcome);
        last = first.sequence.0;
    }
    // Everything again, through a stream.
    let (pipeline, mut settled) = clients[3].pipeline(OPERATIONS);
    for operation in &operations {
        ensure!(pipeline.send(operation.clone()).await, "the stream ended");
    }
    for _ in &operations {
        let again = settled.recv().await.context("the stream ended")?;
        ensure!(again.result?.receipt().sequence.0 <= last, "it executed again");
    }
    for client in &clients {
        let read = client.get(&counter, Consistency::AtLeast(quorate_types::ids::Sequence(last)), None).await?;
        ensure!(read.content.context("it is gone")?.value == Value::Integer(OPERATIONS as i64 - 1));
    }
    Ok(())
}

/// data-model §3, in the table's order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nonce_that_is_used_too_old_or_too_far_is_refused_with_what_is_known() -> anyhow::Result<()> {
    let cluster = shared().await?;
    let client = cluster.impatient_client_of(1)?;
    let key = workload::key("nonces");
    let counter = EntityId::new(workload::KIND, "nonces");
    let at = |nonce, by| {
        let mut signer = Signer::new(workload::key("nonces"), client.cluster(), MemoryNonces::starting_at(nonce));
        sign(&mut signer, &counter, by)
    };
    let first = at(2_000, Change::Create { value: None })?;
    client.submit(&first).await?;
    let fault = refusal(client.submit(&*at(2_000, Change::Add { by: 1 })?).await)?;
    ensure!(fault.reason == Reason::NonceUsed, "{fault}");
    ensure!(fault.metadata.get("operation") == Some(&first.id().to_string()), "{fault:?}");
    let fault = refusal(client.submit(&*at(2_000 - 1_024, Change::Add { by: 1 })?).await)?;
    ensure!(fault.reason == Reason::NonceTooOld, "{fault}");
    let fault = refusal(client.submit(&*at(2_000 + 1_025, Change::Add { by: 1 })?).await)?;
    ensure!(fault.reason == Reason::NonceTooFar, "{fault}");
    let known = client.author(key.public()).await?;
    ensure!(known.is_known && known.highest == 2_000 && known.used.len() == 1, "{known:?}");
    Ok(())
}

/// What a validator said instead of a receipt.
fn refusal<T: std::fmt::Debug>(answer: Result<T, ClientFault>) -> anyhow::Result<ApiFault> {
    match answer {
        Err(ClientFault::Api(fault)) => Ok(fault),
        other => bail!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_above_its_rate_hears_how_long_to_wait_and_is_served_after_that() -> anyhow::Result<()> {
    let cluster = plan().setting_of(0, "clients.requests_per_second", 5).start().await?;
    let mut service = OperationsClient::new(raw::to(&cluster, 0)?);
    let request = GetAuthorRequest { author: wire(workload::key("fast").public().as_bytes()) };
    let fault = loop {
        match service.get_author(request.clone()).await {
            Ok(_) => {}
            Err(status) => break ApiFault::of_status(&status).with_context(|| format!("{status:?}"))?,
        }
    };
    ensure!(fault.reason == Reason::RateLimited, "{fault}");
    let wait = fault.retry_after.context("no RetryInfo")?;
    ensure!(!wait.is_zero() && wait <= Duration::from_secs(1), "{wait:?}");
    tokio::time::sleep(wait).await;
    service.get_author(request.clone()).await.context("after the wait")?;
    // Another validator has its own count.
    OperationsClient::new(raw::to(&cluster, 1)?).get_author(request).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_reads_its_own_writes_at_whatever_validator() -> anyhow::Result<()> {
    let cluster = shared().await?;
    let mut signer = workload::signer(&cluster.client()?, "session");
    let entity = EntityId::new("document", "session");
    for round in 0..8 {
        let writer = cluster.client_of(round % 4)?;
        let value = Value::Integer(round as i64);
        let operation = sign(&mut signer, &entity, Change::Put { value: value.clone() })?;
        let receipt = writer.submit(&operation).await?;
        signer.settle(&operation);
        let reader = cluster.client_of((round + 1) % 4)?;
        let mut session = reader.session();
        session.saw(receipt.receipt().sequence);
        let read = session.get(&entity).await?;
        ensure!(read.content.context("it isn't there")?.value == value);
        ensure!(read.sequence >= receipt.receipt().sequence);
    }
    Ok(())
}
