//! The end of an epoch (protocol §8.4, §3.1, §4.2).

use quorate_types::ids::{Epoch, Sequence};
use quorate_types::message::{Request, Status};
use quorate_types::proposal::Payload;

use crate::support::{
    Bench, asked_in, chain, commits_in, committed, delivered_in, genesis, link_of, payload, prepared, prepares_in,
    status,
};

/// protocol §8.4: in no phase anybody votes above the epoch's last sequence, and a certificate of the epoch there is
/// invalid.
#[test]
fn nothing_above_the_last_sequence_is_voted_on_or_delivered() {
    let mut bench = Bench::new(1);
    bench.core.set_last(Sequence(4));
    let proposals = chain(genesis(), 6, 1);
    for proposal in &proposals {
        bench.pre_prepare(0, proposal);
    }
    assert_eq!(prepares_in(&bench.log), [1, 2, 3, 4]);
    assert_eq!(commits_in(&bench.certificate(prepared(0, link_of(&proposals[4])))), [0; 0]);
    assert_eq!(delivered_in(&bench.certificate(committed(0, link_of(&proposals[5])))), [0; 0]);
    assert_eq!(delivered_in(&bench.certificate(committed(0, link_of(&proposals[3])))), [1, 2, 3, 4]);
    assert_eq!(bench.core.last(), Some(Sequence(4)));
}

/// protocol §3.1: an idle primary goes on with empty proposals up to the last sequence, and no further.
#[test]
fn empty_proposals_lead_to_the_last_sequence() {
    let mut bench = Bench::new(0);
    let first = bench.propose(payload(1)).unwrap();
    bench.certificate(committed(0, link_of(&first)));
    bench.core.set_last(Sequence(3));
    for sequence in 2..=3 {
        bench.pass(1_000);
        assert!(bench.core.slot(bench.now).unwrap().may_be_empty);
        let empty = bench.propose(Payload::default()).unwrap();
        assert_eq!(empty.sequence, Sequence(sequence));
        bench.certificate(committed(0, link_of(&empty)));
    }
    bench.pass(1_000);
    assert_eq!(bench.core.slot(bench.now), None);
}

/// protocol §8.4: of a peer in a later epoch, what is left of this one is asked for; one in an earlier epoch says
/// nothing that counts.
#[test]
fn what_is_left_of_the_epoch_is_asked_of_those_who_are_ahead() {
    let mut bench = Bench::new(1);
    let of = |epoch| Status { epoch: Epoch(epoch), ..status(0, true, 50) };
    assert_eq!(asked_in(&bench.status(2, of(1))), [Request::Segment(Sequence(1))]);
    let mut ended = Bench::new(1);
    ended.core.set_last(Sequence(0));
    assert_eq!(asked_in(&ended.status(2, of(1))), [], "all of it is here");
}
