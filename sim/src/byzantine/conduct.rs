//! The names of behaviours in plans and scenarios, and the making of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Behaviour;
use super::{
    break_promises, censor, corrupt_answers, crimes, delay, double_vote, equivocate, exclude, far_future, flood,
    foreign, forged_certificates, fork_lane, framing, hidden_claims, invalid_proposals, lying_status, mutate, mute,
    new_view, replay, selective, snapshots, two_faced, view_change_spam, withhold, wrong_execution,
};

macro_rules! conducts {
    ($($(#[doc = $doc:literal])* $name:ident => $make:expr;)*) => {
        /// A kind of behaviour, as a plan names it.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Conduct {
            $($(#[doc = $doc])* $name,)*
            /// A user's own behaviour, by the name under which [`Behaviours`] knows it.
            #[serde(untagged)]
            Custom(String),
        }

        impl Conduct {
            /// All that are built in.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What it does, in words.
            #[must_use]
            pub fn about(&self) -> String {
                match self {
                    $(Self::$name => concat!($($doc, " "),*).trim().to_owned(),)*
                    Self::Custom(name) => format!("A behaviour of the user's own, {name}."),
                }
            }

            fn built_in(&self) -> Option<Box<dyn Behaviour>> {
                match self {
                    $(Self::$name => Some(Box::new($make)),)*
                    Self::Custom(_) => None,
                }
            }
        }
    };
}

conducts! {
    /// Says nothing, in spells.
    Mute => mute::Mute::default();
    /// Says nothing to some.
    Selective => selective::Selective::default();
    /// Votes to some only.
    SelectiveVotes => selective::SelectiveVotes::default();
    /// As primary proposes one thing to some and another to the rest.
    Equivocate => equivocate::Equivocate::new(equivocate::Side::Random);
    /// As primary proposes one thing to one half and another to the other.
    EquivocateHalf => equivocate::Equivocate::new(equivocate::Side::Half);
    /// As primary proposes another thing to a single victim.
    EquivocateOne => equivocate::Equivocate::new(equivocate::Side::One);
    /// As primary proposes just before the others' patience ends.
    Slow => delay::Slow;
    /// As primary proposes late enough to cost most of the throughput, and too early for any timeout.
    Dawdle => delay::Dawdle;
    /// As primary proposes nineteen times at once, and the twentieth time just before the others' patience ends.
    OnOff => delay::OnOff;
    /// As primary names a single bundle in each proposal.
    TinyBatches => delay::Tiny::default();
    /// Says nothing, ever.
    Silent => mute::Silent;
    /// Sends old votes again and again, some thousands in a second.
    FloodStale => flood::Stale;
    /// Sends votes whose signatures verify nowhere, some hundreds in a second.
    FloodJunk => flood::Junk;
    /// As primary proposes a little later each time.
    RampingDelay => delay::Ramp::default();
    /// As primary never proposes one validator's lane.
    CensorLane => censor::Lane;
    /// Refuses one client's operations, and as primary proposes no lane that holds them.
    CensorClient => censor::Client::default();
    /// As primary leaves as many backups in the dark as a quorum can do without.
    Exclude => exclude::Exclude;
    /// As primary proposes what no backup may accept.
    InvalidProposals => invalid_proposals::InvalidProposals;
    /// Votes, both phases, for everything that anyone votes for.
    DoubleVote => double_vote::DoubleVote::default();
    /// Votes, to each validator alone, for what that one votes for.
    TwoFaced => two_faced::TwoFaced::default();
    /// Changes one field of what it sends, and signs it again.
    Mutate => mutate::Mutate;
    /// Sends old messages again, its own and others'.
    Replay => replay::Replay;
    /// Says what was meant for another epoch or another cluster.
    Foreign => foreign::Foreign;
    /// Speaks of views and sequences far ahead.
    FarFuture => far_future::FarFuture;
    /// Complains and changes view all the time.
    ViewChangeSpam => view_change_spam::Spam;
    /// Hides its highest certificates in view changes.
    HiddenClaims => hidden_claims::HiddenClaims;
    /// Makes certificates of too few, repeated or mixed votes.
    ForgedCertificates => forged_certificates::ForgedCertificates;
    /// As primary starts one view twice.
    TwoNewViews => new_view::TwoNewViews;
    /// Gives its bundles to few, and answers no request.
    Withhold => withhold::Withhold::default();
    /// Signs two bundles of one number.
    ForkLane => fork_lane::ForkLane::default();
    /// Signs results that execution didn't give.
    WrongExecution => wrong_execution::WrongExecution;
    /// Lies about where it stands.
    LyingStatus => lying_status::LyingStatus;
    /// Answers who catches up with a chain that is broken or cut short.
    CorruptAnswers => corrupt_answers::CorruptAnswers;
    /// Answers who catches up late, or never.
    StallAnswers => corrupt_answers::StallAnswers;
    /// Hands over states that aren't the certified ones.
    CorruptSnapshots => snapshots::CorruptSnapshots::default();
    /// Hands over states in tiny parts, late, or not at all.
    StallSnapshots => snapshots::StallSnapshots::default();
    /// Votes at every other sequence for something else than what it builds on.
    OffChain => crimes::OffChain;
    /// As primary proposes below and at the anchor of its own view.
    OffAnchor => crimes::OffAnchor;
    /// Claims, in view changes, certificates of the view that it wants to enter.
    ImpossibleClaims => crimes::ImpossibleClaims;
    /// As primary starts views with too few view changes.
    HollowNewViews => crimes::HollowNewViews;
    /// Bundles operations that their authors didn't sign.
    ForgedOperations => crimes::ForgedOperations;
    /// Promises to order what it drops.
    BreakPromises => break_promises::BreakPromises::default();
    /// Makes evidence against correct validators.
    ForgedEvidence => framing::ForgedEvidence;
    /// Sends ever new evidence, all of it against itself.
    EvidenceFlood => framing::EvidenceFlood::default();
}

impl Conduct {
    /// Its name in plans.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Custom(name) => name.clone(),
            named => serde_json::to_value(named)
                .ok()
                .and_then(|name| name.as_str().map(str::to_owned))
                .unwrap_or_else(|| format!("{named:?}")),
        }
    }
}

/// Makes a behaviour.
type Maker = fn() -> Box<dyn Behaviour>;

/// The behaviours that plans may name: those built in, and a user's own.
#[derive(Clone, Debug, Default)]
pub struct Behaviours {
    own: BTreeMap<String, Maker>,
}

impl Behaviours {
    /// Those built in.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// And one more, by this name.
    #[must_use]
    pub fn with(mut self, name: &str, maker: Maker) -> Self {
        self.own.insert(name.to_owned(), maker);
        self
    }

    /// All names.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        Conduct::ALL.iter().map(Conduct::name).chain(self.own.keys().cloned()).collect()
    }

    /// A fresh behaviour.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn make(&self, conduct: &Conduct) -> Result<Box<dyn Behaviour>, UnknownConduct> {
        let own = self.own.get(&conduct.name()).map(|make| make());
        own.or_else(|| conduct.built_in())
            .ok_or_else(|| UnknownConduct { name: conduct.name(), known: self.names().join(", ") })
    }
}

