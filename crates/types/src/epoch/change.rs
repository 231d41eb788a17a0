//! Changes of an epoch's definition, and what they make of it (protocol §8.5).

use quorate_crypto::{Digest, PublicKey, admit_validator_key};

use super::{EpochDefinition, text};
use crate::codec::{Canonical, DecodeError, Reader, encode_bytes};
use crate::genesis::{is_address, is_name};
use crate::ids::Sequence;
use crate::limits::{MAX_ADDRESS_BYTES, MAX_LEARNERS, MAX_VALIDATORS};
use crate::operation::MAX_KIND_BYTES;
use crate::parameters::ParameterFault;
use crate::set::{Learner, LearnerRole, ValidatorInfo};

/// Changes of one proposal at most.
pub const MAX_CHANGES: usize = 16;

/// Bytes of a parameter's name at most.
pub(crate) const MAX_PARAMETER_BYTES: usize = 64;

/// Parameters that no change touches. A shorter lifetime would drop nonce windows while operations that may still
/// be replayed into them live (data-model §3.4).
const FIXED: [&str; 1] = ["max_lifetime_ms"];

/// One change of the validator set or the parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetChange {
    /// A new validator. From the next epoch on it learns; it counts from the epoch on that follows its [`Self::Ready`].
    Add(Box<NewValidator>),
    /// A validator leaves, or a learner is given up.
    Remove {
        /// Its name.
        name: String,
    },
    /// A protocol parameter has another value.
    Parameter {
        /// Its name in the genesis file.
        name: String,
        /// The value.
        value: u32,
    },
    /// A learner has caught up, with a store of this incarnation.
    Ready {
        /// Its consensus key.
        validator: PublicKey,
        /// Its store's nonce.
        incarnation: [u8; 32],
    },
    /// A validator comes back out of quarantine, with a store of this incarnation (protocol §7.4).
    Rejoin {
        /// Its consensus key.
        validator: PublicKey,
        /// Its store's nonce.
        incarnation: [u8; 32],
    },
    /// A validator is convicted, and leads no more (protocol §8.6).
    Bar {
        /// Its consensus key.
        validator: PublicKey,
    },
    /// A validator is convicted, and leaves (accountability §2.4).
    Evict {
        /// Its consensus key.
        validator: PublicKey,
    },
}

/// A validator to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewValidator {
    /// Its name.
    pub name: String,
    /// Its consensus key.
    pub consensus_key: PublicKey,
    /// Its network key.
    pub network_key: PublicKey,
    /// Where other validators reach it.
    pub peer_address: String,
    /// Whether it takes the place of the validator of the same name, whose keys it replaces.
    pub replaces: bool,
}

