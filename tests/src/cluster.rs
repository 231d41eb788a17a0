//! A cluster of real processes on this machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, ensure};
use quorate_cli::init::{AUTHORITY, GENESIS, HostPlan, NODE, Ports, Rules, make_host};
use quorate_client::pb::cluster::v1::{Mode, StatusResponse};
use quorate_client::{Client, ClientConfig, RetryPolicy};
use quorate_types::genesis::Genesis;
use rustix::process::Signal;
use tempfile::TempDir;
use toml::{Table, Value};

use crate::slots::Slot;
use crate::validator::Validator;
use crate::wait;

/// Lines of each log that are printed when a cluster goes; the test runner shows them if the test failed.
const LAST_LINES: usize = 40;

/// What a cluster shall be, before it is made.
#[derive(Debug)]
pub struct Plan {
    program: PathBuf,
    validators: u16,
    rules: Rules,
    settings: Vec<(Option<usize>, &'static str, Value)>,
}

/// A cluster; some of its validators may run. Processes and files go with it.
#[derive(Debug)]
pub struct Cluster {
    // The order matters: the processes end before their files and ports go.
    validators: Vec<Validator>,
    program: PathBuf,
    genesis: Vec<u8>,
    authority: String,
    ports: Vec<Ports>,
    directory: Option<TempDir>,
    slot: Slot,
}

impl Plan {
    /// Four validators with every default. `program` is a binary that does what `quorate` does.
    #[must_use]
    pub fn new(program: &str) -> Self {
        let rules = Rules { name: "test".to_owned(), ..Rules::default() };
        Self { program: PathBuf::from(program), validators: 4, rules, settings: Vec::new() }
    }

    /// So many validators.
    #[must_use]
    pub const fn validators(mut self, validators: u16) -> Self {
        self.validators = validators;
        self
    }

    /// A protocol parameter, as NAME=VALUE.
    #[must_use]
    pub fn parameter(mut self, assignment: &str) -> Self {
        self.rules.parameters.push(assignment.to_owned());
        self
    }

    /// What else the genesis says.
    #[must_use]
    pub fn rules(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        change(&mut self.rules);
        self
    }

    /// A setting in every validator's `node.toml`, such as `clients.watches`.
    #[must_use]
    pub fn setting(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.settings.push((None, name, value.into()));
        self
    }

    /// A setting in one validator's `node.toml`.
    #[must_use]
    pub fn setting_of(mut self, validator: usize, name: &'static str, value: impl Into<Value>) -> Self {
        self.settings.push((Some(validator), name, value.into()));
        self
    }

    /// Makes the cluster as `quorate init` does. Nothing is started.
    ///
    /// # Errors
    /// If it can't be made.
    pub async fn make(self) -> anyhow::Result<Cluster> {
        let mut slot = Slot::take().await?;
        let directory = tempfile::Builder::new().prefix("quorate-test-").tempdir()?;
        let mut ports = Vec::new();
        for _ in 0..self.validators {
            ports.push(Ports { peer: slot.port()?, client: slot.port()?, metrics: slot.port()? });
        }
        let root = directory.path().join("cluster");
        let plan = HostPlan::on_ports("127.0.0.1", ports.iter().copied());
        let names: Vec<String> = {
            let made = make_host(&plan, &root, &self.rules)?;
            let validators = &made.genesis().content.validators;
            validators.iter().map(|validator| validator.info.name.clone()).collect()
        };
        let validators = names.iter().map(|name| Validator::new(name, &root)).collect();
        let genesis = std::fs::read(root.join(GENESIS))?;
        let authority = std::fs::read_to_string(root.join(AUTHORITY))?;
        let cluster =
            Cluster { validators, program: self.program, genesis, authority, ports, directory: Some(directory), slot };
        for (only, name, value) in self.settings {
            let chosen = (0..cluster.size()).filter(|index| only.is_none_or(|only| only == *index));
            chosen.into_iter().try_for_each(|index| cluster.set(index, name, value.clone()))?;
        }
        Ok(cluster)
    }

