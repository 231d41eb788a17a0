//! One operation from flags.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use quorate_client::Rejected;
use quorate_types::ids::OperationId;
use quorate_types::operation::{Change, Condition, EntityId, Guard, Path};

use super::draft::{self, Draft};
use crate::connect::{AuthorArgs, ClusterArgs};
use crate::files::{self, Readers};
use crate::{json, receipt};

/// Conditions, and what to do with the receipt.
#[derive(Args, Debug)]
pub(super) struct SingleArgs {
    /// Only if this entity exists; may be repeated
    #[arg(long, value_name = "KIND/ID", global = true)]
    if_exists: Vec<String>,

    /// Only if this entity doesn't exist; may be repeated
    #[arg(long, value_name = "KIND/ID", global = true)]
    if_absent: Vec<String>,

    /// Only if an entity has this version; may be repeated
    #[arg(long, value_name = "KIND/ID=VERSION", global = true)]
    if_version: Vec<String>,

    /// Only if an entity has this value at a path, such as document/a#/x=5; may be repeated
    #[arg(long, value_name = "KIND/ID#PATH=JSON", global = true)]
    if_value: Vec<String>,

    /// Only if this operation was the last applied to an entity; may be repeated
    #[arg(long, value_name = "KIND/ID=OPERATION", global = true)]
    if_last: Vec<String>,

    /// An operation that must execute before; may be repeated
    #[arg(long, value_name = "OPERATION", global = true)]
    parent: Vec<String>,

    /// Where to keep the receipt, as a file that verifies offline
    #[arg(long, value_name = "FILE", global = true)]
    receipt: Option<PathBuf>,

    /// Prints the receipt as JSON
    #[arg(long, global = true)]
    json: bool,
}

/// What to change.
#[derive(Subcommand, Debug)]
pub(super) enum ChangeCommand {
    /// Makes an entity, with a value if it is a document or counter
    Create {
        /// The entity as KIND/ID
        entity: String,
        /// Its first value as JSON
        value: Option<String>,
    },
    /// Replaces a document, or makes it
    Put {
        /// The document as KIND/ID
        entity: String,
        /// Its content as JSON
        value: String,
    },
    /// Removes an entity
    Delete {
        /// The entity as KIND/ID
        entity: String,
    },
    /// Writes a value at a path of a document
    Set {
        /// The document as KIND/ID
        entity: String,
        /// Where, such as /versions/0/size
        path: String,
        /// What, as JSON
        value: String,
    },
    /// Removes what is at a path of a document
    Unset {
        /// The document as KIND/ID
        entity: String,
        /// Where
        path: String,
    },
    /// Adds to the integer at a path of a document
    Increment {
        /// The document as KIND/ID
        entity: String,
        /// Where
        path: String,
        /// How much
        #[arg(allow_negative_numbers = true)]
        by: i64,
    },
    /// Appends to the list at a path of a document
    Push {
        /// The document as KIND/ID
        entity: String,
        /// Where the list is
        path: String,
        /// What, as JSON
        value: String,
    },
    /// Removes all equal members from the list at a path of a document
    Pull {
        /// The document as KIND/ID
        entity: String,
        /// Where the list is
        path: String,
        /// What, as JSON
        value: String,
    },
    /// Adds to a counter
    Add {
        /// The counter as KIND/ID
        entity: String,
        /// How much
        #[arg(allow_negative_numbers = true)]
        by: i64,
    },
    /// Moves an amount from an account to another of the same kind
    Transfer {
        /// The giving account as KIND/ID
        entity: String,
        /// The id of the receiving account
        to: String,
        /// How much
        amount: u64,
    },
    /// Makes an amount out of nothing; administrators only
    Mint {
        /// The account as KIND/ID
        entity: String,
        /// How much
        amount: u64,
    },
    /// Destroys an amount; administrators only
    Burn {
        /// The account as KIND/ID
        entity: String,
        /// How much
        amount: u64,
    },
}

impl ChangeCommand {
    fn draft(&self) -> anyhow::Result<Draft> {
        let (entity, change) = match self {
            Self::Create { entity, value } => {
                (entity, Change::Create { value: value.as_deref().map(json::parse).transpose()? })
            }
            Self::Put { entity, value } => (entity, Change::Put { value: json::parse(value)? }),
            Self::Delete { entity } => (entity, Change::Delete),
            Self::Set { entity, path, value } => {
                (entity, Change::Set { path: self::path(path)?, value: json::parse(value)? })
            }
            Self::Unset { entity, path } => (entity, Change::Unset { path: self::path(path)? }),
            Self::Increment { entity, path, by } => (entity, Change::Increment { path: self::path(path)?, by: *by }),
            Self::Push { entity, path, value } => {
                (entity, Change::Push { path: self::path(path)?, value: json::parse(value)? })
            }
            Self::Pull { entity, path, value } => {
                (entity, Change::Pull { path: self::path(path)?, value: json::parse(value)? })
            }
            Self::Add { entity, by } => (entity, Change::Add { by: *by }),
            Self::Transfer { entity, to, amount } => (entity, Change::Transfer { to: to.clone(), amount: *amount }),
            Self::Mint { entity, amount } => (entity, Change::Mint { amount: *amount }),
            Self::Burn { entity, amount } => (entity, Change::Burn { amount: *amount }),
        };
        Ok(Draft::of(draft::entity(entity)?, change))
    }
}

