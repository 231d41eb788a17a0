//! The command line of Quorate, one module per subcommand.
//!
//! It composes what the other crates do and decides nothing about the protocol. Every error says what was
//! wrong and what to do; the exit code is 0 only if everything asked for was done.

pub mod admin;
pub mod backup;
pub mod bench;
pub mod connect;
pub mod db;
pub mod define_kind;
pub mod demo;
pub mod epochs;
pub mod evidence;
pub mod files;
pub mod forensics;
pub mod get;
pub mod import;
pub mod init;
pub mod json;
pub mod keygen;
pub mod local;
pub mod membership;
pub mod paint;
pub mod progress;
pub mod promise;
pub mod proof;
pub mod quarantine;
pub mod receipt;
pub mod start;
pub mod status;
pub mod submit;
pub mod suspicion;
pub mod watch;

use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

/// A cluster that orders signed operations, even if some of its members lie.
#[derive(Parser, Debug)]
#[command(name = "quorate", version, about, max_term_width = 110, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Init(init::InitArgs),
    Start(start::StartArgs),
    Stop(admin::StopArgs),
    LogFilter(admin::LogFilterArgs),
    Backup(backup::BackupArgs),
    Restore(backup::RestoreArgs),
    Quarantine(quarantine::QuarantineArgs),
    Db(db::DbArgs),
    Keygen(keygen::KeygenArgs),
    Submit(Box<submit::SubmitArgs>),
    Propose(Box<membership::ProposeArgs>),
    Approve(membership::ApproveArgs),
    DefineKind(define_kind::DefineKindArgs),
    Get(get::GetArgs),
    Watch(watch::WatchArgs),
    Status(status::StatusArgs),
    Suspicion(suspicion::SuspicionArgs),
    Explain(suspicion::ExplainArgs),
    Receipt(receipt::ReceiptArgs),
    Proof(proof::ProofArgs),
    Promise(promise::PromiseArgs),
    Epochs(epochs::EpochsArgs),
    LightClient(epochs::LightClientArgs),
    Evidence(evidence::EvidenceArgs),
    Forensics(forensics::ForensicsArgs),
    Import(import::command::ImportArgs),
    Bench(Box<bench::BenchArgs>),
    Demo(demo::DemoArgs),
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quorate: {}", words(&error));
            if error.is::<Interrupted>() { ExitCode::from(Interrupted::EXIT_CODE) } else { ExitCode::FAILURE }
        }
    }
}

/// Ctrl-C while an operation was on its way.
#[derive(Debug, thiserror::Error)]
#[error("operation {id} may still execute; quorate receipt get {id} --wait tells")]
pub struct Interrupted {
    /// The operation.
    pub id: quorate_types::ids::OperationId,
}

impl Interrupted {
    /// As a shell reports what SIGINT ended.
    const EXIT_CODE: u8 = 130;
}

/// An error with its causes; one whose words already stand in those before isn't said again.
fn words(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| match said.as_str() {
        "" => cause,
        before if before.contains(&cause) => said,
        before => format!("{before}: {cause}"),
    })
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init(args) => args.run(),
        Command::Start(args) => wait(args.run()),
        Command::Stop(args) => wait(args.run()),
        Command::LogFilter(args) => wait(args.run()),
        Command::Backup(args) => wait(args.run()),
        Command::Restore(args) => args.run(),
        Command::Quarantine(args) => args.run(),
        Command::Db(args) => args.run(),
        Command::Keygen(args) => args.run(),
        Command::Submit(args) => wait(args.run()),
        Command::Propose(args) => wait(args.run()),
        Command::Approve(args) => wait(args.run()),
        Command::DefineKind(args) => wait(args.run()),
        Command::Get(args) => wait(args.run()),
        Command::Watch(args) => wait(args.run()),
        Command::Status(args) => wait(args.run()),
        Command::Suspicion(args) => wait(args.run()),
        Command::Explain(args) => wait(args.run()),
        Command::Receipt(args) => wait(args.run()),
        Command::Proof(args) => wait(args.run()),
        Command::Promise(args) => wait(args.run()),
        Command::Epochs(args) => wait(args.run()),
        Command::LightClient(args) => wait(args.run()),
        Command::Evidence(args) => wait(args.run()),
        Command::Forensics(args) => args.run(),
        Command::Import(args) => wait(args.run()),
        Command::Bench(args) => wait(args.run()),
        Command::Demo(args) => wait(args.run()),
    }
}

/// Runs a command that talks to others.
fn wait(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("starting the threads of this program")?;
    let result = runtime.block_on(command);
    // What still reads a file or measures needn't be waited for.
    runtime.shutdown_background();
    result
}
