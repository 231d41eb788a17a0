//! The lanes after a restart.

use std::sync::Arc;

use quorate_types::bundle::Bundle;
use quorate_types::ids::BundleNumber;

use crate::lanes::Lanes;
use crate::tidy::is_own_history;

/// The own lane isn't what the own records say was signed: nothing may be bundled in this epoch any
/// more (protocol §7.3, §10). The lanes serve for following all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("own bundles up to {signed} were signed, but the own lane is held up to {held}")]
pub struct RestoreFault {
    /// The highest number that was signed, by the records.
    pub signed: BundleNumber,
    /// The highest number up to which the own lane is held, delivered or not.
    pub held: BundleNumber,
}

impl Lanes {
    /// Takes back the bundles that were durable above the delivered tips, in any order, and goes on
    /// with the own lane after `own_signed`, the highest own number that was ever signed. To be called
    /// once, before anything else; proposals above the delivered one are then judged again by
    /// [`Lanes::check`].
    ///
    /// # Errors
    /// If the own lane has a gap below `own_signed`, or goes beyond it; the lanes are muted then.
    pub fn restore(
        &mut self,
        bundles: impl IntoIterator<Item = Arc<Bundle>>,
        own_signed: BundleNumber,
    ) -> Result<(), RestoreFault> {
        let epoch = self.config.epoch;
        let mut bundles: Vec<Arc<Bundle>> =
            bundles.into_iter().filter(|bundle| bundle.header.statement.epoch == epoch).collect();
        bundles.sort_by_key(|bundle| bundle.header.statement.number);
        let limits = self.config.limits;
        for bundle in bundles {
            if let Some(lane) = self.lanes.get_mut(bundle.header.statement.lane.position()) {
                lane.readmit(bundle, &limits);
            }
        }
        for lane in &mut self.lanes {
            lane.restored = Some((lane.top.number, lane.top.digest)).filter(|(number, _)| *number > lane.tip.number);
        }
        self.restore_own(own_signed)
    }

    fn restore_own(&mut self, signed: BundleNumber) -> Result<(), RestoreFault> {
        let Some(lane) = self.lanes.get(self.config.me.position()) else { return Ok(()) };
        let (mut at, mut own) = (lane.tip, Vec::new());
        while let Some(next) = lane.next_above(&at) {
            own.extend(lane.entry(&(next.number, next.digest)).map(|entry| Arc::clone(&entry.bundle)));
            at = next;
        }
        self.own.head = at;
        for bundle in own {
            self.own.remember(bundle.header.statement.number, &bundle.operations);
        }
        let is_whole = at.number == signed && !lane.is_forked() && is_own_history(lane, (at.number, at.digest));
        if !is_whole {
            self.own.is_muted = true;
            return Err(RestoreFault { signed, held: at.number });
        }
        Ok(())
    }
}
