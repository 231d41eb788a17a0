//! `crashes`: a short script with a view change, crashed at every save and every send (simulation §2.4).

use std::time::Instant;

use super::artefacts::Artefacts;
use super::style;
use crate::world::{self, CrashPoints, script};

/// Arguments of `crashes`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The seed of the script
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let started = Instant::now();
    let points = CrashPoints::of(script(arguments.seed));
    println!("{} points, each with what wasn't synced lost and kept", points.count());
    let (mut worst, mut found) = (0, 0_u64);
    let mut artefacts = None;
    for (ordinal, keep) in (1..=points.count()).flat_map(|ordinal| [(ordinal, false), (ordinal, true)]) {
        let verdict = points.run(ordinal, keep).verdict;
        if verdict.is_passed() {
            continue;
        }
        let code = verdict.exit_code();
        let fate = if keep { "kept" } else { "lost" };
        println!("{} point {ordinal}, unsynced data {fate}: {verdict}", style::red("found:"));
        worst = if worst == 0 { code } else { code.min(worst) };
        found += 1;
        let folder = match artefacts.take() {
            Some(folder) => folder,
            None => Artefacts::new(None, &format!("crashes-{}", arguments.seed))?,
        };
        let plan = points.plan(ordinal, keep);
        folder.keep_run(&format!("point-{ordinal}-{fate}"), &plan, &world::run(&plan, true))?;
        artefacts = Some(folder);
    }
    let runs = 2 * points.count();
    println!("{found} of {runs} runs found something, in {:.0} s", started.elapsed().as_secs_f64());
    if let Some(folder) = artefacts {
        folder.announce();
    }
    Ok(worst)
}
