//! One core under test, or several joined without a network's faults, and the statements of its peers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use quorate_consensus::{Config, Core, Effect, Input, Link, Now, Own, Recovered};
use quorate_crypto::{Digest, Signature, sha256};
use quorate_types::ids::{BlockTime, BundleNumber, Epoch, Sequence, ValidatorIndex, View};
use quorate_types::message::{HeldOfYours, Message, Request, Status, Voters};
use quorate_types::parameters::Parameters;
use quorate_types::proposal::{LaneTip, Payload, PrePrepare, Proposal};
use quorate_types::quorum::Quorum;
use quorate_types::rules::{admit_certificate, admit_new_view, admit_view_change};
use quorate_types::set::Roster;
use quorate_types::signed::Signed;
use quorate_types::view_change::{Complaint, NewView, ViewChange, ViewChangeMessage};
use quorate_types::vote::{Certificate, Claim, Phase, Vote};

/// The wall clock at the start of a test.
pub(crate) const WALL_MS: u64 = 1_000_000;
pub(crate) const EPOCH: Epoch = Epoch(0);

pub(crate) fn signed<T>(statement: T) -> Signed<T> {
    Signed { statement, signature: Signature::from_bytes([7; 64]) }
}

pub(crate) const fn index(validator: u16) -> ValidatorIndex {
    ValidatorIndex(validator)
}

pub(crate) fn parameters() -> Parameters {
    Parameters {
        checkpoint_interval: 4,
        window: 8,
        timeout_base_ms: 500,
        timeout_base_min_ms: 500,
        status_interval_ms: 100,
        late_percent: 100,
        rotation_ms: 0,
        ..Parameters::default()
    }
}

pub(crate) fn genesis() -> Link {
    Link { sequence: Sequence(0), digest: sha256(&[b"genesis"]), time: BlockTime(0) }
}

/// A payload that names bundle `salt` of lane 0; the tests' lanes call everything valid unless told otherwise.
pub(crate) fn payload(salt: u64) -> Payload {
    let number = BundleNumber(salt);
    Payload { tips: vec![LaneTip { lane: index(0), number, digest: sha256(&[&salt.to_be_bytes()]) }] }
}

pub(crate) fn link_of(proposal: &Proposal) -> Link {
    Link { sequence: proposal.sequence, digest: proposal.digest(), time: proposal.time }
}

/// A child of `parent` at the tests' wall clock.
pub(crate) fn child(parent: Link, salt: u64) -> Proposal {
    child_at(parent, salt, parent.time.0.max(WALL_MS))
}

pub(crate) fn child_at(parent: Link, salt: u64, time: u64) -> Proposal {
    let time = BlockTime(time);
    Proposal { epoch: EPOCH, sequence: parent.sequence.next(), parent: parent.digest, time, payload: payload(salt) }
}

/// A chain of `length` proposals above `parent`.
pub(crate) fn chain(parent: Link, length: usize, salt: u64) -> Vec<Proposal> {
    let mut chain: Vec<Proposal> = Vec::new();
    for step in 0..length {
        let parent = chain.last().map_or(parent, link_of);
        chain.push(child(parent, salt + step as u64));
    }
    chain
}

pub(crate) fn claim(view: u64, link: Link) -> Claim {
    Claim { view: View(view), sequence: link.sequence, digest: link.digest }
}

pub(crate) fn vote(validator: u16, phase: Phase, view: u64, link: Link) -> Signed<Vote> {
    let Claim { view, sequence, digest } = claim(view, link);
    signed(Vote { epoch: EPOCH, view, sequence, digest, phase, validator: index(validator) })
}

pub(crate) fn certificate(phase: Phase, view: u64, link: Link, signers: &[u16]) -> Certificate {
    let signatures = signers.iter().map(|signer| (index(*signer), Signature::from_bytes([7; 64]))).collect();
    Certificate { phase, epoch: EPOCH, claim: claim(view, link), signatures }
}

pub(crate) fn prepared(view: u64, link: Link) -> Certificate {
    certificate(Phase::Prepare, view, link, &[0, 1, 2])
}

pub(crate) fn committed(view: u64, link: Link) -> Certificate {
    certificate(Phase::Commit, view, link, &[0, 1, 2])
}

