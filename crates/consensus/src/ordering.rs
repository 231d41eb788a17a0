//! The normal case: accept, prepare, commit, deliver (protocol §§3.2–3.4, 3.6).

use quorate_crypto::Digest;
use quorate_types::ids::{BlockTime, Sequence, View};
use quorate_types::limits::MAX_SEGMENT_PROPOSALS;
use quorate_types::message::{Request, Segment};
use quorate_types::proposal::{Payload, PrePrepare, Proposal};
use quorate_types::rules::Anchor;
use quorate_types::vote::{Certificate, Claim, Phase, Vote};

use crate::chain::Gap;
use crate::config::{Link, Now};
use crate::core::{Core, PayloadState};
use crate::effect::{CoreNotice, Effect};

/// Delivered proposals wait for execution with all their bundles: so many windows of them at most.
const DELIVERED_AHEAD_WINDOWS: u64 = 2;

/// Why a pre-prepare isn't voted for, now or ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// Its sequence isn't in the window, or not above what was prepared in the view.
    NotNow,
    /// Its parent isn't held, or not yet voted for or committed.
    Parent,
    /// It isn't on one chain with this validator's votes of the view: never.
    OffChain,
    /// Its block time breaks a rule: never.
    Time,
    /// Its block time is too far ahead of the local clock: until then.
    Ahead(u64),
    /// Its payload isn't held and judged yet, or is invalid.
    Payload,
}

impl Core {
    /// protocol §3.2, §5.5: kept if it is from the primary of its view (checked at the door), not out of reach,
    /// and of the sender's newest view.
    pub(crate) fn on_pre_prepare(&mut self, now: Now, pre_prepare: PrePrepare, out: &mut Vec<Effect>) {
        let Vote { view, sequence, validator, .. } = pre_prepare.vote.statement;
        self.on_peer_vote(now, pre_prepare.vote, out);
        // As far ahead as its vote is kept, or nobody would send the proposal again.
        if view < self.reign.view || sequence <= self.stable || sequence > self.horizon() {
            return;
        }
        // The vote that is kept is the first; a proposal for a second one is never kept.
        let first = self.votes.of(validator, (view, sequence, Phase::Prepare));
        if first.is_none_or(|first| first.statement.digest != pre_prepare.vote.statement.digest) {
            return;
        }
        let (newest, held) = self.pre_prepares.entry(validator).or_insert_with(|| (view, Default::default()));
        if *newest > view {
            return;
        }
        if *newest < view {
            *newest = view;
            held.clear();
        }
        let time = pre_prepare.proposal.time;
        let is_new = !held.contains_key(&sequence);
        held.entry(sequence).or_insert(pre_prepare);
        if is_new && view == self.reign.view && self.reign.active {
            self.judge_clock(now, time);
        }
    }

    /// protocol §4.5: how late a proposal's block time was when it came. The way here, and once more if the first
    /// copy was lost, is not the primary's clock; nor is the time that its payload takes to be fetched.
    fn judge_clock(&mut self, now: Now, time: BlockTime) {
        let parameters = &self.config.parameters;
        let allowed_ms = u64::from(parameters.drift_ms)
            .saturating_add(u64::from(parameters.status_interval_ms))
            .saturating_add(self.timeouts.round_trip_ms());
        let is_late = time.0.saturating_add(allowed_ms) < now.wall_ms;
        self.reign.behind_ms = now.wall_ms.saturating_sub(time.0);
        self.reign.slow_times = if is_late { self.reign.slow_times.saturating_add(1) } else { 0 };
    }

