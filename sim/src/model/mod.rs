//! The abstract model of the ordering protocol (protocol §§3, 5), explored to the end of a bound.
//!
//! Four validators, one of them Byzantine. The model asks: whatever messages are lost, delayed,
//! reordered or withheld, whatever the Byzantine validator signs, whoever times out when, can correct
//! validators end up with contradicting certificates? Safety only; progress is the world's matter.
//!
//! # The state
//!
//! The set of messages that correct validators have sent: prepare and commit votes, view changes with
//! their claims, and which `NewView` each accepted in which view (`plain`). Sets only grow. Each guard
//! (`votes`, `past`) asks what was sent, never when it arrived, so delivery needs no state: a message
//! that a validator has not heard of is one on which it hasn't acted yet. Timeouts need none either:
//! everyone may leave a view at any time, and go any number of views up.
//!
//! *What the Byzantine validator says* is always available: its vote for everything, its view change
//! with any claim that certificates back, stale ones too, and another to everyone. What it can't do is
//! forge: a certificate exists once correct validators have sent the rest of its votes. How many those
//! are, who is primary, which senders make a `NewView`, and where a view starts, is asked of the core's
//! own functions (`judge`): `admit_certificate`, `primary`, `admit_new_view`, `choose_anchor`.
//!
//! *Proposals* (`tree`) are paths of choices from genesis, each with its real digest. On each parent a
//! few different ones can be made.
//!
//! *Primaries.* Under [`Primaries::Byzantine`] a correct primary makes one `NewView`, and one proposal
//! per place, which it votes for first. Under [`Primaries::Untrusted`] no view's primary is held to
//! anything: every validator may meet any proposal and any `NewView` that can be made. That allows all
//! that one Byzantine validator can do whichever index it has, so one exploration stands for all four,
//! and correct validators are interchangeable.
//!
//! # What is checked
//!
//! [`Invariant`]: agreement over all commit certificates that can be made, all certificates of a view on
//! one chain, no double sign, and every anchor that a `NewView` can have above all that is committed.
//! Each broken rule in [`Variant`] must be found to break one of them.
//!
//! # How it is explored, and why nothing is missed
//!
//! Exploring `plain` in every order is hopeless beyond two views. `layered` explores less, and reaches
//! sets of messages that cover all others. Each argument is a line; `tests` check them together by
//! exploring `plain` as far as it goes, and by random runs of it further up.
//!
//! 1. *View by view.* What is said in a view depends on messages of that view and of lower ones only,
//!    and nobody says anything in a view that it left. So every run can be sorted: all actions of view
//!    0, then all that concern view 1 (view changes to it, then its `NewView`s, then its votes), and so
//!    on. Each action stays allowed and the set of messages at the end is the same.
//! 2. *The past* (`past`). Later views read of a finished one only: which certificates can be made of
//!    its votes, and which certificate each correct validator holds because it voted `Commit` for it. Two
//!    runs that leave the same behind are one.
//! 3. *Least claims.* A correct validator claims a certificate that it holds or a higher one that it
//!    may have seen. The least claim leaves the most anchors possible, as the Byzantine view change in
//!    the same `NewView` can raise it to anything that exists. So everybody sends its least claim for
//!    every view; sending binds nobody to anything else once lower views are finished.
//! 4. *Everybody enters.* Accepting an anchor and not voting is the same as not accepting.
//! 5. *Votes that only add* (`search`). A prepare vote takes nothing away from later views, nor does a
//!    commit vote not above one's highest: so a view need not end before those are cast. A commit vote
//!    below another on the same chain takes nothing away from anybody in its own view either, so it is
//!    cast at once.
//! 6. *The better end* (`outcome`). Of two ways to end a view, one with fewer certificates and nobody
//!    bound by less is dropped: whatever can follow it can follow the other.
//! 7. *Grounds.* What can happen inside a view depends on what is committed and on the accepted anchors
//!    alone, so it is explored once for each such ground.
//! 8. *Names.* Values are interchangeable, and validators that are not to be primaries are: pasts that
//!    differ in names only are one.
//! 9. *What can't matter any more* is dropped from a past (`Past::canonical`): of two certificates for one
//!    proposal the lower, and what is outranked in every `NewView` by what correct senders hold. The core
//!    is asked first whether it ranks claims so. Then only the order of the views mentioned counts, not
//!    their numbers: where no primary is trusted, a past met before isn't explored again in a higher view.
//!    As there are finitely many, at some view nothing new is left behind. What holds up to there holds
//!    for any number of views.
//!
//! Everything found is real: a counterexample is played through `plain`, where each action must be
//! allowed, and shortened there.
//!
//! # Where the model is looser than the protocol
//!
//! It allows more in places, to stay small; what holds for more holds for the protocol. A validator may
//! enter any view at any time, without complaints. It need not know a commit certificate that exists,
//! and never claims one that it could leave out. It may vote `Commit` for a certificate below or beside
//! its view's anchor. It may take a parent for voted for when it only sent `Commit` for it. It has no
//! window, and data is never missing.
//!
//! # What it doesn't cover
//!
//! Progress; other sizes than four (quorum arithmetic for all sizes is tested in `types`); epochs,
//! checkpoints, lanes, execution; crashes, except that whatever a correct validator sent it remembers,
//! which is what records before messages are for. Whether the code follows these rules is shown in
//! the world, not here. The bound: a flaw that needs more sequences or values than were explored (or more
//! views, where those are bounded) is not found.
//!
//! # What wrong variants taught
//!
//! * `second-new-view-votes-kept` breaks nothing: as long as *all* votes of a view lie on one chain, one
//!   `NewView` per view is a second line of defence, not the first. It is unsafe as soon as votes under
//!   the first no longer bind (`second-new-view`, `new-view-forgotten`).
//! * `vote-below-anchor` breaks agreement: protocol §3.2 (c) is safe only together with §5.3, "nothing
//!   below the anchor is voted on again".
//! * `commit-off-chain` makes a correct validator's votes contradict each other, so that it could be
//!   blamed; it leads to no fork within 3 sequences in any number of views, as prepare votes alone keep
//!   all certificates of a view on one chain.
//! * Timers that climb views alone, and `k` reset by any commit, cost progress, not safety: they aren't
//!   visible here at any bound.

