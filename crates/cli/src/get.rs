//! `quorate get`: entities as a validator has executed them.

use std::path::PathBuf;

use anyhow::{bail, ensure};
use clap::{Args, ValueEnum};
use quorate_client::{Client, Consistency, Entity, Read, ReadToken};
use quorate_types::ids::Sequence;
use serde_json::{Value as Json, json};

use crate::connect::{self, ClusterArgs};
use crate::json;
use crate::paint;
use crate::proof;
use crate::submit::draft;

/// Entities on one page of a list.
const PAGE: u32 = 1_000;

/// Reads an entity, or lists the entities of a kind. One validator answers, without proof, unless the consistency
/// is `quorum`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quorate get document/greeting
  quorate get package/zlib1g:amd64 --json
  quorate get document/greeting --at-least 421     waits until sequence 421 is executed: read your own writes
  quorate get document/greeting --consistency linearizable
                                                   everything acknowledged before is in the answer
  quorate get document/greeting --consistency quorum
                                                   the same, proven, without trusting any single validator
  quorate get package --prefix lib --limit 20      a list")]
pub struct GetArgs {
    /// The entity as KIND/ID, or a kind, to list what it has
    name: String,

    /// Of a list, only ids that start with this
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,

    /// Of a list, at most so many
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,

    /// How fresh the answer must be, and whom to trust
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = Level::Local)]
    consistency: Level,

    /// Reads at this sequence or above
    #[arg(long, value_name = "SEQUENCE", conflicts_with_all = ["max_age_ms", "consistency"])]
    at_least: Option<u64>,

    /// Refuses an answer that may be older
    #[arg(long, value_name = "MS", default_value_t = 0)]
    max_age_ms: u64,

    /// The reader's key, where the kind restricts reading
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// Prints JSON, one entity on a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArgs,
}

/// How fresh an answer must be, and whom to trust (data-model §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// What one validator has executed, whatever that is
    Local,
    /// Everything acknowledged before is in it, on one validator's word
    Linearizable,
    /// As linearizable, with proof, trusting no single validator; of one entity only
    Quorum,
}

impl GetArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// If nobody answers, or there is no such entity.
    pub async fn run(self) -> anyhow::Result<()> {
        let client = self.cluster.client()?;
        let token = connect::read_token(&client, self.key.as_deref())?;
        if self.name.contains('/') {
            return self.one(&client, token.as_ref()).await;
        }
        self.list(&client, token.as_ref()).await
    }

    fn consistency(&self) -> Consistency {
        match self.at_least {
            Some(sequence) => Consistency::AtLeast(Sequence(sequence)),
            None if self.consistency == Level::Linearizable => Consistency::Linearizable,
            None => Consistency::Local { max_age_ms: self.max_age_ms },
        }
    }

    async fn one(&self, client: &Client, token: Option<&ReadToken>) -> anyhow::Result<()> {
        let entity = draft::entity(&self.name)?;
        if self.consistency == Level::Quorum {
            let read = client.read_quorum(&entity, token).await?;
            proof::print_state(&read.state, self.json);
            ensure!(
                read.state.entity().is_some(),
                "{entity} doesn't exist at sequence {}",
                read.state.execution().sequence
            );
            return Ok(());
        }
        let read = client.get(&entity, self.consistency(), token).await?;
        let Some(found) = &read.content else {
            bail!("{entity} doesn't exist at sequence {}", read.sequence);
        };
        if self.json {
            println!("{}", to_json(found, &read));
            return Ok(());
        }
        println!("{}", paint::title(&found.name.to_string()));
        println!("  version         {}", found.version);
        println!("  changed at      sequence {}", found.changed_at);
        println!("  last operation  {}", found.last_operation);
        println!("  read at         sequence {}, {} ms old as far as the validator knows", read.sequence, read.age_ms);
        println!("{:#}", json::from_value(&found.value));
        Ok(())
    }

    async fn list(&self, client: &Client, token: Option<&ReadToken>) -> anyhow::Result<()> {
        ensure!(self.limit > 0, "--limit must be at least 1");
        ensure!(
            self.consistency != Level::Quorum,
            "a list has no proof; read its entities one by one, or linearizable"
        );
        let (mut page, mut left) = (String::new(), self.limit);
        while left > 0 {
            let size = PAGE.min(u32::try_from(left).unwrap_or(PAGE));
            let names = (self.name.as_str(), self.prefix.as_str());
            let read = client.list(names, (size, &page), self.consistency(), token).await?;
            for entity in &read.content.entities {
                match self.json {
                    true => println!("{}", to_json(entity, &read)),
                    false => println!(
                        "{:<48} version {:<6} sequence {}",
                        entity.name.to_string(),
                        entity.version,
                        entity.changed_at
                    ),
                }
            }
            left = left.saturating_sub(read.content.entities.len());
            page.clone_from(&read.content.next);
            if page.is_empty() {
                return Ok(());
            }
        }
        eprintln!("{}", paint::faint("there may be more; --limit shows more of them"));
        Ok(())
    }
}

fn to_json<T>(entity: &Entity, read: &Read<T>) -> Json {
    json!({
        "kind": entity.name.kind,
        "id": entity.name.id,
        "version": entity.version,
        "last_operation": entity.last_operation,
        "changed_at": entity.changed_at,
        "value": json::from_value(&entity.value),
        "read": { "sequence": read.sequence, "block_time_ms": read.block_time, "age_ms": read.age_ms },
    })
}
