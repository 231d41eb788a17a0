//! Execution votes and the certificates that they make (protocol §3.5, §8.1).
//!
//! Votes are kept for a bounded stretch above the last sequence up to which every certificate is held; a
//! second, different vote of one validator is a contradiction, never a replacement.

use std::collections::{BTreeMap, BTreeSet};

use quorate_types::contradiction::Contradiction;
use quorate_types::execution::{Execution, ExecutionCertificate, ExecutionVote};
use quorate_types::ids::{Sequence, ValidatorIndex};
use quorate_types::signed::Signed;

/// Execution votes and what has become certain of them.
#[derive(Debug)]
pub(crate) struct Executions {
    quorum: usize,
    /// Votes are kept so far above `certified`.
    reach: u64,
    votes: BTreeMap<Sequence, BTreeMap<ValidatorIndex, Signed<ExecutionVote>>>,
    /// Certified sequences above `certified` that aren't contiguous with it.
    ahead: BTreeSet<Sequence>,
    /// Every certificate up to here is held.
    certified: Sequence,
    /// Own results and certified ones that the other side is still awaited for.
    own: BTreeMap<Sequence, Execution>,
    theirs: BTreeMap<Sequence, Execution>,
    /// Own results that this validator has not voted on yet.
    unvoted: BTreeMap<Sequence, Execution>,
}

/// What taking a vote or a certificate in has led to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// A certificate that is new.
    pub(crate) certificate: Option<ExecutionCertificate>,
    /// Two votes of one validator contradict each other.
    pub(crate) contradiction: Option<Contradiction>,
}

impl Executions {
    pub(crate) const fn new(quorum: usize, reach: u64, certified: Sequence) -> Self {
        Self {
            quorum,
            reach,
            votes: BTreeMap::new(),
            ahead: BTreeSet::new(),
            certified,
            own: BTreeMap::new(),
            theirs: BTreeMap::new(),
            unvoted: BTreeMap::new(),
        }
    }

    /// Takes back a certificate that was kept before a restart.
    pub(crate) fn restore_certificate(&mut self, execution: Execution) {
        self.theirs.insert(execution.sequence, execution);
        if execution.sequence > self.certified {
            self.note_certified(execution);
        }
    }

    /// Every certificate up to here is held.
    pub(crate) const fn certified(&self) -> Sequence {
        self.certified
    }

    /// Whether the certificate of `sequence` is held.
    pub(crate) fn is_certified(&self, sequence: Sequence) -> bool {
        sequence <= self.certified || self.ahead.contains(&sequence)
    }

    fn is_in_reach(&self, sequence: Sequence) -> bool {
        sequence > self.certified && sequence.above(self.certified) <= self.reach
    }

    /// Takes a vote in.
    pub(crate) fn on_vote(&mut self, vote: Signed<ExecutionVote>) -> Outcome {
        let ExecutionVote { execution, validator } = vote.statement;
        let sequence = execution.sequence;
        if !self.is_in_reach(sequence) || self.ahead.contains(&sequence) {
            return Outcome::default();
        }
        let votes = self.votes.entry(sequence).or_default();
        let first = votes.entry(validator).or_insert(vote);
        if first.statement != vote.statement {
            let contradiction = Some(Contradiction::Executions(*first, vote));
            return Outcome { contradiction, certificate: None };
        }
        let matching: Vec<_> = votes
            .values()
            .filter(|held| held.statement.execution == execution)
            .map(|held| (held.statement.validator, held.signature))
            .take(self.quorum)
            .collect();
        let is_enough = matching.len() >= self.quorum;
        let certificate = is_enough.then_some(ExecutionCertificate { execution, signatures: matching });
        if certificate.is_some() {
            self.note_certified(execution);
        }
        Outcome { certificate, contradiction: None }
    }

    /// Takes a received certificate in; true if it is new.
    pub(crate) fn on_certificate(&mut self, certificate: &ExecutionCertificate) -> bool {
        let execution = certificate.execution;
        if !self.is_in_reach(execution.sequence) || self.ahead.contains(&execution.sequence) {
            return false;
        }
        self.note_certified(execution);
        true
    }

    fn note_certified(&mut self, execution: Execution) {
        self.votes.remove(&execution.sequence);
        self.theirs.insert(execution.sequence, execution);
        self.ahead.insert(execution.sequence);
        while self.ahead.remove(&self.certified.next()) {
            self.certified = self.certified.next();
        }
    }

    /// This validator executed.
    pub(crate) fn on_own(&mut self, execution: Execution) {
        self.own.insert(execution.sequence, execution);
        self.unvoted.insert(execution.sequence, execution);
    }

    /// Takes back an own result that was kept before a restart; it is voted on if no certificate is held.
    pub(crate) fn restore_own(&mut self, execution: Execution) {
        self.own.insert(execution.sequence, execution);
        if execution.sequence > self.certified {
            self.unvoted.insert(execution.sequence, execution);
        }
    }