    /// Votes prepare for the next pre-prepare that the rules admit; false if there is none.
    pub(crate) fn prepare_next(&mut self, now: Now, out: &mut Vec<Effect>) -> bool {
        let primary = self.primary();
        if !self.reign.active || !self.signs() || primary == self.config.me {
            return false;
        }
        let Some((view, held)) = self.pre_prepares.get(&primary) else { return false };
        if *view != self.reign.view {
            return false;
        }
        let above = self.reign.prepared.unwrap_or_default().next();
        let may_do =
            |held: &&PrePrepare| self.is_open(held.proposal.sequence) && self.admit_parent(&held.proposal).is_some();
        let candidates: Vec<PrePrepare> = held.range(above..).map(|(_, held)| held).filter(may_do).cloned().collect();
        for candidate in candidates {
            match self.admit_prepare(now, &candidate, out) {
                Ok(()) => {
                    self.prepare(now, &candidate, out);
                    return true;
                }
                Err(Hold::Ahead(until_ms)) => {
                    let wait_ms = until_ms.saturating_sub(now.wall_ms).max(1);
                    self.judge_again_ms = Some(now.monotonic_ms.saturating_add(wait_ms));
                }
                Err(Hold::OffChain | Hold::Time) => self.drop_pre_prepare(candidate.proposal.sequence),
                Err(Hold::NotNow | Hold::Parent | Hold::Payload) => {}
            }
        }
        false
    }

    fn drop_pre_prepare(&mut self, sequence: Sequence) {
        let primary = self.primary();
        if let Some((_, held)) = self.pre_prepares.get_mut(&primary) {
            held.remove(&sequence);
        }
    }

    /// protocol §3.2, clause by clause.
    fn admit_prepare(&mut self, now: Now, candidate: &PrePrepare, out: &mut Vec<Effect>) -> Result<(), Hold> {
        let proposal = &candidate.proposal;
        let digest = candidate.vote.statement.digest;
        let sequence = proposal.sequence;
        if !self.is_open(sequence) {
            return Err(Hold::NotNow);
        }
        let parent = self.admit_parent(proposal).ok_or(Hold::Parent)?;
        if !self.on_chain_of_votes(proposal, digest) || self.contradicts_committed(sequence, digest) {
            return Err(Hold::OffChain);
        }
        self.admit_time(now, proposal, parent)?;
        self.hold_proposal(digest, proposal, out);
        if self.payload_is_valid(digest, out) { Ok(()) } else { Err(Hold::Payload) }
    }

    /// Inside the window, above what it prepared, and above the anchor: nothing at or below that is voted for by a
    /// pre-prepare (protocol §5.3), committed or not.
    fn is_open(&self, sequence: Sequence) -> bool {
        let is_above = sequence > self.reign.anchor.sequence && self.reign.prepared < Some(sequence);
        is_above && self.in_window(sequence)
    }

    /// protocol §3.2: the parent is (a) voted for at `s−1` in this view, (b) the view's anchor, voted for if
    /// it is `chosen`, or (c) committed, by a certificate whose chain contains the anchor and every vote of
    /// this validator's own in the view. Its data is here in each case.
    fn admit_parent(&self, proposal: &Proposal) -> Option<Link> {
        let before = proposal.sequence.previous()?;
        let parent = self.chain.link(&proposal.parent)?;
        if parent.sequence != before {
            return None;
        }
        if cfg!(mutant = "parent-only-received") {
            return Some(parent);
        }
        let voted = self.reign.voted.get(&before) == Some(&parent.digest);
        let anchor = self.reign.anchor;
        let is_anchor = anchor.sequence == before && anchor.digest == parent.digest && !anchor.chosen;
        let admitted = voted || is_anchor || self.is_committed_under_view(parent);
        (admitted && self.payload_is_known_valid(parent)).then_some(parent)
    }

    /// protocol §3.2 (c): how a validator that caught up joins a long view.
    pub(crate) fn is_committed_under_view(&self, parent: Link) -> bool {
        let Some(certificate) = &self.certificates.commit else { return false };
        let tip = self.tip();
        let reach = tip.sequence.min(certificate.claim.sequence);
        let contains = |sequence: Sequence, digest: Digest| {
            sequence <= reach && self.chain.delivered_at(sequence).is_none_or(|found| found == digest)
        };
        let anchor = self.reign.anchor;
        parent.sequence <= reach
            && self.chain.delivered_at(parent.sequence) == Some(parent.digest)
            && contains(anchor.sequence, anchor.digest)
            && self.top().is_none_or(|(sequence, digest)| contains(sequence, digest))
    }

