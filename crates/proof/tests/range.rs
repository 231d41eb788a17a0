//! Stretches of a state, whole and not (protocol §8.7).

use quorate_crypto::Digest;
use quorate_proof::range::{RangeFault, verify};
use quorate_proof::sparse::{self, Leaf, SparsePath};
use quorate_types::codec::Canonical;
use quorate_types::ids::Sequence;
use quorate_types::snapshot::{Chunk, Entry, HIGHEST, LOWEST, Span};

/// A state of some entries.
struct State {
    entries: Vec<(Digest, Entry)>,
    leaves: Vec<Leaf>,
}

impl State {
    fn of(entries: u32) -> Self {
        let entry = |number: u32| Entry { key: number.to_be_bytes().to_vec(), value: vec![1; number as usize % 7] };
        let mut entries: Vec<(Digest, Entry)> =
            (0..entries).map(entry).map(|entry| (Leaf::of(&entry.key, &[]).key, entry)).collect();
        entries.sort_by_key(|(place, _)| *place);
        let leaves = entries.iter().map(|(_, entry)| Leaf::of(&entry.key, &entry.value)).collect();
        Self { entries, leaves }
    }

    fn root(&self) -> Digest {
        sparse::root_of(&self.leaves)
    }

    /// The path of a place, by the definition.
    fn path(&self, place: &Digest) -> SparsePath {
        let (mut inside, mut siblings) = (&self.leaves[..], Vec::new());
        while inside.len() > 1 {
            let depth = siblings.len();
            let (left, right) = inside.split_at(inside.partition_point(|leaf| !sparse::bit(&leaf.key, depth)));
            let (here, beside) = if sparse::bit(place, depth) { (right, left) } else { (left, right) };
            siblings.push(Some(sparse::subtree(beside, depth + 1)).filter(|digest| *digest != sparse::EMPTY));
            inside = here;
        }
        SparsePath { end: inside.first().copied(), siblings }
    }

    fn chunk(&self, span: Span) -> Chunk {
        let entries = self.entries.iter().filter(|(place, _)| span.contains(place));
        Chunk {
            checkpoint: Sequence(32),
            span,
            entries: entries.map(|(_, entry)| entry.clone()).collect(),
            first: self.path(&span.from),
            last: self.path(&span.to),
        }
    }

    /// Places at which something happens: of entries, beside them, and at both ends.
    fn places(&self) -> Vec<Digest> {
        let beside = |place: &Digest| {
            let mut bytes = *place.as_bytes();
            bytes[31] ^= 1;
            Digest::new(bytes)
        };
        let mut places: Vec<Digest> =
            self.entries.iter().flat_map(|(place, _)| [*place, beside(place)]).chain([LOWEST, HIGHEST]).collect();
        places.sort();
        places
    }
}

#[test]
fn every_stretch_of_every_state_is_recognised() {
    for size in [0, 1, 2, 3, 7, 24] {
        let state = State::of(size);
        let places = state.places();
        for (at, from) in places.iter().enumerate() {
            for to in &places[at..] {
                let chunk = state.chunk(Span { from: *from, to: *to });
                assert_eq!(verify(&chunk, state.root()), Ok(()), "{size} entries, {:?}", chunk.span);
                assert_eq!(Chunk::from_bytes(&chunk.to_bytes()), Ok(chunk));
            }
        }
    }
}

/// Stretches of some state, and what makes each of them a lie.
fn lies(tell: impl Fn(&State, &mut Chunk) -> bool) {
    let state = State::of(40);
    let places = state.places();
    let mut told = 0;
    for (from, to) in [(0, 81), (0, 40), (13, 60), (40, 81), (20, 24), (30, 30)] {
        let mut chunk = state.chunk(Span { from: places[from], to: places[to] });
        if tell(&state, &mut chunk) {
            assert!(verify(&chunk, state.root()).is_err(), "{from} to {to}");
            told += 1;
        }
    }
    assert!(told >= 4, "{told} lies were told");
}

#[test]
fn an_entry_left_out_is_found_wherever_it_stood() {
    for which in [0, 1, usize::MAX] {
        lies(|_, chunk| {
            let at = which.min(chunk.entries.len().saturating_sub(1));
            let is_there = at < chunk.entries.len();
            if is_there {
                chunk.entries.remove(at);
            }
            is_there
        });
    }
}

#[test]
fn a_stretch_without_its_end_is_found() {
    lies(|_, chunk| {
        let (all, half) = (chunk.entries.len(), chunk.entries.len() / 2);
        chunk.entries.truncate(half);
        half < all
    });
}

