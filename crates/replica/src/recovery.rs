//! From records to a running replica (protocol §7.1–§7.5).

use std::sync::Arc;

use quorate_accountability::{Ledger, Watch};
use quorate_consensus::{Config, Core, Link, Now, Recovered};
use quorate_crypto::{Digest, SecretKey};
use quorate_dag::{LaneLimits, Lanes, LanesConfig, Point};
use quorate_storage::{Durability, StateOf, Store, WriteBatch};
use quorate_types::evidence::Evidence;
use quorate_types::ids::{BlockTime, BundleNumber, ClusterId, Sequence, ValidatorIndex, View};
use quorate_types::operation::Operation;
use quorate_types::proposal::Proposal;
use quorate_types::signed::Signed;
use quorate_types::verified::Context;
use quorate_types::view_change::ViewChangeMessage;
use quorate_types::vote::Vote;

use crate::accusing::Accusing;
use crate::epochs::EpochError;
use crate::executions::Executions;
use crate::fetching::Fetching;
use crate::guard::{SignedBefore, SigningGuard};
use crate::leaving::{Leaving, is_leaving};
use crate::records::{self, Delivered, Record, RecordError};
use crate::replica::Replica;
use crate::returning::{Returning, renew};
use crate::standing::{Ended, Quarantine, Standing};
use crate::suspecting::Suspecting;
use crate::transfer::{InstallError, Transfer, install};

/// What a replica needs beside its records.
#[derive(Debug)]
pub struct Setup {
    /// The epoch.
    pub context: Context,
    /// This validator.
    pub me: ValidatorIndex,
    /// The consensus key; it goes into the signing guard and nowhere else.
    pub key: SecretKey,
    /// Random: the store's new nonce, should it turn out not to be the one that signed last (protocol §7.4).
    pub fresh: [u8; 32],
}

/// What the guard file holds (protocol §7.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuardFile {
    /// The number of the last guarded batch.
    pub batch: u64,
    /// Its protocol records.
    pub records: Vec<Record>,
}

/// Why a replica can't start at all.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The store can't be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The store was never made by `init` (protocol §7.5).
    #[error(
        "the store has no record `{0}`: it was not created by `quorate init`; an empty store is never a first start"
    )]
    NotCreated(&'static str),
    /// The store belongs to another cluster.
    #[error(
        "the store belongs to cluster {found}, the genesis file is that of cluster {expected}: it was edited, or is another cluster's"
    )]
    OtherCluster {
        /// The genesis file's cluster.
        expected: ClusterId,
        /// The store's.
        found: ClusterId,
    },
    /// A state that was received can't be put in place.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// The epoch can't be told, or entered.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// A chain of records is broken.
    #[error("the store lacks the proposal delivered at sequence {0}")]
    MissingProposal(Sequence),
}

/// Creates the records of a new store (protocol §7.5): the cluster that it belongs to, and the random nonce
/// that only this store carries.
#[must_use]
pub fn create_store(cluster: ClusterId, incarnation: [u8; 32]) -> WriteBatch {
    let mut batch = WriteBatch::new();
    records::cluster().put(&mut batch, &cluster.0);
    records::incarnation().put(&mut batch, &Digest::new(incarnation));
    batch
}

/// Builds the replica that continues from `store`. A guard file one batch ahead is replayed into it first;
/// `guard_file` is `None` if it is missing or damaged.
///
/// # Errors
/// If the store can't be read or belongs elsewhere. A store that can be read but must not sign gives a replica
/// in quarantine, not an error.
pub fn recover<S: Store>(
    store: &S,
    guard_file: Option<&GuardFile>,
    setup: Setup,
    now: Now,
) -> Result<Replica, RecoverError> {
    let found = records::cluster().read(store)?.map(ClusterId).ok_or(RecoverError::NotCreated("cluster"))?;
    if found != setup.context.cluster {
        return Err(RecoverError::OtherCluster { expected: setup.context.cluster, found });
    }
    // Before anything reads the state (protocol §8.7).
    install(store)?;
    let quarantine = judge_store(store, guard_file, &setup)?;
    build(store, setup, quarantine, now)
}

