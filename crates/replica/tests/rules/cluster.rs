//! The good case, the loss of a primary, a restart. Faults at large are the simulator's business.

use quorate_replica::Standing;

use crate::support::Cluster;

#[test]
fn four_replicas_order_operations_of_two_clients() {
    let mut cluster = Cluster::new(4);
    cluster.run(20);
    assert!(cluster.hosts.iter().all(|host| *host.replica.standing() == Standing::Signing));
    for _ in 0..10 {
        cluster.submit(0, 3);
        cluster.submit(2, 2);
        cluster.run(10);
    }
    cluster.run(600);
    cluster.assert_agreed(5);
    assert!(cluster.hosts[0].replica.report().stable.0 >= 4, "{:?}", cluster.executed());
    assert_eq!(cluster.hosts[0].replica.report().view.0, 0);
}

#[test]
fn one_replica_alone_orders_by_itself() {
    let mut cluster = Cluster::new(1);
    cluster.submit(0, 5);
    cluster.run(20);
    cluster.assert_agreed(1);
}

/// protocol §5.1, §5.2
#[test]
fn the_loss_of_the_primary_changes_the_view_and_the_primary_catches_up_when_it_is_back() {
    let mut cluster = Cluster::new(4);
    cluster.run(20);
    cluster.submit(1, 5);
    cluster.run(20);
    cluster.hosts[0].is_up = false;
    let before = cluster.executed()[1];
    for _ in 0..20 {
        cluster.submit(1, 2);
        cluster.run(200);
    }
    cluster.assert_agreed(before + 2);
    assert_eq!(cluster.hosts[1].replica.report().view.0, 1);
    let (store, guard) = (cluster.hosts[0].store.clone(), cluster.hosts[0].guard.clone());
    cluster.hosts[0] = cluster.boot(0, store, guard);
    cluster.run(2_000);
    cluster.submit(0, 3);
    cluster.run(1_000);
    cluster.assert_agreed(before + 3);
    assert_eq!(*cluster.hosts[0].replica.standing(), Standing::Signing);
}
