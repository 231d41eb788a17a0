//! The limit that verifying signatures sets: what this machine could order if nothing else cost anything.
//!
//! Every validator verifies every client's signature, in batches, on the cores that all of them share here.
//! The cost is measured in the same run as the cluster, because machines differ and are noisy.

use std::time::Duration;

use quorate_crypto::{Item, PublicKey, Scheme, SecretKey, Signature};
use rustix::time::{ClockId, clock_gettime};

/// Signatures in one batch: about what a bundle of a busy cluster holds.
const BATCH: usize = 256;

/// What verification costs.
#[derive(Clone, Copy, Debug)]
pub struct VerificationLimit {
    /// One signature in a batch on one core, in nanoseconds.
    pub signature_ns: u64,
    /// Validators that share the cores.
    pub validators: u64,
    /// Cores.
    pub cores: u64,
}

impl VerificationLimit {
    /// Measures for about `time` of one core, with the keys of `authors` clients.
    #[must_use]
    pub fn measure(time: Duration, authors: usize, validators: u64) -> Self {
        let keys: Vec<SecretKey> = (0..authors.max(1)).map(|index| SecretKey::from_seed(seed(index))).collect();
        let signed: Vec<(PublicKey, [u8; 84], Signature)> = (0..BATCH)
            .map(|index| {
                let key = &keys[index % keys.len()];
                // As long as what an operation's author signs: tag, cluster, id.
                let mut message = [0; 84];
                message[..32].copy_from_slice(&seed(index));
                (key.public(), message, key.sign(&message))
            })
            .collect();
        let items: Vec<Item<'_>> =
            signed.iter().map(|(key, message, signature)| Item { key: *key, message, signature: *signature }).collect();
        let started = cpu_time();
        let mut verified = 0u64;
        while verified == 0 || cpu_time() - started < time {
            let verdicts = Scheme::Ed25519.verify_batch(&items);
            assert!(verdicts.iter().all(|valid| *valid), "signatures made here are valid");
            verified += verdicts.len() as u64;
        }
        let signature_ns = u64::try_from((cpu_time() - started).as_nanos()).unwrap_or(u64::MAX) / verified;
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        Self { signature_ns: signature_ns.max(1), validators, cores }
    }

    /// Operations per second if all cores did nothing but verify every operation at every validator.
    #[must_use]
    pub const fn operations_per_second(&self) -> u64 {
        1_000_000_000 * self.cores / (self.signature_ns * self.validators)
    }
}

/// What this thread has had of a processor: others on the machine don't count.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let part = |value: i64| u64::try_from(value).unwrap_or_default();
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}

fn seed(index: usize) -> [u8; 32] {
    let mut seed = [0x51; 32];
    seed[..8].copy_from_slice(&(index as u64).to_be_bytes());
    seed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_cores_over_validators_times_cost() {
        let limit = VerificationLimit { signature_ns: 20_000, validators: 4, cores: 2 };
        assert_eq!(limit.operations_per_second(), 25_000);
    }

    #[test]
    fn measuring_gives_a_cost() {
        assert!(VerificationLimit::measure(Duration::ZERO, 4, 4).signature_ns > 1_000);
    }
}
