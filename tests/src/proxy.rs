//! A network between two validators that stalls, delays and cuts, by seed.
//!
//! A proxy listens on a port, dials its target for every connection, and forwards in both directions in slices
//! of random size. It understands nothing of what it carries. [`Proxy::heal`] makes it a good network.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How bad the network is. Chances are per slice.
#[derive(Clone, Debug)]
pub struct Faults {
    /// Bytes of a slice.
    pub slice_bytes: Range<usize>,
    /// How long each slice is late.
    pub delay_ms: Range<u64>,
    /// Of a thousand slices, so many wait long.
    pub stalls_per_mille: u32,
    /// How long.
    pub stall_ms: Range<u64>,
    /// Of a thousand slices, so many end the connection instead of arriving.
    pub cuts_per_mille: u32,
}

impl Default for Faults {
    fn default() -> Self {
        Self { slice_bytes: 1..4_096, delay_ms: 0..8, stalls_per_mille: 8, stall_ms: 200..1_500, cuts_per_mille: 4 }
    }
}

/// A running proxy; it ends on drop.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    listener: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    target: String,
    faults: Faults,
    seed: u64,
    is_healed: AtomicBool,
    connections: AtomicU64,
    cuts: AtomicU64,
}

impl Proxy {
    /// Listens on `port` and forwards to `target`.
    ///
    /// # Errors
    /// If the port is taken.
    pub async fn start(port: u16, target: String, faults: Faults, seed: u64) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let shared = Arc::new(Shared {
            target,
            faults,
            seed,
            is_healed: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
        });
        let listener = tokio::spawn(Arc::clone(&shared).listen(listener));
        Ok(Self { shared, listener })
    }

    /// From now on it forwards everything at once.
    pub fn heal(&self) {
        self.shared.is_healed.store(true, Ordering::Relaxed);
    }

    /// How many connections it has cut.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Shared {
    async fn listen(self: Arc<Self>, listener: TcpListener) {
        while let Ok((near, _)) = listener.accept().await {
            let shared = Arc::clone(&self);
            tokio::spawn(async move {
                // A target that can't be reached looks as it does without a proxy: the connection ends.
                if let Ok(far) = TcpStream::connect(&shared.target).await {
                    shared.carry(near, far).await;
                }
            });
        }
    }

    /// Both directions end together.
    async fn carry(&self, near: TcpStream, far: TcpStream) {
        let number = self.connections.fetch_add(2, Ordering::Relaxed);
        let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
        let end = CancellationToken::new();
        let there = self.forward(near_read, far_write, number, &end);
        let back = self.forward(far_read, near_write, number + 1, &end);
        tokio::join!(there, back);
    }

    async fn forward(&self, from: OwnedReadHalf, to: OwnedWriteHalf, number: u64, end: &CancellationToken) {
        let dice = ChaCha8Rng::seed_from_u64(self.seed.wrapping_mul(1_000_003).wrapping_add(number));
        tokio::select! {
            () = end.cancelled() => {}
            _ = self.pump(from, to, dice) => {}
        }
        end.cancel();
    }

    async fn pump(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut dice: ChaCha8Rng) -> std::io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = from.read(&mut buffer).await?;
            if length == 0 {
                return Ok(());
            }
            let mut rest = &buffer[..length];
            while !rest.is_empty() {
                let slice = if self.is_healed.load(Ordering::Relaxed) {
                    rest.len()
                } else {
                    match self.fate(&mut dice) {
                        Fate::Cut => {
                            self.cuts.fetch_add(1, Ordering::Relaxed);
                            return Ok(());
                        }
                        Fate::Late(wait) => tokio::time::sleep(wait).await,
                    }
                    dice.random_range(self.faults.slice_bytes.clone()).min(rest.len())
                };
                to.write_all(&rest[..slice]).await?;
                rest = &rest[slice..];
            }
        }
    }

    fn fate(&self, dice: &mut ChaCha8Rng) -> Fate {
        let Faults { delay_ms, stalls_per_mille, stall_ms, cuts_per_mille, .. } = &self.faults;
        let roll = dice.random_range(0..1_000);
        if roll < *cuts_per_mille {
            return Fate::Cut;
        }
        let is_stalled = roll < cuts_per_mille + stalls_per_mille;
        let range = if is_stalled { stall_ms.clone() } else { delay_ms.clone() };
        Fate::Late(Duration::from_millis(dice.random_range(range)))
    }
}

/// What becomes of a slice.
enum Fate {
    Late(Duration),
    Cut,
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        address
    }

    async fn free_port() -> u16 {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
    }

    #[tokio::test]
    async fn bytes_arrive_in_order_through_slices_and_delays() {
        let faults = Faults { cuts_per_mille: 0, stalls_per_mille: 0, delay_ms: 0..2, ..Faults::default() };
        let port = free_port().await;
        let _proxy = Proxy::start(port, echo().await, faults, 7).await.unwrap();
        let sent: Vec<u8> = (0..50_000_u32).map(|number| number.to_le_bytes()[1]).collect();
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(&sent).await.unwrap();
        let mut back = vec![0; sent.len()];
        stream.read_exact(&mut back).await.unwrap();
        assert!(back == sent);
    }

    #[tokio::test]
    async fn a_cut_ends_both_directions_and_is_counted() {
        let port = free_port().await;
        let faults = Faults { cuts_per_mille: 1_000, ..Faults::default() };
        let proxy = Proxy::start(port, echo().await, faults, 7).await.unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(b"lost").await.unwrap();
        let mut back = Vec::new();
        // The end may come as a reset.
        let _ = stream.read_to_end(&mut back).await;
        assert!(back.is_empty());
        assert_eq!(proxy.cuts(), 1);
    }
}
