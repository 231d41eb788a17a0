//! How much one client may ask: calls and bytes per second by address, with the time to wait in the answer.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};

use quorate_transport::fault::{ApiFault, Reason};
use quorate_transport::limiter::{Limiter, Rate};
use quorate_transport::serve::ConnectionInfo;
use tokio::time::Instant;
use tonic::Extensions;

use crate::config::ClientsConfig;
use crate::metrics::Metrics;

/// Clients with an account at a time; one whose account is full again is forgotten when room is needed.
const CLIENTS: usize = 4_096;

/// The door.
#[derive(Debug)]
pub(crate) struct Door {
    accounts: Mutex<Limiter<IpAddr>>,
    metrics: Arc<Metrics>,
}

impl Door {
    pub(crate) fn new(config: &ClientsConfig, metrics: Arc<Metrics>) -> Self {
        // One second's worth at once: clients come in bursts.
        let rate = |per_second| Rate { per_second, burst: per_second };
        let accounts = Limiter::new(rate(config.requests_per_second), rate(config.bytes_per_second), CLIENTS);
        Self { accounts: Mutex::new(accounts), metrics }
    }

    /// Charges a client for one call or message of so many bytes.
    pub(crate) fn admit(&self, client: IpAddr, bytes: usize) -> Result<(), ApiFault> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.admit(Instant::now(), &client, 1, bytes as u64).map_err(|wait| {
            self.metrics.rate_limited.add(1);
            let text = "this address sends more than this validator takes of one client; wait, then send again";
            ApiFault::new(Reason::RateLimited, text).retry_after(wait)
        })
    }
}

/// Where a call comes from. A unix socket's calls have no address and count as local.
pub(crate) fn client_of(extensions: &Extensions) -> IpAddr {
    extensions.get::<ConnectionInfo>().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |info| info.remote.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NodeConfig;

    #[test]
    fn a_client_above_its_rate_is_told_how_long_to_wait_and_others_are_not() {
        let config =
            ClientsConfig { requests_per_second: 10, bytes_per_second: 1_024, ..NodeConfig::default().clients };
        let metrics = Arc::<Metrics>::default();
        let door = Door::new(&config, Arc::clone(&metrics));
        let [one, other] = [1, 2].map(|last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)));
        for _ in 0..10 {
            door.admit(one, 10).unwrap();
        }
        let fault = door.admit(one, 10).unwrap_err();
        assert_eq!(fault.reason, Reason::RateLimited);
        assert!(fault.retry_after.is_some_and(|wait| !wait.is_zero()));
        assert!(door.admit(other, 1_024).is_ok());
        assert!(door.admit(other, 1_024).is_err(), "bytes count too");
        assert_eq!(metrics.rate_limited.value(), 2);
    }
}
