//! Shards without anything in them: the loop that every test of a world drives.

use bytes::Bytes;
use ringway_io::{
    Address, BufferMemory, BufferMut, BufferRef, Completion, Descriptor, Directory, Errno, Kernel,
    ListenOptions, Op, OpId, OpenHow, Payload, Token, Wait,
};
use ringway_sim::{Advance, HostId, SimKernel, World, WorldConfig};

/// A world with one kernel on each of some hosts.
pub struct Scene {
    pub world: World,
    pub hosts: Vec<HostId>,
    pub kernels: Vec<SimKernel>,
    /// What was reaped and not taken yet, by kernel.
    pub reaped: Vec<Vec<Completion>>,
    token_next: u64,
}

/// Both ends of a connection: the dialer's on the first kernel, the acceptor's on the other.
pub struct Pair {
    pub dialer: Descriptor,
    pub acceptor: Descriptor,
}

pub const OPTIONS: ListenOptions = ListenOptions {
    backlog: 16,
    reuse_port: false,
    unix_mode: 0o600,
};

impl Scene {
    /// Hosts `10.0.0.1`, `10.0.0.2`, … named `node-1`, `node-2`, ….
    pub fn new(seed: u64, config: WorldConfig, hosts: usize) -> Self {
        let world = World::new(seed, config);
        let add = |index: usize| {
            let address = format!("10.0.0.{}", index + 1).parse().expect("an address");
            world.add_host(&format!("node-{}", index + 1), &[address])
        };
        let hosts: Vec<_> = (0..hosts).map(add).collect();
        let kernels: Vec<_> = hosts.iter().map(|&host| world.kernel(host)).collect();
        Self {
            reaped: kernels.iter().map(|_| Vec::new()).collect(),
            world,
            hosts,
            kernels,
            token_next: 1,
        }
    }

    /// One turn of every shard.
    pub fn turn(&mut self) {
        for (kernel, reaped) in self.kernels.iter_mut().zip(&mut self.reaped) {
            kernel.reap(reaped, 64);
            kernel
                .enter(Wait::Forever)
                .expect("a simulated ring never ends");
        }
    }

    /// Turns and time until `done`; `false` when the world comes to rest before.
    pub fn until(&mut self, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        loop {
            self.turn();
            if done(self) {
                return true;
            }
            let has_work = |kernel: &SimKernel| self.world.has_work(kernel.id());
            if !self.kernels.iter().any(has_work) && self.world.advance() == Advance::Quiescent {
                return false;
            }
        }
    }

    /// Turns and time until nothing moves any more.
    pub fn rest(&mut self) {
        self.until(|_| false);
    }

    /// Submits an op under a token of its own.
    pub fn submit(&mut self, kernel: usize, op: Op) -> (Token, OpId) {
        let token = Token(self.token_next);
        self.token_next += 1;
        let id = self.kernels[kernel].submit(token, op);
        (token, id)
    }

    /// Takes the reaped completions of a token.
    pub fn take(&mut self, kernel: usize, token: Token) -> Vec<Completion> {
        let all = std::mem::take(&mut self.reaped[kernel]);
        let (taken, kept) = all.into_iter().partition(|it| it.token == token);
        self.reaped[kernel] = kept;
        taken
    }

    /// Runs until the last completion of a token; all of them.
    pub fn finish(&mut self, kernel: usize, token: Token) -> Vec<Completion> {
        let is_over = |it: &Completion| it.token == token && !it.more;
        assert!(
            self.until(|scene| scene.reaped[kernel].iter().any(is_over)),
            "the op never ends"
        );
        self.take(kernel, token)
    }

