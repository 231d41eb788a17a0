//! What the Byzantine validators have heard, newest first to go last; bounded.

use std::collections::{BTreeMap, VecDeque};

use quorate_crypto::Digest;
use quorate_types::ids::{Sequence, View};
use quorate_types::message::Message;
use quorate_types::proposal::Proposal;
use quorate_types::signed::Signed;
use quorate_types::view_change::ViewChangeMessage;
use quorate_types::vote::{Certificate, Vote};

/// The most of anything that is kept.
const KEPT: usize = 256;

/// Things heard.
#[derive(Debug, Default)]
pub struct Pool {
    votes: VecDeque<Signed<Vote>>,
    proposals: BTreeMap<(Sequence, Digest), Proposal>,
    changes: BTreeMap<(View, u16), ViewChangeMessage>,
    certificates: VecDeque<Certificate>,
    messages: VecDeque<Message>,
    view: View,
}

fn keep<T>(queue: &mut VecDeque<T>, item: T) {
    queue.push_back(item);
    if queue.len() > KEPT {
        queue.pop_front();
    }
}

impl Pool {
    pub(super) fn hear(&mut self, message: &Message) {
        match message {
            Message::PrePrepare(pre_prepare) => {
                keep(&mut self.votes, pre_prepare.vote);
                self.hear_proposal(&pre_prepare.proposal);
                self.view = self.view.max(pre_prepare.vote.statement.view);
            }
            Message::Vote(vote) => {
                vote.primary.into_iter().chain([vote.vote]).for_each(|vote| keep(&mut self.votes, vote));
            }
            Message::ViewChange(change) => {
                let key = (change.signed.statement.new_view, change.signed.signer().0);
                self.changes.insert(key, (**change).clone());
                if self.changes.len() > KEPT {
                    self.changes.pop_first();
                }
                let certificates = [&change.prepared, &change.committed].into_iter().flatten();
                certificates.for_each(|certificate| keep(&mut self.certificates, certificate.clone()));
            }
            Message::NewView(new_view) => self.view = self.view.max(new_view.statement.view),
            Message::Certificate(certificate) => keep(&mut self.certificates, certificate.clone()),
            Message::Proposal(proposal) => self.hear_proposal(proposal),
            Message::Segment(segment) => {
                segment.proposals.iter().for_each(|proposal| self.hear_proposal(proposal));
                keep(&mut self.certificates, segment.certificate.clone());
            }
            _ => {}
        }
        if !matches!(message, Message::Request(_)) {
            keep(&mut self.messages, message.clone());
        }
    }

    fn hear_proposal(&mut self, proposal: &Proposal) {
        self.proposals.insert((proposal.sequence, proposal.digest()), proposal.clone());
        if self.proposals.len() > KEPT {
            self.proposals.pop_first();
        }
    }

    /// The newest view known to have started.
    #[must_use]
    pub const fn view(&self) -> View {
        self.view
    }

    /// Votes, the newest last.
    #[must_use]
    pub const fn votes(&self) -> &VecDeque<Signed<Vote>> {
        &self.votes
    }

    /// Certificates, the newest last.
    #[must_use]
    pub const fn certificates(&self) -> &VecDeque<Certificate> {
        &self.certificates
    }

    /// Messages, the newest last.
    #[must_use]
    pub const fn messages(&self) -> &VecDeque<Message> {
        &self.messages
    }

    /// The proposals of the highest sequence.
    pub fn newest_proposal(&self) -> Option<&Proposal> {
        self.proposals.last_key_value().map(|(_, proposal)| proposal)
    }

    /// All proposals.
    pub fn proposals(&self) -> impl Iterator<Item = &Proposal> {
        self.proposals.values()
    }

    /// View changes for a view.
    pub fn changes_for(&self, view: View) -> impl Iterator<Item = &ViewChangeMessage> {
        self.changes.range((view, 0)..=(view, u16::MAX)).map(|(_, change)| change)
    }

    /// Digests that votes name.
    pub(super) fn digest(&self, index: u64) -> Option<Digest> {
        let count = self.votes.len() as u64;
        let index = usize::try_from(index.checked_rem(count)?).ok()?;
        self.votes.get(index).map(|vote| vote.statement.digest)
    }
}
