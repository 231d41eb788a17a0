//! A primary that starts one view twice, from different view changes.

use quorate_types::ids::View;
use quorate_types::message::Message;
use quorate_types::view_change::{NewView, ViewChange, ViewChangeMessage};

use super::{Behaviour, Letters, Stage};

/// Sends another new view to some.
#[derive(Debug)]
pub(super) struct TwoNewViews;

impl Behaviour for TwoNewViews {
    fn send(&mut self, stage: &mut Stage<'_>, to: u16, message: Message, out: &mut Letters) {
        match &message {
            Message::NewView(new_view) if new_view.signer() == stage.index() && stage.dice.chance(600) => {
                let other = another(stage, new_view.statement.view);
                out.push((to, other.unwrap_or_else(|| message.clone())));
                if stage.dice.chance(300) {
                    out.push((to, message));
                }
            }
            _ => out.push((to, message)),
        }
    }
}

/// A valid new view from a random choice among the view changes heard, with a lying one of its own.
fn another(stage: &mut Stage<'_>, view: View) -> Option<Message> {
    let quorum = stage.context.quorum().quorum();
    let mut changes: Vec<ViewChangeMessage> =
        stage.pool.changes_for(view).filter(|change| change.signed.signer() != stage.index()).cloned().collect();
    stage.dice.shuffle(&mut changes);
    let (prepared, committed, last_vote) = (None, None, None);
    let statement = ViewChange {
        epoch: stage.context.epoch,
        new_view: view,
        prepared,
        committed,
        last_vote,
        validator: stage.index(),
    };
    let own = ViewChangeMessage { signed: stage.sign(statement), prepared: None, committed: None };
    changes.insert(0, own);
    changes.truncate(quorum);
    if changes.len() < quorum {
        return None;
    }
    changes.sort_by_key(|change| change.signed.signer());
    let prepared = changes.iter().filter_map(|change| change.prepared.clone());
    let committed = changes.iter().filter_map(|change| change.committed.clone());
    let statement = NewView {
        epoch: stage.context.epoch,
        view,
        view_changes: changes.iter().map(|change| change.signed).collect(),
        prepared: prepared.max_by_key(|c| (c.claim.view, c.claim.sequence)),
        committed: committed.max_by_key(|c| c.claim.sequence),
        validator: stage.index(),
    };
    Some(Message::NewView(Box::new(stage.sign(statement))))
}
