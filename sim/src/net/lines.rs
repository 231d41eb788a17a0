//! The lines under the connections: which way is cut, held back or slow, as faults ordered it.
//!
//! Turmoil holds both ways of a line at once, and slows both: a plan's one-way hold or slowness strikes both
//! ways here. A segment that a cut line loses is never sent again, so a connection over it is dead, which
//! keep-alive probes find out, as after a cut of a real cable.

use std::time::Duration;

use turmoil::Sim;

use crate::world::NetworkSettings;

/// All lines between validators.
#[derive(Debug)]
pub(super) struct Lines {
    names: Vec<String>,
    settings: NetworkSettings,
    /// By sender and receiver.
    cut: Vec<bool>,
    /// By pair, in both orders.
    held: Vec<bool>,
    /// Until when a validator that stands still is heard by nobody and hears nobody.
    still_until_ms: Vec<u64>,
    /// What turmoil was told last: cut and held by sender and receiver.
    told: Vec<(bool, bool)>,
}

impl Lines {
    pub(super) fn new(names: Vec<String>, settings: NetworkSettings) -> Self {
        let size = names.len();
        let pairs = size * size;
        Self {
            names,
            settings,
            cut: vec![false; pairs],
            held: vec![false; pairs],
            still_until_ms: vec![0; size],
            told: vec![(false, false); pairs],
        }
    }

    const fn at(&self, from: usize, to: usize) -> usize {
        from * self.names.len() + to
    }

    fn each(&mut self, change: impl Fn(u16, u16) -> bool, what: fn(&mut Self) -> &mut Vec<bool>) {
        let size = self.names.len();
        let index = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
        for (from, to) in (0..size).flat_map(|from| (0..size).map(move |to| (from, to))) {
            if from != to && change(index(from), index(to)) {
                let at = self.at(from, to);
                what(self)[at] = true;
            }
        }
    }

    /// Cuts all lines between different groups; who is in no group is alone.
    pub(super) fn partition(&mut self, groups: &[Vec<u16>]) {
        let group = |validator| groups.iter().position(|group| group.contains(&validator));
        self.each(|from, to| group(from).is_none() || group(from) != group(to), |lines| &mut lines.cut);
    }

    /// Cuts what `from` sends to `to`.
    pub(super) fn cut(&mut self, from: &[u16], to: &[u16]) {
        self.each(|sender, receiver| from.contains(&sender) && to.contains(&receiver), |lines| &mut lines.cut);
    }

    /// Holds back what `from` and `to` send to each other.
    pub(super) fn hold(&mut self, from: &[u16], to: &[u16]) {
        let is_between = |a: u16, b: u16| from.contains(&a) && to.contains(&b);
        self.each(|a, b| is_between(a, b) || is_between(b, a), |lines| &mut lines.held);
    }

    /// Cuts a validator off.
    pub(super) fn isolate(&mut self, validator: u16) {
        self.each(|from, to| from == validator || to == validator, |lines| &mut lines.cut);
    }

    /// Holds back what a validator says and hears until then: nearest to a process that stands still.
    pub(super) fn still(&mut self, validator: u16, until_ms: u64) {
        if let Some(still) = self.still_until_ms.get_mut(usize::from(validator)) {
            *still = until_ms.max(*still);
        }
    }

    /// Makes a validator's lines slow.
    pub(super) fn slow(&self, sim: &Sim<'_>, validator: u16, by_ms: u64) {
        let who = usize::from(validator);
        let delay = Duration::from_micros(self.settings.delay_max_us) + Duration::from_millis(by_ms);
        for other in (0..self.names.len()).filter(|other| *other != who) {
            sim.set_link_latency(self.names[who].as_str(), self.names[other].as_str(), delay);
        }
    }

    /// Makes all lines whole and as fast as at first.
    pub(super) fn heal(&mut self, sim: &Sim<'_>) {
        self.cut.fill(false);
        self.held.fill(false);
        self.still_until_ms.fill(0);
        let (least, most) = delays(&self.settings);
        for (a, b) in self.pairs() {
            sim.set_link_latency(self.names[a].as_str(), self.names[b].as_str(), least);
            sim.set_link_max_message_latency(self.names[a].as_str(), self.names[b].as_str(), most);
        }
    }

    /// From now on lines are as good as `settings`.
    pub(super) fn calm(&mut self, sim: &Sim<'_>, settings: NetworkSettings) {
        self.settings = settings;
        self.heal(sim);
    }

    fn pairs(&self) -> Vec<(usize, usize)> {
        let size = self.names.len();
        (0..size).flat_map(|a| (a + 1..size).map(move |b| (a, b))).collect()
    }

    /// Tells turmoil what has changed.
    pub(super) fn tell(&mut self, sim: &Sim<'_>, now_ms: u64) {
        for (a, b) in self.pairs() {
            let (there, back) = (self.at(a, b), self.at(b, a));
            let is_still = self.still_until_ms[a] > now_ms || self.still_until_ms[b] > now_ms;
            let held = self.held[there] || is_still;
            let now = ((self.cut[there], held), (self.cut[back], held));
            let before = (self.told[there], self.told[back]);
            if now == before {
                continue;
            }
            let (one, other) = (self.names[a].as_str(), self.names[b].as_str());
            if before.0.1 && !held {
                sim.release(one, other);
            } else if !held {
                sim.repair(one, other);
            }
            if held {
                sim.hold(one, other);
            }
            // A cut is stronger than a hold: what is sent now is lost.
            if self.cut[there] {
                sim.partition_oneway(one, other);
            }
            if self.cut[back] {
                sim.partition_oneway(other, one);
            }
            (self.told[there], self.told[back]) = now;
        }
    }
}

/// The shortest and the longest delay of a line. TCP keeps the order, so one slow packet makes those behind it
/// slow, too: a few slow ones in a thousand stretch the whole range by as much.
pub(super) fn delays(settings: &NetworkSettings) -> (Duration, Duration) {
    let slow_us = settings.slow_us.saturating_mul(settings.slow_per_mille.into()) / 1_000;
    let most_us = settings.delay_max_us.saturating_add(slow_us).max(settings.delay_min_us);
    (Duration::from_micros(settings.delay_min_us), Duration::from_micros(most_us))
}
