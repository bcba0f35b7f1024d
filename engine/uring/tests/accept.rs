//! Accepting and listening.

mod rig;

use std::collections::HashSet;
use std::io::Read;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rig::{Rig, config_without, descriptor};
use ringway_io::{
    Address, Capability, Descriptor, Errno, Kernel, ListenOptions, Op, Route, SocketOption, Wait,
};

const LISTEN: ListenOptions = ListenOptions {
    backlog: 64,
    reuse_port: false,
    unix_mode: 0o600,
};

fn listen(rig: &mut Rig) -> (Descriptor, std::net::SocketAddr) {
    let any: Address = "127.0.0.1:0".parse().expect("valid");
    let listener = rig.kernel.listen(&any, LISTEN).expect("listens");
    match rig.kernel.local_address(&listener) {
        Ok(Address::Tcp(address)) => (listener, address),
        other => panic!("{other:?}"),
    }
}

fn accepts(mut rig: Rig, is_multishot: bool) {
    let (listener, address) = listen(&mut rig);
    let mut op = rig.submit(Op::Accept {
        listener: listener.clone(),
    });
    let (mut arms, mut accepted) = (1, Vec::new());
    let peers: Vec<_> = (0..20)
        .map(|_| TcpStream::connect(address).expect("connects"))
        .collect();
    while accepted.len() < peers.len() {
        let completion = rig.next_of(op);
        let more = completion.more;
        accepted.push(descriptor(completion));
        if !more {
            arms += 1;
            op = rig.submit(Op::Accept {
                listener: listener.clone(),
            });
        }
    }
    assert_eq!(arms, if is_multishot { 1 } else { 21 });
    let ours: HashSet<_> = accepted
        .iter()
        .map(|socket| rig.kernel.peer_address(socket).expect("connected"))
        .collect();
    let theirs: HashSet<_> = peers
        .iter()
        .map(|peer| Address::Tcp(peer.local_addr().expect("bound")))
        .collect();
    assert_eq!(ours, theirs);
    rig.kernel.cancel(op);
    rig::expect_error(&rig.next_of(op), Errno::ECANCELED);
    rig.finish();
}

#[test]
fn one_accept_reports_every_connection() {
    let rig = Rig::new();
    let is_multishot = rig.has(Capability::AcceptMultishot);
    accepts(rig, is_multishot);
}

#[test]
fn without_the_capability_each_accept_reports_one() {
    accepts(
        Rig::with(config_without(Capability::AcceptMultishot)),
        false,
    );
}

#[test]
fn an_orphaned_accept_closes_the_connections_it_still_reports() {
    let mut rig = Rig::new();
    let (listener, address) = listen(&mut rig);
    let op = rig.submit(Op::Accept { listener });
    rig.turn(Wait::No);
    let mut peer = TcpStream::connect(address).expect("connects");
    rig.kernel.orphan(op);
    rig.turn_until("the orphan's end", |rig| rig.kernel.in_flight() == 0);
    assert!(rig.waiting().is_empty());
    // Accepted and dropped, or refused with the listener: closed in any case, never left hanging.
    assert_eq!(peer.read(&mut [0; 1]).unwrap_or(0), 0);
    rig.finish();
}

#[test]
fn accepting_on_what_does_not_listen_fails() {
    let mut rig = Rig::new();
    let address: Address = "127.0.0.1:1".parse().expect("valid");
    let socket = rig.kernel.socket(&address).expect("a socket");
    let completion = rig.run(Op::Accept { listener: socket });
    rig::expect_error(&completion, Errno::EINVAL);
    rig.finish();
}

#[test]
fn two_shards_may_listen_on_one_port_only_if_both_say_so() {
    let mut rig = Rig::new();
    let (_one, address) = listen(&mut rig);
    let taken = rig.kernel.listen(&Address::Tcp(address), LISTEN);
    assert_eq!(taken.expect_err("taken"), Errno::EADDRINUSE);
    let shared = ListenOptions {
        reuse_port: true,
        ..LISTEN
    };
    let any: Address = "127.0.0.1:0".parse().expect("valid");
    let one = rig.kernel.listen(&any, shared).expect("listens");
    let address = rig.kernel.local_address(&one).expect("bound");
    let two = rig.kernel.listen(&address, shared).expect("listens too");
    drop((one, two));
    rig.finish();
}

fn unix_address(path: &Path) -> Address {
    Address::Unix(path.to_path_buf())
}

