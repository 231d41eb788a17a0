//! The properties of protocol §10, one file each, checked after every step by an observer that sees all
//! validators and outlives their restarts.
//!
//! Where a rule of the product is needed here (quorum arithmetic, what a certificate is), it is written a
//! second time, on purpose: a bug must not hide in code that both sides share. Only correct validators are
//! judged; a Byzantine one may do what it likes.

mod accounts;
mod acknowledged;
mod agreement;
mod alarms;
mod bounds;
mod causal;
mod certificates;
mod commit;
mod double_sign;
mod durable_first;
mod exactly_once;
mod innocent;
mod left_view;
mod linearizable;
mod lost_store;
mod one_chain;
mod prepared;
mod reference;
mod roster;
mod state;
mod suspicion;
mod view;
mod window;

use std::collections::{BTreeMap, BTreeSet};

use quorate_consensus::Held;
use quorate_crypto::Digest;
use quorate_replica::{Notice, execution::Executed};
use quorate_storage::WriteBatch;
use quorate_types::freshness::Nonce;
use quorate_types::ids::{Epoch, OperationId, Sequence, View};
use quorate_types::message::Message;
use quorate_types::operation::Operation;
use quorate_types::proposal::Proposal;
use quorate_types::receipt::Receipt;
use quorate_types::verified::Context;

use super::statement::{Statement, epoch_in};
use super::verdict::Violation;

