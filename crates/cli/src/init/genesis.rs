//! What a new cluster's genesis says beside its validators: name, kinds, parameters, administrators.

use std::collections::BTreeSet;

use anyhow::{Context, bail, ensure};
use clap::Args;
use quorate_crypto::{PublicKey, SecretKey, sha256};
use quorate_types::genesis::{Administrators, Genesis, GenesisContent, GenesisValidator, nearest};
use quorate_types::kind::{Access, Consistency, EntityType, Kind, Right};
use quorate_types::parameters::Parameters;
use quorate_types::set::ValidatorInfo;

/// The name of a cluster that was given none.
pub(super) const NAME: &str = "quorate";

/// Kinds of a cluster for which none are named: one of each type, and what `quorate import` needs.
const KINDS: [&str; 5] =
    ["document:document", "counter:counter", "account:account", "package:document", "timezone:document"];

/// What holds in the new cluster.
#[derive(Args, Clone, Debug, Default)]
pub struct Rules {
    /// The cluster's name, for people
    #[arg(long, value_name = "NAME", default_value = NAME)]
    pub name: String,

    /// A kind of entities as NAME:TYPE, the type being document, counter, account, overdraft-account, register,
    /// set or inventory; may be repeated [default: document, counter, account, and what `quorate import` needs]
    #[arg(long = "kind", value_name = "NAME:TYPE")]
    pub kinds: Vec<String>,

    /// The public key of someone who may create and change entities; may be repeated [default: anyone]
    #[arg(long = "author", value_name = "KEY")]
    pub authors: Vec<PublicKey>,

    /// The public key of an administrator, who may also mint and burn; may be repeated [default: a key made
    /// here]
    #[arg(long = "administrator", value_name = "KEY")]
    pub administrators: Vec<PublicKey>,

    /// How many administrators must agree on a change [default: more than half]
    #[arg(long, value_name = "N")]
    pub threshold: Option<usize>,

    /// A protocol parameter as NAME=VALUE (docs/parameters.md); may be repeated
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    pub parameters: Vec<String>,
}

impl Rules {
    /// The genesis of a cluster of `validators` and `administrators`, as the file's text and checked.
    ///
    /// # Errors
    /// What is wrong with a rule, or with the whole.
    pub fn genesis(
        &self,
        validators: Vec<GenesisValidator>,
        administrators: Vec<PublicKey>,
    ) -> anyhow::Result<(String, Genesis)> {
        let threshold = self.threshold.unwrap_or(administrators.len() / 2 + 1);
        let content = GenesisContent {
            name: self.name.clone(),
            validators,
            kinds: self.kinds(&administrators)?,
            administrators: Administrators { threshold, keys: administrators },
            parameters: Parameters::default(),
        };
        let text = self.with_parameters(content.to_toml())?;
        let genesis = Genesis::parse(text.as_bytes()).context("the genesis would not be valid")?;
        Ok((text, genesis))
    }

