//! The connections to a cluster's validators, and the one place where calls are retried.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quorate_proof::{
    Checkpoint, EpochChain, EpochInfo, FormatFault, ProofFault, ReceiptProof, ReceiptVerifier, VerifiedReceipt,
};
use quorate_transport::TcpConnector;
use quorate_transport::channel::channel;
use quorate_transport::fault::Reason;
use quorate_transport::pb::cluster::v1::cluster_client::ClusterClient;
use quorate_transport::pb::cluster::v1::{EpochsRequest, StatusRequest};
use quorate_transport::pb::operations::v1::ProvenReceipt;
use quorate_types::codec::Canonical;
use quorate_types::epoch::EpochStart;
use quorate_types::genesis::Genesis;
use quorate_types::ids::{ClusterId, Epoch, OperationId};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::config::{ClientConfig, RetryPolicy};
use crate::fault::{ClientFault, Hint};

/// The shortest time that a validator has for its answer, if there is so much in all.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(250);

/// Validators whose last words an error repeats.
const QUOTED: usize = 4;

/// A client of one cluster. Cheap to clone; all clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: ClientConfig,
    endpoints: Vec<Endpoint>,
    /// Of each endpoint, whether it was seen to belong to this cluster.
    admitted: Vec<AtomicBool>,
    /// The endpoint to try first: the last one that answered.
    preferred: AtomicUsize,
    verifier: Mutex<ReceiptVerifier>,
}

/// One validator's client listener.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: String,
    position: usize,
    channel: Channel,
    deadline: Deadline,
}

/// How a service of an endpoint is reached.
pub(crate) type Service = InterceptedService<Channel, Deadline>;

/// Tells the validator how long the client waits, so that it says what keeps it before that time is up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<Duration>);

impl Interceptor for Deadline {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        if let Self(Some(wait)) = self {
            request.set_timeout(*wait);
        }
        Ok(request)
    }
}

impl Endpoint {
    /// The way to a service.
    pub(crate) fn service(&self) -> Service {
        InterceptedService::new(self.channel.clone(), self.deadline)
    }

    /// The endpoint for calls that take at most so long.
    pub(crate) const fn within(mut self, wait: Duration) -> Self {
        self.deadline = Deadline(Some(wait));
        self
    }
}

impl Client {
    /// A client. It connects when it is first used.
    ///
    /// # Errors
    /// If an address can't be one.
    pub fn new(config: ClientConfig) -> Result<Self, ClientFault> {
        let connect = |(position, address): (usize, &String)| {
            let channel = channel(TcpConnector, address, config.tls.clone(), config.timing)?;
            Ok::<_, ClientFault>(Endpoint { address: address.clone(), position, channel, deadline: Deadline(None) })
        };
        let endpoints: Vec<_> = config.endpoints.iter().enumerate().map(connect).collect::<Result<_, _>>()?;
        let admitted = endpoints.iter().map(|_| AtomicBool::new(false)).collect();
        let verifier = Mutex::new(ReceiptVerifier::new(config.epoch.clone()));
        Ok(Self { inner: Arc::new(Inner { config, endpoints, admitted, preferred: AtomicUsize::new(0), verifier }) })
    }

