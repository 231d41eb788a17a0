//! Nothing relies on a single delivery (protocol §9.1, §9.2, §1.4): each kind of message is lost for a while, where
//! every validator left is needed, and everything heals.

use quorate_types::ids::View;
use quorate_types::message::Message;

use crate::support::Cluster;

/// Loses every message of a kind on its way to `victim`, while another validator is down, under load. Then the
/// links heal, and what was ordered must reach everyone who is up.
fn lose(kind: &'static str, victim: usize, down: usize) {
    let mut cluster = Cluster::new(4);
    cluster.run(20);
    cluster.submit(victim, 1);
    cluster.run(50);
    cluster.hosts[down].is_up = false;
    cluster.links = Box::new(move |_, to, message| to != victim || message.kind() != kind);
    for _ in 0..10 {
        cluster.submit(victim, 1);
        cluster.submit((victim + 1) % 4, 1);
        cluster.run(200);
    }
    cluster.links = Box::new(|_, _, _| true);
    let acknowledged = |cluster: &Cluster| -> usize {
        let up = cluster.hosts.iter().filter(|host| host.is_up);
        up.map(|host| host.replica.report().certified.0).min().map_or(0, |least| usize::try_from(least).unwrap_or(0))
    };
    let before = cluster.hosts.iter().map(|host| host.replica.report().committed.0).max().unwrap_or(0);
    cluster.submit(victim, 1);
    cluster.run_until(30_000, |cluster| acknowledged(cluster) as u64 > before);
    let contradictions = cluster.hosts.iter().map(|host| host.evidence.len());
    assert_eq!(contradictions.sum::<usize>(), 0, "{kind}");
}

/// protocol §9.2: in the normal case: the primary is up, one backup is down, the other hears no such message.
#[test]
fn each_kind_of_message_of_the_normal_case_may_be_lost_for_a_while() {
    for kind in [
        "pre-prepare",
        "prepare",
        "commit",
        "bundle",
        "status",
        "execution-vote",
        "execution-certificate",
        "certificate",
        "proposal",
        "segment",
    ] {
        lose(kind, 3, 2);
    }
}

/// protocol §9.2, §5.2: in a view change: the primary is down, and a backup, or the next primary, hears no such
/// message.
#[test]
fn each_kind_of_message_of_a_view_change_may_be_lost_for_a_while() {
    for kind in ["complaint", "view-change", "new-view", "status", "proposal", "bundle", "prepare", "commit"] {
        for victim in [1, 3] {
            lose(kind, victim, 0);
        }
    }
}

/// protocol §5.1, §5.4: a validator that hears nothing of the others, and they nothing of it, comes back into the
/// view where they are, and nobody has run away.
#[test]
fn a_cut_off_validator_does_not_run_away() {
    let mut cluster = Cluster::new(4);
    cluster.run(20);
    cluster.links = Box::new(|from, to, _| from != 3 && to != 3);
    for _ in 0..50 {
        cluster.submit(3, 1);
        cluster.submit(1, 1);
        cluster.run(200);
    }
    let views: Vec<u64> = cluster.hosts.iter().map(|host| host.replica.report().view.0).collect();
    assert_eq!(views, [0, 0, 0, 0]);
    cluster.links = Box::new(|_, _, _| true);
    let reached = cluster.hosts[0].replica.report().committed;
    cluster.run_until(10_000, |cluster| cluster.hosts[3].replica.report().executed > reached);
    assert!(cluster.hosts.iter().all(|host| host.replica.report().view <= View(1)));
}

/// protocol §4.6: a validator whose messages nobody gets complains alone, for ever, and mutes nobody.
#[test]
fn a_mute_validator_harms_nobody() {
    let mut cluster = Cluster::new(4);
    cluster.run(20);
    cluster.links = Box::new(|from, _, _| from != 3);
    for _ in 0..30 {
        cluster.submit(3, 1);
        cluster.submit(0, 1);
        cluster.run(200);
    }
    for at in 0..3 {
        let report = cluster.hosts[at].replica.report();
        assert!(report.view == View(0) && report.executed.0 >= 29, "{report:?}");
    }
}

/// protocol §3.6, §4.1: a lane that is given to some and not to the primary is fetched by way of the reports: no view
/// change is needed for it.
#[test]
fn a_lane_kept_from_the_primary_is_ordered_without_a_view_change() {
    let mut cluster = Cluster::new(4);
    cluster.run(20);
    cluster.links = Box::new(|from, to, message| {
        from != 3 || to != 0 || !matches!(message, Message::Bundle(_) | Message::Status(_))
    });
    for _ in 0..20 {
        cluster.submit(3, 1);
        cluster.run(400);
    }
    cluster.run(1_000);
    for host in &cluster.hosts {
        let report = host.replica.report();
        assert!(report.view == View(0) && report.executed.0 >= 10, "{report:?}");
    }
}

/// protocol §9.1, §9.2: one lost message, where every validator left is needed, is made up for before the timeout:
/// it costs no view.
#[test]
fn one_lost_message_costs_no_view() {
    for kind in ["pre-prepare", "prepare", "commit"] {
        let mut cluster = Cluster::new(4);
        cluster.run(20);
        for _ in 0..60 {
            cluster.submit(1, 1);
            cluster.run(10);
        }
        cluster.hosts[2].is_up = false;
        assert!(cluster.hosts[3].replica.report().timeout_ms < 300, "round trips are short");
        let before = cluster.hosts[0].replica.report().committed;
        let lost = std::cell::Cell::new(false);
        cluster.links = Box::new(move |_, to, message| to != 3 || message.kind() != kind || lost.replace(true));
        cluster.submit(1, 1);
        cluster.run_until(1_000, |cluster| cluster.hosts[3].replica.report().committed > before);
        cluster.run(500);
        assert_eq!(cluster.hosts[3].replica.report().view, View(0), "{kind}");
    }
}
