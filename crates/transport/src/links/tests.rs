//! Links over real TCP on the loopback interface.

mod harness;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use quorate_crypto::sha256;
use quorate_types::ids::{ClusterId, ValidatorIndex};
use quorate_types::limits::MAX_MESSAGE_BYTES;
use tonic::Code;

use self::harness::{End, Log, identity, raw_client, set_of, two_ends, wait_for};
use super::*;
use crate::pb::peer::v1::frame::Content;
use crate::pb::peer::v1::{Frame, Hello};

const A: ValidatorIndex = ValidatorIndex(0);
const B: ValidatorIndex = ValidatorIndex(1);

fn message(bytes: Bytes) -> Frame {
    Frame { content: Some(Content::Message(bytes)) }
}

fn hello(cluster: ClusterId, validator: u32, version: u32) -> Frame {
    let cluster = Bytes::copy_from_slice(cluster.0.as_bytes());
    Frame { content: Some(Content::Hello(Hello { version, cluster, validator, incarnation: Bytes::new() })) }
}

#[tokio::test]
async fn two_validators_exchange_frames_on_both_streams_in_order() {
    let [mut a, mut b] = two_ends(|_, _| {}).await;
    a.connected().await;
    b.connected().await;
    for number in 0..100u8 {
        assert_eq!(a.links.send(B, Lane::Control, Bytes::from(vec![number])), Sent::Queued);
        assert_eq!(b.links.send(A, Lane::Bulk, Bytes::from(vec![number; 1_000])), Sent::Queued);
    }
    for number in 0..100u8 {
        let control = b.next().await;
        assert_eq!((control.from, control.lane, &control.frame[..]), (A, Lane::Control, &[number][..]));
        let bulk = a.next().await;
        assert_eq!((bulk.from, bulk.lane, bulk.frame.len(), bulk.frame[0]), (B, Lane::Bulk, 1_000, number));
    }
    let view = &b.links.views()[0];
    assert_eq!((view.validator, view.lanes[0].received_frames), (A, 100));
    assert!(view.last_seen.is_some() && view.round_trip.is_some());
    assert_eq!(a.links.send(A, Lane::Control, Bytes::from_static(b"me")), Sent::NoPeer);
    assert_eq!(a.links.send(ValidatorIndex(9), Lane::Control, Bytes::from_static(b"?")), Sent::NoPeer);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_wrong_network_key_is_refused_on_both_sides_and_the_log_names_the_key_expected() {
    let log = Log::capture();
    // B's owner put another key in place; A has the one from the genesis.
    let [a, b] = two_ends(|index, config| {
        if index == B {
            config.identity = identity(77);
        }
    })
    .await;
    let (expected, shown) = (identity(1).public().to_string(), identity(77).public().to_string());
    let dialled = wait_for(&a.links, |view| view.problem.clone()).await;
    assert!(dialled.contains(&format!("expected is {expected} (v1)")), "{dialled}");
    assert!(dialled.contains(&shown), "{dialled}");
    let refused = wait_for(&b.links, |view| view.problem.clone().filter(|text| text.contains("refused our"))).await;
    assert!(refused.contains(&shown), "{refused}");
    let log = log.text();
    let accepted =
        format!("connection refused: the other end shows the network key {shown}, expected is {expected} (v1)");
    assert!(log.contains(&accepted), "{log}");
    assert!(log.contains("link down: the other end refused our network key"), "{log}");
    assert!(!a.links.views()[0].lanes[0].is_receiving);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn two_nodes_with_one_key_do_not_talk_to_each_other() {
    let [a, b] = two_ends(|_, config| config.identity = identity(0)).await;
    let problem = wait_for(&a.links, |view| view.problem.clone()).await;
    assert!(problem.contains(&identity(1).public().to_string()), "{problem}");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn another_cluster_is_refused_on_both_sides_and_the_log_names_both() {
    let log = Log::capture();
    let other = ClusterId(sha256(&[b"edited"]));
    let [a, b] = two_ends(|index, config| {
        if index == B {
            config.cluster = other;
        }
    })
    .await;
    let [ours, theirs] = [harness::cluster().to_string(), other.to_string()];
    for end in [&a, &b] {
        let told = |view: &PeerView| view.problem.clone().filter(|text| text.contains("genesis file was edited"));
        let problem = wait_for(&end.links, told).await;
        assert!(problem.contains(&ours) && problem.contains(&theirs), "{problem}");
    }
    let log = log.text();
    for (found, expected) in [(&ours, &theirs), (&theirs, &ours)] {
        let line = format!("link down: the other end is of cluster {found}, this validator of {expected}");
        assert!(log.contains(&line), "{log}");
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_message_at_the_limit_passes_and_one_above_is_not_sent() {
    let [a, mut b] = two_ends(|_, _| {}).await;
    a.connected().await;
    for lane in Lane::ALL {
        let largest = Bytes::from(vec![7; MAX_MESSAGE_BYTES]);
        assert_eq!(a.links.send(B, lane, largest), Sent::Queued);
        let arrived = b.next().await;
        assert_eq!((arrived.lane, arrived.frame.len()), (lane, MAX_MESSAGE_BYTES));
        assert_eq!(a.links.send(B, lane, Bytes::from(vec![7; MAX_MESSAGE_BYTES + 1])), Sent::BadSize);
        assert_eq!(a.links.send(B, lane, Bytes::new()), Sent::BadSize);
    }
    a.stop().await;
    b.stop().await;
}

/// A peer whose key is right and whose behaviour isn't: each stream ends, none harms the listener.
#[tokio::test]
async fn frames_that_have_no_place_end_the_stream() {
    let end = End::start(A, |_, _| {}).await;
    let cluster = harness::cluster();
    let good = hello(cluster, 1, 1);
    let cases = [
        ("above the limit", vec![good.clone(), message(Bytes::from(vec![1; MAX_FRAME_BYTES + 1]))], "limit"),
        ("empty", vec![good.clone(), message(Bytes::new())], "empty"),
        ("no content", vec![good.clone(), Frame { content: None }], "no place"),
        ("second hello", vec![good.clone(), good.clone()], "no place"),
        ("no hello", vec![message(Bytes::from_static(b"x"))], "no place"),
        ("version", vec![hello(cluster, 1, 2)], "version 2"),
    ];
    for (name, frames, expected) in cases {
        let mut client = raw_client(1, &end.address).await;
        let frames = stream::iter(frames).chain(stream::pending());
        let mut replies = client.control(frames).await.unwrap().into_inner();
        assert!(matches!(replies.message().await.unwrap().unwrap().content, Some(Content::Hello(_))));
        let status = replies.message().await.expect_err(name);
        assert!(status.message().contains(expected), "{name}: {status}");
    }
    end.stop().await;
}

#[tokio::test]
async fn a_newer_stream_replaces_the_one_before() {
    let mut end = End::start(A, |_, _| {}).await;
    let open = async |text: &'static [u8]| {
        let mut client = raw_client(1, &end.address).await;
        let frames = stream::iter([hello(harness::cluster(), 1, 1), message(Bytes::from_static(text))]);
        client.control(frames.chain(stream::pending())).await.unwrap().into_inner()
    };
    let mut first = open(b"first").await;
    first.message().await.unwrap();
    let mut second = open(b"second").await;
    second.message().await.unwrap();
    let end_of_first = first.message().await.expect_err("it ends");
    assert_eq!(end_of_first.code(), Code::AlreadyExists, "it hears why: {end_of_first}");
    assert_eq!(end.next().await.frame, "first");
    assert_eq!(end.next().await.frame, "second");
    assert!(end.links.views()[0].lanes[0].is_receiving);
    end.stop().await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_costs_no_more_than_the_bounds() {
    let limits = LinkLimits { bulk_queue_frames: 50, bulk_queue_bytes: 1 << 20, ..LinkLimits::default() };
    let [a, mut b] = two_ends(|_, config| config.limits = limits).await;
    a.connected().await;
    // Nobody takes from B's inbox: flow control fills, then A's queue, then A leaves out.
    let frame = Bytes::from(vec![1; 100_000]);
    let mut dropped = 0;
    while dropped < 5 {
        match a.links.send(B, Lane::Bulk, frame.clone()) {
            Sent::Dropped => dropped += 1,
            _ => tokio::task::yield_now().await,
        }
        let lane = a.links.views()[0].lanes[1];
        assert!(lane.queued_bytes <= 1 << 20 && lane.queued_frames <= 50);
    }
    assert_eq!(a.links.views()[0].lanes[1].dropped_frames, 5);
    // The control stream has a connection of its own and still delivers.
    a.links.send(B, Lane::Control, Bytes::from_static(b"vote"));
    loop {
        let next = b.next().await;
        if next.lane == Lane::Control {
            assert_eq!(next.frame, "vote");
            break;
        }
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_peer_above_its_rate_is_slowed_down_not_cut() {
    let rate = Rate { per_second: 20_000, burst: 2_000 };
    let limits = LinkLimits { control_receive: rate, ..LinkLimits::default() };
    let [a, mut b] = two_ends(|_, config| config.limits = limits).await;
    a.connected().await;
    for _ in 0..6 {
        a.links.send(B, Lane::Control, Bytes::from(vec![1; 1_000]));
    }
    let first = b.next().await.at;
    let mut last = first;
    for _ in 1..6 {
        last = b.next().await.at;
    }
    // Two fit the burst; the others are earned at 20 bytes a millisecond.
    assert!(last - first >= Duration::from_millis(150), "{:?}", last - first);
    a.stop().await;
    b.stop().await;
}

/// protocol §9.5: what waits of one peer is bounded by itself, so that no peer fills the inbox of all.
#[tokio::test]
async fn a_peer_has_only_its_own_places_in_the_inbox() {
    let [a, mut b] = two_ends(|_, _| {}).await;
    a.connected().await;
    for _ in 0..8 {
        a.links.send(B, Lane::Bulk, Bytes::from_static(b"bulk"));
    }
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(b.next().await);
    }
    // The fifth has been read, and waits for a place.
    wait_for(&b.links, |view| (view.lanes[1].received_frames >= 5).then_some(())).await;
    assert!(b.bulk.try_recv().is_err());
    held.pop();
    held.push(b.next().await);
    assert!(b.bulk.try_recv().is_err());
    drop(held);
    for _ in 0..3 {
        b.next().await;
    }
    a.stop().await;
    b.stop().await;
}

/// protocol §9.5: nor does it get new places by connecting again while what it sent before still waits.
#[tokio::test]
async fn a_peer_that_connects_again_has_the_same_places() {
    let mut end = End::start(A, |_, _| {}).await;
    let open = async || {
        let mut client = raw_client(1, &end.address).await;
        let bulk = (0..4).map(|_| message(Bytes::from_static(b"bulk")));
        let frames = stream::iter([hello(harness::cluster(), 1, 1)].into_iter().chain(bulk));
        let mut replies = client.bulk(frames.chain(stream::pending())).await.unwrap().into_inner();
        replies.message().await.unwrap();
        replies
    };
    let received = |frames| move |view: &PeerView| (view.lanes[1].received_frames >= frames).then_some(());
    let first = open().await;
    wait_for(&end.links, received(4)).await;
    let second = open().await;
    wait_for(&end.links, received(5)).await;
    // Four of the first stream wait; the second one's first has been read, and waits for a place.
    let held: Vec<_> = std::iter::from_fn(|| end.bulk.try_recv().ok()).collect();
    assert_eq!(held.len(), 4);
    drop(held);
    for _ in 0..4 {
        end.next().await;
    }
    drop((first, second));
    end.stop().await;
}

#[tokio::test]
async fn a_link_comes_back_after_the_peer_does() {
    let [mut a, b] = two_ends(|_, _| {}).await;
    a.connected().await;
    let (address, a_address) = (b.address.clone(), a.address.clone());
    b.stop().await;
    wait_for(&a.links, |view| (!view.lanes[0].is_sending).then_some(())).await;
    // What is sent meanwhile waits.
    a.links.send(B, Lane::Control, Bytes::from_static(b"waited"));
    let mut b = End::start_at(B, &address, |_, config| config.addresses = vec![(A, a_address.clone())]).await;
    assert_eq!(b.next().await.frame, "waited");
    b.links.send(A, Lane::Control, Bytes::from_static(b"back"));
    assert_eq!(a.next().await.frame, "back");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_lone_validator_has_no_peers_and_closes() {
    let set = Arc::new(set_of(1));
    let end = End::start(A, |_, config| config.set = Arc::clone(&set)).await;
    assert!(end.links.views().is_empty());
    end.links.broadcast(Lane::Control, &Bytes::from_static(b"x"));
    end.stop().await;
}
