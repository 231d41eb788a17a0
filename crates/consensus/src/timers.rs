//! The timers of a view and what they lead to (protocol §§4.1–4.8): complaints, never silence. Time comes in
//! with each input, no clock is read (protocol §4.10).

use quorate_types::ids::View;
use quorate_types::parameters::Parameters;
use quorate_types::view_change::Complaint;

use crate::config::Now;
use crate::core::Core;
use crate::effect::{Cause, CoreNotice, Effect};
use crate::fairness::{LaneDemand, Share};

/// So many proposals in a row behind the clock make the primary's clock slow.
const SLOW_TIMES: u32 = 8;

impl Core {
    /// Whether something is owed in this view: a lane waits, an empty payload is due, an accepted proposal
    /// is uncommitted, or the anchor is (protocol §4.2).
    pub(crate) fn owes(&self, now: Now) -> bool {
        let tip = self.tip();
        let uncommitted = self.top().is_some_and(|(sequence, _)| sequence > tip.sequence);
        let anchor_open = self.reign.anchor.chosen && self.reign.anchor.sequence > tip.sequence;
        let offered_ms =
            u64::from(self.config.parameters.status_interval_ms).saturating_add(self.timeouts.round_trip_ms());
        let waits = self.fairness.waits(now.monotonic_ms, offered_ms);
        waits || uncommitted || anchor_open || self.is_empty_due(now, tip)
    }

    /// protocol §4.2, §6.3: ordering waits for execution alone, here or at so many others that a quorum can't vote: overload is
    /// not a bad primary.
    pub(crate) fn waits_for_execution(&self) -> bool {
        let next = self.tip().sequence.next();
        let window = u64::from(self.config.parameters.window);
        let open_elsewhere = self.peers.stable().filter(|stable| next <= stable.plus(window)).count();
        !self.in_window(next) || open_elsewhere + 1 < self.config.quorum.quorum()
    }

    /// Whether the causes of complaints are judged: not by one that doesn't sign, nor by a validator alone, which has
    /// nobody to complain about.
    fn complains(&self) -> bool {
        self.signs() && self.config.quorum.validators() > 1
    }

    /// Judges all timers.
    pub(crate) fn on_tick(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.complaints.settle(now.monotonic_ms);
        if self.judge_again_ms.is_some_and(|at| at <= now.monotonic_ms) {
            self.judge_again_ms = None;
        }
        let stale_ms = u64::from(self.config.parameters.timeout_cap_ms);
        self.asked_ms.retain(|_, asked| now.monotonic_ms.saturating_sub(*asked) < stale_ms);
        self.judge_held_payloads(out);
        if !self.complains() {
            return;
        }
        self.run_progress_timer(now);
        self.run_new_view_timer(now);
        self.watch_waits(now);
        for cause in Cause::ALL {
            if !self.has_fired(cause, now) {
                self.complaints.clear_cause(cause);
            } else if self.complaints.set_cause(cause, now.monotonic_ms, self.reign.commits) {
                out.push(Effect::Notice(CoreNotice::Complains(self.reign.view, cause)));
            }
        }
        self.doubt_itself(now);
        self.complain(out);
    }

    /// What waits now (protocol §4.1).
    pub(crate) fn on_demand(&mut self, now: Now, demand: &LaneDemand) {
        let Parameters { max_proposal_bytes, max_proposal_operations, .. } = *self.config.parameters;
        let whole = (u64::from(max_proposal_bytes), u64::from(max_proposal_operations));
        let validators = self.config.quorum.validators() as u64;
        self.fairness.on_demand(demand, self.reign.commits, now.monotonic_ms, Share::of(whole, validators));
        self.watch_waits(now);
    }

    /// The progress timer runs while something is owed; it starts anew with every commit (protocol §4.2).
    fn run_progress_timer(&mut self, now: Now) {
        let runs = self.reign.active && self.owes(now) && !self.waits_for_execution();
        match (runs, self.reign.progress_ms) {
            (false, _) => self.reign.progress_ms = None,
            (true, None) => self.reign.progress_ms = Some(now.monotonic_ms),
            (true, Some(_)) => {}
        }
    }

    /// protocol §5.4: the timer for the new view starts only when a quorum, this validator included, wants
    /// this view or a higher one.
    fn run_new_view_timer(&mut self, now: Now) {
        let wants = |view: View| view >= self.reign.view;
        let changing = self.view_changes.values().filter(|c| wants(c.signed.statement.new_view)).count();
        let own = self.view_changes.get(&self.config.me).is_some_and(|c| wants(c.signed.statement.new_view));
        let enough = own && changing >= self.config.quorum.quorum();
        if self.reign.active {
            self.reign.new_view_ms = None;
        } else if enough || cfg!(mutant = "views-climbed-alone") {
            self.reign.new_view_ms.get_or_insert(now.monotonic_ms);
        }
    }

