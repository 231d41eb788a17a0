//! A fault plan: settings and explicit timed events, as JSON, so that a run can be repeated from a file
//! after the code that chose them has changed (simulation §1).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::settings::Settings;
use super::verdict::Verdict;

/// The version of the file's format.
pub const FORMAT: u32 = 1;

/// A whole run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultPlan {
    /// [`FORMAT`].
    pub format: u32,
    /// Delays, keys and all else that isn't written here follow from it.
    pub seed: u64,
    /// What the run is like.
    pub settings: Settings,
    /// How the run is expected to end.
    #[serde(default, skip_serializing_if = "Expectation::is_pass")]
    pub expect: Expectation,
    /// What happens when.
    pub events: Vec<TimedFault>,
}

/// How a run is expected to end. With more Byzantine validators than the protocol tolerates, a violation is
/// what must be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expectation {
    /// Nothing is found.
    #[default]
    Pass,
    /// This property is violated.
    Violation(String),
    /// Something stays pending.
    Stuck,
}

impl Expectation {
    /// Whether nothing is expected to be found.
    #[must_use]
    pub const fn is_pass(&self) -> bool {
        matches!(self, Self::Pass)
    }

    /// Whether a verdict is what is expected.
    #[must_use]
    pub fn is_met(&self, verdict: &Verdict) -> bool {
        match (self, verdict) {
            (Self::Pass, Verdict::Passed) | (Self::Stuck, Verdict::Stuck { .. }) => true,
            (Self::Violation(expected), Verdict::Unsafe(violation)) => violation.invariant == expected,
            _ => false,
        }
    }

    /// The exit code of a run that ended so: 0 if as expected; the verdict's own otherwise; 3 if what was
    /// expected stayed away (simulation §3).
    #[must_use]
    pub fn exit_code(&self, verdict: &Verdict) -> u8 {
        match (self.is_met(verdict), verdict) {
            (true, _) => 0,
            (false, Verdict::Passed) => 3,
            (false, found) => found.exit_code(),
        }
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => write!(f, "that nothing is found"),
            Self::Violation(invariant) => write!(f, "that '{invariant}' is violated"),
            Self::Stuck => write!(f, "that something stays pending"),
        }
    }
}

/// A fault and its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimedFault {
    /// Virtual time since the start.
    pub at_ms: u64,
    /// What happens.
    pub fault: Fault,
}

