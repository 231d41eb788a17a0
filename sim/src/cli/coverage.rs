//! `coverage`: which rare branches a swarm reached, and which none of its runs did (simulation §4).

use std::path::PathBuf;

use anyhow::Context as _;

use super::style;
use crate::byzantine::Conduct;
use crate::world::{PROBES, Summary};

/// Arguments of `coverage`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The folder of a swarm, or its summary.json
    swarm: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let summary = load(&arguments.swarm)?;
    print(&summary);
    let missed = summary.missed().into_iter().filter(|probe| probe.is_expected).count();
    Ok(if missed == 0 { 0 } else { 3 })
}

/// A swarm's summary.
pub(super) fn load(path: &std::path::Path) -> anyhow::Result<Summary> {
    let file = if path.is_dir() { path.join("summary.json") } else { path.to_path_buf() };
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("{} can't be read; expected the folder of a swarm", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} isn't the summary of a swarm", file.display()))
}

/// Prints what was reached, with the zeros in red.
pub(super) fn print(summary: &Summary) {
    println!(
        "{} runs of {}, seeds {} to {}",
        style::thousands(summary.runs),
        summary.profile,
        summary.from,
        summary.next
    );
    println!("{}", style::bold("probes"));
    for probe in PROBES {
        let count = summary.reached.get(probe.name).copied().unwrap_or(0);
        let line = format!("{:>14}  {:<44} {}", style::thousands(count), probe.name, style::dim(probe.about));
        println!("{}", if count == 0 { style::red(&line) } else { line });
    }
    println!("{}", style::bold("faults, by runs that had them"));
    summary.injected.iter().for_each(|(name, count)| println!("{:>14}  {name}", style::thousands(*count)));
    let unused: Vec<String> = Conduct::ALL
        .iter()
        .map(|conduct| format!("byzantine: {}", conduct.name()))
        .filter(|name| !summary.injected.contains_key(name))
        .collect();
    if !unused.is_empty() {
        println!("{}", style::red(&format!("never played: {}", unused.join(", "))));
    }
    let missed: Vec<&str> = summary.missed().iter().map(|probe| probe.name).collect();
    if missed.is_empty() {
        println!("{}", style::green("every probe was reached"));
    } else {
        println!("{} {}", style::red("no run reached:"), missed.join(", "));
    }
}
