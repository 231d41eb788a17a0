//! The command line of the simulator (simulation §3): `run`, `swarm`, `twins`, `crashes`, `accountability`,
//! `performance-attacks`, `replay`, `shrink`,
//! `explain`, `coverage`, `list`.
//!
//! It is a library so that a user's own program can add behaviours: [`main`] takes them. Exit codes: 0 nothing
//! was found, or exactly what was expected; 1 something unsafe; 2 something stuck; 3 an error of the harness or
//! of its use, or an expected violation that stayed away.

mod accountability;
mod artefacts;
mod ascii;
mod coverage;
mod crashes;
mod engine;
mod explain;
mod junit;
mod performance;
mod replay;
mod run;
mod show;
mod shrink;
mod source;
mod style;
mod swarm;
mod twins;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::byzantine::Behaviours;

/// Throws faults and attacks at a simulated cluster, and shows what happened.
#[derive(Debug, Parser)]
#[command(name = "quorate-sim", version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 nothing found, or exactly the expected violation; 1 unsafe; 2 stuck; 3 an error of the harness or \
of its use, or an expected violation that stayed away.
Start with: quorate-sim run, quorate-sim list, quorate-sim swarm --for 1m";

#[derive(Debug, Subcommand)]
enum Command {
    /// One run: of a seed, a scenario or a plan
    Run(run::Arguments),
    /// Many seeds, in parallel; can be interrupted and resumed
    Swarm(swarm::Arguments),
    /// Two machines with one key, through every partition of a few periods
    Twins(twins::Arguments),
    /// A short script with a view change, crashed at every save and every send
    Crashes(crashes::Arguments),
    /// What attacks on speed cost, with the rules against slow primaries and without, as a table
    PerformanceAttacks(performance::Arguments),
    /// Real nodes over simulated sockets
    #[cfg(feature = "net")]
    #[command(subcommand)]
    Net(crate::net::command::NetCommand),
    /// Each behaviour alone: what it is convicted of, how soon, and whether anybody innocent is accused
    Accountability(accountability::Arguments),
    /// A saved plan again, or what a node's flight recorder has written, with its story
    Replay(replay::Arguments),
    /// Makes a failing plan as small as it gets
    Shrink(shrink::Arguments),
    /// What happened in a run, in plain words
    Explain(explain::Arguments),
    /// Which rare branches a swarm reached, and which it never did
    Coverage(coverage::Arguments),
    /// Scenarios, profiles, behaviours and probes
    List,
}

/// The simulator, with these behaviours beside those built in.
#[must_use]
pub fn main(behaviours: &Behaviours) -> ExitCode {
    end_with_the_reader();
    // clap's own code for bad usage is 2, which here means stuck.
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(3) } else { ExitCode::SUCCESS };
        }
    };
    let done = match arguments.command {
        Command::Run(arguments) => run::run(arguments, behaviours),
        Command::Swarm(arguments) => swarm::run(arguments, behaviours),
        Command::Twins(arguments) => twins::run(&arguments),
        Command::PerformanceAttacks(arguments) => Ok(performance::execute(&arguments)),
        Command::Crashes(arguments) => crashes::run(&arguments),
        Command::Accountability(arguments) => accountability::run(&arguments, behaviours),
        #[cfg(feature = "net")]
        Command::Net(command) => return ended(crate::net::command::execute(command)),
        #[cfg(feature = "net")]
        Command::Replay(arguments) if replay::is_recording(&arguments) => {
            return ended(replay::show_recording(&arguments));
        }
        Command::Replay(arguments) => replay::run(&arguments, behaviours),
        Command::Shrink(arguments) => shrink::run(&arguments, behaviours),
        Command::Explain(arguments) => explain::run(&arguments, behaviours),
        Command::Coverage(arguments) => coverage::run(&arguments),
        Command::List => Ok(source::list(behaviours)),
    };
    ended(done.map(ExitCode::from))
}

/// The exit code, or the reason why there is none.
fn ended(done: anyhow::Result<ExitCode>) -> ExitCode {
    done.unwrap_or_else(|error| {
        eprintln!("{} {error:#}", style::red("quorate-sim:"));
        ExitCode::from(3)
    })
}

/// Whoever reads the output may stop (`| head`): that ends the process as it ends others, without words.
fn end_with_the_reader() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        if text.starts_with("failed printing to") && text.contains("Broken pipe") {
            std::process::exit(141);
        }
        default(panic);
    }));
}
