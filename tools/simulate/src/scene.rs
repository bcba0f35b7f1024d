//! Hosts with processes on them, and the loop that steps everything.
//!
//! The application's futures are polled here, not on the shards: a failed assertion in one of
//! them then fails the run. Time passes only when neither they nor the shards have work. A future
//! belongs to the process on a host, and dies with it, or to the run itself.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::Duration;

use ringway::{Config, Engine, Key, KeyId, NamedKey, Session, Shard, Status};
use ringway_sim::{Advance, HostId, KernelId, SimKernel, World, WorldConfig};

use crate::inspect::Inspector;
use crate::run::Context;

/// Turns of all shards, without the run coming to its end, after which it is taken to spin.
const ROUNDS_MAX: u64 = 20_000_000;

/// Turns of all shards at one moment of virtual time after which they are taken to spin.
const ROUNDS_AT_ONCE_MAX: u64 = 300_000;

/// Within this everything must have come back after a run: grace times, linger, and the resume
/// window of sessions whose dialer never came to know of them.
const QUIET_WITHIN: Duration = Duration::from_secs(180);

/// The whole of what the shards may be asked to do by one run is inspected so often.
const ROUNDS_PER_INSPECTION: u64 = 32;

/// Where Linux tells which run of the kernel this is (random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A future with a name, to say who hangs, and the process that it belongs to.
struct Task {
    name: String,
    process: Option<HostId>,
    /// It goes on until it is told to end: nobody waits for it before.
    is_serving: bool,
    future: Pin<Box<dyn Future<Output = ()>>>,
}

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
pub struct Spawner {
    new: Rc<RefCell<Vec<Task>>>,
    process: Option<HostId>,
}

impl Spawner {
    /// Starts a future. Its name is shown when it hangs.
    pub fn spawn(&self, name: impl Into<String>, future: impl Future<Output = ()> + 'static) {
        self.add(name.into(), false, Box::pin(future));
    }

    /// As [`spawn`](Self::spawn), for one that ends when it is told to.
    pub fn spawn_serving(
        &self,
        name: impl Into<String>,
        future: impl Future<Output = ()> + 'static,
    ) {
        self.add(name.into(), true, Box::pin(future));
    }

    fn add(&self, name: String, is_serving: bool, future: Pin<Box<dyn Future<Output = ()>>>) {
        self.new.borrow_mut().push(Task {
            name,
            process: self.process,
            is_serving,
            future,
        });
    }

    /// One whose futures die with the process on a host.
    #[must_use]
    pub fn of(&self, host: HostId) -> Self {
        Self {
            new: Rc::clone(&self.new),
            process: Some(host),
        }
    }
}

/// An engine with its shards, stepped by the scene.
struct Process {
    host: HostId,
    engine: Engine,
    shards: Vec<(KernelId, Shard<SimKernel>)>,
}

/// A world, the processes in it, and the futures that use them.
pub struct Scene {
    /// The world, to break it.
    pub world: World,
    /// In the order in which they were added.
    pub hosts: Vec<HostId>,
    /// For futures that belong to no process.
    pub spawner: Spawner,
    processes: Vec<Process>,
    tasks: Vec<Slot>,
    inspector: Inspector,
    /// Machines that were switched on, and on again.
    boots: u64,
    rounds: u64,
    rounds_at_once: u64,
}

/// What one step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Something was done, or time has passed.
    Worked,
    /// Nothing can ever happen again.
    Quiescent,
}

/// The one key of these runs.
///
/// # Panics
/// Never: its id is valid.
#[must_use]
pub fn key() -> NamedKey {
    NamedKey {
        id: KeyId::new("test").expect("valid"),
        key: Key::from_bytes([7; 32]),
    }
}

/// Where the process on the second host listens.
pub const TARGET: &str = "10.0.0.2:7400";

impl Scene {
    /// A world without hosts.
    #[must_use]
    pub fn new(seed: u64, mut config: WorldConfig, context: &Context) -> Self {
        config.trace_text = context.trace;
        let world = World::new(seed, config);
        context.adopt(&world);
        Self {
            world,
            hosts: Vec::new(),
            spawner: Spawner::default(),
            processes: Vec::new(),
            tasks: Vec::new(),
            inspector: Inspector::default(),
            boots: 0,
            rounds: 0,
            rounds_at_once: 0,
        }
    }

    /// Adds a host: `node-1` at `10.0.0.1`, and so on.
    pub fn add_host(&mut self) -> HostId {
        let number = self.hosts.len() + 1;
        let address = format!("10.0.0.{number}").parse().expect("an address");
        let host = self.world.add_host(&format!("node-{number}"), &[address]);
        self.hosts.push(host);
        self.boot(host);
        host
    }