    /// The own results, ascending, that were not voted on; each is given once.
    pub(crate) fn take_unvoted(&mut self) -> Vec<Execution> {
        std::mem::take(&mut self.unvoted).into_values().collect()
    }

    /// Sequences where both sides are known now: own result and certified one. Each is given once.
    pub(crate) fn settle(&mut self) -> Vec<(Execution, Execution)> {
        // One side may be far ahead; the other is short then.
        let (few, many) =
            if self.own.len() <= self.theirs.len() { (&self.own, &self.theirs) } else { (&self.theirs, &self.own) };
        let both: Vec<Sequence> = few.keys().filter(|sequence| many.contains_key(sequence)).copied().collect();
        let pairs =
            both.iter().filter_map(|sequence| Some((self.own.remove(sequence)?, self.theirs.remove(sequence)?)));
        pairs.collect()
    }

    /// The highest vote held of a validator (protocol §7.3).
    pub(crate) fn highest_of(&self, validator: ValidatorIndex) -> Option<Signed<ExecutionVote>> {
        self.votes.values().rev().find_map(|votes| votes.get(&validator)).copied()
    }

    /// Own votes that aren't certified yet, lowest first.
    pub(crate) fn uncertified_of(&self, validator: ValidatorIndex) -> impl Iterator<Item = Signed<ExecutionVote>> {
        self.votes.values().filter_map(move |votes| votes.get(&validator)).copied()
    }

    /// How many votes are held.
    pub(crate) fn held(&self) -> usize {
        self.votes.values().map(BTreeMap::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use quorate_crypto::{Digest, Signature, sha256};
    use quorate_types::ids::Epoch;

    use super::*;

    fn vote(validator: u16, sequence: u64, root: u8) -> Signed<ExecutionVote> {
        let execution = Execution {
            epoch: Epoch(0),
            sequence: Sequence(sequence),
            proposal: Digest::ZERO,
            state_root: Digest::ZERO,
            receipts_root: sha256(&[&[root]]),
        };
        let statement = ExecutionVote { execution, validator: ValidatorIndex(validator) };
        Signed { statement, signature: Signature::from_bytes([0; 64]) }
    }

    /// protocol §2.10
    #[test]
    fn a_quorum_of_equal_results_makes_a_certificate_once() {
        let mut executions = Executions::new(3, 10, Sequence(0));
        for vote in [vote(0, 1, 7), vote(1, 1, 8), vote(2, 1, 7)] {
            assert!(executions.on_vote(vote).certificate.is_none());
        }
        let certificate = executions.on_vote(vote(3, 1, 7)).certificate.unwrap();
        assert_eq!(certificate.signatures.len(), 3);
        assert_eq!(executions.certified(), Sequence(1));
        assert!(!executions.on_certificate(&certificate));
    }

    /// protocol §10
    #[test]
    fn two_results_of_one_validator_contradict_each_other() {
        let mut executions = Executions::new(3, 10, Sequence(0));
        executions.on_vote(vote(1, 1, 7));
        assert!(executions.on_vote(vote(1, 1, 8)).contradiction.is_some());
    }

    #[test]
    fn votes_out_of_reach_are_not_kept() {
        let mut executions = Executions::new(3, 10, Sequence(5));
        for sequence in [0, 5, 16, u64::MAX] {
            executions.on_vote(vote(1, sequence, 7));
        }
        assert_eq!(executions.held(), 0);
        executions.on_vote(vote(1, 15, 7));
        assert_eq!(executions.held(), 1);
    }

    /// protocol §6.2, §7.1: a certificate below the highest one held still settles the result of its sequence.
    #[test]
    fn a_result_executed_after_a_restart_meets_the_certificate_held_before_it() {
        let mut executions = Executions::new(3, 10, Sequence(5));
        for sequence in [3, 4, 5] {
            executions.restore_certificate(vote(0, sequence, 7).statement.execution);
        }
        executions.restore_own(vote(0, 3, 7).statement.execution);
        assert!(executions.take_unvoted().is_empty(), "what is certified needs no vote");
        executions.on_own(vote(0, 4, 7).statement.execution);
        let settled: Vec<u64> = executions.settle().iter().map(|(own, _)| own.sequence.0).collect();
        assert_eq!(settled, [3, 4]);
        assert_eq!(executions.certified(), Sequence(5));
    }

    #[test]
    fn certificates_out_of_order_count_once_the_gap_is_filled() {
        let mut executions = Executions::new(1, 10, Sequence(0));
        executions.on_vote(vote(0, 2, 7));
        assert_eq!(executions.certified(), Sequence(0));
        executions.on_vote(vote(0, 1, 7));
        assert_eq!(executions.certified(), Sequence(2));
    }
}
