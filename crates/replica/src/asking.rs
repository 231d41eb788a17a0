//! Messages of this validator's own key: what peers hold of it before the first signature (protocol §7.3), and
//! whether another node runs with it (protocol §7.6).

use quorate_consensus::{Input, Now};
use quorate_types::bundle::BundleHeader;
use quorate_types::execution::ExecutionVote;
use quorate_types::ids::ValidatorIndex;
use quorate_types::message::{HeldOfYours, Message, Status, VoteMessage};
use quorate_types::proposal::PrePrepare;
use quorate_types::signed::Signed;
use quorate_types::view_change::{Complaint, NewView, ViewChange};
use quorate_types::vote::{Certificate, Vote};

use crate::outbox::{Notice, Outbox};
use crate::replica::Replica;
use crate::standing::{Quarantine, Standing};

impl Replica {
    /// What is held here of another validator's key.
    pub(crate) fn held_of(&self, peer: ValidatorIndex) -> HeldOfYours {
        HeldOfYours {
            bundle: self.lanes.highest_header_of(peer),
            execution: self.executions.highest_of(peer),
            ..self.core.held_of(peer)
        }
    }

    /// protocol §7.3: the answers of `q − 1` peers out of quarantine; a message that the own records lack means
    /// quarantine. While signing, the same shows a second node with this key (protocol §7.6).
    pub(crate) fn hear(&mut self, now: Now, from: ValidatorIndex, status: &Status, out: &mut Outbox) {
        let Some(yours) = &status.yours else { return };
        if !self.overlooks_own_key
            && let Some(what) = self.lacks(yours)
        {
            return self.quarantine_for(from, what, out);
        }
        if let Standing::Asking { heard, .. } = &mut self.standing
            && !status.quarantined
            && self.context.set.validator(from).is_some()
        {
            heard.insert(from);
        }
        self.begin_signing_if_heard(now, out);
    }

    /// Signing begins when enough peers have answered; a validator alone asks nobody.
    pub(crate) fn begin_signing_if_heard(&mut self, now: Now, out: &mut Outbox) {
        let Standing::Asking { heard, needed } = &self.standing else { return };
        if heard.len() >= *needed {
            self.standing = Standing::Signing;
            out.notices.push(Notice::Standing(Standing::Signing));
            self.drive(now, Input::MaySign, out);
            self.vote_on_results(now, out);
        }
    }

    /// A message of the own key that the own records lack: this store isn't the one that signed last, or isn't
    /// the only one that signs.
    pub(crate) fn quarantine_for(&mut self, peer: ValidatorIndex, what: &'static str, out: &mut Outbox) {
        let reason = match self.standing {
            Standing::Signing => Quarantine::KeyUsedElsewhere { what },
            _ => Quarantine::BehindPeer { peer, what },
        };
        self.quarantine(reason, out);
    }

    /// protocol §7.6, §7.3: a message of the own key that these records lack, whoever brings it and in whichever
    /// other message it travels.
    pub(crate) fn own_key_elsewhere(&self, message: &Message) -> Option<&'static str> {
        if self.standing.is_quarantined() || self.overlooks_own_key {
            return None;
        }
        match message {
            Message::PrePrepare(PrePrepare { vote, .. }) => self.unknown_vote(&vote.statement),
            Message::Vote(VoteMessage { vote, primary }) => self
                .unknown_vote(&vote.statement)
                .or_else(|| primary.as_ref().and_then(|primary| self.unknown_vote(&primary.statement))),
            Message::Complaint(complaint) => self.unknown_complaint(complaint),
            Message::ViewChange(change) => self.unknown_change(&change.signed).or_else(|| {
                [&change.prepared, &change.committed].into_iter().flatten().find_map(|c| self.unknown_in(c))
            }),
            Message::NewView(new_view) => self.unknown_new_view(new_view),
            Message::Certificate(certificate) => self.unknown_in(certificate),
            Message::Segment(segment) => self.unknown_in(&segment.certificate),
            Message::ExecutionVote(vote) => self.unknown_execution(&vote.statement),
            Message::Bundle(bundle) => self.unknown_bundle(&bundle.header.statement),
            Message::Freshness(answer) => answer.certificate.as_ref().and_then(|commit| self.unknown_in(commit)),
            Message::ExecutionCertificate(_)
            | Message::Status(_)
            | Message::Proposal(_)
            | Message::Checkpoint(_)
            | Message::Chunk(_)
            // Judged for itself: what it shows of this key is in it (accountability §3.2).
            | Message::Evidence(_)
            | Message::EvidenceHeld(_)
            | Message::Operation(_)
            | Message::Request(_) => None,
        }
    }

    fn unknown_vote(&self, vote: &Vote) -> Option<&'static str> {
        (vote.validator == self.me && !self.guard.knows_vote(vote)).then_some("vote")
    }

    fn unknown_in(&self, certificate: &Certificate) -> Option<&'static str> {
        let signers = certificate.signatures.iter().map(|(signer, _)| *signer);
        signers.filter(|signer| *signer == self.me).find_map(|me| self.unknown_vote(&certificate.vote_of(me)))
    }

    fn unknown_complaint(&self, complaint: &Signed<Complaint>) -> Option<&'static str> {
        let is_unknown = complaint.signer() == self.me && !self.guard.knows_complaint(&complaint.statement);
        is_unknown.then_some("complaint")
    }

    fn unknown_change(&self, change: &Signed<ViewChange>) -> Option<&'static str> {
        let is_unknown = Some(change.statement.new_view) > self.guard.highest_view_change();
        (change.signer() == self.me && is_unknown).then_some("view change")
    }

    fn unknown_new_view(&self, new_view: &Signed<NewView>) -> Option<&'static str> {
        let NewView { view, view_changes, prepared, committed, .. } = &new_view.statement;
        let is_unknown = new_view.signer() == self.me && Some(*view) > self.guard.highest_new_view();
        is_unknown
            .then_some("new view")
            .or_else(|| view_changes.iter().find_map(|change| self.unknown_change(change)))
            .or_else(|| {
                [prepared, committed].into_iter().flatten().find_map(|certificate| self.unknown_in(certificate))
            })
    }

    fn unknown_bundle(&self, header: &BundleHeader) -> Option<&'static str> {
        (header.lane == self.me && header.number > self.lanes.own_head().number).then_some("bundle")
    }

    fn unknown_execution(&self, vote: &ExecutionVote) -> Option<&'static str> {
        (vote.validator == self.me && !self.guard.knows_execution(&vote.execution)).then_some("execution vote")
    }

    /// The first message of the own key that the own records lack; what lies at or below the stable checkpoint
    /// is settled.
    fn lacks(&self, held: &HeldOfYours) -> Option<&'static str> {
        let HeldOfYours { votes, complaint, view_change, bundle, execution } = held;
        let found = [
            votes.iter().find_map(|vote| self.unknown_vote(&vote.statement)),
            complaint.as_ref().and_then(|complaint| self.unknown_complaint(complaint)),
            view_change.as_ref().and_then(|change| self.unknown_change(change)),
            bundle.as_ref().and_then(|header| self.unknown_bundle(&header.statement)),
            execution.as_ref().and_then(|vote| self.unknown_execution(&vote.statement)),
        ];
        found.into_iter().flatten().next()
    }
}