    /// Whether a candidate lies on one chain with every vote of this validator's own in the view.
    fn on_chain_of_votes(&self, proposal: &Proposal, digest: Digest) -> bool {
        let Some((top, voted)) = self.top() else { return true };
        if cfg!(mutant = "parent-only-received") {
            return true;
        }
        if top >= proposal.sequence {
            return self.chain.ancestor(top, voted, proposal.sequence) == Some(digest);
        }
        let before = proposal.sequence.previous().unwrap_or_default();
        self.chain.ancestor(before, proposal.parent, top) == Some(voted)
    }

    /// protocol §3.2: it never votes against a proposal that it knows committed. One primary's word alone is
    /// no reason to stop; the alarm is for certificates that contradict each other.
    fn contradicts_committed(&self, sequence: Sequence, digest: Digest) -> bool {
        self.chain.delivered_at(sequence).is_some_and(|committed| committed != digest)
    }

    /// protocol §3.2, §3.6: block time never below the parent's, never far ahead of the local clock; an empty
    /// payload keeps its distance.
    fn admit_time(&self, now: Now, proposal: &Proposal, parent: Link) -> Result<(), Hold> {
        let parameters = &self.config.parameters;
        let least = if proposal.payload.is_empty() {
            parent.time.plus(u64::from(parameters.empty_interval_ms))
        } else {
            parent.time
        };
        if proposal.time < least {
            return Err(Hold::Time);
        }
        let drift = u64::from(parameters.drift_ms);
        if proposal.time > parent.time && proposal.time.0 > now.wall_ms.saturating_add(drift) {
            return Err(Hold::Ahead(proposal.time.0.saturating_sub(drift)));
        }
        Ok(())
    }

    fn prepare(&mut self, now: Now, candidate: &PrePrepare, out: &mut Vec<Effect>) {
        let claim = candidate.vote.statement.claim();
        for tip in &candidate.proposal.payload.tips {
            self.on_lane_named(now, tip);
        }
        let vote = self.cast(now, claim, Phase::Prepare);
        out.push(Effect::SignVote(vote, Some(candidate.vote)));
    }

    /// Notes a vote of this validator's own and gives the statement to be signed.
    pub(crate) fn cast(&mut self, now: Now, claim: Claim, phase: Phase) -> Vote {
        let Claim { view, sequence, digest } = claim;
        self.reign.voted.insert(sequence, digest);
        match phase {
            Phase::Prepare => {
                self.reign.prepared = Some(sequence);
                self.last_vote = self.last_vote.max(Some(claim));
                self.timeouts.on_prepare_sent(view, sequence, now.monotonic_ms);
            }
            Phase::Commit => self.reign.committed = Some(sequence),
        }
        Vote { epoch: self.config.epoch, view, sequence, digest, phase, validator: self.config.me }
    }

    /// protocol §5.3: if the anchor is `chosen`, the first vote of the view is for the anchor itself, once the
    /// chain up to it is here with all bundles.
    pub(crate) fn vote_for_anchor(&mut self, now: Now, out: &mut Vec<Effect>) {
        let anchor = self.reign.anchor;
        if !self.reign.active || !anchor.chosen || self.reign.prepared.is_some() || !self.signs() {
            return;
        }
        if let Some(committed) = self.chain.delivered_at(anchor.sequence)
            && committed != anchor.digest
        {
            self.alarm_unless_overtaken((anchor.sequence, committed), anchor.digest, out);
            return;
        }
        if !self.in_window(anchor.sequence) || self.top().is_some() || !self.path_is_valid(now, anchor.digest, out) {
            return;
        }
        let (sequence, digest) = self.first_of(anchor);
        let claim = Claim { view: self.reign.view, sequence, digest };
        let primary = self.votes.of(self.primary(), (claim.view, claim.sequence, Phase::Prepare)).copied();
        let vote = self.cast(now, claim, Phase::Prepare);
        out.push(Effect::SignVote(vote, primary.filter(|vote| vote.statement.digest == claim.digest)));
    }