pub(crate) fn complaint(validator: u16, view: u64, time: u64) -> Signed<Complaint> {
    signed(Complaint { epoch: EPOCH, view: View(view), time: BlockTime(time), validator: index(validator) })
}

pub(crate) fn view_change(
    validator: u16,
    new_view: u64,
    prepared: Option<Certificate>,
    committed: Option<Certificate>,
) -> ViewChangeMessage {
    let statement = ViewChange {
        epoch: EPOCH,
        new_view: View(new_view),
        prepared: prepared.as_ref().map(|certificate| certificate.claim),
        committed: committed.as_ref().map(|certificate| certificate.claim),
        last_vote: None,
        validator: index(validator),
    };
    ViewChangeMessage { signed: signed(statement), prepared, committed }
}

/// The new view of `view` that its primary makes of `changes`, in a set of `validators`.
pub(crate) fn new_view(validators: u64, view: u64, changes: &[ViewChangeMessage]) -> Signed<NewView> {
    let prepared = changes.iter().filter_map(|change| change.prepared.clone());
    let committed = changes.iter().filter_map(|change| change.committed.clone());
    signed(NewView {
        epoch: EPOCH,
        view: View(view),
        view_changes: changes.iter().map(|change| change.signed).collect(),
        prepared: prepared.max_by_key(|c| (c.claim.view, c.claim.sequence)),
        committed: committed.max_by_key(|c| c.claim.sequence),
        validator: index(u16::try_from(view % validators).unwrap()),
    })
}

/// A new view of four validators, made of the changes of 0, 1 and 2, of which 0 brings the certificates.
pub(crate) fn simple_new_view(
    view: u64,
    prepared: Option<Certificate>,
    committed: Option<Certificate>,
) -> Signed<NewView> {
    let changes =
        [view_change(0, view, prepared, committed), view_change(1, view, None, None), view_change(2, view, None, None)];
    new_view(4, view, &changes)
}

/// A report with nothing in it.
pub(crate) fn status(view: u64, active: bool, committed: u64) -> Status {
    Status {
        epoch: EPOCH,
        view: View(view),
        active,
        committed: Sequence(committed),
        stable: Sequence(0),
        executed: Sequence(committed),
        certified: Sequence(committed),
        slots: Vec::new(),
        tips: Vec::new(),
        view_changes: Voters::default(),
        complaint: None,
        quarantined: false,
        asks_for_own: false,
        yours: None::<Box<HeldOfYours>>,
    }
}

/// What a disk would hold of the core's effects, for restarts.
#[derive(Clone, Debug)]
struct Disk {
    recovered: Recovered,
    proposals: BTreeMap<Digest, Proposal>,
}

/// One core, its clock, its disk, and lanes that call payloads valid at once unless told otherwise.
pub(crate) struct Bench {
    pub(crate) core: Core,
    pub(crate) now: Now,
    pub(crate) config: Config,
    /// Payloads whose data is missing: no verdict is given.
    pub(crate) withheld: Vec<Digest>,
    /// Payloads that contradict the rules.
    pub(crate) invalid: Vec<Digest>,
    /// Everything that ever came out.
    pub(crate) log: Vec<Effect>,
    disk: Disk,
}

impl Bench {
    /// Validator `me` of four, signing.
    pub(crate) fn new(me: u16) -> Self {
        Self::of(4, me, parameters())
    }

    pub(crate) fn of(validators: usize, me: u16, parameters: Parameters) -> Self {
        Self::led_by(Roster::all(validators), validators, me, parameters)
    }

    /// Validator `me` of four, of whom these may not lead.
    pub(crate) fn barring(me: u16, barred: &[u16]) -> Self {
        let roster = Roster::without(Quorum::of(4), barred.iter().copied().map(index));
        Self::led_by(roster, 4, me, parameters())
    }

    fn led_by(roster: Roster, validators: usize, me: u16, parameters: Parameters) -> Self {
        let config = Config {
            me: index(me),
            epoch: EPOCH,
            quorum: Quorum::of(validators),
            roster,
            learners: 0,
            parameters: Arc::new(parameters),
            start: genesis(),
        };
        let now = Now { monotonic_ms: 10_000, wall_ms: WALL_MS };
        let disk = Disk { recovered: Recovered::fresh(genesis()), proposals: BTreeMap::new() };
        let core = Core::new(config.clone(), disk.recovered.clone(), now);
        let mut bench = Self { core, now, config, withheld: Vec::new(), invalid: Vec::new(), log: Vec::new(), disk };
        bench.step(Input::MaySign);
        bench
    }