/// Whom a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The validator with this index.
    Validator(u16),
    /// Whoever leads the view that most validators are in at that moment.
    Primary,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Validators of different groups don't hear each other; a validator in no group is alone.
    Partition {
        /// The groups.
        groups: Vec<Vec<u16>>,
    },
    /// What `from` sends to `to` is lost.
    Cut {
        /// Senders.
        from: Vec<u16>,
        /// Receivers.
        to: Vec<u16>,
    },
    /// What `from` sends to `to` is kept back and arrives when the links heal.
    Hold {
        /// Senders.
        from: Vec<u16>,
        /// Receivers.
        to: Vec<u16>,
    },
    /// One validator hears nobody and is heard by nobody.
    Isolate {
        /// Who.
        target: Target,
    },
    /// Messages of one kind are lost, from one validator or all.
    DropKind {
        /// As `Message::kind` names it.
        kind: String,
        /// The sender; all if left out.
        from: Option<u16>,
        /// The receiver; all if left out.
        to: Option<u16>,
    },
    /// Packets from one validator take longer.
    Slow {
        /// Who.
        target: Target,
        /// By so much.
        by_ms: u64,
    },
    /// All links are whole again.
    Heal,
    /// An administrator proposes and approves another value of a protocol parameter: the epoch ends (protocol §8.4).
    ChangeParameter {
        /// The parameter.
        name: String,
        /// Its value.
        value: u32,
    },
    /// A process dies; what wasn't synced is lost, but for a prefix that chance decides.
    Crash {
        /// Who.
        target: Target,
        /// For how long it is down.
        down_ms: u64,
    },
    /// All processes die at once.
    CrashAll {
        /// For how long they are down.
        down_ms: u64,
    },
    /// The `ordinal`-th point at which a crash is tried from here on kills the validator that reaches it
    /// (simulation §2.4).
    CrashAtPoint {
        /// Counted over all validators, from 1.
        ordinal: u64,
        /// Whether what was written but not synced survives.
        keep: bool,
        /// For how long it is down.
        down_ms: u64,
    },
    /// A process stands still and goes on as if nothing had been.
    Pause {
        /// Who.
        target: Target,
        /// For how long.
        for_ms: u64,
    },
    /// A wall clock jumps.
    Skew {
        /// Who.
        validator: u16,
        /// By so much from true time.
        offset_ms: i64,
    },
    /// A disk syncs slowly.
    SlowDisk {
        /// Who.
        validator: u16,
        /// The longest sync from now on.
        sync_us: u64,
    },
    /// A process dies and its store and guard file are gone.
    LoseStore {
        /// Who.
        validator: u16,
        /// For how long it is down.
        down_ms: u64,
    },
    /// The next read of a store fails, once.
    FailRead {
        /// Whose.
        validator: u16,
    },
    /// The next sync of a store fails; its batch may be on the disk or not.
    FailSync {
        /// Whose.
        validator: u16,
    },
    /// A disk has no space.
    FillDisk {
        /// Whose.
        validator: u16,
        /// For how long.
        for_ms: u64,
    },
    /// One bit of one stored value flips.
    FlipBit {
        /// Whose.
        validator: u16,
    },
    /// From now on a disk says that it has synced, and has not: the next crash loses everything since.
    LoseSyncs {
        /// Whose.
        validator: u16,
    },
    /// The operator copies store and guard file.
    BackUp {
        /// Whose.
        validator: u16,
    },
    /// A process dies, and the operator puts the last copy of its store back, or else what `init` made.
    Restore {
        /// Whose.
        validator: u16,
        /// The copy of the guard file, too.
        guard_file: bool,
        /// For how long it is down.
        down_ms: u64,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Validator(who) => write!(f, "validator {who}"),
            Self::Primary => write!(f, "the primary"),
        }
    }
}

impl FaultPlan {
    /// How many validators must heal and serve in the end: a quorum; of three of which a process may die, all. There
    /// `f` is 0, and a certificate may hold the vote of one that lost its bundles beside a single other's
    /// (protocol §7.2).
    #[must_use]
    pub fn core_size(&self, quorum: usize) -> usize {
        let may_die = self.events.iter().any(|timed| timed.fault.may_kill());
        if self.settings.validators == 3 && may_die { 3 } else { quorum }
    }
}

impl Fault {
    /// Whether a process may die of it.
    const fn may_kill(&self) -> bool {
        matches!(
            self,
            Self::Crash { .. }
                | Self::CrashAll { .. }
                | Self::CrashAtPoint { .. }
                | Self::FailRead { .. }
                | Self::FailSync { .. }
                | Self::FillDisk { .. }
        )
    }