/// protocol §7.2, §7.4: whether this store may sign at all; replays a guard file that is one batch ahead.
fn judge_store<S: Store>(
    store: &S,
    guard_file: Option<&GuardFile>,
    setup: &Setup,
) -> Result<Option<Quarantine>, RecoverError> {
    let incarnation = records::incarnation().read(store)?.ok_or(RecoverError::NotCreated("incarnation"))?;
    let known = setup.context.set.validator(setup.me).map(|info| Digest::new(info.incarnation));
    if cfg!(mutant = "signs-after-lost-store") {
        return Ok(None);
    }
    if known.is_none() {
        return Ok(Some(Quarantine::NotAValidator));
    }
    if known != Some(incarnation) {
        return Ok(Some(Quarantine::OtherIncarnation));
    }
    let Some(file) = guard_file else { return Ok(Some(Quarantine::NoGuardFile)) };
    let (at, guard) = (records::batch_number().read(store)?.unwrap_or(0), file.batch);
    if guard > at.saturating_add(1) {
        return Ok(Some(Quarantine::BehindGuardFile { store: at, guard }));
    }
    if at > guard.saturating_add(1) {
        return Ok(Some(Quarantine::GuardFileBehind { store: at, guard }));
    }
    if guard == at.saturating_add(1) {
        let mut batch = WriteBatch::new();
        for (family, key, value) in &file.records {
            batch.put(*family, key.clone(), value.clone());
        }
        records::batch_number().put(&mut batch, &guard);
        store.write(batch, Durability::Synced).map_err(RecordError::from)?;
    }
    // Last: a divergence is repaired, and what else is wrong isn't forgotten with it (protocol §8.2).
    Ok(records::ended().read(store)?.map(Quarantine::Earlier))
}

impl Replica {
    /// The replica that goes on after a new state was put in place: everything is read from the store again, and
    /// the peers are asked again before anything is signed (protocol §7.3, §8.7).
    ///
    /// # Errors
    /// If the store can't be read.
    pub fn resume<S: Store>(self, store: &S, now: Now) -> Result<Self, RecoverError> {
        let Self { context, me, guard, standing, batch, returning, suspecting, .. } = self;
        let quarantine = match standing {
            Standing::Quarantined(Quarantine::Diverged { .. } | Quarantine::Earlier(Ended::Diverged(_))) => None,
            Standing::Quarantined(reason) => Some(reason),
            Standing::Asking { .. } | Standing::Signing => None,
        };
        // The nonce stays: what else was wrong with the store was seen at the start.
        let setup = Setup { context, me, key: guard.into_key(), fresh: returning.incarnation };
        let resumed = build(store, setup, quarantine, now)?;
        Ok(Self { batch: resumed.batch.max(batch), suspecting, ..resumed })
    }
}

/// What the guard file must be given, before anything is signed, where a crash left it a batch behind the store:
/// the next crash could leave it another one behind, which would look like an old copy (protocol §7.2). It holds
/// this validator's own statements; what they bind to is in the store. `None` if it isn't behind.
///
/// # Errors
/// If the store can't be read.
pub fn guard_file_to_write<S: Store>(
    store: &S,
    guard_file: &GuardFile,
    context: &Context,
    me: ValidatorIndex,
) -> Result<Option<GuardFile>, RecordError> {
    let batch = records::batch_number().read(store)?.unwrap_or(0);
    if batch <= guard_file.batch {
        return Ok(None);
    }
    let epoch = context.epoch;
    let stable = records::stable().read(store)?.unwrap_or(context.start.0);
    let mut own: Vec<Record> = Vec::new();
    if let Some(state) = records::view_state().read(store)?.filter(|state| state.epoch == epoch) {
        own.push(records::view_state().record(&state));
        let slot = records::new_view(epoch, state.view);
        own.extend(slot.read(store)?.map(|new_view| slot.record(&new_view)));
    }
    let votes = records::votes_above(store, epoch, stable)?;
    let votes = votes.into_iter().filter(|vote| vote.signer() == me);
    own.extend(votes.map(|vote| records::vote(&vote.statement).record(&vote)));
    own.extend(records::own_prepare(epoch).read(store)?.map(|vote| records::own_prepare(epoch).record(&vote)));
    let change = records::highest_view_change(store, epoch)?;
    let slot_of = |change: &ViewChangeMessage| records::own_view_change(epoch, change.signed.statement.new_view);
    own.extend(change.map(|change| slot_of(&change).record(&change)));
    own.extend(records::own_new_view(epoch).read(store)?.map(|own| records::own_new_view(epoch).record(&own)));
    own.extend(records::own_bundle(epoch).read(store)?.map(|own| records::own_bundle(epoch).record(&own)));
    Ok(Some(GuardFile { batch, records: own }))
}

