//! A linearizable read sees everything acknowledged, and everything that such a read has shown, before it
//! began (data-model §§5.4, 5.5). The order of sequences is the order of the history, so a read's sequence
//! alone tells.

use std::collections::BTreeMap;

use quorate_types::freshness::Nonce;
use quorate_types::ids::Sequence;

use super::{Fact, Invariant, Scene};

#[derive(Debug, Default)]
pub(super) struct Linearizable {
    /// The highest sequence that any client has heard of.
    known: Sequence,
    /// What was known when each open read began.
    floors: BTreeMap<Nonce, Sequence>,
}

impl Invariant for Linearizable {
    fn name(&self) -> (&'static str, &'static str) {
        ("reads are linearizable", "data-model §5.4")
    }

    fn on_fact(&mut self, _: &Scene, fact: &Fact<'_>) -> Result<(), Vec<String>> {
        self.take_in(fact)
    }
}

impl Linearizable {
    fn take_in(&mut self, fact: &Fact<'_>) -> Result<(), Vec<String>> {
        match fact {
            Fact::Acknowledged(receipt) => self.known = self.known.max(receipt.sequence),
            Fact::ReadBegins(nonce) => {
                self.floors.insert(**nonce, self.known);
            }
            Fact::ReadEnds(nonce, sequence) => {
                let floor = self.floors.remove(*nonce).unwrap_or_default();
                if *sequence < floor {
                    return Err(vec![
                        format!("sequence {floor} was acknowledged or shown before the read began"),
                        format!("the read saw the state at sequence {sequence}"),
                    ]);
                }
                self.known = self.known.max(*sequence);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The harness proves itself: a read that goes back is found, whether behind a receipt or behind a read.
    #[test]
    fn a_read_that_goes_back_is_found() {
        let (one, two, three) = ([1; 32], [2; 32], [3; 32]);
        let mut invariant = Linearizable::default();
        let mut see = |fact: Fact<'_>| invariant.take_in(&fact);
        assert!(see(Fact::ReadBegins(&one)).is_ok());
        assert!(see(Fact::ReadBegins(&two)).is_ok());
        assert!(see(Fact::ReadEnds(&one, Sequence(5))).is_ok());
        assert!(see(Fact::ReadEnds(&two, Sequence(3))).is_ok(), "it began before the first one ended");
        assert!(see(Fact::ReadBegins(&three)).is_ok());
        assert!(see(Fact::ReadEnds(&three, Sequence(4))).is_err(), "5 was shown before it began");
    }
}
