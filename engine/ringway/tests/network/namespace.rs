//! Network namespaces, each with a thread that lives in it.
//!
//! A namespace belongs to threads; what a thread starts is in the same one. So an engine that is
//! started by [`Namespace::run`] has all its sockets there, and everything is gone with the thread.

use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use nix::sched::{CloneFlags, unshare};

/// Two network devices of the machine with a wire between them, separated by a space: tests take
/// them instead of virtual ones.
const DEVICES: &str = "RINGWAY_TEST_DEVICES";

type Job = Box<dyn FnOnce() + Send>;

/// See the module.
pub struct Namespace {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// Names it for ip(8).
    id: i32,
}

impl Namespace {
    /// A namespace with nothing but loopback; `None` without the privilege to make one.
    pub fn new() -> Option<Self> {
        Self::after(|| unshare(CloneFlags::CLONE_NEWNET))
    }

    /// The one that this thread is in.
    pub fn here() -> Option<Self> {
        Self::after(|| Ok(()))
    }

    fn after(enter: impl FnOnce() -> nix::Result<()> + Send + 'static) -> Option<Self> {
        let (jobs, todo) = channel::<Job>();
        let (started, start) = channel();
        let thread = std::thread::spawn(move || {
            let made = enter();
            let id = nix::unistd::gettid().as_raw();
            started.send(made.ok().map(|()| id)).expect("awaited");
            if made.is_ok() {
                work(&todo);
            }
        });
        let id = start.recv().expect("it starts")?;
        let namespace = Self {
            jobs: Some(jobs),
            thread: Some(thread),
            id,
        };
        namespace.ip("link set lo up");
        Some(namespace)
    }

    /// Two of them, `10.77.0.1` and `10.77.0.2`, joined by the devices `wire` in both.
    pub fn joined() -> Option<(Self, Self)> {
        let (near, far) = match devices() {
            Some(devices) => Self::joined_by(&devices)?,
            None => Self::joined_virtually()?,
        };
        for (namespace, address) in [(&near, "10.77.0.1/24"), (&far, "10.77.0.2/24")] {
            namespace.ip(&format!("addr add {address} dev wire"));
            namespace.ip("link set wire up");
        }
        Some((near, far))
    }

    fn joined_virtually() -> Option<(Self, Self)> {
        let (near, far) = (Self::new()?, Self::new()?);
        let id = far.id;
        near.ip(&format!(
            "link add wire type veth peer name wire netns {id}"
        ));
        Some((near, far))
    }

    /// The first device stays where it is, in sight of `/sys`: an engine looks there whether it
    /// sends through a real one.
    fn joined_by((first, second): &(String, String)) -> Option<(Self, Self)> {
        let (near, far) = (Self::here()?, Self::new()?);
        near.ip(&format!("link set {second} netns {}", far.id));
        near.ip(&format!("link set {first} name wire"));
        far.ip(&format!("link set {second} name wire"));
        Some((near, far))
    }

    /// Runs something there.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = channel();
        let job = Box::new(move || {
            let _ = done.send(job());
        });
        let jobs = self.jobs.as_ref().expect("it lives");
        jobs.send(job).expect("it lives");
        result.recv().expect("it did not panic")
    }

    /// Runs ip(8) there.
    pub fn ip(&self, arguments: &str) {
        self.command("ip", arguments);
    }

    /// Runs a program there, which must succeed.
    pub fn command(&self, program: &'static str, arguments: &str) {
        let arguments: Vec<_> = arguments.split(' ').map(str::to_owned).collect();
        let shown = format!("{program} {}", arguments.join(" "));
        let output = self.run(move || Command::new(program).args(arguments).output());
        let output = output.unwrap_or_else(|error| panic!("{program} (iproute2): {error}"));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{shown}: {errors}");
    }

    /// Sets a setting of the namespace.
    pub fn set(&self, name: &str, value: &'static str) {
        let path = format!("/proc/sys/{name}");
        let written = self.run(move || std::fs::write(path, value));
        written.expect("the setting exists");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(todo: &Receiver<Job>) {
    while let Ok(job) = todo.recv() {
        job();
    }
}

/// The devices to use, if any were named.
pub fn devices() -> Option<(String, String)> {
    let names = std::env::var(DEVICES).ok()?;
    let (first, second) = names.split_once(' ').expect("two names");
    Some((first.to_owned(), second.to_owned()))
}

/// Says that a test cannot run here.
pub fn skip(name: &str) {
    use std::io::Write;
    let line = format!("SKIP {name}: a network namespace needs root");
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
