//! What a run is: size, parameters, faults' intensities, workload. Saved as JSON inside a plan.

use std::collections::BTreeMap;

use quorate_types::parameters::Parameters;
use serde::{Deserialize, Serialize};

use crate::byzantine::Conduct;

/// Everything about a run that isn't a timed event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How many validators.
    pub validators: u16,
    /// ed25519 instead of the stand-in.
    pub real_signatures: bool,
    /// The parameters of the protocol that runs vary.
    pub protocol: Protocol,
    /// Who is Byzantine, and how.
    pub byzantine: BTreeMap<u16, Vec<Conduct>>,
    /// Validators of which two machines run with one key: correct code twice, a Byzantine validator together.
    /// The second machines have the indices after the validators'.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub twins: Vec<u16>,
    /// The links.
    pub network: NetworkSettings,
    /// The disks.
    pub storage: StorageSettings,
    /// The clients.
    pub workload: WorkloadSettings,
    /// How long the safety phase lasts.
    pub safety_ms: u64,
    /// How long the liveness phase may last before what is pending counts as stuck; 0: there is none.
    pub liveness_ms: u64,
}

/// Protocol parameters, small in most runs, so that boundaries are hit (simulation §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Protocol {
    /// K.
    pub checkpoint_interval: u32,
    /// W.
    pub window: u32,
    /// The first timeout.
    pub timeout_base_ms: u32,
    /// The longest timeout.
    pub timeout_cap_ms: u32,
    /// The interval of `Status`.
    pub status_interval_ms: u32,
    /// T_fair.
    pub fairness_ms: u32,
    /// The drift allowed.
    pub drift_ms: u32,
    /// The share of late time that is borne of a primary; 100: any.
    pub late_percent: u32,
    /// The longest time in one view; 0: any.
    pub rotation_ms: u32,
    /// The distance of empty proposals.
    pub empty_interval_ms: u32,
    /// When a checkpoint is due.
    pub checkpoint_max_age_ms: u32,
    /// E_min: the shortest epoch. Longer than any run, unless a scenario is about epochs.
    pub min_epoch_sequences: u32,
    /// Whether a convicted validator leads no more from the next epoch on: 1, or 0.
    pub bar_on_proof: u32,
    /// Whether a convicted validator leaves the set: 1, or 0.
    pub evict_on_proof: u32,
    /// Operations in a bundle.
    pub max_bundle_operations: u32,
    /// Operations in a proposal.
    pub max_proposal_operations: u32,
}

/// How links behave while nothing special happens to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkSettings {
    /// The shortest delay.
    pub delay_min_us: u64,
    /// The longest ordinary delay.
    pub delay_max_us: u64,
    /// So many packets in a thousand take up to `slow_us`.
    pub slow_per_mille: u32,
    /// The longest delay of a slow packet.
    pub slow_us: u64,
    /// So many in a thousand are lost.
    pub loss_per_mille: u32,
    /// So many in a thousand arrive twice.
    pub duplicate_per_mille: u32,
    /// So many in a thousand arrive with a flipped bit.
    pub flip_per_mille: u32,
    /// Packets of a link arrive in the order in which they were sent.
    pub ordered: bool,
    /// So many bytes of control messages, and as many of bulk data, leave on a link in a second; 0: any number.
    pub bytes_per_second: u64,
}

/// How disks behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageSettings {
    /// The shortest sync.
    pub sync_min_us: u64,
    /// The longest sync.
    pub sync_max_us: u64,
    /// The longest execution of a sequence.
    pub execution_max_us: u64,
    /// Sequences kept below the stable checkpoint, one at least; everything is kept where it isn't given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retained_sequences: Option<u64>,
}

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkloadSettings {
    /// How many clients.
    pub clients: u16,
    /// How many operations in all.
    pub operations: u32,
    /// The mean time between two operations.
    pub interval_us: u64,
    /// A client gives an operation to another validator after so long without an acknowledgement.
    pub retry_ms: u64,
    /// So many operations in a thousand go to two validators at once.
    pub twice_per_mille: u32,
    /// So many operations in a thousand name the client's previous one as parent.
    pub parent_per_mille: u32,
    /// How many entities of each kind there are: few, so that operations meet.
    pub entities: u64,
    /// The size of a document's value.
    pub value_bytes: u32,
    /// How often which kind of operation is signed.
    pub mix: Mix,
}

