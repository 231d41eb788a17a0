//! From a statement of the core to a signed message: signature and record as one value, and into the guard file
//! what must come back with them (protocol §7.1, §7.2).

use quorate_consensus::{Effect, Own};
use quorate_types::message::{Message, VoteMessage};
use quorate_types::proposal::PrePrepare;
use quorate_types::signed::Signed;
use quorate_types::view_change::ViewChangeMessage;
use quorate_types::vote::{Phase, Vote};

use crate::guard::GuardRefusal;
use crate::outbox::{Notice, Outbox};
use crate::records::{self, Record};
use crate::replica::Replica;

impl Replica {
    /// In this order nothing leaves unrecorded. Whoever has just gone into quarantine signs nothing of what the
    /// core still asks for.
    pub(crate) fn sign(&mut self, effect: Effect, out: &mut Outbox) -> Option<Own> {
        if !self.standing.signs() {
            return None;
        }
        match self.sign_guarded(effect, out) {
            Ok(own) => own,
            Err(refusal) => {
                out.notices.push(Notice::Refused(refusal));
                None
            }
        }
    }

    fn sign_guarded(&mut self, effect: Effect, out: &mut Outbox) -> Result<Option<Own>, GuardRefusal> {
        let own = match effect {
            Effect::SignVote(vote, primary) => {
                let signed = self.sign_vote(vote, out)?;
                let primary = primary.filter(|_| vote.validator != self.core.primary());
                out.broadcast(Message::Vote(VoteMessage { vote: signed, primary }));
                Own::Vote(signed)
            }
            Effect::SignPrePrepare(proposal, vote) => {
                let pre_prepare = PrePrepare { proposal, vote: self.sign_vote(vote, out)? };
                out.broadcast(Message::PrePrepare(pre_prepare.clone()));
                Own::PrePrepare(pre_prepare)
            }
            Effect::SignComplaint(complaint) => {
                let guarded = self.guard.complaint(complaint)?;
                out.save(guarded.record);
                out.broadcast(Message::Complaint(guarded.signed));
                Own::Complaint(guarded.signed)
            }
            Effect::SignViewChange(statement, prepared, committed) => {
                let attach = |signed| ViewChangeMessage { signed, prepared, committed };
                let guarded = self.guard.view_change(statement, attach)?;
                self.save_own(guarded.record, out);
                out.broadcast(Message::ViewChange(Box::new(guarded.signed.clone())));
                Own::ViewChange(guarded.signed)
            }
            Effect::SignNewView(statement) => {
                let guarded = self.guard.new_view(*statement)?;
                self.save_own(guarded.record, out);
                out.broadcast(Message::NewView(Box::new(guarded.signed.clone())));
                Own::NewView(guarded.signed)
            }
            _ => return Ok(None),
        };
        Ok(Some(own))
    }

    /// A vote with what it binds its signer to. A guard file that is replayed must bring the certificate behind a
    /// commit vote back with it: a view change that claims less than was committed to would break agreement.
    fn sign_vote(&mut self, vote: Vote, out: &mut Outbox) -> Result<Signed<Vote>, GuardRefusal> {
        let guarded = self.guard.vote(vote)?;
        for (digest, proposal) in self.core.proposals_bound_by(&vote) {
            out.save_guarded(records::proposal(&digest).record(proposal));
        }
        match (vote.phase, self.core.prepared()) {
            (Phase::Commit, Some(certificate)) => {
                out.save_guarded(records::prepared(certificate.epoch).record(certificate));
            }
            (Phase::Prepare, _) => out.save_guarded(records::own_prepare(vote.epoch).record(&guarded.signed)),
            (Phase::Commit, None) => {}
        }
        self.save_own(guarded.record, out);
        Ok(guarded.signed)
    }

    fn save_own(&self, record: Record, out: &mut Outbox) {
        if cfg!(mutant = "send-before-save") {
            return;
        }
        out.save_guarded(record);
    }
}
