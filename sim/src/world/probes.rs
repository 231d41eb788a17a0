//! Rare branches that runs report when they reach them: a campaign that never reached one says so
//! (simulation §4).

use std::collections::BTreeMap;

/// A branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Its name in reports.
    pub name: &'static str,
    /// Whether some hundred seeds must have reached it.
    pub is_expected: bool,
    /// What reaching it shows.
    pub about: &'static str,
}

macro_rules! probes {
    ($($name:literal, $expected:literal, $about:literal;)*) => {
        /// All of them.
        pub const PROBES: &[Probe] = &[$(Probe { name: $name, is_expected: $expected, about: $about },)*];
    };
}

probes! {
    "bit flipped on the way", true, "bytes that aren't a message are refused without a panic";
    "complaint: nothing commits", true, "a backup's patience with a primary that orders nothing has ended";
    "complaint: a lane is passed over", false, "a backup's patience with a primary that passes a lane over has ended";
    "complaint: the primary is silent", true, "a backup misses the primary's reports";
    "complaint: the primary's clock stays behind", false, "a backup sees block times that fall behind";
    "complaint: no new view", true, "a backup's patience with a new primary has ended";
    "contradiction seen", true, "a validator holds two signatures that contradict each other";
    "crash", true, "a process dies";
    "delivered", true, "a proposal is ordered";
    "duplicated", true, "a packet arrives twice";
    "barred for the next epoch", false, "a validator goes on in an epoch in which a convicted one leads no more";
    "evicted", false, "a validator goes on in an epoch without one that was convicted";
    "epoch entered", false, "a validator goes on in the next epoch";
    "execution certificate", true, "a quorum has the same results";
    "linearizable read answered", true, "a reader sees a state as new as everything acknowledged before";
    "lost", true, "a packet is lost";
    "message refused at the door", true, "a signature or a form is refused";
    "operation acknowledged", true, "a client is told";
    "operation judged without a receipt", false, "an operation is answered without a receipt";
    "operation signed", true, "a client signs";
    "stable checkpoint", true, "a checkpoint becomes stable";
    "suspicion changed", true, "a validator's suspicion of another reaches a level, or fades";
    "complaint: the primary is slow", false, "a primary commits, but makes lanes wait";
    "complaint: the view has lasted long enough", false, "a view ends because views end";
    "standing changed", true, "a validator begins or stops to sign";
    "process ended over a failed read or save", true, "a disk fails, and the process ends rather than go on";
    "process ended over a full disk", true, "a disk has no space, and the process ends until it has";
    "stored bit flipped", true, "a value in a store is damaged";
    "damaged value found", true, "a damaged value is read, and its checksum finds it";
    "old copy of a store put back", true, "an operator restores an old copy of a store";
    "rollback shown by the guard file", true, "a store that lost what it had acknowledged is found by its guard file";
    "rollback that the guard file doesn't show", true, "a store lost what it had acknowledged, and only peers can know";
    "rollback found by asking a peer", false, "a peer's answer shows a store that lost what it had signed";
    "lost for lack of bandwidth", false, "a narrow link has no room for a packet";
    "store lost", true, "a validator comes back without its store";
    "validator convicted", true, "the whole cluster has judged evidence against a validator";
    "view entered", true, "a view begins";
    "view left", true, "a view is given up";
    "promise broken", false, "a client finds that a bundle doesn't hold what was promised";
    "promise given", true, "a gateway promises to have an operation in a bundle";
    "pruned", true, "what lies below the retention leaves a store";
    "part of a snapshot handed over", true, "a validator reads a checkpoint's state for another";
    "nothing left to hand over", false, "the core stands still by the limit that protocol §8.7 states";
    "transfer begun", true, "a validator further behind than the others' retention fetches a state";
    "transfer complete", true, "a validator holds all of another's state, proven";
    "transfer given up", false, "nobody hands a checkpoint over any more, and a newer one is fetched";
    "part of a snapshot refused", false, "a provider's part of a snapshot isn't whole";
    "provider of a snapshot passed over", false, "a provider of a snapshot is silent";
    "state put in place", true, "a validator goes on from another's state";
    "results in camps", false, "validators' results leave no quorum possible";
    "window full", false, "a primary waits because the window is full";
    "caught up by a segment", true, "a validator catches up by a stretch of the chain";
    "new view refused at the door", false, "a new view that proves nothing is refused";
    "certificate refused at the door", false, "a certificate that proves nothing is refused";
    "view passed over", true, "a validator goes to a view above the next";
    "anchor above the first sequence", true, "a view begins with something that an earlier one ordered";
    "stopped for lack of a whole store", false, "a validator without its store follows in quarantine";
    "calm reached", true, "an idle cluster after all faults changes no view and talks little";
    "history linearizable", true, "what the clients saw has an order that explains it";
}

/// Those that were never reached.
#[must_use]
pub fn missed<S: AsRef<str> + Ord>(reached: &BTreeMap<S, u64>) -> Vec<Probe> {
    let times = |name: &str| reached.iter().find(|(known, _)| known.as_ref() == name).map_or(0, |(_, count)| *count);
    PROBES.iter().copied().filter(|probe| times(probe.name) == 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_reached_is_named() {
        let reached = BTreeMap::from([("crash", 3_u64), ("lost", 0)]);
        let names: Vec<&str> = missed(&reached).iter().map(|probe| probe.name).collect();
        assert!(!names.contains(&"crash") && names.contains(&"lost") && names.contains(&"view entered"));
    }
}
