//! The links between validators: what happens to a packet between sender and receiver.
//!
//! A packet is lost, delayed, duplicated, flipped or held here and nowhere else. Links have state
//! ([`Fault`](super::plan::Fault)s change it); the rest is drawn per packet.

use std::collections::BTreeMap;

use super::settings::NetworkSettings;
use crate::dice::{Dice, Stream};

/// One direction between two validators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Link {
    is_cut: bool,
    is_held: bool,
    extra_us: u64,
    /// When the last packet arrives; an ordered link keeps the order.
    last_arrival_us: u64,
    /// When what was given to it has left, where bandwidth is limited: control messages, and bulk data, which
    /// has a stream of its own.
    free_us: [u64; 2],
}

/// What a packet is to the network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    /// Its kind of message.
    pub(super) kind: &'static str,
    /// Its size.
    pub(super) bytes: usize,
    /// Whether it travels on the stream for bulk data.
    pub(super) is_bulk: bool,
}

/// A sender's queue holds so much time's worth of packets; what comes on top is lost.
const MOST_QUEUED_US: u64 = 1_000_000;

/// All links.
#[derive(Debug)]
pub(super) struct Network {
    settings: NetworkSettings,
    dice: Dice,
    size: usize,
    links: Vec<Link>,
    /// Kinds of messages that are lost, with sender and receiver.
    dropped: Vec<(String, Option<u16>, Option<u16>)>,
    counted: BTreeMap<&'static str, u64>,
}

impl Link {
    /// When a packet has left its sender; `None` if the queue has no room for it.
    fn queue(&mut self, bytes_per_second: u64, packet: Packet, now_us: u64) -> Option<u64> {
        if bytes_per_second == 0 {
            return Some(now_us);
        }
        let free_us = &mut self.free_us[usize::from(packet.is_bulk)];
        let begins_us = now_us.max(*free_us);
        if begins_us - now_us > MOST_QUEUED_US {
            return None;
        }
        *free_us = begins_us + (packet.bytes as u64).saturating_mul(1_000_000) / bytes_per_second;
        Some(*free_us)
    }
}

/// What becomes of a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fate {
    /// The times at which copies arrive.
    pub(super) arrivals_us: Vec<u64>,
    /// It waits until the link heals.
    pub(super) is_held: bool,
    /// This bit arrives flipped.
    pub(super) flipped: Option<u64>,
}

impl Network {
    pub(super) fn new(seed: u64, size: usize, settings: NetworkSettings) -> Self {
        Self {
            settings,
            dice: Dice::new(seed, Stream::Network),
            size,
            links: vec![Link::default(); size * size],
            dropped: Vec::new(),
            counted: BTreeMap::new(),
        }
    }

    /// Decides over a packet that leaves now.
    pub(super) fn send(&mut self, (from, to): (u16, u16), packet: Packet, now_us: u64) -> Fate {
        let kind = packet.kind;
        let is_dropped = self.dropped.iter().any(|(dropped, sender, receiver)| {
            dropped == kind && sender.is_none_or(|s| s == from) && receiver.is_none_or(|r| r == to)
        });
        let settings = self.settings;
        // Everything is drawn for every packet, so that one fault doesn't shift what others draw.
        let lost = self.dice.chance(settings.loss_per_mille);
        let twice = self.dice.chance(settings.duplicate_per_mille);
        let flipped = self.dice.chance(settings.flip_per_mille);
        let bit = self.dice.any();
        let delays = [self.delay_us(), self.delay_us()];
        let Some(link) = self.link(from, to) else { return Fate::default() };
        if link.is_cut || lost || is_dropped {
            *self.counted.entry("lost").or_default() += 1;
            return Fate::default();
        }
        let is_held = link.is_held;
        let Some(left_us) = link.queue(settings.bytes_per_second, packet, now_us) else {
            *self.counted.entry("lost for lack of bandwidth").or_default() += 1;
            return Fate::default();
        };
        let mut arrivals_us = Vec::with_capacity(2);
        for delay_us in delays.into_iter().take(if twice { 2 } else { 1 }) {
            let mut arrival_us = left_us + delay_us + link.extra_us;
            if settings.ordered {
                arrival_us = arrival_us.max(link.last_arrival_us + 1);
                link.last_arrival_us = arrival_us;
            }
            arrivals_us.push(arrival_us);
        }
        if twice {
            *self.counted.entry("duplicated").or_default() += 1;
        }
        Fate { arrivals_us, is_held, flipped: flipped.then_some(bit) }
    }

    fn delay_us(&mut self) -> u64 {
        let settings = self.settings;
        let ordinary = self.dice.range(settings.delay_min_us, settings.delay_max_us);
        let slow = self.dice.range(settings.delay_max_us, settings.slow_us.max(settings.delay_max_us));
        if self.dice.chance(settings.slow_per_mille) { slow } else { ordinary }
    }

    fn link(&mut self, from: u16, to: u16) -> Option<&mut Link> {
        let (from, to) = (usize::from(from), usize::from(to));
        if from >= self.size || to >= self.size { None } else { self.links.get_mut(from * self.size + to) }
    }

