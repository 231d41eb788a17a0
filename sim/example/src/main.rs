//! The simulator with one behaviour more: a whole `quorate-sim` whose plans and scenarios may name it.
//!
//! ```text
//! cargo run -p quorate-sim-example -- run --scenario sim/example/late-commits.toml --report late.html
//! ```

use std::process::ExitCode;

use quorate_sim::byzantine::{Behaviour, Behaviours, Letters, Stage};
use quorate_types::message::Message;
use quorate_types::vote::Phase;

/// Keeps its commit votes back for a while, and to one validator never sends any.
#[derive(Debug, Default)]
struct LateCommits {
    /// Whom it shuns; chosen when it first votes.
    shunned: Option<u16>,
}

impl Behaviour for LateCommits {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        let is_commit = matches!(&message, Message::Vote(vote) if vote.vote.statement.phase == Phase::Commit);
        if !is_commit {
            out.push((to, message));
            return;
        }
        let shunned = *self.shunned.get_or_insert_with(|| {
            let correct = stage.correct();
            stage.dice.pick(&correct).copied().unwrap_or(stage.me)
        });
        if to != shunned {
            out.push_late(to, message, 40);
        }
    }
}

fn main() -> ExitCode {
    quorate_sim::cli::main(&Behaviours::new().with("late_commits", || Box::new(LateCommits::default())))
}

#[cfg(test)]
mod tests {
    use quorate_sim::scenario;
    use quorate_sim::world::{Options, run_with};

    use super::*;

    #[test]
    fn the_example_runs_and_the_cluster_bears_it() {
        let behaviours = Behaviours::new().with("late_commits", || Box::new(LateCommits::default()));
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/late-commits.toml");
        let scenario = scenario::load(file, &behaviours).unwrap();
        let report = run_with(&scenario.plan(1).unwrap(), &Options { records: false, behaviours });
        assert!(report.verdict.is_passed(), "{}", report.verdict);
        assert_eq!(scenario.admit(&report), Ok(()));
        let unknown = scenario::load(file, &Behaviours::new()).unwrap_err().to_string();
        assert!(unknown.contains("late_commits") && unknown.contains("line "), "{unknown}");
    }
}
