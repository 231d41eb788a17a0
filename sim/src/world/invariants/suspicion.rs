//! No correct validator is ever held beyond a warning by a correct one: whatever links, disks, clocks and `f` liars
//! do (accountability §6.8).

use quorate_replica::Notice;
use quorate_replica::suspicion::{Change, Level};

use super::{Fact, Invariant, Scene};

#[derive(Debug)]
pub(super) struct Suspicion;

impl Invariant for Suspicion {
    fn name(&self) -> (&'static str, &'static str) {
        ("no correct validator is suspected beyond a warning", "accountability §6.8")
    }

    fn on_fact(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), Vec<String>> {
        let Fact::Notice { by, notice: Notice::Suspicion(Change::Level { validator, to, score, mostly, .. }) } = fact
        else {
            return Ok(());
        };
        if *to <= Level::Warn || scene.byzantine.contains(&validator.0) {
            return Ok(());
        }
        let mostly = mostly.map_or("nothing", quorate_replica::suspicion::Rule::name);
        Err(vec![format!("validator {by} holds {} against the correct {validator}: {score}, {mostly}", to.name())])
    }
}