fn build<S: Store>(store: &S, setup: Setup, quarantine: Option<Quarantine>, now: Now) -> Result<Replica, RecoverError> {
    let Setup { context, me, key, fresh: nonce } = setup;
    let epoch = context.epoch;
    let (start_sequence, start_digest) = context.start;
    let start = Link { sequence: start_sequence, digest: start_digest, time: BlockTime::ZERO };
    let fresh = Delivered { link: start, points: Vec::new() };
    let delivered = records::delivered().read(store)?.unwrap_or(fresh);
    let stable = records::stable().read(store)?.unwrap_or(start_sequence);
    let executed = records::executed().read(store)?.map_or(start_sequence, |mark| mark.execution.sequence);
    let certified = records::certified().read(store)?.unwrap_or(start_sequence);
    let signed = signed_before(store, &context, me, (stable, certified))?;
    let recovered = recovered_core(store, &context, &delivered, (stable, executed))?;
    let own_bundle = signed.bundle;
    let (parameters, learners) = (context.parameters.clone(), context.set.learners().len());
    let everyone = context.set.everyone().count();
    let (quorum, roster) = (context.quorum(), context.set.roster().clone());
    let config = Config { me, epoch, quorum, roster, learners, parameters, start };
    let (lanes, lane_fault) = recovered_lanes(store, &context, (me, own_bundle), delivered)?;
    let reach = 2 * u64::from(context.parameters.window);
    let executions = recovered_executions(store, &context, (stable, certified), reach)?;
    let (ledger, accusing) = recovered_ledger(store, &context)?;
    let watch = recovered_watch(store, &context, stable)?;
    let needed = context.quorum().quorum().saturating_sub(1);
    let quarantine = quarantine.or(lane_fault.then_some(Quarantine::LostOwnBundles));
    let returning = recovered_returning(store, &context, (me, &key, nonce), quarantine.as_ref())?;
    let standing = quarantine.map_or(Standing::Asking { heard: Default::default(), needed }, Standing::Quarantined);
    let interval_ms = u64::from(context.parameters.status_interval_ms);
    let under_way = (records::transfer().read(store)?, now);
    let transfer = Transfer::new((me, everyone), context.quorum().one_correct(), interval_ms, under_way);
    let diverged = records::wrong_from().read(store)?;
    let mut core = Core::new(config, recovered, now);
    core.set_waiting_room(quorate_machine::read::waiting(&StateOf(store)).map_err(RecordError::from)?.operations > 0);
    if let Some(last) = quorate_machine::read::epoch_end(&StateOf(store), epoch).map_err(RecordError::from)? {
        core.set_last(last);
    }
    Ok(Replica {
        guard: SigningGuard::new(key, context.cluster, signed),
        core,
        suspecting: Suspecting::new(me, context.quorum(), now),
        fetching: Fetching::new((me, epoch), context.set.size(), interval_ms),
        batch: records::batch_number().read(store)?.unwrap_or(0),
        rounds: std::collections::VecDeque::new(),
        status_due_ms: now.monotonic_ms,
        status_sent_ms: 0,
        bundled_ms: 0,
        promises: Default::default(),
        transfer,
        is_installing: false,
        returning,
        leaving: recovered_leaving(store, &context, me)?,
        diverged,
        awaiting: Default::default(),
        context,
        me,
        ledger,
        accusing,
        watch,
        spread: Default::default(),
        lanes,
        executions,
        standing,
        executed,
        told_own: Default::default(),
        certificates_asked: Default::default(),
        certified_before: certified,
        executed_before: executed,
        rechecks: false,
        settles_anew: true,
        overlooks_own_key: false,
    })
}

