//! State transfer: how a validator that is further behind than the others' retention, or whose own state turned
//! out wrong, comes by the state of a checkpoint (protocol §8.2, §8.3, §8.7).
//!
//! * [`Snapshots`]: the provider's end, held by the shell.
//! * `plan`: the receiver's decisions. What it asks for and gets goes through the replica's ordinary door.
//! * [`TransferMark`]: what of it survives a restart; [`Installation`]: the new state takes the old one's place.
//!
//! From the moment at which everything is there, the replica does nothing more: the shell carries the
//! [`Installation`] out, and builds the replica anew from its records ([`Replica::resume`]). So everything that
//! lives in memory follows from the new records, as after a restart, and there is no second way of becoming so.
//!
//! Nothing of protocol §7.1 is touched: a transfer changes what was executed, never what was signed.

mod install;
mod marks;
mod plan;
mod provider;

use quorate_consensus::Now;
use quorate_proof::range::RangeFault;
use quorate_types::execution::Execution;
use quorate_types::ids::{Sequence, ValidatorIndex};
use quorate_types::message::Request;
use quorate_types::snapshot::{Checkpoint, Chunk};
use quorate_types::sparse::Leaf;

pub use self::install::{InstallError, Installation, Sweep, install};
pub use self::marks::{Difference, Divergence, TransferMark};
pub(crate) use self::plan::Transfer;
pub use self::plan::TransferReport;
use self::plan::{Situation, Taken};
pub use self::provider::{Handed, Snapshots};
use crate::outbox::{Notice, Outbox};
use crate::records;
use crate::replica::Replica;
use crate::standing::Quarantine;

/// What people hear of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferNotice {
    /// The state of this checkpoint is fetched, in so many parts.
    Begins {
        /// The checkpoint.
        checkpoint: Sequence,
        /// Parts.
        parts: usize,
    },
    /// A provider sent what isn't the certified state.
    Lied {
        /// Who.
        provider: ValidatorIndex,
        /// What is wrong with it.
        fault: RangeFault,
    },
    /// A provider left a question open.
    Silent {
        /// Who.
        provider: ValidatorIndex,
    },
    /// The transfer isn't needed any more, or nobody hands this checkpoint over any more.
    GivenUp {
        /// The checkpoint.
        checkpoint: Sequence,
    },
    /// Everything is here: the new state takes the place of the old.
    Complete {
        /// The checkpoint.
        checkpoint: Sequence,
        /// Bytes of entries.
        bytes: u64,
    },
}

impl Replica {
    /// protocol §8.2: the own result of a sequence isn't the certified one. Both are kept.
    pub(crate) fn diverge(&mut self, own: Execution, certified: Execution, out: &mut Outbox) {
        let sequence = own.sequence;
        if self.diverged.is_none() {
            self.diverged = Some(sequence);
            let (differences, is_compared) = (Vec::new(), false);
            let divergence = Divergence { sequence, own, certified, differences, is_compared };
            records::divergence().put(&mut out.records, &divergence);
            records::wrong_from().put(&mut out.records, &sequence);
        }
        self.quarantine(Quarantine::Diverged { sequence }, out);
    }

    pub(crate) fn on_checkpoint(&mut self, from: ValidatorIndex, checkpoint: Box<Checkpoint>, out: &mut Outbox) {
        self.transfer.on_checkpoint(from, checkpoint);
        self.pass_over_certificates(self.transfer.pruned(), out);
    }

    /// protocol §8.7: nothing is written that isn't proven whole.
    pub(crate) fn on_chunk(&mut self, now: Now, from: ValidatorIndex, chunk: &Chunk, out: &mut Outbox) {
        let mark = match self.transfer.on_chunk(now, from, chunk) {
            Taken::Useless => return,
            Taken::Lie(fault) => {
                let provider = from;
                self.suspecting.note_bad_data(now, provider, "part of a state");
                return out.notices.push(Notice::Transfer(TransferNotice::Lied { provider, fault }));
            }
            Taken::Kept(mark) => mark,
        };
        let checkpoint = mark.checkpoint.sequence();
        for entry in &chunk.entries {
            records::incoming(checkpoint, &Leaf::of(&entry.key, &[]).key).put(&mut out.records, entry);
        }
        records::transfer().put(&mut out.records, &mark);
        if mark.missing.is_empty() {
            let bytes = mark.bytes;
            records::installing().put(&mut out.records, &checkpoint);
            out.install = Some(checkpoint);
            out.notices.push(Notice::Transfer(TransferNotice::Complete { checkpoint, bytes }));
            self.is_installing = true;
        }
    }

    /// The end of a turn.
    pub(crate) fn go_on_with_transfer(&mut self, now: Now, out: &mut Outbox) {
        // After a safety alarm nothing is changed any more (protocol §3.2, §8.2).
        if self.core.is_halted() {
            return;
        }
        let situation = Situation { tip: self.core.tip().sequence, diverged: self.diverged };
        let moves = self.transfer.on_turn(now, situation);
        for provider in &moves.silent {
            self.suspecting.note_unanswered(now, *provider, "part of a state", 1);
        }
        let mut tell = |notice| out.notices.push(Notice::Transfer(notice));
        moves.silent.into_iter().for_each(|provider| tell(TransferNotice::Silent { provider }));
        if let Some(checkpoint) = moves.gives_up {
            tell(TransferNotice::GivenUp { checkpoint });
            let slot = records::transfer();
            out.records.delete(slot.family(), slot.key());
        }
        if let Some(mark) = moves.begins {
            let (checkpoint, parts) = (mark.checkpoint.sequence(), mark.missing.len());
            records::transfer().put(&mut out.records, &mark);
            out.notices.push(Notice::Transfer(TransferNotice::Begins { checkpoint, parts }));
        }
        for other in moves.asks_for_checkpoint {
            out.ask(other, Request::Checkpoint);
        }
        for (of, checkpoint, span) in moves.asks {
            out.ask(of, Request::Chunk { checkpoint, span });
        }
    }
}
