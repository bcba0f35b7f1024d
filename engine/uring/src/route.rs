//! What kind of way the bytes of a connection take.
//!
//! Zero-copy sends help only towards a device that gathers from memory. Loopback and veth copy
//! late, whatever the kernel promised first, so the route is told before the first byte.

use std::fs;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;
use ringway_io::{Address, Route};

use crate::address;

/// Looks at both ends of a connection.
pub(crate) fn route(socket: &OwnedFd) -> Route {
    let (local, peer) = (address::local(socket), address::peer(socket));
    let (Ok(local), Ok(peer)) = (local, peer) else {
        return Route::Virtual;
    };
    let (Address::Tcp(local), Address::Tcp(peer)) = (local, peer) else {
        return Route::Unix;
    };
    let (local, peer) = (local.ip().to_canonical(), peer.ip().to_canonical());
    if local.is_loopback() || peer.is_loopback() || local == peer {
        return Route::Loopback;
    }
    by_interface(local, peer, &own_addresses())
}

/// Interface names with their addresses.
fn own_addresses() -> Vec<(String, IpAddr)> {
    let Ok(interfaces) = getifaddrs() else {
        return Vec::new();
    };
    let own = interfaces.filter_map(|each| Some((each.interface_name, ip(&each.address?)?)));
    own.collect()
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    if let Some(four) = address.as_sockaddr_in() {
        return Some(IpAddr::V4(four.ip()));
    }
    let six = address.as_sockaddr_in6()?;
    Some(IpAddr::V6(six.ip()))
}

fn by_interface(local: IpAddr, peer: IpAddr, own: &[(String, IpAddr)]) -> Route {
    // A peer at another address of this host is reached through `lo`.
    if own.iter().any(|(_, address)| *address == peer) {
        return Route::Loopback;
    }
    let through = own.iter().find(|(_, address)| *address == local);
    match through {
        Some((name, _)) if is_device(name) => Route::Device,
        _ => Route::Virtual,
    }
}

/// Whether a device stands behind the interface: its own, or that of an interface below it (a
/// bond, a VLAN). A bridge may lead anywhere and counts as none.
fn is_device(name: &str) -> bool {
    let place = PathBuf::from("/sys/class/net").join(name);
    if has_device(&place) {
        return true;
    }
    !place.join("bridge").exists() && lower(&place).iter().any(|below| has_device(below))
}

fn has_device(place: &Path) -> bool {
    place.join("device").exists()
}

fn lower(place: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(place) else {
        return Vec::new();
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_lower = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("lower_")
    };
    paths.filter(is_lower).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_at_another_address_of_this_host_is_reached_through_loopback() {
        let own = [
            ("no-such-if".to_string(), IpAddr::from([10, 0, 0, 1])),
            ("no-such-if-2".to_string(), IpAddr::from([10, 0, 1, 1])),
        ];
        let local = IpAddr::from([10, 0, 0, 1]);
        let route = by_interface(local, IpAddr::from([10, 0, 1, 1]), &own);
        assert_eq!(route, Route::Loopback);
        let route = by_interface(local, IpAddr::from([10, 0, 2, 1]), &own);
        assert_eq!(route, Route::Virtual, "an interface nobody knows");
    }
}
