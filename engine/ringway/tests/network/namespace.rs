//! Network namespaces, each with a thread that lives in it.
//!
//! A namespace belongs to threads; what a thread starts is in the same one. So an engine that is
//! started by [`Namespace::run`] has all its sockets there, and everything is gone with the thread.

use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use nix::sched::{CloneFlags, unshare};

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
        let (jobs, todo) = channel::<Job>();
        let (started, start) = channel();
        let thread = std::thread::spawn(move || {
            let made = unshare(CloneFlags::CLONE_NEWNET);
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
        let (near, far) = (Self::new()?, Self::new()?);
        near.ip(&format!(
            "link add wire type veth peer name wire netns {}",
            far.id
        ));
        for (namespace, address) in [(&near, "10.77.0.1/24"), (&far, "10.77.0.2/24")] {
            namespace.ip(&format!("addr add {address} dev wire"));
            namespace.ip("link set wire up");
        }
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
