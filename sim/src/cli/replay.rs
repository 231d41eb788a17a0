//! `replay`: a saved plan again, byte for byte, with as much of its story as is asked for.

use super::run::{Output, Telling, carry_out};
use super::source::plan_or_seed;
use crate::byzantine::Behaviours;

/// Arguments of `replay`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The plan's file, a node's recording, or a seed of the profile `any`
    plan: String,
    /// For a recording: the file with the validator's consensus key, to compare every byte
    #[arg(long, value_name = "FILE")]
    key: Option<std::path::PathBuf>,
    /// Tell everything, also each delivery and execution
    #[arg(long)]
    trace: bool,
    /// Only what concerns this machine
    #[arg(long)]
    only: Option<u16>,
    /// Only up to this virtual time
    #[arg(long, value_name = "MS")]
    until: Option<u64>,
    /// Leave the story out
    #[arg(long, conflicts_with_all = ["trace", "only", "until"])]
    quiet: bool,
    #[command(flatten)]
    output: Output,
}

/// Whether it is what a node's flight recorder has written.
#[cfg(feature = "net")]
pub(super) fn is_recording(arguments: &Arguments) -> bool {
    std::fs::read(&arguments.plan).is_ok_and(|bytes| crate::flight::is_recording(&bytes))
}

/// Steps through a recording.
#[cfg(feature = "net")]
pub(super) fn show_recording(arguments: &Arguments) -> anyhow::Result<std::process::ExitCode> {
    let bytes = std::fs::read(&arguments.plan)?;
    crate::flight::show(&bytes, arguments.key.as_deref())
}

pub(super) fn run(arguments: &Arguments, behaviours: &Behaviours) -> anyhow::Result<u8> {
    anyhow::ensure!(arguments.key.is_none(), "--key is for recordings of nodes");
    let plan = plan_or_seed(&arguments.plan)?;
    let again = format!("quorate-sim replay {}", arguments.plan);
    let telling =
        Telling { all: arguments.trace, main: !arguments.quiet, only: arguments.only, until_ms: arguments.until };
    Ok(carry_out(&plan, telling, &arguments.output, &again, behaviours)?.1)
}
