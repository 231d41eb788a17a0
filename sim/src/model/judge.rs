//! The core's own rule functions, asked by the model.
//!
//! Nothing here decides anything: which signers make a certificate, which senders make a `NewView`,
//! who is primary and where a view starts is answered by `quorate_types`. Answers that depend on a few
//! signers only are asked once, for every set of them, and kept in tables. So a mutant of those
//! functions is found by the same runs as a variant of the model.

use quorate_crypto::{Digest, Signature};
use quorate_types::ids::{Epoch, Sequence, ValidatorIndex, View};
use quorate_types::quorum::Quorum;
use quorate_types::rules::{self, Claims, admit_certificate, admit_new_view};
use quorate_types::set::Roster;
use quorate_types::signed::Signed;
use quorate_types::view_change::{NewView, ViewChange};
use quorate_types::vote::{Certificate, Claim, Phase};

use super::Variant;
use super::tree::{GENESIS, Proposal, Tree};

/// `n`.
pub(super) const VALIDATORS: u16 = 4;
/// How many of them are correct.
pub(super) const CORRECT: usize = 3;
/// Every validator's epoch: the model has one.
const EPOCH: Epoch = Epoch(0);

/// A set of validators, one bit per index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signers(pub(super) u8);

impl Signers {
    fn list(self) -> impl Iterator<Item = u16> {
        (0..VALIDATORS).filter(move |index| self.0 & (1 << index) != 0)
    }
}

/// A prepared certificate, by its view and proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Prepared {
    pub(super) view: u8,
    pub(super) proposal: Proposal,
}

/// What a view change claims (protocol §2). A commit certificate's view decides nothing, so it isn't
/// part of the claim here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Change {
    pub(super) prepared: Option<Prepared>,
    pub(super) committed: Option<Proposal>,
}

/// Where a view starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Anchor {
    pub(super) proposal: Proposal,
    /// Prepared only, so it must be voted for first (protocol §5.3); else committed.
    pub(super) chosen: bool,
}

/// View 0 starts at the epoch's starting checkpoint, here genesis.
pub(super) const START: Anchor = Anchor { proposal: GENESIS, chosen: false };

/// The core's answers.
pub(super) struct Judge {
    /// The index of the Byzantine validator.
    byzantine: u16,
    /// By the set of signers whose votes exist: whether they can be made into a certificate.
    certificates: [bool; 1 << VALIDATORS],
    /// By the set of senders whose view changes exist: whether exactly they can be made into a `NewView`.
    new_views: [bool; 1 << VALIDATORS],
    by_sequence: bool,
    /// Whether of two claims the one higher by (view, sequence) decides, as protocol §5.2 has it.
    pub(super) ranks_by_view: bool,
}

impl Judge {
    pub(super) fn new(tree: &Tree, byzantine: u16, variant: Variant) -> Self {
        let mut judge = Self {
            byzantine,
            certificates: [false; 1 << VALIDATORS],
            new_views: [false; 1 << VALIDATORS],
            by_sequence: variant == Variant::AnchorBySequence,
            ranks_by_view: false,
        };
        for signers in (0u8..1 << VALIDATORS).map(Signers) {
            let place = usize::from(signers.0);
            (judge.certificates[place], judge.new_views[place]) = match variant {
                Variant::QuorumMinusOne => (too_few_suffice(signers), too_few_suffice(signers)),
                Variant::SignerCountedTwice => (signers.0 != 0, admits_senders(signers)),
                _ => (admits_some_list(signers), admits_senders(signers)),
            };
        }
        judge.ranks_by_view = judge.asks_rank(tree);
        judge
    }

    /// Asks the core about all pairs of claims in three views, in either order.
    fn asks_rank(&self, tree: &Tree) -> bool {
        let claims = || (0u8..3).flat_map(|view| tree.proposals().map(move |proposal| Prepared { view, proposal }));
        let rank = |claim: Prepared| (claim.view, tree.sequence(claim.proposal));
        let is_right = |low: Prepared, high: Prepared| {
            let changes = [low, high].map(|claim| Change { prepared: Some(claim), committed: None });
            let decided = |changes: [Change; 2]| self.anchor(tree, &changes).proposal == high.proposal;
            decided(changes) && decided([changes[1], changes[0]])
        };
        claims().all(|low| claims().filter(|high| rank(low) < rank(*high)).all(|high| is_right(low, high)))
    }

    /// The index of the correct validator number `correct`.
    pub(super) fn index(&self, correct: usize) -> ValidatorIndex {
        let index = u16::try_from(correct).unwrap_or(u16::MAX);
        ValidatorIndex(if index < self.byzantine { index } else { index + 1 })
    }

    /// The number of the correct validator that is the primary of `view`; `None` if that is the
    /// Byzantine one.
    pub(super) fn primary(&self, view: u8) -> Option<usize> {
        let index = Roster::all(usize::from(VALIDATORS)).primary(EPOCH, View(u64::from(view)));
        (0..CORRECT).find(|correct| self.index(*correct) == index)
    }