    /// A machine's kernel has started: it says so by another id than any before.
    fn boot(&mut self, host: HostId) {
        self.boots += 1;
        let id = format!("{:032x}\n", self.boots);
        self.world.disk(host).plant_file(BOOT_ID, id.as_bytes());
    }

    /// Starts an engine with as many shards as the configuration says, at least one.
    pub fn start_engine(&mut self, host: HostId, config: &Config) -> Engine {
        let kernels: Vec<_> = (0..config.shards.max(1))
            .map(|_| self.world.kernel(host))
            .collect();
        let ids: Vec<KernelId> = kernels.iter().map(SimKernel::id).collect();
        let (engine, shards) = Engine::assemble(config, kernels);
        self.processes.push(Process {
            host,
            engine: engine.clone(),
            shards: ids.into_iter().zip(shards).collect(),
        });
        engine
    }

    /// Kills all processes on a host as `SIGKILL` does.
    pub fn kill(&mut self, host: HostId) {
        self.world.kill_process(host);
        self.bury(host);
    }

    /// Cuts the power of a machine; it is up again at once, with nothing running on it.
    pub fn crash(&mut self, host: HostId) {
        self.world.crash_machine(host);
        self.boot(host);
        self.bury(host);
    }

    /// What was in the memory of the processes on a host is gone. Their kernels are dead: what
    /// destructors still ask of them has no effect.
    fn bury(&mut self, host: HostId) {
        self.inspector.forget();
        let new = std::mem::take(&mut *self.spawner.new.borrow_mut());
        let kept = new.into_iter().filter(|task| task.process != Some(host));
        self.spawner.new.borrow_mut().extend(kept);
        self.tasks.retain(|slot| slot.task.process != Some(host));
        self.processes.retain(|process| process.host != host);
    }

    // --- the loop ------------------------------------------------------------------------------