    fn each(&mut self, change: impl Fn(u16, u16, &mut Link)) {
        let size = u16::try_from(self.size).unwrap_or(u16::MAX);
        for from in 0..size {
            for to in 0..size {
                if let Some(link) = self.link(from, to) {
                    change(from, to, link);
                }
            }
        }
    }

    /// Cuts all links between different groups.
    pub(super) fn partition(&mut self, groups: &[Vec<u16>]) {
        let group = |validator| groups.iter().position(|group| group.contains(&validator));
        self.each(|from, to, link| {
            link.is_cut |= from != to && (group(from).is_none() || group(from) != group(to));
        });
    }

    /// Cuts what `from` sends to `to`.
    pub(super) fn cut(&mut self, from: &[u16], to: &[u16]) {
        self.each(|sender, receiver, link| link.is_cut |= from.contains(&sender) && to.contains(&receiver));
    }

    /// Holds what `from` sends to `to` back.
    pub(super) fn hold(&mut self, from: &[u16], to: &[u16]) {
        self.each(|sender, receiver, link| link.is_held |= from.contains(&sender) && to.contains(&receiver));
    }

    /// Cuts a validator off in both directions.
    pub(super) fn isolate(&mut self, validator: u16) {
        self.each(|from, to, link| link.is_cut |= from == validator || to == validator);
    }

    /// Loses messages of a kind.
    pub(super) fn drop_kind(&mut self, kind: &str, from: Option<u16>, to: Option<u16>) {
        self.dropped.push((kind.to_owned(), from, to));
    }

    /// Makes what a validator sends late.
    pub(super) fn slow(&mut self, validator: u16, by_us: u64) {
        self.each(|from, _, link| {
            if from == validator {
                link.extra_us = by_us;
            }
        });
    }

    /// Makes all links whole.
    pub(super) fn heal(&mut self) {
        self.dropped.clear();
        self.each(|_, _, link| {
            *link = Link { last_arrival_us: link.last_arrival_us, free_us: link.free_us, ..Link::default() }
        });
    }

    /// From now on the network is as good as `settings`: the liveness phase.
    pub(super) fn calm(&mut self, settings: NetworkSettings) {
        self.heal();
        self.settings = settings;
    }

    /// How often what was done to packets.
    pub(super) const fn counted(&self) -> &BTreeMap<&'static str, u64> {
        &self.counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::settings::Settings;

    fn network() -> Network {
        Network::new(1, 4, Settings::calm(4).network)
    }

    const fn packet(kind: &'static str) -> Packet {
        Packet { kind, bytes: 100, is_bulk: false }
    }

    #[test]
    fn a_narrow_link_delays_what_queues_and_loses_what_has_no_room() {
        let settings = NetworkSettings { bytes_per_second: 10_000, delay_max_us: 200, ..Settings::calm(2).network };
        let mut network = Network::new(1, 2, settings);
        let bulk = Packet { is_bulk: true, ..packet("bundle") };
        let arrivals: Vec<u64> =
            (0..200).filter_map(|_| network.send((0, 1), bulk, 0).arrivals_us.first().copied()).collect();
        // 10 ms for each packet of 100 bytes, and a second's worth of them waits.
        assert_eq!(arrivals.len(), 101);
        assert!((0..).zip(&arrivals).all(|(at, arrival)| *arrival == 10_000 * (at + 1) + 200));
        assert_eq!(network.counted()["lost for lack of bandwidth"], 99);
        // Votes don't wait behind bulk data, and a second later there is room again.
        assert_eq!(network.send((0, 1), packet("commit"), 0).arrivals_us, [10_200]);
        assert_eq!(network.send((0, 1), bulk, 2_000_000).arrivals_us, [2_010_200]);
    }

    #[test]
    fn a_partition_cuts_between_groups_and_heals() {
        let mut network = network();
        network.partition(&[vec![0, 1], vec![2]]);
        let arrives =
            |network: &mut Network, from, to| !network.send((from, to), packet("vote"), 0).arrivals_us.is_empty();
        assert!(arrives(&mut network, 0, 1));
        assert!(!arrives(&mut network, 1, 2));
        assert!(!arrives(&mut network, 3, 0), "who is in no group is alone");
        network.heal();
        assert!(arrives(&mut network, 1, 2));
    }

    #[test]
    fn a_one_way_cut_leaves_the_other_way() {
        let mut network = network();
        network.cut(&[0], &[1]);
        assert!(network.send((0, 1), packet("vote"), 0).arrivals_us.is_empty());
        assert!(!network.send((1, 0), packet("vote"), 0).arrivals_us.is_empty());
    }

    #[test]
    fn an_ordered_link_keeps_the_order() {
        let settings = NetworkSettings { ordered: true, ..Settings::calm(2).network };
        let mut network = Network::new(1, 2, settings);
        let arrivals: Vec<u64> = (0..50).map(|_| network.send((0, 1), packet("vote"), 0).arrivals_us[0]).collect();
        assert!(arrivals.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn one_kind_can_be_lost_alone() {
        let mut network = network();
        network.drop_kind("commit", Some(0), None);
        assert!(network.send((0, 1), packet("commit"), 0).arrivals_us.is_empty());
        assert!(!network.send((1, 0), packet("commit"), 0).arrivals_us.is_empty());
        assert!(!network.send((0, 1), packet("prepare"), 0).arrivals_us.is_empty());
    }
}
