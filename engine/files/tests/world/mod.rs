//! A server and a client on the real kernel, and what the tests see of them.
#![allow(dead_code, reason = "each test file uses its part")]

#[path = "../../../uring/tests/rig/turn.rs"]
mod turn;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::future::Future;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use ringway::{Config, ConnectOptions, Engine, ListenOptions, Listener, block_on};
use ringway_files::{
    Client, ClientOptions, Fault, FilesError, GetOptions, Observer, PutOptions, ServeOptions,
    Server, Silent, SkipReason, TransferReport,
};
use tempfile::TempDir;

pub const MIB: u64 = 1 << 20;

/// Whatever hangs fails instead, after this long.
const PATIENCE: Duration = Duration::from_secs(120);

/// The only engine of a test, which ends with it.
pub struct LoneEngine {
    engine: Engine,
}

impl LoneEngine {
    pub fn start() -> Self {
        Self { engine: engine() }
    }
}

impl std::ops::Deref for LoneEngine {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl Drop for LoneEngine {
    fn drop(&mut self) {
        block_on(self.engine.shutdown(Duration::from_secs(5)));
    }
}

fn engine() -> Engine {
    turn::wait_for_turn();
    let config = Config {
        shards: 1,
        ..Config::from_environment().expect("RINGWAY_MASK names capabilities")
    };
    Engine::start(config).expect("an engine")
}

/// Waits for a future, not for ever.
pub fn wait<F: Future>(engine: &Engine, future: F) -> F::Output {
    let engine = engine.clone();
    block_on(async move {
        let mut timeout = pin!(engine.sleep(PATIENCE));
        let mut future = pin!(future);
        std::future::poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(output);
            }
            assert!(timeout.as_mut().poll(context).is_pending(), "it hangs");
            Poll::Pending
        })
        .await
    })
}

/// A served directory, a local one, and a client.
pub struct World {
    pub home: TempDir,
    pub engine: Engine,
    pub server_engine: Engine,
    pub server: Server,
    pub listener: Listener,
    pub client: Client,
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut ServeOptions)) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(home.path().join("root")).expect("the root");
        fs::create_dir(home.path().join("local")).expect("the local directory");
        Self::at(home, change)
    }

    pub fn at(home: TempDir, change: impl FnOnce(&mut ServeOptions)) -> Self {
        let (engine, server_engine) = (engine(), engine());
        let mut options = ServeOptions::new(home.path().join("root"));
        change(&mut options);
        let server = wait(&server_engine, Server::new(&server_engine, options)).expect("a server");
        let listen = server_engine.listen("127.0.0.1:0", ListenOptions::insecure());
        let listener = wait(&server_engine, listen).expect("a listener");
        serve(&server, &listener);
        let client = client(&engine, &address(&listener));
        Self {
            home,
            engine,
            server_engine,
            server,
            listener,
            client,
        }
    }

    pub fn root(&self, path: impl AsRef<Path>) -> PathBuf {
        self.home.path().join("root").join(path)
    }

    pub fn local(&self, path: impl AsRef<Path>) -> PathBuf {
        self.home.path().join("local").join(path)
    }

    /// Another server of the same root, at the same address, after the first was drained.
    pub fn serve_again(&self) -> Listener {
        let options = ServeOptions::new(self.root(""));
        let server = Server::new(&self.server_engine, options);
        let server = wait(&self.server_engine, server).expect("a server");
        let address = address(&self.listener);
        let listen = self
            .server_engine
            .listen(&address, ListenOptions::insecure());
        let listener = wait(&self.server_engine, listen).expect("a listener");
        serve(&server, &listener);
        listener
    }

    pub fn another_client(&self) -> Client {
        client(&self.engine, &address(&self.listener))
    }

    pub fn put(&self, sources: &[&str], to: &str) -> Result<TransferReport, FilesError> {
        let options = PutOptions {
            recursive: true,
            ..PutOptions::default()
        };
        self.put_with(sources, to, options)
    }

    pub fn put_with(
        &self,
        sources: &[&str],
        to: &str,
        options: PutOptions,
    ) -> Result<TransferReport, FilesError> {
        let sources: Vec<PathBuf> = sources.iter().map(|source| self.local(source)).collect();
        wait(
            &self.engine,
            self.client.put(&sources, to, options, Silent::observer()),
        )
    }

    pub fn get(&self, sources: &[&str], to: &str) -> Result<TransferReport, FilesError> {
        let options = GetOptions {
            recursive: true,
            ..GetOptions::default()
        };
        self.get_with(sources, to, options)
    }

    pub fn get_with(
        &self,
        sources: &[&str],
        to: &str,
        options: GetOptions,
    ) -> Result<TransferReport, FilesError> {
        // A trailing slash is part of what is asked for.
        let to = self.home.path().join(format!("local/{to}"));
        wait(
            &self.engine,
            self.client.get(sources, to, options, Silent::observer()),
        )
    }
}

