//! `quorate-model`: explores the abstract model of the ordering protocol to the end of a bound, or shows
//! the shortest run found that breaks one of its properties.
//!
//! Exit codes: 0 nothing is broken, 1 something is, 2 wrong usage, 3 a limit stopped it first. What the
//! model covers and why it may be trusted is said in `quorate_sim::model`.

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use quorate_sim::model::{
    Bound, Config, Counterexample, Invariant, Primaries, Progress, Report, Variant, explore, smallest,
};

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// Checks a small model of the ordering protocol (four validators, one Byzantine) exhaustively.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// How many views; unless said, views are explored until none adds anything, so that what holds
    /// holds for any number of them (but 5 with `--byzantine`, 3 with `--variants`).
    #[arg(long)]
    views: Option<u8>,
    /// How many sequences; 3 unless said, 2 with `--quick` and `--variants`.
    #[arg(long)]
    sequences: Option<u8>,
    /// How many different proposals can be made on one parent.
    #[arg(long, default_value_t = 2)]
    values: u8,
    /// Follow a wrong protocol: `none`, or a name that `--variants` lists.
    #[arg(long, default_value_t = Variant::None)]
    variant: Variant,
    /// Look for every wrong variant at the smallest bound that shows it, and print a table.
    #[arg(long)]
    variants: bool,
    /// Which validator is Byzantine; without it no primary is trusted, which covers every choice.
    #[arg(long)]
    byzantine: Option<u16>,
    /// Check one property only: agreement, certificates-on-one-chain, no-double-sign or
    /// anchor-above-committed.
    #[arg(long)]
    only: Option<Invariant>,
    /// Stop after so many states.
    #[arg(long)]
    limit_states: Option<u64>,
    /// Stop after so many seconds.
    #[arg(long)]
    limit_seconds: Option<u64>,
    /// Two sequences only, which takes a second.
    #[arg(long, conflicts_with = "sequences")]
    quick: bool,
}

/// Tells how far it is, and says when a limit is reached.
struct Watcher {
    start: Instant,
    told: Instant,
    limit_states: Option<u64>,
    limit_seconds: Option<u64>,
    stopped: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let views = match (arguments.variants, arguments.byzantine) {
        (true, _) => Some(3),
        (false, Some(_)) => Some(5),
        (false, None) => None,
    };
    let sequences = if arguments.quick || arguments.variants { 2 } else { 3 };
    let config = Config {
        bound: Bound {
            views: arguments.views.or(views),
            sequences: arguments.sequences.unwrap_or(sequences),
            values: arguments.values,
        },
        variant: arguments.variant,
        primaries: arguments.byzantine.map_or(Primaries::Untrusted, Primaries::Byzantine),
        only: arguments.only,
    };
    let now = Instant::now();
    let mut watcher = Watcher {
        start: now,
        told: now,
        limit_states: arguments.limit_states,
        limit_seconds: arguments.limit_seconds,
        stopped: false,
    };
    if arguments.variants { show_variants(&config, &mut watcher) } else { show_one(&config, &mut watcher) }
}

/// One exploration.
fn show_one(config: &Config, watcher: &mut Watcher) -> anyhow::Result<ExitCode> {
    let out = &mut io::stdout().lock();
    let report = explore(config, &mut |progress| watcher.go_on(progress))?;
    let Bound { sequences, values, .. } = config.bound;
    let views = config.bound.views.map_or("any number of".to_owned(), |views| views.to_string());
    writeln!(out, "model: 4 validators, 1 Byzantine ({})", whose(config.primaries))?;
    writeln!(out, "rules: {} ({})", config.variant, config.variant.about())?;
    writeln!(out, "bound asked for: {views} views, {sequences} sequences, {values} values per parent")?;
    write_figures(out, &report)?;
    let seconds = watcher.start.elapsed().as_secs_f64();
    writeln!(out, "time: {seconds:.2} s, memory at its highest: {}", peak_memory())?;
    if let Some(found) = &report.counterexample {
        write_counterexample(out, found)?;
        return Ok(ExitCode::from(1));
    }
    let exhausted = report.exhausted;
    let reached = if report.closed { "any number of".to_owned() } else { exhausted.to_string() };
    writeln!(out, "exhausted: {reached} views, {sequences} sequences, {values} values: nothing is broken")?;
    if watcher.stopped {
        writeln!(out, "NOT THE WHOLE BOUND: a limit stopped it in view {exhausted}")?;
        return Ok(ExitCode::from(3));
    }
    Ok(ExitCode::SUCCESS)
}