/// The lanes, and whether the own one isn't what was signed: that mutes it. Nothing is bundled then, the rest works (the
/// lanes remember it).
fn recovered_lanes<S: Store>(
    store: &S,
    context: &Context,
    (me, own_bundle): (ValidatorIndex, BundleNumber),
    delivered: Delivered,
) -> Result<(Lanes, bool), RecordError> {
    let (epoch, validators) = (context.epoch, context.set.size());
    let config = LanesConfig { me, epoch, validators, limits: LaneLimits::of(&context.parameters) };
    let mut lanes = Lanes::new(config, delivered.link.digest, delivered.points.clone());
    let bundles = records::bundles_above(store, epoch, &padded(delivered.points, validators))?;
    let lane_fault = lanes.restore(bundles, own_bundle).is_err();
    for operation in left_behind(store, context, (me, own_bundle))? {
        lanes.submit(operation);
    }
    Ok((lanes, lane_fault))
}

/// The evidence kept, and what is to be said of it.
fn recovered_ledger<S: Store>(store: &S, context: &Context) -> Result<(Ledger, Accusing), RecordError> {
    let kept = records::evidence_kept(store)?;
    let accusing = recovered_accusing(store, context, &kept)?;
    let mut ledger = Ledger::default();
    // Indices are an epoch's: what accuses a validator of another one is kept in the store, and shown, alone.
    let of_epoch = |evidence: &Evidence| evidence.validator().is_none() || evidence.epoch() == context.epoch;
    for evidence in kept.into_iter().filter(of_epoch) {
        ledger.note(&Arc::new(evidence));
    }
    Ok((ledger, accusing))
}

/// What is in the state of all evidence, and what isn't yet of that of the epoch before.
fn recovered_accusing<S: Store>(store: &S, context: &Context, kept: &[Evidence]) -> Result<Accusing, RecordError> {
    let convictions = quorate_machine::read::convictions(&StateOf(store)).map_err(RecordError::from)?;
    let before = quorate_machine::read::epoch_before(&StateOf(store)).map_err(RecordError::from)?;
    let Some(before) = before.filter(|before| before.definition.epoch.next() == context.epoch) else {
        return Ok(Accusing::new(&convictions, Vec::new()));
    };
    let of_before = kept.iter().filter(|evidence| evidence.epoch() == before.definition.epoch);
    let pieces = of_before.filter_map(|evidence| {
        let accused = before.definition.validators.get(evidence.validator()?.position())?;
        Some((evidence.id(), accused.consensus_key, Arc::new(evidence.clone())))
    });
    Ok(Accusing::new(&convictions, pieces.collect()))
}

/// What this validator may have to say to come (back) in; a store that must not sign gets its new nonce here.
fn recovered_returning<S: Store>(
    store: &S,
    context: &Context,
    (me, key, fresh): (ValidatorIndex, &SecretKey, [u8; 32]),
    quarantine: Option<&Quarantine>,
) -> Result<Returning, RecordError> {
    let known = context.set.validator(me).map(|info| info.incarnation);
    let incarnation = match quarantine {
        Some(reason) => renew(store, (known, fresh), reason)?,
        None => known.unwrap_or_default(),
    };
    let interval = u64::from(context.parameters.checkpoint_interval);
    let executed = records::executed().read(store)?.map(|mark| (mark.execution.sequence, mark.execution.state_root));
    let checkpoint = executed.filter(|(sequence, _)| sequence.0.is_multiple_of(interval));
    Ok(Returning::new(key.public(), incarnation, checkpoint))
}

/// What was seen before the start, so that a contradiction over a restart is found too: the votes, and the new view
/// that was entered last.
fn recovered_watch<S: Store>(store: &S, context: &Context, stable: Sequence) -> Result<Watch, RecordError> {
    let mut watch = Watch::new(context.clone());
    // Evidence found then was kept then.
    let mut known = Vec::new();
    let new_view = records::highest_new_view(store, context.epoch)?;
    watch.stands_at(new_view.as_ref().map_or(View::ZERO, |new_view| new_view.statement.view), stable);
    new_view.iter().for_each(|new_view| watch.on_new_view(new_view, &mut known));
    for vote in records::votes_above(store, context.epoch, stable)? {
        watch.on_vote(&vote, &mut known);
        if let Some(proposal) = records::proposal(&vote.statement.digest).read(store)? {
            watch.on_proposal(&proposal, &mut known);
        }
    }
    Ok(watch)
}