/// A plan names a behaviour that doesn't exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no behaviour '{name}'; known are: {known}")]
pub struct UnknownConduct {
    /// The name.
    pub name: String,
    /// Those that exist.
    pub known: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_conduct_has_a_name_of_its_own_that_its_json_survives() {
        let mut names: Vec<String> = Conduct::ALL.iter().map(Conduct::name).collect();
        for (conduct, name) in Conduct::ALL.iter().zip(&names) {
            assert_eq!(&serde_json::from_value::<Conduct>(name.clone().into()).unwrap(), conduct);
            assert!(Behaviours::new().make(conduct).is_ok());
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), Conduct::ALL.len());
    }

    #[test]
    fn an_unknown_name_is_refused_with_those_that_exist() {
        let conduct: Conduct = serde_json::from_value("equivocat".into()).unwrap();
        let refused = Behaviours::new().make(&conduct).unwrap_err();
        assert!(refused.to_string().contains("equivocate_half"), "{refused}");
    }

    #[derive(Debug)]
    struct Whisper;
    impl Behaviour for Whisper {}

    #[test]
    fn a_users_own_behaviour_is_known_by_its_name() {
        let known = Behaviours::new().with("whisper", || Box::new(Whisper));
        assert!(known.make(&Conduct::Custom("whisper".to_owned())).is_ok());
    }
}
