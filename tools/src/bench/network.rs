//! The network under a test: which device, and what was sent again.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::ifaddrs::getifaddrs;
use serde::Serialize;

/// The device that packets to the peer leave by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Nic {
    pub(super) name: String,
    pub(super) mtu: Option<u64>,
    /// Of devices that have one.
    pub(super) speed_mbit_per_s: Option<u64>,
    pub(super) driver: Option<String>,
}

impl Nic {
    /// Asks the routing table; `None` for a Unix socket or a name that cannot be resolved.
    pub(super) fn towards(target: &ringway::Target) -> Option<Self> {
        let peer = resolve(target)?;
        let any: IpAddr = match peer {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        // Connecting a datagram socket sends nothing; it only chooses the address.
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect(peer).ok()?;
        let own = socket.local_addr().ok()?.ip();
        let has_it = |address: &nix::ifaddrs::InterfaceAddress| {
            let storage = address.address?;
            let ip: IpAddr = match (storage.as_sockaddr_in(), storage.as_sockaddr_in6()) {
                (Some(v4), _) => v4.ip().into(),
                (_, Some(v6)) => v6.ip().into(),
                _ => return None,
            };
            (ip == own).then(|| address.interface_name.clone())
        };
        let name = getifaddrs().ok()?.find_map(|address| has_it(&address))?;
        Some(Self::look(name))
    }

    fn look(name: String) -> Self {
        let read = |what: &str| fs::read_to_string(format!("/sys/class/net/{name}/{what}"));
        let number = |what| read(what).ok()?.trim().parse().ok();
        let driver = fs::read_link(format!("/sys/class/net/{name}/device/driver"));
        Self {
            mtu: number("mtu"),
            speed_mbit_per_s: number("speed"),
            driver: driver
                .ok()
                .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned())),
            name,
        }
    }
}

/// An address of the target; asks the resolver for a name, and may wait for it.
pub(super) fn resolve(target: &ringway::Target) -> Option<SocketAddr> {
    use std::net::ToSocketAddrs;
    match target.literal() {
        Some(ringway::Address::Tcp(address)) => return Some(address),
        Some(_) => return None,
        None => {}
    }
    match target {
        ringway::Target::Host { host, port } => {
            (host.as_str(), *port).to_socket_addrs().ok()?.next()
        }
        _ => None,
    }
}

/// TCP segments sent again by this network namespace so far (`RetransSegs` of /proc/net/snmp): of
/// everything in it, not of the test alone.
pub(super) fn retransmitted_segments() -> Option<u64> {
    retransmits_in(&fs::read_to_string("/proc/net/snmp").ok()?)
}

fn retransmits_in(snmp: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let place = lines
        .next()?
        .split_whitespace()
        .position(|name| name == "RetransSegs")?;
    lines.next()?.split_whitespace().nth(place)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retransmits_are_found_by_name() {
        let text = "Ip: A B\nIp: 1 2\nTcp: InSegs RetransSegs InErrs\nTcp: 10 77 -1\n";
        assert_eq!(retransmits_in(text), Some(77));
        assert_eq!(retransmits_in("Tcp: InSegs\nTcp: 1\n"), None);
        assert!(retransmitted_segments().is_some(), "this machine tells");
    }

    #[test]
    fn loopback_is_recognised() {
        let target = "127.0.0.1:1".parse().expect("an address");
        let nic = Nic::towards(&target).expect("there is one");
        assert_eq!((nic.name.as_str(), nic.driver), ("lo", None));
        let unix = "unix:/tmp/x".parse().expect("an address");
        assert_eq!(Nic::towards(&unix), None);
    }
}