/// Weights of the kinds of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mix {
    /// Makes a counter.
    pub create_counter: u32,
    /// Adds to a counter.
    pub add: u32,
    /// Puts a document.
    pub put: u32,
    /// Puts a document if it has a version.
    pub guarded_put: u32,
    /// Makes an account.
    pub create_account: u32,
    /// Mints into an account.
    pub mint: u32,
    /// Transfers between two accounts.
    pub transfer: u32,
}

impl Default for Mix {
    fn default() -> Self {
        Self { create_counter: 1, add: 2, put: 1, guarded_put: 1, create_account: 1, mint: 1, transfer: 1 }
    }
}

impl Default for Protocol {
    fn default() -> Self {
        Self::small()
    }
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self {
            delay_min_us: 200,
            delay_max_us: 2_000,
            slow_per_mille: 0,
            slow_us: 0,
            loss_per_mille: 0,
            duplicate_per_mille: 0,
            flip_per_mille: 0,
            ordered: false,
            bytes_per_second: 0,
        }
    }
}

impl Default for StorageSettings {
    fn default() -> Self {
        Self { sync_min_us: 100, sync_max_us: 1_000, execution_max_us: 500, retained_sequences: None }
    }
}

impl Default for WorkloadSettings {
    fn default() -> Self {
        Self {
            clients: 3,
            operations: 40,
            interval_us: 20_000,
            retry_ms: 1_500,
            twice_per_mille: 100,
            parent_per_mille: 300,
            entities: 4,
            value_bytes: 0,
            mix: Mix::default(),
        }
    }
}

impl Protocol {
    /// Small windows and quick timers.
    #[must_use]
    pub const fn small() -> Self {
        Self {
            checkpoint_interval: 4,
            window: 8,
            timeout_base_ms: 200,
            timeout_cap_ms: 2_000,
            status_interval_ms: 50,
            fairness_ms: 1_500,
            drift_ms: 200,
            late_percent: 12,
            rotation_ms: 0,
            empty_interval_ms: 100,
            checkpoint_max_age_ms: 1_000,
            min_epoch_sequences: 1 << 20,
            bar_on_proof: 0,
            evict_on_proof: 0,
            max_bundle_operations: 4,
            max_proposal_operations: 16,
        }
    }

    /// The parameters of the epoch.
    #[must_use]
    pub fn parameters(&self) -> Parameters {
        Parameters {
            checkpoint_interval: self.checkpoint_interval,
            window: self.window,
            timeout_base_ms: self.timeout_base_ms,
            timeout_base_min_ms: (self.timeout_base_ms / 2).max(10),
            timeout_base_max_ms: self.timeout_cap_ms,
            timeout_cap_ms: self.timeout_cap_ms,
            min_link_bytes_per_second: 1 << 30,
            status_interval_ms: self.status_interval_ms,
            fairness_ms: self.fairness_ms,
            drift_ms: self.drift_ms,
            late_percent: self.late_percent,
            rotation_ms: self.rotation_ms,
            empty_interval_ms: self.empty_interval_ms,
            checkpoint_max_age_ms: self.checkpoint_max_age_ms,
            max_bundle_operations: self.max_bundle_operations,
            max_proposal_operations: self.max_proposal_operations,
            min_epoch_sequences: self.min_epoch_sequences,
            bar_on_proof: self.bar_on_proof,
            evict_on_proof: self.evict_on_proof,
            waiting_sequences: 64,
            waiting_ms: 10_000,
            ..Parameters::default()
        }
    }
}

impl Settings {
    /// `n` correct validators on a good network with a light load.
    #[must_use]
    pub fn calm(validators: u16) -> Self {
        Self {
            validators,
            real_signatures: false,
            protocol: Protocol::small(),
            byzantine: BTreeMap::new(),
            twins: Vec::new(),
            network: NetworkSettings::default(),
            storage: StorageSettings::default(),
            workload: WorkloadSettings::default(),
            safety_ms: 3_000,
            liveness_ms: 240_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_small_parameters_are_ones_that_the_protocol_can_run_with() {
        assert_eq!(Protocol::small().parameters().check(), Ok(()));
    }

    #[test]
    fn settings_survive_their_json() {
        let settings = Settings::calm(4);
        let json = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), settings);
    }
}
