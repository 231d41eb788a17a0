//! The simulator with the behaviours that are built in (simulation §3).

use std::process::ExitCode;

use quorate_sim::byzantine::Behaviours;

fn main() -> ExitCode {
    quorate_sim::cli::main(&Behaviours::new())
}
