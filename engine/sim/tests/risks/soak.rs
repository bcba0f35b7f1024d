//! Everything at once over many seeds: whatever happens, bytes arrive in order, once, unaltered.

use ringway_io::{Descriptor, Errno, Kernel, Lease, Op, Pipe, Readiness};
use ringway_sim::{CapabilityChoice, ShortIo, WorldConfig};

use crate::scene::{Scene, numbered};

const LENGTH: usize = 200_000;

/// Sends [`LENGTH`] bytes from one lease by splicing, through small and short everything.
struct Splicer {
    lease: Lease,
    pipe: Pipe,
    queued: usize,
    sent: usize,
}

impl Splicer {
    /// Moves what can be moved now.
    fn step(&mut self, kernel: &mut impl Kernel, socket: &Descriptor) {
        if self.queued < LENGTH {
            let end = (self.queued + 10_000).min(LENGTH);
            match kernel.splice_from_lease(&self.lease.slice(self.queued..end), &self.pipe) {
                Ok(count) => self.queued += count as usize,
                Err(errno) => assert_eq!(errno, Errno::EAGAIN),
            }
        }
        match kernel.splice_to_socket(&self.pipe, socket, u32::MAX, true) {
            Ok(count) => self.sent += count as usize,
            Err(errno) => assert_eq!(errno, Errno::EAGAIN),
        }
    }
}

fn unkind() -> WorldConfig {
    let mut config = WorldConfig::default();
    config.faults.short_io = ShortIo::Seeded(500);
    config.socket.send_buffer_bytes = 20_000;
    config.socket.receive_buffer_bytes = 30_000;
    config.kernel.pipe_bytes = 32_768;
    config
}

fn spliced(seed: u64, address: &str) {
    let mut scene = Scene::new(seed, unkind(), 1);
    let pair = scene.pair(address);
    let mut lease = scene.kernels[0].lease(LENGTH).expect("free");
    lease[..LENGTH].copy_from_slice(&numbered(LENGTH));
    let mut splicer = Splicer {
        lease: lease.freeze(LENGTH),
        pipe: scene.kernels[0].acquire_pipe().expect("a pipe"),
        queued: 0,
        sent: 0,
    };
    let mut received = Vec::new();
    while received.len() < LENGTH {
        while splicer.sent < LENGTH {
            let before = splicer.sent;
            splicer.step(&mut scene.kernels[0], &pair.dialer);
            if splicer.sent == before {
                break;
            }
        }
        let (piece, _) = scene.receive_all(0, &pair.acceptor, 7_000.min(LENGTH - received.len()));
        received.extend(piece);
        // Readiness may be spurious; the loop asks again.
        let poll = Op::Poll {
            descriptor: pair.dialer.clone(),
            readiness: Readiness::Writable,
        };
        let (_, polling) = scene.submit(0, poll);
        scene.turn();
        scene.kernels[0].orphan(polling);
    }
    assert!(received == numbered(LENGTH), "seed {seed} {address}");
    scene.kernels[0].release_pipe(splicer.pipe, true);
    drop((pair, splicer.lease));
    scene.assert_clean();
}

#[test]
fn spliced_bytes_survive_every_seed() {
    for seed in 0..30 {
        spliced(seed, "127.0.0.1:7400");
        spliced(seed, "unix:/run/a.sock");
    }
}

#[test]
fn a_connection_that_breaks_at_a_drawn_moment_delivers_a_prefix() {
    let mut broken = 0;
    for seed in 0..60 {
        let mut config = unkind();
        config.faults.broken_per_mille = 20;
        config.kernel.capabilities = CapabilityChoice::Seeded;
        let mut scene = Scene::new(seed, config, 2);
        let pair = scene.pair("10.0.0.2:7400");
        let bytes = numbered(LENGTH);
        let (_, sending) = scene.send(0, &pair.dialer, &bytes);
        let (received, ending) = scene.receive_all(1, &pair.acceptor, LENGTH);
        assert!(bytes.starts_with(&received), "seed {seed}");
        broken += usize::from(ending != crate::scene::Ending::Whole);
        scene.kernels[0].orphan(sending);
        drop(pair);
        scene.assert_clean();
    }
    assert!((10..60).contains(&broken), "{broken}");
}