mod invariant;
mod judge;
mod layered;
mod outcome;
mod past;
mod plain;
mod search;
mod trace;
mod tree;
mod variant;
mod votes;

use judge::{CORRECT, Judge, VALIDATORS};
use layered::Layered;
use tree::{Set, Tree};

pub use invariant::{Invariant, UnknownInvariant};
pub use layered::ViewFigures;
pub use variant::{UnknownVariant, Variant};

/// The most views that a bound can have, if it has one, and that a counterexample is shown for.
pub const MAX_VIEWS: u8 = 8;

/// How far runs go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Views `0..views`; `None` for views without end, which needs [`Primaries::Untrusted`].
    pub views: Option<u8>,
    /// Sequences `1..=sequences`.
    pub sequences: u8,
    /// Different proposals that can be made on one parent.
    pub values: u8,
}

/// Whom the model holds to a primary's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Primaries {
    /// Nobody: in every view any proposal and any `NewView` that can be made may reach anyone, as if
    /// the primary were Byzantine. This allows all that can happen with any one Byzantine validator,
    /// and more; what holds here holds whichever it is.
    Untrusted,
    /// Correct primaries: the Byzantine validator has this index, and the primary of each view is the
    /// one that the core names.
    Byzantine(u16),
}

/// What to explore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How far.
    pub bound: Bound,
    /// Which rule to leave out, if any.
    pub variant: Variant,
    /// Who is Byzantine.
    pub primaries: Primaries,
    /// The only invariant to check; `None` checks all.
    pub only: Option<Invariant>,
}

/// How far an exploration is, for whoever watches it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The view being explored.
    pub view: u8,
    /// Pasts of this view done.
    pub done: u64,
    /// Pasts of this view.
    pub pasts: u64,
    /// Vote states explored so far, in all views.
    pub states: u64,
}

/// What an exploration found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many views were explored to the end. All reachable sets of messages of these views have
    /// been covered.
    pub exhausted: u8,
    /// Whether further views can add nothing, however many: what holds in these holds in all.
    pub closed: bool,
    /// Figures for each view entered.
    pub views: Vec<ViewFigures>,
    /// A run that breaks an invariant, if there is one.
    pub counterexample: Option<Counterexample>,
}

/// A run that breaks an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// What it breaks.
    pub invariant: Invariant,
    /// The two facts that contradict each other.
    pub facts: String,
    /// How many actions of correct validators it takes.
    pub actions: usize,
    /// The run, line by line.
    pub lines: Vec<String>,
}

/// A bound that the model can't represent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// No view, or more than [`MAX_VIEWS`].
    Views(u8),
    /// Views without end, but with primaries that are held to their rules.
    EndlessWithPrimaries,
    /// More proposals than fit into a set of 32; the fields are the sequences and values asked for.
    Proposals(u8, u8),
    /// A Byzantine index outside the set of four.
    Validator(u16),
}

impl std::fmt::Display for Misuse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Views(views) => write!(f, "{views} views; 1 to {MAX_VIEWS} are possible"),
            Self::EndlessWithPrimaries => f.write_str("views without end need that no primary is trusted"),
            Self::Proposals(sequences, values) => {
                write!(f, "{values} values at each of {sequences} sequences are more than 31 proposals")
            }
            Self::Validator(index) => write!(f, "validator {index} is not one of {VALIDATORS}"),
        }
    }
}

impl std::error::Error for Misuse {}

/// Counts states, and asks its caller now and then whether to go on.
struct Watch<'a> {
    progress: Progress,
    stopped: bool,
    ask: &'a mut dyn FnMut(&Progress) -> bool,
}

impl<'a> Watch<'a> {
    /// After how many states the caller is asked.
    const ASK_EVERY: u64 = 4096;

