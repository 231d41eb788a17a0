//! Runs as lists of actions: told to people, and made as short as they go.

use super::Model;
use super::invariant::Violation;
use super::judge::Change;
use super::plain::Sent;
use super::votes::Step;

/// What one correct validator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Action {
    /// The view that it concerns: the new one for a view change.
    pub(super) view: u8,
    pub(super) validator: usize,
    pub(super) deed: Deed,
}

/// Leaving lower views, or a step in a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Deed {
    ViewChange(Change),
    Step(Step),
}

/// Plays actions through the plain model, which judges each. `None` if one isn't allowed; else what
/// the last state breaks, with the view.
pub(super) fn replay(model: &Model, actions: &[Action]) -> Option<Option<(u8, Violation)>> {
    let mut sent = Sent::at_start();
    for action in actions {
        if !sent.allows(model, action) {
            return None;
        }
        sent.take(model, action);
    }
    Some(sent.broken(model))
}

/// Leaves out every action without which the same invariant breaks all the same.
pub(super) fn shorten(model: &Model, mut actions: Vec<Action>, violation: Violation) -> Vec<Action> {
    let still = |actions: &[Action]| {
        let broken = replay(model, actions).flatten();
        broken.is_some_and(|(_, found)| found.invariant() == violation.invariant())
    };
    loop {
        let before = actions.len();
        for at in (0..before).rev() {
            let mut fewer = actions.clone();
            fewer.remove(at);
            if still(&fewer) {
                actions = fewer;
            }
        }
        if actions.len() == before {
            return actions;
        }
    }
}

/// The run for people: who does what, and which certificates exist from then on.
pub(super) fn tell(model: &Model, actions: &[Action]) -> Vec<String> {
    let mut lines = vec![format!("validator {} is Byzantine", model.byzantine())];
    if let Some(note) = model.note_on_primaries() {
        lines.push(note);
    }
    let mut sent = Sent::at_start();
    for action in actions {
        let before = sent.certificates(model);
        lines.push(describe(model, &sent, action));
        sent.take(model, action);
        let news = sent.certificates(model).into_iter().filter(|certificate| !before.contains(certificate));
        lines.extend(news.map(|certificate| format!("    now there is {certificate}")));
    }
    lines
}

fn describe(model: &Model, sent: &Sent, action: &Action) -> String {
    let who = model.judge.index(action.validator);
    let view = action.view;
    let name = |proposal| model.tree.name(proposal);
    match action.deed {
        Deed::ViewChange(change) => format!("{who} leaves for view {view} claiming {}", claim(model, change)),
        Deed::Step(Step::Prepare(proposal)) => format!("{who} votes Prepare({view}, {})", name(proposal)),
        Deed::Step(Step::Commit(proposal)) => format!("{who} votes Commit({view}, {})", name(proposal)),
        Deed::Step(Step::Accept(anchor)) => {
            let kind = if anchor.chosen { "chosen" } else { "base" };
            let of = sent.witness(model, view, anchor).unwrap_or_default();
            format!("{who} accepts a NewView({view}) with anchor {} ({kind}), made of {of}", name(anchor.proposal))
        }
        Deed::Step(Step::ForgetNewView) => format!("{who} restarts and forgets which NewView({view}) it accepted"),
        Deed::Step(Step::LoseStore) => format!("{who} loses its store and starts again"),
    }
}

/// A claim for people.
pub(super) fn claim(model: &Model, change: Change) -> String {
    let prepared =
        change.prepared.map(|claim| format!("prepared ({}, {})", claim.view, model.tree.name(claim.proposal)));
    let committed = change.committed.map(|proposal| format!("committed {}", model.tree.name(proposal)));
    let parts: Vec<String> = [prepared, committed].into_iter().flatten().collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(" and ") }
}
