//! The harness proves itself (simulation §4): each known bug is planted, and what should find it is run.
//!
//! A planted bug is a `cfg(mutant = "…")` in a pure crate, switched by the environment variable
//! `QUORATE_MUTANT`, which only the build scripts of those crates read; builds go to a directory of their
//! own. The code without any planted bug runs the same finders and must find nothing.
//!
//! Exit codes: 0 every bug was found and the unchanged code is clean, 1 not so, 3 an error of the harness.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::{Parser, ValueEnum};

/// Plants known bugs and shows that each is found.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Only this bug.
    #[arg(long)]
    only: Option<String>,
    /// How many of the bugs.
    #[arg(long, default_value = "all")]
    share: Share,
    /// How often each bug is looked for in the world, each time in seeds of its own: the median and the worst are shown.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=99))]
    bases: u64,
    /// Only the list.
    #[arg(long)]
    list: bool,
}

/// The distance of two first seeds: no finder looks at so many.
const BASE: u64 = 1_000_000;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Share {
    /// Every bug.
    All,
    /// Those that each change of the code is tried against.
    Ci,
}

/// A bug to be planted.
struct Mutant {
    name: &'static str,
    what: &'static str,
    finder: Finder,
    /// Part of the share for each change.
    ci: bool,
}

/// What should find it, and within what.
#[derive(Clone, Copy)]
enum Finder {
    /// Seeds of the world, under one of its profiles.
    World { profile: &'static str, seeds: u64 },
    /// The abstract model at its small bound, with these arguments.
    Model(&'static [&'static str]),
    /// A test of a rule, by package, the target it is in, and name.
    Rule { package: &'static str, target: &'static [&'static str], test: &'static str },
}

const fn world(profile: &'static str, seeds: u64) -> Finder {
    Finder::World { profile, seeds }
}

const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "read-of-one",
        what: "a linearizable read after one validator's answer",
        finder: Finder::Rule {
            package: "quorate-types",
            target: &["--lib"],
            test: "a_round_needs_a_quorum_of_distinct_validators_over_its_own_nonce",
        },
        ci: false,
    },
    Mutant {
        name: "slow-against-its-own-past",
        what: "a primary's pace judged against what it achieved itself",
        finder: Finder::Rule {
            package: "quorate-consensus",
            target: &["--test", "rules"],
            test: "pace::a_delay_that_grows_slowly_does_not_move_its_own_bound",
        },
        ci: false,
    },
    Mutant {
        name: "votes-beyond-epoch",
        what: "votes above the last sequence of an epoch",
        finder: Finder::Rule {
            package: "quorate-consensus",
            target: &["--test", "rules"],
            test: "epochs::nothing_above_the_last_sequence_is_voted_on_or_delivered",
        },
        ci: false,
    },
    Mutant {
        name: "evidence-unsigned",
        what: "evidence of two statements whose signatures nobody looks at",
        finder: world("any", 2_000),
        ci: false,
    },
    Mutant {
        name: "result-of-blocking-set",
        what: "a result certified by blocking validators instead of a quorum",
        finder: Finder::Rule {
            package: "quorate-types",
            target: &["--lib"],
            test: "a_result_needs_a_quorum_of_distinct_signers",
        },
        ci: false,
    },
    Mutant {
        name: "chunk-unverified",
        what: "parts of a state taken without their proof",
        finder: Finder::Rule {
            package: "quorate-replica",
            target: &["--test", "rules"],
            test: "a_lying_provider_is_dropped_and_reported",
        },
        ci: false,
    },
    Mutant { name: "quorum-minus-one", what: "a quorum of q − 1", finder: world("any", 200), ci: true },
    Mutant {
        name: "anchor-by-sequence",
        what: "the anchor chosen by sequence before view",
        finder: Finder::Model(&["--quick"]),
        ci: false,
    },
    Mutant {
        name: "signer-counted-twice",
        what: "one signer counted twice in a certificate",
        finder: world("hostile", 400),
        ci: false,
    },
    Mutant {
        name: "views-mixed",
        what: "commits of two views mixed in one certificate",
        finder: world("views", 1_000),
        ci: false,
    },
    Mutant {
        name: "other-digest-counted",
        what: "prepares for another digest counted",
        finder: world("hostile", 400),
        ci: true,
    },
    Mutant {
        name: "parent-only-received",
        what: "a parent merely received, not voted for",
        finder: world("hostile", 2_000),
        ci: false,
    },
    Mutant {
        name: "commit-off-chain",
        what: "a commit vote off the chain of one's own votes",
        finder: world("hostile", 2_000),
        ci: false,
    },
    Mutant {
        name: "second-new-view",
        what: "a second new view accepted in one view",
        finder: world("new-views", 1_000),
        ci: false,
    },
    Mutant {
        name: "new-view-forgotten",
        what: "the accepted new view forgotten over a restart",
        finder: world("restarts", 400),
        ci: false,
    },
    Mutant {
        name: "view-forgotten",
        what: "the view forgotten over a restart",
        finder: world("restarts", 400),
        ci: true,
    },
    Mutant {
        name: "views-climbed-alone",
        what: "timers that climb views alone",
        finder: world("views", 400),
        ci: false,
    },
    Mutant {
        name: "backoff-reset-by-any-commit",
        what: "the timeout's exponent reset by any commit",
        finder: Finder::Rule {
            package: "quorate-consensus",
            target: &["--lib"],
            test: "a_view_with_a_commit_takes_back_one_doubling_only",
        },
        ci: false,
    },
    Mutant {
        name: "revote-from-bottom",
        what: "re-proposed sequences voted on one by one from the bottom",
        finder: Finder::Rule {
            package: "quorate-consensus",
            target: &["--test", "rules"],
            test: "one_round_for_the_anchor_commits_the_whole_chain_below_it",
        },
        ci: false,
    },
    Mutant {
        name: "send-before-save",
        what: "a vote sent before its record is durable",
        finder: world("any", 20),
        ci: true,
    },
    Mutant {
        name: "signs-after-lost-store",
        what: "signing after a lost store",
        finder: world("lost-stores", 200),
        ci: true,
    },
    Mutant {
        name: "quarantine-forgotten",
        what: "batches numbered in quarantine: a store that lost some signs again after a restart",
        finder: world("lost-stores", 1_000),
        ci: false,
    },
    Mutant {
        name: "unbacked-vote-sent",
        what: "a vote that a restart brought back sent without the bundles that it names",
        finder: Finder::Rule {
            package: "quorate-replica",
            target: &["--test", "rules"],
            test: "a_replayed_vote_is_not_sent_without_the_bundles_that_it_names",
        },
        ci: false,
    },
    Mutant {
        name: "far-results-unvoted",
        what: "results far above a missing certificate never voted on",
        finder: Finder::Rule {
            package: "quorate-replica",
            target: &["--lib"],
            test: "results_out_of_reach_are_voted_on_later",
        },
        ci: false,
    },
];