    /// Makes the cluster, starts all validators and waits until all take operations.
    ///
    /// # Errors
    /// If they don't.
    pub async fn start(self) -> anyhow::Result<Cluster> {
        let mut cluster = self.make().await?;
        cluster.start_all()?;
        cluster.ready().await?;
        Ok(cluster)
    }
}

impl Cluster {
    /// How many validators it has.
    #[must_use]
    pub fn size(&self) -> usize {
        self.validators.len()
    }

    /// Where genesis and validators' directories lie.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.directory.as_ref().map(|directory| directory.path().join("cluster")).unwrap_or_default()
    }

    /// A directory for whatever a test writes; it goes with the cluster.
    ///
    /// # Errors
    /// If it can't be made.
    pub fn scratch(&self) -> anyhow::Result<PathBuf> {
        let path = self.root().with_file_name("scratch");
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// The genesis file.
    #[must_use]
    pub fn genesis_path(&self) -> PathBuf {
        self.root().join(GENESIS)
    }

    /// The genesis.
    ///
    /// # Errors
    /// If `init` made one that can't be read.
    pub fn genesis(&self) -> anyhow::Result<Genesis> {
        Ok(Genesis::parse(&self.genesis)?)
    }

    /// The certificates that clients trust, as PEM.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// A validator's ports.
    #[must_use]
    pub fn ports(&self, index: usize) -> Ports {
        self.ports[index]
    }

    /// Another port that nobody listens on.
    ///
    /// # Errors
    /// If there is none.
    pub fn free_port(&mut self) -> anyhow::Result<u16> {
        self.slot.port()
    }

    /// Where clients reach a validator.
    #[must_use]
    pub fn client_address(&self, index: usize) -> String {
        format!("127.0.0.1:{}", self.ports[index].client)
    }

    /// One validator.
    #[must_use]
    pub fn validator(&mut self, index: usize) -> &mut Validator {
        &mut self.validators[index]
    }

    /// A validator's log so far.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn log(&self, index: usize) -> anyhow::Result<String> {
        self.validators[index].log()
    }

    /// Changes a validator's `node.toml`; takes effect when it starts.
    ///
    /// # Errors
    /// If the file isn't what `init` writes.
    pub fn set(&self, index: usize, name: &str, value: Value) -> anyhow::Result<()> {
        let path = self.validators[index].directory().join(NODE);
        let mut file: Table = std::fs::read_to_string(&path)?.parse()?;
        let (section, field) = name.split_once('.').context("a setting has a section")?;
        let section = file.get_mut(section).and_then(Value::as_table_mut).context("no such section")?;
        section.insert(field.to_owned(), value);
        std::fs::write(&path, toml::to_string(&file)?)?;
        Ok(())
    }

    /// Starts one.
    ///
    /// # Errors
    /// If it runs, or can't be started.
    pub fn start(&mut self, index: usize) -> anyhow::Result<()> {
        self.validators[index].start(&self.program)
    }

    /// Starts all that don't run.
    ///
    /// # Errors
    /// If one can't be started.
    pub fn start_all(&mut self) -> anyhow::Result<()> {
        let Self { validators, program, .. } = self;
        validators.iter_mut().filter(|validator| validator.pid().is_none()).try_for_each(|one| one.start(program))
    }

    /// Starts one as a rogue: the program misbehaves in these ways, by their names in plans.
    ///
    /// # Errors
    /// If it runs, or can't be started.
    pub fn start_rogue(&mut self, index: usize, program: &str, behaviours: &[&str]) -> anyhow::Result<()> {
        let arguments: Vec<&str> = behaviours.iter().flat_map(|behaviour| ["--behaviour", behaviour]).collect();
        self.validators[index].start_with(Path::new(program), &arguments)
    }

    /// Kills one with SIGKILL.
    ///
    /// # Errors
    /// If it doesn't run.
    pub fn kill(&mut self, index: usize) -> anyhow::Result<()> {
        self.validators[index].kill()
    }

    /// Stops one with SIGTERM and waits for its end.
    ///
    /// # Errors
    /// If it doesn't end in an orderly way.
    pub async fn stop(&mut self, index: usize) -> anyhow::Result<()> {
        let validator = &mut self.validators[index];
        validator.signal(Signal::TERM)?;
        let status = validator.ended(wait::LONG).await?;
        ensure!(status.success(), "{} ended with {status}\n{}", validator.name(), validator.last_words(30));
        Ok(())
    }

