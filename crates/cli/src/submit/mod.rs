//! `quorate submit`: one operation from flags, or many from a JSON Lines file.

pub mod bulk;
pub mod draft;
pub mod journal;
mod lines;
mod single;

use clap::{Args, Subcommand};

pub(crate) use self::lines::finish;
use crate::connect::{AuthorArgs, ClusterArgs};

/// Signs operations and submits them; success means a receipt that was verified.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quorate keygen author.key
  quorate submit put document/greeting '{\"text\": \"hello\"}'
  quorate submit set document/greeting /text '\"good morning\"' --if-version document/greeting=1
  quorate submit create counter/visits
  quorate submit add counter/visits 1
  quorate submit create account/alice --key administrator.key
  quorate submit mint account/alice 100 --key administrator.key
  quorate submit transfer account/alice bob 40
  quorate submit lines operations.jsonl        many, with a progress bar; safe to run again

One line of a JSON Lines file is one operation:
  {\"do\": \"put\", \"entity\": \"document/a\", \"value\": {\"n\": 1}}
  {\"mutations\": [{\"do\": \"add\", \"entity\": \"counter/c\", \"by\": 2}], \"guards\": [{\"entity\": \"counter/c\", \"exists\": true}]}")]
pub struct SubmitArgs {
    #[command(flatten)]
    cluster: ClusterArgs,

    #[command(flatten)]
    author: AuthorArgs,

    #[command(flatten)]
    single: single::SingleArgs,

    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    #[command(flatten)]
    Change(single::ChangeCommand),
    Lines(lines::LinesArgs),
}

impl SubmitArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// If there is no receipt, or it says that the operation was rejected.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.what {
            What::Change(change) => self.single.run(&change, &self.cluster, &self.author).await,
            What::Lines(lines) => {
                self.single.admit_unused()?;
                lines.run(&self.cluster, &self.author).await
            }
        }
    }
}