fn main() -> ExitCode {
    match try_all(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("quorate-mutants: {error:#}");
            ExitCode::from(3)
        }
    }
}

/// Whether every bug was found and the unchanged code is clean.
fn try_all(arguments: &Arguments) -> anyhow::Result<bool> {
    let is_wanted = |mutant: &&Mutant| {
        arguments.only.as_deref().is_none_or(|only| only == mutant.name) && (arguments.share == Share::All || mutant.ci)
    };
    let mutants: Vec<&Mutant> = MUTANTS.iter().filter(is_wanted).collect();
    if mutants.is_empty() {
        bail!("there is no such bug; --list names them");
    }
    if arguments.list {
        mutants.iter().for_each(|mutant| println!("{:<28} {}", mutant.name, mutant.what));
        return Ok(true);
    }
    println!("{:<58} {:<18} {:<28} {:>11}", "planted bug", "found by", "after", "limit");
    let mut is_good = true;
    for mutant in &mutants {
        let started = Instant::now();
        let found = find(Some(mutant.name), mutant.finder, arguments.bases)?;
        is_good &= found.iter().all(Option::is_some);
        print_row(mutant, &found, started.elapsed());
    }
    for mutant in &mutants {
        if find(None, mutant.finder, arguments.bases)?.iter().any(Option::is_some) {
            println!("the unchanged code is blamed by the finder of {}", mutant.name);
            is_good = false;
        }
    }
    println!("{}", if is_good { "every bug was found, the unchanged code is clean" } else { "NOT GOOD" });
    Ok(is_good)
}

fn print_row(mutant: &Mutant, found: &[Option<u64>], took: Duration) {
    let (by, limit) = match mutant.finder {
        Finder::World { profile, seeds } => (format!("world, {profile}"), format!("{seeds} seeds")),
        Finder::Model(_) => ("model".to_owned(), "exhaustive".to_owned()),
        Finder::Rule { .. } => ("rule test".to_owned(), "1 test".to_owned()),
    };
    let after = after(mutant.finder, found);
    println!("{:<58} {by:<18} {after:<28} {limit:>11}  ({} s)", mutant.what, took.as_secs());
}