    /// The cluster's id, which every operation names.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.inner.config.genesis.cluster
    }

    /// The cluster's genesis.
    #[must_use]
    pub fn genesis(&self) -> &Genesis {
        &self.inner.config.genesis
    }

    /// The checkpoint that its chain of epochs must lead to, if one was given.
    #[must_use]
    pub fn trusted(&self) -> Option<Checkpoint> {
        self.inner.config.epoch.trusted()
    }

    /// The addresses of the validators, in the order given.
    pub fn endpoints(&self) -> impl Iterator<Item = &str> {
        self.inner.endpoints.iter().map(|endpoint| endpoint.address.as_str())
    }

    /// This client, trying the validator at `position` first.
    ///
    /// # Errors
    /// If an address can't be one.
    pub fn starting_at(&self, position: usize) -> Result<Self, ClientFault> {
        let client = Self::new(self.inner.config.clone())?;
        client.inner.preferred.store(position % client.inner.endpoints.len(), Ordering::Relaxed);
        Ok(client)
    }

    /// All endpoints.
    pub(crate) fn all_endpoints(&self) -> impl Iterator<Item = Endpoint> + '_ {
        self.inner.endpoints.iter().cloned()
    }

    /// The endpoint to use now.
    pub(crate) fn endpoint(&self) -> Endpoint {
        let position = self.inner.preferred.load(Ordering::Relaxed) % self.inner.endpoints.len();
        self.inner.endpoints[position].clone()
    }

    /// The endpoint at a position.
    pub(crate) fn endpoint_at(&self, position: usize) -> Option<Endpoint> {
        self.inner.endpoints.get(position).cloned()
    }

    /// The endpoint `failed` didn't serve: the next one is tried from now on.
    pub(crate) fn turn_away_from(&self, failed: &Endpoint) {
        let position = self.inner.preferred.load(Ordering::Relaxed) % self.inner.endpoints.len();
        if self.inner.endpoints[position].address == failed.address {
            self.inner.preferred.store((position + 1) % self.inner.endpoints.len(), Ordering::Relaxed);
        }
    }

    /// Calls until a validator answers, turning to the next one after every passing failure.
    ///
    /// # Errors
    /// The first failure that isn't passing, or [`ClientFault::NoAnswer`] when time is up.
    pub(crate) async fn call<T, F>(&self, mut attempt: impl FnMut(Endpoint) -> F) -> Result<T, ClientFault>
    where
        F: Future<Output = Result<T, ClientFault>>,
    {
        let policy = self.inner.config.retry;
        let started = Instant::now();
        let mut pause = Pause::new(policy);
        let mut faults = BTreeMap::new();
        loop {
            let endpoint = self.endpoint().within(self.attempt());
            let answer = async {
                self.admit(&endpoint).await?;
                attempt(endpoint.clone()).await
            };
            let fault = match self.in_time(&endpoint, answer).await {
                Ok(answer) => return Ok(answer),
                Err(fault) if !fault.is_passing() => return Err(fault),
                Err(fault) => fault,
            };
            self.turn_away_from(&endpoint);
            let wait = pause.after(&fault);
            faults.insert(endpoint.position, fault);
            if let Some(fault) = self.nobody_belongs(&mut faults) {
                return Err(fault);
            }
            if started.elapsed() >= policy.total {
                return Err(no_answer(faults, policy));
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// How long one validator has for its answer: short enough that each is asked once before time is up.
    pub(crate) fn attempt(&self) -> Duration {
        let policy = self.inner.config.retry;
        if policy.total.is_zero() {
            return policy.attempt;
        }
        let share = policy.total / u32::try_from(self.inner.endpoints.len()).unwrap_or(u32::MAX).max(1);
        policy.attempt.min(share.max(SHORTEST_ATTEMPT.min(policy.total)))
    }

    /// An answer within the endpoint's time.
    ///
    /// # Errors
    /// [`ClientFault::TimedOut`], or why there is none.
    pub(crate) async fn in_time<T>(
        &self,
        endpoint: &Endpoint,
        answer: impl Future<Output = Result<T, ClientFault>>,
    ) -> Result<T, ClientFault> {
        let after = endpoint.deadline.0.unwrap_or(self.inner.config.retry.attempt);
        let timed_out = || ClientFault::TimedOut { endpoint: endpoint.address.clone(), after };
        match tokio::time::timeout(after, answer).await {
            Ok(Err(ClientFault::Transport { status, .. }))
                if matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded) =>
            {
                Err(timed_out())
            }
            Ok(Err(fault)) => {
                let hint = Hint::of(self.inner.config.tls.is_some(), &fault);
                Err(fault.with_hint(hint))
            }
            Ok(answer) => answer,
            Err(_) => Err(timed_out()),
        }
    }

    /// Asks once whether an endpoint's validator belongs to this cluster: its reads aren't proven.
    ///
    /// # Errors
    /// If it belongs to another, or doesn't answer.
    pub(crate) async fn admit(&self, endpoint: &Endpoint) -> Result<(), ClientFault> {
        let Some(admitted) = self.inner.admitted.get(endpoint.position) else { return Ok(()) };
        if admitted.load(Ordering::Relaxed) {
            return Ok(());
        }
        let asked = ClusterClient::new(endpoint.service()).status(StatusRequest::default()).await;
        let status = asked.map_err(|status| ClientFault::of_status(&endpoint.address, status))?;
        self.admit_cluster(endpoint, &status.get_ref().cluster)?;
        admitted.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Refuses the status of another cluster's validator.
    pub(crate) fn admit_cluster(&self, endpoint: &Endpoint, found: &[u8]) -> Result<(), ClientFault> {
        let expected = self.cluster();
        if found == expected.0.as_bytes() {
            return Ok(());
        }
        let found = <[u8; 32]>::try_from(found).unwrap_or_default();
        let found = ClusterId(quorate_crypto::Digest::new(found));
        Err(ClientFault::OtherCluster { endpoint: endpoint.address.clone(), found, expected })
    }

    /// The fault to end with, if every endpoint belongs to another cluster: no waiting mends that.
    fn nobody_belongs(&self, faults: &mut BTreeMap<usize, ClientFault>) -> Option<ClientFault> {
        let is_wrong = |fault: &ClientFault| matches!(fault, ClientFault::OtherCluster { .. });
        let is_over = faults.len() == self.inner.endpoints.len() && faults.values().all(is_wrong);
        if is_over { faults.pop_first().map(|(_, fault)| fault) } else { None }
    }

    /// The epochs that this client has followed from the genesis.
    pub(crate) fn epochs(&self) -> EpochInfo {
        self.verifier().epoch().clone()
    }

    fn verifier(&self) -> MutexGuard<'_, ReceiptVerifier> {
        self.inner.verifier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The chain of epochs that the validator at a position hands out, verified from the genesis to its end.
    ///
    /// # Errors
    /// If a link doesn't hold, the trusted checkpoint isn't reached, or there is no answer.
    pub async fn epoch_chain(&self, position: usize) -> Result<EpochChain, ClientFault> {
        let endpoint = self.inner.endpoints[position % self.inner.endpoints.len()].clone().within(self.attempt());
        self.in_time(&endpoint, self.admit(&endpoint)).await?;
        let fault = |fault| ClientFault::Proof { endpoint: endpoint.address.clone(), fault };
        let mut known = self.inner.config.epoch.clone();
        let mut chain = EpochChain { cluster: self.cluster(), starts: Vec::new() };
        loop {
            let starts = self.in_time(&endpoint, starts_after(&endpoint, known.epoch)).await?;
            if starts.is_empty() {
                break;
            }
            for start in starts {
                known.follow(&start).map_err(fault)?;
                chain.starts.push(start);
            }
        }
        if known.is_trusted() { Ok(chain) } else { Err(fault(known.lacks(known.epoch))) }
    }

    /// Follows the chain of epochs up to `epoch`, and to the trusted checkpoint if there is one, by the links that a
    /// validator hands over; each verifies by the one before (protocol §8.4). If it doesn't lead there, nothing of it
    /// is kept: the true chain, from another validator, couldn't go on from a forged link.
    ///
    /// # Errors
    /// If a link doesn't hold, or none comes.
    pub(crate) async fn follow_to(&self, endpoint: &Endpoint, epoch: Epoch) -> Result<(), ClientFault> {
        let fault = |fault| ClientFault::Proof { endpoint: endpoint.address.clone(), fault };
        let mut known = self.epochs();
        while known.epoch < epoch || !known.is_trusted() {
            let newest = known.epoch;
            for start in starts_after(endpoint, newest).await? {
                known.follow(&start).map_err(fault)?;
            }
            if known.epoch == newest {
                return Err(fault(known.lacks(epoch)));
            }
        }
        self.verifier().adopt(known);
        Ok(())
    }

    /// The receipt that a validator answered with, verified against the genesis and the chain of epochs.
    ///
    /// # Errors
    /// What doesn't hold.
    pub(crate) async fn verify(
        &self,
        endpoint: &Endpoint,
        asked: OperationId,
        proven: &ProvenReceipt,
    ) -> Result<VerifiedReceipt, ClientFault> {
        let address = || endpoint.address.clone();
        let fault = |fault| ClientFault::Proof { endpoint: address(), fault };
        let proof = ReceiptProof::from_file(&proven.proof).map_err(fault)?;
        let found = proof.receipt.operation;
        if found != asked {
            return Err(ClientFault::OtherOperation { endpoint: address(), asked, found });
        }
        self.follow_to(endpoint, proof.certificate.execution.epoch).await?;
        self.verifier().verify(&proof).map_err(fault)
    }
}

/// Links of the chain of epochs, as many as a validator gives in one answer. Nothing is verified yet.
async fn starts_after(endpoint: &Endpoint, newest: Epoch) -> Result<Vec<EpochStart>, ClientFault> {
    let asked = ClusterClient::new(endpoint.service()).epochs(EpochsRequest { from: newest.next().0 }).await;
    let answer = asked.map_err(|status| ClientFault::of_status(&endpoint.address, status))?.into_inner();
    let starts = answer.starts.iter().map(|bytes| EpochStart::from_bytes(bytes)).collect::<Result<_, _>>();
    let fault = |error| ProofFault::from(FormatFault::from(error));
    starts.map_err(|error| ClientFault::Proof { endpoint: endpoint.address.clone(), fault: fault(error) })
}

/// What all said who were asked: who knows why nothing is ordered comes first, who said nothing last.
fn no_answer(faults: BTreeMap<usize, ClientFault>, policy: RetryPolicy) -> ClientFault {
    let endpoints = faults.len();
    let mut faults: Vec<ClientFault> = faults.into_values().collect();
    faults.sort_by_key(|fault| match fault.reason() {
        Some(Reason::NoQuorum) => 0,
        Some(_) => 1,
        None => 2,
    });
    let mut words: Vec<String> = Vec::new();
    for fault in faults {
        let said = fault.to_string();
        if !words.contains(&said) {
            words.push(said);
        }
    }
    words.truncate(QUOTED);
    ClientFault::NoAnswer { endpoints, seconds: policy.total.as_secs(), last: words.join("; ") }
}

/// The waits between tries: doubling, with jitter, or as long as a validator asks for.
pub(crate) struct Pause {
    policy: RetryPolicy,
    next: Duration,
}

impl Pause {
    pub(crate) const fn new(policy: RetryPolicy) -> Self {
        Self { policy, next: policy.first_pause }
    }

    pub(crate) fn after(&mut self, fault: &ClientFault) -> Duration {
        let pause = self.next;
        self.next = (self.next * 2).min(self.policy.longest_pause);
        let asked = match fault {
            ClientFault::Api(fault) => fault.retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        let jitter = rand::random_range(0.5..1.0);
        pause.mul_f64(jitter).max(asked.min(self.policy.longest_pause))
    }
}

#[cfg(test)]
mod tests {
    use quorate_crypto::Digest;
    use quorate_transport::fault::ApiFault;
    use quorate_transport::pb::operations::v1::GetAuthorResponse;

    use super::*;
    use crate::testing::{self, Fake, LONG, PATIENCE};

    async fn ask(client: &Client) -> Result<GetAuthorResponse, ClientFault> {
        let author = testing::signer(client).author();
        tokio::time::timeout(LONG, client.author(author)).await.expect("patience ends")
    }

    #[tokio::test]
    async fn a_validator_that_never_answers_is_told_how_long_it_has_and_named() {
        let fake = Fake::new();
        let address = fake.clone().start().await;
        let fault = ask(&testing::client([address.as_str()])).await.unwrap_err().to_string();
        assert!(fault.contains(&format!("{address} gave no answer within 0.4 s")), "{fault}");
        assert!(fault.contains("any of 1 validators asked"), "{fault}");
        assert!(fake.was_asked_within().iter().all(|wait| *wait <= PATIENCE && !wait.is_zero()));
        assert!(!fake.was_asked_within().is_empty(), "it wasn't told");
    }

    /// protocol §8.4
    #[tokio::test]
    async fn a_forged_chain_that_stops_before_the_trusted_checkpoint_leaves_nothing_behind() {
        let cluster = testing::client(["127.0.0.1:1"]).cluster();
        let honest =
            [(1, 1, 10), (2, 10, 20)].map(|(epoch, signer, next)| testing::epoch_start(cluster, epoch, signer, next));
        let trusted = Checkpoint::of(&honest[1].certificate.execution);
        let forged = vec![testing::epoch_start(cluster, 1, 1, 30)];
        let addresses =
            [Fake::new().hands_out(forged).start().await, Fake::new().hands_out(honest.into()).start().await];
        let config = ClientConfig::new(&testing::genesis("test"), addresses).unwrap().with_trust(trusted).unwrap();
        let client = Client::new(config).unwrap();
        let [liar, sound] = [0, 1].map(|position| client.endpoint_at(position).unwrap());
        let fault = client.follow_to(&liar, Epoch(1)).await.unwrap_err().to_string();
        assert!(fault.contains("before the trusted checkpoint"), "{fault}");
        client.follow_to(&sound, Epoch(2)).await.unwrap();
        assert_eq!((client.epochs().epoch, client.epochs().is_trusted()), (Epoch(2), true));
    }

    #[tokio::test]
    async fn why_nothing_is_ordered_comes_before_what_the_unreachable_say() {
        let reason = ApiFault::new(Reason::NoQuorum, "no quorum: v2 silent");
        let address = Fake::new().knows_author(Err(reason)).start().await;
        let client = testing::client(["127.0.0.1:1", address.as_str(), "127.0.0.1:2"]);
        let fault = ask(&client).await.unwrap_err();
        let ClientFault::NoAnswer { endpoints, last, .. } = fault else { panic!("{fault}") };
        assert!(endpoints >= 2 && last.starts_with("NO_QUORUM: no quorum: v2 silent; "), "{last}");
    }

    #[tokio::test]
    async fn a_damaged_validator_is_no_reason_to_give_up() {
        for reason in [Reason::StoreDamaged, Reason::Internal] {
            let damaged = Fake::new().knows_author(Err(ApiFault::new(reason, "damaged"))).start().await;
            let sound = GetAuthorResponse { highest: 7, is_known: true, ..Default::default() };
            let sound = Fake::new().knows_author(Ok(sound)).start().await;
            let client = testing::client([damaged.as_str(), sound.as_str()]);
            assert_eq!(ask(&client).await.unwrap().highest, 7);
        }
    }

    #[tokio::test]
    async fn another_clusters_validator_is_refused_by_name_and_never_read_from() {
        let other = ClusterId(Digest::new([7; 32]));
        let foreign = || Fake::new().of_cluster(other).knows_author(Ok(GetAuthorResponse::default()));
        let addresses = [foreign().start().await, foreign().start().await];
        let client = testing::client(addresses.iter().map(String::as_str));
        let said =
            format!("{} belongs to cluster {other}, the genesis file is that of {}", addresses[0], client.cluster());
        let started = Instant::now();
        assert_eq!(ask(&client).await.unwrap_err().to_string(), said);
        assert!(started.elapsed() < PATIENCE, "no waiting mends it");
        assert!(client.status(1, None).await.unwrap_err().to_string().contains("belongs to cluster"));
        let sound = Fake::new().knows_author(Ok(GetAuthorResponse { highest: 5, ..Default::default() })).start().await;
        let client = testing::client([addresses[0].as_str(), sound.as_str()]);
        assert_eq!(ask(&client).await.unwrap().highest, 5);
    }
}