/// Why a change can't be made, in words that an administrator can act on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeFault {
    /// The set would be too small.
    #[error("{left} validators would be left, parameters.min_validators is {least}")]
    TooFew {
        /// How many would be left.
        left: usize,
        /// How many must be.
        least: u32,
    },
    /// The set would be too large.
    #[error("there would be {found} {what}, {limit} is the most")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// Nobody has this name.
    #[error("no validator is called {name:?}")]
    NoSuchValidator {
        /// The name.
        name: String,
    },
    /// Nobody has this key.
    #[error("the key {key} is that of no {what}")]
    NoSuchKey {
        /// The key.
        key: PublicKey,
        /// Of whom it should be.
        what: &'static str,
    },
    /// It wouldn't be the only one.
    #[error("{what} {value} is another validator's already")]
    Taken {
        /// What.
        what: &'static str,
        /// Its value.
        value: String,
    },
    /// A name, an address or a key isn't one.
    #[error("{what} {value:?} {rule}")]
    Unusable {
        /// What.
        what: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
    /// No parameter has this name.
    #[error("there is no parameter {name:?}")]
    NoSuchParameter {
        /// The name.
        name: String,
    },
    /// The cluster has convicted whoever owns this key.
    #[error("the owner of the consensus key {key} is convicted; it comes back with another key")]
    Convicted {
        /// The key.
        key: PublicKey,
    },
    /// A parameter that stays as it is.
    #[error("{name} stays as the genesis says: what it promised about operations that are on their way would not hold")]
    Fixed {
        /// Its name.
        name: String,
    },
    /// A value, or a combination of values, that the protocol can't run with.
    #[error(transparent)]
    Parameter(#[from] ParameterFault),
}

impl EpochDefinition {
    /// The epoch that follows this one, from the end of `start` on, when `changes` take effect together, in their
    /// order. Learners of this epoch that were leaving have left.
    ///
    /// # Errors
    /// The first change that can't be made, or what the changes together would break.
    pub fn after(&self, changes: &[SetChange], start: Sequence) -> Result<Self, ChangeFault> {
        let mut next = self.clone();
        next.epoch = self.epoch.next();
        next.start = start;
        next.learners.retain(|learner| learner.role != LearnerRole::Leaving);
        for change in changes {
            next.apply(change)?;
        }
        next.check()?;
        next.forget_bars();
        Ok(next)
    }

    /// Whether a bar of this key would say anything: it is a validator's, or that of a learner that will be one.
    #[must_use]
    pub fn may_lead(&self, key: &PublicKey) -> bool {
        let joins = |learner: &Learner| matches!(learner.role, LearnerRole::Joining { .. });
        self.validator_with(key).is_some() || self.learner_with(key).is_some_and(joins)
    }

    /// Bars of those who have left go with them.
    fn forget_bars(&mut self) {
        let mut barred = std::mem::take(&mut self.barred);
        barred.retain(|key| self.may_lead(key));
        self.barred = barred;
    }

    fn apply(&mut self, change: &SetChange) -> Result<(), ChangeFault> {
        match change {
            SetChange::Add(new) => self.add(new),
            SetChange::Remove { name } => self.remove(name),
            SetChange::Parameter { name, .. } if FIXED.contains(&name.as_str()) => {
                Err(ChangeFault::Fixed { name: name.clone() })
            }
            SetChange::Parameter { name, value } => {
                let fault = ChangeFault::NoSuchParameter { name: name.clone() };
                *self.parameters.named(name).ok_or(fault)? = *value;
                Ok(())
            }
            SetChange::Ready { validator, incarnation } => self.promote(validator, *incarnation),
            SetChange::Rejoin { validator, incarnation } => {
                let fault = ChangeFault::NoSuchKey { key: *validator, what: "validator" };
                let found = self.validators.iter_mut().find(|info| info.consensus_key == *validator);
                found.ok_or(fault)?.incarnation = *incarnation;
                Ok(())
            }
            SetChange::Bar { validator } => {
                if !self.barred.contains(validator) {
                    self.barred.push(*validator);
                }
                Ok(())
            }
            SetChange::Evict { validator } => self.evict(validator),
        }
    }

    fn add(&mut self, new: &NewValidator) -> Result<(), ChangeFault> {
        let NewValidator { name, consensus_key, network_key, peer_address, replaces } = new;
        let unusable = |what, value: String, rule| Err(ChangeFault::Unusable { what, value, rule });
        if !is_name(name) {
            return unusable("name", name.clone(), "must have 1 to 64 lower-case letters, digits, '-' and '_'");
        }
        if peer_address.len() > MAX_ADDRESS_BYTES || !is_address(peer_address) {
            return unusable("peer address", peer_address.clone(), "must be host:port");
        }
        for (what, key) in [("consensus key", consensus_key), ("network key", network_key)] {
            if admit_validator_key(key).is_err() {
                return unusable(what, key.to_string(), "must be an ed25519 key that isn't weak");
            }
        }
        let old = self.validators.iter().find(|info| info.name == *name).map(|info| info.consensus_key);
        let replaces = match (replaces, old) {
            (true, None) => return Err(ChangeFault::NoSuchValidator { name: name.clone() }),
            (true, Some(key)) => Some(key),
            (false, _) => None,
        };
        // The nonce of its store comes with its word that it is ready.
        let info = ValidatorInfo {
            name: name.clone(),
            consensus_key: *consensus_key,
            network_key: *network_key,
            incarnation: [0; 32],
            peer_address: peer_address.clone(),
        };
        self.learners.push(Learner { info, role: LearnerRole::Joining { replaces } });
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), ChangeFault> {
        let is_named = |info: &ValidatorInfo| info.name == name;
        let learners = self.learners.len();
        // One that was to take a validator's place is given up alone: the validator stays.
        self.learners.retain(|learner| learner.role == LearnerRole::Leaving || !is_named(&learner.info));
        if self.learners.len() < learners {
            return Ok(());
        }
        let Some(at) = self.validators.iter().position(is_named) else {
            return Err(ChangeFault::NoSuchValidator { name: name.to_owned() });
        };
        let info = self.validators.remove(at);
        self.learners.push(Learner { info, role: LearnerRole::Leaving });
        Ok(())
    }

    /// A validator leaves by its key. Who was to take its place with new keys joins as any other.
    fn evict(&mut self, key: &PublicKey) -> Result<(), ChangeFault> {
        let Some(at) = self.validators.iter().position(|info| info.consensus_key == *key) else {
            return Err(ChangeFault::NoSuchKey { key: *key, what: "validator" });
        };
        for learner in &mut self.learners {
            if learner.role == (LearnerRole::Joining { replaces: Some(*key) }) {
                learner.role = LearnerRole::Joining { replaces: None };
            }
        }
        let info = self.validators.remove(at);
        self.learners.push(Learner { info, role: LearnerRole::Leaving });
        Ok(())
    }

    /// A joining learner becomes a validator: in the place of the one that it replaces, or after all others.
    fn promote(&mut self, key: &PublicKey, incarnation: [u8; 32]) -> Result<(), ChangeFault> {
        let joins = |learner: &Learner| {
            learner.info.consensus_key == *key && matches!(learner.role, LearnerRole::Joining { .. })
        };
        let Some(at) = self.learners.iter().position(joins) else {
            return Err(ChangeFault::NoSuchKey { key: *key, what: "learner that joins" });
        };
        let Learner { info, role } = self.learners.remove(at);
        let info = ValidatorInfo { incarnation, ..info };
        let LearnerRole::Joining { replaces: Some(old) } = role else {
            self.validators.push(info);
            return Ok(());
        };
        let fault = ChangeFault::NoSuchKey { key: old, what: "validator" };
        let place = self.validators.iter_mut().find(|info| info.consensus_key == old).ok_or(fault)?;
        let info = std::mem::replace(place, info);
        self.learners.push(Learner { info, role: LearnerRole::Leaving });
        Ok(())
    }

    /// What must hold of every definition.
    fn check(&self) -> Result<(), ChangeFault> {
        let (validators, learners) = (self.validators.len(), self.learners.len());
        for (what, found, limit) in
            [("validators", validators, MAX_VALIDATORS - MAX_LEARNERS), ("learners", learners, MAX_LEARNERS)]
        {
            if found > limit {
                return Err(ChangeFault::TooMany { what, found, limit });
            }
        }
        self.parameters.check()?;
        let least = self.parameters.min_validators;
        if validators < (least as usize).max(1) {
            return Err(ChangeFault::TooFew { left: validators, least });
        }
        self.check_distinct()
    }

    fn check_distinct(&self) -> Result<(), ChangeFault> {
        let (mut names, mut keys, mut addresses) = (Vec::new(), Vec::new(), Vec::new());
        let everyone = self.validators.iter().chain(self.learners.iter().map(|learner| &learner.info));
        for (at, info) in everyone.enumerate() {
            let role = self.learners.get(at.wrapping_sub(self.validators.len())).map(|learner| learner.role);
            keys.extend([("key", info.consensus_key.to_string()), ("key", info.network_key.to_string())]);
            // Whoever leaves goes on under its old name and address, which may be another's by then; so does whoever
            // takes another's place, under the name of that one.
            if role != Some(LearnerRole::Leaving) {
                let replaces = matches!(role, Some(LearnerRole::Joining { replaces: Some(_) }));
                names.push(("name", format!("{}{}", info.name, if replaces { " (new keys)" } else { "" })));
                addresses.push(("peer address", info.peer_address.clone()));
            }
        }
        for mut values in [names, keys, addresses] {
            values.sort_unstable();
            if let Some([(what, value), _]) = values.array_windows().find(|[one, next]| one == next) {
                return Err(ChangeFault::Taken { what, value: value.clone() });
            }
        }
        Ok(())
    }
}

impl SetChange {
    /// Whether it says the same as another of the same validator, and the later one counts alone.
    #[must_use]
    pub fn supersedes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ready { validator, .. }, Self::Ready { validator: before, .. })
            | (Self::Rejoin { validator, .. }, Self::Rejoin { validator: before, .. }) => validator == before,
            _ => false,
        }
    }

    /// Whether it follows from a conviction, and nobody asked for it.
    #[must_use]
    pub const fn follows_from_proof(&self) -> bool {
        matches!(self, Self::Bar { .. } | Self::Evict { .. })
    }
}

