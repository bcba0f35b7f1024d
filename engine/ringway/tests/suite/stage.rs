//! What a scenario finds: two engines, a session between them, and the way between.

use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use ringway::{
    Config, ConnectOptions, Engine, File, ListenOptions, Listener, OpenHow, Session, SessionConfig,
    Stream, StreamOptions,
};

/// Silence after which a heartbeat is sent, in every scenario.
pub const HEARTBEAT: Duration = Duration::from_millis(400);

/// What a scenario wants of its ground, beside the usual.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Of both engines.
    pub config: Config,
    /// Buffers of the sockets on the way, bytes; `None` for the kernel's own choice.
    pub socket_buffer_bytes: Option<usize>,
    /// What the way lets pass in each direction, bytes per second; 0 for all.
    pub bandwidth: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            config: Config {
                shards: 1,
                session: SessionConfig {
                    heartbeat: HEARTBEAT,
                    ..SessionConfig::default()
                },
                ..Config::default()
            },
            socket_buffer_bytes: None,
            bandwidth: 0,
        }
    }
}

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The one that dialled.
    Near,
    /// The one that listens.
    Far,
}

/// The way between the ends, and their disks.
pub trait Ground {
    /// Every connection there is breaks, for both ends.
    fn cut(&self);

    /// The connections there are turn into black holes; new ones pass.
    fn mute(&self);

    /// What was muted breaks.
    fn cut_muted(&self);

    /// Nothing passes any more and dials hang, until [`open`](Self::open).
    fn close(&self);

    /// Ends a [`close`](Self::close): what was held goes on. So does what was muted, where the
    /// kernel has it still.
    fn open(&self);

    /// One more engine where the far one is.
    fn spare(&self) -> Engine;

    /// Puts a file at one end's disk.
    fn plant(&self, end: End, name: &str, bytes: &[u8]) -> PathBuf;

    /// The same with `length` zeros, which take no space.
    fn plant_zeros(&self, end: End, name: &str, length: u64) -> PathBuf;

    /// A path on one end's disk at which a file is that takes nothing: the disk is full.
    fn full(&self, end: End, name: &str) -> PathBuf;
}

/// Two engines, a session, a way.
#[derive(Clone)]
pub struct Stage {
    pub near_engine: Engine,
    pub far_engine: Engine,
    pub near: Session,
    pub far: Session,
    pub listener: Listener,
    /// Where the listener is, for whoever takes its place.
    pub listen_target: String,
    /// Where to connect to, over the way.
    pub connect_target: String,
    pub connect_options: ConnectOptions,
    pub listen_options: ListenOptions,
    pub ground: Rc<dyn Ground>,
}

impl Stage {
    /// A stream that has brought its first record, at both ends.
    pub async fn stream(&self) -> (Stream, Stream) {
        open_between(&self.near, &self.far).await
    }

    /// One more session over the same way.
    pub async fn another_session(&self) -> (Session, Session) {
        let options = self.connect_options.clone();
        let near = self.near_engine.connect(&self.connect_target, options);
        let near = near.await.expect("connects");
        (near, self.listener.accept().await.expect("accepts"))
    }

    pub async fn sleep(&self, duration: Duration) {
        let slept = self.near_engine.sleep(duration).await;
        slept.expect("the engine lives");
    }

    /// A file on the near disk, opened.
    pub async fn near_file(&self, name: &str, bytes: &[u8]) -> File {
        let path = self.ground.plant(End::Near, name, bytes);
        let directory = self.near_engine.ambient();
        let file = directory.open(&path, OpenHow::READ);
        file.await.expect("it was planted")
    }
}

/// A stream from `opener` that has brought its first record to `acceptor`.
pub async fn open_between(opener: &Session, acceptor: &Session) -> (Stream, Stream) {
    let stream = opener.open(StreamOptions::default()).await.expect("opens");
    stream.send_record(&b"hello"[..]).await.expect("accepted");
    let other = acceptor.accept().await.expect("arrives");
    let record = other.receive_record(100).await.expect("arrives");
    assert_eq!(record.expect("a record"), "hello");
    (stream, other)
}

/// Polls both until both are done.
pub async fn both<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut first, mut second) = (None, None);
    poll_fn(move |context| {
        if first.is_none()
            && let Poll::Ready(value) = one.as_mut().poll(context)
        {
            first = Some(value);
        }
        if second.is_none()
            && let Poll::Ready(value) = other.as_mut().poll(context)
        {
            second = Some(value);
        }
        match (first.take(), second.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (first, second) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

/// Polls all until all are done.
pub async fn all<A>(futures: impl IntoIterator<Item = impl Future<Output = A>>) -> Vec<A> {
    let mut waiting: Vec<_> = futures.into_iter().map(Box::pin).map(Some).collect();
    let mut values: Vec<Option<A>> = waiting.iter().map(|_| None).collect();
    poll_fn(move |context| {
        for (slot, value) in waiting.iter_mut().zip(&mut values) {
            let Some(future) = slot else { continue };
            if let Poll::Ready(ready) = future.as_mut().poll(context) {
                *value = Some(ready);
                *slot = None;
            }
        }
        if waiting.iter().any(Option::is_some) {
            return Poll::Pending;
        }
        Poll::Ready(values.iter_mut().filter_map(Option::take).collect())
    })
    .await
}

/// Polls `future` until `end` is done first; `None` then.
pub async fn until<A>(future: impl Future<Output = A>, end: impl Future) -> Option<A> {
    let (mut future, mut end) = (pin!(future), pin!(end));
    poll_fn(move |context| {
        if let Poll::Ready(value) = future.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        end.as_mut().poll(context).map(|_| None)
    })
    .await
}

/// Bytes of a stream, each a function of its offset and of a number for the stream.
pub fn pattern(key: u64, offset: u64, length: usize) -> Vec<u8> {
    let byte = |at: u64| {
        let at = at.wrapping_add(key << 32);
        (at.wrapping_mul(31) ^ (at >> 8).wrapping_mul(17) ^ (at >> 16)) as u8
    };
    (offset..offset + length as u64).map(byte).collect()
}

/// Sends `length` bytes of the pattern in pieces, and finishes.
pub async fn send_pattern(stream: &Stream, key: u64, length: u64, piece: usize) {
    let mut at = 0;
    while at < length {
        let piece = piece.min((length - at) as usize);
        let sent = stream.send(pattern(key, at, piece)).await;
        sent.expect("accepted");
        at += piece as u64;
    }
    let finished = stream.finish(ringway::Status::ok()).await;
    finished.expect("finished");
}

/// Receives the pattern from `offset` to the end and compares; returns where it ended.
pub async fn receive_pattern(stream: &Stream, key: u64, offset: u64) -> u64 {
    let mut at = offset;
    while let Some(chunk) = stream.receive().await.expect("arrives") {
        assert_eq!(chunk.offset, at, "a gap, or bytes twice");
        let expected = pattern(key, at - offset, chunk.bytes.len());
        assert!(chunk.bytes == expected, "wrong bytes at {at}");
        at += chunk.bytes.len() as u64;
    }
    at
}
