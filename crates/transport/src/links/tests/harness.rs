//! Validators that consist of nothing but their links.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use quorate_crypto::{SecretKey, sha256};
use quorate_types::ids::{ClusterId, ValidatorIndex};
use quorate_types::set::{ValidatorInfo, ValidatorSet};
use rustls::pki_types::ServerName;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use crate::links::{Inboxes, Incoming, LinkConfig, LinkLimits, LinkTiming, PeerLinks, PeerView};
use crate::pb::peer::v1::peer_client::PeerClient;
use crate::tls::{Expected, NetworkIdentity, dial_config};
use crate::{Connector, TcpConnector};

/// Longer than anything here takes; it only turns a hang into a failure.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn cluster() -> ClusterId {
    ClusterId(sha256(&[b"genesis"]))
}

pub(super) fn identity(seed: u8) -> NetworkIdentity {
    NetworkIdentity::new(&SecretKey::from_seed([seed + 1; 32])).unwrap()
}

pub(super) fn set_of(validators: u8) -> ValidatorSet {
    let infos = (0..validators).map(|index| ValidatorInfo {
        name: format!("v{index}"),
        consensus_key: identity(index + 100).public(),
        network_key: identity(index).public(),
        incarnation: [index; 32],
        peer_address: "127.0.0.1:9".to_owned(),
    });
    ValidatorSet::new(infos.collect()).unwrap()
}

/// One validator's links and what they received.
pub(super) struct End {
    pub(super) links: Arc<PeerLinks>,
    pub(super) address: String,
    inbox: mpsc::Receiver<Incoming>,
    pub(super) bulk: mpsc::Receiver<Incoming>,
    tasks: JoinSet<io::Result<()>>,
}

impl End {
    /// A validator on a free port that knows no other's address.
    pub(super) async fn start(me: ValidatorIndex, change: impl Fn(ValidatorIndex, &mut LinkConfig)) -> Self {
        Self::start_at(me, "127.0.0.1:0", change).await
    }

    pub(super) async fn start_at(
        me: ValidatorIndex,
        address: &str,
        change: impl Fn(ValidatorIndex, &mut LinkConfig),
    ) -> Self {
        let listener = TcpConnector.listen(address).await.unwrap();
        let mut config = config(me);
        change(me, &mut config);
        Self::on(config, listener)
    }

    fn on(config: LinkConfig, listener: tokio::net::TcpListener) -> Self {
        let address = TcpConnector::local_address(&listener).unwrap().to_string();
        let (control, inbox) = mpsc::channel(16);
        let (bulk_inbox, bulk) = mpsc::channel(16);
        let inboxes = Inboxes { control, bulk: bulk_inbox };
        let (links, tasks) = PeerLinks::start(config, &TcpConnector, listener, inboxes).unwrap();
        Self { links, address, inbox, bulk, tasks }
    }

    /// The next message on either stream, control first.
    pub(super) async fn next(&mut self) -> Incoming {
        let next = async {
            tokio::select! {
                biased;
                Some(next) = self.inbox.recv() => next,
                Some(next) = self.bulk.recv() => next,
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("a message in time")
    }

    /// Resolves when all streams in both directions are up.
    pub(super) async fn connected(&self) {
        wait_for(&self.links, |view| view.is_connected().then_some(())).await;
    }

    /// Closes and joins everything.
    pub(super) async fn stop(mut self) {
        self.links.close();
        let joined = async {
            while let Some(ended) = self.tasks.join_next().await {
                ended.unwrap().unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, joined).await.expect("the tasks end in time");
    }
}

fn config(me: ValidatorIndex) -> LinkConfig {
    let timing =
        LinkTiming { redial: Duration::from_millis(5), redial_cap: Duration::from_millis(50), ..LinkTiming::default() };
    LinkConfig {
        me,
        cluster: cluster(),
        set: Arc::new(set_of(2)),
        incarnation: [0; 32],
        identity: identity(u8::try_from(me.0).unwrap()),
        addresses: vec![],
        limits: LinkLimits::default(),
        timing,
    }
}

/// Validators 0 and 1, each with the other's address.
pub(super) async fn two_ends(change: impl Fn(ValidatorIndex, &mut LinkConfig)) -> [End; 2] {
    let indices = [ValidatorIndex(0), ValidatorIndex(1)];
    let mut listeners = Vec::new();
    for _ in indices {
        listeners.push(TcpConnector.listen("127.0.0.1:0").await.unwrap());
    }
    let addresses: Vec<_> = listeners.iter().map(|l| TcpConnector::local_address(l).unwrap().to_string()).collect();
    let mut listeners = listeners.into_iter();
    indices.map(|index| {
        let mut config = config(index);
        config.addresses = indices.into_iter().zip(addresses.clone()).collect();
        change(index, &mut config);
        End::on(config, listeners.next().unwrap())
    })
}

/// The first answer that `ask` gives about the only peer.
pub(super) async fn wait_for<T>(links: &PeerLinks, ask: impl Fn(&PeerView) -> Option<T>) -> T {
    let mut changes = links.changes();
    let wait = async {
        loop {
            changes.borrow_and_update();
            if let Some(answer) = ask(&links.views()[0]) {
                return answer;
            }
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("in time")
}

/// A client with validator `index`'s key and no manners, connected to validator 0.
pub(super) async fn raw_client(index: u8, address: &str) -> PeerClient<Channel> {
    let expected = Expected { name: "v0".to_owned(), key: identity(0).public() };
    let tls = TlsConnector::from(dial_config(&identity(index), expected).unwrap());
    let stream = TcpConnector.connect(address).await.unwrap();
    let name = ServerName::try_from("validator.quorate.invalid").unwrap();
    let mut stream = Some(TokioIo::new(tls.connect(name, stream).await.unwrap()));
    let connect = tower::service_fn(move |_| {
        std::future::ready(stream.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
    });
    let channel = Endpoint::from_static("http://v0.invalid").connect_with_connector(connect).await.unwrap();
    PeerClient::new(channel)
}

thread_local! {
    static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The log of this thread, on which a test's runtime runs everything. One subscriber for the whole program:
/// with one per test, a line that another test's thread meets first may be lost.
pub(super) struct Log;

impl Log {
    pub(super) fn capture() -> Self {
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(|| Sink).finish();
        // An error means that another test was first.
        let _ = tracing::subscriber::set_global_default(subscriber);
        WRITTEN.take();
        Self
    }

    pub(super) fn text(&self) -> String {
        WRITTEN.with_borrow(|written| String::from_utf8(written.clone()).unwrap())
    }
}

struct Sink;

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WRITTEN.with_borrow_mut(|written| written.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