fn whose(primaries: Primaries) -> String {
    match primaries {
        Primaries::Untrusted => "any of them; no primary is trusted".to_owned(),
        Primaries::Byzantine(index) => format!("validator {index}"),
    }
}

fn write_figures(out: &mut impl Write, report: &Report) -> io::Result<()> {
    writeln!(out, "{:>4} {:>10} {:>10} {:>14} {:>14}", "view", "pasts", "grounds", "vote states", "steps")?;
    for (view, figures) in report.views.iter().enumerate() {
        let (pasts, grounds) = (figures.pasts, figures.grounds);
        writeln!(out, "{view:>4} {pasts:>10} {grounds:>10} {:>14} {:>14}", figures.states, figures.steps)?;
    }
    let states: u64 = report.views.iter().map(|figures| figures.states).sum();
    let steps: u64 = report.views.iter().map(|figures| figures.steps).sum();
    writeln!(out, "states: {states}, steps: {steps}")
}

fn write_counterexample(out: &mut impl Write, found: &Counterexample) -> io::Result<()> {
    writeln!(out, "BROKEN: {}: {}", found.invariant, found.facts)?;
    writeln!(out, "after {} actions of correct validators:", found.actions)?;
    found.lines.iter().try_for_each(|line| writeln!(out, "  {line}"))
}

/// Every wrong variant at its smallest bound; fails if one isn't found that should be, or the reverse.
fn show_variants(config: &Config, watcher: &mut Watcher) -> anyhow::Result<ExitCode> {
    let out = &mut io::stdout().lock();
    let (views, sequences) = (config.bound.views.unwrap_or_default(), config.bound.sequences);
    writeln!(out, "every wrong variant, up to {views} views and {sequences} sequences")?;
    let mut as_expected = true;
    for variant in Variant::wrong() {
        let begun = Instant::now();
        let found = smallest(&Config { variant, ..*config }, &mut |progress| watcher.go_on(progress))?;
        let ms = begun.elapsed().as_millis();
        if watcher.stopped {
            writeln!(out, "NOT ALL: a limit stopped it at {variant}")?;
            return Ok(ExitCode::from(3));
        }
        as_expected &= config.only.is_some() || found.is_some() == variant.is_unsafe();
        writeln!(out, "{:<28} {:<84} {ms:>6} ms", variant.to_string(), outcome(found.as_ref()))?;
    }
    Ok(if as_expected { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn outcome(found: Option<&(Config, Report)>) -> String {
    let Some((config, report)) = found else { return "nothing is broken".to_owned() };
    let Some(counterexample) = &report.counterexample else { return "nothing is broken".to_owned() };
    let (views, sequences) = (config.bound.views.unwrap_or_default(), config.bound.sequences);
    let Counterexample { invariant, actions, .. } = counterexample;
    let who = whose(config.primaries);
    format!("{views} views, {sequences} sequences, {who} Byzantine: {invariant} in {actions} actions")
}

impl Watcher {
    fn go_on(&mut self, progress: &Progress) -> bool {
        let elapsed = self.start.elapsed();
        if self.told.elapsed() >= TELL_EVERY {
            self.told = Instant::now();
            let Progress { view, done, pasts, states } = progress;
            eprintln!("{:>6.0} s: view {view}, {done} of {pasts} pasts, {states} states", elapsed.as_secs_f64());
        }
        self.stopped |= self.limit_states.is_some_and(|limit| progress.states >= limit)
            || self.limit_seconds.is_some_and(|limit| elapsed.as_secs() >= limit);
        !self.stopped
    }
}

/// The most memory that this process had resident, as the kernel counts it.
fn peak_memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or("unknown".to_owned(), |text| text.trim().to_owned())
}
