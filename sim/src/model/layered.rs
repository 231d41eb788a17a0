//! The exploration by views: all of view 0, then all of view 1, and so on.
//!
//! See the module documentation of `model` for why no reachable set of messages is missed.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::invariant::Violation;
use super::judge::{Anchor, CORRECT, Change, START};
use super::outcome::{Outcome, keep_best};
use super::past::{PLACES, Past};
use super::search::{Search, Seen};
use super::trace::{Action, Deed};
use super::votes::{Ground, Offers};
use super::{Model, Progress, Variant, Watch};

/// What the exploration of one view found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ViewFigures {
    /// Different pasts with which the view can be entered, up to renaming; without a trusted primary
    /// only those with which no lower view can be entered.
    pub pasts: u64,
    /// Different combinations of committed proposals and accepted anchors whose votes were explored,
    /// for the first time in this view.
    pub grounds: u64,
    /// Vote states in them.
    pub states: u64,
    /// Steps judged in them.
    pub steps: u64,
}

/// What an exploration found.
#[derive(Default)]
pub(super) struct Explored {
    pub(super) views: Vec<ViewFigures>,
    /// How many views were explored to the end.
    pub(super) exhausted: u8,
    /// Whether the last of them left nothing behind that wasn't known: no further view can add anything.
    pub(super) closed: bool,
    pub(super) violation: Option<(u8, Violation, Vec<Action>)>,
}

/// What one view can leave behind, or `None` if something breaks in it.
type Outcomes = Option<Rc<Vec<Outcome>>>;

/// A view's ground with the anchors accepted on it.
type Key = (Ground, [Anchor; CORRECT]);

/// Pasts at the start of one view, each with the number of the past before it.
type Level = Vec<(Past, u32)>;

/// The exploration.
pub(super) struct Layered<'m> {
    model: &'m Model,
    /// By ground and accepted anchors.
    explored_keys: BTreeMap<Key, Outcomes>,
    /// By ground and all anchors that can be accepted.
    explored_grounds: BTreeMap<(Ground, Offers), Outcomes>,
    levels: Vec<Level>,
    pasts: Pasts<'m>,
    explored: Explored,
}

/// Why a view's exploration ended early.
enum Halt {
    Stopped,
    /// The past at this place can break something in the view.
    Broken(usize),
}

/// The pasts that a view leaves behind, each once.
struct Pasts<'m> {
    model: &'m Model,
    /// The orders that leave the future alike.
    orders: Vec<[usize; CORRECT]>,
    /// Those of this view, as they came.
    came: Seen<Past>,
    /// All so far, under canonical names: of this view, or of all if a view's number changes nothing.
    known: Seen<Past>,
    /// Those of this view that are new.
    level: Level,
}

impl<'m> Pasts<'m> {
    /// Starts to collect the pasts with which `view` can be entered.
    fn begin(&mut self, view: u8) {
        self.orders = self.model.orders(view);
        self.came.clear();
        if !self.model.views_are_alike {
            self.known.clear();
        }
    }

    fn add(&mut self, past: Past, before: usize) {
        if self.came.insert(past, 0).is_some() {
            return;
        }
        let past = past.canonical(self.model, &self.orders);
        if self.known.insert(past, 0).is_none() {
            self.level.push((past, u32::try_from(before).unwrap_or(u32::MAX)));
        }
    }
}

impl<'m> Layered<'m> {
    pub(super) fn new(model: &'m Model) -> Self {
        let mut known = Seen::default();
        known.insert(Past::default(), 0);
        let pasts = Pasts { model, orders: Vec::new(), came: Seen::default(), known, level: Vec::new() };
        let levels = vec![vec![(Past::default(), 0)]];
        Self {
            model,
            explored_keys: BTreeMap::new(),
            explored_grounds: BTreeMap::new(),
            levels,
            pasts,
            explored: Explored::default(),
        }
    }

    /// Explores all views of the bound, or views until none adds anything.
    pub(super) fn run(mut self, watch: &mut Watch<'_>) -> Explored {
        for view in 0u8.. {
            let last = self.model.bound.views == Some(view + 1) || usize::from(view) + 1 == PLACES;
            match self.explore_view(view, !last, watch) {
                Ok(()) => self.explored.exhausted = view + 1,
                Err(Halt::Stopped) => break,
                Err(Halt::Broken(at)) => {
                    // What is found is told, whatever the limits.
                    let mut ask = |_: &Progress| true;
                    let mut patient = Watch::new(&mut ask);
                    self.explored.violation = self.retrace(view, at, &mut patient);
                    break;
                }
            }
            self.explored.closed = !last && self.levels.last().is_some_and(Vec::is_empty);
            if last || self.explored.closed {
                break;
            }
        }
        self.explored
    }

