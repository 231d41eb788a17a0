//! Who takes part: validators and clients with their keys, the cluster, and what all of them know.

use std::sync::Arc;

use quorate_crypto::{Digest, PublicKey, Scheme, SecretKey, sha256};
use quorate_types::genesis::Administrators;
use quorate_types::ids::{ClusterId, Epoch, Sequence, ValidatorIndex, View};
use quorate_types::kind::{Access, Consistency, EntityType, Kind, Kinds, Right};
use quorate_types::parameters::Parameters;
use quorate_types::set::{ValidatorInfo, ValidatorSet};
use quorate_types::verified::Context;

use super::plan::Target;
use super::settings::Settings;
use crate::dice::{Dice, Stream};

/// The cast of a run.
#[derive(Debug)]
pub struct Cast {
    /// What every message is judged against.
    pub context: Context,
    /// The kinds of entities.
    pub kinds: Kinds,
    /// Who may change the cluster: all clients, and an administrator who does nothing else, any one of them.
    pub administrators: Administrators,
    administrator: [u8; 32],
    /// Consensus keys, by validator.
    seeds: Vec<[u8; 32]>,
    /// Keys of the clients.
    clients: Vec<[u8; 32]>,
}

impl Cast {
    /// The cast that a seed and settings make.
    ///
    /// # Panics
    /// If the settings ask for no validator, or more than a set may have.
    #[must_use]
    pub fn new(seed: u64, settings: &Settings) -> Self {
        let mut dice = Dice::new(seed, Stream::Keys);
        let scheme =
            if settings.real_signatures { Scheme::Ed25519 } else { Scheme::StandIn(quorate_determinism::stand_in()) };
        let seeds: Vec<[u8; 32]> = (0..settings.validators).map(|_| dice.bytes()).collect();
        let clients: Vec<[u8; 32]> = (0..settings.workload.clients).map(|_| dice.bytes()).collect();
        let infos = seeds.iter().enumerate().map(|(index, seed)| info(index, secret(scheme, *seed).public())).collect();
        let set = ValidatorSet::new(infos).expect("settings name a possible number of validators");
        let cluster = ClusterId(sha256(&[b"simulated cluster", &seed.to_be_bytes()]));
        let administrators: Vec<PublicKey> = clients.iter().map(|seed| secret(scheme, *seed).public()).collect();
        let context = Context {
            cluster,
            scheme,
            epoch: Epoch(0),
            set: Arc::new(set),
            parameters: Arc::new(settings.protocol.parameters()),
            start: (Sequence::ZERO, cluster.0),
        };
        let kinds = kinds(&administrators);
        let administrator = *sha256(&[b"administrator", &seed.to_be_bytes()]).as_bytes();
        let mut administrators = Administrators { threshold: 1, keys: administrators };
        administrators.keys.push(secret(scheme, administrator).public());
        Self { context, kinds, administrators, administrator, seeds, clients }
    }

    /// How many validators.
    #[must_use]
    pub fn size(&self) -> u16 {
        u16::try_from(self.seeds.len()).unwrap_or(u16::MAX)
    }

    /// The parameters of the epoch.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.context.parameters
    }

    /// The consensus key of a validator: for its guard, and for the harness where it is Byzantine.
    ///
    /// # Panics
    /// If there is no such validator.
    #[must_use]
    pub fn key(&self, validator: u16) -> SecretKey {
        secret(self.context.scheme, self.seeds[usize::from(validator)])
    }

    /// The key of a client.
    ///
    /// # Panics
    /// If there is no such client.
    #[must_use]
    pub fn client_key(&self, client: u16) -> SecretKey {
        secret(self.context.scheme, self.clients[usize::from(client)])
    }

    /// The key of the administrator who is no client.
    #[must_use]
    pub fn administrator(&self) -> SecretKey {
        secret(self.context.scheme, self.administrator)
    }

    /// The nonce of a validator's first store (protocol §7.4).
    #[must_use]
    pub fn incarnation(validator: u16) -> [u8; 32] {
        incarnation(usize::from(validator))
    }

    /// The primary of a view.
    #[must_use]
    pub fn primary(&self, view: u64) -> u16 {
        self.context.set.primary(self.context.epoch, View(view)).0
    }

    /// Who is meant, in a cluster whose machines are in these views: the primary is that of the middle one.
    pub(crate) fn resolve(&self, target: Target, views: impl IntoIterator<Item = View>) -> u16 {
        match target {
            Target::Validator(validator) => validator,
            Target::Primary => {
                let mut views: Vec<View> = views.into_iter().collect();
                views.sort_unstable();
                self.primary(views[views.len() / 2].0)
            }
        }
    }

    /// The validators' indices.
    pub fn validators(&self) -> impl Iterator<Item = ValidatorIndex> + use<> {
        self.context.set.indices()
    }
}

fn secret(scheme: Scheme, seed: [u8; 32]) -> SecretKey {
    match scheme {
        Scheme::Ed25519 => SecretKey::from_seed(seed),
        Scheme::StandIn(token) => SecretKey::stand_in(seed, token),
    }
}

fn incarnation(validator: usize) -> [u8; 32] {
    *sha256(&[b"incarnation", &validator.to_be_bytes()]).as_bytes()
}

fn info(index: usize, consensus_key: PublicKey) -> ValidatorInfo {
    ValidatorInfo {
        name: format!("validator-{index}"),
        consensus_key,
        network_key: PublicKey::from_bytes(*Digest::new(incarnation(index)).as_bytes()),
        incarnation: incarnation(index),
        peer_address: format!("validator-{index}:1"),
    }
}

/// Kinds of each type that this version has.
fn kinds(administrators: &[PublicKey]) -> Kinds {
    let kind = |name: &str, entity_type| Kind {
        name: name.to_owned(),
        consistency: Consistency::Strong,
        entity_type,
        schema: None,
        access: Access {
            administer: Right::Keys(administrators.iter().copied().collect()),
            ..Access::open(administrators.iter().copied())
        },
    };
    Kinds::new([
        kind("counter", EntityType::Counter),
        kind("document", EntityType::Document),
        kind("account", EntityType::Account { overdraft: false }),
    ])
}