/// One thing that the observer sees.
#[derive(Clone, Copy, Debug)]
pub enum Fact<'a> {
    /// A turn ended: the validator's place before and after it.
    Turn {
        /// Who.
        by: u16,
        /// Before.
        before: Place,
        /// After.
        after: Place,
    },
    /// A statement was signed; it hasn't left yet, and a crash may still undo it.
    Signed {
        /// Who.
        by: u16,
        /// What.
        statement: Statement<'a>,
        /// Its place after the turn.
        place: Place,
    },
    /// These records are durable now.
    Durable {
        /// Whose.
        by: u16,
        /// The records.
        records: &'a WriteBatch,
    },
    /// A message leaves.
    Leaves {
        /// Whose.
        by: u16,
        /// What.
        message: &'a Message,
    },
    /// The shell heard a notice.
    Notice {
        /// From whom.
        by: u16,
        /// What.
        notice: &'a Notice,
    },
    /// A sequence was executed.
    Executed {
        /// By whom.
        by: u16,
        /// What came out.
        executed: &'a Executed,
        /// The proposal.
        proposal: &'a Proposal,
        /// The receipts.
        receipts: &'a [Receipt],
    },
    /// A client signed an operation.
    Invoked(&'a Operation),
    /// A client was told that its operation executed.
    Acknowledged(&'a Receipt),
    /// A client begins a linearizable read.
    ReadBegins(&'a Nonce),
    /// It was answered from the state at this sequence.
    ReadEnds(&'a Nonce, Sequence),
    /// A process died.
    Crashed {
        /// Whose.
        by: u16,
    },
    /// A process died and its store is gone.
    StoreLost {
        /// Whose.
        by: u16,
    },
    /// A process is back from its records.
    Restarted {
        /// Whose.
        by: u16,
        /// Where it stands.
        place: Place,
    },
}

/// Where a validator stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its view.
    pub view: View,
    /// Whom it follows there.
    pub primary: Option<u16>,
    /// Whether it votes there.
    pub is_active: bool,
    /// Its stable checkpoint.
    pub stable: Sequence,
    /// Its highest delivered sequence.
    pub committed: Sequence,
    /// Its highest executed sequence.
    pub executed: Sequence,
    /// Whether it signs.
    pub signs: bool,
    /// Whether it is in quarantine.
    pub is_quarantined: bool,
    /// Things held, by the core's own count.
    pub held: Option<Held>,
    /// Execution votes held.
    pub execution_votes: usize,
}

/// What the observer knows beside the facts: the cluster, who is Byzantine, and the chain of all proposals
/// ever seen.
#[derive(Debug)]
pub struct Scene {
    /// The cluster, in the epoch that a fact is about.
    pub context: Context,
    /// Who is Byzantine.
    pub byzantine: BTreeSet<u16>,
    /// Who lost its store: faulty from then on, but never hostile.
    pub lost: BTreeSet<u16>,
    /// In which epoch it did, last.
    lost_in: BTreeMap<u16, Epoch>,
    /// Validators' own words, which no client signs.
    own_words: BTreeSet<OperationId>,
    /// Each proposal's sequence and parent.
    parents: BTreeMap<Digest, (Sequence, Digest)>,
}

impl Scene {
    fn size(&self) -> usize {
        self.context.set.size()
    }

    /// `f`, written a second time.
    pub(crate) fn faulty(&self) -> usize {
        (self.size() - 1) / 3
    }

    /// The least `q` with `2q > n + f`, written a second time.
    pub(crate) fn quorum(&self) -> usize {
        (self.size() + self.faulty()) / 2 + 1
    }

    /// Whether these voters, with all that may be claimed of Byzantine ones, are a quorum. A validator that became
    /// Byzantine after it voted counts once.
    fn may_be_quorum(&self, voters: &BTreeSet<u16>) -> bool {
        voters.union(&self.byzantine).count() >= self.quorum()
    }

    /// The digest at `sequence` on the chain that ends in `digest` at `from`, as far as proposals were seen.
    fn ancestor(&self, (from, digest): (Sequence, Digest), sequence: Sequence) -> Option<Digest> {
        let (mut at, mut digest) = (from, digest);
        while at > sequence {
            let (found, parent) = self.parents.get(&digest)?;
            if *found != at {
                return None;
            }
            digest = *parent;
            at = at.previous()?;
        }
        (at == sequence).then_some(digest)
    }

    fn learn(&mut self, message: &Message) {
        match message {
            Message::PrePrepare(pre_prepare) => self.learn_proposal(&pre_prepare.proposal),
            Message::Proposal(proposal) => self.learn_proposal(proposal),
            Message::Operation(operation) => {
                self.own_words.insert(operation.id());
            }
            Message::Bundle(bundle) => {
                let words = bundle.operations.iter().filter(|operation| operation.is_own_word());
                self.own_words.extend(words.map(|operation| operation.id()));
            }
            Message::Segment(segment) => segment.proposals.iter().for_each(|proposal| self.learn_proposal(proposal)),
            _ => {}
        }
    }

    fn learn_proposal(&mut self, proposal: &Proposal) {
        self.parents.entry(proposal.digest()).or_insert((proposal.sequence, proposal.parent));
    }
}

/// A property.
pub trait Invariant: std::fmt::Debug + Send {
    /// Its name, and the clause that demands it.
    fn name(&self) -> (&'static str, &'static str);

    /// Takes a fact in.
    ///
    /// # Errors
    /// The facts that contradict each other.
    fn on_fact(&mut self, scene: &Scene, fact: &Fact<'_>) -> Result<(), Vec<String>>;
}

/// All properties over one run.
#[derive(Debug)]
pub struct Observer {
    scene: Scene,
    /// Those that know no epochs.
    invariants: Vec<Box<dyn Invariant>>,
    /// Those that begin anew with each epoch.
    of_epochs: BTreeMap<Epoch, Vec<Box<dyn Invariant>>>,
    contexts: BTreeMap<Epoch, Context>,
    /// Where each validator was last.
    places: BTreeMap<u16, Epoch>,
}

impl Observer {
    /// An observer of a run in which these validators are Byzantine.
    #[must_use]
    pub fn new(context: Context, byzantine: BTreeSet<u16>) -> Self {
        let contexts = BTreeMap::from([(context.epoch, context.clone())]);
        let of_epochs = BTreeMap::from([(context.epoch, of_epoch())]);
        let (lost, lost_in, own_words, parents) = Default::default();
        let scene = Scene { context, byzantine, lost, lost_in, own_words, parents };
        Self { scene, invariants: over_all(), of_epochs, contexts, places: BTreeMap::new() }
    }

    /// A validator has entered an epoch.
    pub(crate) fn enter(&mut self, context: Context) {
        self.of_epochs.entry(context.epoch).or_insert_with(of_epoch);
        self.contexts.entry(context.epoch).or_insert(context);
    }

    /// What is known beside the facts.
    #[must_use]
    pub const fn scene(&self) -> &Scene {
        &self.scene
    }

    /// A validator counts as Byzantine from now on.
    pub(crate) fn corrupt(&mut self, who: u16) {
        self.scene.byzantine.insert(who);
    }

    /// Takes a fact in, and checks every property.
    ///
    /// # Errors
    /// The first property that doesn't hold.
    pub fn see(&mut self, fact: Fact<'_>) -> Result<(), Violation> {
        match fact {
            Fact::Leaves { message, .. } => self.scene.learn(message),
            Fact::Executed { proposal, .. } => self.scene.learn_proposal(proposal),
            Fact::StoreLost { by } => {
                self.scene.lost.insert(by);
                let at = self.places.get(&by).copied().unwrap_or_default();
                let last = self.scene.lost_in.entry(by).or_default();
                *last = at.max(*last);
            }
            Fact::Turn { by, after: place, .. } | Fact::Restarted { by, place } => {
                self.places.insert(by, place.epoch);
            }
            _ => {}
        }
        if by(&fact).is_some_and(|by| self.scene.byzantine.contains(&by)) {
            return Ok(());
        }
        judge(&mut self.invariants, &self.scene, &fact)?;
        let epoch = epoch_of(&fact).or_else(|| by(&fact).and_then(|by| self.places.get(&by).copied()));
        let (epoch, first) = (epoch.unwrap_or_default(), self.scene.context.clone());
        let Some((invariants, context)) = self.of_epochs.get_mut(&epoch).zip(self.contexts.get(&epoch)) else {
            return Ok(());
        };
        self.scene.context = context.clone();
        let judged = judge(invariants, &self.scene, &fact);
        self.scene.context = first;
        judged
    }
}

fn judge(invariants: &mut [Box<dyn Invariant>], scene: &Scene, fact: &Fact<'_>) -> Result<(), Violation> {
    invariants.iter_mut().try_for_each(|invariant| {
        invariant.on_fact(scene, fact).map_err(|facts| {
            let (invariant, clause) = invariant.name();
            Violation { invariant, clause, facts }
        })
    })
}

/// The epoch that a fact says that it is about.
fn epoch_of(fact: &Fact<'_>) -> Option<Epoch> {
    match fact {
        Fact::Turn { after: place, .. } | Fact::Restarted { place, .. } => Some(place.epoch),
        Fact::Signed { statement, .. } => Some(statement.epoch()),
        Fact::Executed { proposal, .. } => Some(proposal.epoch),
        Fact::Leaves { message, .. } => epoch_in(message),
        _ => None,
    }
}

/// Whom a fact is about.
const fn by(fact: &Fact<'_>) -> Option<u16> {
    match fact {
        Fact::Turn { by, .. }
        | Fact::Signed { by, .. }
        | Fact::Durable { by, .. }
        | Fact::Leaves { by, .. }
        | Fact::Notice { by, .. }
        | Fact::Executed { by, .. }
        | Fact::Crashed { by }
        | Fact::StoreLost { by }
        | Fact::Restarted { by, .. } => Some(*by),
        Fact::Invoked(_) | Fact::Acknowledged(_) | Fact::ReadBegins(_) | Fact::ReadEnds(..) => None,
    }
}

/// The properties of one epoch, fresh: views begin at 0 in each, and what is signed in one says nothing of another.
fn of_epoch() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(commit::Commit::default()),
        Box::new(prepared::Prepared::default()),
        Box::new(one_chain::OneChain::default()),
        Box::new(double_sign::DoubleSign::default()),
        Box::new(left_view::LeftView::default()),
        Box::new(certificates::Certificates::default()),
        Box::new(view::ViewMonotone::default()),
        Box::new(window::Window::default()),
        Box::new(roster::Leaders),
    ]
}

/// The properties of all epochs together, fresh.
fn over_all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(agreement::Agreement::default()),
        Box::new(innocent::Innocent::default()),
        Box::new(durable_first::DurableFirst::default()),
        Box::new(state::State::default()),
        Box::new(exactly_once::ExactlyOnce::default()),
        Box::new(causal::Causal::default()),
        Box::new(accounts::Accounts::default()),
        Box::new(reference::Reference::default()),
        Box::new(acknowledged::Acknowledged::default()),
        Box::new(linearizable::Linearizable::default()),
        Box::new(lost_store::LostStore::default()),
        Box::new(alarms::Alarms),
        Box::new(suspicion::Suspicion),
        Box::new(bounds::Bounds),
    ]
}

/// The names of all properties that are checked while a run goes on.
#[must_use]
pub fn names() -> Vec<&'static str> {
    over_all().iter().chain(&of_epoch()).map(|invariant| invariant.name().0).collect()
}
