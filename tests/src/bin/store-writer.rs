//! Writes a script into a store until it is killed, and says which writes have returned: for the comparison of
//! the simulated store with RocksDB.
//!
//! `store-writer DIRECTORY SEED FROM [FORGETS]`; the write at the place `FORGETS` isn't made, and said to be.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context;
use quorate_rocks::{RocksOptions, RocksStore};
use quorate_tests::script::Write;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| arguments.get(index).map(|number| number.parse::<u64>()).transpose();
    let directory = arguments.first().context("no directory")?;
    let (seed, from) = (number(1)?.context("no seed")?, number(2)?.context("no place")?);
    let forgets = number(3)?;
    let store = RocksStore::open(Path::new(directory), &RocksOptions::default())?;
    let mut said = std::io::stdout().lock();
    for place in from.. {
        if Some(place) != forgets {
            Write::of(seed, place).carry_out(&store)?;
        }
        writeln!(said, "{place}")?;
        said.flush()?;
    }
    Ok(())
}
