//! How many clusters run at once, over all processes that run tests: four validators each want a share of the
//! machine, and timeouts are real. Locks on files, because some runners start a process for every test.
//!
//! A slot also owns ports outside the range that the system hands out by itself: a validator that was killed
//! finds its port free when it starts again.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::getuid;

use crate::wait;

/// The lowest port of slot 0.
const FIRST_PORT: u16 = 20_000;

/// Ports that belong to one slot.
const PORTS: u16 = 200;

/// A cluster may wait for its slot as long as all tests may take.
const LIMIT: Duration = Duration::from_secs(1_200);

/// The right to run one cluster; given back on drop.
#[derive(Debug)]
pub struct Slot {
    number: u16,
    next: u16,
    _lock: File,
}

impl Slot {
    /// Waits for a free slot.
    ///
    /// # Errors
    /// If the lock files can't be made.
    pub async fn take() -> anyhow::Result<Self> {
        let directory = std::env::temp_dir().join(format!("quorate-tests-{}", getuid().as_raw()));
        std::fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
        let open = |number: u16| File::create(directory.join(format!("slot-{number}")));
        wait::until("a free slot for a cluster", LIMIT, async || {
            for number in 0..count() {
                let file = open(number)?;
                if file.try_lock().is_ok() {
                    return Ok(Self { number, next: 0, _lock: file });
                }
            }
            anyhow::bail!("all slots are taken")
        })
        .await
    }

    /// A port that nobody listens on; never the same one twice.
    ///
    /// # Errors
    /// If the slot's ports are all taken.
    pub fn port(&mut self) -> anyhow::Result<u16> {
        while self.next < PORTS {
            let port = FIRST_PORT + self.number * PORTS + self.next;
            self.next += 1;
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(port);
            }
        }
        ensure!(self.next < PORTS, "no port of slot {} is free", self.number);
        Ok(0)
    }
}

/// As many clusters as cores; at least two, because some tests mostly wait; at most as many as there are ports.
fn count() -> u16 {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    u16::try_from(cores.clamp(2, 40)).unwrap_or(2)
}