    /// Whether the genesis would be valid with validators of these names and addresses: said before anything is
    /// made.
    ///
    /// # Errors
    /// As [`Rules::genesis`].
    pub(super) fn admit<'a>(&self, sites: impl Iterator<Item = (&'a str, String)>) -> anyhow::Result<()> {
        let made_up =
            |what: &str, name: &str| SecretKey::from_seed(*sha256(&[what.as_bytes(), name.as_bytes()]).as_bytes());
        let validator = |(name, peer_address): (&str, String)| GenesisValidator {
            info: ValidatorInfo {
                name: name.to_owned(),
                consensus_key: made_up("consensus", name).public(),
                network_key: made_up("network", name).public(),
                incarnation: *sha256(&[b"incarnation", name.as_bytes()]).as_bytes(),
                peer_address,
            },
            client_address: None,
        };
        let mut administrators = self.administrators.clone();
        if administrators.is_empty() {
            administrators.push(made_up("administrator", "").public());
        }
        self.genesis(sites.map(validator).collect(), administrators).map(drop)
    }

    /// Whether nothing was wished for.
    pub(super) fn is_empty(&self) -> bool {
        let Self { name, kinds, authors, administrators, threshold, parameters } = self;
        let is_named = !name.is_empty() && name != NAME;
        let has_keys = !authors.is_empty() || !administrators.is_empty() || threshold.is_some();
        !is_named && !has_keys && kinds.is_empty() && parameters.is_empty()
    }

    fn kinds(&self, administrators: &[PublicKey]) -> anyhow::Result<Vec<Kind>> {
        let named: Vec<&str> = self.kinds.iter().map(String::as_str).collect();
        let named = if named.is_empty() { KINDS.to_vec() } else { named };
        named.into_iter().map(|text| self.kind(text, administrators)).collect()
    }

    /// The kind that `text`, NAME:TYPE, stands for.
    ///
    /// # Errors
    /// If there is no such type.
    pub(crate) fn kind(&self, text: &str, administrators: &[PublicKey]) -> anyhow::Result<Kind> {
        let Some((name, type_name)) = text.split_once(':') else {
            bail!("the kind {text:?} has no type; write it as NAME:TYPE, such as invoice:document");
        };
        let entity_type = match type_name {
            "document" => EntityType::Document,
            "counter" => EntityType::Counter,
            "account" => EntityType::Account { overdraft: false },
            "overdraft-account" => EntityType::Account { overdraft: true },
            "register" => EntityType::Register,
            "set" => EntityType::Set,
            "inventory" => EntityType::Inventory,
            _ => bail!(
                "the type of the kind {text:?} isn't one of document, counter, account, overdraft-account, register, \
                 set and inventory"
            ),
        };
        let mut access = Access::open(administrators.iter().copied());
        if !self.authors.is_empty() {
            let authors: BTreeSet<PublicKey> = self.authors.iter().chain(administrators).copied().collect();
            access.create = Right::Keys(authors.clone());
            access.write = Right::Keys(authors);
        }
        Ok(Kind { name: name.to_owned(), consistency: Consistency::Strong, entity_type, schema: None, access })
    }

    /// Sets parameters in the file's text, where each stands on a line of its own.
    fn with_parameters(&self, text: String) -> anyhow::Result<String> {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for assignment in &self.parameters {
            let (name, value) = assignment.split_once('=').with_context(|| {
                format!("the parameter {assignment:?} has no value; write it as NAME=VALUE, such as drift_ms=250")
            })?;
            let (name, value) = (name.trim(), value.trim());
            let known = Parameters::TABLE.iter().map(|info| info.name);
            if !known.clone().any(|known| known == name) {
                let meant =
                    nearest(name, known).map_or_else(|| ".".to_owned(), |known| format!("; did you mean {known}?"));
                bail!("there is no parameter {name}{meant} All are in docs/parameters.md");
            }
            ensure!(value.parse::<u32>().is_ok(), "the parameter {name} is {value:?}; it must be a whole number");
            let start = format!("{name} = ");
            if let Some(line) = lines.iter_mut().find(|line| line.starts_with(&start)) {
                *line = format!("{start}{value}");
            }
        }
        Ok(lines.join("\n") + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::{debian, zones};

    fn key(seed: u8) -> PublicKey {
        SecretKey::from_seed([seed; 32]).public()
    }

    fn genesis(rules: &Rules) -> anyhow::Result<Genesis> {
        let info = ValidatorInfo {
            name: "v0".to_owned(),
            consensus_key: key(1),
            network_key: key(2),
            incarnation: [3; 32],
            peer_address: "127.0.0.1:7000".to_owned(),
        };
        let validators = vec![GenesisValidator { info, client_address: None }];
        Ok(rules.genesis(validators, vec![key(9)])?.1)
    }

    fn rules() -> Rules {
        Rules { name: "test".to_owned(), ..Rules::default() }
    }

    #[test]
    fn a_genesis_without_further_wishes_has_the_kinds_that_the_importer_needs() {
        let genesis = genesis(&rules()).unwrap();
        for kind in [debian::KIND, zones::KIND, "document", "counter", "account"] {
            assert!(genesis.kinds().kind(kind).is_some(), "{kind}");
        }
        assert_eq!(genesis.content.parameters, Parameters::default());
    }

    #[test]
    fn parameters_and_kinds_are_set_by_name() {
        let wishes = Rules {
            kinds: vec!["purse:overdraft-account".to_owned()],
            parameters: vec!["window=128".to_owned(), "checkpoint_interval = 32".to_owned()],
            authors: vec![key(4)],
            ..rules()
        };
        let genesis = genesis(&wishes).unwrap();
        let parameters = genesis.content.parameters;
        assert_eq!((parameters.window, parameters.checkpoint_interval), (128, 32));
        let kind = &genesis.content.kinds[0];
        assert_eq!(kind.entity_type, EntityType::Account { overdraft: true });
        assert!(kind.access.create.includes(&key(4)) && !kind.access.create.includes(&key(5)));
    }

    #[test]
    fn wrong_wishes_are_refused_by_name() {
        let parameter = |text: &str| Rules { parameters: vec![text.to_owned()], ..rules() };
        let kind = |text: &str| Rules { kinds: vec![text.to_owned()], ..rules() };
        for (rules, said) in [
            (parameter("windw=5"), "did you mean window?"),
            (parameter("wholly-other=5"), "there is no parameter wholly-other. All are in"),
            (parameter("window"), "NAME=VALUE"),
            (parameter("window=many"), "whole number"),
            (parameter("window=1"), "window"),
            (parameter("window=512"), "min_epoch_sequences"),
            (kind("purse"), "NAME:TYPE"),
            (kind("purse:text"), "document, counter"),
            (kind("Purse:counter"), "lower-case"),
        ] {
            let error = format!("{:#}", genesis(&rules).unwrap_err());
            assert!(error.contains(said), "{error}");
        }
    }
}
