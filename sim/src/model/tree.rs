//! All proposals that a run can name: a tree of choices.
//!
//! A proposal is a path of choices from genesis, as a hash-chained proposal is: two proposals with
//! different parents differ, whatever they contain. Each has a real digest, made of its parent's and
//! its own choice, so that the core's functions can be asked about it.

use quorate_crypto::{Digest, sha256};
use quorate_types::ids::Sequence;

/// How many proposals (genesis included) a [`Set`] can hold.
const CAPACITY: u8 = 32;

/// A proposal, by its place in the [`Tree`]; 0 is genesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Proposal(pub(super) u8);

/// Genesis, which everyone holds committed (protocol §1).
pub(super) const GENESIS: Proposal = Proposal(0);

/// A set of proposals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Set(pub(super) u32);

impl Set {
    pub(super) const EMPTY: Self = Self(0);

    pub(super) const fn of(proposal: Proposal) -> Self {
        Self(1 << proposal.0)
    }

    pub(super) const fn has(self, proposal: Proposal) -> bool {
        self.0 & (1 << proposal.0) != 0
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) const fn within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Proposal> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let lowest = u8::try_from(rest.trailing_zeros()).ok().filter(|_| rest != 0)?;
            rest &= rest - 1;
            Some(Proposal(lowest))
        })
    }
}

/// One proposal of the tree.
struct Node {
    parent: Proposal,
    sequence: u64,
    digest: Digest,
    name: String,
    /// Itself and all its ancestors.
    chain: Set,
    /// Everything that lies on a chain with it: ancestors, itself, descendants.
    related: Set,
}

/// The proposals of a bound: `values` children under each, down to sequence `sequences`.
///
/// The children of the proposal `p` are `p·values + 1 ..= p·values + values`: the tree is complete,
/// so places are known without a look-up.
pub(super) struct Tree {
    nodes: Vec<Node>,
    values: u8,
}

impl Tree {
    /// The tree of a bound, or `None` if it has more proposals than a [`Set`] can hold.
    pub(super) fn new(sequences: u8, values: u8) -> Option<Self> {
        let mut nodes = vec![Node::genesis()];
        let mut last = 0..1;
        for _ in 0..sequences {
            let first = nodes.len();
            for parent in last {
                for value in 0..values {
                    let own = u8::try_from(nodes.len()).ok().filter(|own| *own < CAPACITY)?;
                    let child = nodes[parent].child(Proposal(u8::try_from(parent).ok()?), Proposal(own), value);
                    nodes.push(child);
                }
            }
            last = first..nodes.len();
        }
        let mut tree = Self { nodes, values };
        tree.relate();
        Some(tree)
    }

    fn relate(&mut self) {
        let chains: Vec<Set> = self.nodes.iter().map(|node| node.chain).collect();
        for (node, place) in self.nodes.iter_mut().zip(0u8..) {
            let below = chains.iter().zip(0u8..).filter(|(chain, _)| chain.has(Proposal(place)));
            node.related = below.fold(node.chain, |set, (_, place)| set.and(Set::of(Proposal(place))));
        }
    }

    /// Every proposal but genesis.
    pub(super) fn proposals(&self) -> impl Iterator<Item = Proposal> + use<> {
        (0u8..).take(self.nodes.len()).skip(1).map(Proposal)
    }

    /// Every proposal but genesis.
    pub(super) fn all(&self) -> Set {
        self.proposals().fold(Set::EMPTY, |set, proposal| set.and(Set::of(proposal)))
    }

    fn node(&self, proposal: Proposal) -> &Node {
        &self.nodes[usize::from(proposal.0)]
    }

    pub(super) fn parent(&self, proposal: Proposal) -> Proposal {
        self.node(proposal).parent
    }

    pub(super) fn children(&self, proposal: Proposal) -> impl Iterator<Item = Proposal> + use<> {
        let first = usize::from(proposal.0) * usize::from(self.values) + 1;
        let count = if first < self.nodes.len() { self.values } else { 0 };
        (u8::try_from(first).unwrap_or(u8::MAX)..).take(usize::from(count)).map(Proposal)
    }

    pub(super) fn sequence(&self, proposal: Proposal) -> Sequence {
        Sequence(self.node(proposal).sequence)
    }

    pub(super) fn digest(&self, proposal: Proposal) -> Digest {
        self.node(proposal).digest
    }

    /// Itself and all its ancestors.
    pub(super) fn chain(&self, proposal: Proposal) -> Set {
        self.node(proposal).chain
    }

    /// Everything on one chain with it.
    pub(super) fn related(&self, proposal: Proposal) -> Set {
        self.node(proposal).related
    }

    /// The proposal with this digest.
    pub(super) fn by_digest(&self, digest: Digest) -> Option<Proposal> {
        (0u8..).zip(&self.nodes).find(|(_, node)| node.digest == digest).map(|(place, _)| Proposal(place))
    }

    /// The highest of a set, by sequence.
    pub(super) fn highest(&self, set: Set) -> Option<Proposal> {
        set.iter().max_by_key(|proposal| self.sequence(*proposal))
    }

    /// Two of a set that lie on no common chain, if there are any.
    pub(super) fn fork(&self, set: Set) -> Option<(Proposal, Proposal)> {
        set.iter().find_map(|one| set.without(self.related(one)).iter().next().map(|other| (one, other)))
    }

    /// Everything at the sequences that occur in `set`.
    pub(super) fn beside(&self, set: Set) -> Set {
        let same = |proposal: &Proposal| set.iter().any(|other| self.sequence(other) == self.sequence(*proposal));
        self.proposals().filter(same).fold(Set::EMPTY, |set, proposal| set.and(Set::of(proposal)))
    }

    /// A name for people: the path of choices, `ab` for the second choice under the first.
    pub(super) fn name(&self, proposal: Proposal) -> &str {
        &self.node(proposal).name
    }
}

impl Node {
    fn genesis() -> Self {
        Self {
            parent: GENESIS,
            sequence: 0,
            digest: sha256(&[b"genesis"]),
            name: "genesis".to_owned(),
            chain: Set::of(GENESIS),
            related: Set::EMPTY,
        }
    }

    fn child(&self, parent: Proposal, own: Proposal, value: u8) -> Self {
        let path = if self.sequence == 0 { "" } else { self.name.as_str() };
        Self {
            parent,
            sequence: self.sequence + 1,
            digest: sha256(&[self.digest.as_bytes(), &[value]]),
            name: format!("{path}{}", char::from(b'a'.saturating_add(value))),
            chain: self.chain.and(Set::of(own)),
            related: Set::EMPTY,
        }
    }
}
