//! `ringway bench server`: waits for clients, bounds what they ask for, one test at a time.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ringway::{Engine, Listener, PathChoice, Session, block_on};
use serde_json::json;

use super::endpoint;
use super::limits::{GRACE, SESSIONS_BESIDE};
use super::message::{Facts, Refusal, RefusalCode};
use super::options::{LimitOptions, Server};
use super::plan::{Plan, SinkKind, SourceKind};
use super::snapshot::Account;
use super::test::Test;
use super::visit::visit;
use super::within::within;
use crate::demo::serve::end_with_stdin;
use crate::engine_start::SHUTDOWN_WITHIN;
use crate::environment;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::Output;

/// What all visits share.
pub(super) struct House {
    pub(super) engine: Engine,
    pub(super) facts: Facts,
    /// The way that bodies are to take from here, and files into the house.
    pub(super) path: PathChoice,
    limits: LimitOptions,
    source_file: Option<PathBuf>,
    sink_file: Option<PathBuf>,
    sessions: AtomicU32,
    running: Mutex<Option<(String, Arc<Test>)>>,
    tests: AtomicU64,
    /// Requested after the first test, when there is to be only one.
    one_off: Option<Interrupt>,
}

/// A session that is counted.
pub(super) struct Counted<'a>(&'a AtomicU32);

/// The test that is running; over when dropped.
pub(super) struct Running<'a> {
    house: &'a House,
    test: Arc<Test>,
}

/// Serves until a signal comes, or after one test if that was asked for.
pub(super) fn run(options: &Server, output: &Output) -> Result<(), Failure> {
    let interrupt = Interrupt::install()?;
    check_file(options.source_file.as_deref())?;
    // Told to every client, and looked for before the first one waits for it.
    let environment = environment::look()?;
    let engine = endpoint::start(&options.own, options.limits.max_sessions)?;
    let house = Arc::new(House {
        facts: Facts {
            environment,
            shards: engine.shards(),
            spin: options.own.spin,
            cores: engine.cores().to_vec(),
            checksum: options.own.checksum,
            path: options.own.body_path.choice.name().to_owned(),
            congestion: options.own.congestion.map(|it| it.name().to_owned()),
        },
        engine,
        path: options.own.body_path.choice,
        limits: options.limits.clone(),
        source_file: options.source_file.clone(),
        sink_file: options.sink_file.clone(),
        sessions: AtomicU32::new(0),
        running: Mutex::default(),
        tests: AtomicU64::new(0),
        one_off: options.one_off.then(Interrupt::default),
    });
    let outcome = block_on(serve(options, &house, &interrupt, output));
    block_on(house.engine.shutdown(SHUTDOWN_WITHIN));
    outcome?;
    output.finish(&json!({ "tests": house.tests.load(Ordering::Relaxed) }));
    Ok(())
}