    /// One input, what the composite would do with the effects included. Gives all effects, in order.
    pub(crate) fn step(&mut self, input: Input) -> Vec<Effect> {
        let mut inputs = VecDeque::from([input]);
        let mut all = Vec::new();
        while let Some(input) = inputs.pop_front() {
            let mut effects = Vec::new();
            self.core.step(self.now, input, &mut effects);
            for effect in effects {
                self.disk.save(&effect);
                inputs.extend(self.answer(&effect));
                all.push(effect);
            }
        }
        self.log.extend(all.iter().cloned());
        all
    }

    /// Signs, and judges payloads.
    fn answer(&mut self, effect: &Effect) -> Option<Input> {
        let own = match effect {
            Effect::SignVote(vote, _) => Own::Vote(signed(*vote)),
            Effect::SignPrePrepare(proposal, vote) => {
                Own::PrePrepare(PrePrepare { proposal: proposal.clone(), vote: signed(*vote) })
            }
            Effect::SignComplaint(complaint) => Own::Complaint(signed(*complaint)),
            Effect::SignViewChange(statement, prepared, committed) => {
                let (prepared, committed) = (prepared.clone(), committed.clone());
                let message = ViewChangeMessage { signed: signed(*statement), prepared, committed };
                admit_view_change(&message, EPOCH, self.config.quorum).expect("own view changes pass the door");
                Own::ViewChange(message)
            }
            Effect::SignNewView(statement) => {
                let start = (self.config.start.sequence, self.config.start.digest);
                admit_new_view(statement, self.config.leading(), start).expect("own new views pass the door");
                Own::NewView(signed((**statement).clone()))
            }
            Effect::CheckPayload(digest, _) if self.withheld.contains(digest) => return None,
            Effect::CheckPayload(digest, _) => return Some(Input::Payload(*digest, !self.invalid.contains(digest))),
            _ => return None,
        };
        self.disk.save_own(&own);
        Some(Input::Own(Box::new(own)))
    }

    pub(crate) fn pass(&mut self, ms: u64) -> Vec<Effect> {
        self.now.monotonic_ms += ms;
        self.now.wall_ms += ms;
        self.step(Input::Tick)
    }

    /// Time passes in small steps, as for a validator that is alive.
    pub(crate) fn pass_slowly(&mut self, ms: u64) -> Vec<Effect> {
        (0..ms / 50).flat_map(|_| self.pass(50)).collect()
    }

    /// A pre-prepare of the primary of `view`.
    pub(crate) fn pre_prepare(&mut self, view: u64, proposal: &Proposal) -> Vec<Effect> {
        self.step(Input::PrePrepare(self.pre_prepare_of(view, proposal)))
    }

    pub(crate) fn pre_prepare_of(&self, view: u64, proposal: &Proposal) -> PrePrepare {
        let primary = self.config.primary(View(view));
        PrePrepare { proposal: proposal.clone(), vote: vote(primary.0, Phase::Prepare, view, link_of(proposal)) }
    }

    pub(crate) fn vote(&mut self, validator: u16, phase: Phase, view: u64, link: Link) -> Vec<Effect> {
        self.step(Input::Vote(vote(validator, phase, view, link), None))
    }

    /// The votes of these validators.
    pub(crate) fn votes(&mut self, validators: &[u16], phase: Phase, view: u64, link: Link) -> Vec<Effect> {
        validators.iter().flat_map(|validator| self.vote(*validator, phase, view, link)).collect()
    }

    pub(crate) fn certificate(&mut self, certificate: Certificate) -> Vec<Effect> {
        admit_certificate(&certificate, certificate.phase, EPOCH, self.config.quorum).expect("it passes the door");
        self.step(Input::Certificate(certificate))
    }

    pub(crate) fn new_view(&mut self, new_view: Signed<NewView>) -> Vec<Effect> {
        let start = (self.config.start.sequence, self.config.start.digest);
        admit_new_view(&new_view.statement, self.config.leading(), start).expect("it passes the door");
        self.step(Input::NewView(Box::new(new_view)))
    }

    pub(crate) fn view_change(&mut self, change: ViewChangeMessage) -> Vec<Effect> {
        admit_view_change(&change, EPOCH, self.config.quorum).expect("it passes the door");
        self.step(Input::ViewChange(Box::new(change)))
    }

