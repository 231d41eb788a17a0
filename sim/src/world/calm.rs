//! Whether an idle cluster comes to rest (simulation §2.6).

use std::collections::BTreeMap;

use super::settings::Settings;
use super::verdict::Verdict;

/// An idle cluster is watched for so long.
pub(crate) const CALM_US: u64 = 2_000_000;
/// It must have come to rest by then.
pub(crate) const CALM_LIMIT_US: u64 = 60_000_000;

/// What was delivered in a stretch of time, by the kind of message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said(BTreeMap<&'static str, u64>);

impl Said {
    pub(crate) fn count(&mut self, kind: &'static str) {
        *self.0.entry(kind).or_default() += 1;
    }

    fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Whether it is no more than reports and empty proposals among so many machines.
    pub(crate) fn is_rest(&self, settings: &Settings, machines: u16) -> bool {
        self.total() <= said_at_rest(settings, machines)
    }

    /// The verdict on a cluster that doesn't come to rest; `views` are the core's, and whether it votes there.
    pub(crate) fn restless(&self, settings: &Settings, machines: u16, views: &[(u64, bool)]) -> Box<Verdict> {
        let (said, most) = (self.total(), said_at_rest(settings, machines));
        let mut kinds: Vec<_> = self.0.iter().map(|(kind, count)| (*count, *kind)).collect();
        kinds.sort_unstable_by(|one, other| other.cmp(one));
        let kinds: Vec<_> = kinds.iter().map(|(count, kind)| format!("{count} {kind}")).collect();
        let pending = vec![
            format!("the idle cluster doesn't come to rest: {said} deliveries in {CALM_US} us, {most} are enough"),
            format!("what was said: {}", kinds.join(", ")),
            format!("views of the core, and whether it votes there: {views:?}"),
        ];
        Box::new(Verdict::Stuck { pending })
    }
}

/// No more than so many deliveries in [`CALM_US`] are reports and empty proposals.
fn said_at_rest(settings: &Settings, machines: u16) -> u64 {
    let (protocol, size) = (settings.protocol, u64::from(machines));
    let often = |interval_ms: u32| CALM_US / 1_000 / u64::from(interval_ms.max(1));
    size * size * (3 * often(protocol.status_interval_ms) + 6 * often(protocol.empty_interval_ms) + 20)
}
