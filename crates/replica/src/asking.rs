//! Before the first signature: what peers hold of this validator's key (protocol §7.3).

use quorate_consensus::{Input, Now};
use quorate_types::ids::ValidatorIndex;
use quorate_types::message::{HeldOfYours, Status};

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
        if let Some(what) = self.lacks(yours) {
            let reason = match self.standing {
                Standing::Signing => Quarantine::KeyUsedElsewhere { what },
                _ => Quarantine::BehindPeer { peer: from, what },
            };
            self.quarantine(reason, out);
            return;
        }
        if let Standing::Asking { heard, .. } = &mut self.standing
            && !status.quarantined
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
        }
    }

    /// The first message of the own key that the own records lack; what lies at or below the stable checkpoint
    /// is settled.
    fn lacks(&self, held: &HeldOfYours) -> Option<&'static str> {
        let HeldOfYours { votes, complaint: _, view_change, bundle, execution } = held;
        let mine = |signer: ValidatorIndex| signer == self.me;
        let unknown_vote = votes.iter().any(|vote| mine(vote.signer()) && !self.core.knows_own_vote(&vote.statement));
        let unknown_change = view_change
            .filter(|change| mine(change.signer()))
            .is_some_and(|change| Some(change.statement.new_view) > self.guard.highest_view_change());
        let unknown_bundle = bundle
            .filter(|header| mine(header.signer()))
            .is_some_and(|header| header.statement.number > self.lanes.own_head().number);
        let unknown_execution = execution.filter(|vote| mine(vote.signer())).is_some_and(|vote| {
            let execution = vote.statement.execution;
            execution.sequence > self.core.stable() && !self.guard.knows_execution(&execution)
        });
        let found = [
            (unknown_vote, "vote"),
            (unknown_change, "view change"),
            (unknown_bundle, "bundle"),
            (unknown_execution, "execution vote"),
        ];
        found.into_iter().find(|(unknown, _)| *unknown).map(|(_, what)| what)
    }
}