impl Drop for World {
    fn drop(&mut self) {
        block_on(self.engine.shutdown(Duration::from_secs(5)));
        block_on(self.server_engine.shutdown(Duration::from_secs(5)));
    }
}

pub fn address(listener: &Listener) -> String {
    ringway::Target::from(listener.address().clone()).to_string()
}

pub fn client(engine: &Engine, target: &str) -> Client {
    Client::new(
        engine,
        target,
        ConnectOptions::insecure(),
        ClientOptions::default(),
    )
}

fn serve(server: &Server, listener: &Listener) {
    let (server, listener) = (server.clone(), listener.clone());
    std::thread::spawn(move || {
        // It ends with the engine.
        let _ = block_on(server.serve(&listener));
    });
}

/// Bytes that no compressor shortens and no two seeds share.
pub fn noise(seed: u64, length: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length as usize + 8);
    while (bytes.len() as u64) < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length as usize);
    bytes
}

pub fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("a file");
}

pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}

pub fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("there").mode() & 0o7777
}

/// Kind, mode, modification time and content of everything below a directory, by path.
pub fn snapshot(path: &Path) -> BTreeMap<OsString, (u32, i64, i64, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let mut pending = vec![path.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let entry = entry.expect("an entry");
            let metadata = entry.metadata().expect("there");
            let content = match metadata.is_file() {
                true => fs::read(entry.path()).expect("readable"),
                false => Vec::new(),
            };
            if metadata.is_dir() {
                pending.push(entry.path());
            }
            let name = entry
                .path()
                .strip_prefix(path)
                .expect("below")
                .as_os_str()
                .to_owned();
            let times = (metadata.mtime(), metadata.mtime_nsec());
            all.insert(name, (metadata.mode(), times.0, times.1, content));
        }
    }
    all
}

/// Our own files that are left anywhere below.
pub fn leftovers(path: &Path) -> Vec<OsString> {
    let is_ours = |name: &OsString| name.to_string_lossy().contains(".ringway-");
    snapshot(path).into_keys().filter(is_ours).collect()
}

pub fn partial_of(target: &Path) -> PathBuf {
    let name = target.file_name().and_then(OsStr::to_str).expect("a name");
    target.with_file_name(format!(".{name}.ringway-partial"))
}

#[track_caller]
pub fn fault(outcome: Result<TransferReport, FilesError>) -> Fault {
    let error = outcome.expect_err("it must fail");
    error
        .fault()
        .unwrap_or_else(|| panic!("no fault of a file: {error}"))
        .clone()
}

/// Does something once, when so many bytes have arrived; and keeps what it was told.
pub struct Trigger {
    after: u64,
    arrived: AtomicU64,
    is_fired: AtomicBool,
    action: Mutex<Box<dyn FnMut() + Send>>,
    pub resumed_from: AtomicU64,
    pub reconnects: AtomicU64,
    pub planned: AtomicU64,
    pub skipped: Mutex<Vec<(PathBuf, SkipReason)>>,
}

impl Trigger {
    pub fn after(bytes: u64, action: impl FnMut() + Send + 'static) -> Arc<Self> {
        Arc::new(Self {
            after: bytes,
            arrived: AtomicU64::new(0),
            is_fired: AtomicBool::new(false),
            action: Mutex::new(Box::new(action)),
            resumed_from: AtomicU64::new(0),
            reconnects: AtomicU64::new(0),
            planned: AtomicU64::new(0),
            skipped: Mutex::default(),
        })
    }

