//! One validator's process, and everything that may happen to a process.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use quorate_cli::init::NODE;
use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// A validator and, while it runs, its process.
#[derive(Debug)]
pub struct Validator {
    name: String,
    directory: PathBuf,
    process: Option<Process>,
    /// Started with SIGXFSZ ignored.
    survives_file_limit: bool,
}

#[derive(Debug)]
struct Process {
    child: Child,
    /// When this end of the pipe closes, the process stops: also when the test is killed.
    _leash: ChildStdin,
}

impl Validator {
    /// The validator whose files lie in its directory of a cluster's.
    #[must_use]
    pub fn new(name: &str, cluster: &Path) -> Self {
        let directory = cluster.join(name);
        Self { name: name.to_owned(), directory, process: None, survives_file_limit: false }
    }

    /// Its name in the genesis.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The directory with its keys, configuration, store and guard file.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Everything that it has logged so far, over all starts.
    ///
    /// # Errors
    /// If the log can't be read.
    pub fn log(&self) -> anyhow::Result<String> {
        let path = self.directory.join("log");
        std::fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    /// The last lines of its log.
    #[must_use]
    pub fn last_words(&self, lines: usize) -> String {
        let log = self.log().unwrap_or_default();
        let all: Vec<&str> = log.lines().collect();
        let last = &all[all.len().saturating_sub(lines)..];
        format!("--- the end of the log of {}\n{}\n", self.name, last.join("\n"))
    }

    /// From its next start on, a write beyond a limit on files is an error for it and not the end.
    pub const fn survives_file_limit(&mut self) {
        self.survives_file_limit = true;
    }

    /// Its process, if it runs.
    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        let id = self.process.as_ref()?.child.id();
        i32::try_from(id).ok().and_then(Pid::from_raw)
    }

    /// The command that starts it.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if self.survives_file_limit {
            command = Command::new("/bin/sh");
            command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]).arg(program);
        }
        command.args(["start", "--leashed", "--config"]).arg(self.directory.join(NODE));
        command
    }

    /// Starts it.
    ///
    /// # Errors
    /// If it runs, or can't be started.
    pub fn start(&mut self, program: &Path) -> anyhow::Result<()> {
        self.start_with(program, &[])
    }

    /// Starts it, with more arguments.
    ///
    /// # Errors
    /// If it runs, or can't be started.
    pub fn start_with(&mut self, program: &Path, arguments: &[&str]) -> anyhow::Result<()> {
        ensure!(self.process.is_none(), "{} runs already", self.name);
        let log = OpenOptions::new().create(true).append(true).open(self.directory.join("log"))?;
        let mut child = self
            .command(program)
            .args(arguments)
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let leash = child.stdin.take().context("the process has no standard input")?;
        self.process = Some(Process { child, _leash: leash });
        Ok(())
    }

    /// SIGKILL: no farewell, nothing saved.
    ///
    /// # Errors
    /// If it doesn't run.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let Some(mut process) = self.process.take() else { bail!("{} doesn't run", self.name) };
        process.child.kill()?;
        process.child.wait()?;
        Ok(())
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If it doesn't run.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.pid().with_context(|| format!("{} doesn't run", self.name))?;
        kill_process(pid, signal).with_context(|| format!("sending a signal to {}", self.name))
    }

    /// Waits until it ends by itself, and says how.
    ///
    /// # Errors
    /// If it doesn't, or doesn't run.
    pub async fn ended(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let Self { process, name, .. } = self;
        let running = process.as_mut().with_context(|| format!("{name} doesn't run"))?;
        let status = wait::until(&format!("the end of {name}"), limit, async || {
            running.child.try_wait()?.context("it still runs")
        })
        .await?;
        *process = None;
        Ok(status)
    }

    /// Fails if it was started and has ended.
    ///
    /// # Errors
    /// With its last words.
    pub fn admit_alive(&mut self) -> anyhow::Result<()> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let Some(status) = process.child.try_wait()? else { return Ok(()) };
        bail!("{} ended with {status}\n{}", self.name, self.last_words(30))
    }
}

impl Drop for Validator {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Gone already is what was wanted.
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}
