//! Hosts with engines, and the loop that steps them.
//!
//! The application's futures are polled here, not on the shards: a failed assertion in one of
//! them then fails the test. Time passes only when neither they nor the shards have work.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use ringway::{
    Config, ConnectOptions, Engine, Key, KeyId, Keys, ListenOptions, Listener, NamedKey, Session,
    Shard, Status,
};
use ringway_sim::{Advance, HostId, KernelId, SimKernel, World, WorldConfig};

/// Turns of all shards after which a test is taken to spin.
const ROUNDS_MAX: u64 = 300_000;

/// Within this everything must have come back after a test, grace times and linger included.
const QUIET_WITHIN: Duration = Duration::from_secs(60);

/// A future with a name, to say who hangs.
type Task = (String, Pin<Box<dyn Future<Output = ()>>>);

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct Slot {
    task: Task,
    flag: Arc<Flag>,
}

/// Starts futures from inside others.
#[derive(Clone, Default)]
pub struct Spawner(Rc<RefCell<Vec<Task>>>);

impl Spawner {
    pub fn spawn(&self, name: impl Into<String>, task: impl Future<Output = ()> + 'static) {
        self.0.borrow_mut().push((name.into(), Box::pin(task)));
    }
}

/// A world with one engine per given host, each with one shard.
pub struct Scene {
    pub world: World,
    pub hosts: Vec<HostId>,
    pub engines: Vec<Engine>,
    pub spawner: Spawner,
    shards: Vec<Shard<SimKernel>>,
    kernels: Vec<(KernelId, HostId)>,
    tasks: Vec<Slot>,
    rounds: u64,
}

/// The one key of these tests.
pub fn key() -> NamedKey {
    NamedKey {
        id: KeyId::new("test").expect("valid"),
        key: Key::from_bytes([7; 32]),
    }
}

/// Where the last engine listens.
pub const TARGET: &str = "10.0.0.2:7400";

impl Scene {
    /// Hosts `10.0.0.1` and `10.0.0.2`, an engine on each.
    pub fn two_hosts(seed: u64, world: WorldConfig, config: &Config) -> Self {
        let mut scene = Self::empty(seed, world);
        for _ in 0..2 {
            let host = scene.add_host();
            scene.start_engine(host, config);
        }
        scene
    }

    pub fn empty(seed: u64, mut config: WorldConfig) -> Self {
        config.trace_text = crate::seeds::is_single();
        Self {
            world: World::new(seed, config),
            hosts: Vec::new(),
            engines: Vec::new(),
            spawner: Spawner::default(),
            shards: Vec::new(),
            kernels: Vec::new(),
            tasks: Vec::new(),
            rounds: 0,
        }
    }

    pub fn add_host(&mut self) -> HostId {
        let number = self.hosts.len() + 1;
        let address = format!("10.0.0.{number}").parse().expect("an address");
        let host = self.world.add_host(&format!("node-{number}"), &[address]);
        self.hosts.push(host);
        host
    }

    /// Starts an engine with as many shards as the configuration says, at least one.
    pub fn start_engine(&mut self, host: HostId, config: &Config) -> Engine {
        let kernels: Vec<_> = (0..config.shards.max(1))
            .map(|_| self.world.kernel(host))
            .collect();
        self.kernels
            .extend(kernels.iter().map(|kernel| (kernel.id(), host)));
        let (engine, shards) = Engine::assemble(config, kernels);
        self.shards.extend(shards);
        self.engines.push(engine.clone());
        engine
    }

    // --- the loop ------------------------------------------------------------------------------

