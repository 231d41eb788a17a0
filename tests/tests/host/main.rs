//! Tests on real processes: four validators with mTLS and RocksDB, killed, stopped, cut off and lied to.
//!
//! One binary, because each one links RocksDB; one module per theme. Run them with `cargo test -p quorate-tests`.
//! They bound by themselves how many clusters run at once. What a failed test prints ends with the last lines
//! of every validator's log; `QUORATE_TESTS_KEEP=1` keeps all files.

mod binary;
mod clients;
mod commands;
mod crash;
mod deploy;
mod disks;
mod epochs;
mod hostile;
mod languages;
mod membership;
mod network;
mod operator;
mod peers;
mod readonly;
mod receipts;
mod rogues;
mod store;
mod twins;
mod watch;

use std::sync::{Arc, Weak};

use quorate_client::{Client, MemoryNonces, Signer};
use quorate_tests::{Cluster, Plan, workload};
use quorate_types::operation::{Change, EntityId, Operation};
use tokio::sync::Mutex;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_quorate-under-test");

/// A validator that misbehaves.
const ROGUE: &str = env!("CARGO_BIN_EXE_rogue");

/// A cluster of four with every default, to be changed.
fn plan() -> Plan {
    Plan::new(PROGRAM)
}

/// A running cluster for tests that do it no harm: those that run at the same time share one, which goes with
/// the last of them.
async fn shared() -> anyhow::Result<Arc<Cluster>> {
    static SHARED: Mutex<Weak<Cluster>> = Mutex::const_new(Weak::new());
    let mut held = SHARED.lock().await;
    if let Some(cluster) = held.upgrade() {
        return Ok(cluster);
    }
    let cluster = Arc::new(plan().start().await?);
    *held = Arc::downgrade(&cluster);
    Ok(cluster)
}

/// Signs one change of one entity.
fn sign(signer: &mut Signer<MemoryNonces>, entity: &EntityId, change: Change) -> anyhow::Result<Arc<Operation>> {
    let draft = signer.draft(workload::LIFETIME_MS)?.mutate(entity.clone(), change);
    Ok(Arc::new(signer.sign(draft)?))
}

/// So many operations of one author: a counter made, then added to.
fn counting(client: &Client, name: &str, operations: usize) -> anyhow::Result<(EntityId, Vec<Arc<Operation>>)> {
    let mut signer = workload::signer(client, name);
    let counter = EntityId::new(workload::KIND, name);
    let change = |number| if number == 0 { Change::Create { value: None } } else { Change::Add { by: 1 } };
    let signed = (0..operations).map(|number| sign(&mut signer, &counter, change(number)));
    let signed = signed.collect::<anyhow::Result<_>>()?;
    Ok((counter, signed))
}
