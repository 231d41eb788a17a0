//! The parameters of the protocol: what all validators of an epoch must agree on (architecture §8).
//!
//! One table says for each its default, the values allowed, its unit and why; `docs/parameters.md` and
//! the file that `quorate init` writes are made from it. [`Parameters::check`] also holds the relations
//! between them, so a [`Parameters`] that was checked is one that the protocol can run with.

use crate::codec::{Canonical, DecodeError, Reader, encode_list};
use crate::limits::{MAX_BUNDLE_OPERATIONS, MAX_OPERATION_BYTES};
use crate::operation::OperationLimits;

/// Nonces up to the highest executed one that an author's window covers, and how far above it the next
/// may lie (data-model §3). Part of the protocol, not adjustable.
pub const NONCE_WINDOW: u64 = 1_024;

/// What is known about one parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterInfo {
    /// Its name in the genesis file.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// The value when the genesis file doesn't name it.
    pub default: u32,
    /// The lowest value allowed.
    pub low: u32,
    /// The highest value allowed.
    pub high: u32,
    /// What it does, and why the default is what it is.
    pub reason: &'static str,
}

/// A value outside of what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parameters.{field} is {value}; allowed is {low} to {high}: {because}")]
pub struct ParameterFault {
    /// The parameter.
    pub field: &'static str,
    /// Its value.
    pub value: u64,
    /// The lowest value allowed, given the other parameters.
    pub low: u64,
    /// The highest value allowed, given the other parameters.
    pub high: u64,
    /// Why.
    pub because: &'static str,
}

macro_rules! parameters {
    ($($name:ident: $default:expr, $low:expr => $high:expr, $unit:literal, $reason:literal;)*) => {
        /// The parameters of an epoch. The units are part of the names or said in [`Parameters::TABLE`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Parameters {
            $(#[doc = $reason] pub $name: u32,)*
        }

        impl Default for Parameters {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl Parameters {
            /// All parameters, in the order of the documentation.
            pub const TABLE: &'static [ParameterInfo] = &[$(ParameterInfo {
                name: stringify!($name),
                unit: $unit,
                default: $default,
                low: $low,
                high: $high,
                reason: $reason,
            },)*];

            /// The values, in the order of [`Parameters::TABLE`].
            #[must_use]
            pub fn values(&self) -> Vec<u32> {
                vec![$(self.$name,)*]
            }

            /// The parameter with this name, to be set.
            pub(crate) fn named(&mut self, name: &str) -> Option<&mut u32> {
                match name {
                    $(stringify!($name) => Some(&mut self.$name),)*
                    _ => None,
                }
            }
        }
    };
}

const KIB: u32 = 1 << 10;
const MIB: u32 = 1 << 20;
const SECOND: u32 = 1_000;
const MINUTE: u32 = 60 * SECOND;
const HOUR: u32 = 60 * MINUTE;
const DAY: u32 = 24 * HOUR;

