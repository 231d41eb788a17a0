//! A cluster of separate processes on this machine, for the demonstration and the benchmark.
//!
//! The processes end with this one, whatever happens to it: they hold the other end of a pipe and stop when
//! it closes.

mod ports;
mod validator;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use quorate_client::Client;
use quorate_client::pb::cluster::v1::Mode;
use quorate_types::genesis::Genesis;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

pub use self::validator::LocalValidator;
use crate::init::{self, HostPlan, Rules};
use crate::status;

/// How long a process may take to stop in an orderly way.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a cluster may take until it orders.
const START: Duration = Duration::from_secs(60);

/// How often a cluster is asked how far it is.
const POLL: Duration = Duration::from_millis(50);

/// Waits for Ctrl-C or SIGTERM, and is an error then.
///
/// # Errors
/// Always.
pub async fn interrupted() -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.context("waiting for Ctrl-C")?,
        _ = terminated.recv() => {}
    }
    bail!("interrupted")
}

/// Where a cluster's files lie, and whether they go when it goes.
#[derive(Debug)]
enum Place {
    Temporary(TempDir),
    Kept(PathBuf),
}

/// Validators on this machine.
#[derive(Debug)]
pub struct LocalCluster {
    // Before `place`: the processes end before their files go.
    validators: Vec<LocalValidator>,
    genesis: Genesis,
    place: Place,
}

impl LocalCluster {
    /// Makes a cluster on free ports, in `directory` or, without one, in a temporary one that goes with the
    /// cluster. Nothing is started.
    ///
    /// # Errors
    /// If it can't be made.
    pub fn make(directory: Option<&Path>, validators: u16, rules: &Rules) -> anyhow::Result<Self> {
        let place = match directory {
            Some(path) => Place::Kept(std::path::absolute(path).context("finding the directory")?),
            None => {
                let made = tempfile::Builder::new().prefix("quorate-").tempdir();
                Place::Temporary(made.context("making a temporary directory; --directory names another place")?)
            }
        };
        let ports = ports::free(usize::from(validators))?;
        let plan = HostPlan::on_ports("127.0.0.1", ports.into_iter());
        let genesis = init::make_host(&plan, place.path(), rules)?.genesis().clone();
        let names = genesis.content.validators.iter().map(|validator| validator.info.name.as_str());
        let validators = names.map(|name| LocalValidator::new(name, place.path())).collect();
        Ok(Self { validators, genesis, place })
    }

    /// Where everything lies.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.place.path()
    }

    /// Whether the files stay when this process ends.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        matches!(self.place, Place::Kept(_))
    }

    /// Keeps the files.
    pub fn keep(&mut self) {
        let kept = Place::Kept(self.directory().to_owned());
        if let Place::Temporary(directory) = std::mem::replace(&mut self.place, kept) {
            let _ = directory.keep();
        }
    }

    /// The genesis.
    #[must_use]
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The validators, by index.
    #[must_use]
    pub fn validators(&self) -> &[LocalValidator] {
        &self.validators
    }

    /// Starts all that don't run.
    ///
    /// # Errors
    /// If a process can't be started.
    pub fn start_all(&mut self) -> anyhow::Result<()> {
        self.validators.iter_mut().filter(|validator| validator.pid().is_none()).try_for_each(LocalValidator::start)
    }

    /// Starts one.
    ///
    /// # Errors
    /// If the process can't be started.
    pub fn start(&mut self, index: usize) -> anyhow::Result<()> {
        self.validator(index)?.start()
    }

    /// Ends one with SIGKILL: no farewell, nothing saved.
    ///
    /// # Errors
    /// If it doesn't run.
    pub async fn kill(&mut self, index: usize) -> anyhow::Result<()> {
        self.validator(index)?.kill().await
    }

    /// Fails if a process that was started has ended by itself, with the last lines of its log.
    ///
    /// # Errors
    /// The name of the validator and its last words.
    pub fn check(&mut self) -> anyhow::Result<()> {
        self.validators.iter_mut().try_for_each(LocalValidator::check)
    }

    /// Stops all in an orderly way; what doesn't stop in time is killed.
    pub async fn stop_all(&mut self) {
        self.validators.iter_mut().for_each(LocalValidator::ask_to_stop);
        for validator in &mut self.validators {
            validator.wait(PATIENCE).await;
        }
    }

    /// The processes that run, by name.
    #[must_use]
    pub fn processes(&self) -> Vec<(String, u32)> {
        let running = |validator: &LocalValidator| Some((validator.name().to_owned(), validator.pid()?));
        self.validators.iter().filter_map(running).collect()
    }

    /// Waits until all validators that run say that they vote.
    ///
    /// # Errors
    /// If one ends, or it takes too long.
    pub async fn wait_until_ordering(&mut self, client: &Client) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            self.check()?;
            let answers = status::ask_all(client).await;
            let running = self.validators.iter().map(|validator| validator.pid().is_some());
            let is_ready = running.zip(&answers).all(|(is_running, answer)| {
                let is_ordering = answer.status.as_ref().is_ok_and(|status| status.mode() == Mode::Ordering);
                is_ordering || !is_running
            });
            if is_ready {
                return Ok(());
            }
            if started.elapsed() > START {
                let said = answers.iter().map(|answer| match &answer.status {
                    Ok(status) => format!("{}: {}", status.name, status.reason),
                    Err(fault) => format!("{}: {fault}", answer.endpoint),
                });
                let said: Vec<String> = said.collect();
                bail!("the validators did not begin to order within {} s: {}", START.as_secs(), said.join("; "));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn validator(&mut self, index: usize) -> anyhow::Result<&mut LocalValidator> {
        match self.validators.get_mut(index) {
            Some(validator) => Ok(validator),
            None => bail!("this cluster has no validator {index}"),
        }
    }
}

impl Place {
    fn path(&self) -> &Path {
        match self {
            Self::Temporary(directory) => directory.path(),
            Self::Kept(path) => path,
        }
    }
}
