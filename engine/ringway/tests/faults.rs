//! Faults on purpose: what a user sees of each kind, on the real kernel and on the simulated one.

mod pair;

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use pair::pattern;
use ringway::{
    CloseReason, Config, ConnectError, ConnectOptions, Engine, FaultKernel, FaultPlan, Faults, Key,
    KeyId, Keys, ListenOptions, Listener, NamedKey, OpenHow, Session, Status, Stream,
    StreamOptions, block_on,
};

fn key() -> NamedKey {
    NamedKey {
        id: KeyId::new("test").expect("valid"),
        key: Key::from_bytes([7; 32]),
    }
}

fn plan(text: &str) -> FaultPlan {
    text.parse().expect("a plan")
}

fn faults(text: &str) -> Faults {
    Faults::new(7, plan(text))
}

fn engine(faults: Option<&Faults>) -> Engine {
    let mut config = Config {
        shards: 1,
        faults: faults.cloned(),
        ..Config::from_environment().expect("known capabilities")
    };
    config.session.heartbeat = Duration::from_millis(150);
    Engine::start(config).expect("starts")
}

/// A server without faults, and a client with some.
struct Rehearsal {
    faults: Faults,
    client: Engine,
    server: Engine,
    listener: Listener,
    near: Session,
    far: Session,
}

impl Rehearsal {
    fn new(text: &str) -> Self {
        let rehearsal = Self::calm();
        rehearsal.faults.set(plan(text));
        rehearsal
    }

    /// Nothing goes wrong yet.
    fn calm() -> Self {
        let faults = Faults::new(7, FaultPlan::default());
        let (client, server) = (engine(Some(&faults)), engine(None));
        block_on(async {
            let options = ListenOptions::keyed(Keys::one(key()));
            let listener = server
                .listen("127.0.0.1:0", options)
                .await
                .expect("listens");
            let address = listener.address().to_string();
            let near = client.connect(&address, ConnectOptions::keyed(key())).await;
            let far = listener.accept().await.expect("accepts");
            Self {
                faults,
                client,
                server,
                listener,
                near: near.expect("connects"),
                far,
            }
        })
    }

    fn injected(&self, kind: &str) -> u64 {
        let counts = self.faults.injected();
        let found = counts.iter().find(|(name, _)| *name == kind);
        found.expect("a kind").1
    }

    /// What went wrong on one connection may be noticed only when the bodies have long arrived on
    /// another one.
    fn comes_back(&self) {
        let resumes = || block_on(self.near.statistics()).expect("told").resumes;
        let is_back = (0..2000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            resumes() > 0
        });
        assert!(is_back, "nothing was noticed");
    }

    /// Sends so much there, and the same back; both arrive identical.
    async fn exchange(&self, bytes: usize) {
        let content = pattern(bytes);
        let stream = self
            .near
            .open(StreamOptions::default())
            .await
            .expect("opens");
        stream.send(content.clone()).await.expect("accepted");
        stream.finish(Status::ok()).await.expect("finished");
        let other = self.far.accept().await.expect("arrives");
        let mut there = Vec::new();
        while let Some(chunk) = other.receive().await.expect("arrives") {
            there.extend_from_slice(&chunk.bytes);
        }
        assert!(there == content, "what arrives there");
        other.send(there).await.expect("accepted");
        other.finish(Status::ok()).await.expect("finished");
        let mut back = Vec::new();
        while let Some(chunk) = stream.receive().await.expect("arrives") {
            back.extend_from_slice(&chunk.bytes);
        }
        assert!(back == content, "what comes back");
    }

    /// Without faults everything ends cleanly.
    fn end(self) {
        self.faults.set(FaultPlan::default());
        block_on(async {
            self.near.close(Status::ok());
            self.near.ended().await;
            self.far.close(Status::ok());
            self.far.ended().await;
            self.listener.close();
            for engine in [self.client, self.server] {
                let report = engine.shutdown(Duration::from_secs(5)).await;
                assert_eq!(report.leaked, 0, "operations were left to the kernel");
            }
        });
    }
}

#[test]
fn a_session_survives_every_cut_and_its_bytes_arrive_identical() {
    let rehearsal = Rehearsal::new("cut:every=4MiB");
    block_on(rehearsal.exchange(24 << 20));
    let resumes = block_on(rehearsal.near.statistics()).expect("told").resumes;
    assert!(
        rehearsal.injected("cut") >= 4,
        "{:?}",
        rehearsal.faults.injected()
    );
    assert!(resumes >= 3, "{resumes}");
    rehearsal.end();
}