/// How much it took, in words: of several searches the median and the worst.
fn after(finder: Finder, found: &[Option<u64>]) -> String {
    let Some(mut took) = found.iter().copied().collect::<Option<Vec<u64>>>() else {
        let missed = found.iter().filter(|one| one.is_none()).count();
        return format!("NOT FOUND in {missed} of {}", found.len());
    };
    took.sort_unstable();
    match (finder, took.as_slice()) {
        (Finder::World { .. }, [once]) => format!("{once} seeds"),
        (Finder::World { .. }, [.., worst]) => format!("{} seeds, at worst {worst}", took[took.len() / 2]),
        (Finder::Model(_), _) => "a counterexample".to_owned(),
        _ => "1 test".to_owned(),
    }
}

/// Runs a finder on the code with a bug, or without any; says after how many seeds or tests it found something, for
/// each of the searches: as many as `bases` in the world, else one.
fn find(mutant: Option<&str>, finder: Finder, bases: u64) -> anyhow::Result<Vec<Option<u64>>> {
    match finder {
        Finder::World { profile, seeds } => {
            build(mutant, "quorate-sim")?;
            (0..bases).map(|base| search(profile, seeds, base * BASE)).collect()
        }
        Finder::Model(arguments) => {
            build(mutant, "quorate-model")?;
            let output = run("quorate-model", arguments)?;
            match output.status.code() {
                Some(0) => Ok(vec![None]),
                Some(1) => Ok(vec![Some(1)]),
                _ => bail!("the model failed: {}", String::from_utf8_lossy(&output.stderr)),
            }
        }
        Finder::Rule { package, target, test } => {
            let arguments = [&["test", "--quiet", "--locked", "-p", package], target, &["--", test]].concat();
            let output = cargo(mutant, &arguments)?;
            let text = String::from_utf8_lossy(&output.stdout);
            if !text.contains("1 passed") && !text.contains("1 failed") {
                bail!("the test {test} of {package} didn't run:\n{text}{}", String::from_utf8_lossy(&output.stderr));
            }
            Ok(vec![(!output.status.success()).then_some(1)])
        }
    }
}

/// A campaign that ends with the first thing found: after how many seeds that was.
fn search(profile: &str, seeds: u64, from: u64) -> anyhow::Result<Option<u64>> {
    let (seeds, from) = (seeds.to_string(), from.to_string());
    let out = target().join("mutant-artefacts").display().to_string();
    let often = ["--failures", "1", "--jobs", "1", "--quiet", "--out", &out];
    let arguments = [&["swarm", "--profile", profile, "--seeds", &seeds, "--from", &from][..], &often].concat();
    let output = run("quorate-sim", &arguments)?;
    let text = String::from_utf8_lossy(&output.stdout);
    match output.status.code() {
        Some(0) => Ok(None),
        Some(1 | 2) => {
            let runs = text.lines().find_map(|line| line.split_once(" runs, ")?.0.trim().replace(',', "").parse().ok());
            runs.map(Some).with_context(|| format!("the world doesn't say how many runs it took:\n{text}"))
        }
        _ => bail!("the world failed: {text}"),
    }
}

fn build(mutant: Option<&str>, binary: &str) -> anyhow::Result<()> {
    let of = ["build", "--quiet", "--locked", "--profile", "mutants", "-p", "quorate-sim", "--no-default-features"];
    let built = cargo(mutant, &[&of[..], &["--bin", binary]].concat())?;
    if !built.status.success() {
        bail!("building {binary} with {mutant:?} failed:\n{}", String::from_utf8_lossy(&built.stderr));
    }
    Ok(())
}

fn run(binary: &str, arguments: &[&str]) -> anyhow::Result<Output> {
    let path = target().join("mutants").join(binary);
    Command::new(&path).args(arguments).output().with_context(|| format!("running {}", path.display()))
}

fn cargo(mutant: Option<&str>, arguments: &[&str]) -> anyhow::Result<Output> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).arg("--target-dir").arg(target());
    // Arguments after `--` belong to the test; the directory must stand before.
    if let Some(split) = arguments.iter().position(|argument| *argument == "--") {
        command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(&arguments[..split]).arg("--target-dir").arg(target()).args(&arguments[split..]);
    }
    match mutant {
        Some(mutant) => command.env("QUORATE_MUTANT", mutant),
        None => command.env_remove("QUORATE_MUTANT"),
    };
    command.output().context("running cargo")
}

/// Where builds with planted bugs go, away from all others.
fn target() -> PathBuf {
    let base = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    base.join("mutants")
}
