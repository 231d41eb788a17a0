//! `quorate-sim replay` on a node's recording: every step of one validator, with its state after it.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use quorate_crypto::SecretKey;
use quorate_node::recorder::{END_MAGIC, MAGIC, Moment, replay, tell};

/// Whether a file is a recording of a node, and not a plan.
#[must_use]
pub fn is_recording(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC) || bytes.starts_with(END_MAGIC)
}

/// Steps through a recording and prints each step; `key` is the file with the validator's consensus key.
///
/// # Errors
/// If the recording or the key can't be read.
pub fn show(recording: &[u8], key: Option<&Path>) -> anyhow::Result<ExitCode> {
    if recording.starts_with(END_MAGIC) {
        let turns = tell(recording, |now, words| println!("{:>10} ms  {words}", now.monotonic_ms))?;
        println!("{turns} turns as they were recorded: no replica can be driven through the end of a long run");
        return Ok(ExitCode::SUCCESS);
    }
    let has_key = key.is_some();
    let key = match key {
        Some(path) => quorate_node::keys::read(path).with_context(|| format!("reading {}", path.display()))?,
        None => SecretKey::from_seed([0; 32]),
    };
    let done = replay(recording, key, |moment| print_moment(moment, has_key))?;
    println!("{} steps, {} turns", done.steps, done.turns);
    let differ = if has_key { done.other_bytes } else { done.other_words };
    if differ > 0 {
        println!("{differ} turns gave something else than recorded");
        return Ok(ExitCode::from(1));
    }
    println!(
        "{}",
        if has_key { "every turn gave the same bytes" } else { "every turn gave the same kinds of messages" }
    );
    Ok(ExitCode::SUCCESS)
}

fn print_moment(moment: &Moment<'_>, has_key: bool) {
    let Moment { number, now, event, gave, replica } = moment;
    println!("{number:>8}  {:>10} ms  {event}", now.monotonic_ms);
    let Some(gave) = gave else { return };
    println!("{:>26}{}", "", replica.report());
    if !gave.replayed.is_empty() {
        println!("{:>26}gives {}", "", gave.replayed);
    }
    let differs = if has_key { !gave.is_same } else { gave.replayed != gave.recorded };
    if differs {
        println!("{:>26}DIFFERS; recorded: {}", "", gave.recorded);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_no_recording() {
        assert!(!is_recording(b"{ \"format\": 1 }"));
        assert!(is_recording(b"quorate-flight-1 and more"));
        assert!(show(b"quorate-flight-1", None).is_err(), "one without a start");
        assert!(is_recording(END_MAGIC) && show(END_MAGIC, None).is_ok());
    }
}