    /// The correct validators of a set given as bits by number, and the Byzantine one if `with`.
    fn signers(&self, correct: u8, with: bool) -> Signers {
        let byzantine = if with { 1 << self.byzantine } else { 0 };
        let signed = (0..CORRECT).filter(|number| correct & (1 << number) != 0);
        Signers(signed.fold(byzantine, |bits, number| bits | 1 << self.index(number).0))
    }

    /// Whether votes of these correct validators, with whatever the Byzantine one signs, make a
    /// certificate.
    pub(super) fn certifies(&self, correct: u8) -> bool {
        self.certificates[usize::from(self.signers(correct, true).0)]
    }

    /// Whether view changes of exactly these make a `NewView`.
    pub(super) fn starts_view(&self, correct: u8, byzantine: bool) -> bool {
        self.new_views[usize::from(self.signers(correct, byzantine).0)]
    }

    /// The sets of correct validators whose view changes, with the Byzantine one's, make a `NewView`.
    pub(super) fn new_view_groups(&self) -> impl Iterator<Item = u8> {
        (0u8..1 << CORRECT).filter(|group| self.starts_view(*group, true))
    }

    /// Where a view starts whose `NewView` consists of `changes` (protocol §5.2).
    pub(super) fn anchor(&self, tree: &Tree, changes: &[Change]) -> Anchor {
        if self.by_sequence {
            return anchor_by_sequence(tree, changes);
        }
        let claim = |view: u8, proposal| Claim {
            view: View(u64::from(view)),
            sequence: tree.sequence(proposal),
            digest: tree.digest(proposal),
        };
        let claims = changes.iter().map(|change| Claims {
            prepared: change.prepared.map(|prepared| claim(prepared.view, prepared.proposal)),
            committed: change.committed.map(|proposal| claim(0, proposal)),
        });
        let found = rules::choose_anchor(claims, (Sequence::ZERO, tree.digest(GENESIS)));
        let proposal = tree.by_digest(found.digest).expect("an anchor is one of the claims, or genesis");
        Anchor { proposal, chosen: found.chosen }
    }
}

/// [`Variant::AnchorBySequence`].
fn anchor_by_sequence(tree: &Tree, changes: &[Change]) -> Anchor {
    let sequence = |proposal: &Proposal| tree.sequence(*proposal);
    let base = changes.iter().filter_map(|change| change.committed).max_by_key(sequence).unwrap_or(GENESIS);
    let prepared = changes.iter().filter_map(|change| change.prepared);
    let chosen = prepared.map(|prepared| prepared.proposal).max_by_key(sequence);
    match chosen.filter(|chosen| sequence(chosen) > sequence(&base)) {
        Some(proposal) => Anchor { proposal, chosen: true },
        None => Anchor { proposal: base, chosen: false },
    }
}

/// [`Variant::QuorumMinusOne`].
fn too_few_suffice(signers: Signers) -> bool {
    signers.list().count() + 1 >= Quorum::of(usize::from(VALIDATORS)).quorum()
}

/// Whether some list of these signers, in any order and with any repetition, is a certificate.
fn admits_some_list(signers: Signers) -> bool {
    let mut lists = vec![Vec::new()];
    for _ in 0..VALIDATORS {
        let longer = lists.iter().flat_map(|list: &Vec<u16>| {
            signers.list().map(move |signer| list.iter().copied().chain([signer]).collect::<Vec<_>>())
        });
        lists = longer.collect();
        if lists.iter().any(|list| admits_list(list)) {
            return true;
        }
    }
    false
}

fn admits_list(signers: &[u16]) -> bool {
    let certificate = Certificate {
        phase: Phase::Prepare,
        epoch: EPOCH,
        claim: Claim { view: View(0), sequence: Sequence(1), digest: Digest::ZERO },
        signatures: signers.iter().map(|index| (ValidatorIndex(*index), no_signature())).collect(),
    };
    admit_certificate(&certificate, Phase::Prepare, EPOCH, Quorum::of(usize::from(VALIDATORS))).is_ok()
}

/// Whether view changes of exactly these are a `NewView`.
fn admits_senders(senders: Signers) -> bool {
    let view = View(1);
    let change = |index| Signed {
        statement: ViewChange {
            epoch: EPOCH,
            new_view: view,
            prepared: None,
            committed: None,
            last_vote: None,
            validator: ValidatorIndex(index),
        },
        signature: no_signature(),
    };
    let new_view = NewView {
        epoch: EPOCH,
        view,
        view_changes: senders.list().map(change).collect(),
        prepared: None,
        committed: None,
        validator: Roster::all(usize::from(VALIDATORS)).primary(EPOCH, view),
    };
    let (size, start) = (usize::from(VALIDATORS), (Sequence::ZERO, Digest::ZERO));
    admit_new_view(&new_view, (Quorum::of(size), &Roster::all(size)), start).is_ok()
}

/// The rules check no signature.
fn no_signature() -> Signature {
    Signature::from_bytes([0; 64])
}