#[test]
fn a_unix_path_has_its_mode_whatever_the_umask() {
    let mut rig = Rig::new();
    let folder = tempfile::tempdir().expect("a folder");
    for mode in [0o600, 0o660, 0o777, 0o622] {
        let path = folder.path().join(format!("socket-{mode:o}"));
        let options = ListenOptions {
            unix_mode: mode,
            ..LISTEN
        };
        let _listener = rig.kernel.listen(&unix_address(&path), options);
        let found = std::fs::metadata(&path).expect("bound").permissions();
        assert_eq!(found.mode() & 0o7777, mode);
    }
    rig.finish();
}

#[test]
fn a_stale_unix_path_is_replaced_and_a_live_one_is_not() {
    let mut rig = Rig::new();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let address = unix_address(&path);
    let first = rig.kernel.listen(&address, LISTEN).expect("listens");
    let taken = rig.kernel.listen(&address, LISTEN);
    assert_eq!(taken.expect_err("taken"), Errno::EADDRINUSE);
    UnixStream::connect(&path).expect("the first still listens");
    drop(first);
    assert!(path.exists(), "closing leaves the path behind");
    let _second = rig.kernel.listen(&address, LISTEN).expect("replaced");
    UnixStream::connect(&path).expect("the second listens");
    let names = std::fs::read_dir(folder.path()).expect("reads").count();
    assert_eq!(names, 1, "nothing is left aside");

    let file = folder.path().join("file");
    std::fs::write(&file, b"precious").expect("writes");
    let refused = rig.kernel.listen(&unix_address(&file), LISTEN);
    assert_eq!(refused.expect_err("no socket"), Errno::EADDRINUSE);
    assert_eq!(std::fs::read(&file).expect("still there"), b"precious");
    rig.finish();
}

#[test]
fn an_abstract_name_and_its_peer_are_known() {
    let mut rig = Rig::new();
    let name = format!("\0ringway-test-{}", std::process::id());
    let address = Address::Unix(name.into());
    let listener = rig.kernel.listen(&address, LISTEN).expect("listens");
    assert_eq!(rig.kernel.local_address(&listener), Ok(address.clone()));
    let accept = rig.submit(Op::Accept { listener });
    let socket = rig.kernel.socket(&address).expect("a socket");
    let connect = rig.submit(Op::Connect {
        socket: socket.clone(),
        address,
    });
    let accepted = descriptor(rig.next_of(accept));
    assert_eq!(rig.next_of(connect).result, Ok(0));
    let peer = rig.kernel.peer_credentials(&accepted).expect("unix");
    assert_eq!(peer.pid, std::process::id() as i32);
    assert_eq!(peer.uid, nix::unistd::Uid::effective().as_raw());
    assert_eq!(rig.kernel.route(&socket), Route::Unix);
    assert_eq!(rig.kernel.socket_statistics(&socket), None);
    let unix_has_none = SocketOption::NoDelay(true);
    assert_eq!(rig.kernel.set_option(&socket, unix_has_none), Ok(()));
    rig.finish();
}

#[test]
fn a_tcp_connection_is_described() {
    let mut rig = Rig::new();
    let (socket, _peer) = rig.tcp();
    assert_eq!(rig.kernel.route(&socket), Route::Loopback);
    assert_eq!(rig.kernel.peer_credentials(&socket), Err(Errno::EOPNOTSUPP));
    let before = rig.kernel.socket_statistics(&socket).expect("TCP");
    rig.send(&socket, b"0123456789");
    let acked = |rig: &mut Rig| {
        let now = rig.kernel.socket_statistics(&socket).expect("TCP");
        now.bytes_acked == before.bytes_acked + 10 && now.not_sent_bytes == 0
    };
    rig.turn_until("the ack", acked);
    for option in [
        SocketOption::NoDelay(true),
        SocketOption::SendBufferBytes(1 << 16),
        SocketOption::ReceiveBufferBytes(1 << 16),
        SocketOption::UserTimeoutMs(3000),
        SocketOption::ReceiveLowWatermarkBytes(1),
        SocketOption::CongestionControl("cubic"),
    ] {
        let result = rig.kernel.set_option(&socket, option);
        // Which algorithms there are, and which an ordinary user may choose, is the machine's.
        let may_be_missing = [Errno::ENOENT, Errno::EPERM].map(Err).contains(&result);
        let is_missing = matches!(option, SocketOption::CongestionControl(_)) && may_be_missing;
        assert!(result.is_ok() || is_missing, "{option:?}: {result:?}");
    }
    let unknown = SocketOption::CongestionControl("no-such");
    assert!(rig.kernel.set_option(&socket, unknown).is_err());
    rig.finish();
}
