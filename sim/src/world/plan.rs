//! A fault plan: settings and explicit timed events, as JSON, so that a run can be repeated from a file
//! after the code that chose them has changed (simulation §1).

use serde::{Deserialize, Serialize};

use super::settings::Settings;

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
    /// What happens when.
    pub events: Vec<TimedFault>,
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
}

impl FaultPlan {
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
        let plan = FaultPlan { format: FORMAT, seed: 3, settings: Settings::calm(4), events };
        assert_eq!(FaultPlan::from_json(&plan.to_json().unwrap()).unwrap(), plan);
        let other = plan.to_json().unwrap().replacen("\"format\": 1", "\"format\": 9", 1);
        assert!(matches!(FaultPlan::from_json(&other), Err(PlanError::Format { found: 9 })));
    }
}
