//! The genesis of a cluster on many hosts, from the public parts of its validators.

use std::path::{Path, PathBuf};

use anyhow::ensure;

use super::genesis::Rules;
use super::part::PublicPart;
use super::{AUTHORITY, GENESIS, NODE};
use crate::files::{self, Readers};

/// Joins parts into a genesis in `directory`. The validators' order is that of their names, so that it
/// doesn't depend on who types it.
pub(super) fn run(paths: &[PathBuf], directory: &Path, rules: &Rules) -> anyhow::Result<()> {
    ensure!(
        !rules.administrators.is_empty(),
        "a cluster on many hosts needs administrators; each runs `quorate keygen administrator.key` and tells the \
         public key, which goes here as --administrator KEY"
    );
    let mut parts = paths.iter().map(|path| PublicPart::read(path)).collect::<anyhow::Result<Vec<_>>>()?;
    parts.sort_by_key(|part| part.validator().info.name);
    let validators = parts.iter().map(PublicPart::validator).collect();
    let (text, genesis) = rules.genesis(validators, rules.administrators.clone())?;
    std::fs::create_dir_all(directory)?;
    let authorities: String = parts.iter().map(PublicPart::authority).collect();
    files::create(&directory.join(AUTHORITY), authorities.as_bytes(), Readers::All)?;
    let path = directory.join(GENESIS);
    files::create(&path, text.as_bytes(), Readers::All)?;
    println!("The genesis of {} validators is {}.", parts.len(), path.display());
    println!("  cluster id  {}", genesis.cluster);
    for (index, part) in parts.iter().enumerate() {
        let info = part.validator().info;
        println!("  {index}  {:<16} {:<28} consensus key {}", info.name, info.peer_address, info.consensus_key);
    }
    println!();
    println!("Send the file to every operator. Each compares the cluster id (it is the file's SHA-256) over another");
    println!("channel, puts the file beside {NODE} and starts. Clients need {GENESIS} and {AUTHORITY}.");
    Ok(())
}
