//! Many runs on many threads: each run is one thread's, outcomes are added in the order of seeds.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::style;
use crate::byzantine::Behaviours;
use crate::world::{FaultPlan, Options, Outcome, Summary, run_with};

/// How often the summary is saved.
const SAVE: Duration = Duration::from_secs(5);
/// How often progress is shown where there is no terminal.
const TELL: Duration = Duration::from_secs(30);

/// Runs to be made.
pub(super) struct Work<'a> {
    /// The plan of a seed.
    pub(super) plan: &'a (dyn Fn(u64) -> anyhow::Result<FaultPlan> + Sync),
    /// The seed after the last one.
    pub(super) to: u64,
    pub(super) until: Option<Instant>,
    pub(super) jobs: usize,
    pub(super) most_failures: u64,
    pub(super) behaviours: &'a Behaviours,
    pub(super) stop: &'a AtomicBool,
    pub(super) is_quiet: bool,
}

/// Threads to use unless told otherwise.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Makes the runs from `summary.next` on; `save` is called now and then, and at the end.
pub(super) fn work(
    work: &Work<'_>,
    summary: &mut Summary,
    mut save: impl FnMut(&mut Summary) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    // A panic in a run is a finding and is told as such; its own words would only break the progress line.
    std::panic::set_hook(Box::new(|_| {}));
    listen_for_interrupt();
    let next = AtomicU64::new(summary.next);
    let (sender, receiver) = mpsc::channel();
    let done = std::thread::scope(|scope| {
        for _ in 0..work.jobs.max(1) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some(seed) = claim(work, next) {
                    if sender.send((seed, run_seed(work, seed))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let gathered = gather(work, &receiver, summary, &mut save);
        // Also where gathering failed: the threads end with their present runs.
        work.stop.store(true, Ordering::Relaxed);
        gathered
    });
    let _ = std::panic::take_hook();
    done?;
    save(summary)
}

fn claim(work: &Work<'_>, next: &AtomicU64) -> Option<u64> {
    let is_late = work.until.is_some_and(|until| Instant::now() >= until);
    if is_late || work.stop.load(Ordering::Relaxed) || INTERRUPTED.load(Ordering::Relaxed) {
        return None;
    }
    let seed = next.fetch_add(1, Ordering::Relaxed);
    (seed < work.to).then_some(seed)
}

fn run_seed(work: &Work<'_>, seed: u64) -> anyhow::Result<Outcome> {
    let plan = (work.plan)(seed)?;
    let options = Options { records: false, behaviours: work.behaviours.clone() };
    Ok(Outcome::of(seed, &plan, &run_with(&plan, &options)))
}

/// Adds outcomes in the order of their seeds until all threads have ended.
fn gather(
    work: &Work<'_>,
    receiver: &mpsc::Receiver<(u64, anyhow::Result<Outcome>)>,
    summary: &mut Summary,
    save: &mut impl FnMut(&mut Summary) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut early = BTreeMap::new();
    let mut progress = Progress::new(summary.runs);
    let mut saved = Instant::now();
    loop {
        match receiver.recv_timeout(Duration::from_millis(200)) {
            Ok((seed, outcome)) => {
                early.insert(seed, outcome?);
                while let Some(outcome) = early.remove(&summary.next) {
                    summary.add(outcome);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if summary.found() >= work.most_failures {
            work.stop.store(true, Ordering::Relaxed);
        }
        if saved.elapsed() > SAVE {
            saved = Instant::now();
            save(summary)?;
        }
        if !work.is_quiet {
            progress.show(work, summary);
        }
    }
    progress.end();
    Ok(())
}

/// The progress line.
struct Progress {
    is_terminal: bool,
    started: Instant,
    shown: Instant,
    before: u64,
    has_shown: bool,
}

impl Progress {
    fn new(before: u64) -> Self {
        let now = Instant::now();
        Self { is_terminal: std::io::stderr().is_terminal(), started: now, shown: now, before, has_shown: false }
    }

    fn show(&mut self, work: &Work<'_>, summary: &Summary) {
        let every = if self.is_terminal { Duration::from_millis(200) } else { TELL };
        if self.shown.elapsed() < every {
            return;
        }
        self.shown = Instant::now();
        let seconds = self.started.elapsed().as_secs_f64().max(1e-9);
        let rate = (summary.runs - self.before) as f64 / seconds;
        let of = if work.to == u64::MAX {
            String::new()
        } else {
            format!(" of {}", style::thousands(work.to - summary.from))
        };
        let line = format!(
            "{}{of} seeds, {rate:.0} per second, {} of virtual time, {} found something",
            style::thousands(summary.runs),
            style::time(summary.virtual_ms),
            summary.found()
        );
        if self.is_terminal {
            eprint!("\r{line}\x1b[K");
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{line}");
        }
        self.has_shown = true;
    }

    fn end(&self) {
        if self.is_terminal && self.has_shown {
            eprintln!();
        }
    }
}

/// Set by the first Ctrl-C.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// The first Ctrl-C lets the present runs end and the summary be written; the second ends the process.
fn listen_for_interrupt() {
    let listen = || -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            tokio::signal::ctrl_c().await?;
            INTERRUPTED.store(true, Ordering::Relaxed);
            eprintln!("\nending the present runs; once more to stop at once");
            tokio::signal::ctrl_c().await?;
            std::process::exit(130)
        })
    };
    // Without a listener Ctrl-C ends the process as usual, and the last summary saved is where it goes on.
    std::thread::spawn(listen);
}
