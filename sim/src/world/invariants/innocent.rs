//! Innocence (accountability §1.8): whatever correct validators have said, over all crashes and restarts, no two of
//! their messages are evidence against any of them. This one hears everything that leaves any of them, nothing is too
//! old for it, and it needs nobody to have received it.

use quorate_accountability::Watch;
use quorate_types::evidence::Evidence;

use super::{Fact, Invariant, Scene};

#[derive(Debug, Default)]
pub(super) struct Innocent {
    watch: Option<Watch>,
}

impl Invariant for Innocent {
    fn name(&self) -> (&'static str, &'static str) {
        ("no evidence against correct validators", "accountability §1.8")
    }

    fn on_fact(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), Vec<String>> {
        let Fact::Leaves { by, message } = fact else { return Ok(()) };
        let watch = self.watch.get_or_insert_with(|| Watch::over_records(scene.context.clone()));
        let mut found = Vec::new();
        watch.on_message(message, &mut found);
        // A wrong result comes from a broken disk, too (accountability §1.9).
        found.retain(|evidence| !matches!(evidence, Evidence::Diverged(_)));
        let accuses_correct =
            |found: &&Evidence| found.validator().is_none_or(|accused| !scene.byzantine.contains(&accused.0));
        match found.iter().find(accuses_correct) {
            None => Ok(()),
            Some(evidence) => Err(vec![
                format!(
                    "with what validator {by} says now there is {} against {}",
                    evidence.kind(),
                    evidence.accused()
                ),
                format!("it is judged: {:?}", evidence.verify(&scene.context)),
                format!("{evidence:?}"),
            ]),
        }
    }
}