/// protocol §8.4: operations of own bundles that the epoch before didn't order. They wait for a bundle of this epoch, as
/// long as none was made in it.
fn left_behind<S: Store>(
    store: &S,
    context: &Context,
    (me, own_bundle): (ValidatorIndex, BundleNumber),
) -> Result<Vec<Arc<Operation>>, RecordError> {
    let is_over = own_bundle > BundleNumber::ZERO || context.set.validator(me).is_none();
    let Some(before) = context.epoch.previous().filter(|_| !is_over) else { return Ok(Vec::new()) };
    let Some((lane, ordered)) = records::left_lane(context.epoch).read(store)? else { return Ok(Vec::new()) };
    let bundles = records::bundles_of(store, before, lane, ordered)?;
    Ok(bundles.into_iter().flat_map(|bundle| bundle.operations).collect())
}

/// protocol §8.4: what somebody who was removed hands over.
fn recovered_leaving<S: Store>(store: &S, context: &Context, me: ValidatorIndex) -> Result<Leaving, RecordError> {
    let Some(before) = context.epoch.previous().filter(|_| is_leaving(context, me)) else {
        return Ok(Leaving::default());
    };
    let Some((lane, ordered)) = records::left_lane(context.epoch).read(store)? else { return Ok(Leaving::default()) };
    let bundles = records::bundles_of(store, before, lane, ordered)?;
    // A validator's own word is for the epoch that it names alone.
    let operations = bundles.into_iter().flat_map(|bundle| bundle.operations);
    Ok(Leaving::new(operations.filter(|operation| !operation.is_own_word()).collect()))
}

/// Results and certificates above the stable checkpoint and above the sequence up to which every certificate is
/// held, of which either may be the lower: what a crash kept apart is compared, and voted on, after the start.
/// Certificates may have come far ahead of execution; without them no later checkpoint would become stable.
fn recovered_executions<S: Store>(
    store: &S,
    context: &Context,
    (stable, certified): (Sequence, Sequence),
    reach: u64,
) -> Result<Executions, RecordError> {
    let size = (context.quorum().quorum(), context.set.size());
    let mut executions = Executions::new(size, reach, certified);
    let from = stable.min(certified);
    let limit = usize::try_from(certified.above(from).saturating_add(reach)).unwrap_or(usize::MAX);
    for certificate in records::executions_from(store, from.next(), limit)? {
        executions.restore_certificate(certificate.execution);
    }
    for result in records::results_above(store, from)? {
        executions.restore_own(result);
    }
    for vote in records::own_execution_votes_above(store, context.epoch, certified)? {
        executions.on_vote(vote);
    }
    Ok(executions)
}

fn padded(mut points: Vec<Point>, lanes: usize) -> Vec<Point> {
    points.resize(lanes, Point::EMPTY);
    points
}

/// What the key has signed, by the records: the guard's account.
fn signed_before<S: Store>(
    store: &S,
    context: &Context,
    me: ValidatorIndex,
    (stable, certified): (Sequence, Sequence),
) -> Result<SignedBefore, RecoverError> {
    let epoch = context.epoch;
    let votes: Vec<Vote> = records::votes_above(store, epoch, stable)?
        .into_iter()
        .filter(|vote| vote.signer() == me)
        .map(|vote| vote.statement)
        .collect();
    let change = records::highest_view_change(store, epoch)?;
    let new_view = records::own_new_view(epoch).read(store)?;
    let header = records::own_bundle(epoch).read(store)?;
    let executions = records::own_execution_votes_above(store, epoch, certified)?;
    let complaint = records::own_complaint(epoch).read(store)?;
    let state = records::view_state().read(store)?.filter(|state| state.epoch == epoch);
    Ok(SignedBefore {
        votes,
        stable,
        certified,
        view: state.map_or(View::ZERO, |state| state.view),
        complaint: complaint.map(|complaint| (complaint.statement.view, complaint.statement.time)),
        view_change: change.map(|change| change.signed.statement.new_view),
        new_view: new_view.map(|new_view| new_view.statement.view),
        bundle: header.map_or(BundleNumber::ZERO, |header| header.statement.number),
        executions: executions.into_iter().map(|vote| vote.statement.execution).collect(),
    })
}