parameters! {
    checkpoint_interval: 64, 1 => 4_096, "sequences",
        "K: every K-th execution certificate is the stable checkpoint. Small enough that a validator that restarts has little to execute again, large enough that checkpoints are rare.";
    window: 256, 2 => 16_384, "sequences",
        "W: votes are cast up to so many sequences above the stable checkpoint, which bounds memory. At least 2K, or ordering would stand still while a checkpoint forms; 4K rides over a slow one.";
    max_proposal_bytes: 8 * MIB, 64 * KIB => 64 * MIB, "bytes",
        "Operations that one proposal may stand for. Must pass the slowest link within the timeout cap; larger ones make a backlog cheaper to order and a view change dearer.";
    max_proposal_operations: 16_384, 1 => 65_536, "operations",
        "As max_proposal_bytes, for small operations: about one second of verification and execution on one core.";
    max_bundle_bytes: 512 * KIB, 4 * KIB => 4 * MIB, "bytes",
        "Operations in one bundle. Holds the largest operation; one bundle is one message, and small ones spread while the next one fills.";
    max_bundle_operations: 1_024, 1 => MAX_BUNDLE_OPERATIONS as u32, "operations",
        "As max_bundle_bytes, for small operations: signatures are verified in batches of this size, beyond which batches gain little.";
    lane_bytes: 32 * MIB, MIB => 1_024 * MIB, "bytes",
        "L: what a validator keeps of one lane beyond its last committed tip. Bounds what a lane's owner can make others store; several full proposals, so that a lane can wait out a view change.";
    timeout_base_ms: 500, 10 => MINUTE, "ms",
        "The timeout before round trips have been measured: well above a commit within one region.";
    timeout_base_min_ms: 200, 10 => MINUTE, "ms",
        "The lowest timeout that measuring may reach: a pause of a process or a slow disk write isn't a bad primary.";
    timeout_base_max_ms: 5 * SECOND, 10 => MINUTE, "ms",
        "The highest timeout that measuring may reach: slow validators must not make all others patient.";
    timeout_cap_ms: 30 * SECOND, 100 => 10 * MINUTE, "ms",
        "The longest timeout. Progress is promised when messages take less: an assumption about the network.";
    min_link_bytes_per_second: MIB, KIB => 1_024 * MIB, "bytes per second",
        "The slowest link between validators that the cluster must work over. max_proposal_bytes must pass it within the timeout cap.";
    status_interval_ms: 250, 10 => 10 * SECOND, "ms",
        "How often a validator tells its peers where it stands: the longest time for which a lost message goes unnoticed.";
    fairness_ms: 5 * SECOND, 100 => 10 * MINUTE, "ms",
        "T_fair: how long a lane that was offered to the primary may go unnamed while others are served, and how far apart complaints count together.";
    drift_ms: 500, 1 => MINUTE, "ms",
        "How far a primary's clock may be ahead, or behind before others complain. Clocks kept by NTP stay within a tenth of it.";
    late_percent: 12, 1 => 100, "percent",
        "Of the time in a view, so much may pass with lanes waiting longer than other primaries would let them; beyond that the primary is slow. An eighth: what a slow primary can cost for ever without being replaced. 100: that is never judged.";
    rotation_ms: 10 * MINUTE, 0 => DAY, "ms",
        "The longest time in one view in which something commits: a backstop against what no timer sees. Each rotation is a view change and takes some round trips. 0: none.";
    empty_interval_ms: SECOND, 1 => MINUTE, "ms",
        "The least block time between a proposal and an empty one on top: an idle cluster does little.";
    checkpoint_max_age_ms: MINUTE, 100 => DAY, "ms",
        "When the last stable checkpoint is older, with sequences above it, empty proposals lead to the next one.";
    min_epoch_sequences: 4_096, 32 => 1 << 24, "sequences",
        "E_min: the shortest epoch, so that a change of validators has taken effect before the next. At least 16 W.";
    min_validators: 1, 1 => 224, "validators",
        "So many validators must be left after a change of the set. 4 tolerate one faulty validator, fewer none; a cluster that is to stay above that sets it.";
    bar_on_proof: 0, 0 => 1, "0 or 1",
        "1: a conviction ends the epoch, and in the next one the convicted validator votes, but leads no more. 0: administrators decide.";
    evict_on_proof: 0, 0 => 1, "0 or 1",
        "1: a convicted validator leaves the set at the epoch's end, as long as min_validators are left, and else leads no more. 0: as bar_on_proof says.";
    waiting_sequences: 256, 1 => 65_536, "sequences",
        "D, first half: an operation waits for its parents so long, then its receipt says MISSING_PARENT. Lapses when both halves have passed.";
    waiting_ms: 30 * SECOND, 1 => HOUR, "ms",
        "D, second half, in block time: long enough for a parent that entered through another validator.";
    waiting_operations: 4_096, 1 => 65_536, "operations",
        "The waiting room's size. One operation that waits costs at most as much as one that executes.";
    waiting_bytes: 32 * MIB, 4 * KIB => 512 * MIB, "bytes",
        "The waiting room's size in bytes of operations, which the state carries.";
    waiting_operations_per_author: 64, 1 => 65_536, "operations",
        "One author's share of the waiting room: a client that never sends the parents hinders only itself.";
    waiting_operations_per_lane: 1_024, 1 => 65_536, "operations",
        "One lane's share of the waiting room: a validator that invents authors doesn't fill it.";
    index_sequences: 4_096, 1 => 1 << 24, "sequences",
        "R, first half: so long the state knows an executed operation by its id; a parent older than that counts as missing. Lapses when both halves have passed.";
    index_ms: 10 * MINUTE, 1 => 7 * DAY, "ms",
        "R, second half, in block time: the time that a client has to build on what it has seen. Costs some 300 bytes of state per operation.";
    max_lifetime_ms: DAY, SECOND => 7 * DAY, "ms",
        "How far ahead of block time an operation may expire. A nonce window without use is dropped after twice that.";
    operation_bytes: 256 * KIB, KIB => MAX_OPERATION_BYTES as u32, "bytes",
        "Body and signature of one operation. Larger content belongs into several.";
    operation_parents: 16, 1 => 16, "operations",
        "Parents of one operation: enough to join all heads of an entity.";
    operation_guards: 128, 1 => 1_024, "guards",
        "Guards of one operation: as many as mutations.";
    operation_mutations: 128, 1 => 1_024, "mutations",
        "Mutations of one operation: enough for bulk work, few enough that an operation executes in about a millisecond.";
    entity_id_bytes: 256, 16 => 1_024, "bytes",
        "Length of an entity's id: long enough for a path or a URL, short enough for a key.";
    document_bytes: MIB, KIB => 16 * MIB, "bytes",
        "Size of one document in its stored form. It is read and written as a whole.";
    document_levels: 64, 1 => 64, "levels",
        "Nesting of a document, and steps of a path into one.";
    operation_touched_bytes: 8 * MIB, 2 * KIB => 256 * MIB, "bytes",
        "Sum of the sizes of the entities that one operation reads and writes: a small operation can't make a validator move much.";
    proposal_touched_bytes: 256 * MIB, 2 * KIB => 2_048 * MIB - 1, "bytes",
        "As operation_touched_bytes, over one sequence: bounds memory and disk writes of executing it. Operations beyond are rejected.";
}