    pub(crate) fn complaint(&mut self, complaint: Signed<Complaint>) -> Vec<Effect> {
        self.step(Input::Complaint(complaint))
    }

    pub(crate) fn status(&mut self, from: u16, status: Status) -> Vec<Effect> {
        self.step(Input::Status(index(from), Box::new(status)))
    }

    /// Proposes as the composite would: `payload` at the slot, if there is one.
    pub(crate) fn propose(&mut self, payload: Payload) -> Option<Proposal> {
        let effects = self.step(Input::Propose(payload));
        effects.into_iter().find_map(|effect| match effect {
            Effect::SignPrePrepare(proposal, _) => Some(proposal),
            _ => None,
        })
    }

    /// Gives a proposal that was asked for by digest, and checks that it was.
    pub(crate) fn answer_asked(&mut self, effects: &[Effect], proposal: &Proposal) -> Vec<Effect> {
        let asked = Request::Proposal(proposal.digest());
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Ask(_, request) if *request == asked)));
        self.step(Input::Proposal(proposal.clone()))
    }

    /// As above, if it was asked for.
    pub(crate) fn answer_if_asked(&mut self, effects: &[Effect], proposal: &Proposal) -> Vec<Effect> {
        let asked = asked_in(effects).contains(&Request::Proposal(proposal.digest()));
        if asked { self.step(Input::Proposal(proposal.clone())) } else { Vec::new() }
    }

    /// Brings `proposals` to the tip: pre-prepared in `view`, committed by others.
    pub(crate) fn deliver(&mut self, view: u64, proposals: &[Proposal]) -> Vec<Effect> {
        let mut effects = Vec::new();
        for proposal in proposals {
            effects.extend(self.pre_prepare(view, proposal));
            effects.extend(self.certificate(committed(view, link_of(proposal))));
        }
        effects
    }

    /// Enters `view` from the stated certificates.
    pub(crate) fn enter(&mut self, view: u64, prepared: Option<Certificate>, committed: Option<Certificate>) {
        self.new_view(simple_new_view(view, prepared, committed));
        assert_eq!((self.core.view(), self.core.is_active()), (View(view), true));
    }

    /// Complaints of two others make it leave.
    pub(crate) fn make_leave(&mut self) -> Vec<Effect> {
        let (view, time) = (self.core.view().0, self.core.tip().time.0);
        let others: Vec<u16> = (0..4).filter(|other| *other != self.config.me.0).take(2).collect();
        others.iter().flat_map(|other| self.complaint(complaint(*other, view, time))).collect()
    }

    /// What is durable becomes all that is known; it signs when the caller says so.
    pub(crate) fn restart(&mut self) {
        self.core = Core::new(self.config.clone(), self.disk.recover(), self.now);
    }

    pub(crate) fn restart_and_sign(&mut self) -> Vec<Effect> {
        self.restart();
        self.step(Input::MaySign)
    }

    /// The record of the newest own view change is gone.
    pub(crate) fn forget_own_view_change(&mut self) {
        self.disk.recovered.view_change = None;
    }

    /// The stable checkpoint moves, as after execution and its certificate.
    pub(crate) fn stable(&mut self, sequence: u64) -> Vec<Effect> {
        self.disk.recovered.stable = Sequence(sequence);
        self.disk.recovered.executed = self.disk.recovered.executed.max(Sequence(sequence));
        self.step(Input::Executed(Sequence(sequence)));
        self.step(Input::Stable(Sequence(sequence)))
    }

    /// Every vote that this core ever had signed, over all restarts.
    pub(crate) fn all_votes(&self) -> Vec<Vote> {
        votes_in(&self.log)
    }
}

impl Disk {
    fn save(&mut self, effect: &Effect) {
        let recovered = &mut self.recovered;
        match effect {
            Effect::SaveView(view, active) => recovered.view = (*view, *active),
            Effect::SaveNewView(new_view) => recovered.new_view = Some((**new_view).clone()),
            Effect::SaveProposal(digest, proposal) => {
                self.proposals.insert(*digest, proposal.clone());
            }
            Effect::SaveVote(vote) => recovered.votes.push(*vote),
            Effect::SavePrepared(certificate) => recovered.prepared = Some(certificate.clone()),
            Effect::SaveCommit(certificate) => recovered.commits.push(certificate.clone()),
            Effect::Deliver(link, proposal) => {
                recovered.tip = *link;
                recovered.delivered.push((link.digest, proposal.clone()));
            }
            _ => {}
        }
    }

