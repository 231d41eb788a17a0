//! Ports of loopback that nobody uses.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context;

use crate::init::Ports;

/// Ports for so many validators. Nobody keeps others from taking them before the validators do, but the
/// system hands out each again only after all others.
pub(super) fn free(validators: usize) -> anyhow::Result<Vec<Ports>> {
    let listeners = (0..validators * 3).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let listeners = listeners.collect::<Result<Vec<_>, _>>().context("looking for free ports")?;
    let ports = listeners.iter().map(|listener| Ok(listener.local_addr()?.port()));
    let ports = ports.collect::<anyhow::Result<Vec<u16>>>()?;
    Ok(ports.chunks_exact(3).map(|ports| Ports { peer: ports[0], client: ports[1], metrics: ports[2] }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ports_differ() {
        let ports = free(4).unwrap();
        let all: std::collections::BTreeSet<u16> =
            ports.iter().flat_map(|ports| [ports.peer, ports.client, ports.metrics]).collect();
        assert_eq!(all.len(), 12);
    }
}