#[test]
fn a_flipped_bit_in_a_header_ends_the_session_with_a_typed_violation() {
    let rehearsal = Rehearsal::calm();
    block_on(async {
        let stream = rehearsal
            .near
            .open(StreamOptions::default())
            .await
            .expect("opens");
        rehearsal.faults.set(plan("corrupt:after=1"));
        // Until the peer has ended it: the bit may also fall into the next frame.
        while stream.send(&b"some bytes"[..]).await.is_ok() {}
        let (near, far) = (rehearsal.near.ended().await, rehearsal.far.ended().await);
        assert!(matches!(far, CloseReason::Violation(_)), "{far:?}");
        let told = matches!(&near, CloseReason::Peer(status) if status.code == Status::PROTOCOL);
        assert!(
            told || matches!(near, CloseReason::Violation(_)),
            "{near:?}"
        );
    });
    assert_eq!(rehearsal.injected("corrupt"), 1);
    rehearsal.end();
}

#[test]
fn refused_dials_are_unreachable_until_the_fault_is_taken_away() {
    let rehearsal = Rehearsal::new("refuse:100%");
    block_on(async {
        let address = rehearsal.listener.address().to_string();
        let options = ConnectOptions {
            connect_timeout: Duration::from_millis(200),
            ..ConnectOptions::keyed(key())
        };
        let refused = rehearsal.client.connect(&address, options.clone()).await;
        assert!(
            matches!(refused, Err(ConnectError::Unreachable { .. })),
            "{refused:?}"
        );
        rehearsal.faults.set(FaultPlan::default());
        let session = rehearsal
            .client
            .connect(&address, options)
            .await
            .expect("connects");
        session.close(Status::ok());
        session.ended().await;
    });
    assert!(rehearsal.injected("refuse") >= 1);
    rehearsal.end();
}

#[test]
fn a_connection_that_brings_nothing_is_noticed_and_the_session_goes_on() {
    let rehearsal = Rehearsal::new("drop-inbound:after=3MiB");
    block_on(rehearsal.exchange(8 << 20));
    assert_eq!(rehearsal.injected("drop-inbound"), 1);
    rehearsal.comes_back();
    rehearsal.end();
}

#[test]
fn a_connection_that_sends_into_nowhere_is_noticed_and_the_session_goes_on() {
    let rehearsal = Rehearsal::new("drop-outbound:after=3MiB");
    block_on(rehearsal.exchange(8 << 20));
    assert_eq!(rehearsal.injected("drop-outbound"), 1);
    rehearsal.comes_back();
    rehearsal.end();
}

#[test]
fn what_is_delayed_arrives_later_and_in_order() {
    let rehearsal = Rehearsal::new("delay:20ms..30ms");
    let begun = Instant::now();
    block_on(rehearsal.exchange(3 << 20));
    assert!(begun.elapsed() >= Duration::from_millis(20));
    assert!(rehearsal.injected("delay") >= 1);
    rehearsal.end();
}

#[test]
fn a_slow_disk_shows_as_time_waited_for_the_source() {
    let rehearsal = Rehearsal::new("slow-disk:10ms");
    let place = tempfile::tempdir().expect("temporary directory");
    let (path, content) = (place.path().join("from"), pattern(3 << 20));
    std::fs::write(&path, &content).expect("written");
    block_on(async {
        let file = rehearsal.client.ambient().open(&path, OpenHow::READ).await;
        let length = content.len() as u64;
        let stream = rehearsal
            .near
            .open(StreamOptions::default())
            .await
            .expect("opens");
        let range = file.expect("opens").range(0, length);
        let end = stream.send(range).await.expect("accepted");
        stream.finish(Status::ok()).await.expect("finished");
        let other = rehearsal.far.accept().await.expect("arrives");
        let mut there = Vec::new();
        while let Some(chunk) = other.receive().await.expect("arrives") {
            there.extend_from_slice(&chunk.bytes);
        }
        assert!(there == content);
        stream.acked(end).await.expect("acked");
        let near = rehearsal.near.statistics().await.expect("told");
        assert!(near.send_waits_ns.of("source") >= 10_000_000, "{near:?}");
    });
    assert!(rehearsal.injected("slow-disk") >= 2);
    rehearsal.end();
}

