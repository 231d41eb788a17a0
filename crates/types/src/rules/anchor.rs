//! The anchor of a view: the one decision of a view change (protocol §5.2).

use quorate_crypto::Digest;

use super::{RuleFault, admit_certificate};
use crate::ids::{Sequence, View};
use crate::proposal::Proposal;
use crate::quorum::Quorum;
use crate::set::Roster;
use crate::view_change::{NewView, ViewChange};
use crate::vote::{Claim, Phase};

/// Where the proposals of a view start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Anchor {
    /// The anchor's sequence.
    pub sequence: Sequence,
    /// The anchor's digest.
    pub digest: Digest,
    /// Whether it is `chosen`, a prepared proposal that must be voted for first (protocol §5.3), or
    /// `base`, which is committed.
    pub chosen: bool,
}

/// The claims of one view change that matter for the anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claims {
    /// Its highest prepared certificate.
    pub prepared: Option<Claim>,
    /// Its highest commit certificate.
    pub committed: Option<Claim>,
}

impl From<&ViewChange> for Claims {
    fn from(change: &ViewChange) -> Self {
        Self { prepared: change.prepared, committed: change.committed }
    }
}

/// protocol §5.2: `base` = the highest commit by sequence, or the epoch's starting checkpoint `start`;
/// `chosen` = the prepared certificate highest by (view, sequence); the anchor is `chosen` if it lies
/// above `base`, else `base`.
#[must_use]
pub fn choose_anchor(claims: impl IntoIterator<Item = Claims>, start: (Sequence, Digest)) -> Anchor {
    let (base, chosen) = highest(claims);
    let (sequence, digest) = base.map_or(start, |claim| (claim.sequence, claim.digest));
    match chosen {
        Some(claim) if claim.sequence > sequence => {
            Anchor { sequence: claim.sequence, digest: claim.digest, chosen: true }
        }
        _ => Anchor { sequence, digest, chosen: false },
    }
}

/// The highest committed claim by sequence and the highest prepared claim by (view, sequence).
fn highest(claims: impl IntoIterator<Item = Claims>) -> (Option<Claim>, Option<Claim>) {
    let mut base: Option<Claim> = None;
    let mut chosen: Option<Claim> = None;
    for Claims { prepared, committed } in claims {
        base = base.max_by_key_with(committed, |claim| claim.sequence);
        if cfg!(mutant = "anchor-by-sequence") {
            chosen = chosen.max_by_key_with(prepared, |claim| claim.sequence);
        } else {
            chosen = chosen.max_by_key_with(prepared, |claim| (claim.view, claim.sequence));
        }
    }
    (base, chosen)
}

trait MaxByKeyWith {
    fn max_by_key_with<K: Ord>(self, other: Self, key: impl Fn(&Claim) -> K) -> Self;
}

impl MaxByKeyWith for Option<Claim> {
    fn max_by_key_with<K: Ord>(self, other: Self, key: impl Fn(&Claim) -> K) -> Self {
        match (self, other) {
            (Some(left), Some(right)) if key(&right) > key(&left) => Some(right),
            (None, other) => other,
            (left, _) => left,
        }
    }
}

/// Judges a `NewView` in itself and recomputes its anchor (protocol §5.2), by the epoch's quorums, roster and
/// starting checkpoint `start`. The signatures in it are checked elsewhere.
///
/// # Errors
/// The rule that it breaks. A `NewView` signed by its primary that fails here is invalid for everyone.
pub fn admit_new_view(
    new_view: &NewView,
    (quorum, roster): (Quorum, &Roster),
    start: (Sequence, Digest),
) -> Result<Anchor, RuleFault> {
    let NewView { epoch, view, validator, .. } = *new_view;
    if roster.primary(epoch, view) != validator {
        return Err(RuleFault::NotPrimary { sender: validator, view });
    }
    admit_changes(new_view, quorum)?;
    for (certificate, phase) in [(&new_view.prepared, Phase::Prepare), (&new_view.committed, Phase::Commit)] {
        if let Some(certificate) = certificate {
            admit_certificate(certificate, phase, epoch, quorum)?;
            admit_below(certificate.claim.view, view)?;
        }
    }
    let claims = || new_view.view_changes.iter().map(|change| Claims::from(&change.statement));
    let (base, chosen) = highest(claims());
    // The certificates must prove the highest claims. Of two claims equal in (view, sequence) the proven
    // one counts, so digests are taken from the certificates.
    let proven_base = new_view.committed.as_ref().map(|certificate| certificate.claim);
    let proven_chosen = new_view.prepared.as_ref().map(|certificate| certificate.claim);
    if base.map(|claim| claim.sequence) != proven_base.map(|claim| claim.sequence)
        || chosen.map(|claim| (claim.view, claim.sequence)) != proven_chosen.map(|claim| (claim.view, claim.sequence))
    {
        return Err(RuleFault::UnprovenClaim);
    }
    Ok(choose_anchor([Claims { prepared: proven_chosen, committed: proven_base }], start))
}