impl std::fmt::Display for SetChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Add(new) if new.replaces => write!(f, "give {} the consensus key {}", new.name, new.consensus_key),
            Self::Add(new) => write!(f, "add {} at {}", new.name, new.peer_address),
            Self::Remove { name } => write!(f, "remove {name}"),
            Self::Parameter { name, value } => write!(f, "set {name} to {value}"),
            Self::Ready { validator, .. } => write!(f, "{validator} is ready"),
            Self::Rejoin { validator, .. } => write!(f, "{validator} comes back"),
            Self::Bar { validator } => write!(f, "{validator} is convicted and leads no more"),
            Self::Evict { validator } => write!(f, "{validator} is convicted and leaves"),
        }
    }
}

impl Canonical for SetChange {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Add(new) => {
                out.push(1);
                new.encode(out);
            }
            Self::Remove { name } => {
                out.push(2);
                encode_bytes(name.as_bytes(), out);
            }
            Self::Parameter { name, value } => {
                out.push(3);
                encode_bytes(name.as_bytes(), out);
                value.encode(out);
            }
            Self::Ready { validator, incarnation } => {
                out.push(4);
                validator.encode(out);
                Digest::new(*incarnation).encode(out);
            }
            Self::Rejoin { validator, incarnation } => {
                out.push(5);
                validator.encode(out);
                Digest::new(*incarnation).encode(out);
            }
            Self::Bar { validator } => {
                out.push(6);
                validator.encode(out);
            }
            Self::Evict { validator } => {
                out.push(7);
                validator.encode(out);
            }
        }
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let owner = |input: &mut Reader<'_>| Ok((PublicKey::decode(input)?, *Digest::decode(input)?.as_bytes()));
        match input.u8()? {
            1 => NewValidator::decode(input).map(|new| Self::Add(Box::new(new))),
            2 => Ok(Self::Remove { name: text(input, MAX_KIND_BYTES, "name of a validator")? }),
            3 => {
                let name = text(input, MAX_PARAMETER_BYTES, "name of a parameter")?;
                Ok(Self::Parameter { name, value: u32::decode(input)? })
            }
            4 => owner(input).map(|(validator, incarnation)| Self::Ready { validator, incarnation }),
            5 => owner(input).map(|(validator, incarnation)| Self::Rejoin { validator, incarnation }),
            6 => PublicKey::decode(input).map(|validator| Self::Bar { validator }),
            7 => PublicKey::decode(input).map(|validator| Self::Evict { validator }),
            value => Err(DecodeError::Unknown { what: "change of a validator set", value }),
        }
    }
}

impl Canonical for NewValidator {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_bytes(self.name.as_bytes(), out);
        self.consensus_key.encode(out);
        self.network_key.encode(out);
        encode_bytes(self.peer_address.as_bytes(), out);
        self.replaces.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            name: text(input, MAX_KIND_BYTES, "name of a validator")?,
            consensus_key: PublicKey::decode(input)?,
            network_key: PublicKey::decode(input)?,
            peer_address: text(input, MAX_ADDRESS_BYTES, "address of a validator")?,
            replaces: bool::decode(input)?,
        })
    }
}