    /// Runs one op to its only completion.
    pub fn run(&mut self, kernel: usize, op: Op) -> Completion {
        let (token, _) = self.submit(kernel, op);
        let mut all = self.finish(kernel, token);
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    /// Connects the first kernel with the last, which may be the same.
    pub fn pair(&mut self, address: &str) -> Pair {
        let address: Address = address.parse().expect("an address");
        let last = self.kernels.len() - 1;
        let listener = self.kernels[last].listen(&address, OPTIONS).expect("free");
        let address = self.kernels[last].local_address(&listener).expect("bound");
        let (accepting, accept) = self.submit(last, Op::Accept { listener });
        let dialer = self.kernels[0].socket(&address).expect("a socket");
        let socket = dialer.clone();
        let dialled = self.run(0, Op::Connect { socket, address });
        assert_eq!(dialled.result, Ok(0));
        let has_accepted = |it: &Completion| it.token == accepting;
        assert!(self.until(|scene| scene.reaped[last].iter().any(has_accepted)));
        let accepted = self.take(last, accepting).remove(0);
        let Payload::Descriptor(acceptor) = accepted.payload else {
            panic!("accepted without a descriptor");
        };
        self.kernels[last].orphan(accept);
        self.turn();
        Pair { dialer, acceptor }
    }

    /// Sends all of `bytes`.
    pub fn send(&mut self, kernel: usize, socket: &Descriptor, bytes: &[u8]) -> (Token, OpId) {
        let op = Op::Send {
            socket: socket.clone(),
            buffer: BufferRef::Bytes(Bytes::copy_from_slice(bytes)),
            more_follows: false,
        };
        self.submit(kernel, op)
    }

    /// Receives once, at most `length` bytes.
    pub fn receive(
        &mut self,
        kernel: usize,
        socket: &Descriptor,
        length: usize,
    ) -> Result<Vec<u8>, Errno> {
        let op = Op::Receive {
            socket: socket.clone(),
            buffer: BufferMut::heap(vec![0; length]),
            exact: false,
        };
        let completion = self.run(kernel, op);
        completion.result.map(|_| filled(completion))
    }

    /// Receives until `length` bytes are there, an end, an error or rest; and why it ended.
    pub fn receive_all(
        &mut self,
        kernel: usize,
        socket: &Descriptor,
        length: usize,
    ) -> (Vec<u8>, Ending) {
        let mut all = Vec::new();
        while all.len() < length {
            let op = Op::Receive {
                socket: socket.clone(),
                buffer: BufferMut::heap(vec![0; length - all.len()]),
                exact: false,
            };
            let (token, id) = self.submit(kernel, op);
            if !self.until(|scene| scene.reaped[kernel].iter().any(|it| it.token == token)) {
                self.kernels[kernel].orphan(id);
                self.rest();
                return (all, Ending::Rest);
            }
            let completion = self.take(kernel, token).remove(0);
            match completion.result {
                Ok(0) => return (all, Ending::End),
                Ok(_) => all.extend(filled(completion)),
                Err(errno) => return (all, Ending::Error(errno)),
            }
        }
        (all, Ending::Whole)
    }

    /// Opens a file of a kernel's host.
    pub fn open(&mut self, kernel: usize, path: &str, how: OpenHow) -> Result<Descriptor, Errno> {
        self.open_in(kernel, Directory::Ambient, path, how)
    }

    pub fn open_in(
        &mut self,
        kernel: usize,
        directory: Directory,
        path: &str,
        how: OpenHow,
    ) -> Result<Descriptor, Errno> {
        let path = path.into();
        let opened = self.run(
            kernel,
            Op::Open {
                directory,
                path,
                how,
            },
        );
        match (opened.result, opened.payload) {
            (Ok(_), Payload::Descriptor(file)) => Ok(file),
            (Ok(_), _) => panic!("opened without a descriptor"),
            (Err(errno), _) => Err(errno),
        }
    }

    pub fn write(
        &mut self,
        kernel: usize,
        file: &Descriptor,
        offset: u64,
        bytes: &[u8],
    ) -> Result<u32, Errno> {
        let op = Op::Write {
            file: file.clone(),
            offset,
            buffer: BufferRef::Bytes(Bytes::copy_from_slice(bytes)),
        };
        self.run(kernel, op).result
    }

    pub fn sync(&mut self, kernel: usize, file: &Descriptor) -> Result<u32, Errno> {
        let op = Op::Sync {
            file: file.clone(),
            data_only: false,
        };
        self.run(kernel, op).result
    }

    /// Asserts that nothing is out and nothing was broken.
    pub fn assert_clean(&mut self) {
        self.reaped.iter_mut().for_each(Vec::clear);
        self.rest();
        assert!(
            self.world.outstanding().is_empty(),
            "{:?}",
            self.world.outstanding()
        );
        assert_eq!(self.world.violations(), []);
    }
}

/// Why receiving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Whole,
    End,
    Error(Errno),
    /// Nothing came and nothing can come.
    Rest,
}

/// The filled part of the buffer of a receive or read.
pub fn filled(completion: Completion) -> Vec<u8> {
    let length = completion.result.expect("filled") as usize;
    match completion.payload {
        Payload::Buffer(BufferMut {
            memory: BufferMemory::Heap(mut bytes),
            ..
        }) => {
            bytes.truncate(length);
            bytes
        }
        other => panic!("no buffer but {other:?}"),
    }
}

/// Bytes of which every position tells itself.
pub fn numbered(length: usize) -> Vec<u8> {
    ringway_sim::pattern_bytes(1, 0, length)
}