#[test]
fn a_file_that_is_not_read_yet_delays_no_other_body() {
    const BYTES: usize = 2 << 20;
    let rehearsal = Rehearsal::new("slow-disk:2s");
    let place = tempfile::tempdir().expect("temporary directory");
    let path = place.path().join("from");
    std::fs::write(&path, pattern(BYTES)).expect("written");
    let receive = async |stream: &Stream| {
        let mut there = Vec::new();
        while there.len() < BYTES {
            let chunk = stream.receive().await.expect("arrives");
            there.extend_from_slice(&chunk.expect("more to come").bytes);
        }
        assert!(there == pattern(BYTES));
    };
    block_on(async {
        let file = rehearsal.client.ambient().open(&path, OpenHow::READ).await;
        let file = file.expect("opens").direct().await.expect("possible");
        let cold = rehearsal.near.open(StreamOptions::default()).await;
        let cold = cold.expect("opens");
        let end = cold.send(file.range(0, BYTES as u64)).await.expect("sent");
        // By now it was looked at, and is being read.
        while rehearsal
            .client
            .statistics()
            .await
            .expect("told")
            .direct_reads
            == 0
        {
            let pause = rehearsal.client.sleep(Duration::from_millis(10));
            pause.await.expect("it lives");
        }
        let warm = rehearsal.near.open(StreamOptions::default()).await;
        let warm = warm.expect("opens");
        warm.send(pattern(BYTES)).await.expect("accepted");
        let cold_far = rehearsal.far.accept().await.expect("opened by the second");
        let warm_far = rehearsal.far.accept().await.expect("arrives");
        receive(&warm_far).await;
        assert_eq!(cold.acked_now(), 0, "the other one waited for it");
        receive(&cold_far).await;
        cold.acked(end).await.expect("acked");
        let near = rehearsal.near.statistics().await.expect("told");
        assert!(near.send_waits_ns.of("source") > 0, "{near:?}");
    });
    rehearsal.end();
}

struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

/// The same kernel over the simulated one.
#[test]
fn cuts_are_survived_on_the_simulated_kernel_too() {
    let world = ringway_sim::World::new(3, ringway_sim::WorldConfig::default());
    let faults = faults("cut:every=100KiB,delay:1ms..3ms");
    let (mut engines, mut shards, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for number in 1..=2 {
        let address = format!("10.0.0.{number}").parse().expect("an address");
        let host = world.add_host(&format!("node-{number}"), &[address]);
        let kernel = world.kernel(host);
        ids.push(kernel.id());
        let kernel = FaultKernel::new(kernel, faults.clone());
        let (engine, more) = Engine::assemble(&Config::default(), vec![kernel]);
        engines.push(engine);
        shards.extend(more);
    }
    let (client, server) = (engines[0].clone(), engines[1].clone());
    let mut test = Box::pin(async move {
        let options = ListenOptions::keyed(Keys::one(key()));
        let listener = server
            .listen("10.0.0.2:7400", options)
            .await
            .expect("listens");
        let near = client
            .connect("10.0.0.2:7400", ConnectOptions::keyed(key()))
            .await;
        let (near, far) = (
            near.expect("connects"),
            listener.accept().await.expect("accepts"),
        );
        let stream = near.open(StreamOptions::default()).await.expect("opens");
        let content = pattern(2 << 20);
        for piece in content.chunks(64 << 10) {
            stream.send(piece.to_vec()).await.expect("accepted");
        }
        stream.finish(Status::ok()).await.expect("finished");
        let other = far.accept().await.expect("arrives");
        let mut there = Vec::new();
        while let Some(chunk) = other.receive().await.expect("arrives") {
            there.extend_from_slice(&chunk.bytes);
        }
        assert!(there == content);
        near.statistics().await.expect("told").resumes
    });
    let waker = Waker::from(Arc::new(Nobody));
    let mut context = Context::from_waker(&waker);
    let resumes = (0..200_000).find_map(|_| {
        if let std::task::Poll::Ready(resumes) = test.as_mut().poll(&mut context) {
            return Some(resumes);
        }
        for shard in &mut shards {
            shard.turn();
        }
        if !ids.iter().any(|id| world.has_work(*id)) {
            world.advance();
        }
        None
    });
    assert!(resumes.expect("it ends") >= 3);
}
