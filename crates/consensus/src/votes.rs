//! Who voted for what: one vote per validator and (view, sequence, phase), the first seen (protocol §3.8).
//!
//! A second, different one is a contradiction, never a replacement. Votes are kept per sender and bounded
//! per sender, so that one peer can't push out another's; of the views ahead only a sender's newest is
//! kept (protocol §5.5).

use std::collections::BTreeMap;

use quorate_crypto::Digest;
use quorate_types::ids::{Epoch, Sequence, ValidatorIndex, View};
use quorate_types::message::Voters;
use quorate_types::signed::Signed;
use quorate_types::vote::{Certificate, Claim, Phase, Vote};

/// A slot: the key under which each validator has one vote.
pub(crate) type Slot = (View, Sequence, Phase);

/// The votes held.
#[derive(Clone, Debug)]
pub(crate) struct Votes {
    senders: Vec<BTreeMap<Slot, Signed<Vote>>>,
    /// The most votes kept of one sender.
    limit: usize,
}

/// What became of a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It is new and counts.
    New,
    /// It was there already.
    Known,
    /// The sender voted for another digest in this slot: the first one, which stays.
    Conflict(Signed<Vote>),
    /// The sender has newer votes, or too many.
    Dropped,
}

impl Votes {
    /// No votes of `validators`, at most `limit` of each to be kept.
    pub(crate) fn new(validators: usize, limit: usize) -> Self {
        Self { senders: vec![BTreeMap::new(); validators], limit }
    }

    /// Keeps a vote; `current` is the receiver's view.
    pub(crate) fn insert(&mut self, vote: Signed<Vote>, current: View) -> Kept {
        let Vote { view, sequence, phase, validator, digest, .. } = vote.statement;
        let Some(sender) = self.senders.get_mut(validator.position()) else { return Kept::Dropped };
        let slot = (view, sequence, phase);
        if let Some(first) = sender.get(&slot) {
            return if first.statement.digest == digest { Kept::Known } else { Kept::Conflict(*first) };
        }
        if view > current {
            let newest = sender.last_key_value().map(|((newest, ..), _)| *newest);
            if newest > Some(view) {
                return Kept::Dropped;
            }
            sender.retain(|(other, ..), _| *other <= current || *other == view);
        }
        if sender.len() >= self.limit {
            // The oldest view goes first; a vote older than all that is kept isn't.
            match sender.first_key_value() {
                Some((oldest, _)) if *oldest < slot => sender.pop_first(),
                _ => return Kept::Dropped,
            };
        }
        sender.insert(slot, vote);
        Kept::New
    }

    /// The vote of `validator` in a slot.
    pub(crate) fn of(&self, validator: ValidatorIndex, slot: Slot) -> Option<&Signed<Vote>> {
        self.senders.get(validator.position())?.get(&slot)
    }

    /// Who voted for `digest` in a slot.
    pub(crate) fn voters(&self, slot: Slot, digest: Digest) -> impl Iterator<Item = &Signed<Vote>> {
        self.senders.iter().filter_map(move |sender| Self::matching(sender, slot, digest))
    }

    fn matching(sender: &BTreeMap<Slot, Signed<Vote>>, slot: Slot, digest: Digest) -> Option<&Signed<Vote>> {
        if cfg!(mutant = "views-mixed") {
            let (_, sequence, phase) = slot;
            return sender.values().find(|vote| {
                let Vote { sequence: s, phase: p, digest: d, .. } = vote.statement;
                (s, p, d) == (sequence, phase, digest)
            });
        }
        let vote = sender.get(&slot)?;
        (vote.statement.digest == digest || cfg!(mutant = "other-digest-counted")).then_some(vote)
    }

    /// The certificate that `quorum` votes for `digest` in a slot make, once there are so many.
    pub(crate) fn certificate(&self, epoch: Epoch, slot: Slot, digest: Digest, quorum: usize) -> Option<Certificate> {
        let (view, sequence, phase) = slot;
        let signatures: Vec<_> =
            self.voters(slot, digest).take(quorum).map(|vote| (vote.statement.validator, vote.signature)).collect();
        (signatures.len() >= quorum).then_some(Certificate {
            phase,
            epoch,
            claim: Claim { view, sequence, digest },
            signatures,
        })
    }

    /// All slots in `view` above a sequence, each with the digest most voted for and its voters.
    pub(crate) fn slots(&self, view: View, above: Sequence) -> BTreeMap<(Sequence, Phase), (Digest, Voters)> {
        let mut counted: BTreeMap<(Sequence, Phase), BTreeMap<Digest, Voters>> = BTreeMap::new();
        let low = (view, above.next(), Phase::Prepare);
        let high = (view.next(), Sequence::ZERO, Phase::Prepare);
        for sender in &self.senders {
            for ((_, sequence, phase), vote) in sender.range(low..high) {
                let digests = counted.entry((*sequence, *phase)).or_default();
                digests.entry(vote.statement.digest).or_default().insert(vote.statement.validator);
            }
        }
        let most = |digests: BTreeMap<Digest, Voters>| digests.into_iter().max_by_key(|(_, voters)| voters.count());
        counted.into_iter().filter_map(|(slot, digests)| Some((slot, most(digests)?))).collect()
    }