    /// Runs everything until `future` is done.
    ///
    /// # Panics
    /// If that takes longer, or for ever.
    #[track_caller]
    pub fn run<T: 'static>(
        &mut self,
        within: Duration,
        future: impl Future<Output = T> + 'static,
    ) -> T {
        let result = Rc::new(RefCell::new(None));
        let slot = Rc::clone(&result);
        self.spawner.spawn("the run", async move {
            let value = future.await;
            *slot.borrow_mut() = Some(value);
        });
        let done = Rc::clone(&result);
        self.until("the run's future", within, move |_| done.borrow().is_some());
        result.take().expect("it is done")
    }

    /// Runs everything until every future has ended.
    ///
    /// # Panics
    /// If that takes longer, or for ever.
    #[track_caller]
    pub fn run_all(&mut self, within: Duration) {
        self.until("all futures", within, |scene| {
            scene.tasks.is_empty() && scene.spawner.new.borrow().is_empty()
        });
    }

    /// Runs everything until every future has ended but those that serve others.
    ///
    /// # Panics
    /// If that takes longer, or for ever.
    #[track_caller]
    pub fn run_all_but_serving(&mut self, within: Duration) {
        self.until("all futures but those that serve", within, |scene| {
            let mut tasks = scene.tasks.iter().map(|slot| &slot.task);
            let new = scene.spawner.new.borrow();
            tasks.all(|task| task.is_serving) && new.iter().all(|task| task.is_serving)
        });
    }

    /// Runs everything for a while, or until nothing can happen any more.
    ///
    /// # Panics
    /// If something spins.
    #[track_caller]
    pub fn run_for(&mut self, duration: Duration) {
        let end_ns = self.world.now_ns() + nanoseconds(duration);
        while self.world.now_ns() < end_ns {
            if self.step() == Step::Quiescent {
                return;
            }
        }
    }

    /// Runs everything until `done`.
    ///
    /// # Panics
    /// If that takes longer, or for ever.
    #[track_caller]
    pub fn until(&mut self, what: &str, within: Duration, mut done: impl FnMut(&mut Self) -> bool) {
        let end_ns = self.world.now_ns() + nanoseconds(within);
        loop {
            let step = self.step();
            if done(self) {
                return;
            }
            if step == Step::Quiescent {
                panic!("{}", self.stuck(what, "waits for ever"));
            }
            if self.world.now_ns() > end_ns {
                panic!("{}", self.stuck(what, "takes too long"));
            }
        }
    }

    /// Polls what is woken, steps each shard, and lets time pass if nothing was to be done.
    #[track_caller]
    fn step(&mut self) -> Step {
        let has_polled = self.poll_tasks();
        self.turn();
        self.check();
        if has_polled || self.has_work() {
            return Step::Worked;
        }
        // A message from one shard to another may have come behind the other's turn.
        self.turn();
        if self.has_work() || self.is_any_task_woken() {
            return Step::Worked;
        }
        self.rounds_at_once = 0;
        match self.world.advance() {
            Advance::To(_) => Step::Worked,
            Advance::Quiescent => Step::Quiescent,
        }
    }

    /// The checkers of every step.
    #[track_caller]
    fn check(&mut self) {
        self.rounds += 1;
        self.rounds_at_once += 1;
        if self.rounds > ROUNDS_MAX || self.rounds_at_once > ROUNDS_AT_ONCE_MAX {
            panic!("{}", self.stuck("the scene", "spins"));
        }
        if self.world.violation_count() > 0 {
            panic!("contracts broken: {:?}", self.world.violations());
        }
        if self.rounds.is_multiple_of(ROUNDS_PER_INSPECTION) {
            self.inspect();
        }
    }

    fn inspect(&mut self) {
        let processes = self.processes.iter().enumerate();
        let shards = processes.flat_map(|(index, process)| {
            let shards = process.shards.iter();
            shards.map(move |(_, shard)| (index, shard.inspect()))
        });
        let views =
            shards.flat_map(|(process, views)| views.into_iter().map(move |v| (process, v)));
        self.inspector.check(views);
    }

    /// Sums agree at both ends of every session: nothing is on its way any more.
    pub(crate) fn check_at_rest(&mut self) {
        self.inspect();
        self.inspector.check_at_rest();
    }

    fn stuck(&self, what: &str, how: &str) -> String {
        let shards = self.processes.iter().flat_map(|process| &process.shards);
        let outstanding: Vec<_> = shards.map(|(_, shard)| shard.outstanding()).collect();
        let shards = self.processes.iter().flat_map(|process| &process.shards);
        let views = shards.flat_map(|(_, shard)| shard.inspect());
        let busy: Vec<_> = views.filter(|view| !view.streams.is_empty()).collect();
        let names: Vec<_> = self.tasks.iter().map(|slot| &slot.task.name).collect();
        format!(
            "{what} {how}: {names:?}, shards {outstanding:?}, {:?}, at {} ms; {busy:?}",
            self.world.outstanding(),
            self.world.now_ns() / 1_000_000,
        )
    }

    /// Polls the futures that were woken; says whether there was one.
    fn poll_tasks(&mut self) -> bool {
        let mut has_polled = false;
        loop {
            let new = std::mem::take(&mut *self.spawner.new.borrow_mut());
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
                let mut context = TaskContext::from_waker(&waker);
                slot.task.future.as_mut().poll(&mut context) == Poll::Pending
            });
        }
    }

    fn is_any_task_woken(&self) -> bool {
        let mut slots = self.tasks.iter();
        slots.any(|slot| slot.flag.0.load(Ordering::SeqCst))
    }

    fn turn(&mut self) {
        for process in &mut self.processes {
            process.shards.retain_mut(|(_, shard)| shard.turn());
        }
    }

    fn has_work(&self) -> bool {
        let mut shards = self.processes.iter().flat_map(|process| &process.shards);
        shards.any(|&(id, _)| self.world.has_work(id))
    }

    // --- what runs begin and end with ---------------------------------------------------------

    /// Closes a session at one end; both ends learn of it.
    ///
    /// # Panics
    /// If one does not.
    #[track_caller]
    pub fn close(&mut self, near: Session, far: Session) {
        self.run(Duration::from_secs(180), async move {
            near.close(Status::ok());
            near.ended().await;
            far.ended().await;
        });
    }

    /// Nothing is left of all that was lent, started or opened, no contract was broken, and the
    /// engines end. Everything the run holds must have been dropped. Returns the hash of the
    /// trace.
    ///
    /// # Panics
    /// If something is left.
    #[track_caller]
    pub fn end(mut self) -> u64 {
        self.until("coming to rest", QUIET_WITHIN, |scene| {
            let idle = |(_, shard): &(_, Shard<SimKernel>)| shard.outstanding() == [0; 6];
            let mut shards = scene.processes.iter().flat_map(|process| &process.shards);
            shards.all(idle) && scene.world.outstanding().is_empty()
        });
        assert_eq!(self.world.violations(), []);
        let engines: Vec<Engine> = self.processes.iter().map(|it| it.engine.clone()).collect();
        for engine in engines {
            let within = Duration::from_secs(5);
            let report = self.run(within * 2, async move { engine.shutdown(within).await });
            assert_eq!(report.leaked, 0, "ops were left to the kernel");
        }
        let mut processes = self.processes.iter();
        assert!(
            processes.all(|process| process.shards.is_empty()),
            "a shard goes on after its end"
        );
        self.world.trace_hash()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // What panicked may be in the middle of something: its destructors could panic too,
            // and two panics end the program.
            std::mem::forget(std::mem::take(&mut self.tasks));
            std::mem::forget(std::mem::take(&mut self.processes));
            std::mem::forget(std::mem::take(&mut *self.spawner.new.borrow_mut()));
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
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
