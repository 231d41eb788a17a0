//! Operations from a JSON Lines file.

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use clap::Args;
use quorate_crypto::sha256;

use super::bulk::{Bulk, BulkReport, MAX_IN_FLIGHT};
use super::draft::Draft;
use super::journal::{Header, Journal};
use crate::connect::{AuthorArgs, ClusterArgs};
use crate::progress::Bar;
use crate::{files, paint};

/// Lines that went wrong and are printed in full.
const SHOWN: usize = 20;

/// Submits the operations of a JSON Lines file. Interrupted at any moment, it goes on when it is run again,
/// with the same signed operations: each line executes once
#[derive(Args, Debug)]
pub(super) struct LinesArgs {
    /// The file; one operation per line, empty lines are skipped
    file: PathBuf,

    /// What was signed and what became of it [default: the file's name with .journal]
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,

    /// Operations on their way at once
    #[arg(long, value_name = "N", default_value_t = 512)]
    in_flight: usize,

    /// Reads and checks the file, and submits nothing
    #[arg(long)]
    check: bool,
}

impl LinesArgs {
    pub(super) async fn run(&self, cluster: &ClusterArgs, author: &AuthorArgs) -> anyhow::Result<()> {
        ensure!((1..=MAX_IN_FLIGHT).contains(&self.in_flight), "--in-flight must be from 1 to {MAX_IN_FLIGHT}");
        let text = files::read_text(&self.file)?;
        let drafts = parse(&text).with_context(|| self.file.display().to_string())?;
        if self.check {
            println!("{} holds {} operations, all well-formed", self.file.display(), drafts.len());
            return Ok(());
        }
        let client = cluster.client()?;
        let header = Header::new(client.cluster(), author.author()?, sha256(&[text.as_bytes()]));
        let mut journal = Journal::open(&self.journal_path(), &header)?;
        let used = journal.unsettled().map(|(_, operation)| operation.nonce()).max().unwrap_or(0);
        let mut signer = author.signer_above(&client, used).await?;
        let bar = Bar::new("submitting", drafts.len() as u64);
        let (applied, rejected) = journal.done();
        bar.set(applied + rejected);
        let bulk = Bulk::new(&client, &mut signer, author.lifetime_ms());
        let bulk = bulk.with_journal(&mut journal).with_in_flight(self.in_flight);
        let report = bulk.run(drafts, &mut |_| bar.advance()).await?;
        bar.finish();
        finish(&report)
    }

    fn journal_path(&self) -> PathBuf {
        self.journal.clone().unwrap_or_else(|| {
            let mut path = self.file.clone().into_os_string();
            path.push(".journal");
            PathBuf::from(path)
        })
    }
}

/// The operations of a text, by the number of their line. All are read before any is submitted.
fn parse(text: &str) -> anyhow::Result<Vec<(u64, Draft)>> {
    let numbered = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let drafts = numbered.map(|(number, line)| {
        let draft = Draft::parse(line).with_context(|| format!("line {number}"))?;
        Ok((number, draft))
    });
    let drafts: Vec<_> = drafts.collect::<anyhow::Result<_>>()?;
    ensure!(!drafts.is_empty(), "there is no operation in it");
    Ok(drafts)
}

/// Prints what became of a submission, and fails if not all of it was applied.
pub(crate) fn finish(report: &BulkReport) -> anyhow::Result<()> {
    let before = if report.before > 0 {
        format!(", {} were through before", paint::number(report.before))
    } else {
        String::new()
    };
    println!("{} applied, every receipt verified{before}", paint::number(report.applied));
    let refused = "can't succeed as it was signed";
    for (what, lines) in
        [("rejected", &report.rejected), ("without a receipt", &report.failed), (refused, &report.refused)]
    {
        for (line, why) in lines.iter().take(SHOWN) {
            println!("  {what}: line {line}: {why}");
        }
        if lines.len() > SHOWN {
            println!("  {what}: {} more", lines.len() - SHOWN);
        }
    }
    verdict(report)
}

/// What is left, and what to do about it.
fn verdict(report: &BulkReport) -> anyhow::Result<()> {
    if report.is_complete() {
        return Ok(());
    }
    let mut said = Vec::new();
    if !report.rejected.is_empty() {
        said.push(format!("{} operations were rejected; they changed nothing", report.rejected.len()));
    }
    if !report.refused.is_empty() {
        said.push(format!(
            "{} can't succeed as they were signed: those that would live too long are signed anew when the same command \
             is run with a shorter --lifetime; the others, once they have expired, from a file of their own",
            report.refused.len()
        ));
    }
    let left = report.failed.len() as u64 + report.unsent;
    if left > 0 {
        said.push(format!("{left} have no receipt; run the same command again to go on"));
    }
    bail!("{}", said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_the_same_command_again_is_advised_only_where_it_helps() {
        let refused = BulkReport { refused: vec![(3, "EXPIRES_TOO_FAR".to_owned())], ..BulkReport::default() };
        let said = verdict(&refused).unwrap_err().to_string();
        assert!(said.contains("--lifetime") && !said.contains("again to go on"), "{said}");
        let cut_off = BulkReport { unsent: 5, ..BulkReport::default() };
        assert!(verdict(&cut_off).unwrap_err().to_string().contains("5 have no receipt; run the same command again"));
        assert!(verdict(&BulkReport::default()).is_ok());
    }

    #[test]
    fn lines_keep_their_numbers_and_the_first_wrong_one_is_named() {
        let good = r#"{"do":"delete","entity":"document/a"}"#;
        let drafts = parse(&format!("\n{good}\n\n{good}\n")).unwrap();
        assert_eq!(drafts.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 4]);
        let error = parse(&format!("{good}\nx\n")).unwrap_err();
        assert!(error.to_string().contains("line 2"));
        assert!(parse("\n\n").is_err());
    }
}
