//! The tap on one node: all that it does becomes facts for the invariants.

use quorate_node::tap::Tap;
use quorate_replica::{Event, Notice, Now, Outbox, Outgoing, Recipient, Replica, records};
use quorate_types::codec::Canonical;
use quorate_types::ids::ValidatorIndex;

use super::disk::Disk;
use super::hostile::Hostile;
use super::sight::{Shared, Sight};
use crate::world::invariants::Fact;
use crate::world::{place_of, statements_of};

/// Turns of one node while no time passes. One that takes more turns in circles, and would burn a core in
/// reality.
const MOST_TURNS_AT_ONCE: u32 = 5_000;

/// Listens to one validator for the length of one process.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) me: u16,
    pub(super) size: u16,
    pub(super) disk: Disk,
    pub(super) sight: Shared,
    /// How it misbehaves, if it is Byzantine.
    pub(super) hostile: Option<Hostile>,
    /// The time of the last turn, and how many there were at that time.
    pub(super) turns_at: (u64, u32),
}

impl Tap for Listener {
    fn on_start(&mut self, _: Now, replica: &mut Replica) {
        if self.hostile.is_some() {
            replica.overlook_own_key(quorate_determinism::stand_in());
        }
        let (me, place) = (self.me, place_of(&replica.report()));
        self.sight.with(|sight| {
            sight.note("start", me, &[]);
            sight.places[usize::from(me)] = place;
            sight.standings[usize::from(me)] = replica.standing().to_string();
            sight.tell(|| format!("-- {me} starts, {}: {place:?}", replica.standing()));
            sight.see(Fact::Restarted { by: me, place });
        });
    }

    fn admit(&mut self, now: Now, event: &Event) -> bool {
        let me = self.me;
        match event {
            Event::Message { from, message } => self.sight.with(|sight| {
                sight.deliveries += 1;
                sight.said.count(message.kind());
                let bytes = [&from.0.to_be_bytes()[..], &message.to_bytes()].concat();
                sight.note(message.kind(), me, &bytes);
            }),
            Event::Operation(operation) => {
                self.sight.with(|sight| sight.note("operation", me, operation.id().0.as_bytes()));
            }
            Event::Executed(executed) => self.on_executed(executed),
            Event::Promise(_)
            | Event::Round(_)
            | Event::Statement(_)
            | Event::Refused { .. }
            | Event::KeyElsewhere
            | Event::Turn => {}
        }
        let Some(hostile) = &mut self.hostile else { return true };
        hostile.at(now);
        self.sight.with(|Sight { troupe, observer, .. }| hostile.admit(troupe, &observer.scene().context, event))
    }

    fn on_turn(&mut self, now: Now, replica: &Replica, out: &Outbox) {
        self.admit_turn(now, replica);
        if let Some(hostile) = &mut self.hostile {
            hostile.at(now);
        }
        let (me, after) = (self.me, place_of(&replica.report()));
        self.sight.with(|sight| {
            sight.turns += 1;
            sight.note("turn", me, &[]);
            let before = std::mem::replace(&mut sight.places[usize::from(me)], after);
            sight.standings[usize::from(me)] = replica.standing().to_string();
            sight.see(Fact::Turn { by: me, before, after });
            for outgoing in out.after.iter().chain(&out.now) {
                for statement in statements_of(&outgoing.message, ValidatorIndex(me)) {
                    sight.see(Fact::Signed { by: me, statement, place: after });
                }
            }
        });
    }

    fn on_notice(&mut self, _: Now, notice: &Notice) {
        let me = self.me;
        self.sight.with(|sight| {
            if let Some(what) = named(notice) {
                sight.reach(what);
            }
            sight.tell(|| format!("{me}: {notice:?}"));
            sight.see(Fact::Notice { by: me, notice });
        });
    }

    fn leave(&mut self, messages: Vec<Outgoing>) -> Vec<Outgoing> {
        let Self { me, size, sight, hostile, .. } = self;
        sight.with(|sight| {
            let messages = match hostile {
                Some(hostile) => {
                    let Sight { troupe, observer, .. } = sight;
                    hostile.leave(troupe, &observer.scene().context, messages)
                }
                None => messages,
            };
            messages.into_iter().flat_map(|outgoing| leave(sight, (*me, *size), outgoing)).collect()
        })
    }
}

/// One message leaves, but for receivers that a fault of the plan keeps it from.
fn leave(sight: &mut Sight, (me, size): (u16, u16), outgoing: Outgoing) -> Vec<Outgoing> {
    let Outgoing { to, message } = outgoing;
    sight.note("leaves", me, &message.to_bytes());
    sight.see(Fact::Leaves { by: me, message: &message });
    if sight.dropped.is_empty() {
        return vec![Outgoing { to, message }];
    }
    let receivers: Vec<u16> = match to {
        Recipient::All => (0..size).filter(|to| *to != me).collect(),
        Recipient::One(to) => vec![to.0],
    };
    let kept = receivers.into_iter().filter(|to| !sight.is_dropped(message.kind(), me, *to));
    kept.map(|to| Outgoing { to: Recipient::One(ValidatorIndex(to)), message: message.clone() }).collect()
}

impl Listener {
    /// The driver's task never gives up its thread while it turns in circles: only a panic ends that.
    fn admit_turn(&mut self, now: Now, replica: &Replica) {
        let (at_ms, turns) = self.turns_at;
        self.turns_at = if at_ms == now.monotonic_ms { (at_ms, turns + 1) } else { (now.monotonic_ms, 1) };
        assert!(
            turns < MOST_TURNS_AT_ONCE,
            "the node of validator {} turns in circles at {at_ms} ms: its deadline is {} ms; {}",
            self.me,
            replica.deadline_ms(),
            replica.report(),
        );
    }

    fn on_executed(&self, executed: &quorate_replica::Executed) {
        let execution = executed.execution;
        let proposal = records::proposal(&execution.proposal).read(self.disk.store());
        let receipts = records::receipts_at(self.disk.store(), execution.sequence);
        let me = self.me;
        self.sight.with(|sight| {
            sight.note("executed", me, &execution.to_bytes());
            let (Ok(Some(proposal)), Ok(receipts)) = (proposal, receipts) else {
                return sight.verdict = Some(crate::world::Verdict::Harness(format!(
                    "validator {me} executed {} and doesn't hold its proposal and receipts",
                    execution.sequence
                )));
            };
            sight.tell(|| format!("{me} executed {}: {} receipts", execution.sequence, receipts.len()));
            sight.see(Fact::Executed { by: me, executed, proposal: &proposal, receipts: &receipts });
        });
    }
}

/// Branches that a campaign must have reached.
fn named(notice: &Notice) -> Option<&'static str> {
    use quorate_replica::CoreNotice;
    Some(match notice {
        Notice::Core(CoreNotice::Enters { .. }) => "view entered",
        Notice::Core(CoreNotice::Complains(..)) => "complaint",
        Notice::Delivered { .. } => "delivered",
        Notice::Stable(_) => "stable checkpoint",
        Notice::Evidence(..) => "contradiction seen",
        Notice::Conviction(_) => "validator convicted",
        _ => return None,
    })
}
