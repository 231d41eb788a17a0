//! One operation from flags.

use std::path::PathBuf;

use anyhow::{Context, anyhow, bail, ensure};
use clap::{Args, Subcommand};
use quorate_client::{Accepted, Client, ClientFault, Reason, Rejected};
use quorate_types::ids::OperationId;
use quorate_types::operation::{Change, Condition, EntityId, Guard, Operation, Path};
use quorate_types::promise::Promise;
use quorate_types::signed::Signed;

use super::draft::{self, Draft};
use crate::connect::{AuthorArgs, ClusterArgs};
use crate::{Interrupted, files, json, promise, receipt};

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

    /// Waits for no receipt, but for the validator's promise to order the operation, and keeps it as a file;
    /// `quorate promise check` holds it to that
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "receipt")]
    promise: Option<PathBuf>,

    /// Prints the receipt, or the promise, as JSON
    #[arg(long, global = true)]
    json: bool,
}

/// What to change.
#[derive(Subcommand, Debug)]
pub(super) enum ChangeCommand {
    /// Makes an entity; a document or register with its content, a counter or set with its first
    Create {
        /// The entity as KIND/ID
        entity: String,
        /// Its first value as JSON
        value: Option<String>,
    },
    /// Replaces a document or a register, or makes it
    Put {
        /// The document or register as KIND/ID
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
    /// Adds a member to a set
    Insert {
        /// The set as KIND/ID
        entity: String,
        /// The member as JSON
        value: String,
    },
    /// Removes a member from a set
    Remove {
        /// The set as KIND/ID
        entity: String,
        /// The member as JSON
        value: String,
    },
    /// Adds to what an inventory has available; administrators only
    Restock {
        /// The inventory as KIND/ID
        entity: String,
        /// How much
        amount: u64,
    },
    /// Sets an amount of what an inventory has available aside
    Reserve {
        /// The inventory as KIND/ID
        entity: String,
        /// How much
        amount: u64,
    },
    /// Makes an amount of what is reserved available again
    Release {
        /// The inventory as KIND/ID
        entity: String,
        /// How much
        amount: u64,
    },
    /// Takes an amount of what is reserved out of an inventory
    Take {
        /// The inventory as KIND/ID
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
            Self::Insert { entity, value } => (entity, Change::Insert { value: json::parse(value)? }),
            Self::Remove { entity, value } => (entity, Change::Remove { value: json::parse(value)? }),
            Self::Restock { entity, amount } => (entity, Change::Restock { amount: *amount }),
            Self::Reserve { entity, amount } => (entity, Change::Reserve { amount: *amount }),
            Self::Release { entity, amount } => (entity, Change::Release { amount: *amount }),
            Self::Take { entity, amount } => (entity, Change::Take { amount: *amount }),
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
        for path in self.receipt.iter().chain(&self.promise) {
            files::admit_new(path)?;
        }
        let mut draft = change.draft()?;
        draft.guards = self.guards()?;
        draft.parents = self.parent.iter().map(|text| operation_id(text)).collect::<Result<_, _>>()?;
        let client = cluster.client()?;
        let mut signer = author.signer(&client).await?;
        let builder = signer.draft(author.lifetime_ms())?;
        let operation = signer.sign(draft.build(builder))?;
        let (id, genesis) = (operation.id(), client.genesis());
        if let Err(fault) = operation.admit(&genesis.content.parameters, &genesis.cluster) {
            signer.forget(operation.nonce());
            return Err(fault).context("beyond the cluster's limits");
        }
        let accepted = tokio::select! {
            accepted = self.submit(&client, &operation) => accepted,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.context("waiting for Ctrl-C")?;
                return Err(Interrupted { id }.into());
            }
        };
        let count = author.nonces_path(client.cluster());
        match accepted.map_err(|fault| unanswered(id, fault, &count))? {
            Accepted::Promised(promise) => self.keep_promise(&client, &promise),
            Accepted::Executed(verified, proof) => {
                signer.settle(&operation);
                receipt::print(&verified, self.json);
                if let Some(path) = &self.receipt {
                    receipt::keep(&verified, &proof, path)?;
                }
                Rejected::unless_applied(*verified)?;
                Ok(())
            }
        }
    }

    /// Waits for a promise, or else for the receipt.
    async fn submit(&self, client: &Client, operation: &Operation) -> Result<Accepted, ClientFault> {
        if self.promise.is_some() {
            return client.submit_accepted(operation).await;
        }
        let (verified, proof) = client.submit_with_proof(operation).await?;
        Ok(Accepted::Executed(Box::new(verified), proof))
    }

    /// The nonce stays open until somebody asks for the receipt: the operation may still execute.
    fn keep_promise(&self, client: &Client, promise: &Signed<Promise>) -> anyhow::Result<()> {
        if self.json {
            println!("{}", promise::promise_json(promise));
        } else {
            promise::print(client, promise);
        }
        self.promise.as_ref().map_or(Ok(()), |path| promise::keep(promise, path))
    }

    /// Refuses what a file of operations has no use for.
    pub(super) fn admit_unused(&self) -> anyhow::Result<()> {
        let conditions = [&self.if_exists, &self.if_absent, &self.if_version, &self.if_value, &self.if_last];
        let is_used = conditions.into_iter().chain([&self.parent]).any(|given| !given.is_empty());
        ensure!(
            !is_used && self.receipt.is_none() && self.promise.is_none() && !self.json,
            "--if-..., --parent, --receipt, --promise and --json are for a single operation; a line of the file names guards and \
             parents itself"
        );
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

/// Why a submission ended without a receipt, and what to do.
fn unanswered(id: OperationId, fault: ClientFault, count: &std::path::Path) -> anyhow::Error {
    if fault.is_passing() {
        let text = format!("operation {id} has no receipt; `quorate receipt get {id} --wait` asks for it");
        return anyhow::Error::new(fault).context(text);
    }
    let advice = match fault.reason() {
        Some(Reason::NonceTooFar) => format!(
            "; the count in {} is too far ahead of the cluster; remove that file, and the cluster is asked where to go \
             on",
            count.display()
        ),
        _ => String::new(),
    };
    anyhow!("operation {id} was refused: {fault}{advice}")
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
    use quorate_client::ApiFault;
    use quorate_crypto::Digest;
    use quorate_types::value::Value;

    use super::*;

    #[test]
    fn only_what_may_still_execute_is_to_be_asked_for_again() {
        let words = |reason| {
            let id = OperationId(Digest::new([7; 32]));
            let fault = ClientFault::Api(ApiFault::new(reason, "why"));
            format!("{:#}", unanswered(id, fault, "author.key.nonces".as_ref()))
        };
        for reason in [Reason::ExpiresTooFar, Reason::OtherCluster, Reason::NonceTooFar] {
            assert!(words(reason).contains("was refused: ") && !words(reason).contains("--wait"), "{}", words(reason));
        }
        assert!(words(Reason::Timeout).contains("--wait"));
        assert!(words(Reason::NonceTooFar).contains("author.key.nonces is too far ahead"));
    }

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