    /// The pasts with which each view can be entered, and those after the last view.
    #[cfg(test)]
    pub(super) fn levels(mut self, watch: &mut Watch<'_>) -> Vec<Vec<Past>> {
        for view in 0..self.model.bound.views.unwrap_or_default() {
            assert!(self.explore_view(view, true, watch).is_ok(), "the bound is explored to the end");
        }
        self.levels.into_iter().map(|level| level.into_iter().map(|(past, _)| past).collect()).collect()
    }

    /// Explores one view from every past; collects the pasts that it leaves behind, if they are wanted.
    fn explore_view(&mut self, view: u8, wanted: bool, watch: &mut Watch<'_>) -> Result<(), Halt> {
        let level = self.levels[usize::from(view)].clone();
        self.explored.views.push(ViewFigures { pasts: level.len() as u64, ..ViewFigures::default() });
        self.pasts.begin(view + 1);
        for (at, (past, _)) in level.iter().enumerate() {
            if !watch.at(view, at, level.len()) {
                return Err(Halt::Stopped);
            }
            let offers = self.model.offers(past, view);
            if self.model.broken_by_offers(offers, past.committed).is_some() {
                return Err(Halt::Broken(at));
            }
            let Some(outcomes) = self.outcomes(past, view, offers, watch) else { return Err(Halt::Broken(at)) };
            if watch.stopped {
                return Err(Halt::Stopped);
            }
            if wanted {
                let place = if self.model.rename { past.next_view() } else { view };
                outcomes.iter().for_each(|outcome| self.pasts.add(past.after(self.model, place, outcome), at));
            }
        }
        self.levels.push(std::mem::take(&mut self.pasts.level));
        Ok(())
    }

    /// What `view` can leave behind that allows more than anything else that it can leave behind.
    fn outcomes(&mut self, past: &Past, view: u8, offers: Offers, watch: &mut Watch<'_>) -> Outcomes {
        let ground = self.model.ground(past, view, offers);
        if let Some(known) = self.explored_grounds.get(&(ground, offers)) {
            return known.clone();
        }
        let mut best = Vec::new();
        for key in self.model.keys(past, view, offers) {
            for outcome in self.outcomes_of(&key, watch)?.iter() {
                keep_best(self.model, &mut best, (0, *outcome));
            }
            if watch.stopped {
                return Some(Rc::default());
            }
        }
        let outcomes = Some(Rc::new(best.into_iter().map(|(_, outcome)| outcome).collect()));
        self.explored_grounds.insert((ground, offers), Option::clone(&outcomes));
        outcomes
    }

    /// What a view can leave behind whose anchors are accepted.
    fn outcomes_of(&mut self, key: &Key, watch: &mut Watch<'_>) -> Outcomes {
        if let Some(known) = self.explored_keys.get(key) {
            return known.clone();
        }
        let search = Search::run(self.model, &key.0, key.1, watch);
        if let Some(figures) = self.explored.views.last_mut() {
            figures.grounds += 1;
            figures.states += search.size();
            figures.steps += search.steps;
        }
        let unbroken = search.broken.is_none();
        let outcomes = unbroken.then(|| Rc::new(search.outcomes.iter().map(|(_, outcome)| *outcome).collect()));
        self.explored_keys.insert(*key, Option::clone(&outcomes));
        outcomes
    }

    /// The actions that lead to a violation which the past at `at` makes possible in `view`. Pasts are
    /// kept under canonical names only, so the way is searched again, forwards.
    fn retrace(&self, view: u8, at: usize, watch: &mut Watch<'_>) -> Option<(u8, Violation, Vec<Action>)> {
        let mut targets = Vec::new();
        let mut at = at;
        for level in self.levels[..=usize::from(view)].iter().rev() {
            let (past, before) = level[at];
            targets.push(past);
            at = before as usize;
        }
        targets.reverse();
        let mut past = Past::default();
        let mut actions = Vec::new();
        for (target, view) in targets.iter().skip(1).zip(0..) {
            let (after, way) = self.go_towards(&past, view, target, watch)?;
            actions.extend(way);
            past = after;
        }
        let offers = self.model.offers(&past, view);
        if let Some(violation) = self.model.broken_by_offers(offers, past.committed) {
            let Violation::AnchorAboveCommitted { anchor, .. } = violation else { return None };
            actions.extend(self.model.entry(&past, view, [anchor; CORRECT]));
            return Some((view, violation, actions));
        }
        self.model.keys(&past, view, offers).find_map(|key| {
            let search = Search::run(self.model, &key.0, key.1, watch);
            let (state, violation) = search.broken?;
            actions.extend(self.model.entry(&past, view, key.1));
            actions.extend(steps(&search, view, state));
            Some((view, violation, std::mem::take(&mut actions)))
        })
    }

