//! A home, a server and commands for one test.

#[path = "../../../engine/uring/tests/rig/turn.rs"]
mod turn;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// Nothing takes so long unless it hangs.
pub const AT_MOST: Duration = Duration::from_secs(120);

/// Directories of one test, with a key file of their own.
pub struct Home {
    pub directory: TempDir,
}

impl Home {
    pub fn new() -> Self {
        turn::wait_for_turn();
        let directory = tempfile::tempdir().expect("temporary directory");
        for name in ["served", "local", "config"] {
            fs::create_dir(directory.path().join(name)).expect("made");
        }
        Self { directory }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn served(&self, name: &str) -> PathBuf {
        self.path("served").join(name)
    }

    /// The command, with this home's key and working directory.
    pub fn ringway(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
        command.args(arguments).current_dir(self.path("local"));
        command.env("XDG_CONFIG_HOME", self.path("config"));
        command.stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        finish(self.start(arguments))
    }

    /// Starts it.
    pub fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.ringway(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the binary starts")
    }

    /// A local file of incompressible bytes.
    pub fn file(&self, name: &str, bytes: usize) -> Vec<u8> {
        let content = incompressible(bytes);
        fs::write(self.path("local").join(name), &content).expect("written");
        content
    }

    pub fn serve(&self) -> Server {
        Server::start(self, &[])
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// The only document on stdout.
    pub fn document(&self) -> Value {
        let parsed = serde_json::from_str(&self.stdout);
        parsed.unwrap_or_else(|error| panic!("no single document ({error}): {self:?}"))
    }

    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }
}

/// Waits for the end; a command that hangs is killed and shows as killed.
pub fn finish(child: Child) -> Outcome {
    let pid = child.id();
    let (done, watch) = std::sync::mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        if watch.recv_timeout(AT_MOST) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            signal(pid, Signal::SIGKILL);
        }
    });
    let output = child.wait_with_output().expect("waited for");
    drop(done);
    watchdog.join().expect("no panic");
    outcome(&output)
}

fn outcome(output: &Output) -> Outcome {
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).expect("a process id");
    kill(Pid::from_raw(pid), signal).expect("the process is there");
}

/// A running `ringway serve`.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(home: &Home, more: &[&str]) -> Self {
        let root = home.path("served");
        let root = root.to_str().expect("UTF-8");
        let mut arguments = vec!["serve", "--root", root, "--listen", "127.0.0.1:0"];
        arguments.extend(more);
        Self::of(home.ringway(&arguments))
    }

    /// From a command that prints the readiness line.
    pub fn of(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("the binary starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("readable");
        let address = line.trim().strip_prefix("listening on ");
        let address = address.unwrap_or_else(|| panic!("`{line}` is no readiness line"));
        let address = address.parse().expect("an address");
        Self { child, address }
    }

    /// `address/path`.
    pub fn place(&self, path: &str) -> String {
        format!("{}/{path}", self.address)
    }

    /// As a power failure of the process.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("waited for");
    }

    /// Asks for the end and waits for it.
    pub fn stop(mut self, how: Signal) -> Option<i32> {
        signal(self.child.id(), how);
        wait_until(|| self.child.try_wait().expect("waited for")).code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks again and again until there is something.
pub fn wait_until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < AT_MOST, "it does not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Bytes that no layer could make smaller.
pub fn incompressible(bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64 ^ bytes as u64;
    let mut content = Vec::with_capacity(bytes + 8);
    while content.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        content.extend_from_slice(&state.to_le_bytes());
    }
    content.truncate(bytes);
    content
}

/// Whether two files are the same, without printing megabytes if not.
pub fn assert_content(path: &Path, expected: &[u8]) {
    let found = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(found.len(), expected.len(), "size of {}", path.display());
    let differs = found.iter().zip(expected).position(|(a, b)| a != b);
    assert_eq!(differs, None, "first difference in {}", path.display());
}

pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Says that a test cannot run here; the file is how CI counts such tests.
pub fn skip(name: &str, reason: &str) {
    let line = format!("SKIP {name}: {reason}\n");
    eprint!("{line}");
    if let Some(path) = std::env::var_os("RINGWAY_TEST_SKIP_FILE") {
        let mut options = fs::OpenOptions::new();
        let file = options.create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .expect("written");
    }
}

/// Whether `capability` is taken away by `RINGWAY_MASK`.
pub fn is_masked(capability: &str) -> bool {
    let mask = std::env::var("RINGWAY_MASK").unwrap_or_default();
    mask.split(',').any(|name| name.trim() == capability)
}
