//! What a process has used, as Linux tells it in `/proc`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail};

/// What a process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory now, in bytes.
    pub resident_bytes: u64,
    /// The most memory so far, in bytes.
    pub peak_resident_bytes: u64,
    /// Time on processors since the start, in milliseconds, user and system together.
    pub cpu_ms: u64,
}

/// What the process `pid` uses.
///
/// # Errors
/// If there is no such process, or this system has no `/proc`.
pub fn usage(pid: u32) -> anyhow::Result<Usage> {
    let read = |file: &str| {
        let path: PathBuf = ["/proc", &pid.to_string(), file].iter().collect();
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    };
    let status = read("status")?;
    Ok(Usage {
        resident_bytes: status_bytes(&status, "VmRSS")?,
        peak_resident_bytes: status_bytes(&status, "VmHWM")?,
        cpu_ms: cpu_ms(&read("stat")?, rustix::param::clock_ticks_per_second())?,
    })
}

/// Time on processors of the threads of process `pid`, in milliseconds, by name; threads of one name are
/// added up, and a number at the end of a name is left out.
///
/// # Errors
/// If there is no such process.
pub fn threads(pid: u32) -> anyhow::Result<BTreeMap<String, u64>> {
    let path: PathBuf = ["/proc", &pid.to_string(), "task"].iter().collect();
    let tasks = std::fs::read_dir(&path).with_context(|| format!("listing {}", path.display()))?;
    let ticks = rustix::param::clock_ticks_per_second();
    let mut threads = BTreeMap::new();
    for task in tasks {
        let directory = task.with_context(|| format!("listing {}", path.display()))?.path();
        // A thread may end while it is looked at.
        let read = |file| std::fs::read_to_string(directory.join(file));
        if let (Ok(name), Ok(stat)) = (read("comm"), read("stat")) {
            let name = name.trim().trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
            *threads.entry(name.to_owned()).or_default() += cpu_ms(&stat, ticks)?;
        }
    }
    Ok(threads)
}

/// A line of `status` such as `VmRSS:     12345 kB`.
fn status_bytes(status: &str, field: &str) -> anyhow::Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    let Some(kib) = kib else { bail!("/proc/PID/status has no {field}") };
    Ok(kib * 1_024)
}

/// Fields 14 and 15 of `stat`: user and system time in ticks. The second field is the program's name in
/// brackets, which may hold anything; counting starts behind the last bracket.
fn cpu_ms(stat: &str, ticks_per_second: u64) -> anyhow::Result<u64> {
    let (_, rest) = stat.rsplit_once(')').context("/proc/PID/stat has no program name")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok());
    match (ticks(11), ticks(12)) {
        (Some(user), Some(system)) => Ok((user + system) * 1_000 / ticks_per_second.max(1)),
        _ => bail!("/proc/PID/stat has no times"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory() {
        let usage = usage(std::process::id()).unwrap();
        assert!(usage.resident_bytes > 0 && usage.peak_resident_bytes >= usage.resident_bytes);
        assert!(!threads(std::process::id()).unwrap().is_empty());
    }

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20";
        assert_eq!(cpu_ms(stat, 100).unwrap(), 2_000);
        assert!(cpu_ms("12 S", 100).is_err());
    }

    #[test]
    fn sizes_are_in_kibibytes() {
        assert_eq!(status_bytes("Name:\tx\nVmRSS:\t    12 kB\n", "VmRSS").unwrap(), 12 << 10);
        assert!(status_bytes("Name:\tx\n", "VmRSS").is_err());
    }
}
