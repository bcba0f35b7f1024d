//! A link that dies must be seen by each end exactly as the real one shows it.

use ringway_io::{Errno, Kernel, ShutdownHow, SocketOption};
use ringway_sim::{CutKind, CutTarget, Side, Violation, WorldConfig};

use crate::scene::{Ending, Scene, numbered};

#[test]
fn a_cut_at_a_byte_offset_delivers_exactly_that_prefix() {
    let bytes = numbered(3000);
    for seed in 0..5 {
        for offset in [0, 1, 17, 1500, 2999, 3000] {
            for kind in [CutKind::Reset, CutKind::BlackHole] {
                let mut scene = Scene::new(seed, WorldConfig::default(), 2);
                let pair = scene.pair("10.0.0.2:7400");
                let id = scene.world.connections()[0].id;
                let target = CutTarget::Connection(id);
                scene.world.cut_at(target, Side::Dialer, offset, kind);
                let (_, sending) = scene.send(0, &pair.dialer, &bytes);
                let (received, ending) = scene.receive_all(1, &pair.acceptor, 4000);
                assert_eq!(received, bytes[..offset as usize], "seed {seed}");
                let expected = match kind {
                    CutKind::Reset => Ending::Error(Errno::ECONNRESET),
                    _ => Ending::Rest,
                };
                assert_eq!(ending, expected, "seed {seed} offset {offset}");
                scene.kernels[0].orphan(sending);
                drop(pair);
                scene.assert_clean();
            }
        }
    }
}

#[test]
fn the_next_connection_can_be_cut_before_it_exists() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 2);
    scene
        .world
        .cut_at(CutTarget::Next, Side::Acceptor, 5, CutKind::Reset);
    let pair = scene.pair("10.0.0.2:7400");
    scene.send(1, &pair.acceptor, b"0123456789");
    let (received, ending) = scene.receive_all(0, &pair.dialer, 10);
    assert_eq!(
        (&received[..], ending),
        (&b"01234"[..], Ending::Error(Errno::ECONNRESET))
    );
    // After the error is told, it is the end: as on the real kernel.
    assert_eq!(scene.receive(0, &pair.dialer, 1), Ok(vec![]));
    assert_eq!(
        scene.kernels[0].send_now(&pair.dialer, b"x", false),
        Err(Errno::EPIPE)
    );
}

#[test]
fn what_an_end_sent_arrives_behind_what_its_next_connection_says() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 2);
    let old = scene.pair("10.0.0.2:7400");
    let id = scene.world.connections()[0].id;
    let late = CutKind::Late(Side::Dialer, 1_000_000_000);
    scene.world.cut(id, late);
    scene.send(0, &old.dialer, b"old");
    let new = scene.pair("10.0.0.2:7401");
    scene.send(0, &new.dialer, b"new");
    assert_eq!(scene.receive(1, &new.acceptor, 3), Ok(b"new".to_vec()));
    assert_eq!(scene.world.connections()[0].arrived, [0, 0]);
    // The dialer has given up, and nobody was told: what it sent comes all the same.
    let (_, ending) = scene.receive_all(0, &old.dialer, 1);
    assert_eq!(ending, Ending::Error(Errno::ETIMEDOUT));
    let (received, ending) = scene.receive_all(1, &old.acceptor, 4);
    assert_eq!((&received[..], ending), (&b"old"[..], Ending::Rest));
    assert_eq!(scene.world.faults()["connection_late"], 1);
    drop((old, new));
    scene.assert_clean();
}

#[test]
fn a_reset_is_seen_at_once_and_a_black_hole_never() {
    for (kind, told) in [
        (CutKind::Reset, [true, true]),
        (CutKind::ResetAt(Side::Acceptor), [false, true]),
        (CutKind::BlackHole, [false, false]),
    ] {
        let mut scene = Scene::new(1, WorldConfig::calm(), 2);
        let pair = scene.pair("10.0.0.2:7400");
        scene.world.cut(scene.world.connections()[0].id, kind);
        for (kernel, socket) in [(0, &pair.dialer), (1, &pair.acceptor)] {
            let (_, ending) = scene.receive_all(kernel, socket, 1);
            let expected = if told[kernel] {
                Ending::Error(Errno::ECONNRESET)
            } else {
                Ending::Rest
            };
            assert_eq!(ending, expected, "{kind:?} at {kernel}");
        }
        drop(pair);
        scene.assert_clean();
    }
}

