//! Nonce windows: what makes every operation execute at most once (data-model §3).
//!
//! Per author the state keeps the base, the highest nonce used, and for each of the 1,024 nonces up to it
//! which operation used it, in a ring of groups of neighbouring nonces: authors count up, so that a
//! sequence changes few of them, and each change costs a leaf of the state tree. A window without an
//! executed operation for twice the longest lifetime counts as gone at once; its groups are removed later,
//! some at each sequence, and a new window of the same author doesn't see them, since every group names
//! the window that it is of.

use quorate_crypto::PublicKey;
use quorate_storage::{StateReader, StoreError};
use quorate_types::codec::{Canonical, DecodeError, Reader, encode_list};
use quorate_types::ids::{BlockTime, OperationId, Sequence};
use quorate_types::operation::Operation;
use quorate_types::parameters::{NONCE_WINDOW, Parameters};
use quorate_types::receipt::Judgement;

use crate::entity::Position;
use crate::keys;
use crate::overlay::{Overlay, damaged, decode};

/// Nonces of one group.
const GROUP: u64 = 16;

/// Groups of the ring: those that a window can reach into, and so none over another that still counts.
const GROUPS: u64 = NONCE_WINDOW / GROUP + 1;

/// The first nonce of an author lies below this, so that it has room above.
const FIRST_NONCE_BOUND: u64 = 1 << 63;

/// An author's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// The sequence at which it began; tells its entries from those of an earlier one.
    pub(crate) since: Sequence,
    /// The author's first nonce in it.
    pub(crate) base: u64,
    /// The highest nonce used.
    pub(crate) highest: u64,
    /// When an operation of the author last executed.
    pub(crate) used_at: BlockTime,
}

/// Which operations used the nonces of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    /// The window that it is of.
    since: Sequence,
    /// Its nonces divided by [`GROUP`].
    number: u64,
    /// By nonce.
    used: Vec<Used>,
}

/// Which operation used a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Used {
    /// The nonce's place in its group.
    place: u8,
    operation: OperationId,
}

/// What a window says of an operation's nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NonceState {
    /// The author has no window, and the nonce may be its first.
    First,
    /// The window knows that the nonce is unused.
    Unused,
    /// By the very same operation: there is a receipt already.
    UsedBySame,
    /// The nonce can't be used now.
    Refused(Judgement),
}

impl Window {
    /// The lowest nonce that it covers.
    pub(crate) fn lowest(&self) -> u64 {
        self.base.max(self.highest.saturating_sub(NONCE_WINDOW - 1))
    }

    /// The highest nonce that is taken now.
    pub(crate) const fn limit(&self) -> u64 {
        self.highest.saturating_add(NONCE_WINDOW)
    }

    /// When it is dropped, unless used before.
    fn due(&self, parameters: &Parameters) -> BlockTime {
        self.used_at.plus(2 * u64::from(parameters.max_lifetime_ms)).next()
    }
}

/// The group of a nonce, and its place there.
const fn place(nonce: u64) -> (u64, u8) {
    (nonce / GROUP, (nonce % GROUP) as u8)
}

/// The group that holds a nonce which the window covers, if any of its nonces was used.
fn group<R: StateReader>(
    state: &Overlay<'_, R>,
    window: &Window,
    author: &PublicKey,
    number: u64,
) -> Result<Option<Group>, StoreError> {
    let group: Option<Group> = state.load(&keys::nonces_of_group(author, (number % GROUPS) as u8))?;
    Ok(group.filter(|group| group.since == window.since && group.number == number))
}

/// What the state holds of an author.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    /// The window, unless it has been without use for too long.
    pub(crate) window: Option<Window>,
    /// Whether the author stands in the queue. A window that has gone, but was not yet removed, still does.
    is_queued: bool,
}

pub(crate) fn held<R: StateReader>(
    state: &Overlay<'_, R>,
    author: &PublicKey,
    now: BlockTime,
    parameters: &Parameters,
) -> Result<Held, StoreError> {
    let stored: Option<Window> = state.load(&keys::window(author))?;
    Ok(Held { window: stored.filter(|window| window.due(parameters) > now), is_queued: stored.is_some() })
}

/// Judges a nonce by the author's window (data-model §3.2, the first four rows).
pub(crate) fn judge<R: StateReader>(
    state: &Overlay<'_, R>,
    window: Option<&Window>,
    author: &PublicKey,
    nonce: u64,
    operation: OperationId,
) -> Result<NonceState, StoreError> {
    let Some(window) = window else {
        let highest = FIRST_NONCE_BOUND - 1;
        let may_be_first = nonce <= highest;
        return Ok(if may_be_first { NonceState::First } else { refused(Judgement::NonceTooFar { highest }) });
    };
    if nonce < window.lowest() {
        return Ok(refused(Judgement::NonceTooOld { lowest: window.lowest() }));
    }
    if nonce > window.limit() {
        return Ok(refused(Judgement::NonceTooFar { highest: window.limit() }));
    }
    Ok(match used(state, window, author, nonce)? {
        None => NonceState::Unused,
        Some(by) if by == operation => NonceState::UsedBySame,
        Some(by) => refused(Judgement::NonceUsed { by }),
    })
}