    /// The fault in words.
    #[must_use]
    pub fn about(&self) -> String {
        match self {
            Self::Partition { groups } => {
                let groups: Vec<String> = groups.iter().map(|group| format!("{group:?}")).collect();
                format!("the network falls apart into {}", groups.join(" and "))
            }
            Self::Cut { from, to } => format!("what {from:?} send to {to:?} is lost"),
            Self::Hold { from, to } => format!("what {from:?} send to {to:?} is kept back"),
            Self::Isolate { target } => format!("{target} is cut off"),
            Self::DropKind { kind, from, to } => {
                let whose = from.map_or("all".to_owned(), |from| format!("validator {from}"));
                let whom = to.map_or(String::new(), |to| format!(" to validator {to}"));
                format!("each {kind} of {whose}{whom} is lost")
            }
            Self::Slow { target, by_ms } => format!("what {target} sends takes {by_ms} ms longer"),
            Self::Heal => "all links are whole again".to_owned(),
            Self::ChangeParameter { name, value } => format!("the administrator sets {name} to {value}"),
            Self::Crash { target, down_ms } => format!("{target} dies, for {down_ms} ms"),
            Self::CrashAll { down_ms } => format!("all die at once, for {down_ms} ms"),
            Self::CrashAtPoint { ordinal, keep, down_ms } => {
                let fate = if *keep { "kept" } else { "lost" };
                format!(
                    "whoever reaches crash point {ordinal} dies there, for {down_ms} ms; what wasn't synced is {fate}"
                )
            }
            Self::Pause { target, for_ms } => format!("{target} stands still for {for_ms} ms"),
            Self::Skew { validator, offset_ms } => {
                format!("the clock of validator {validator} is off by {offset_ms} ms")
            }
            Self::SlowDisk { validator, sync_us } => {
                format!("the disk of validator {validator} takes up to {sync_us} us for a sync")
            }
            Self::LoseStore { validator, down_ms } => {
                format!("validator {validator} loses its store and guard file, and is down for {down_ms} ms")
            }
            Self::FailRead { validator } => format!("the next read of validator {validator} fails"),
            Self::FailSync { validator } => format!("the next sync of validator {validator} fails"),
            Self::FillDisk { validator, for_ms } => {
                format!("the disk of validator {validator} is full for {for_ms} ms")
            }
            Self::FlipBit { validator } => format!("a bit flips in the store of validator {validator}"),
            Self::LoseSyncs { validator } => {
                format!("the disk of validator {validator} says that it has synced, and has not, until the next crash")
            }
            Self::BackUp { validator } => format!("store and guard file of validator {validator} are copied"),
            Self::Restore { validator, guard_file, down_ms } => {
                let what = if *guard_file { "store and guard file" } else { "store, without the guard file," };
                format!("the copied {what} of validator {validator} are put back; it is down for {down_ms} ms")
            }
        }
    }

    /// Its kind, as in a plan.
    #[must_use]
    pub fn name(&self) -> String {
        let json = serde_json::to_value(self).unwrap_or_default();
        let tag = json.as_str().map(str::to_owned);
        let tag = tag.or_else(|| json.as_object().and_then(|fields| fields.keys().next().cloned()));
        tag.unwrap_or_default().replace('_', " ")
    }

    /// Whose store it damages or rolls back: a validator that counts as faulty from then on (simulation §2.3).
    #[must_use]
    pub const fn damages(&self) -> Option<u16> {
        match self {
            Self::LoseStore { validator, .. }
            | Self::FlipBit { validator }
            | Self::LoseSyncs { validator }
            | Self::Restore { validator, .. } => Some(*validator),
            _ => None,
        }
    }

    /// The machines that it names.
    #[must_use]
    pub fn named(&self) -> Vec<u16> {
        match self {
            Self::Partition { groups } => groups.concat(),
            Self::Cut { from, to } | Self::Hold { from, to } => [from.clone(), to.clone()].concat(),
            Self::DropKind { from, to, .. } => from.iter().chain(to).copied().collect(),
            Self::Isolate { target }
            | Self::Slow { target, .. }
            | Self::Crash { target, .. }
            | Self::Pause { target, .. } => match target {
                Target::Validator(who) => vec![*who],
                Target::Primary => Vec::new(),
            },
            Self::Skew { validator, .. }
            | Self::SlowDisk { validator, .. }
            | Self::LoseStore { validator, .. }
            | Self::FailRead { validator }
            | Self::FailSync { validator }
            | Self::FillDisk { validator, .. }
            | Self::FlipBit { validator }
            | Self::LoseSyncs { validator }
            | Self::BackUp { validator }
            | Self::Restore { validator, .. } => vec![*validator],
            Self::Heal | Self::CrashAll { .. } | Self::CrashAtPoint { .. } | Self::ChangeParameter { .. } => Vec::new(),
        }
    }
}