fn recovered_core<S: Store>(
    store: &S,
    context: &Context,
    delivered: &Delivered,
    (stable, executed): (Sequence, Sequence),
) -> Result<Recovered, RecoverError> {
    let epoch = context.epoch;
    let tip = delivered.link;
    let state = records::view_state().read(store)?.filter(|state| state.epoch == epoch);
    let view = state.map_or((View::ZERO, true), |state| (state.view, state.active));
    let new_view = records::new_view(epoch, view.0).read(store)?;
    let mut votes = records::votes_above(store, epoch, stable)?;
    let own_prepare = records::own_prepare(epoch).read(store)?;
    votes.extend(binding_below(store, own_prepare, view.0, stable)?);
    let view_change = records::highest_view_change(store, epoch)?;
    // What a view change has claimed is claimed for ever.
    let claimed = view_change.as_ref().and_then(|change| change.prepared.clone());
    let prepared = records::prepared(epoch).read(store)?.into_iter().chain(claimed);
    let prepared = prepared.max_by_key(|certificate| (certificate.claim.view, certificate.claim.sequence));
    let last_vote = own_prepare.map(|vote| vote.statement.claim());
    let mut commits = records::commits_from(store, stable.next())?;
    if commits.is_empty() {
        commits.extend(records::highest_commit(store, epoch)?);
    }
    let named = votes
        .iter()
        .map(|vote| vote.statement.digest)
        .chain(prepared.iter().map(|certificate| certificate.claim.digest))
        .chain(commits.iter().map(|certificate| certificate.claim.digest));
    let proposals = proposals_above(store, tip, named)?;
    Ok(Recovered {
        view,
        new_view,
        tip,
        delivered: delivered_from(store, stable, tip.sequence)?,
        proposals,
        votes,
        prepared,
        last_vote,
        commits,
        view_change,
        complaint: records::own_complaint(epoch).read(store)?,
        stable,
        executed,
        halted: matches!(records::ended().read(store)?, Some(Ended::Alarm(_))),
    })
}

/// A vote of this validator's own in its view that the committed chain passed by binds on, however low it lies
/// (protocol §3.2).
fn binding_below<S: Store>(
    store: &S,
    own_prepare: Option<Signed<Vote>>,
    view: View,
    stable: Sequence,
) -> Result<Option<Signed<Vote>>, RecoverError> {
    let below = |vote: &Signed<Vote>| vote.statement.view == view && vote.statement.sequence <= stable;
    let Some(vote) = own_prepare.filter(below) else { return Ok(None) };
    let committed = records::committed(vote.statement.sequence).read(store)?;
    Ok((committed != Some(vote.statement.digest)).then_some(vote))
}

/// The delivered proposals from the stable checkpoint to the tip.
fn delivered_from<S: Store>(
    store: &S,
    stable: Sequence,
    tip: Sequence,
) -> Result<Vec<(Digest, Proposal)>, RecoverError> {
    let mut delivered = Vec::new();
    let mut at = stable.max(Sequence(1));
    while at <= tip {
        let digest = records::committed(at).read(store)?.ok_or(RecoverError::MissingProposal(at))?;
        let proposal = records::proposal(&digest).read(store)?.ok_or(RecoverError::MissingProposal(at))?;
        delivered.push((digest, proposal));
        at = at.next();
    }
    Ok(delivered)
}

/// The recorded proposals above the tip that votes and certificates name, with their ancestors down to it.
fn proposals_above<S: Store>(
    store: &S,
    tip: Link,
    named: impl Iterator<Item = Digest>,
) -> Result<Vec<(Digest, Proposal)>, RecoverError> {
    let mut found = std::collections::BTreeMap::new();
    for digest in named {
        let mut at = digest;
        while !found.contains_key(&at) {
            let Some(proposal) = records::proposal(&at).read(store)? else { break };
            if proposal.sequence <= tip.sequence {
                break;
            }
            let parent = proposal.parent;
            found.insert(at, proposal);
            at = parent;
        }
    }
    Ok(found.into_iter().collect())
}