    pub fn is_fired(&self) -> bool {
        self.is_fired.load(Ordering::SeqCst)
    }

    pub fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::SeqCst)
    }
}

impl Observer for Trigger {
    fn planned(&self, _files: u64, bytes: u64) {
        self.planned.store(bytes, Ordering::SeqCst);
    }

    fn progress(&self, bytes: u64) {
        let arrived = self.arrived.fetch_add(bytes, Ordering::SeqCst) + bytes;
        if arrived >= self.after && !self.is_fired.swap(true, Ordering::SeqCst) {
            (self.action.lock().expect("not poisoned"))();
        }
    }

    fn resumed_from(&self, _path: &Path, offset: u64) {
        self.resumed_from.fetch_add(offset, Ordering::SeqCst);
    }

    fn skipped(&self, path: &Path, reason: SkipReason) {
        self.skipped
            .lock()
            .expect("not poisoned")
            .push((path.to_owned(), reason));
    }

    fn reconnecting(&self, _cause: &str, _within: Duration) {
        self.reconnects.fetch_add(1, Ordering::SeqCst);
    }
}

/// Runs a future until the trigger fires, then drops it. True if it was cut short.
pub fn abort_when(engine: &Engine, trigger: &Arc<Trigger>, future: impl Future) -> bool {
    let mut future = pin!(future);
    wait(engine, async {
        loop {
            let mut pause = pin!(engine.sleep(Duration::from_millis(1)));
            let ended = std::future::poll_fn(|context| {
                if future.as_mut().poll(context).is_ready() {
                    return Poll::Ready(true);
                }
                pause.as_mut().poll(context).map(|_| false)
            });
            if ended.await {
                return false;
            }
            if trigger.is_fired() {
                return true;
            }
        }
    })
}

const SERVE: &str = "RINGWAY_FILES_TEST_SERVE";

/// A server in a process of its own, to be killed.
pub struct ServerProcess {
    child: Child,
    pub address: String,
}

impl ServerProcess {
    /// Starts this test binary again, as a server. The binary must have a test
    /// `a_server_process` that calls [`serve_if_asked`].
    pub fn start(root: &Path, address: &str) -> Self {
        Self::spawn(
            Command::new(std::env::current_exe().expect("this binary")),
            root,
            address,
        )
    }

    pub fn spawn(mut command: Command, root: &Path, address: &str) -> Self {
        let mut child = command
            .args(["--exact", "a_server_process", "--nocapture"])
            .env(SERVE, format!("{address}|{}", root.display()))
            .stdout(Stdio::piped())
            .spawn()
            .expect("a server process");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let ready = output.lines().map_while(Result::ok).find_map(|line| {
            line.split_once("serving at ")
                .map(|(_, address)| address.to_owned())
        });
        let address = ready.expect("the server says where it listens");
        Self { child, address }
    }

    /// SIGKILL, and gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("reaped");
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The other side of [`ServerProcess::start`].
pub fn serve_if_asked() {
    let Ok(asked) = std::env::var(SERVE) else {
        return;
    };
    let (address, root) = asked.split_once('|').expect("an address and a root");
    let engine = engine();
    let server = block_on(Server::new(&engine, ServeOptions::new(root))).expect("a server");
    let listener = loop {
        // The killed process's socket may take a moment to go.
        match block_on(engine.listen(address, ListenOptions::insecure())) {
            Ok(listener) => break listener,
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    println!("serving at {}", self::address(&listener));
    std::io::stdout().flush().expect("stdout");
    let _ = block_on(server.serve(&listener));
}

/// Records that a test cannot run here.
pub fn skip(name: &str, reason: &str) {
    let line = format!("SKIP {name}: {reason}");
    println!("{line}");
    if let Ok(path) = std::env::var("RINGWAY_TEST_SKIP_FILE") {
        let file = fs::File::options().append(true).create(true).open(path);
        let mut file = file.expect("RINGWAY_TEST_SKIP_FILE can be written");
        // In one write: other tests append beside this one.
        let line = format!("{line}\n");
        file.write_all(line.as_bytes())
            .expect("RINGWAY_TEST_SKIP_FILE can be written");
    }
}