    /// Waits until all take operations.
    ///
    /// # Errors
    /// If they don't.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        for index in 0..self.size() {
            self.mode(index, Mode::Ordering).await?;
        }
        Ok(())
    }

    /// Waits until a validator says that it is in a mode.
    ///
    /// # Errors
    /// If it doesn't, or has ended.
    pub async fn mode(&mut self, index: usize, mode: Mode) -> anyhow::Result<StatusResponse> {
        let client = self.client_of(index)?;
        let name = format!("{} in {}", self.validators[index].name(), mode.as_str_name());
        wait::until(&name, wait::LONG, async || {
            self.validators[index].admit_alive()?;
            let status = client.status(0, None).await?;
            ensure!(status.mode() == mode, "it is in {}: {}", status.mode().as_str_name(), status.reason);
            Ok(status)
        })
        .await
    }

    /// A validator's status now.
    ///
    /// # Errors
    /// If it doesn't answer.
    pub async fn status(&self, index: usize) -> anyhow::Result<StatusResponse> {
        Ok(self.client_of(index)?.status(0, None).await?)
    }

    /// The primary, as a validator sees it.
    ///
    /// # Errors
    /// If it doesn't answer.
    pub async fn primary(&self, seen_by: usize) -> anyhow::Result<usize> {
        Ok(usize::try_from(self.status(seen_by).await?.primary)?)
    }

    /// Fails if a validator that was started has ended.
    ///
    /// # Errors
    /// With its last words.
    pub fn admit_alive(&mut self) -> anyhow::Result<()> {
        self.validators.iter_mut().try_for_each(Validator::admit_alive)
    }

    /// A client that knows all validators, and tries for long.
    ///
    /// # Errors
    /// If the files of the cluster can't be used.
    pub fn client(&self) -> anyhow::Result<Client> {
        self.client_among(0..self.size())
    }

    /// A client that knows these validators, and tries for long.
    ///
    /// # Errors
    /// If the files of the cluster can't be used.
    pub fn client_among(&self, validators: impl IntoIterator<Item = usize>) -> anyhow::Result<Client> {
        let retry = RetryPolicy { total: Duration::from_secs(180), ..RetryPolicy::default() };
        self.client_with(validators.into_iter().map(|index| self.client_address(index)), retry)
    }

    /// A client of one validator.
    ///
    /// # Errors
    /// If the files of the cluster can't be used.
    pub fn client_of(&self, index: usize) -> anyhow::Result<Client> {
        self.client_with([self.client_address(index)], RetryPolicy::default())
    }

    /// A client of one validator that tries only once.
    ///
    /// # Errors
    /// If the files of the cluster can't be used.
    pub fn impatient_client_of(&self, index: usize) -> anyhow::Result<Client> {
        let retry = RetryPolicy { total: Duration::ZERO, ..RetryPolicy::default() };
        self.client_with([self.client_address(index)], retry)
    }

    fn client_with(&self, addresses: impl IntoIterator<Item = String>, retry: RetryPolicy) -> anyhow::Result<Client> {
        let config = ClientConfig::new(&self.genesis, addresses)?.with_authority(&self.authority)?;
        Ok(Client::new(config.with_retry(retry))?)
    }

    /// Runs the program with these arguments to its end.
    ///
    /// # Errors
    /// If it can't be run.
    pub fn run<A: AsRef<std::ffi::OsStr>>(&self, arguments: &[A]) -> anyhow::Result<Output> {
        run(&self.program, arguments)
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }
}

/// Runs a program to its end, without a terminal.
///
/// # Errors
/// If it can't be run.
pub fn run<A: AsRef<std::ffi::OsStr>>(program: &Path, arguments: &[A]) -> anyhow::Result<Output> {
    let output =
        Command::new(program).args(arguments).env_remove("RUST_LOG").stdin(std::process::Stdio::null()).output();
    output.with_context(|| format!("running {}", program.display()))
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for validator in &self.validators {
            println!("{}", validator.last_words(LAST_LINES));
        }
        if std::env::var_os("QUORATE_TESTS_KEEP").is_some()
            && let Some(directory) = self.directory.take()
        {
            println!("kept: {}", directory.keep().display());
        }
    }
}