/// A bound that depends on other parameters.
struct Relation {
    field: &'static str,
    value: u32,
    low: u64,
    high: u64,
    because: &'static str,
}

impl Parameters {
    /// Checks every value against its range and the ranges against each other.
    ///
    /// # Errors
    /// The first value out of range, in the order of the table, ranges before relations.
    pub fn check(&self) -> Result<(), ParameterFault> {
        let ranges = Self::TABLE.iter().zip(self.values()).map(|(info, value)| Relation {
            field: info.name,
            value,
            low: info.low.into(),
            high: info.high.into(),
            because: info.reason,
        });
        for Relation { field, value, low, high, because } in ranges.chain(self.relations()) {
            let value = u64::from(value);
            if value < low || value > high {
                return Err(ParameterFault { field, value, low, high, because });
            }
        }
        Ok(())
    }

    /// What protocol §§1.4, 6.2 and 6.4 demand of combinations, and what makes sense of the rest.
    fn relations(&self) -> [Relation; 15] {
        let low = |field, value, low, because| Relation { field, value, low, high: u32::MAX.into(), because };
        let high = |field, value, high: u32, because| Relation { field, value, low: 0, high: high.into(), because };
        let transfer_ms = u64::from(self.max_proposal_bytes) * 1_000 / u64::from(self.min_link_bytes_per_second.max(1));
        let patience_ms = u64::from(self.drift_ms) + 2 * u64::from(self.status_interval_ms);
        let one = |value: u32| u64::from(value);
        [
            low("window", self.window, 2 * one(self.checkpoint_interval), "at least 2 × checkpoint_interval"),
            low("min_epoch_sequences", self.min_epoch_sequences, 16 * one(self.window), "at least 16 × window"),
            low(
                "timeout_cap_ms",
                self.timeout_cap_ms,
                transfer_ms + 1,
                "max_proposal_bytes must pass min_link_bytes_per_second within it",
            ),
            low("timeout_cap_ms", self.timeout_cap_ms, one(self.timeout_base_max_ms), "at least timeout_base_max_ms"),
            low("timeout_base_ms", self.timeout_base_ms, one(self.timeout_base_min_ms), "at least timeout_base_min_ms"),
            high("timeout_base_ms", self.timeout_base_ms, self.timeout_base_max_ms, "at most timeout_base_max_ms"),
            low("fairness_ms", self.fairness_ms, patience_ms + 1, "above drift_ms + 2 × status_interval_ms"),
            low(
                "rotation_ms",
                self.rotation_ms,
                if self.rotation_ms == 0 { 0 } else { 4 * one(self.timeout_cap_ms) },
                "0, or at least 4 × timeout_cap_ms: a view must last long enough to commit",
            ),
            low("max_bundle_bytes", self.max_bundle_bytes, one(self.operation_bytes), "must hold one operation"),
            high("max_bundle_bytes", self.max_bundle_bytes, self.max_proposal_bytes, "a proposal must hold one bundle"),
            high(
                "max_bundle_operations",
                self.max_bundle_operations,
                self.max_proposal_operations,
                "a proposal must hold one bundle",
            ),
            low("lane_bytes", self.lane_bytes, 2 * one(self.max_bundle_bytes), "at least two bundles"),
            low("waiting_bytes", self.waiting_bytes, one(self.operation_bytes), "must hold one operation"),
            low(
                "operation_touched_bytes",
                self.operation_touched_bytes,
                2 * one(self.document_bytes),
                "must hold one document before and after a change",
            ),
            low(
                "proposal_touched_bytes",
                self.proposal_touched_bytes,
                one(self.operation_touched_bytes),
                "must hold one operation's",
            ),
        ]
    }

    /// One parameter's value, and whether there is one of this name.
    #[must_use]
    pub fn value_of(&self, name: &str) -> Option<u32> {
        let mut parameters = *self;
        parameters.named(name).copied()
    }

