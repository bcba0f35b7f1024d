//! Two engines with one session between them, on the real kernel.
#![allow(dead_code, reason = "each test program uses another part of it")]

#[path = "../../../uring/tests/rig/turn.rs"]
pub mod turn;

use std::future::poll_fn;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use ringway::{
    Address, BodyChecksum, Config, ConnectOptions, Connector, Engine, KeyId, Keys, ListenOptions,
    Listener, Session, Status, Stream, block_on,
};

pub mod recycle;
mod rest;

/// Two engines, each with one shard.
pub struct Pair {
    pub server: Engine,
    pub client: Engine,
    pub near: Session,
    pub far: Session,
    listener: Listener,
    options: ConnectOptions,
    /// Duplicates of the sockets that the application's own dialer made.
    sockets: Sockets,
}

type Sockets = Arc<Mutex<Vec<OwnedFd>>>;

impl Pair {
    /// Connected by the engine's own dialer.
    pub fn on(target: &str) -> Self {
        Self::with(target, |options, _| options)
    }

    /// Connected over TCP by a dialer that keeps a duplicate of each socket, to cut it.
    pub fn cuttable() -> Self {
        Self::with("127.0.0.1:0", cuttable)
    }

    /// Likewise, between engines made by the caller, over TCP or a Unix socket.
    pub fn cuttable_between(server: Engine, client: Engine, target: &str) -> Self {
        Self::between(server, client, target, cuttable)
    }

    /// Connected by the engine's own dialer, between engines made by the caller.
    pub fn plain_between(server: Engine, client: Engine, target: &str) -> Self {
        Self::between(server, client, target, |options, _| options)
    }

    /// Connected with a checksum behind every body.
    pub fn checked() -> Self {
        Self::between(
            engine_with(2, BodyChecksum::Always),
            engine_with(1, BodyChecksum::Always),
            "127.0.0.1:0",
            |options, _| options,
        )
    }

    fn with(target: &str, adapt: impl Fn(Dialling, &str) -> Dialling) -> Self {
        Self::between(engine(2), engine(1), target, adapt)
    }

    fn between(
        server: Engine,
        client: Engine,
        target: &str,
        adapt: impl Fn(Dialling, &str) -> Dialling,
    ) -> Self {
        let key = Keys::generate(KeyId::new("test").expect("valid"));
        block_on(async {
            let options = ListenOptions::keyed(Keys::one(key.clone()));
            let listener = server.listen(target, options).await.expect("listens");
            let address = listener.address().to_string();
            let plain = (ConnectOptions::keyed(key), Arc::default());
            let (options, sockets) = adapt(plain, &address);
            let near = client.connect(&address, options.clone()).await;
            let far = listener.accept().await.expect("accepts");
            Self {
                server,
                client,
                near: near.expect("connects"),
                far,
                listener,
                options,
                sockets,
            }
        })
    }

    /// One more session between the same engines.
    pub async fn another(&self) -> (Session, Session) {
        self.dial(&self.address().to_string(), self.options.clone())
            .await
    }

    /// One more, over whatever is at `target`.
    pub async fn another_at(&self, target: &str) -> (Session, Session) {
        let mut options = self.options.clone();
        options.connector = None;
        self.dial(target, options).await
    }

    pub fn address(&self) -> Address {
        self.listener.address().clone()
    }

    async fn dial(&self, target: &str, options: ConnectOptions) -> (Session, Session) {
        let near = self.client.connect(target, options).await;
        let far = self.listener.accept().await.expect("accepts");
        (near.expect("connects"), far)
    }

    /// Cuts whatever connection there is.
    pub fn cut(&self) {
        cut(&self.sockets);
    }

    /// Cuts the connection after each `step` bytes that the peer has acked, so many times.
    pub fn cut_each(&self, stream: &Stream, step: u64, times: u64) -> JoinHandle<()> {
        let (stream, sockets) = (stream.clone(), Arc::clone(&self.sockets));
        std::thread::spawn(move || {
            block_on(async {
                for cuts in 1..=times {
                    if stream.acked(cuts * step).await.is_err() {
                        return;
                    }
                    cut(&sockets);
                }
            });
        })
    }

    /// Closes the session and ends both engines; nothing may be left.
    pub fn end(self) {
        drop(self.listener);
        block_on(async {
            self.near.close(Status::ok());
            self.near.ended().await;
            self.far.ended().await;
            for engine in [self.client, self.server] {
                rest::comes_to_rest(&engine).await;
                let report = engine.shutdown(Duration::from_secs(5)).await;
                assert_eq!(report.leaked, 0, "operations were left to the kernel");
            }
        });
    }
}

/// An engine with what the environment's mask leaves of this kernel.
pub fn engine(shards: usize) -> Engine {
    engine_with(shards, BodyChecksum::Off)
}

fn engine_with(shards: usize, body_checksum: BodyChecksum) -> Engine {
    let mut config = Config::from_environment().expect("known capabilities");
    config.session.body_checksum = body_checksum;
    engine_of(Config { shards, ..config })
}

pub fn engine_of(config: Config) -> Engine {
    turn::wait_for_turn();
    Engine::start(config).expect("starts")
}

/// Polls both until both are done.
pub async fn both<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut first, mut second) = (None, None);
    poll_fn(move |context| {
        if first.is_none() {
            first = ready(one.as_mut().poll(context));
        }
        if second.is_none() {
            second = ready(other.as_mut().poll(context));
        }
        if first.is_none() || second.is_none() {
            return Poll::Pending;
        }
        Poll::Ready(first.take().zip(second.take()).expect("both are done"))
    })
    .await
}

fn ready<A>(poll: Poll<A>) -> Option<A> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

type Dialling = (ConnectOptions, Sockets);

/// Dials with a duplicate of each socket kept.
fn cuttable((mut options, sockets): Dialling, address: &str) -> Dialling {
    let (address, kept) = (address.to_owned(), Arc::clone(&sockets));
    options.connector = Some(Connector::new(move || {
        let socket = dial(&address).inspect(|socket| {
            let copy = socket.try_clone().expect("duplicated");
            kept.lock().expect("unpoisoned").push(copy);
        });
        std::future::ready(socket)
    }));
    (options, sockets)
}

fn dial(address: &str) -> std::io::Result<OwnedFd> {
    match address.strip_prefix("unix:") {
        Some(path) => UnixStream::connect(path).map(OwnedFd::from),
        None => TcpStream::connect(address).map(OwnedFd::from),
    }
}

fn cut(sockets: &Mutex<Vec<OwnedFd>>) {
    for socket in sockets.lock().expect("unpoisoned").drain(..) {
        let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Both);
    }
}

/// Bytes that tell their place.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
}