    /// The anchor: never what lies below it, or a certificate for less would replace the one that binds.
    fn first_of(&self, anchor: Anchor) -> (Sequence, Digest) {
        let bottom = self.tip().sequence.next();
        if cfg!(mutant = "revote-from-bottom")
            && let Some(digest) = self.chain.ancestor(anchor.sequence, anchor.digest, bottom)
        {
            return (bottom, digest);
        }
        (anchor.sequence, anchor.digest)
    }

    /// Whether everything from the tip up to `digest` is held, payloads included; asks for what isn't.
    pub(crate) fn path_is_valid(&mut self, now: Now, digest: Digest, out: &mut Vec<Effect>) -> bool {
        match self.chain.path(digest) {
            Ok(path) => path.into_iter().all(|digest| self.payload_is_valid(digest, out)),
            Err(Gap::Missing(missing)) => {
                self.ask_for(now, missing, out);
                false
            }
            Err(Gap::OffChain(sequence, other)) => {
                let committed = self.chain.delivered_at(sequence).unwrap_or(self.tip().digest);
                self.alarm_unless_overtaken((sequence, committed), other, out);
                false
            }
        }
    }

    /// The view's chosen anchor leads past what is committed. If the commit is of the anchor's view or one
    /// below, more than `f` validators are faulty (protocol §3.2). If only a later view committed, that view
    /// began without the anchor's certificate: this validator is late, and that is all.
    fn alarm_unless_overtaken(
        &mut self,
        (sequence, committed): (Sequence, Digest),
        other: Digest,
        out: &mut Vec<Effect>,
    ) {
        let Some(prepared) = self.reign.new_view.as_ref().and_then(|new_view| new_view.statement.prepared.as_ref())
        else {
            return;
        };
        let held = &self.certificates;
        let tip = self.chain.tip().sequence;
        let covers = |commit: &Claim| commit.sequence >= sequence && commit.sequence <= tip;
        let contradicts = [&held.commit, &held.commit_ahead]
            .into_iter()
            .flatten()
            .any(|commit| covers(&commit.claim) && commit.claim.view <= prepared.claim.view);
        if contradicts {
            self.alarm(sequence, committed, other, out);
        }
    }

    /// A certificate, made here or received.
    pub(crate) fn on_certificate(&mut self, certificate: Certificate, out: &mut Vec<Effect>) {
        // protocol §8.4: of this epoch none counts there.
        if self.is_beyond_epoch(certificate.claim.sequence) {
            return;
        }
        match certificate.phase {
            Phase::Prepare => self.on_prepared(certificate),
            Phase::Commit => self.on_committed(certificate, out),
        }
    }

    fn on_prepared(&mut self, certificate: Certificate) {
        let rank = |held: &Option<Certificate>| held.as_ref().map(|held| (held.claim.view, held.claim.sequence));
        let new = Some((certificate.claim.view, certificate.claim.sequence));
        let held = &mut self.certificates;
        if new > rank(&held.prepared) && new > rank(&held.prepared_pending) {
            held.prepared_pending = Some(certificate);
        }
    }

    /// protocol §3.3: with the proposal and its chain in hand the certificate is kept, durably. One of a view
    /// above the current one waits: a view change must not claim it.
    pub(crate) fn adopt_prepared(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Some(certificate) = &self.certificates.prepared_pending else { return };
        let claim = certificate.claim;
        if !self.is_claimable(claim.view) {
            return;
        }
        match self.chain.path(claim.digest) {
            Ok(_) => {}
            Err(Gap::Missing(_)) if claim.sequence <= self.tip().sequence => {}
            Err(Gap::Missing(missing)) => {
                self.ask_for(now, missing, out);
                return;
            }
            Err(Gap::OffChain(..)) => return,
        }
        let adopted = self.certificates.prepared_pending.take();
        out.extend(adopted.clone().map(Effect::SavePrepared));
        self.certificates.prepared = adopted;
    }

