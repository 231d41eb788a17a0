//! The flight recorder: what it wrote leads a replica to the same outputs (docs/simulation, §6).

use quorate_node::recorder::{Moment, replay};
use quorate_types::ids::Sequence;
use quorate_types::parameters::Parameters;

use crate::harness::{Cluster, consensus_key};

fn record(config: &mut quorate_node::config::NodeConfig) {
    let path = config.paths.guard_file.with_extension("flight");
    config.telemetry.recording = Some(path);
}

async fn recordings() -> (Cluster, Vec<u8>, Vec<u8>) {
    let mut cluster = Cluster::start_with(4, Parameters::default(), record).await;
    cluster.ordering(1).await;
    for nonce in 1..6 {
        cluster.order(1, &cluster.make(nonce, &format!("c{nonce}"))).await;
    }
    let path = cluster.guard_path(1).with_extension("flight");
    cluster.stop(1).await.unwrap();
    let first = std::fs::read(&path).unwrap();
    cluster.start_one(1).await.unwrap();
    cluster.ordering(1).await;
    cluster.order(1, &cluster.make(6, "c6")).await;
    cluster.stop(1).await.unwrap();
    let second = std::fs::read(&path).unwrap();
    (cluster, first, second)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_gives_the_same_bytes_from_a_new_store_and_after_a_restart() {
    let (cluster, first, second) = recordings().await;
    for (recording, highest) in [(first, 0), (second, 1)] {
        let mut seen = (Sequence::ZERO, Sequence::ZERO);
        let done = replay(&recording, consensus_key(1), |moment: &Moment<'_>| {
            let executed = moment.replica.report().executed;
            if moment.number == 1 {
                seen.0 = executed;
            }
            seen.1 = executed;
        });
        let done = done.unwrap();
        assert!(done.turns > 10 && done.steps > 2 * done.turns / 2, "{done:?}");
        assert_eq!((done.other_bytes, done.other_words), (0, 0), "{done:?}");
        assert!(seen.0 >= Sequence(highest) && seen.1 > seen.0, "{seen:?}: the state moves on");
    }
    cluster.stop_all().await;
}

/// A recording holds no key; with another one the same things happen, signed otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_with_another_key_says_that_the_bytes_differ() {
    let (cluster, recording, _) = recordings().await;
    let done = replay(&recording, consensus_key(9), |_| {}).unwrap();
    assert!(done.other_bytes > 0, "{done:?}");
    assert_eq!(done.other_words, 0, "{done:?}");
    // An event that was changed leads elsewhere, and that is seen.
    let cut = &recording[..recording.len() * 2 / 3];
    assert!(replay(cut, consensus_key(1), |_| {}).unwrap().turns < done.turns);
    assert!(replay(&recording[1..], consensus_key(1), |_| {}).is_err());
    cluster.stop_all().await;
}