async fn serve(
    options: &Server,
    house: &Arc<House>,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<(), Failure> {
    let listener = listen(options, &house.engine).await?;
    announce(&listener, output);
    if options.end_with_stdin {
        end_with_stdin(interrupt.clone())?;
    }
    let once = house.one_off.clone().unwrap_or_default();
    let accepting = async { once.unless_requested(accept(house, &listener)).await };
    let ended = interrupt.unless_requested(accepting).await;
    listener.close();
    match ended {
        Err(_) if interrupt.is_requested() || once.is_requested() => Ok(()),
        other => other,
    }
}

async fn accept(house: &Arc<House>, listener: &Listener) -> Result<(), Failure> {
    loop {
        let session = listener.accept().await?;
        let house = Arc::clone(house);
        let shard = session.shard();
        let engine = house.engine.clone();
        engine.spawn_on(shard, move || visit(house, session))?;
    }
}

async fn listen(options: &Server, engine: &Engine) -> Result<Listener, Failure> {
    let mut listen = options.credentials.listen_options(options.anywhere)?;
    listen.congestion_control = options.own.congestion.map(|it| it.name());
    let listener = engine.listen(&options.listen, listen).await;
    listener.map_err(|error| {
        let mut failure = Failure::from(error);
        if options.credentials.insecure && failure.code == "permission_denied" {
            failure.message += "; without keys only loopback and Unix sockets, or --anywhere";
        }
        failure.during(format_args!("cannot listen on {}", options.listen))
    })
}

/// As `ringway serve` does.
fn announce(listener: &Listener, output: &Output) {
    let address = listener.address().to_string();
    output.line(&format!("listening on {address}"));
    output.event("listening", json!({ "address": address }));
    if !output.is_stream() {
        output.finish(&json!({ "event": "listening", "address": address }));
    }
}

/// Fails now rather than in a client's test.
fn check_file(path: Option<&Path>) -> Result<(), Failure> {
    match path {
        Some(path) => open_source(path).map(drop),
        None => Ok(()),
    }
}

/// A regular file to send.
pub(super) fn open_source(path: &Path) -> Result<File, Failure> {
    let fail = |error| Failure::file("read", path, &error);
    let file = File::open(path).map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    match metadata.is_file() {
        true => Ok(file),
        false => Err(not_regular(path)),
    }
}

/// A regular file to write into, made if there is none.
pub(super) fn open_sink(path: &Path) -> Result<File, Failure> {
    let fail = |error| Failure::file("write", path, &error);
    // Looked at first: opening a FIFO to write would wait for a reader.
    if std::fs::metadata(path).is_ok_and(|it| !it.is_file()) {
        return Err(not_regular(path));
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    options.open(path).map_err(fail)
}

fn not_regular(path: &Path) -> Failure {
    let message = format_args!("{} is no regular file: name one", path.display());
    Failure::coded(crate::exit::Exit::File, "not_regular", message)
}

impl House {
    /// One more session, if there may be one.
    pub(super) fn enter(&self) -> Option<Counted<'_>> {
        let most = self.limits.max_sessions.saturating_add(SESSIONS_BESIDE);
        let counted = Counted(&self.sessions);
        let before = self.sessions.fetch_add(1, Ordering::AcqRel);
        (before < most).then_some(counted)
    }

    fn running(&self) -> MutexGuard<'_, Option<(String, Arc<Test>)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a test, if it is within the limits and the only one.
    pub(super) fn begin(&self, plan: Plan, id: String) -> Result<Running<'_>, Refusal> {
        self.check(&plan)?;
        let mut running = self.running();
        if running.is_some() {
            let text = "another test is running here; try again when it is over";
            return Err(Refusal::new(RefusalCode::Busy, text));
        }
        let test = Test::new(plan);
        *running = Some((id, Arc::clone(&test)));
        drop(running);
        Ok(Running { house: self, test })
    }

    fn check(&self, plan: &Plan) -> Result<(), Refusal> {
        let refuse = |failure: Failure| Refusal::new(RefusalCode::Plan, failure.message);
        plan.check().map_err(refuse)?;
        let limits = &self.limits;
        let sessions = match plan.mode {
            super::options::Mode::Connect => plan.parallel,
            _ => plan.lanes,
        };
        let bounds = [
            ("seconds", plan.time().as_secs(), limits.max_time.as_secs()),
            ("sessions", sessions.into(), limits.max_sessions.into()),
            ("streams", plan.streams().into(), limits.max_streams.into()),
            (
                "bytes of payloads",
                plan.payload_bytes(),
                limits.max_memory.0,
            ),
        ];
        for (what, wanted, allowed) in bounds {
            if wanted > allowed {
                return Err(Refusal::limit(what, wanted, allowed));
            }
        }
        if plan.checksum != self.facts.checksum {
            let text = "the ends differ in --checksum: start the server with the same";
            return Err(Refusal::new(RefusalCode::Option, text));
        }
        let file = |failure: Failure| Refusal::new(RefusalCode::File, failure.message);
        if plan.direction.is_up() {
            self.open_sink(plan).map_err(file)?;
        }
        if plan.direction.is_down() {
            self.open_source(plan).map_err(file)?;
        }
        Ok(())
    }

    /// A test that a stream belongs to.
    pub(super) fn join(&self, id: &str, index: u32) -> Option<Arc<Test>> {
        let running = self.running();
        let (of, test) = running.as_ref()?;
        (of == id && index < test.plan.parallel).then(|| Arc::clone(test))
    }

    /// A test is over. The only one, if there is to be only one: the server ends when the client
    /// has taken its account and is gone.
    pub(super) async fn leave(&self, session: &Session) {
        if let Some(once) = &self.one_off {
            let _ = within(&self.engine, GRACE, session.ended()).await;
            once.request();
        }
    }

    /// How long a test may take in all.
    pub(super) fn time_max(&self, plan: &Plan) -> Duration {
        match plan.seconds {
            Some(_) => plan.time() + GRACE,
            None => self.limits.max_time,
        }
    }

    /// The file that clients may read, if the plan needs it.
    pub(super) fn open_source(&self, plan: &Plan) -> Result<Option<File>, Failure> {
        match (plan.source, &self.source_file) {
            (SourceKind::File, Some(path)) => open_source(path).map(Some),
            (SourceKind::File, None) => Err(Failure::usage(
                "the server has no source file: start it with --source-file PATH",
            )),
            _ => Ok(None),
        }
    }

    /// The file that clients may overwrite, if the plan needs it.
    pub(super) fn open_sink(&self, plan: &Plan) -> Result<Option<File>, Failure> {
        match (plan.sink, &self.sink_file) {
            (SinkKind::File, Some(path)) => open_sink(path).map(Some),
            (SinkKind::File, None) => Err(Failure::usage(
                "the server has no sink file: start it with --sink-file PATH",
            )),
            _ => Ok(None),
        }
    }
}

impl Running<'_> {
    pub(super) fn plan(&self) -> &Plan {
        &self.test.plan
    }

    /// Takes note of a test that was measured to its end.
    pub(super) fn tell(&self, account: &Account) {
        let gb = account.body_bytes() as f64 / 1e9;
        let (mode, seconds) = (self.test.plan.mode.name(), account.seconds);
        tracing::info!(
            "{mode}: {gb:.3} GB in {seconds:.1} s, {:.2} s of CPU",
            account.cpu_s
        );
        self.house.tests.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Err(failure) = self.test.check() {
            tracing::warn!("{}", failure.message);
        }
        self.test.end();
        self.test.clear();
        *self.house.running() = None;
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