    fn save_own(&mut self, own: &Own) {
        match own {
            Own::Vote(vote) | Own::PrePrepare(PrePrepare { vote, .. }) => self.recovered.votes.push(*vote),
            Own::Complaint(complaint) => self.recovered.complaint = Some(*complaint),
            Own::ViewChange(change) => self.recovered.view_change = Some(change.clone()),
            Own::NewView(_) => {}
        }
    }

    fn recover(&self) -> Recovered {
        let mut recovered = self.recovered.clone();
        let (stable, tip) = (recovered.stable, recovered.tip.sequence);
        recovered.votes.retain(|vote| vote.statement.sequence > stable);
        recovered.delivered.retain(|(_, proposal)| proposal.sequence >= stable);
        let above = self.proposals.iter().filter(|(_, proposal)| proposal.sequence > tip);
        recovered.proposals = above.map(|(digest, proposal)| (*digest, proposal.clone())).collect();
        recovered
    }
}

/// The votes signed in `effects`, a primary's own among them.
pub(crate) fn votes_in(effects: &[Effect]) -> Vec<Vote> {
    let vote = |effect: &Effect| match effect {
        Effect::SignVote(vote, _) | Effect::SignPrePrepare(_, vote) => Some(*vote),
        _ => None,
    };
    effects.iter().filter_map(vote).collect()
}

/// As (phase, view, sequence), the digests left out.
pub(crate) fn places(votes: &[Vote]) -> Vec<(Phase, u64, u64)> {
    votes.iter().map(|vote| (vote.phase, vote.view.0, vote.sequence.0)).collect()
}

pub(crate) fn prepares_in(effects: &[Effect]) -> Vec<u64> {
    let prepares = votes_in(effects).into_iter().filter(|vote| vote.phase == Phase::Prepare);
    prepares.map(|vote| vote.sequence.0).collect()
}

pub(crate) fn commits_in(effects: &[Effect]) -> Vec<u64> {
    let commits = votes_in(effects).into_iter().filter(|vote| vote.phase == Phase::Commit);
    commits.map(|vote| vote.sequence.0).collect()
}

pub(crate) fn delivered_in(effects: &[Effect]) -> Vec<u64> {
    let delivered = |effect: &Effect| match effect {
        Effect::Deliver(link, _) => Some(link.sequence.0),
        _ => None,
    };
    effects.iter().filter_map(delivered).collect()
}

pub(crate) fn complaints_in(effects: &[Effect]) -> Vec<Complaint> {
    let complaint = |effect: &Effect| match effect {
        Effect::SignComplaint(complaint) => Some(*complaint),
        _ => None,
    };
    effects.iter().filter_map(complaint).collect()
}

pub(crate) fn view_changes_in(effects: &[Effect]) -> Vec<ViewChange> {
    let change = |effect: &Effect| match effect {
        Effect::SignViewChange(statement, ..) => Some(*statement),
        _ => None,
    };
    effects.iter().filter_map(change).collect()
}

pub(crate) fn asked_in(effects: &[Effect]) -> Vec<Request> {
    let request = |effect: &Effect| match effect {
        Effect::Ask(_, request) => Some(*request),
        _ => None,
    };
    effects.iter().filter_map(request).collect()
}

/// The messages sent to one validator alone.
pub(crate) fn sent_to(effects: &[Effect], to: u16) -> Vec<Message> {
    let message = |effect: &Effect| match effect {
        Effect::Send(one, message) if *one == index(to) => Some(message.clone()),
        _ => None,
    };
    effects.iter().filter_map(message).collect()
}

pub(crate) fn broadcast_in(effects: &[Effect]) -> Vec<Message> {
    let message = |effect: &Effect| match effect {
        Effect::Broadcast(message) => Some(message.clone()),
        _ => None,
    };
    effects.iter().filter_map(message).collect()
}

/// What `of` makes of those effects that it knows, in order.
pub(crate) fn stages<T>(effects: &[Effect], of: impl Fn(&Effect) -> Option<T>) -> Vec<T> {
    effects.iter().filter_map(of).collect()
}
