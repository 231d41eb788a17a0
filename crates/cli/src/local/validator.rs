//! One validator as a process of its own.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, ChildStdin, Command};

use crate::init::NODE;

/// Lines of the log that are shown when a process ends unasked.
const LAST_LINES: usize = 12;

/// A validator's process, running or not.
#[derive(Debug)]
pub struct LocalValidator {
    name: String,
    config: PathBuf,
    log: PathBuf,
    process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    /// When this closes, the process stops.
    leash: Option<ChildStdin>,
}

impl LocalValidator {
    pub(super) fn new(name: &str, cluster: &Path) -> Self {
        let directory = cluster.join(name);
        Self { name: name.to_owned(), config: directory.join(NODE), log: directory.join("log"), process: None }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its process, if it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(|process| process.child.id())
    }

    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        ensure!(self.process.is_none(), "{} runs already", self.name);
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("opening the log {}", self.log.display()))?;
        let program = std::env::current_exe().context("finding this program's file")?;
        let mut child = Command::new(program)
            .args(["start", "--leashed", "--config"])
            .arg(&self.config)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().context("opening the log twice")?)
            .stderr(log)
            // Ctrl-C is for this process, which then stops the others in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting the validator {}", self.name))?;
        let leash = child.stdin.take();
        self.process = Some(Process { child, leash });
        Ok(())
    }

    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        let Some(mut process) = self.process.take() else { bail!("{} doesn't run", self.name) };
        process.child.kill().await.with_context(|| format!("killing {}", self.name))
    }

    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let Some(status) = process.child.try_wait().with_context(|| format!("looking after {}", self.name))? else {
            return Ok(());
        };
        self.process = None;
        bail!(
            "the validator {} ended with {status}; the end of {}:\n{}",
            self.name,
            self.log.display(),
            self.last_words()
        )
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.iter().skip(lines.len().saturating_sub(LAST_LINES));
        last.map(|line| format!("    {line}\n")).collect()
    }

    pub(super) fn ask_to_stop(&mut self) {
        let Some(process) = &mut self.process else { return };
        process.leash = None;
        let pid = process.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // If it is gone already, that is what was wanted.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    pub(super) async fn wait(&mut self, patience: Duration) {
        let Some(mut process) = self.process.take() else { return };
        if tokio::time::timeout(patience, process.child.wait()).await.is_err() {
            // Dropping kills it; waiting first leaves no zombie.
            let _ = process.child.kill().await;
        }
    }
}
