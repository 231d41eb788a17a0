//! Everything that can happen inside one view, once its anchors are accepted.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::invariant::Violation;
use super::judge::{Anchor, CORRECT};
use super::outcome::{Outcome, keep_best};
use super::votes::{Ground, Step, Votes};
use super::{Model, Watch};

/// A hash map whose order never shows: it is only asked whether it has something.
pub(super) type Seen<K> = HashMap<K, u32, BuildHasherDefault<Mixer>>;

/// A fast hash, the same in every run.
#[derive(Default)]
pub(super) struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(23) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value.unsigned_abs() as u64);
    }
}

/// All vote states of one view that can be reached from its anchors.
pub(super) struct Search {
    states: Vec<Votes>,
    /// By state: the state before it and the step between them.
    origins: Vec<Option<(u32, usize, Step)>>,
    /// What the view can leave behind, each with a state that does: none allows less than another.
    pub(super) outcomes: Vec<(u32, Outcome)>,
    /// The first state found that breaks an invariant, and what it breaks.
    pub(super) broken: Option<(u32, Violation)>,
    /// Steps judged.
    pub(super) steps: u64,
}

impl Search {
    /// Explores breadth first, until all is seen, something is broken, or `watch` says stop.
    pub(super) fn run(model: &Model, ground: &Ground, anchors: [Anchor; CORRECT], watch: &mut Watch<'_>) -> Self {
        let first = Votes::under(anchors);
        let mut seen: Seen<Votes> = Seen::default();
        seen.insert(first, 0);
        let mut search =
            Self { states: vec![first], origins: vec![None], outcomes: Vec::new(), broken: None, steps: 0 };
        let mut next = 0;
        while let Some(votes) = search.states.get(next).copied() {
            if let Some(violation) = model.broken_by_votes(ground, &votes) {
                search.broken = Some((place(next), violation));
                break;
            }
            if search.expand(model, ground, &mut seen, next) {
                let outcome = Outcome::of(model, ground, &votes);
                keep_best(model, &mut search.outcomes, (place(next), outcome));
            }
            next += 1;
            if !watch.count_state() {
                break;
            }
        }
        search
    }

    /// Takes every step from a state. Returns whether the view may as well end in it.
    fn expand(&mut self, model: &Model, ground: &Ground, seen: &mut Seen<Votes>, at: usize) -> bool {
        let votes = self.states[at];
        let mut steps = model.steps(ground, &votes);
        let may_end = !steps.iter().any(|(number, step)| model.only_adds(&votes, *number, *step));
        if let Some(free) = steps.iter().copied().find(|(number, step)| model.is_free(&votes, *number, *step)) {
            steps = vec![free];
        }
        self.steps += steps.len() as u64;
        for (number, step) in steps {
            let mut after = votes;
            after.take(model.variant, number, step);
            seen.entry(after).or_insert_with(|| {
                self.states.push(after);
                self.origins.push(Some((place(at), number, step)));
                place(self.states.len() - 1)
            });
        }
        may_end
    }

    pub(super) fn size(&self) -> u64 {
        self.states.len() as u64
    }

    /// The steps that lead to a state.
    pub(super) fn path(&self, mut state: u32) -> Vec<(usize, Step)> {
        let mut path = Vec::new();
        while let Some((before, number, step)) = self.origins[state as usize] {
            path.push((number, step));
            state = before;
        }
        path.reverse();
        path
    }
}

impl Model {
    /// Whether a step takes nothing away from any later view: a prepare vote, or a commit vote not
    /// above the voter's highest.
    fn only_adds(&self, votes: &Votes, validator: usize, step: Step) -> bool {
        match step {
            Step::Prepare(_) => true,
            Step::Commit(proposal) => {
                let member = &votes.members[validator];
                let highest = self.tree.highest(member.committed.without(member.forgotten));
                highest.is_some_and(|highest| self.tree.sequence(highest) >= self.tree.sequence(proposal))
            }
            Step::Accept(_) | Step::ForgetNewView | Step::LoseStore => false,
        }
    }
}

/// States are counted in 32 bits: more of one view would not fit into memory.
fn place(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
