//! Whoever is barred follows no view as its primary, and everyone follows the same one (protocol §3.7, §8.6).

use super::{Fact, Invariant, Scene};

#[derive(Debug)]
pub(super) struct Leaders;

impl Invariant for Leaders {
    fn name(&self) -> (&'static str, &'static str) {
        ("whoever is barred doesn't lead", "protocol §8.6")
    }

    fn on_fact(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), Vec<String>> {
        let Fact::Turn { by, after, .. } = fact else { return Ok(()) };
        let Some(primary) = after.primary else { return Ok(()) };
        let expected = expected(scene, after.view.0);
        if primary == expected {
            return Ok(());
        }
        let (epoch, view) = (after.epoch, after.view);
        Err(vec![
            format!("validator {by} follows {primary} in view {view} of epoch {epoch}, its primary is {expected}"),
            format!("{} keys are barred there", scene.context.set.barred().len()),
        ])
    }
}

/// The primary, written a second time: by counting on from validator to validator, past those left out.
fn expected(scene: &Scene, view: u64) -> u16 {
    let left_out = &scene.context.set.barred()[..scene.context.set.barred().len().min(scene.faulty())];
    let leads = scene.context.set.iter().filter(|(_, info)| !left_out.contains(&info.consensus_key));
    let leaders: Vec<u16> = leads.map(|(index, _)| index.0).collect();
    let turns = (view % leaders.len() as u64) + (scene.context.epoch.0 % leaders.len() as u64);
    let turn = usize::try_from(turns).unwrap_or(0) % leaders.len();
    leaders[turn]
}
