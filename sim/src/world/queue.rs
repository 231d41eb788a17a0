//! What will happen, in the order of virtual time; of what happens at one moment, in an order that chance
//! decides.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::dice::{Dice, Stream};

/// A queue of things to come.
#[derive(Debug)]
pub(super) struct Queue<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    dice: Dice,
    serial: u64,
}

#[derive(Debug)]
struct Entry<T> {
    /// Time, then chance, then the order of arrival.
    key: (u64, u64, u64),
    item: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

impl<T> Queue<T> {
    pub(super) fn new(seed: u64) -> Self {
        Self { heap: BinaryHeap::new(), dice: Dice::new(seed, Stream::Scheduling), serial: 0 }
    }

    /// Adds what happens at `at_us`.
    pub(super) fn push(&mut self, at_us: u64, item: T) {
        self.serial += 1;
        let key = (at_us, self.dice.any(), self.serial);
        self.heap.push(Reverse(Entry { key, item }));
    }

    /// The next thing, with its time.
    pub(super) fn pop(&mut self) -> Option<(u64, T)> {
        self.heap.pop().map(|Reverse(entry)| (entry.key.0, entry.item))
    }

    /// The time of the next thing.
    pub(super) fn next_us(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(entry)| entry.key.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_things_come_first_whatever_was_added_first() {
        let mut queue = Queue::new(1);
        for at in [5, 1, 9, 1, 3] {
            queue.push(at, at);
        }
        let order: Vec<u64> = std::iter::from_fn(|| queue.pop().map(|(at, _)| at)).collect();
        assert_eq!(order, [1, 1, 3, 5, 9]);
    }
}
