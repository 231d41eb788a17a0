//! Whether all validators hold the same state: the dump digests at one executed sequence.

use std::collections::BTreeSet;

use anyhow::bail;
use quorate_client::pb::cluster::v1::StatusResponse;
use quorate_client::{Client, ClientFault, Reason};
use quorate_types::ids::Sequence;
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;

use crate::json::hex_of_bytes;
use crate::paint;

/// Tries before a cluster is found too busy: each looks a little further ahead.
const TRIES: u64 = 8;

/// What each validator holds at one sequence.
#[derive(Debug)]
pub struct Verdict {
    /// The sequence.
    pub sequence: Sequence,
    /// Each validator's name with its digest, or why it has none to show.
    pub digests: Vec<(String, Result<String, String>)>,
    /// How many keys the state has.
    pub keys: u64,
}

/// Compares the dump digests of all validators that answer, at the highest sequence that all of them can show.
///
/// # Errors
/// If fewer than two answer, or the cluster goes on too fast for one sequence to be caught.
pub async fn compare(client: &Client) -> anyhow::Result<Verdict> {
    let mut lead = 0;
    for _ in 0..TRIES {
        let before: Vec<StatusResponse> =
            super::ask_all(client).await.into_iter().filter_map(|answer| answer.status.ok()).collect();
        if before.len() < 2 {
            bail!("only {} validators answer, so there is nothing to compare", before.len());
        }
        let highest = before.iter().map(|status| status.executed).max().unwrap_or_default();
        let target = Sequence(highest + lead);
        let answers = ask_at(client, target).await;
        let has_passed = |result: &Result<StatusResponse, ClientFault>| matches!(result, Err(fault) if fault.reason() == Some(Reason::SequencePassed));
        if !answers.iter().any(|(_, result)| has_passed(result)) {
            return Ok(verdict(target, answers));
        }
        lead = lead * 2 + 1;
    }
    bail!("the cluster executes too fast for one sequence to be compared; try again when it does less")
}

/// Asks all validators for their digest at one sequence.
async fn ask_at(client: &Client, sequence: Sequence) -> Vec<(String, Result<StatusResponse, ClientFault>)> {
    let mut asked = JoinSet::new();
    for (position, endpoint) in client.endpoints().enumerate() {
        let (client, endpoint) = (client.clone(), endpoint.to_owned());
        asked.spawn(async move { (position, endpoint, client.status(position, Some(sequence)).await) });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by_key(|(position, ..)| *position);
    answers.into_iter().map(|(_, endpoint, result)| (endpoint, result)).collect()
}

fn verdict(sequence: Sequence, answers: Vec<(String, Result<StatusResponse, ClientFault>)>) -> Verdict {
    let mut keys = 0;
    let digests = answers.into_iter().map(|(endpoint, result)| match result {
        Ok(StatusResponse { name, dump: Some(dump), .. }) if dump.sequence == sequence.0 => {
            keys = dump.keys;
            (name, Ok(hex_of_bytes(&dump.digest)))
        }
        Ok(status) => (status.name, Err("it sent no digest of this sequence".to_owned())),
        Err(fault) => (endpoint, Err(fault.to_string())),
    });
    let digests = digests.collect();
    Verdict { sequence, digests, keys }
}

impl Verdict {
    /// Whether all that answered hold the same, and at least two did.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        let digests: Vec<&String> = self.digests.iter().filter_map(|(_, digest)| digest.as_ref().ok()).collect();
        digests.len() >= 2 && digests.iter().collect::<BTreeSet<_>>().len() == 1
    }

    /// The digest, if all have the same one.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        let first = self.digests.iter().find_map(|(_, digest)| digest.as_deref().ok());
        first.filter(|_| self.is_equal())
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = format!("state at sequence {}, {} keys:", self.sequence, paint::number(self.keys));
        for (name, digest) in &self.digests {
            match digest {
                Ok(digest) => text.push_str(&format!("\n  {name:<16} {digest}")),
                Err(why) => text.push_str(&format!("\n  {name:<16} {}", paint::warning(why))),
            }
        }
        let verdict = if self.is_equal() { paint::good("the same") } else { paint::bad("NOT the same") };
        text + &format!("\n  {verdict}")
    }

    pub(super) fn to_json(&self) -> Json {
        let digests = self.digests.iter().map(|(name, digest)| match digest {
            Ok(digest) => json!({ "name": name, "digest": digest }),
            Err(why) => json!({ "name": name, "error": why }),
        });
        let digests: Vec<Json> = digests.collect();
        json!({ "sequence": self.sequence, "equal": self.is_equal(), "keys": self.keys, "digests": digests })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(digests: &[Option<&str>]) -> Verdict {
        let digest = |digest: &Option<&str>| digest.map(str::to_owned).ok_or_else(|| "silent".to_owned());
        let digests = digests.iter().map(|found| ("v".to_owned(), digest(found))).collect();
        Verdict { sequence: Sequence(1), digests, keys: 1 }
    }

    #[test]
    fn states_are_the_same_only_if_two_or_more_answer_and_none_differs() {
        assert!(verdict(&[Some("a"), Some("a"), None]).is_equal());
        assert!(!verdict(&[Some("a"), Some("b")]).is_equal());
        assert!(!verdict(&[Some("a"), None]).is_equal());
        assert_eq!(verdict(&[Some("a"), Some("b")]).digest(), None);
        assert_eq!(verdict(&[None, Some("a"), Some("a")]).digest(), Some("a"));
    }
}