    /// Finds how `view` can end so that, up to names, `target` is left behind.
    fn go_towards(&self, past: &Past, view: u8, target: &Past, watch: &mut Watch<'_>) -> Option<(Past, Vec<Action>)> {
        let orders = self.model.orders(view + 1);
        self.model.keys(past, view, self.model.offers(past, view)).find_map(|key| {
            let search = Search::run(self.model, &key.0, key.1, watch);
            search.outcomes.iter().find_map(|(end, outcome)| {
                let after = past.after(self.model, view, outcome);
                if after.canonical(self.model, &orders) != *target {
                    return None;
                }
                let mut way = self.model.entry(past, view, key.1);
                way.extend(steps(&search, view, *end));
                Some((after, way))
            })
        })
    }
}

/// The steps to a vote state as actions.
fn steps(search: &Search, view: u8, state: u32) -> Vec<Action> {
    let action = |(validator, step)| Action { view, validator, deed: Deed::Step(step) };
    search.path(state).into_iter().map(action).collect()
}

impl Model {
    /// The least that each correct validator can claim: it leaves the most anchors possible.
    fn least_changes(&self, past: &Past) -> [Option<Change>; CORRECT] {
        std::array::from_fn(|validator| Some(past.least_claim(self, validator)))
    }

    /// The anchors that `view` can start from.
    fn offers(&self, past: &Past, view: u8) -> Offers {
        if view == 0 {
            let mut offers = Offers::default();
            offers.add(START);
            return offers;
        }
        past.offers(self, &self.least_changes(past))
    }

    /// The ground of `view` and every way in which the correct validators can accept anchors on it: one
    /// for all from a primary that sends a single `NewView`, else any for each.
    fn keys(&self, past: &Past, view: u8, offers: Offers) -> impl Iterator<Item = Key> + use<> {
        let ground = self.ground(past, view, offers);
        let anchors: Vec<Anchor> = offers.iter().collect();
        let count = anchors.len();
        let one_for_all = ground.primary.is_some();
        // Whoever can accept again needs no other start.
        let again = !one_for_all && self.variant.accepts_again();
        let ways = if again {
            1
        } else if one_for_all {
            count
        } else {
            count.pow(3)
        };
        (0..ways).map(move |way| {
            let places =
                if one_for_all { [way; CORRECT] } else { [way / count / count, way / count % count, way % count] };
            (ground, places.map(|place| anchors[place]))
        })
    }

    /// What the votes of `view` build on.
    pub(super) fn ground(&self, past: &Past, view: u8, offers: Offers) -> Ground {
        let again = self.variant.accepts_again() || self.variant == Variant::NewViewForgotten;
        let primary = self.primary(view);
        Ground {
            primary,
            committed: past.committed,
            commit_votes: past.commit_votes,
            offers: if again && primary.is_none() { offers } else { Offers::default() },
        }
    }

    /// How the correct validators come into a view and accept these anchors.
    fn entry(&self, past: &Past, view: u8, anchors: [Anchor; CORRECT]) -> Vec<Action> {
        if view == 0 {
            return Vec::new();
        }
        let act = |validator, deed| Action { view, validator, deed };
        let changes = self.least_changes(past).into_iter().enumerate();
        let left = changes.filter_map(|(validator, change)| Some(act(validator, Deed::ViewChange(change?))));
        // A correct primary accepts its own `NewView` first.
        let first = self.primary(view).unwrap_or(0);
        let order = (0..CORRECT).map(|number| (number + first) % CORRECT);
        left.chain(order.map(|validator| act(validator, Deed::Step(super::votes::Step::Accept(anchors[validator])))))
            .collect()
    }

    /// The orders in which validators may be listed without changing what can happen from `view` on: a
    /// validator that the model holds to be the primary of a later view keeps its place.
    pub(super) fn orders(&self, view: u8) -> Vec<[usize; CORRECT]> {
        let views = self.bound.views.unwrap_or_default();
        let fixed: Vec<usize> = (view..views).filter_map(|view| self.primary(view)).collect();
        let all = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        all.into_iter().filter(|order| fixed.iter().all(|number| order[*number] == *number)).collect()
    }
}
