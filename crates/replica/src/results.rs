//! Results of execution: this validator's votes on them, and what certificates make of them (protocol §3.5, §8.1).

use std::sync::Arc;

use quorate_consensus::{Input, Now};
use quorate_types::execution::{ExecutionCertificate, ExecutionVote};
use quorate_types::ids::{Sequence, ValidatorIndex};
use quorate_types::message::{Message, Request};
use quorate_types::signed::Signed;

use crate::execution::Executed;
use crate::executions::Outcome;
use crate::outbox::{Notice, Outbox};
use crate::records;
use crate::replica::Replica;

/// So many certificates behind a peer, they aren't in flight, they are missing.
const FAR_BEHIND: u64 = 64;
/// Own execution votes re-sent with one status.
const RESENT_EXECUTIONS: usize = 32;

impl Replica {
    pub(crate) fn on_executed(&mut self, now: Now, executed: Executed, out: &mut Outbox) {
        let execution = executed.execution;
        self.executed = self.executed.max(execution.sequence);
        self.core.set_waiting_room(executed.waiting > 0);
        let interval = u64::from(self.context.parameters.checkpoint_interval);
        if execution.sequence.0.is_multiple_of(interval) {
            self.returning.checkpoint = Some((execution.sequence, execution.state_root));
        }
        if let Some(last) = executed.ends {
            self.core.set_last(last);
        }
        for conviction in executed.convictions {
            self.accusing.settle(&conviction);
            out.notices.push(Notice::Conviction(Box::new(conviction)));
        }
        self.executions.on_own(execution);
        self.vote_on_results(now, out);
        self.drive(now, Input::Executed(execution.sequence), out);
        self.settle_executions(now, out);
    }

    /// Votes on every own result that has neither a vote nor a certificate: those of executions that finished
    /// while this validator couldn't sign, or whose votes a crash took, too. Without them a restart of all could
    /// leave a sequence uncertified for ever.
    pub(crate) fn vote_on_results(&mut self, now: Now, out: &mut Outbox) {
        if !self.standing.signs() {
            return;
        }
        for execution in self.executions.take_unvoted() {
            // A vote before it may have made the certificates of the rest.
            if self.executions.is_certified(execution.sequence) {
                continue;
            }
            // Before a wrong state was replaced, another result was voted for: that stays the only vote (§8.2).
            if self.guard.has_voted_otherwise(&execution) {
                continue;
            }
            match self.guard.execution(ExecutionVote { execution, validator: self.me }) {
                Ok(guarded) => {
                    out.save(guarded.record);
                    out.broadcast(Message::ExecutionVote(guarded.signed));
                    self.on_execution_vote(now, guarded.signed, out);
                }
                Err(refusal) => out.notices.push(Notice::Refused(refusal)),
            }
        }
    }

    pub(crate) fn on_execution_vote(&mut self, now: Now, vote: Signed<ExecutionVote>, out: &mut Outbox) {
        let Outcome { certificate, contradiction, camps } = self.executions.on_vote(vote);
        out.notices.extend(camps.map(Notice::Camps));
        if let Some(pair) = contradiction {
            self.note_contradiction(pair, out);
        }
        if let Some(certificate) = certificate {
            self.keep_execution_certificate(now, certificate, out);
        }
    }

    pub(crate) fn on_execution_certificate(&mut self, now: Now, certificate: ExecutionCertificate, out: &mut Outbox) {
        if self.executions.on_certificate(&certificate) {
            self.certificates_asked.answered();
            self.keep_execution_certificate(now, certificate, out);
        }
    }

    fn keep_execution_certificate(&mut self, now: Now, certificate: ExecutionCertificate, out: &mut Outbox) {
        records::execution(certificate.execution.sequence).put(&mut out.records, &certificate);
        let mut found = Vec::new();
        self.watch.on_certified(&certificate, &mut found);
        found.into_iter().for_each(|evidence| self.keep_found(evidence, out));
        let certified = self.executions.certified();
        if certified >= certificate.execution.sequence {
            records::certified().put(&mut out.records, &certified);
            self.guard.settle_executions(certified);
        }
        out.notices.push(Notice::Certified(Arc::new(certificate)));
        self.settle_executions(now, out);
    }

    /// Own results against certified ones: a difference ends signing (protocol §8.2); agreement at a
    /// multiple of `K` is the stable checkpoint (protocol §8.1, §6.2).
    pub(crate) fn settle_executions(&mut self, now: Now, out: &mut Outbox) {
        for (own, certified) in self.executions.settle() {
            let sequence = own.sequence;
            if own != certified {
                self.diverge(own, certified, out);
                return;
            }
            let interval = u64::from(self.context.parameters.checkpoint_interval);
            if sequence.0.is_multiple_of(interval) && sequence > self.core.stable() {
                records::stable().put(&mut out.records, &sequence);
                self.guard.prune(sequence);
                out.notices.push(Notice::Stable(sequence));
                self.drive(now, Input::Stable(sequence), out);
            }
        }
    }

    /// Certificates that the others have pruned are missed no longer: what lies there is executed here, certified by
    /// a quorum, and below others' stable checkpoints (protocol §8.1).
    pub(crate) fn pass_over_certificates(&mut self, pruned: Sequence, out: &mut Outbox) {
        if pruned <= self.executions.certified() || pruned > self.executed {
            return;
        }
        self.executions.pass_over(pruned);
        let certified = self.executions.certified();
        records::certified().put(&mut out.records, &certified);
        self.guard.settle_executions(certified);
        self.certificates_asked.answered();
    }

    /// Certificates that others hold and that don't come by themselves are asked for, of one peer at a time.
    pub(crate) fn ask_for_certificates(&mut self, now: Now, from: ValidatorIndex, theirs: Sequence, out: &mut Outbox) {
        let certified = self.executions.certified();
        let is_stuck = certified == self.certified_before || theirs.above(certified) > FAR_BEHIND;
        let lacks = theirs > certified && self.executed > certified && is_stuck;
        let again_ms = u64::from(self.context.parameters.status_interval_ms);
        if lacks && self.certificates_asked.take(from, now.monotonic_ms, again_ms) {
            out.ask(from, Request::Execution(certified.next()));
        }
    }

    /// Own votes that made no certificate since the status before go out again.
    pub(crate) fn resend_execution_votes(&mut self, out: &mut Outbox) {
        self.certified_before = self.executions.certified();
        let until = std::mem::replace(&mut self.executed_before, self.executed);
        if !self.standing.signs() {
            return;
        }
        let own = self.executions.uncertified_of(self.me).take_while(|vote| vote.statement.execution.sequence <= until);
        for vote in own.take(RESENT_EXECUTIONS) {
            out.broadcast(Message::ExecutionVote(vote));
        }
    }
}
