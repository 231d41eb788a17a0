//! `quorate keygen`: keys of authors and administrators.

use std::path::PathBuf;

use clap::Args;

use crate::files;

/// Makes an ed25519 key for an author or administrator, and prints its public half.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quorate keygen author.key          makes a key in a file that only its owner may read
  quorate keygen author.key --show   prints the public half of a key made before")]
pub struct KeygenArgs {
    /// The file for the secret half; never overwritten
    file: PathBuf,

    /// Prints the public half of a key that is there already
    #[arg(long)]
    show: bool,
}

impl KeygenArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// If the file can't be written or read.
    pub fn run(self) -> anyhow::Result<()> {
        let key = if self.show { files::read_key(&self.file)? } else { files::create_key(&self.file)? };
        println!("{}", key.public());
        Ok(())
    }
}