impl FaultPlan {
    /// Whether the plan makes sense: machines that exist, parameters that the protocol can run with, and no
    /// more Byzantine validators than it tolerates, unless a violation is expected (simulation §2.3).
    ///
    /// # Errors
    /// What doesn't.
    pub fn admit(&self) -> Result<(), PlanError> {
        let Settings { validators, byzantine, twins, protocol, .. } = &self.settings;
        let parameters = protocol.parameters().check();
        parameters.map_err(|fault| PlanError::Parameters { reason: fault.to_string() })?;
        let machines = usize::from(*validators) + twins.len();
        let named = self.events.iter().flat_map(|timed| timed.fault.named());
        if let Some(machine) = named.into_iter().find(|machine| usize::from(*machine) >= machines) {
            return Err(PlanError::Machine { machine, machines });
        }
        let mut corrupted: Vec<u16> = byzantine.keys().chain(twins).copied().collect();
        corrupted.sort_unstable();
        corrupted.dedup();
        if let Some(machine) = corrupted.iter().find(|who| *who >= validators) {
            return Err(PlanError::Machine { machine: *machine, machines: usize::from(*validators) });
        }
        let budget = usize::from(validators.saturating_sub(1) / 3);
        if *validators == 0 || (corrupted.len() > budget && self.expect.is_pass()) {
            return Err(PlanError::Budget { corrupted: corrupted.len(), validators: *validators, budget });
        }
        Ok(())
    }

    /// The plan as a file.
    ///
    /// # Errors
    /// None that are known.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// If it isn't a plan, or of another format.
    pub fn from_json(text: &str) -> Result<Self, PlanError> {
        let plan: Self = serde_json::from_str(text)?;
        if plan.format == FORMAT { Ok(plan) } else { Err(PlanError::Format { found: plan.format }) }
    }
}

/// Why a file is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Not JSON of the right form.
    #[error("not a fault plan: {0}")]
    Json(#[from] serde_json::Error),
    /// The parameters don't fit together.
    #[error("the protocol can't run with these parameters: {reason}")]
    Parameters {
        /// Why.
        reason: String,
    },
    /// A machine that doesn't exist.
    #[error("the plan names machine {machine}, but there are only {machines}, counted from 0")]
    Machine {
        /// The one named.
        machine: u16,
        /// How many there are.
        machines: usize,
    },
    /// More are corrupted than the verdict allows.
    #[error(
        "{corrupted} of {validators} validators are Byzantine, the protocol tolerates {budget}; to go beyond on purpose, \
         state which violation is expected"
    )]
    Budget {
        /// How many are.
        corrupted: usize,
        /// Of how many.
        validators: u16,
        /// How many may be.
        budget: usize,
    },
    /// Written by another version.
    #[error("the plan has format {found}, this program reads {FORMAT}")]
    Format {
        /// The file's.
        found: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_survives_its_file() {
        let events = vec![
            TimedFault { at_ms: 5, fault: Fault::Crash { target: Target::Primary, down_ms: 7 } },
            TimedFault { at_ms: 9, fault: Fault::Partition { groups: vec![vec![0, 1], vec![2, 3]] } },
            TimedFault { at_ms: 10, fault: Fault::Heal },
        ];
        let plan =
            FaultPlan { format: FORMAT, seed: 3, settings: Settings::calm(4), expect: Expectation::Pass, events };
        assert_eq!(FaultPlan::from_json(&plan.to_json().unwrap()).unwrap(), plan);
        let other = plan.to_json().unwrap().replacen("\"format\": 1", "\"format\": 9", 1);
        assert!(matches!(FaultPlan::from_json(&other), Err(PlanError::Format { found: 9 })));
    }
}