    /// All votes of the views from `low` to `high`, both included.
    pub(crate) fn of_views(&self, low: View, high: View) -> impl Iterator<Item = &Signed<Vote>> {
        let senders = self.senders.iter().filter(move |_| low <= high);
        senders
            .flat_map(move |sender| {
                sender.range((low, Sequence::ZERO, Phase::Prepare)..).take_while(move |((view, ..), _)| *view <= high)
            })
            .map(|(_, vote)| vote)
    }

    /// All votes of a slot, whatever they are for.
    pub(crate) fn in_slot(&self, slot: Slot) -> impl Iterator<Item = &Signed<Vote>> {
        self.senders.iter().filter_map(move |sender| sender.get(&slot))
    }

    /// The highest vote of `validator` in a phase, by view and sequence.
    pub(crate) fn highest(&self, validator: ValidatorIndex, phase: Phase) -> Option<&Signed<Vote>> {
        let sender = self.senders.get(validator.position())?;
        sender.iter().rev().find(|((.., p), _)| *p == phase).map(|(_, vote)| vote)
    }

    /// Forgets votes at or below the stable checkpoint.
    pub(crate) fn prune(&mut self, stable: Sequence) {
        for sender in &mut self.senders {
            sender.retain(|(_, sequence, _), _| *sequence > stable);
        }
    }

    /// How many votes are held in all.
    pub(crate) fn held(&self) -> usize {
        self.senders.iter().map(BTreeMap::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use quorate_crypto::{Signature, sha256};

    use super::*;

    fn vote(validator: u16, view: u64, sequence: u64, choice: u8) -> Signed<Vote> {
        let statement = Vote {
            epoch: Epoch(0),
            view: View(view),
            sequence: Sequence(sequence),
            digest: sha256(&[&[choice]]),
            phase: Phase::Prepare,
            validator: ValidatorIndex(validator),
        };
        Signed { statement, signature: Signature::from_bytes([0; 64]) }
    }

    const SLOT: Slot = (View(0), Sequence(1), Phase::Prepare);

    /// protocol §3.6: one vote per validator per slot is kept; a second, different one is evidence.
    #[test]
    fn the_first_vote_stays_and_a_second_is_a_contradiction() {
        let mut votes = Votes::new(4, 10);
        assert_eq!(votes.insert(vote(1, 0, 1, 7), View(0)), Kept::New);
        assert_eq!(votes.insert(vote(1, 0, 1, 7), View(0)), Kept::Known);
        assert_eq!(votes.insert(vote(1, 0, 1, 8), View(0)), Kept::Conflict(vote(1, 0, 1, 7)));
        assert_eq!(votes.voters(SLOT, sha256(&[&[8]])).count(), 0);
    }

    /// protocol §2.4: matching votes of distinct validators, one view.
    #[test]
    fn a_certificate_counts_matching_votes_of_one_view_only() {
        let mut votes = Votes::new(4, 10);
        votes.insert(vote(0, 0, 1, 7), View(0));
        votes.insert(vote(1, 0, 1, 7), View(0));
        votes.insert(vote(2, 0, 1, 8), View(0));
        votes.insert(vote(3, 1, 1, 7), View(1));
        let digest = sha256(&[&[7]]);
        assert_eq!(votes.certificate(Epoch(0), SLOT, digest, 3), None);
        votes.insert(vote(3, 0, 1, 7), View(1));
        let certificate = votes.certificate(Epoch(0), SLOT, digest, 3).unwrap();
        assert_eq!(certificate.signatures.iter().map(|(v, _)| v.0).collect::<Vec<_>>(), [0, 1, 3]);
    }

    /// protocol §5.5, §9: bounded per sender, of views ahead only the newest.
    #[test]
    fn a_sender_fills_only_its_own_room() {
        let mut votes = Votes::new(4, 5);
        for sequence in 0..100 {
            votes.insert(vote(1, 0, sequence, 1), View(0));
        }
        assert_eq!(votes.held(), 5);
        votes.insert(vote(2, 0, 1, 1), View(0));
        assert!(votes.of(ValidatorIndex(2), SLOT).is_some());
        votes.insert(vote(2, 9, 1, 1), View(0));
        assert_eq!(votes.insert(vote(2, 8, 1, 1), View(0)), Kept::Dropped);
        votes.insert(vote(2, 10, 1, 1), View(0));
        assert!(votes.of(ValidatorIndex(2), (View(9), Sequence(1), Phase::Prepare)).is_none());
        assert!(votes.of(ValidatorIndex(2), SLOT).is_some());
    }
}
