//! Cancelled and orphaned ops still complete, and what they carry is released.

use ringway_io::{BufferMut, Completion, Errno, Kernel, Op, OpenHow, Payload, Wait};
use ringway_sim::{CutKind, WorldConfig};

use crate::scene::{Scene, numbered};

#[test]
fn a_cancelled_op_completes_and_gives_its_buffer_back() {
    let mut scene = Scene::new(1, WorldConfig::calm(), 2);
    let pair = scene.pair("10.0.0.2:7400");
    let receive = Op::Receive {
        socket: pair.dialer.clone(),
        buffer: BufferMut::heap(vec![7; 10]),
        exact: true,
    };
    let (receiving, id) = scene.submit(0, receive);
    scene.send(1, &pair.acceptor, b"abc");
    scene.rest();
    scene.kernels[0].cancel(id);
    let ended = scene.finish(0, receiving).remove(0);
    assert_eq!(ended.result, Ok(3), "what it had done counts");
    assert!(matches!(ended.payload, Payload::Buffer(buffer) if &buffer.as_slice()[..3] == b"abc"));
    let receive = Op::ReceiveMultishot {
        socket: pair.dialer.clone(),
    };
    let (receiving, _) = scene.submit(0, receive);
    scene.turn();
    scene.kernels[0].cancel_all_on(&pair.dialer);
    let ended = scene.finish(0, receiving).remove(0);
    assert_eq!((ended.result, ended.more), (Err(Errno::ECANCELED), false));
    drop(pair);
    scene.assert_clean();
}

#[test]
fn an_op_under_way_on_the_disk_may_end_either_way() {
    let mut results = Vec::new();
    for seed in 0..40 {
        let mut scene = Scene::new(seed, WorldConfig::default(), 1);
        scene.world.disk(scene.hosts[0]).plant_file("/a", b"x");
        let open = Op::Open {
            directory: ringway_io::Directory::Ambient,
            path: "/a".into(),
            how: OpenHow::READ,
        };
        let (opening, id) = scene.submit(0, open);
        scene.turn();
        scene.kernels[0].cancel(id);
        let ended = scene.finish(0, opening).remove(0);
        results.push(ended.result);
        drop(ended);
        scene.assert_clean();
    }
    assert!(results.contains(&Ok(0)) && results.contains(&Err(Errno::ECANCELED)));
}

#[test]
fn an_orphan_releases_everything_it_carries() {
    for seed in 0..30 {
        let mut scene = Scene::new(seed, WorldConfig::default(), 2);
        scene.world.disk(scene.hosts[0]).plant_file("/a", b"x");
        let pair = scene.pair("10.0.0.2:7400");
        let lease = scene.kernels[0].lease(1000).expect("free").freeze(1000);
        let address = "10.0.0.1:9".parse().expect("an address");
        let listener = scene.kernels[0].listen(&address, crate::scene::OPTIONS);
        let ops = [
            Op::ReceiveMultishot {
                socket: pair.dialer.clone(),
            },
            Op::SendZeroCopy {
                socket: pair.dialer.clone(),
                lease,
                more_follows: false,
            },
            Op::Open {
                directory: ringway_io::Directory::Ambient,
                path: "/a".into(),
                how: OpenHow::READ,
            },
            Op::Accept {
                listener: listener.expect("free"),
            },
            Op::Timeout { at_ns: 1 << 60 },
        ];
        let ids: Vec<_> = ops.map(|op| scene.submit(0, op).1).into();
        scene.send(1, &pair.acceptor, &numbered(20_000));
        for _ in 0..seed {
            scene.kernels[0].enter(Wait::Forever).expect("never ends");
            scene.world.advance();
        }
        for id in ids {
            scene.kernels[0].orphan(id);
        }
        drop(pair);
        scene.rest();
        assert_eq!(scene.reaped[0].len(), 0, "orphans are swallowed");
        scene.assert_clean();
    }
}

#[test]
fn completions_of_one_op_keep_their_order_and_those_of_different_ops_need_not() {
    let mut swapped = 0;
    for seed in 0..20 {
        let mut scene = Scene::new(seed, WorldConfig::default(), 1);
        let first = scene.submit(0, Op::Timeout { at_ns: 1000 }).0;
        scene.submit(0, Op::Timeout { at_ns: 1000 });
        scene.rest();
        swapped += usize::from(scene.reaped[0][0].token != first);
    }
    assert!((1..20).contains(&swapped));
    for seed in 0..20 {
        let mut scene = Scene::new(seed, WorldConfig::default(), 2);
        let pair = scene.pair("10.0.0.2:7400");
        let socket = pair.acceptor.clone();
        let (receiving, _) = scene.submit(1, Op::ReceiveMultishot { socket });
        scene.send(0, &pair.dialer, &numbered(50_000));
        scene.rest();
        let mut received = Vec::new();
        for completion in scene.take(1, receiving) {
            if let Payload::Provided(buffer) = completion.payload {
                received.extend_from_slice(scene.kernels[1].provided(&buffer));
            }
        }
        assert_eq!(received, numbered(50_000)[..received.len()], "seed {seed}");
    }
}

#[test]
fn teardown_reaps_what_ends_and_counts_what_does_not() {
    let mut config = WorldConfig::calm();
    config.faults.notification_held_per_mille = 1000;
    let mut scene = Scene::new(1, config, 2);
    let pair = scene.pair("10.0.0.2:7400");
    scene.submit(0, Op::Timeout { at_ns: 1 << 60 });
    let lease = scene.kernels[0].lease(10).expect("free").freeze(10);
    let op = Op::SendZeroCopy {
        socket: pair.dialer.clone(),
        lease,
        more_follows: false,
    };
    let sending = scene.submit(0, op).0;
    let taken = |it: &Completion| it.token == sending;
    assert!(scene.until(|scene| scene.reaped[0].iter().any(taken)));
    let deadline_ns = scene.world.now_ns() + 1_000_000_000;
    let report = scene.kernels[0].teardown(deadline_ns);
    assert_eq!((report.reaped, report.leaked), (1, 1));
    scene
        .world
        .cut(scene.world.connections()[0].id, CutKind::Reset);
    let report = scene.kernels[0].teardown(deadline_ns);
    assert_eq!((report.reaped, report.leaked), (1, 0));
    drop(pair);
    scene.assert_clean();
}
