//! Short writes and reads at every possible split point (scenario S5).

use ringway_io::{BufferMut, Kernel, Op};
use ringway_sim::{ShortIo, WorldConfig};

use crate::scene::{Ending, Scene, filled, numbered};

const LENGTH: usize = 40;

#[test]
fn no_send_or_receive_crosses_the_split_and_nothing_is_lost() {
    for split in 0..=LENGTH {
        let mut config = WorldConfig::calm();
        config.faults.short_io = ShortIo::At(split as u64);
        let mut scene = Scene::new(1, config, 2);
        let pair = scene.pair("10.0.0.2:7400");
        let bytes = numbered(LENGTH);
        let first = scene.kernels[0].send_now(&pair.dialer, &bytes, false);
        let expected = if split == 0 { LENGTH } else { split };
        assert_eq!(first, Ok(expected));
        if expected < LENGTH {
            let rest = scene.kernels[0].send_now(&pair.dialer, &bytes[expected..], false);
            assert_eq!(rest, Ok(LENGTH - expected));
        }
        scene.rest();
        let piece = scene.receive(1, &pair.acceptor, LENGTH).expect("there");
        assert_eq!(piece, bytes[..expected]);
        let (rest, _) = scene.receive_all(1, &pair.acceptor, LENGTH - expected);
        assert_eq!(rest, bytes[expected..]);
        drop(pair);
        scene.assert_clean();
    }
}

#[test]
fn a_whole_send_and_an_exact_receive_take_all_in_pieces() {
    for seed in 0..30 {
        let mut config = WorldConfig::default();
        config.faults.short_io = ShortIo::Seeded(900);
        config.faults.exact_short_per_mille = 0;
        config.socket.send_buffer_bytes = 3000;
        config.socket.receive_buffer_bytes = 5000;
        let mut scene = Scene::new(seed, config, 2);
        let pair = scene.pair("10.0.0.2:7400");
        let bytes = numbered(20_000);
        let (sending, _) = scene.send(0, &pair.dialer, &bytes);
        let receive = Op::Receive {
            socket: pair.acceptor.clone(),
            buffer: BufferMut::heap(vec![0; bytes.len()]),
            exact: true,
        };
        let received = scene.run(1, receive);
        assert_eq!(filled(received), bytes, "seed {seed}");
        let sent = scene.finish(0, sending);
        assert_eq!((sent.len(), sent[0].result), (1, Ok(20_000)));
        drop(pair);
        scene.assert_clean();
    }
}

#[test]
fn both_directions_at_once_through_small_buffers_arrive_whole() {
    let mut config = WorldConfig::default();
    config.socket.send_buffer_bytes = 2000;
    config.socket.receive_buffer_bytes = 2000;
    for seed in 0..10 {
        let mut scene = Scene::new(seed, config.clone(), 2);
        let pair = scene.pair("10.0.0.2:7400");
        let there = numbered(30_000);
        let back: Vec<u8> = there.iter().rev().copied().collect();
        scene.send(0, &pair.dialer, &there);
        scene.send(1, &pair.acceptor, &back);
        let (received, ending) = scene.receive_all(1, &pair.acceptor, there.len());
        assert_eq!(
            (received == there, ending),
            (true, Ending::Whole),
            "seed {seed}"
        );
        let (received, ending) = scene.receive_all(0, &pair.dialer, back.len());
        assert_eq!(
            (received == back, ending),
            (true, Ending::Whole),
            "seed {seed}"
        );
        scene.rest();
        drop(pair);
        scene.assert_clean();
    }
}
