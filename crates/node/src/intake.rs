//! Clients' operations on their way to the replica: signatures in batches over all calls that wait.

use std::sync::Arc;

use quorate_types::operation::{Operation, OperationFault};
use quorate_types::verified::Verified;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::error::NodeError;
use crate::verifier::Verifier;

/// Operations that wait for the verifier; further calls wait for room, as long as their deadline allows.
const WAITING: usize = 4_096;

/// Operations verified as one batch: beyond this batches gain little.
const BATCH: usize = 512;

type Answer = oneshot::Sender<Result<Verified<Arc<Operation>>, OperationFault>>;

/// The callers' end.
#[derive(Clone, Debug)]
pub(crate) struct OperationIntake {
    queue: mpsc::Sender<(Arc<Operation>, Answer)>,
}

/// Collects and verifies.
#[derive(Debug)]
pub(crate) struct OperationBatcher {
    queue: mpsc::Receiver<(Arc<Operation>, Answer)>,
    verifier: Verifier,
}

pub(crate) fn operation_intake(verifier: Verifier) -> (OperationIntake, OperationBatcher) {
    let (sender, queue) = mpsc::channel(WAITING);
    (OperationIntake { queue: sender }, OperationBatcher { queue, verifier })
}

impl OperationIntake {
    /// Checks one operation; `None` if the node stops.
    pub(crate) async fn verify(
        &self,
        operation: Arc<Operation>,
    ) -> Option<Result<Verified<Arc<Operation>>, OperationFault>> {
        let (answer, verdict) = oneshot::channel();
        self.queue.send((operation, answer)).await.ok()?;
        verdict.await.ok()
    }
}

impl OperationBatcher {
    /// Works until the node stops.
    pub(crate) async fn run(mut self, stopping: CancellationToken) -> Result<(), NodeError> {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                count = self.queue.recv_many(&mut batch, BATCH) => if count == 0 { return Ok(()) },
            }
            let (operations, answers): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
            let verdicts = self.verifier.operations(operations).await;
            for (answer, verdict) in answers.into_iter().zip(verdicts) {
                // Whoever asked may have gone away.
                let _ = answer.send(verdict);
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use quorate_crypto::{Digest, Scheme, SecretKey, Signature};
    use quorate_types::ids::{BlockTime, ClusterId, Epoch, Sequence};
    use quorate_types::operation::{Change, EntityId, OperationBuilder, SignedOperation};
    use quorate_types::parameters::Parameters;
    use quorate_types::set::{ValidatorInfo, ValidatorSet};
    use quorate_types::verified::Context;

    use super::*;

    const CLUSTER: ClusterId = ClusterId(Digest::new([1; 32]));

    pub(crate) fn context() -> Arc<Context> {
        let key = SecretKey::from_seed([1; 32]).public();
        let info = ValidatorInfo {
            name: "v0".to_owned(),
            consensus_key: key,
            network_key: key,
            incarnation: [0; 32],
            peer_address: "localhost:1".to_owned(),
        };
        Arc::new(Context {
            cluster: CLUSTER,
            scheme: Scheme::Ed25519,
            epoch: Epoch(0),
            set: Arc::new(ValidatorSet::new(vec![info]).unwrap()),
            parameters: Arc::new(Parameters::default()),
            start: (Sequence(0), CLUSTER.0),
        })
    }

    fn operation(nonce: u64, is_good: bool) -> Arc<Operation> {
        let key = SecretKey::from_seed([9; 32]);
        let builder = OperationBuilder::new(CLUSTER, key.public(), nonce, BlockTime(1))
            .mutate(EntityId::new("counter", "c"), Change::Add { by: 1 });
        let good = builder.sign(&key).unwrap();
        if is_good {
            return Arc::new(good);
        }
        let signed = SignedOperation { signature: Signature::from_bytes([0; 64]), ..good.signed().clone() };
        Arc::new(Operation::decode(&signed).unwrap())
    }

    #[tokio::test]
    async fn each_caller_gets_the_verdict_on_its_own_operation() {
        for verifier in [Verifier::inline(context()), Verifier::on_threads(context(), 2)] {
            let (intake, batcher) = operation_intake(verifier);
            let stopping = CancellationToken::new();
            let task = tokio::spawn(batcher.run(stopping.clone()));
            let calls = (0..100).map(|nonce| {
                let intake = intake.clone();
                async move { (nonce, intake.verify(operation(nonce, nonce % 3 != 0)).await.unwrap()) }
            });
            for (nonce, verdict) in futures::future::join_all(calls).await {
                match verdict {
                    Ok(operation) => assert!(operation.nonce() == nonce && nonce % 3 != 0),
                    Err(fault) => assert!(fault == OperationFault::Signature && nonce % 3 == 0),
                }
            }
            stopping.cancel();
            task.await.unwrap().unwrap();
            assert!(intake.verify(operation(1, true)).await.is_none(), "the node has stopped");
        }
    }
}
