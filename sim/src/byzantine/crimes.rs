//! One broken rule each, plainly: what evidence of the rarer kinds is about (accountability §1.1).

use std::sync::Arc;

use quorate_crypto::sha256;
use quorate_types::bundle::{Bundle, BundleHeader, operations_root};
use quorate_types::ids::Sequence;
use quorate_types::message::{Message, VoteMessage};
use quorate_types::operation::Operation;
use quorate_types::proposal::{PrePrepare, Proposal};
use quorate_types::view_change::{NewView, ViewChange, ViewChangeMessage};
use quorate_types::vote::{Claim, Phase, Vote};

use super::{Behaviour, Letters, Stage};

/// Votes at every other sequence for something else than what it builds on.
#[derive(Debug)]
pub(super) struct OffChain;

impl Behaviour for OffChain {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        match &message {
            Message::Vote(VoteMessage { vote, .. })
                if vote.signer() == stage.index() && vote.statement.sequence.0.is_multiple_of(2) =>
            {
                let digest = sha256(&[b"elsewhere", vote.statement.digest.as_bytes()]);
                let vote = stage.sign(Vote { digest, ..vote.statement });
                out.push((to, Message::Vote(VoteMessage { vote, primary: None })));
            }
            _ => out.push((to, message)),
        }
    }
}

/// As primary proposes below and at the anchor of its own view.
#[derive(Debug)]
pub(super) struct OffAnchor;

impl Behaviour for OffAnchor {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        let Message::NewView(new_view) = &message else { return out.push((to, message)) };
        let (view, is_own) = (new_view.statement.view, new_view.signer() == stage.index());
        let newest = stage.pool.newest_proposal().map_or(Sequence::ZERO, |newest| newest.sequence);
        let last: Vec<Proposal> =
            stage.pool.proposals().filter(|held| newest.above(held.sequence) < 4).cloned().collect();
        out.push((to, message));
        for proposal in last.into_iter().filter(|_| is_own) {
            let other = Proposal { time: proposal.time.plus(1), ..proposal };
            let vote = Vote {
                epoch: other.epoch,
                view,
                sequence: other.sequence,
                digest: other.digest(),
                phase: Phase::Prepare,
                validator: stage.index(),
            };
            out.push((to, Message::PrePrepare(PrePrepare { vote: stage.sign(vote), proposal: other })));
        }
    }
}

/// Claims, in a view change, a certificate of the view that it wants to enter.
#[derive(Debug)]
pub(super) struct ImpossibleClaims;

impl Behaviour for ImpossibleClaims {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        match &message {
            Message::ViewChange(own) if own.signed.signer() == stage.index() => {
                let ViewChange { new_view: view, last_vote, .. } = own.signed.statement;
                let (sequence, digest) =
                    last_vote.map_or((Sequence(1), stage.context.start.1), |vote| (vote.sequence, vote.digest));
                let prepared = Some(Claim { view, sequence, digest });
                let signed = stage.sign(ViewChange { prepared, ..own.signed.statement });
                let (prepared, committed) = (None, None);
                out.push((to, Message::ViewChange(Box::new(ViewChangeMessage { signed, prepared, committed }))));
            }
            _ => out.push((to, message)),
        }
    }
}

/// As primary starts views with too few view changes.
#[derive(Debug)]
pub(super) struct HollowNewViews;

impl Behaviour for HollowNewViews {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        match &message {
            Message::NewView(own) if own.signer() == stage.index() => {
                let mut hollow: NewView = own.statement.clone();
                hollow.view_changes.pop();
                out.push((to, Message::NewView(Box::new(stage.sign(hollow)))));
            }
            _ => out.push((to, message)),
        }
    }
}

/// Bundles operations that their authors didn't sign.
#[derive(Debug)]
pub(super) struct ForgedOperations;

impl Behaviour for ForgedOperations {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        match &message {
            Message::Bundle(own) if own.header.signer() == stage.index() && stage.dice.chance(500) => {
                let forged = forge(stage, own);
                out.push((to, Message::Bundle(Arc::new(forged))));
            }
            _ => out.push((to, message)),
        }
    }
}

/// The bundle with the signature of its first operation spoiled, signed anew.
fn forge(stage: &Stage<'_>, own: &Bundle) -> Bundle {
    let mut operations = own.operations.clone();
    if let Some(first) = operations.first_mut() {
        let mut signed = first.signed().clone();
        let mut signature = *signed.signature.as_bytes();
        signature[0] ^= 1;
        signed.signature = quorate_crypto::Signature::from_bytes(signature);
        *first = Arc::new(Operation::decode(&signed).expect("only the signature is another"));
    }
    let header = BundleHeader { operations_root: operations_root(&operations), ..own.header.statement };
    Bundle { header: stage.sign(header), operations }
}
