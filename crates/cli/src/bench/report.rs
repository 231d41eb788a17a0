//! What the benchmark found, for people and for programs.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value as Json, json};

use super::latency::Latencies;
use super::load::{self, LoadPlan, Measured, Window};
use super::process::{self, Usage};
use super::verification::VerificationLimit;
use crate::paint;

/// Threads that are shown by name; the rest is summed up.
const THREADS: usize = 8;

/// The whole.
#[derive(Debug)]
pub(super) struct Report {
    title: String,
    limit: VerificationLimit,
    pub(super) phases: Vec<Phase>,
}

/// One measurement.
#[derive(Debug)]
pub(super) struct Phase {
    plan: LoadPlan,
    measured: Latencies,
    rejected: u64,
    failed: u64,
    first_failure: Option<String>,
    /// What each process used in the time measured.
    used: Vec<(String, Usage)>,
    /// Time on processors by thread, over all validators, in milliseconds.
    threads_ms: BTreeMap<String, u64>,
}

/// What processes have used up to one moment.
#[derive(Debug, Default)]
struct Snapshot {
    processes: Vec<(String, Usage)>,
    threads_ms: BTreeMap<String, u64>,
}

/// Runs the load and measures what it costs.
pub(super) async fn run_phase(
    client: &quorate_client::Client,
    plan: LoadPlan,
    processes: &[(String, u32)],
) -> anyhow::Result<Phase> {
    let from = Instant::now() + plan.warm_up;
    let window = Window { from, to: from + plan.duration };
    let usage = async {
        tokio::time::sleep_until(window.from.into()).await;
        let before = snapshot(processes);
        tokio::time::sleep_until(window.to.into()).await;
        Ok((before?, snapshot(processes)?))
    };
    let (measured, (before, after)) = tokio::try_join!(load::run(client, &plan, window), usage)?;
    let Measured { latencies_us, rejected, failed, first_failure } = measured;
    let before_ms: BTreeMap<&String, u64> = before.processes.iter().map(|(name, usage)| (name, usage.cpu_ms)).collect();
    let since = |(name, usage): &(String, Usage)| {
        let cpu_ms = usage.cpu_ms - before_ms.get(name).copied().unwrap_or_default().min(usage.cpu_ms);
        (name.clone(), Usage { cpu_ms, ..*usage })
    };
    let used = after.processes.iter().map(since).collect();
    let threads = after
        .threads_ms
        .iter()
        .map(|(name, ms)| (name.clone(), ms.saturating_sub(before.threads_ms.get(name).copied().unwrap_or_default())));
    let threads_ms = threads.collect();
    Ok(Phase { plan, measured: Latencies::of(latencies_us), rejected, failed, first_failure, used, threads_ms })
}

fn snapshot(processes: &[(String, u32)]) -> anyhow::Result<Snapshot> {
    let mut all = Snapshot::default();
    for (name, pid) in processes {
        all.processes.push((name.clone(), process::usage(*pid)?));
        for (thread, ms) in process::threads(*pid)? {
            *all.threads_ms.entry(thread).or_default() += ms;
        }
    }
    if !processes.is_empty() {
        all.processes.push(("clients".to_owned(), process::usage(std::process::id())?));
    }
    Ok(all)
}

impl Phase {
    /// Whether every operation was applied.
    pub(super) const fn is_good(&self) -> bool {
        self.rejected + self.failed == 0
    }

    /// Operations per second with a verified receipt.
    pub(super) fn throughput(&self) -> u64 {
        self.measured.count() as u64 / self.plan.duration.as_secs().max(1)
    }

    /// Microseconds of processor time per operation.
    fn cpu_us_per_operation(&self, cpu_ms: u64) -> u64 {
        cpu_ms * 1_000 / (self.measured.count() as u64).max(1)
    }

    fn to_text(&self, limit: &VerificationLimit) -> String {
        let throughput = self.throughput();
        let mut text = format!("\n{}\n", paint::title(&self.plan.pace.words(self.plan.clients)));
        text.push_str(&format!(
            "  {} operations/s ({} mutations/s), {} % of the verification limit\n",
            paint::title(&paint::number(throughput)),
            paint::number(throughput * self.plan.mutations as u64),
            throughput * 100 / limit.operations_per_second().max(1),
        ));
        if self.rejected + self.failed > 0 {
            let why = self.first_failure.as_deref().unwrap_or_default();
            let line = format!("  {} rejected, {} without a receipt: {why}", self.rejected, self.failed);
            text.push_str(&format!("{}\n", paint::bad(&line)));
        }
        text.push_str("  from sending to a verified receipt:\n");
        text.push_str(&self.measured.to_text());
        for (name, usage) in &self.used {
            text.push_str(&format!(
                "  {name:<10} {:>5} µs of CPU per operation, {:>4} % of one core, {:>5} MiB of memory (peak {} MiB)\n",
                self.cpu_us_per_operation(usage.cpu_ms),
                usage.cpu_ms * 100 / (self.plan.duration.as_millis() as u64).max(1),
                usage.resident_bytes >> 20,
                usage.peak_resident_bytes >> 20,
            ));
        }
        text + &self.machine_text(limit.cores) + &self.threads_text()
    }