impl SingleArgs {
    pub(super) async fn run(
        &self,
        change: &ChangeCommand,
        cluster: &ClusterArgs,
        author: &AuthorArgs,
    ) -> anyhow::Result<()> {
        let mut draft = change.draft()?;
        draft.guards = self.guards()?;
        draft.parents = self.parent.iter().map(|text| operation_id(text)).collect::<Result<_, _>>()?;
        let client = cluster.client()?;
        let mut signer = author.signer(&client).await?;
        let builder = signer.draft(author.lifetime_ms())?;
        let operation = signer.sign(draft.build(builder))?;
        let genesis = client.genesis();
        operation.admit(&genesis.content.parameters, &genesis.cluster).context("beyond the cluster's limits")?;
        let submitted = client.submit_with_proof(&operation).await;
        let (verified, proof) = submitted.with_context(|| {
            format!("operation {} has no receipt; `quorate receipt get {0} --wait` asks for it", operation.id())
        })?;
        signer.settle(&operation);
        if let Some(path) = &self.receipt {
            files::create(path, &proof, Readers::All)?;
        }
        receipt::print(&verified, self.json);
        Rejected::unless_applied(verified)?;
        Ok(())
    }

    fn guards(&self) -> anyhow::Result<Vec<Guard>> {
        let simple = |names: &[String], condition: Condition| {
            let guard = |name: &String| Ok(Guard { entity: draft::entity(name)?, condition: condition.clone() });
            names.iter().map(guard).collect::<anyhow::Result<Vec<_>>>()
        };
        let mut guards = simple(&self.if_exists, Condition::Exists)?;
        guards.extend(simple(&self.if_absent, Condition::Absent)?);
        for text in &self.if_version {
            let (entity, version) = assigned(text, "--if-version KIND/ID=VERSION")?;
            let version = version.parse().with_context(|| format!("{version:?} is no version"))?;
            guards.push(Guard { entity, condition: Condition::Version(version) });
        }
        for text in &self.if_last {
            let (entity, id) = assigned(text, "--if-last KIND/ID=OPERATION")?;
            guards.push(Guard { entity, condition: Condition::Last(operation_id(id)?) });
        }
        for text in &self.if_value {
            guards.push(value_guard(text)?);
        }
        Ok(guards)
    }
}

/// Splits at the last equals sign: an id may hold one, a version or an operation's id doesn't.
fn assigned<'a>(text: &'a str, form: &str) -> anyhow::Result<(EntityId, &'a str)> {
    let Some((entity, value)) = text.rsplit_once('=') else { bail!("{text:?} has no '='; write {form}") };
    Ok((draft::entity(entity)?, value))
}

fn value_guard(text: &str) -> anyhow::Result<Guard> {
    let split = text.split_once('#').and_then(|(entity, rest)| Some((entity, rest.split_once('=')?)));
    let Some((entity, (path, value))) = split else {
        bail!("{text:?} is no condition on a value; write --if-value KIND/ID#PATH=JSON, such as document/a#/x=5");
    };
    let condition = Condition::ValueAt { path: self::path(path)?, value: json::parse(value)? };
    Ok(Guard { entity: draft::entity(entity)?, condition })
}

fn path(text: &str) -> anyhow::Result<Path> {
    text.parse().with_context(|| format!("the path {text:?}"))
}

fn operation_id(text: &str) -> anyhow::Result<OperationId> {
    Ok(OperationId(text.parse().with_context(|| format!("{text:?} is no operation's id"))?))
}

#[cfg(test)]
mod tests {
    use quorate_types::value::Value;

    use super::*;

    #[test]
    fn conditions_are_read_from_flags() {
        let guard = value_guard("document/a#/x/0=\"=\"").unwrap();
        let path = Path(vec!["x".to_owned(), "0".to_owned()]);
        assert_eq!(guard.condition, Condition::ValueAt { path, value: Value::Text("=".to_owned()) });
        assert_eq!(guard.entity, EntityId::new("document", "a"));
        assert_eq!(assigned("document/a=b=7", "").unwrap(), (EntityId::new("document", "a=b"), "7"));
        for wrong in ["document/a", "document/a#x=5", "document/a#/x", "a#/x=5"] {
            assert!(value_guard(wrong).is_err(), "{wrong}");
        }
    }
}