#[test]
fn a_black_hole_takes_what_the_send_buffer_holds_and_then_nothing() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 2);
    let pair = scene.pair("10.0.0.2:7400");
    let id = scene.world.connections()[0].id;
    scene.world.cut(id, CutKind::BlackHole);
    let bytes = numbered(300 << 10);
    let kernel = &mut scene.kernels[0];
    assert_eq!(kernel.send_now(&pair.dialer, &bytes, false), Ok(256 << 10));
    assert_eq!(
        kernel.send_now(&pair.dialer, &bytes, false),
        Err(Errno::EAGAIN)
    );
    // A user timeout is the only thing that notices, and it tells only its own end.
    let option = SocketOption::UserTimeoutMs(3000);
    assert_eq!(kernel.set_option(&pair.dialer, option), Ok(()));
    let before = scene.world.now_ns();
    scene.rest();
    assert_eq!(
        scene.world.now_ns(),
        before,
        "the timer starts with bytes that wait"
    );
    drop(pair);
    scene.assert_clean();
}

#[test]
fn a_user_timeout_kills_also_a_live_peer_whose_window_is_closed() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 2);
    let pair = scene.pair("10.0.0.2:7400");
    let option = SocketOption::UserTimeoutMs(3000);
    assert_eq!(scene.kernels[0].set_option(&pair.dialer, option), Ok(()));
    let (sending, _) = scene.send(0, &pair.dialer, &numbered(1 << 20));
    let sent = scene.finish(0, sending).remove(0);
    assert!(sent.result.is_ok_and(|count| count < 1 << 20));
    assert!(scene.world.now_ns() >= 3_000_000_000);
}

#[test]
fn a_user_timeout_that_was_taken_back_kills_nobody() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 2);
    let pair = scene.pair("10.0.0.2:7400");
    let option = SocketOption::UserTimeoutMs(3000);
    assert_eq!(scene.kernels[0].set_option(&pair.dialer, option), Ok(()));
    let bytes = numbered(1 << 20);
    let (sending, _) = scene.send(0, &pair.dialer, &bytes);
    let off = SocketOption::UserTimeoutMs(0);
    assert_eq!(scene.kernels[0].set_option(&pair.dialer, off), Ok(()));
    scene.rest();
    let (received, _) = scene.receive_all(1, &pair.acceptor, bytes.len());
    assert_eq!(received, bytes);
    let sent = scene.finish(0, sending).remove(0);
    assert_eq!(sent.result, Ok(1 << 20));
}

#[test]
fn a_reset_drops_what_was_not_sent_and_keeps_what_has_arrived() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 2);
    let pair = scene.pair("10.0.0.2:7400");
    let bytes = numbered(600 << 10);
    let (sending, _) = scene.send(0, &pair.dialer, &bytes);
    scene.rest();
    scene.kernels[0].reset(&pair.dialer);
    let sent = scene.finish(0, sending).remove(0);
    assert!(
        sent.result
            .is_ok_and(|count| (count as usize) < bytes.len())
    );
    let (received, ending) = scene.receive_all(1, &pair.acceptor, bytes.len());
    assert_eq!(received, bytes[..256 << 10]);
    assert_eq!(ending, Ending::Error(Errno::ECONNRESET));
    drop(pair);
    scene.assert_clean();
}

#[test]
fn a_half_close_ends_one_direction_after_all_its_bytes() {
    for address in ["10.0.0.2:7400", "unix:/run/a.sock"] {
        let hosts = if address.starts_with("unix") { 1 } else { 2 };
        let mut scene = Scene::new(3, WorldConfig::default(), hosts);
        let pair = scene.pair(address);
        let (sending, _) = scene.send(0, &pair.dialer, &numbered(50_000));
        scene.finish(0, sending);
        scene.kernels[0].shutdown(&pair.dialer, ShutdownHow::Send);
        let last = hosts - 1;
        let (received, ending) = scene.receive_all(last, &pair.acceptor, 60_000);
        assert_eq!((received, ending), (numbered(50_000), Ending::End));
        scene.send(last, &pair.acceptor, b"still here");
        let (received, _) = scene.receive_all(0, &pair.dialer, 10);
        assert_eq!(received, b"still here");
        drop(pair);
        scene.assert_clean();
    }
}

#[test]
fn bytes_for_a_closed_end_are_answered_by_a_reset() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 2);
    let pair = scene.pair("10.0.0.2:7400");
    drop(pair.acceptor);
    let (_, ending) = scene.receive_all(0, &pair.dialer, 1);
    assert_eq!(ending, Ending::End);
    scene.send(0, &pair.dialer, b"anybody?");
    scene.rest();
    let (_, ending) = scene.receive_all(0, &pair.dialer, 1);
    assert_eq!(ending, Ending::Error(Errno::ECONNRESET));
}

#[test]
fn two_receives_on_one_socket_are_a_violation() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 2);
    let pair = scene.pair("10.0.0.2:7400");
    for _ in 0..2 {
        let op = ringway_io::Op::ReceiveMultishot {
            socket: pair.dialer.clone(),
        };
        scene.submit(0, op);
    }
    scene.turn();
    assert!(matches!(
        scene.world.violations()[..],
        [Violation::Overlap { sends: false, .. }]
    ));
}
