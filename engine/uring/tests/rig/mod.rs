//! What the tests of this crate stand on: a kernel, a way to wait for completions, connections.
#![allow(dead_code, reason = "each test binary uses a part of it")]

mod turn;

use std::collections::VecDeque;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use ringway_io::{
    BufferMut, BufferRef, Capability, Completion, Descriptor, Errno, Kernel, Op, OpId, Payload,
    Token, Wait,
};
use ringway_uring::{Uring, UringConfig};

pub use turn::wait_for_turn;

/// Longest a test waits for something that must come; never part of what is asserted.
pub const PATIENCE_NS: u64 = 20_000_000_000;

/// A kernel and its completions that nobody asked for yet.
pub struct Rig {
    pub kernel: Uring,
    waiting: VecDeque<Completion>,
    next_token: u64,
}

/// The default configuration under `RINGWAY_MASK`, small, with poisoning.
pub fn config() -> UringConfig {
    let masked = UringConfig::from_environment_mask().expect("RINGWAY_MASK names capabilities");
    UringConfig {
        arena_bytes: 4 << 20,
        provided_count: 16,
        provided_bytes: 4096,
        pipes_max: 4,
        poison_returned: true,
        ..masked
    }
}

/// The same without one capability.
pub fn config_without(capability: Capability) -> UringConfig {
    let config = config();
    UringConfig {
        masked: config.masked.with(capability),
        ..config
    }
}

/// Records that a test cannot run here.
pub fn skip(name: &str, reason: &str) {
    let line = format!("SKIP {name}: {reason}");
    println!("{line}");
    if let Ok(path) = std::env::var("RINGWAY_TEST_SKIP_FILE") {
        let file = std::fs::File::options()
            .append(true)
            .create(true)
            .open(path);
        let mut file = file.expect("RINGWAY_TEST_SKIP_FILE can be written");
        // In one write: other tests append beside this one.
        let line = format!("{line}\n");
        file.write_all(line.as_bytes())
            .expect("RINGWAY_TEST_SKIP_FILE can be written");
    }
}

impl Rig {
    pub fn new() -> Self {
        Self::with(config())
    }

    pub fn with(config: UringConfig) -> Self {
        wait_for_turn();
        Self {
            kernel: Uring::start(config).expect("a ring"),
            waiting: VecDeque::new(),
            next_token: 1,
        }
    }

    pub fn has(&self, capability: Capability) -> bool {
        self.kernel.capabilities().has(capability)
    }

    /// Whether a zero-copy send may lack locked memory here: its piece may lie outside of what is
    /// registered.
    pub fn is_short_of_locked_memory(&self) -> bool {
        let reductions = &self.kernel.limits().reductions;
        let is_cut = reductions.iter().any(|it| it.what == "registered arena");
        is_cut || !self.has(Capability::RegisteredBuffers)
    }

    /// Submits under a fresh token.
    pub fn submit(&mut self, op: Op) -> OpId {
        let token = Token(self.next_token);
        self.next_token += 1;
        self.kernel.submit(token, op)
    }

    /// The next completion of `op`; others are kept for later.
    pub fn next_of(&mut self, op: OpId) -> Completion {
        let deadline = self.kernel.now_ns() + PATIENCE_NS;
        loop {
            let at = self.waiting.iter().position(|each| each.op == op);
            if let Some(completion) = at.and_then(|at| self.waiting.remove(at)) {
                return completion;
            }
            assert!(self.kernel.now_ns() < deadline, "{op:?} does not complete");
            self.turn(Wait::Until(deadline));
        }
    }

    /// Whether a completion of `op` has come.
    pub fn has_waiting(&self, op: OpId) -> bool {
        self.waiting.iter().any(|each| each.op == op)
    }

    /// Runs an op to its only completion.
    pub fn run(&mut self, op: Op) -> Completion {
        let id = self.submit(op);
        let completion = self.next_of(id);
        assert!(!completion.more, "{completion:?} was to be the only one");
        completion
    }

    /// One turn of the loop.
    pub fn turn(&mut self, wait: Wait) {
        self.kernel.enter(wait).expect("the ring works");
        let mut out = Vec::new();
        self.kernel.reap(&mut out, 64);
        self.waiting.extend(out);
    }

    /// Turns until `done`.
    pub fn turn_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = self.kernel.now_ns() + PATIENCE_NS;
        while !done(self) {
            assert!(self.kernel.now_ns() < deadline, "{what} does not come");
            let soon = self.kernel.now_ns() + 1_000_000;
            self.turn(Wait::Until(soon));
        }
    }

    /// Completions nobody asked for yet.
    pub fn waiting(&mut self) -> Vec<Completion> {
        self.waiting.drain(..).collect()
    }

    pub fn adopt(&mut self, descriptor: impl Into<OwnedFd>) -> Descriptor {
        self.kernel.adopt(descriptor.into()).expect("adopted")
    }

    /// A TCP connection over loopback: the ring's end and the test's.
    pub fn tcp(&mut self) -> (Descriptor, TcpStream) {
        let (ours, theirs) = tcp_pair();
        (self.adopt(ours), theirs)
    }

    /// Sends all of `bytes` on the ring.
    pub fn send(&mut self, socket: &Descriptor, bytes: &'static [u8]) {
        let completion = self.run(Op::Send {
            socket: socket.clone(),
            buffer: BufferRef::Bytes(bytes.into()),
            more_follows: false,
        });
        assert_eq!(completion.result, Ok(bytes.len() as u32));
    }

    /// Ends everything and checks that nothing is left.
    pub fn finish(mut self) {
        let deadline = self.kernel.now_ns() + PATIENCE_NS;
        let report = self.kernel.teardown(deadline);
        assert_eq!(report.leaked, 0, "{report:?}");
        assert_eq!(self.kernel.in_flight(), 0);
    }
}

/// Two ends of a TCP connection over loopback.
pub fn tcp_pair() -> (TcpStream, TcpStream) {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = TcpListener::bind(any).expect("loopback");
    let one = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
    let (two, _) = listener.accept().expect("accepts");
    (one, two)
}

/// Bytes that differ at every offset that matters.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
}

/// The buffer that comes with a completion.
pub fn buffer(completion: Completion) -> BufferMut {
    match completion.payload {
        Payload::Buffer(buffer) => buffer,
        other => panic!("a buffer was to come back, not {other:?}"),
    }
}

/// The descriptor that comes with a completion.
pub fn descriptor(completion: Completion) -> Descriptor {
    match completion.payload {
        Payload::Descriptor(descriptor) => descriptor,
        other => panic!(
            "a descriptor was to come, not {other:?} ({:?})",
            completion.result
        ),
    }
}

/// Checks for an error of a completion.
pub fn expect_error(completion: &Completion, errno: Errno) {
    assert_eq!(completion.result, Err(errno), "{completion:?}");
}