    /// protocol §3.3: commit the highest prepared proposal of the active view, if every vote of this
    /// validator's own in the view is on its chain. The commit of a descendant commits what lies below.
    pub(crate) fn commit_highest(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Some(certificate) = &self.certificates.prepared else { return };
        let claim = certificate.claim;
        let ready = self.reign.active && self.signs() && claim.view == self.reign.view;
        if !ready || self.reign.committed >= Some(claim.sequence) || !self.in_window(claim.sequence) {
            return;
        }
        let anchor = self.reign.anchor;
        let above_anchor = claim.sequence >= anchor.sequence
            && self.chain.descends(claim.sequence, claim.digest, anchor.sequence, anchor.digest);
        let on_chain =
            self.top().is_none_or(|top| self.chain.on_one_chain(top, (claim.sequence, claim.digest)) == Some(true));
        if above_anchor && (on_chain || cfg!(mutant = "commit-off-chain")) {
            let vote = self.cast(now, claim, Phase::Commit);
            out.push(Effect::SignVote(vote, None));
        }
    }

    /// protocol §3.4: a quorum's commits of one view, whatever view this validator is in.
    pub(crate) fn on_committed(&mut self, certificate: Certificate, out: &mut Vec<Effect>) {
        let Claim { view, sequence, digest } = certificate.claim;
        let known = self.chain.delivered_at(sequence);
        let goal = self.certificates.goals.get(&sequence).map(|goal| goal.claim.digest);
        if let Some(other) = known.or(goal).filter(|other| *other != digest) {
            self.alarm(sequence, other, digest, out);
            return;
        }
        let claimable = self.is_claimable(view);
        let held = &mut self.certificates;
        let slot = if claimable { &mut held.commit } else { &mut held.commit_ahead };
        let rank = |held: &Certificate| (held.claim.sequence, held.claim.view);
        if slot.as_ref().is_none_or(|held| rank(held) < (sequence, view)) {
            *slot = Some(certificate.clone());
        }
        if sequence > self.chain.tip().sequence && goal.is_none() {
            out.push(Effect::SaveCommit(certificate.clone()));
            held.insert_goal(certificate, self.config.parameters.window);
        }
    }

    /// Delivers, in order, what is committed and held, as far as execution keeps up (protocol §6.3). Of what lies
    /// far ahead the steps between are fetched in stretches first (protocol §8.3).
    pub(crate) fn deliver(&mut self, now: Now, out: &mut Vec<Effect>) {
        let near = self.tip().sequence.plus(self.reach().max(MAX_SEGMENT_PROPOSALS as u64));
        let goals = self.certificates.goals.range(..=near);
        let goals: Vec<Claim> = goals.rev().map(|(_, goal)| goal.claim).collect();
        for goal in goals {
            if goal.sequence <= self.tip().sequence {
                break;
            }
            match self.chain.path(goal.digest) {
                Ok(path) => {
                    if !path.into_iter().all(|digest| self.deliver_next(now, digest, goal.view, out)) {
                        break;
                    }
                }
                Err(Gap::Missing(missing)) => self.ask_for(now, missing, out),
                Err(Gap::OffChain(sequence, other)) => {
                    let committed = self.chain.delivered_at(sequence).unwrap_or(self.tip().digest);
                    self.alarm(sequence, committed, other, out);
                    return;
                }
            }
        }
        let tip = self.tip().sequence;
        self.certificates.goals = self.certificates.goals.split_off(&tip.next());
    }

    /// The payloads of the next proposals that are known committed and not delivered yet, in order.
    #[must_use]
    pub fn committed_payloads(&self, limit: usize) -> Vec<Payload> {
        let path = self.certificates.goals.values().rev().find_map(|goal| self.chain.path(goal.claim.digest).ok());
        let held = |digest: &Digest| self.chain.proposal(digest).map(|proposal| proposal.payload.clone());
        path.unwrap_or_default().iter().take(limit).filter_map(held).collect()
    }

    /// How far delivery may run ahead of execution.
    fn reach(&self) -> u64 {
        DELIVERED_AHEAD_WINDOWS * u64::from(self.config.parameters.window)
    }

    /// Whether delivery waits for execution (protocol §6.3).
    pub(crate) fn is_ahead_of_execution(&self) -> bool {
        self.tip().sequence.above(self.executed) >= self.reach()
    }

