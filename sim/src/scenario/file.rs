//! The form of a scenario's file.

use serde::Deserialize;
use toml::Spanned;

use crate::byzantine::{Behaviours, Conduct};
use crate::world::{
    Expectation, Fault, NetworkSettings, PROBES, Protocol, StorageSettings, TimedFault, WorkloadSettings, invariants,
};

/// A whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// What it shows, in a sentence.
    pub(super) about: String,
    /// Sizes of clusters; seeds take turns.
    #[serde(default = "four")]
    pub(super) validators: Spanned<Vec<u16>>,
    /// How long faults last.
    #[serde(default = "safety_ms")]
    pub(super) safety_ms: u64,
    /// How long healing may take.
    #[serde(default = "liveness_ms")]
    pub(super) liveness_ms: u64,
    /// ed25519 instead of the stand-in.
    #[serde(default)]
    pub(super) real_signatures: bool,
    /// What must be seen.
    pub(super) expect: Expected,
    #[serde(default)]
    pub(super) protocol: Protocol,
    #[serde(default)]
    pub(super) network: NetworkSettings,
    #[serde(default)]
    pub(super) storage: StorageSettings,
    #[serde(default)]
    pub(super) workload: WorkloadSettings,
    /// Who is Byzantine, and how.
    #[serde(default)]
    pub(super) byzantine: Vec<Spanned<Corruption>>,
    /// What happens when.
    #[serde(default)]
    pub(super) events: Vec<Spanned<Event>>,
}

/// How a run must end, and what it must have shown.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    verdict: Spanned<ExpectedVerdict>,
    /// With the verdict `violation`: the property.
    invariant: Option<Spanned<String>>,
    /// Probes that the run must reach.
    #[serde(default)]
    pub(super) reaches: Vec<Spanned<String>>,
    /// So many operations were acknowledged.
    #[serde(default)]
    pub(super) acknowledged_at_least: u64,
    /// The liveness phase is over by then.
    pub(super) heals_within_ms: Option<u64>,
    /// Each validator enters so many views at most.
    pub(super) views_at_most: Option<u64>,
    /// Forensics names so many culprits at least.
    #[serde(default)]
    pub(super) culprits_at_least: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ExpectedVerdict {
    Pass,
    Violation,
    Stuck,
}

/// Validators that are corrupted, named or as a share of all.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Corruption {
    /// Those with these indices.
    #[serde(default)]
    validators: Vec<u16>,
    /// The first so many in a hundred, rounded down.
    #[serde(default)]
    share_percent: u32,
    /// What they do.
    pub(super) does: Vec<Conduct>,
}

/// A fault, once or again and again.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Event {
    at_ms: u64,
    /// With `times`: the distance between two.
    #[serde(default)]
    every_ms: u64,
    #[serde(default = "once")]
    times: u64,
    fault: Fault,
}

/// The usual size.
fn four() -> Spanned<Vec<u16>> {
    Spanned::new(0..0, vec![4])
}

const fn safety_ms() -> u64 {
    3_000
}

const fn liveness_ms() -> u64 {
    240_000
}

const fn once() -> u64 {
    1
}

impl Corruption {
    /// Whom it corrupts among so many.
    pub(super) fn who(&self, validators: u16) -> Vec<u16> {
        let share = u32::from(validators) * self.share_percent / 100;
        let share = u16::try_from(share).unwrap_or(validators);
        let mut who: Vec<u16> = (0..share).chain(self.validators.iter().copied()).collect();
        who.sort_unstable();
        who.dedup();
        who
    }
}

impl Event {
    pub(super) fn occurrences(&self) -> impl Iterator<Item = TimedFault> + '_ {
        (0..self.times).map(|n| TimedFault { at_ms: self.at_ms + n * self.every_ms, fault: self.fault.clone() })
    }
}

impl Expected {
    pub(super) fn expectation(&self) -> Expectation {
        match (self.verdict.get_ref(), &self.invariant) {
            (ExpectedVerdict::Pass, _) => Expectation::Pass,
            (ExpectedVerdict::Stuck, _) => Expectation::Stuck,
            (ExpectedVerdict::Violation, name) => {
                Expectation::Violation(name.as_ref().map(|name| name.get_ref().clone()).unwrap_or_default())
            }
        }
    }

    fn admit(&self) -> Result<(), (usize, String)> {
        let known = invariants::names();
        let is_violation = *self.verdict.get_ref() == ExpectedVerdict::Violation;
        match &self.invariant {
            Some(name) if !is_violation => {
                return Err((
                    name.span().start,
                    "an invariant is named only with the verdict \"violation\"".to_owned(),
                ));
            }
            None if is_violation => {
                let expected = format!("which violation is expected? name one as `invariant`: {}", known.join("; "));
                return Err((self.verdict.span().start, expected));
            }
            Some(name) if !known.contains(&name.get_ref().as_str()) => {
                let expected =
                    format!("there is no invariant '{}'; expected one of: {}", name.get_ref(), known.join("; "));
                return Err((name.span().start, expected));
            }
            _ => {}
        }
        let unknown = self.reaches.iter().find(|name| PROBES.iter().all(|probe| probe.name != name.get_ref()));
        unknown.map_or(Ok(()), |name| {
            Err((name.span().start, format!("there is no probe '{}'; `quorate-sim list` names them", name.get_ref())))
        })
    }
}

impl File {
    /// Whether it makes sense; where it doesn't, the offset and what was expected.
    pub(super) fn admit(&self, behaviours: &Behaviours) -> Result<(), (usize, String)> {
        let sizes = self.validators.get_ref();
        if sizes.is_empty() || sizes.iter().any(|size| !(1..=128).contains(size)) {
            let expected = "expected a list of sizes from 1 to 128, such as validators = [4, 7]".to_owned();
            return Err((self.validators.span().start, expected));
        }
        let smallest = sizes.iter().min().copied().unwrap_or(1);
        for corruption in &self.byzantine {
            let at = corruption.span().start;
            if let Some(size) = sizes.iter().find(|size| corruption.get_ref().who(**size).is_empty()) {
                return Err((
                    at,
                    format!("this corrupts nobody of {size}; expected `validators` or a larger `share_percent`"),
                ));
            }
            if let Some(who) = corruption.get_ref().validators.iter().find(|who| **who >= smallest) {
                return Err((at, format!("there is no validator {who} among {smallest}, counted from 0")));
            }
            if corruption.get_ref().does.is_empty() {
                return Err((at, "a Byzantine validator that does nothing; expected behaviours in `does`".to_owned()));
            }
            for conduct in &corruption.get_ref().does {
                behaviours.make(conduct).map_err(|unknown| (at, unknown.to_string()))?;
            }
        }
        let machines = usize::from(smallest);
        for event in &self.events {
            if let Some(who) = event.get_ref().fault.named().into_iter().find(|who| usize::from(*who) >= machines) {
                return Err((
                    event.span().start,
                    format!("there is no validator {who} among {smallest}, counted from 0"),
                ));
            }
            if event.get_ref().times > 1 && event.get_ref().every_ms == 0 {
                return Err((event.span().start, "`times` without `every_ms`: expected a distance above 0".to_owned()));
            }
        }
        self.expect.admit()
    }
}