/// Whether a proposal, put to the vote at a sequence and with a digest by the primary of a view, lies beside the
/// view's anchor: nothing at or below it is proposed, and what is above it is built on it (protocol §5.3).
#[must_use]
pub fn is_off_anchor(anchor: Anchor, (sequence, digest): (Sequence, Digest), proposal: &Proposal) -> bool {
    match sequence {
        at if at < anchor.sequence => true,
        at if at == anchor.sequence => digest != anchor.digest,
        at if at == anchor.sequence.next() => proposal.parent != anchor.digest,
        _ => false,
    }
}

fn admit_changes(new_view: &NewView, quorum: Quorum) -> Result<(), RuleFault> {
    let mut previous = None;
    for change in &new_view.view_changes {
        let ViewChange { epoch, new_view: view, validator, prepared, committed, .. } = change.statement;
        if epoch != new_view.epoch {
            return Err(RuleFault::OtherEpoch { expected: new_view.epoch, found: epoch });
        }
        if view != new_view.view {
            return Err(RuleFault::OtherView { expected: new_view.view, found: view });
        }
        if validator.position() >= quorum.validators() {
            return Err(RuleFault::UnknownValidator(validator));
        }
        if previous >= Some(validator) {
            return Err(RuleFault::SignersOutOfOrder(validator));
        }
        previous = Some(validator);
        for claim in [prepared, committed].into_iter().flatten() {
            admit_below(claim.view, view)?;
        }
    }
    if new_view.view_changes.len() < quorum.quorum() {
        return Err(RuleFault::NoQuorum { found: new_view.view_changes.len(), needed: quorum.quorum() });
    }
    Ok(())
}

pub(super) fn admit_below(claimed: View, new_view: View) -> Result<(), RuleFault> {
    if claimed < new_view { Ok(()) } else { Err(RuleFault::ClaimNotBelow { claimed, new_view }) }
}

#[cfg(test)]
mod tests {
    use quorate_crypto::sha256;

    use super::*;

    fn claim(view: u64, sequence: u64) -> Claim {
        Claim {
            view: View(view),
            sequence: Sequence(sequence),
            digest: sha256(&[&view.to_be_bytes(), &sequence.to_be_bytes()]),
        }
    }

    fn claims(prepared: Option<Claim>, committed: Option<Claim>) -> Claims {
        Claims { prepared, committed }
    }

    const START: (Sequence, Digest) = (Sequence(0), Digest::ZERO);

    /// protocol §5.2
    #[test]
    fn the_anchor_is_the_highest_prepared_by_view_before_sequence() {
        let anchor = choose_anchor(
            [claims(Some(claim(3, 12)), Some(claim(2, 4))), claims(Some(claim(4, 9)), None), claims(None, None)],
            START,
        );
        assert_eq!(anchor, Anchor { sequence: Sequence(9), digest: claim(4, 9).digest, chosen: true });
    }

    /// protocol §5.2
    #[test]
    fn a_prepared_claim_at_or_below_the_base_gives_the_base() {
        let base = claim(1, 9);
        let anchor = choose_anchor([claims(Some(claim(2, 9)), Some(base)), claims(None, Some(claim(3, 8)))], START);
        assert_eq!(anchor, Anchor { sequence: Sequence(9), digest: base.digest, chosen: false });
    }

    /// protocol §5.2
    #[test]
    fn without_claims_the_anchor_is_the_epochs_start() {
        let anchor = choose_anchor([claims(None, None)], START);
        assert_eq!(anchor, Anchor { sequence: Sequence(0), digest: Digest::ZERO, chosen: false });
    }
}
