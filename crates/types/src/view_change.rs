//! The messages that move the cluster from one view to the next (protocol §§2.5–2.7).

use crate::codec::{Canonical, DecodeError, Reader, encode_list};
use crate::ids::{BlockTime, Epoch, ValidatorIndex, View};
use crate::limits::MAX_VALIDATORS;
use crate::signed::{Signed, Statement};
use crate::vote::{Certificate, Claim};

/// "This view makes no progress for me" (protocol §2.5, §4.6). It mutes nobody: its sender keeps voting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The epoch.
    pub epoch: Epoch,
    /// The view complained about.
    pub view: View,
    /// Block time of the sender's highest committed proposal: renewals rise, stale ones don't count.
    pub time: BlockTime,
    /// Who complains.
    pub validator: ValidatorIndex,
}

/// "I have left all views below `new_view`, and this is the most that I can prove" (protocol §5.1).
///
/// Only the claims are signed. The certificates behind them travel beside it in [`ViewChangeMessage`]:
/// anyone could swap those, so they are never evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewChange {
    /// The epoch.
    pub epoch: Epoch,
    /// The view its sender wants to enter; every claim is of a view below.
    pub new_view: View,
    /// Its highest prepared certificate, by view and sequence, if any.
    pub prepared: Option<Claim>,
    /// Its highest commit certificate, by sequence; `None` stands for the epoch's starting checkpoint.
    pub committed: Option<Claim>,
    /// Its highest prepare vote, by view and sequence, if any.
    pub last_vote: Option<Claim>,
    /// Who changes view.
    pub validator: ValidatorIndex,
}

/// A view change with the certificates that prove its claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewChangeMessage {
    /// The signed claims.
    pub signed: Signed<ViewChange>,
    /// The certificate behind `prepared`.
    pub prepared: Option<Certificate>,
    /// The certificate behind `committed`.
    pub committed: Option<Certificate>,
}

/// The start of a view: a quorum's view changes and the proof of their highest claims (protocol §5.2).
/// Everyone recomputes the anchor from it ([`crate::rules::admit_new_view`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewView {
    /// The epoch.
    pub epoch: Epoch,
    /// The view that starts.
    pub view: View,
    /// View changes for exactly this view, by distinct validators, ascending.
    pub view_changes: Vec<Signed<ViewChange>>,
    /// The prepared certificate that proves the highest prepared claim.
    pub prepared: Option<Certificate>,
    /// The commit certificate that proves the highest committed claim.
    pub committed: Option<Certificate>,
    /// The view's primary.
    pub validator: ValidatorIndex,
}

impl Statement for Complaint {
    const TAG: &'static str = "quorate/complaint/v1";

    fn signer(&self) -> ValidatorIndex {
        self.validator
    }

    fn epoch(&self) -> Epoch {
        self.epoch
    }
}

impl Statement for ViewChange {
    const TAG: &'static str = "quorate/view-change/v1";

    fn signer(&self) -> ValidatorIndex {
        self.validator
    }

    fn epoch(&self) -> Epoch {
        self.epoch
    }
}

impl Statement for NewView {
    const TAG: &'static str = "quorate/new-view/v1";

    fn signer(&self) -> ValidatorIndex {
        self.validator
    }

    fn epoch(&self) -> Epoch {
        self.epoch
    }
}

impl Canonical for Complaint {
    fn encode(&self, out: &mut Vec<u8>) {
        self.epoch.encode(out);
        self.view.encode(out);
        self.time.encode(out);
        self.validator.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Epoch::decode(input)?,
            view: View::decode(input)?,
            time: BlockTime::decode(input)?,
            validator: ValidatorIndex::decode(input)?,
        })
    }
}

impl Canonical for ViewChange {
    fn encode(&self, out: &mut Vec<u8>) {
        self.epoch.encode(out);
        self.new_view.encode(out);
        self.prepared.encode(out);
        self.committed.encode(out);
        self.last_vote.encode(out);
        self.validator.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Epoch::decode(input)?,
            new_view: View::decode(input)?,
            prepared: Option::decode(input)?,
            committed: Option::decode(input)?,
            last_vote: Option::decode(input)?,
            validator: ValidatorIndex::decode(input)?,
        })
    }
}

impl Canonical for ViewChangeMessage {
    fn encode(&self, out: &mut Vec<u8>) {
        self.signed.encode(out);
        self.prepared.encode(out);
        self.committed.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { signed: Signed::decode(input)?, prepared: Option::decode(input)?, committed: Option::decode(input)? })
    }
}

impl Canonical for NewView {
    fn encode(&self, out: &mut Vec<u8>) {
        self.epoch.encode(out);
        self.view.encode(out);
        encode_list(&self.view_changes, out);
        self.prepared.encode(out);
        self.committed.encode(out);
        self.validator.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Epoch::decode(input)?,
            view: View::decode(input)?,
            view_changes: input.list(MAX_VALIDATORS, "view changes of a new view")?,
            prepared: Option::decode(input)?,
            committed: Option::decode(input)?,
            validator: ValidatorIndex::decode(input)?,
        })
    }
}
