//! `quorate define-kind`: an administrator declares a kind of entities while the cluster runs.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use quorate_crypto::PublicKey;
use quorate_types::genesis::parse_kind;
use quorate_types::kind::Kind;
use quorate_types::operation::SystemChange;

use crate::connect::{AuthorArgs, ClusterArgs};
use crate::files;
use crate::init::Rules;
use crate::membership::submit;

/// Defines a kind of entities, for ever; for administrators, one of whom is enough.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quorate define-kind invoice:document --key administrator.key
  quorate define-kind stock:inventory --author KEY --key administrator.key
  quorate define-kind --file invoice.toml --key administrator.key

A file says the same of one kind as a [[kinds]] section of genesis.toml, with a schema and all rights, if wanted:
  name = \"invoice\"
  type = \"document\"
  access = { create = \"anyone\", write = \"anyone\" }

A kind is never declared anew: choose another name for another meaning.")]
pub struct DefineKindArgs {
    #[command(flatten)]
    cluster: ClusterArgs,

    #[command(flatten)]
    signer: AuthorArgs,

    /// Prints the receipt as JSON
    #[arg(long)]
    json: bool,

    /// The kind as NAME:TYPE; the types are those of `quorate init --kind`
    #[arg(value_name = "NAME:TYPE", required_unless_present = "file", conflicts_with = "file")]
    kind: Option<String>,

    /// The kind as a file of TOML
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// The public key of someone who may create and change its entities; may be repeated [default: anyone]
    #[arg(long = "author", value_name = "KEY", conflicts_with = "file")]
    authors: Vec<PublicKey>,
}

impl DefineKindArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// If the kind isn't one, there is no receipt, or it says that the kind can't be defined.
    pub async fn run(self) -> anyhow::Result<()> {
        let administrators = self.cluster.client()?.genesis().content.administrators.keys.clone();
        let kind = self.kind(&administrators)?;
        let (name, entity_type) = (kind.name.clone(), kind.entity_type.name());
        submit(SystemChange::DefineKind(Box::new(kind)), &self.cluster, &self.signer, self.json).await?;
        if !self.json {
            println!("defined: {name} is a kind of {entity_type} entities from now on");
        }
        Ok(())
    }

    fn kind(&self, administrators: &[PublicKey]) -> anyhow::Result<Kind> {
        match (&self.kind, &self.file) {
            (Some(text), _) => Rules { authors: self.authors.clone(), ..Rules::default() }.kind(text, administrators),
            (None, Some(path)) => parse_kind(&files::read_text(path)?).with_context(|| path.display().to_string()),
            (None, None) => bail!("name the kind as NAME:TYPE, or a file with --file"),
        }
    }
}