    fn new(ask: &'a mut dyn FnMut(&Progress) -> bool) -> Self {
        Self { progress: Progress::default(), stopped: false, ask }
    }

    /// Says where the exploration is. Returns whether to go on.
    fn at(&mut self, view: u8, done: usize, pasts: usize) -> bool {
        self.progress = Progress { view, done: done as u64, pasts: pasts as u64, ..self.progress };
        self.go_on()
    }

    /// Counts one state. Returns whether to go on.
    fn count_state(&mut self) -> bool {
        self.progress.states += 1;
        !self.progress.states.is_multiple_of(Self::ASK_EVERY) || self.go_on()
    }

    fn go_on(&mut self) -> bool {
        self.stopped |= !(self.ask)(&self.progress);
        !self.stopped
    }
}

/// What stays the same during an exploration.
struct Model {
    bound: Bound,
    variant: Variant,
    primaries: Primaries,
    only: Option<Invariant>,
    tree: Tree,
    judge: Judge,
    /// Every proposal but genesis.
    all: Set,
    /// Whether pasts that differ only in names count as one.
    rename: bool,
    /// Whether the same past in different views counts as one: it does unless primaries matter.
    views_are_alike: bool,
}

impl Model {
    fn new(config: &Config) -> Result<Self, Misuse> {
        let Config { bound, variant, primaries, only } = *config;
        if let Some(views) = bound.views.filter(|views| !(1..=MAX_VIEWS).contains(views)) {
            return Err(Misuse::Views(views));
        }
        if bound.views.is_none() && primaries != Primaries::Untrusted {
            return Err(Misuse::EndlessWithPrimaries);
        }
        let byzantine = match primaries {
            Primaries::Untrusted => VALIDATORS - 1,
            Primaries::Byzantine(index) if index >= VALIDATORS => return Err(Misuse::Validator(index)),
            Primaries::Byzantine(index) => index,
        };
        let tree = Tree::new(bound.sequences, bound.values).ok_or(Misuse::Proposals(bound.sequences, bound.values))?;
        let (judge, all) = (Judge::new(&tree, byzantine, variant), tree.all());
        let views_are_alike = primaries == Primaries::Untrusted;
        Ok(Self { bound, variant, primaries, only, tree, judge, all, rename: true, views_are_alike })
    }

    /// How many views a run of the plain model can have.
    fn views(&self) -> u8 {
        self.bound.views.unwrap_or(MAX_VIEWS)
    }

    /// The correct validator whose rules as primary of `view` count, if any.
    fn primary(&self, view: u8) -> Option<usize> {
        match self.primaries {
            Primaries::Untrusted => None,
            Primaries::Byzantine(_) => self.judge.primary(view),
        }
    }

    fn byzantine(&self) -> u16 {
        (0..VALIDATORS).find(|index| (0..CORRECT).all(|number| self.judge.index(number).0 != *index)).unwrap_or(0)
    }

    fn note_on_primaries(&self) -> Option<String> {
        let note = "no primary is trusted: every view's proposals and NewViews may be anything that can be made";
        (self.primaries == Primaries::Untrusted).then(|| note.to_owned())
    }
}

/// Explores everything within a bound. `ask` is told how far it is, every few thousand states, and says
/// whether to go on.
///
/// # Errors
/// If the bound can't be represented.
pub fn explore(config: &Config, ask: &mut dyn FnMut(&Progress) -> bool) -> Result<Report, Misuse> {
    let model = Model::new(config)?;
    let explored = Layered::new(&model).run(&mut Watch::new(ask));
    let counterexample = explored.violation.map(|(view, violation, actions)| {
        let actions = trace::shorten(&model, actions, violation);
        let (view, violation) = trace::replay(&model, &actions).flatten().unwrap_or((view, violation));
        Counterexample {
            invariant: violation.invariant(),
            facts: violation.describe(&model, view),
            actions: actions.len(),
            lines: trace::tell(&model, &actions),
        }
    });
    Ok(Report { exhausted: explored.exhausted, closed: explored.closed, views: explored.views, counterexample })
}

/// The smallest bound up to `config.bound`, fewest views first, at which a run breaks an invariant with
/// correct primaries and some Byzantine index, with that index and what was found there. `None` if there
/// is none, `ask` said stop, or the views have no bound. `config.primaries` isn't used.
///
/// # Errors
/// If the bound can't be represented.
pub fn smallest(config: &Config, ask: &mut dyn FnMut(&Progress) -> bool) -> Result<Option<(Config, Report)>, Misuse> {
    for views in 1..=config.bound.views.unwrap_or(0) {
        for sequences in 1..=config.bound.sequences {
            for index in 0..VALIDATORS {
                let bound = Bound { views: Some(views), sequences, ..config.bound };
                let smaller = Config { bound, primaries: Primaries::Byzantine(index), ..*config };
                let report = explore(&smaller, ask)?;
                if report.counterexample.is_some() {
                    return Ok(Some((smaller, report)));
                }
                if report.exhausted < views {
                    return Ok(None);
                }
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
