//! One validator's own files, where it will run: keys, certificate, configuration, store, guard file.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use quorate_node::config::NodeConfig;
use quorate_node::keys;
use quorate_node::tls::Authority;
use quorate_types::genesis::GenesisValidator;
use quorate_types::ids::ClusterId;
use quorate_types::set::ValidatorInfo;

use super::genesis::{NAME, Rules};
use super::part::PublicPart;
use super::{AUTHORITY, AUTHORITY_KEY, GENESIS, NODE, PART, store};
use crate::files::{self, Readers};

/// A validator's ports.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// For other validators.
    pub peer: u16,
    /// For clients.
    pub client: u16,
    /// For Prometheus.
    pub metrics: u16,
}

/// Where a validator will be.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// Its name.
    pub name: String,
    /// The host name or address under which others reach it.
    pub host: String,
    /// The interface on which it listens.
    pub interface: IpAddr,
    /// Its ports.
    pub ports: Ports,
}

/// A validator whose keys are made, but not yet its store, which belongs to a cluster.
#[derive(Debug)]
pub(super) struct Prepared {
    /// What the genesis says of it.
    pub genesis: GenesisValidator,
    config: NodeConfig,
}

impl Site {
    /// Makes keys, certificate and configuration in `directory`, which must be empty. `genesis` is the path
    /// of the genesis file as the configuration names it.
    pub(super) fn prepare(&self, directory: &Path, genesis: &str, authority: &Authority) -> anyhow::Result<Prepared> {
        let config = self.config(directory, genesis);
        let consensus = files::create_key(&config.paths.consensus_key)?.public();
        let network = files::create_key(&config.paths.network_key)?.public();
        let names = [self.host.as_str(), &self.name, "localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut names = names.to_vec();
        names.sort();
        names.dedup();
        let certificate = authority.issue(&names).with_context(|| format!("a certificate for {}", self.host))?;
        files::create(&config.paths.client_certificate, certificate.certificate_pem.as_bytes(), Readers::All)?;
        keys::write_secret(&config.paths.client_key, certificate.key_pem.as_bytes())?;
        let relative = self.config(Path::new(""), genesis);
        files::create(&directory.join(NODE), relative.to_toml().as_bytes(), Readers::All)?;
        let info = ValidatorInfo {
            name: self.name.clone(),
            consensus_key: consensus,
            network_key: network,
            incarnation: files::random()?,
            peer_address: address(&self.host, self.ports.peer),
        };
        let client_address = Some(address(&self.host, self.ports.client));
        Ok(Prepared { genesis: GenesisValidator { info, client_address }, config })
    }

    fn config(&self, directory: &Path, genesis: &str) -> NodeConfig {
        let mut config = NodeConfig::default();
        config.peers.listen = SocketAddr::new(self.interface, self.ports.peer);
        config.clients.listen = SocketAddr::new(self.interface, self.ports.client);
        config.telemetry.metrics = Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.ports.metrics));
        config.paths.genesis = PathBuf::from(genesis);
        let paths = &mut config.paths;
        for path in [
            &mut config.admin_socket,
            &mut paths.store,
            &mut paths.guard_file,
            &mut paths.consensus_key,
            &mut paths.network_key,
            &mut paths.client_certificate,
            &mut paths.client_key,
        ] {
            *path = directory.join(&*path);
        }
        config
    }
}

impl Prepared {
    /// Makes store and guard file.
    pub(super) fn create_store(&self, cluster: Option<ClusterId>) -> anyhow::Result<()> {
        store::create(&self.config.paths, cluster, self.genesis.info.incarnation)
    }
}

/// `host:port`, with brackets around an address of IPv6.
pub(super) fn address(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Makes one validator of a cluster on many hosts.
pub(super) fn run(name: &str, host: &str, ports: Ports, directory: &Path) -> anyhow::Result<()> {
    let rules = Rules { name: NAME.to_owned(), ..Rules::default() };
    rules.admit([(name, address(host, ports.peer))].into_iter())?;
    files::create_directory(directory)?;
    let authority = Authority::make(name).context("making a certificate authority")?;
    files::create(&directory.join(AUTHORITY), authority.certificate_pem().as_bytes(), Readers::All)?;
    keys::write_secret(&directory.join(AUTHORITY_KEY), authority.key_pem().as_bytes())?;
    let interface = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let site = Site { name: name.to_owned(), host: host.to_owned(), interface, ports };
    let prepared = site.prepare(directory, GENESIS, &authority)?;
    prepared.create_store(None)?;
    let part = PublicPart::new(&prepared.genesis, authority.certificate_pem());
    let part_path = directory.join(PART);
    files::create(&part_path, part.to_toml()?.as_bytes(), Readers::All)?;
    println!("The validator {name} lies in {}.", directory.display());
    println!();
    println!("1. Send {} to whoever assembles the genesis; nothing in it is secret.", part_path.display());
    println!("2. Put the genesis.toml that comes back beside it, and compare its SHA-256 over another channel.");
    println!("3. quorate start --config {}", directory.join(NODE).display());
    Ok(())
}