const fn refused(judgement: Judgement) -> NonceState {
    NonceState::Refused(judgement)
}

/// The operation that used a nonce which the window covers.
pub(crate) fn used<R: StateReader>(
    state: &Overlay<'_, R>,
    window: &Window,
    author: &PublicKey,
    nonce: u64,
) -> Result<Option<OperationId>, StoreError> {
    let (number, place) = place(nonce);
    let group = group(state, window, author, number)?;
    Ok(group.and_then(|group| group.used.iter().find(|used| used.place == place).map(|used| used.operation)))
}

/// Uses up the nonce of an operation, which [`judge`] found first or unused in what is `held` of the author.
pub(crate) fn consume<R: StateReader>(
    state: &mut Overlay<'_, R>,
    operation: &Operation,
    held: Held,
    at: Position,
    parameters: &Parameters,
) -> Result<(), StoreError> {
    let (author, nonce) = (operation.author(), operation.nonce());
    let window = match held.window {
        Some(window) => Window { highest: window.highest.max(nonce), used_at: at.time, ..window },
        None => Window { since: at.sequence, base: nonce, highest: nonce, used_at: at.time },
    };
    if !held.is_queued {
        state.put(keys::window_due(window.due(parameters), &author), Vec::new());
    }
    state.store(keys::window(&author), &window);
    let (number, place) = place(nonce);
    let empty = || Group { since: window.since, number, used: Vec::new() };
    let mut group = group(state, &window, &author, number)?.unwrap_or_else(empty);
    let at = group.used.partition_point(|used| used.place < place);
    group.used.insert(at, Used { place, operation: operation.id() });
    state.store(keys::nonces_of_group(&author, (number % GROUPS) as u8), &group);
    Ok(())
}

/// Removes windows that have gone, with at most about `budget` keys written.
pub(crate) fn prune<R: StateReader>(
    state: &mut Overlay<'_, R>,
    now: BlockTime,
    parameters: &Parameters,
    mut budget: usize,
) -> Result<(), StoreError> {
    let is_due = |key: &[u8], _: &[u8]| Ok(read_due(key)?.0 <= now);
    for (key, _) in state.scan_while(keys::WINDOW_QUEUE, budget, is_due)? {
        if budget == 0 {
            break;
        }
        let (_, author) = read_due(&key)?;
        state.delete(key);
        budget = budget.saturating_sub(1 + settle(state, &author, now, parameters)?);
    }
    Ok(())
}

/// Removes one author's window, or queues it again if it was used since. The number of keys written.
fn settle<R: StateReader>(
    state: &mut Overlay<'_, R>,
    author: &PublicKey,
    now: BlockTime,
    parameters: &Parameters,
) -> Result<usize, StoreError> {
    let key = keys::window(author);
    let window: Window = state.load(&key)?.ok_or_else(|| damaged(&key))?;
    let due = window.due(parameters);
    if due > now {
        state.put(keys::window_due(due, author), Vec::new());
        return Ok(1);
    }
    let entries = state.scan(&keys::nonces(author), GROUPS as usize)?;
    let count = entries.len();
    entries.into_iter().for_each(|(entry, _)| state.delete(entry));
    state.delete(key);
    Ok(count + 1)
}

/// Due time and author of a key of the queue.
fn read_due(key: &[u8]) -> Result<(BlockTime, PublicKey), StoreError> {
    decode(key, &key[keys::WINDOW_QUEUE.len()..])
}

impl Canonical for Window {
    fn encode(&self, out: &mut Vec<u8>) {
        self.since.encode(out);
        self.base.encode(out);
        self.highest.encode(out);
        self.used_at.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            since: Sequence::decode(input)?,
            base: input.u64()?,
            highest: input.u64()?,
            used_at: BlockTime::decode(input)?,
        })
    }
}

impl Canonical for Group {
    fn encode(&self, out: &mut Vec<u8>) {
        self.since.encode(out);
        self.number.encode(out);
        encode_list(&self.used, out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            since: Sequence::decode(input)?,
            number: input.u64()?,
            used: input.list(GROUP as usize, "used nonces of a group")?,
        })
    }
}

impl Canonical for Used {
    fn encode(&self, out: &mut Vec<u8>) {
        self.place.encode(out);
        self.operation.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { place: input.u8()?, operation: OperationId::decode(input)? })
    }
}