    fn deliver_next(&mut self, now: Now, digest: Digest, view: View, out: &mut Vec<Effect>) -> bool {
        if self.is_ahead_of_execution() || self.is_beyond_epoch(self.tip().sequence.next()) {
            return false;
        }
        if self.payloads.get(&digest) == Some(&PayloadState::Invalid) {
            if let Some(link) = self.chain.link(&digest) {
                self.halted = true;
                out.push(Effect::Notice(CoreNotice::InvalidCommitted(link)));
            }
            return false;
        }
        if !self.payload_is_valid(digest, out) {
            return false;
        }
        let Some(proposal) = self.chain.proposal(&digest).cloned() else { return false };
        let Some(link) = self.chain.deliver(digest) else { return false };
        // Also what came in a stretch, without a vote of this validator's own.
        for tip in &proposal.payload.tips {
            self.on_lane_named(now, tip);
        }
        out.push(Effect::Deliver(link, proposal));
        self.on_delivered(now, view);
        true
    }

    /// protocol §3.6: a proposal that the lanes were asked about, or are asked about now.
    fn payload_is_valid(&mut self, digest: Digest, out: &mut Vec<Effect>) -> bool {
        match self.payloads.get(&digest) {
            Some(state) => *state == PayloadState::Valid,
            None => {
                if let Some(proposal) = self.chain.proposal(&digest) {
                    out.push(Effect::CheckPayload(digest, proposal.clone()));
                    self.payloads.insert(digest, PayloadState::Asked);
                }
                false
            }
        }
    }

    /// Has every held proposal above the tip judged, parents first: after a restart nothing else would ask for
    /// those that were voted for before it.
    pub(crate) fn judge_held_payloads(&mut self, out: &mut Vec<Effect>) {
        for digest in self.chain.above_tip() {
            self.payload_is_valid(digest, out);
        }
    }

    fn payload_is_known_valid(&self, link: Link) -> bool {
        self.chain.delivered_at(link.sequence) == Some(link.digest)
            || self.payloads.get(&link.digest) == Some(&PayloadState::Valid)
    }

    pub(crate) fn on_payload(&mut self, digest: Digest, valid: bool) {
        if let Some(state) = self.payloads.get_mut(&digest) {
            *state = if valid { PayloadState::Valid } else { PayloadState::Invalid };
        }
    }

    fn hold_proposal(&mut self, digest: Digest, proposal: &Proposal, out: &mut Vec<Effect>) {
        if self.chain.insert(digest, proposal.clone()) {
            out.push(Effect::SaveProposal(digest, proposal.clone()));
        }
    }

    /// A proposal by digest: taken only while it was asked for.
    pub(crate) fn on_proposal(&mut self, proposal: Proposal, out: &mut Vec<Effect>) {
        let digest = proposal.digest();
        if self.asked_ms.remove(&digest).is_some() {
            self.hold_proposal(digest, &proposal, out);
        }
    }

    /// protocol §8.3: a stretch of the committed chain. Taken if it starts where this validator stands.
    pub(crate) fn on_segment(&mut self, segment: Segment, out: &mut Vec<Effect>) {
        let Segment { proposals, certificate } = segment;
        let Some(first) = proposals.first() else { return };
        let before = first.sequence.previous().unwrap_or_default();
        let joins = self.chain.delivered_at(before) == Some(first.parent);
        if !joins || certificate.claim.sequence <= self.tip().sequence {
            return;
        }
        self.segments_asked.answered();
        for proposal in proposals {
            self.hold_proposal(proposal.digest(), &proposal, out);
        }
        self.on_committed(certificate, out);
    }

    /// Asks for a proposal by digest, of one peer at a time.
    pub(crate) fn ask_for(&mut self, now: Now, digest: Digest, out: &mut Vec<Effect>) {
        let again_ms = u64::from(self.config.parameters.status_interval_ms);
        let due = self.asked_ms.get(&digest).is_none_or(|asked| now.monotonic_ms.saturating_sub(*asked) >= again_ms);
        if due && let Some(peer) = self.peers.next_to_ask() {
            self.asked_ms.insert(digest, now.monotonic_ms);
            out.push(Effect::Ask(peer, Request::Proposal(digest)));
        }
    }
}
