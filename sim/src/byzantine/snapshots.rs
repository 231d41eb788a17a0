//! Handing states over: wrong ones, oversized ones, in tiny parts, late or never, and lies about what is pruned.

use quorate_types::ids::Sequence;
use quorate_types::message::Message;
use quorate_types::snapshot::{Chunk, Entry};

use super::{Behaviour, Letters, Stage};

/// Hands over parts that aren't what the certified state holds, the first one among them, and claims to have pruned
/// everything.
#[derive(Debug, Default)]
pub(super) struct CorruptSnapshots {
    has_lied: bool,
}

impl Behaviour for CorruptSnapshots {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        match message {
            Message::Chunk(chunk) if !self.has_lied || stage.dice.chance(700) => {
                self.has_lied = true;
                out.push((to, Message::Chunk(Box::new(broken(stage, *chunk)))));
            }
            Message::Checkpoint(mut checkpoint) => {
                checkpoint.pruned = Sequence(u64::MAX);
                out.push((to, Message::Checkpoint(checkpoint)));
            }
            other => out.push((to, other)),
        }
    }
}

fn broken(stage: &mut Stage<'_>, mut chunk: Chunk) -> Chunk {
    let at = stage.dice.index(chunk.entries.len().max(1));
    match stage.dice.below(7) {
        0 if !chunk.entries.is_empty() => drop(chunk.entries.remove(at)),
        1 => chunk.entries.iter_mut().for_each(|entry| entry.value.push(0)),
        2 => chunk.entries.reverse(),
        3 => chunk.entries.push(Entry { key: b"e".to_vec(), value: vec![7; 600 << 10] }),
        4 => chunk.checkpoint = chunk.checkpoint.next(),
        5 => chunk.first.siblings.clear(),
        _ => {
            chunk.entries.truncate(at);
            chunk.last.siblings.pop();
        }
    }
    chunk
}

/// Hands over parts late or not at all, and vanishes in the middle.
#[derive(Debug, Default)]
pub(super) struct StallSnapshots {
    handed: u64,
}

impl Behaviour for StallSnapshots {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        if !matches!(message, Message::Chunk(_)) {
            return out.push((to, message));
        }
        self.handed += 1;
        match stage.dice.below(3) {
            _ if self.handed % 8 > 5 => {}
            0 => {}
            1 => out.push_late(to, message, stage.dice.range(100, 3_000)),
            _ => out.push((to, message)),
        }
    }
}