    /// Runs everything until `future` is done.
    #[track_caller]
    pub fn run<T: 'static>(
        &mut self,
        within: Duration,
        future: impl Future<Output = T> + 'static,
    ) -> T {
        let result = Rc::new(RefCell::new(None));
        let slot = Rc::clone(&result);
        self.spawner.spawn("the test", async move {
            let value = future.await;
            *slot.borrow_mut() = Some(value);
        });
        let done = Rc::clone(&result);
        self.until("the test's future", within, move |_| {
            done.borrow().is_some()
        });
        result.take().expect("it is done")
    }

    /// Runs everything until every future has ended.
    #[track_caller]
    pub fn run_all(&mut self, within: Duration) {
        self.until("all futures", within, |scene| {
            scene.tasks.is_empty() && scene.spawner.0.borrow().is_empty()
        });
    }

    /// Runs everything until `done`.
    #[track_caller]
    pub fn until(&mut self, what: &str, within: Duration, mut done: impl FnMut(&mut Self) -> bool) {
        let end_ns = self.world.now_ns() + within.as_nanos() as u64;
        loop {
            let has_polled = self.poll_tasks();
            self.turn();
            if done(self) {
                return;
            }
            self.rounds += 1;
            if has_polled || self.has_work() {
                assert!(self.rounds < ROUNDS_MAX, "{}", self.stuck(what, "spins"));
                continue;
            }
            // A message from one shard to another may have come behind the other's turn.
            self.turn();
            if self.has_work() || self.is_any_task_woken() {
                continue;
            }
            if self.world.advance() == Advance::Quiescent {
                panic!("{}", self.stuck(what, "waits for ever"));
            }
            if self.world.now_ns() > end_ns {
                panic!("{}", self.stuck(what, "takes too long"));
            }
        }
    }

    fn stuck(&self, what: &str, how: &str) -> String {
        let outstanding: Vec<_> = self.shards.iter().map(Shard::outstanding).collect();
        let text = self.world.trace_text();
        let tail = text.len().saturating_sub(60_000);
        let tail = (tail..text.len()).find(|&at| text.is_char_boundary(at));
        let names: Vec<_> = self.tasks.iter().map(|slot| &slot.task.0).collect();
        format!(
            "{}\n{what} {how}: {names:?}, shards {outstanding:?}, {:?}, at {} ms",
            &text[tail.unwrap_or(0)..],
            self.world.outstanding(),
            self.world.now_ns() / 1_000_000,
        )
    }

    /// Polls the futures that were woken; says whether there was one.
    fn poll_tasks(&mut self) -> bool {
        let mut has_polled = false;
        loop {
            let new = std::mem::take(&mut *self.spawner.0.borrow_mut());
            self.tasks.extend(new.into_iter().map(|task| Slot {
                task,
                flag: Arc::new(Flag(AtomicBool::new(true))),
            }));
            if !self.is_any_task_woken() {
                return has_polled;
            }
            has_polled = true;
            self.tasks.retain_mut(|slot| {
                if !slot.flag.0.swap(false, Ordering::SeqCst) {
                    return true;
                }
                let waker = Waker::from(Arc::clone(&slot.flag));
                let mut context = Context::from_waker(&waker);
                slot.task.1.as_mut().poll(&mut context) == Poll::Pending
            });
        }
    }

    fn is_any_task_woken(&self) -> bool {
        self.tasks
            .iter()
            .any(|slot| slot.flag.0.load(Ordering::SeqCst))
    }

    fn turn(&mut self) {
        let mut index = 0;
        while index < self.shards.len() {
            if self.shards[index].turn() {
                index += 1;
            } else {
                self.shards.remove(index);
                self.kernels.remove(index);
            }
        }
    }

    fn has_work(&self) -> bool {
        self.kernels.iter().any(|&(id, _)| self.world.has_work(id))
    }

    // --- what tests begin and end with -------------------------------------------------------------

    /// The last engine listens, the first connects.
    #[track_caller]
    pub fn connect(&mut self, target: &str) -> (Session, Session, Listener) {
        let (client, server) = (self.engines[0].clone(), self.engines[1].clone());
        let target = target.to_owned();
        self.run(Duration::from_secs(30), async move {
            let options = ListenOptions::keyed(Keys::one(key()));
            let listener = server.listen(&target, options).await.expect("listens");
            let near = client.connect(&target, ConnectOptions::keyed(key()));
            let near = near.await.expect("connects");
            let far = listener.accept().await.expect("accepts");
            (near, far, listener)
        })
    }

    /// Closes a session at one end; both ends learn of it.
    #[track_caller]
    pub fn close(&mut self, near: Session, far: Session) {
        self.run(Duration::from_secs(180), async move {
            near.close(Status::ok());
            near.ended().await;
            far.ended().await;
        });
    }

    /// Nothing is left of all that was lent, started or opened, no contract was broken, and the
    /// engines end. Everything the test holds must have been dropped. Returns the hash of the
    /// trace.
    #[track_caller]
    pub fn end(mut self) -> u64 {
        self.until("coming to rest", QUIET_WITHIN, |scene| {
            let idle = |shard: &Shard<SimKernel>| shard.outstanding() == [0; 6];
            scene.shards.iter().all(idle) && scene.world.outstanding().is_empty()
        });
        assert_eq!(self.world.violations(), []);
        for engine in std::mem::take(&mut self.engines) {
            let within = Duration::from_secs(5);
            let report = self.run(within * 2, async move { engine.shutdown(within).await });
            assert_eq!(report.leaked, 0, "ops were left to the kernel");
        }
        assert!(self.shards.is_empty(), "a shard goes on after its end");
        self.world.trace_hash()
    }
}

/// Polls a future until another one is done; what it gave, if anything.
pub async fn race<T>(future: impl Future<Output = T>, end: impl Future) -> Option<T> {
    let mut future = Box::pin(future);
    let mut end = Box::pin(end);
    std::future::poll_fn(move |context| {
        if let Poll::Ready(value) = future.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        end.as_mut().poll(context).map(|_| None)
    })
    .await
}