    fn deadline_of(&self, cause: Cause) -> Option<u64> {
        let factor = self.complaints.factor(cause);
        let timeout_ms = self.timeouts.current_ms().saturating_mul(factor);
        let after = |since: u64| since.saturating_add(timeout_ms);
        match cause {
            Cause::Progress => self.reign.progress_ms.map(after),
            Cause::NewViewMissing => self.reign.new_view_ms.map(after),
            Cause::Fairness if self.reign.active => self.fairness.deadline_ms(
                &self.config.parameters,
                self.config.quorum.validators(),
                self.reign.commits,
                factor,
            ),
            Cause::Heartbeat if self.reign.active && self.primary() != self.config.me => {
                let heard = self.peers.heard_ms(self.primary()).max(self.reign.entered_ms);
                Some(after(heard).saturating_add(3 * u64::from(self.config.parameters.status_interval_ms)))
            }
            Cause::SlowClock if self.reign.slow_times >= SLOW_TIMES => Some(0),
            Cause::SlowPrimary if self.is_primary_slow() => Some(0),
            Cause::SlowPrimary => self.slow_at_ms(),
            Cause::Rotation => self.rotates_at_ms(),
            Cause::Fairness | Cause::Heartbeat | Cause::SlowClock => None,
        }
    }

    fn has_fired(&self, cause: Cause, now: Now) -> bool {
        self.deadline_of(cause).is_some_and(|deadline| deadline <= now.monotonic_ms)
    }

    /// protocol §4.6, §4.7: signs a complaint if a cause holds and none was signed for this view and time.
    fn complain(&mut self, out: &mut Vec<Effect>) {
        if !self.complaints.any_cause() {
            return;
        }
        let Complaint { view, time, .. } = self.complaint();
        let made = self.complaints.of(self.config.me).map(|own| (own.statement.view, own.statement.time));
        if made < Some((view, time)) {
            out.push(Effect::SignComplaint(self.complaint()));
        }
    }

    fn complaint(&self) -> Complaint {
        Complaint { epoch: self.config.epoch, view: self.reign.view, time: self.tip().time, validator: self.config.me }
    }

    /// Something was delivered: the progress timer starts anew, whichever view committed it (protocol §4.2).
    pub(crate) fn on_delivered(&mut self, now: Now, certified_in: View) {
        self.delivered_ms = now.monotonic_ms;
        self.reign.progress_ms = self.reign.progress_ms.map(|_| now.monotonic_ms);
        if certified_in == self.reign.view && self.reign.active {
            self.reign.commits = self.reign.commits.saturating_add(1);
            self.timeouts.on_commit(now.monotonic_ms);
            self.doubt_itself(now);
            self.complaints.clear_cause(Cause::Progress);
        }
    }

    /// protocol §4.8: whoever complains, and sees the view go on committing while fewer than a quorum complain,
    /// doubts itself. The others get half a timeout to complain, too: a primary must not talk correct
    /// validators out of their complaints one by one, with a commit right after each.
    fn doubt_itself(&mut self, now: Now) {
        let view = self.reign.view;
        let together = self.complaints.all().filter(|c| c.statement.view == view).count();
        if together < self.config.quorum.quorum() {
            let grace_ms = self.timeouts.current_ms() / 2;
            self.complaints.doubt_held(now.monotonic_ms, self.reign.commits, grace_ms);
        }
    }

    /// The complaint to be renewed with each status while its cause lasts.
    pub(crate) fn lasting_complaint(&self) -> Option<quorate_types::signed::Signed<Complaint>> {
        let own = self.complaints.of(self.config.me)?;
        (self.complaints.any_cause() && own.statement.view == self.reign.view).then_some(*own)
    }

    /// When a report beside the regular ones is due, by the monotonic clock: half a timeout after something began
    /// to be owed, so that what was lost can come again before anyone complains (protocol §9.1).
    #[must_use]
    pub fn stall_ms(&self) -> Option<u64> {
        let half_ms = self.timeouts.current_ms() / 2;
        let since = [self.reign.progress_ms, self.reign.new_view_ms].into_iter().flatten().min();
        since.map(|since_ms| since_ms.saturating_add(half_ms))
    }

    /// How far self-doubt has stretched this validator's timers, the one stretched most (protocol §4.8); 1: none.
    #[must_use]
    pub fn self_doubt(&self) -> u64 {
        self.complaints.most_doubt()
    }

    /// When [`crate::Input::Tick`] is next needed, by the monotonic clock; status is the composite's business.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<u64> {
        let timers = Cause::ALL
            .into_iter()
            .filter(|cause| self.complains() && !self.complaints.holds(*cause))
            .filter_map(|cause| self.deadline_of(cause));
        timers.chain(self.judge_again_ms).min()
    }
}