#[test]
fn a_shortened_stretch_needs_the_path_of_its_own_end() {
    lies(|state, chunk| {
        let half = chunk.entries.len() / 2;
        let Some(end) = chunk.entries.get(half) else { return false };
        let end = Leaf::of(&end.key, &end.value).key;
        chunk.entries.truncate(half + 1);
        chunk.span.to = end;
        let honest = Chunk { last: state.path(&end), ..chunk.clone() };
        assert_eq!(verify(&honest, state.root()), Ok(()));
        honest != *chunk
    });
}

#[test]
fn an_entry_added_is_found() {
    lies(|_, chunk| {
        let added = Entry { key: b"added".to_vec(), value: b"1".to_vec() };
        let place = Leaf::of(&added.key, &added.value).key;
        let at = chunk.entries.partition_point(|entry| Leaf::of(&entry.key, &[]).key < place);
        chunk.entries.insert(at, added);
        true
    });
}

#[test]
fn a_changed_value_or_key_is_found() {
    for in_key in [false, true] {
        lies(|_, chunk| {
            let Some(entry) = chunk.entries.last_mut() else { return false };
            let bytes = if in_key { &mut entry.key } else { &mut entry.value };
            bytes.push(0);
            true
        });
    }
}

#[test]
fn entries_in_another_order_or_twice_are_found() {
    lies(|_, chunk| {
        chunk.entries.reverse();
        chunk.entries.len() > 1
    });
    lies(|_, chunk| {
        let last = chunk.entries.last().cloned();
        chunk.entries.extend(last.clone());
        last.is_some()
    });
}

#[test]
fn what_belongs_to_another_stretch_or_another_state_is_found() {
    let other = State::of(41);
    lies(|_, chunk| {
        *chunk = other.chunk(chunk.span);
        true
    });
    lies(|state, chunk| {
        let elsewhere = state.chunk(Span { from: LOWEST, to: state.places()[9] });
        chunk.entries.clone_from(&elsewhere.entries);
        *chunk != elsewhere
    });
    lies(|state, chunk| {
        // The left end of one stretch and the right end of another, each with an honest path.
        let elsewhere = state.chunk(Span { from: state.places()[9], to: HIGHEST });
        chunk.last = elsewhere.last;
        chunk.span.to != HIGHEST
    });
}

/// Whatever is changed in a chunk, it is refused, unless the change says nothing about the state.
#[test]
fn every_changed_byte_is_refused() {
    let state = State::of(12);
    let places = state.places();
    let chunk = state.chunk(Span { from: places[5], to: places[16] });
    let (bytes, root) = (chunk.to_bytes(), state.root());
    // The checkpoint's number comes first: which root is asked about is the receiver's to know.
    for at in 8..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            let Ok(decoded) = Chunk::from_bytes(&changed) else { continue };
            let verdict = verify(&decoded, root);
            // A bound may move where nothing stands, and its path stays the same: all of it is still true.
            let is_true = state.chunk(decoded.span) == decoded;
            assert_eq!(verdict.is_ok(), is_true, "byte {at}, bit {bit}: {verdict:?}");
        }
    }
}

#[test]
fn hostile_paths_are_refused_and_break_nothing() {
    let state = State::of(20);
    let honest = state.chunk(Span::ALL);
    let refused = |chunk: Chunk| assert!(verify(&chunk, state.root()).is_err());
    let endless = SparsePath { end: None, siblings: vec![Some(HIGHEST); sparse::BITS] };
    refused(Chunk { first: endless.clone(), ..honest.clone() });
    refused(Chunk { first: endless.clone(), last: endless, ..honest.clone() });
    refused(Chunk { first: SparsePath { end: None, siblings: Vec::new() }, ..honest.clone() });
    let nothing = SparsePath { end: None, siblings: Vec::new() };
    refused(Chunk { first: nothing.clone(), last: nothing.clone(), entries: Vec::new(), ..honest.clone() });
    let mut marked = honest.clone();
    let none = marked.first.siblings.iter().position(Option::is_none);
    if let Some(at) = none {
        marked.first.siblings[at] = Some(sparse::EMPTY);
        refused(marked);
    }
    let backwards = Chunk { span: Span { from: HIGHEST, to: LOWEST }, entries: Vec::new(), ..honest };
    assert_eq!(verify(&backwards, state.root()), Err(RangeFault::Paths));
    // An empty state has one chunk, and it says so.
    let empty =
        Chunk { checkpoint: Sequence(32), span: Span::ALL, entries: vec![], first: nothing.clone(), last: nothing };
    assert_eq!(verify(&empty, sparse::EMPTY), Ok(()));
}
