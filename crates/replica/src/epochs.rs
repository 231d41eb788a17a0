//! From one epoch to the next (protocol §8.4).
//!
//! An epoch is over for a validator when it has executed the last sequence, the checkpoint there is stable, and every
//! execution certificate up to it is held. Then the replica decides nothing more ([`Outbox::enters`]), and the shell
//! builds it anew, as after a restart, with [`current`]: that writes the record of the next epoch, whose definition
//! stands in the certified state, and from then on nothing of the old epoch is signed, because nobody has a guard for
//! it any more. A crash before that record leaves a validator that is at the end of its epoch, and enters at the start.
//!
//! Views begin at 0 and lanes empty, because all records of them carry their epoch.

use quorate_crypto::PublicKey;
use quorate_dag::Point;
use quorate_machine::{read, tree};
use quorate_storage::{Durability, StateOf, Store, TreeOf, WriteBatch};
use quorate_types::epoch::{EpochStart, place};
use quorate_types::ids::{BundleNumber, Epoch, Sequence};
use quorate_types::rules::RuleFault;
use quorate_types::verified::Context;

use crate::outbox::Outbox;
use crate::records::{self, Delivered, RecordError};
use crate::replica::Replica;

/// Why an epoch can't be entered: a local fault, the validator stops.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EpochError {
    /// The store can't be read, or its records are damaged.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The record of the epoch that was entered is gone.
    #[error("the store lacks the record of epoch {0}, which it has entered")]
    Missing(Epoch),
    /// What the state says of the next epoch isn't what was certified.
    #[error("the store's state at the end of epoch {epoch} isn't the certified one: {fault}")]
    Damaged {
        /// The epoch that ends.
        epoch: Epoch,
        /// What doesn't fit.
        fault: RuleFault,
    },
}

/// The epoch that this store is in, `first` being the one of the genesis; where it is at the end of one, the next is
/// entered first. `key` is this validator's consensus key.
///
/// # Errors
/// If the store fails, or its records are damaged.
pub fn current<S: Store>(store: &S, first: &Context, key: &PublicKey) -> Result<Context, EpochError> {
    let mut context = entered(store, first)?;
    while let Some(next) = enter(store, &context, key)? {
        context = next;
    }
    Ok(context)
}

/// The epoch that was entered last.
///
/// # Errors
/// If the store fails, or its records are damaged.
pub fn entered<S: Store>(store: &S, first: &Context) -> Result<Context, EpochError> {
    let Some(epoch) = records::epoch().read(store)? else { return Ok(first.clone()) };
    let start = records::epoch_start(epoch).read(store)?.ok_or(EpochError::Missing(epoch))?;
    Ok(start.context(first))
}

/// Writes the record of the epoch that follows `before`, if that one is over here.
fn enter<S: Store>(store: &S, before: &Context, key: &PublicKey) -> Result<Option<Context>, EpochError> {
    let definition = read::next_epoch(&StateOf(store)).map_err(RecordError::from)?;
    let Some(definition) = definition.filter(|definition| definition.epoch == before.epoch.next()) else {
        return Ok(None);
    };
    let last = definition.start;
    let Some(mark) = records::executed().read(store)?.filter(|mark| mark.execution.sequence == last) else {
        return Ok(None);
    };
    let certified = records::certified().read(store)?.unwrap_or_default();
    let stable = records::stable().read(store)?.unwrap_or_default();
    let Some(certificate) = records::execution(last).read(store)?.filter(|_| certified >= last && stable == last)
    else {
        return Ok(None);
    };
    let proposal = records::proposal(&mark.execution.proposal).read(store)?;
    let Some((proposal, delivered)) = proposal.zip(records::delivered().read(store)?) else { return Ok(None) };
    let path = tree::path(&TreeOf(store), &place()).map_err(RecordError::from)?;
    let start = EpochStart { definition, path, certificate, proposal };
    quorate_types::rules::admit_epoch_start(&start, before.epoch, before.quorum())
        .map_err(|fault| EpochError::Damaged { epoch: before.epoch, fault })?;
    let epoch = start.definition.epoch;
    let mut batch = WriteBatch::new();
    records::epoch_start(epoch).put(&mut batch, &start);
    records::epoch().put(&mut batch, &epoch);
    let me = before.set.place_of(key);
    let ordered = delivered.points.get(me.position()).map_or(BundleNumber::ZERO, |point| point.number);
    records::left_lane(epoch).put(&mut batch, &(me, ordered));
    records::delivered().put(&mut batch, &Delivered { link: delivered.link, points: Vec::new() });
    let mut points = delivered.points;
    points.resize(before.set.size(), Point::EMPTY);
    records::void_above(before.epoch).put(&mut batch, &Delivered { link: delivered.link, points });
    store.write(batch, Durability::Synced).map_err(RecordError::from)?;
    Ok(Some(start.context(before)))
}

impl Replica {
    /// Whether everything up to the epoch's last sequence is settled here; then nothing more is decided in this epoch.
    pub(crate) fn end_epoch_if_over(&mut self, out: &mut Outbox) {
        let Some(last) = self.core.last() else { return };
        let is_settled = |at: Sequence| at >= last;
        let is_over = is_settled(self.executed)
            && is_settled(self.core.stable())
            && is_settled(self.executions.certified())
            && self.diverged.is_none()
            && !self.core.is_halted();
        if is_over {
            self.is_installing = true;
            out.enters = Some(self.context.epoch.next());
        }
    }
}
