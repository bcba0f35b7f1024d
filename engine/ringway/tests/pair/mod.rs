//! Two engines with one session between them, on the real kernel.
#![allow(dead_code, reason = "each test program uses another part of it")]

use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use ringway::{
    BodyChecksum, Config, ConnectOptions, Connector, Engine, KeyId, Keys, ListenOptions, Listener,
    Session, Status, Stream, block_on,
};

/// Two engines, each with one shard.
pub struct Pair {
    pub server: Engine,
    pub client: Engine,
    pub near: Session,
    pub far: Session,
    listener: Listener,
    options: ConnectOptions,
    /// Duplicates of the sockets that the application's own dialer made.
    sockets: Arc<Mutex<Vec<TcpStream>>>,
}

impl Pair {
    /// Connected by the engine's own dialer.
    pub fn on(target: &str) -> Self {
        Self::with(target, |options, _| options)
    }

    /// Connected over TCP by a dialer that keeps a duplicate of each socket, to cut it.
    pub fn cuttable() -> Self {
        Self::with("127.0.0.1:0", |options, address| {
            let address = address.to_owned();
            let kept = Arc::clone(&options.1);
            let connector = Connector::new(move || {
                let socket = TcpStream::connect(&address).inspect(|socket| {
                    let copy = socket.try_clone().expect("duplicated");
                    kept.lock().expect("unpoisoned").push(copy);
                });
                std::future::ready(socket.map(OwnedFd::from))
            });
            let (mut options, sockets) = options;
            options.connector = Some(connector);
            (options, sockets)
        })
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
        let address = self.listener.address().to_string();
        let near = self.client.connect(&address, self.options.clone()).await;
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
        block_on(async {
            self.near.close(Status::ok());
            self.near.ended().await;
            self.far.ended().await;
            for engine in [self.client, self.server] {
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
    Engine::start(Config { shards, ..config }).expect("starts")
}

type Dialling = (ConnectOptions, Arc<Mutex<Vec<TcpStream>>>);

fn cut(sockets: &Mutex<Vec<TcpStream>>) {
    for socket in sockets.lock().expect("unpoisoned").drain(..) {
        let _ = socket.shutdown(std::net::Shutdown::Both);
    }
}

/// Bytes that tell their place.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
}
