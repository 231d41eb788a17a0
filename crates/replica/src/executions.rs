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
    validators: usize,
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
    /// No result of this sequence can have a quorum any more, since this vote: who has which.
    pub(crate) camps: Option<Camps>,
}

/// Results of one sequence, each with those who voted for it.
pub type Camps = Vec<(Execution, Vec<ValidatorIndex>)>;

impl Executions {
    pub(crate) const fn new((quorum, validators): (usize, usize), reach: u64, certified: Sequence) -> Self {
        Self {
            quorum,
            validators,
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
        let is_new = !votes.contains_key(&validator);
        let first = votes.entry(validator).or_insert(vote);
        if first.statement != vote.statement {
            let contradiction = Some(Contradiction::Executions(*first, vote));
            return Outcome { contradiction, ..Outcome::default() };
        }
        let camps = is_new.then(|| camps(votes, validator, (self.quorum, self.validators)));
        let camps = camps.flatten();
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
        Outcome { certificate, contradiction: None, camps }
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

    /// Nothing at or below a sequence is awaited any more.
    pub(crate) fn pass_over(&mut self, sequence: Sequence) {
        self.certified = self.certified.max(sequence);
        let next = self.certified.next();
        self.votes = self.votes.split_off(&next);
        self.own = self.own.split_off(&next);
        self.theirs = self.theirs.split_off(&next);
        self.unvoted = self.unvoted.split_off(&next);
        self.ahead = self.ahead.split_off(&next);
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

    /// The own results in reach, ascending, that were not voted on; each is given once. Checkpoints may become
    /// stable far above a certificate that is missing: a vote so far ahead would be dropped here and elsewhere,
    /// and be missing itself when its turn comes.
    pub(crate) fn take_unvoted(&mut self) -> Vec<Execution> {
        if cfg!(mutant = "far-results-unvoted") {
            return std::mem::take(&mut self.unvoted).into_values().collect();
        }
        let beyond = Sequence(self.certified.0.saturating_add(self.reach).saturating_add(1));
        let later = self.unvoted.split_off(&beyond);
        std::mem::replace(&mut self.unvoted, later).into_values().collect()
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

/// protocol §8.2: the camps, if the newest vote has made a quorum of equal results impossible.
fn camps(
    votes: &BTreeMap<ValidatorIndex, Signed<ExecutionVote>>,
    newest: ValidatorIndex,
    (quorum, validators): (usize, usize),
) -> Option<Camps> {
    let camps_of = |without: Option<ValidatorIndex>| {
        let mut camps: BTreeMap<Execution, Vec<ValidatorIndex>> = BTreeMap::new();
        for vote in votes.values().filter(|vote| Some(vote.statement.validator) != without) {
            camps.entry(vote.statement.execution).or_default().push(vote.statement.validator);
        }
        let voted: usize = camps.values().map(Vec::len).sum();
        let largest = camps.values().map(Vec::len).max().unwrap_or(0);
        let is_possible = largest + validators.saturating_sub(voted) >= quorum;
        (camps, is_possible)
    };
    let (camps, is_possible) = camps_of(None);
    (!is_possible && camps_of(Some(newest)).1).then(|| camps.into_iter().collect())
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
        let mut executions = Executions::new((3, 4), 10, Sequence(0));
        for vote in [vote(0, 1, 7), vote(1, 1, 8), vote(2, 1, 7)] {
            assert!(executions.on_vote(vote).certificate.is_none());
        }
        let certificate = executions.on_vote(vote(3, 1, 7)).certificate.unwrap();
        assert_eq!(certificate.signatures.len(), 3);
        assert_eq!(executions.certified(), Sequence(1));
        assert!(!executions.on_certificate(&certificate));
    }

    /// protocol §8.2
    #[test]
    fn results_that_leave_no_quorum_possible_name_the_camps_once() {
        let mut executions = Executions::new((3, 4), 10, Sequence(0));
        assert!(executions.on_vote(vote(0, 1, 7)).camps.is_none());
        assert!(executions.on_vote(vote(1, 1, 8)).camps.is_none());
        assert!(executions.on_vote(vote(2, 1, 7)).camps.is_none(), "the last one may still settle it");
        let camps = executions.on_vote(vote(3, 1, 8)).camps.unwrap();
        let of = |result: u8| vote(0, 1, result).statement.execution;
        assert_eq!(camps.len(), 2);
        assert!(camps.contains(&(of(7), vec![ValidatorIndex(0), ValidatorIndex(2)])));
        assert!(camps.contains(&(of(8), vec![ValidatorIndex(1), ValidatorIndex(3)])));
        assert!(executions.on_vote(vote(3, 1, 8)).camps.is_none(), "once");
        // Three of seven camps settle it before all have spoken.
        let mut executions = Executions::new((5, 7), 10, Sequence(0));
        let named = (0..7).filter(|at| executions.on_vote(vote(*at, 1, *at as u8 / 2)).camps.is_some()).count();
        assert_eq!(named, 1);
    }

    /// protocol §10
    #[test]
    fn two_results_of_one_validator_contradict_each_other() {
        let mut executions = Executions::new((3, 4), 10, Sequence(0));
        executions.on_vote(vote(1, 1, 7));
        assert!(executions.on_vote(vote(1, 1, 8)).contradiction.is_some());
    }

    #[test]
    fn votes_out_of_reach_are_not_kept() {
        let mut executions = Executions::new((3, 4), 10, Sequence(5));
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
        let mut executions = Executions::new((3, 4), 10, Sequence(5));
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

    /// protocol §3.5: a checkpoint may become stable far above a missing certificate; results up there are voted
    /// on when the certificates before them are held.
    #[test]
    fn results_out_of_reach_are_voted_on_later() {
        let mut executions = Executions::new((3, 4), 10, Sequence(5));
        (6..=20).for_each(|sequence| executions.on_own(vote(0, sequence, 7).statement.execution));
        let taken = |executions: &mut Executions| -> Vec<u64> {
            executions.take_unvoted().iter().map(|execution| execution.sequence.0).collect()
        };
        assert_eq!(taken(&mut executions), (6..=15).collect::<Vec<u64>>());
        assert_eq!(taken(&mut executions), []);
        let certificate = |sequence| ExecutionCertificate {
            execution: vote(0, sequence, 7).statement.execution,
            signatures: Vec::new(),
        };
        (6..=8).for_each(|sequence| assert!(executions.on_certificate(&certificate(sequence))));
        assert_eq!(taken(&mut executions), [16, 17, 18]);
    }

    #[test]
    fn certificates_out_of_order_count_once_the_gap_is_filled() {
        let mut executions = Executions::new((1, 1), 10, Sequence(0));
        executions.on_vote(vote(0, 2, 7));
        assert_eq!(executions.certified(), Sequence(0));
        executions.on_vote(vote(0, 1, 7));
        assert_eq!(executions.certified(), Sequence(2));
    }
}