    /// The limits on one operation.
    #[must_use]
    pub const fn operation_limits(&self) -> OperationLimits {
        OperationLimits {
            operation_bytes: self.operation_bytes as usize,
            accusation_bytes: self.max_bundle_bytes as usize,
            parents: self.operation_parents as usize,
            guards: self.operation_guards as usize,
            mutations: self.operation_mutations as usize,
            entity_id_bytes: self.entity_id_bytes as usize,
            levels: self.document_levels as usize,
        }
    }

    /// `docs/parameters.md`, made from the table.
    #[must_use]
    pub fn to_markdown() -> String {
        let mut text = String::from(
            "# Parameters\n\nWhat all validators agree on, in the table `[parameters]` of `genesis.toml`. A name \
             that is left out has its default. A value out of its range is refused with name, value and range; so \
             are combinations that the protocol can't run with. This file is made from the table in \
             `crates/types/src/parameters.rs`, and a test compares the two.\n\n\
             | name | default | lowest | highest | unit | what it does, and why this default |\n\
             |---|---|---|---|---|---|\n",
        );
        for ParameterInfo { name, unit, default, low, high, reason } in Self::TABLE {
            text.push_str(&format!("| `{name}` | {default} | {low} | {high} | {unit} | {reason} |\n"));
        }
        text
    }
}

impl Canonical for Parameters {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_list(&self.values(), out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let values: Vec<u32> = input.list(Self::TABLE.len(), "parameters")?;
        let mut parameters = Self::default();
        let rule = "every parameter has a value, in its order";
        if values.len() != Self::TABLE.len() {
            return Err(DecodeError::Malformed { what: "parameters", rule });
        }
        for (info, value) in Self::TABLE.iter().zip(values) {
            let named = parameters.named(info.name);
            *named.ok_or(DecodeError::Malformed { what: "parameters", rule })? = value;
        }
        Ok(parameters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_allowed() {
        assert_eq!(Parameters::default().check(), Ok(()));
    }

    #[test]
    fn every_parameter_is_refused_outside_of_its_range_by_name_value_and_range() {
        for info in Parameters::TABLE {
            for value in [info.low.checked_sub(1), info.high.checked_add(1)].into_iter().flatten() {
                let mut parameters = Parameters::default();
                *parameters.named(info.name).unwrap() = value;
                let fault = parameters.check().unwrap_err();
                assert_eq!((fault.field, fault.value), (info.name, u64::from(value)));
                assert_eq!((fault.low, fault.high), (info.low.into(), info.high.into()));
            }
        }
    }

    /// protocol §6.2 (`W ≥ 2K`), §6.4 (size against time), §1.4 (the cap), §8.4 (`E_min`), §4.7 (`T_fair`).
    #[test]
    fn combinations_that_the_protocol_cannot_run_with_are_refused() {
        let cases: [(&[(&str, u32)], &str); 15] = [
            (&[("window", 127)], "window"),
            (&[("min_epoch_sequences", 4_095)], "min_epoch_sequences"),
            (&[("timeout_cap_ms", 8_000)], "timeout_cap_ms"),
            (&[("timeout_base_max_ms", 30_001)], "timeout_cap_ms"),
            (&[("timeout_base_ms", 199)], "timeout_base_ms"),
            (&[("timeout_base_ms", 5_001)], "timeout_base_ms"),
            (&[("fairness_ms", 1_000)], "fairness_ms"),
            (&[("rotation_ms", 119_999)], "rotation_ms"),
            (&[("operation_bytes", 512 * KIB + 1)], "max_bundle_bytes"),
            (&[("max_bundle_bytes", 2 * MIB), ("max_proposal_bytes", MIB)], "max_bundle_bytes"),
            (&[("max_proposal_operations", 1_023)], "max_bundle_operations"),
            (&[("lane_bytes", MIB), ("max_bundle_bytes", MIB)], "lane_bytes"),
            (&[("waiting_bytes", 256 * KIB - 1)], "waiting_bytes"),
            (&[("operation_touched_bytes", 2 * MIB - 1)], "operation_touched_bytes"),
            (&[("proposal_touched_bytes", 8 * MIB - 1)], "proposal_touched_bytes"),
        ];
        for (changes, field) in cases {
            let mut parameters = Parameters::default();
            for (name, value) in changes {
                *parameters.named(name).unwrap() = *value;
            }
            assert_eq!(parameters.check().unwrap_err().field, field, "{changes:?}");
        }
    }

    #[test]
    fn the_documentation_is_made_from_the_table() {
        let written = include_str!("../../../docs/parameters.md");
        let made = Parameters::to_markdown();
        assert!(written == made, "docs/parameters.md must read:\n{made}");
    }
}
