//! Clients as they are outside: gRPC calls with deadlines, receipts proven against the genesis, the same signed
//! bytes again, elsewhere, when no answer came.

use std::sync::Arc;
use std::time::Duration;

use quorate_proof::{EpochInfo, ReceiptProof};
use quorate_transport::channel::{ChannelTiming, channel};
use quorate_transport::convert::signed_operation_to_wire;
use quorate_transport::fault::ApiFault;
use quorate_transport::pb::operations::v1 as pb;
use quorate_transport::pb::operations::v1::operations_client::OperationsClient;
use quorate_types::operation::Operation;
use tonic::transport::Channel;

use super::machine::{CLIENT_PORT, Cluster};
use super::sight::Shared;
use super::wires::Wires;
use crate::world::invariants::Fact;
use crate::world::{Verdict, Violation};

/// The pause after a call that gave nothing.
const PAUSE: Duration = Duration::from_millis(40);

/// All clients of a run, on one host.
#[derive(Clone)]
pub(super) struct Clients {
    cluster: Arc<Cluster>,
    sight: Shared,
    epoch: Arc<EpochInfo>,
    channels: Arc<[Channel]>,
    patience: Duration,
}

impl Clients {
    /// Clients that know all validators. To be made on their host.
    fn new(cluster: Arc<Cluster>, sight: Shared, wires: &Wires, patience: Duration) -> turmoil::Result<Self> {
        let validators = &cluster.genesis.content.validators;
        let address = |name: &str| format!("{name}:{CLIENT_PORT}");
        let channels = validators
            .iter()
            .map(|validator| channel(wires.clone(), &address(&validator.info.name), None, ChannelTiming::default()));
        let channels = channels.collect::<Result<Arc<[Channel]>, _>>()?;
        Ok(Self { epoch: Arc::new(EpochInfo::of_genesis(&cluster.genesis)), cluster, sight, channels, patience })
    }

    /// Signs operations at the workload's pace and sees each to its end.
    pub(super) async fn live(
        cluster: Arc<Cluster>,
        sight: Shared,
        wires: Wires,
        patience: Duration,
    ) -> turmoil::Result {
        let clients = Self::new(cluster, sight, &wires, patience)?;
        loop {
            let (operation, pause_us) = clients.next();
            if let Some(operation) = operation {
                tokio::spawn(clients.clone().settle(operation));
            }
            tokio::time::sleep(Duration::from_micros(pause_us)).await;
        }
    }

    fn next(&self) -> (Option<Arc<Operation>>, u64) {
        self.sight.with(|sight| {
            let now_us = sight.now_us;
            if sight.core.is_some() || sight.workload.is_done() {
                return (None, 1_000_000);
            }
            let signed = sight.workload.next(&self.cluster.cast, now_us);
            let operation = signed.unwrap_or_else(|fault| {
                sight.verdict = Some(Verdict::Harness(fault.to_string()));
                None
            });
            if let Some(operation) = &operation {
                sight.note("signed", 0, operation.id().0.as_bytes());
                sight.see(Fact::Invoked(operation));
            }
            (operation, sight.workload.pause_us())
        })
    }

    /// Calls until there is an answer that counts.
    async fn settle(self, operation: Arc<Operation>) {
        let id = operation.id();
        while self.sight.with(|sight| sight.is_pending(&id)) {
            let gateways = self.sight.with(|sight| sight.gateways());
            let calls = gateways.into_iter().map(|gateway| self.call(gateway, &operation));
            futures::future::join_all(calls).await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn call(&self, gateway: u16, operation: &Operation) {
        let mut client = OperationsClient::new(self.channels[usize::from(gateway)].clone());
        let signed = Some(signed_operation_to_wire(operation.signed()));
        let request = pb::SubmitRequest { operation: signed, wait: pb::Wait::Executed.into() };
        match tokio::time::timeout(self.patience, client.submit(request)).await {
            Ok(Ok(answer)) => self.on_answer(gateway, operation, &answer.into_inner()),
            Ok(Err(status)) => self.on_fault(gateway, operation, &status),
            Err(_) => self.sight.with(|sight| sight.reach("call without an answer")),
        }
    }

    /// A receipt counts if its proof holds, whoever shows it.
    fn on_answer(&self, gateway: u16, operation: &Operation, answer: &pb::SubmitResponse) {
        let proof = answer.receipt.as_ref().map(|receipt| &receipt.proof);
        let proven = proof.and_then(|proof| ReceiptProof::from_file(proof).ok()?.verify(&self.epoch).ok());
        let receipt = proven.map(quorate_proof::VerifiedReceipt::into_receipt);
        let receipt = receipt.filter(|receipt| receipt.operation == operation.id());
        self.sight.with(|sight| match receipt {
            Some(receipt) => {
                sight.note("acknowledged", gateway, operation.id().0.as_bytes());
                let now_us = sight.now_us;
                if sight.workload.on_found(&receipt, now_us) {
                    sight.reach("operation acknowledged");
                    sight.tell(|| format!("a client hears of {} from {gateway}", receipt.operation));
                }
                sight.see(Fact::Acknowledged(&receipt));
            }
            None if sight.is_byzantine(gateway) => {}
            None => {
                let facts = vec![format!("validator {gateway} answers {} without a proof that holds", operation.id())];
                let (invariant, clause) = ("receipts can be proven", "data-model §4");
                sight.verdict.get_or_insert(Verdict::Unsafe(Violation { invariant, clause, facts }));
            }
        });
    }

    /// An answer without a receipt counts if it tells at which sequence the operation was judged, and a correct
    /// validator gives it.
    fn on_fault(&self, gateway: u16, operation: &Operation, status: &tonic::Status) {
        let fault = ApiFault::of_status(status);
        self.sight.with(|sight| {
            sight.note("fault", gateway, status.message().as_bytes());
            sight.reach("call refused");
            sight.tell(|| format!("{gateway} answers a client: {}", status.message()));
            let is_judged = fault.is_some_and(|fault| fault.metadata.contains_key("sequence"));
            if is_judged && !sight.is_byzantine(gateway) && sight.workload.on_judged(&operation.id()) {
                sight.reach("operation judged without a receipt");
            }
        });
    }
}
