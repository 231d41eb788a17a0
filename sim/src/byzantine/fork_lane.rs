//! A lane that forks: two bundles of one number, and both branches go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_crypto::Digest;
use quorate_types::bundle::{Bundle, BundleHeader, operations_root};
use quorate_types::message::Message;

use super::{Behaviour, Letters, Stage};

/// Forks its lane.
#[derive(Debug, Default)]
pub(super) struct ForkLane {
    /// Twins by the digest of the original.
    twins: BTreeMap<Digest, Bundle>,
    /// Who is told the twins.
    side: Option<Vec<u16>>,
}

impl ForkLane {
    fn twin(&mut self, stage: &mut Stage<'_>, original: &Bundle) -> Option<Bundle> {
        let digest = original.digest();
        if let Some(twin) = self.twins.get(&digest) {
            return Some(twin.clone());
        }
        let header = original.header.statement;
        let parent = self.twins.get(&header.parent).map(|twin| twin.header.statement);
        let mut operations = original.operations.clone();
        if operations.len() > 1 && stage.dice.chance(500) {
            operations.pop();
        } else if operations.len() > 1 {
            operations.reverse();
        } else if parent.is_none() {
            return None;
        }
        let own_operations = original.operations.len() as u64;
        // Another behaviour may have changed the original before it came here.
        let before_operations = parent
            .map_or(header.cumulative_operations.saturating_sub(own_operations), |parent| parent.cumulative_operations);
        let before_bytes = parent
            .map_or(header.cumulative_bytes.saturating_sub(original.size_bytes()), |parent| parent.cumulative_bytes);
        let bytes: u64 = operations.iter().map(|operation| operation.size_bytes() as u64).sum();
        let twin = BundleHeader {
            parent: parent.map_or(header.parent, |parent| parent.digest()),
            cumulative_operations: before_operations.saturating_add(operations.len() as u64),
            cumulative_bytes: before_bytes.saturating_add(bytes),
            operations_root: operations_root(&operations),
            ..header
        };
        let twin = Bundle { header: stage.sign(twin), operations };
        self.twins.insert(digest, twin.clone());
        Some(twin)
    }
}

impl Behaviour for ForkLane {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        let Message::Bundle(bundle) = &message else {
            out.push((to, message));
            return;
        };
        if bundle.header.signer() != stage.index() {
            out.push((to, message));
            return;
        }
        let twin = self.twin(stage, bundle);
        let side = self.side.get_or_insert_with(|| stage.some());
        match twin {
            Some(twin) if side.contains(&to) => out.push((to, Message::Bundle(Arc::new(twin)))),
            _ => out.push((to, message)),
        }
    }
}
