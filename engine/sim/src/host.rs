//! A machine: its names and addresses, its disk, and who listens there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ringway_io::{Address, Errno};

use crate::config::DiskConfig;
use crate::disk::Disk;

/// Names a host of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostId(pub(crate) usize);

/// Where a host begins to give out ports for dials (ip(7), `ip_local_port_range`).
const EPHEMERAL_FIRST: u16 = 32_768;

/// One machine.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) disk: Disk,
    /// Listening descriptors by TCP address; several with `reuse_port`.
    pub(crate) tcp: BTreeMap<SocketAddr, Vec<u64>>,
    /// Listening descriptors by Unix path.
    pub(crate) unix: BTreeMap<PathBuf, u64>,
    /// Paths of Unix sockets that nobody listens on any more.
    pub(crate) stale: BTreeSet<PathBuf>,
    port_next: u16,
}

impl Host {
    pub(crate) fn new(id: HostId, name: &str, addresses: &[IpAddr], disk: &DiskConfig) -> Self {
        Self {
            name: name.to_owned(),
            addresses: addresses.to_vec(),
            disk: Disk::new(disk.clone(), id.0 as u64 + 1),
            tcp: BTreeMap::new(),
            unix: BTreeMap::new(),
            stale: BTreeSet::new(),
            port_next: EPHEMERAL_FIRST,
        }
    }

    /// A port nobody listens on.
    pub(crate) fn free_port(&mut self) -> u16 {
        loop {
            let port = self.port_next;
            self.port_next = port.checked_add(1).unwrap_or(EPHEMERAL_FIRST);
            if self.tcp.keys().all(|address| address.port() != port) {
                return port;
            }
        }
    }

    /// Who listens for `address`: those at exactly it, else those at the unspecified address.
    pub(crate) fn tcp_listeners(&self, address: SocketAddr) -> &[u64] {
        let unspecified = |ip: IpAddr| SocketAddr::new(ip, address.port());
        [
            address,
            unspecified(Ipv4Addr::UNSPECIFIED.into()),
            unspecified(std::net::Ipv6Addr::UNSPECIFIED.into()),
        ]
        .iter()
        .find_map(|candidate| self.tcp.get(candidate))
        .map_or(&[], Vec::as_slice)
    }

    /// Who listens at a Unix path.
    pub(crate) fn unix_listener(&self, path: &PathBuf) -> Result<u64, Errno> {
        let listener = self.unix.get(path).copied();
        listener.ok_or(if self.stale.contains(path) {
            Errno::ECONNREFUSED
        } else {
            Errno::ENOENT
        })
    }

    /// The address a dial to `target` comes from.
    pub(crate) fn source_address(&mut self, target: IpAddr) -> SocketAddr {
        let ip = if target.is_loopback() {
            target
        } else {
            let same_family = |ip: &&IpAddr| ip.is_ipv4() == target.is_ipv4();
            self.addresses
                .iter()
                .find(same_family)
                .copied()
                .unwrap_or(Ipv4Addr::UNSPECIFIED.into())
        };
        SocketAddr::new(ip, self.free_port())
    }

    /// Forgets a listening descriptor.
    pub(crate) fn unlisten(&mut self, address: &Address, object: u64) {
        match address {
            Address::Tcp(address) => {
                if let Some(listeners) = self.tcp.get_mut(address) {
                    listeners.retain(|&listener| listener != object);
                    if listeners.is_empty() {
                        self.tcp.remove(address);
                    }
                }
            }
            Address::Unix(path) => {
                if self.unix.get(path) == Some(&object) {
                    self.unix.remove(path);
                    self.stale.insert(path.clone());
                }
            }
        }
    }
}
