//! A whole cluster made in one place. Right for trying things out; for real use, keys belong where they
//! are used.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use quorate_node::keys;
use quorate_node::tls::Authority;
use quorate_types::genesis::Genesis;

use super::genesis::Rules;
use super::validator::{Ports, Prepared, Site, address};
use super::{ADMINISTRATOR_KEY, AUTHORITY, AUTHORITY_KEY, GENESIS, NODE};
use crate::files::{self, Readers};
use crate::paint;

/// Where the validators of a cluster will be.
#[derive(Clone, Debug)]
pub struct HostPlan {
    sites: Vec<Site>,
}

/// A cluster that was made.
#[derive(Debug)]
pub struct MadeHost {
    directory: PathBuf,
    genesis: Genesis,
    has_administrator_key: bool,
}

impl HostPlan {
    /// All on one host, on ports that follow each other.
    ///
    /// # Errors
    /// If the ports run out or overlap.
    pub fn on_one_host(validators: u16, host: &str, first: Ports) -> anyhow::Result<Self> {
        let mut starts = [first.peer, first.client, first.metrics];
        starts.sort_unstable();
        let fits = starts.windows(2).all(|pair| pair[1] - pair[0] >= validators)
            && starts[2].checked_add(validators - 1).is_some();
        ensure!(
            fits && starts[0] > 0,
            "{validators} validators need {validators} ports each from {}, {} and {} on, and these overlap or run out",
            first.peer,
            first.client,
            first.metrics
        );
        let ports =
            |index| Ports { peer: first.peer + index, client: first.client + index, metrics: first.metrics + index };
        Ok(Self::on_ports(host, (0..validators).map(ports)))
    }

    /// All on one host, on these ports. An address of the host is also where they listen.
    pub fn on_ports(host: &str, ports: impl Iterator<Item = Ports>) -> Self {
        let interface = host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let sites = ports.enumerate().map(|(index, ports)| Site {
            name: format!("v{index}"),
            host: host.to_owned(),
            interface,
            ports,
        });
        Self { sites: sites.collect() }
    }

    /// Each on a host (or in a container) of its own, all on the same ports.
    #[must_use]
    pub fn on_hosts(hosts: &[String], ports: Ports) -> Self {
        let interface = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let sites = hosts.iter().enumerate().map(|(index, host)| Site {
            name: format!("v{index}"),
            host: host.clone(),
            interface,
            ports,
        });
        Self { sites: sites.collect() }
    }
}

/// Makes the cluster in `directory`. The genesis is written last: a directory with one is complete.
///
/// # Errors
/// If the directory isn't empty, a rule is wrong, or something can't be written.
pub fn make_host(plan: &HostPlan, directory: &Path, rules: &Rules) -> anyhow::Result<MadeHost> {
    let sites = plan.sites.iter().map(|site| (site.name.as_str(), address(&site.host, site.ports.peer)));
    rules.admit(sites)?;
    files::create_directory(directory)?;
    let authority = Authority::make(&rules.name).context("making the certificate authority")?;
    files::create(&directory.join(AUTHORITY), authority.certificate_pem().as_bytes(), Readers::All)?;
    keys::write_secret(&directory.join(AUTHORITY_KEY), authority.key_pem().as_bytes())?;
    let has_administrator_key = rules.administrators.is_empty();
    let administrators = if has_administrator_key {
        vec![files::create_key(&directory.join(ADMINISTRATOR_KEY))?.public()]
    } else {
        rules.administrators.clone()
    };
    let mut prepared: Vec<Prepared> = Vec::with_capacity(plan.sites.len());
    for site in &plan.sites {
        let own = directory.join(&site.name);
        files::create_directory(&own)?;
        prepared.push(site.prepare(&own, &format!("../{GENESIS}"), &authority)?);
    }
    let validators = prepared.iter().map(|validator| validator.genesis.clone()).collect();
    let (text, genesis) = rules.genesis(validators, administrators)?;
    for validator in &prepared {
        validator.create_store(Some(genesis.cluster))?;
    }
    files::create(&directory.join(GENESIS), text.as_bytes(), Readers::All)?;
    Ok(MadeHost { directory: directory.to_owned(), genesis, has_administrator_key })
}

impl MadeHost {
    /// The genesis.
    #[must_use]
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    pub(super) fn print(&self) {
        let Self { directory, genesis, has_administrator_key } = self;
        let shown = directory.display();
        println!("{} of {} validators in {shown}", paint::title("A cluster"), genesis.content.validators.len());
        println!("  cluster id     {}", genesis.cluster);
        println!("  genesis        {shown}/{GENESIS}   from now on not one byte of it may change");
        println!("  clients trust  {shown}/{AUTHORITY}");
        if *has_administrator_key {
            println!("  administrator  {shown}/{ADMINISTRATOR_KEY}   may mint and burn; keep it safe");
        }
        println!();
        println!("Start each validator in a terminal of its own:");
        for validator in &genesis.content.validators {
            println!("  quorate start --config {shown}/{}/{NODE}", validator.info.name);
        }
        println!("Then:");
        println!("  quorate status --cluster {shown}");
        println!();
        println!("All keys of all validators were made in one place. That is right for trying things out, and wrong");
        println!("for real use: see `quorate init --validator`.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_that_overlap_or_run_out_are_refused() {
        let plan = |validators, peer, client, metrics| {
            HostPlan::on_one_host(validators, "127.0.0.1", Ports { peer, client, metrics })
        };
        assert!(plan(4, 7000, 7100, 7200).is_ok());
        assert!(plan(4, 7000, 7003, 7200).is_err());
        assert!(plan(4, 7000, 7100, 65_533).is_err());
        assert_eq!(plan(4, 7000, 7100, 65_532).unwrap().sites[3].ports.metrics, 65_535);
        assert!(plan(101, 7000, 7100, 7200).is_err());
    }
}