    /// How much of the machine the measurement had: below what it could use, something else was running, or
    /// everything waited for disks and timers.
    fn machine_text(&self, cores: u64) -> String {
        let all: u64 = self.used.iter().map(|(_, usage)| usage.cpu_ms).sum();
        if all == 0 {
            return String::new();
        }
        let had = all * 100 / (self.plan.duration.as_millis() as u64 * cores).max(1);
        let each = self.cpu_us_per_operation(all);
        format!("  all together {each} µs of CPU per operation, {had} % of the {cores} cores\n")
    }

    fn threads_text(&self) -> String {
        let sum: u64 = self.threads_ms.values().sum();
        if sum == 0 {
            return String::new();
        }
        let mut threads: Vec<(&String, u64)> = self.threads_ms.iter().map(|(name, ms)| (name, *ms)).collect();
        threads.sort_by_key(|(_, ms)| std::cmp::Reverse(*ms));
        let shown: Vec<String> = threads
            .iter()
            .take(THREADS)
            .filter(|(_, ms)| *ms > 0)
            .map(|(name, ms)| format!("{name} {} %", ms * 100 / sum))
            .collect();
        format!("  CPU of the validators by thread: {}\n", shown.join(", "))
    }

    fn to_json(&self, limit: &VerificationLimit) -> Json {
        let pace = match self.plan.pace {
            load::Pace::Closed { in_flight } => json!({ "loop": "closed", "in_flight_per_client": in_flight }),
            load::Pace::Open { rate } => json!({ "loop": "open", "operations_per_second": rate }),
        };
        let used = self.used.iter().map(|(name, usage)| {
            json!({
                "process": name,
                "cpu_ms": usage.cpu_ms,
                "cpu_us_per_operation": self.cpu_us_per_operation(usage.cpu_ms),
                "resident_bytes": usage.resident_bytes,
                "peak_resident_bytes": usage.peak_resident_bytes,
            })
        });
        json!({
            "pace": pace,
            "clients": self.plan.clients,
            "operation_bytes": self.plan.size_bytes,
            "mutations_per_operation": self.plan.mutations,
            "duration_s": self.plan.duration.as_secs(),
            "warm_up_s": self.plan.warm_up.as_secs(),
            "operations_per_second": self.throughput(),
            "mutations_per_second": self.throughput() * self.plan.mutations as u64,
            "percent_of_verification_limit": self.throughput() * 100 / limit.operations_per_second().max(1),
            "rejected": self.rejected,
            "failed": self.failed,
            "latency_to_verified_receipt": self.measured.to_json(),
            "processes": used.collect::<Vec<_>>(),
            "validator_cpu_ms_by_thread": self.threads_ms,
        })
    }
}

impl Report {
    pub(super) const fn new(title: String, limit: VerificationLimit) -> Self {
        Self { title, limit, phases: Vec::new() }
    }

    pub(super) fn to_text(&self) -> String {
        let limit = &self.limit;
        let mut text = format!(
            "{}\nverification limit: {}.{} µs for one signature in a batch on one core; {} validators that verify all \
             on {} cores: {} operations/s\n",
            self.title,
            limit.signature_ns / 1_000,
            limit.signature_ns % 1_000 / 100,
            limit.validators,
            limit.cores,
            paint::number(limit.operations_per_second()),
        );
        self.phases.iter().for_each(|phase| text.push_str(&phase.to_text(limit)));
        text
    }

    pub(super) fn to_json(&self) -> Json {
        let limit = &self.limit;
        json!({
            "title": self.title,
            "verification": {
                "signature_ns": limit.signature_ns,
                "validators": limit.validators,
                "cores": limit.cores,
                "limit_operations_per_second": limit.operations_per_second(),
            },
            "phases": self.phases.iter().map(|phase| phase.to_json(limit)).collect::<Vec<_>>(),
        })
    }
}
