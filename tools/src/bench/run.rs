//! The client of a test: connects, proposes, loads, looks on, accounts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ringway::{
    ConnectOptions, Engine, PathChoice, Session, Status, Stream, StreamOptions, Target, block_on,
};

use super::bulk::{self, Drain, Supply};
use super::calls::call;
use super::connects::{Tickets, connect};
use super::control::Control;
use super::cutter::{Cuts, Cutter};
use super::document::Outcome;
use super::endpoint;
use super::failures::{self, Role};
use super::message::{Facts, Opening, Purpose, encode};
use super::network::{Nic, retransmitted_segments};
use super::options::{Load, Mode, Own, Run};
use super::plan::Plan;
use super::progress::{Interval, Watch};
use super::server::{open_sink, open_source};
use super::snapshot::{Account, Snapshot};
use super::source::{Sink, Source};
use super::test::{Task, Test};
use super::within::within;
use crate::engine_start::SHUTDOWN_WITHIN;
use crate::environment::{self, Environment};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::Output;

/// How long sessions may take to end after a test.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Measures against a server, and tells.
pub(super) fn run(options: &Run, output: &Output) -> Result<(), Failure> {
    let plan = Plan::of(&options.load, &options.own)?;
    let mut connect = options.credentials.connect_options()?;
    connect.connect_timeout = options.connect_timeout;
    connect.attempt_timeout = connect.attempt_timeout.min(options.connect_timeout);
    let interrupt = Interrupt::install()?;
    measure(
        &options.address,
        plan,
        &options.load,
        &options.own,
        connect,
        &interrupt,
        output,
    )
}

/// The same for a server that is known to be there.
pub(super) fn measure(
    address: &str,
    plan: Plan,
    load: &Load,
    own: &Own,
    mut connect: ConnectOptions,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<(), Failure> {
    let target: Target = address.parse().map_err(Failure::usage)?;
    if plan.mode == Mode::Resume && matches!(target, Target::Unix(_)) {
        let message = "mode resume cuts TCP connections: give it HOST:PORT";
        return Err(Failure::coded(
            crate::exit::Exit::Usage,
            "impossible",
            message,
        ));
    }
    let files = Files::check(load, own.body_path.choice)?;
    connect.congestion_control = own.congestion.map(|it| it.name());
    let environment = environment::look()?;
    let engine = endpoint::start(own, plan.lanes)?;
    let client = Client {
        engine: engine.clone(),
        address: address.to_owned(),
        cutter: (plan.mode == Mode::Resume).then(Cutter::default),
        target,
        connect,
        files,
        test: Test::new(plan),
    };
    let outcome = client.measure(load, own, environment, interrupt, output);
    client.test.end();
    client.test.clear();
    block_on(engine.shutdown(SHUTDOWN_WITHIN));
    outcome?.tell(load, output)
}

/// Files at this end.
#[derive(Clone, Debug, Default)]
struct Files {
    source: Option<PathBuf>,
    sink: Option<PathBuf>,
    path: PathChoice,
}

impl Files {
    /// Fails before a session is made for nothing.
    fn check(load: &Load, path: PathChoice) -> Result<Self, Failure> {
        let mut files = Self {
            path,
            ..Self::default()
        };
        if let Source::File(Some(path)) = &load.source {
            if open_source(path)?.metadata().is_ok_and(|it| it.len() == 0) {
                return Err(failures::empty_source());
            }
            files.source = Some(path.clone());
        }
        if let Sink::File(Some(path)) = &load.sink {
            open_sink(path)?;
            files.sink = Some(path.clone());
        }
        Ok(files)
    }
}

/// See the module.
struct Client {
    engine: Engine,
    address: String,
    target: Target,
    connect: ConnectOptions,
    cutter: Option<Cutter>,
    files: Files,
    test: Arc<Test>,
}

/// The measured part.
struct Measured {
    begun_at: SystemTime,
    seconds: f64,
    intervals: Vec<Interval>,
    client: Account,
    server: Account,
    retransmitted: Option<u64>,
    cuts: Cuts,
}

impl Client {
    fn measure(
        &self,
        load: &Load,
        own: &Own,
        environment: Environment,
        interrupt: &Interrupt,
        output: &Output,
    ) -> Result<Outcome, Failure> {
        let sessions = block_on(interrupt.unless_requested(self.sessions()))?;
        let plan = &self.test.plan;
        let begin = Control::begin(&self.engine, &sessions[0], &self.address, plan);
        let (control, facts) = block_on(interrupt.unless_requested(begin))?;
        self.check_facts(own, &facts)?;
        let measured = self.load(&sessions, &control, load, interrupt, output)?;
        drop(control);
        block_on(self.close(sessions));
        Ok(Outcome {
            title: load.title.clone(),
            address: self.address.clone(),
            plan: plan.clone(),
            path: own.body_path.choice.name(),
            congestion: own.congestion,
            shards: self.engine.shards(),
            spin: own.spin,
            cores: self.engine.cores().to_vec(),
            nic: Nic::towards(&self.target),
            environment,
            server: facts,
            begun_at: measured.begun_at,
            seconds: measured.seconds,
            intervals: measured.intervals,
            client_account: measured.client,
            server_account: measured.server,
            retransmitted_segments: measured.retransmitted,
            cuts: measured.cuts,
        })
    }

    /// One per lane, each on a shard of its own while there are some.
    async fn sessions(&self) -> Result<Vec<Session>, Failure> {
        let mut sessions = Vec::new();
        for lane in 0..self.test.plan.lanes as usize {
            let options = ConnectOptions {
                shard: Some(lane % self.engine.shards()),
                connector: self.cutter.as_ref().map(|cutter| {
                    let congestion = self.connect.congestion_control;
                    cutter.connector(&self.target, congestion)
                }),
                ..self.connect.clone()
            };
            let session = self.engine.connect(&self.address, options).await;
            sessions.push(session.map_err(failures::of_connect)?);
        }
        Ok(sessions)
    }

    /// What the server was started with decides for its own direction.
    fn check_facts(&self, own: &Own, facts: &Facts) -> Result<(), Failure> {
        let sends = self.test.plan.direction.is_down();
        let congestion = own.congestion.map(|it| it.name());
        let cases = [
            (
                "--path",
                own.body_path.choice.name(),
                facts.path.as_str(),
                "auto",
            ),
            (
                "-C",
                congestion.unwrap_or("default"),
                facts.congestion.as_deref().unwrap_or("default"),
                "default",
            ),
        ];
        for (option, ours, theirs, open) in cases {
            if sends && ours != theirs && ours != open {
                let message = format_args!(
                    "the server sends, and was started with {theirs} instead of {ours}: give it \
                     the same {option}"
                );
                return Err(Failure::coded(
                    crate::exit::Exit::Usage,
                    "impossible",
                    message,
                ));
            }
        }
        Ok(())
    }

    fn load(
        &self,
        sessions: &[Session],
        control: &Control,
        load: &Load,
        interrupt: &Interrupt,
        output: &Output,
    ) -> Result<Measured, Failure> {
        let plan = &self.test.plan;
        let watch = Watch {
            test: &self.test,
            interval: load.interval,
            interrupt,
            output,
        };
        let measure = || block_on(interrupt.unless_requested(control.measure()));
        let omit = Duration::from_secs_f64(plan.omit_seconds);
        if omit.is_zero() {
            measure()?;
        } else {
            self.start(sessions)?;
            watch.omit(omit)?;
            measure()?;
        }
        let before = block_on(Snapshot::take(&self.engine))?;
        let retransmitted = retransmitted_segments();
        let cutting = match &self.cutter {
            Some(cutter) => Some(cutter.start(plan.cuts)?),
            None => None,
        };
        let (begun_at, begun) = (SystemTime::now(), Instant::now());
        let mut counting = watch.begin(begun);
        if omit.is_zero() {
            self.start(sessions)?;
        }
        let seconds = watch.watch(&mut counting, plan.seconds.map(Duration::from_secs_f64))?;
        let cuts = cutting
            .map(super::cutter::Cutting::stop)
            .unwrap_or_default();
        let after = block_on(Snapshot::take(&self.engine))?;
        let retransmitted = retransmitted_segments()
            .zip(retransmitted)
            .map(|(after, before)| after.saturating_sub(before));
        self.test.check()?;
        self.test.end();
        let server = block_on(interrupt.unless_requested(control.end()))?;
        Ok(Measured {
            begun_at,
            seconds,
            intervals: counting.intervals,
            client: after.since(&before),
            server,
            retransmitted,
            cuts,
        })
    }

    async fn close(&self, sessions: Vec<Session>) {
        for session in sessions {
            session.close(Status::ok());
            // One that hangs ends with the engine.
            let _ = within(&self.engine, CLOSE_WITHIN, session.ended()).await;
        }
    }

    /// Starts every task, on the shard of its session.
    fn start(&self, sessions: &[Session]) -> Result<(), Failure> {
        let plan = &self.test.plan;
        let id = sessions[0].id().to_string();
        if plan.mode == Mode::Connect {
            return self.start_connects();
        }
        let mut starts = Vec::new();
        for index in 0..plan.parallel {
            let test = id.clone();
            if plan.mode == Mode::Call {
                starts.push((index, Purpose::Echo { test }));
                continue;
            }
            if plan.direction.is_up() {
                let test = test.clone();
                starts.push((index, Purpose::Up { test, index }));
            }
            if plan.direction.is_down() {
                starts.push((index, Purpose::Down { test, index }));
            }
        }
        if plan.mode == Mode::Mixed {
            starts.push((0, Purpose::Echo { test: id }));
        }
        for (index, purpose) in starts {
            let session = sessions[index as usize % sessions.len()].clone();
            let carrier = Carrier {
                task: self.test.task(),
                engine: self.engine.clone(),
                session: session.clone(),
                files: self.files.clone(),
                index,
            };
            let shard = session.shard();
            self.engine.spawn_on(shard, move || carrier.run(purpose))?;
        }
        Ok(())
    }

    fn start_connects(&self) -> Result<(), Failure> {
        let tickets = Tickets::new();
        for index in 0..self.test.plan.parallel as usize {
            let shard = index % self.engine.shards();
            let (task, engine) = (self.test.task(), self.engine.clone());
            let (address, tickets) = (self.address.clone(), Arc::clone(&tickets));
            let options = ConnectOptions {
                shard: Some(shard),
                ..self.connect.clone()
            };
            self.engine.spawn_on(shard, move || {
                connect(task, engine, address, options, tickets)
            })?;
        }
        Ok(())
    }
}

/// What carries one stream of the load.
struct Carrier {
    task: Task,
    engine: Engine,
    session: Session,
    files: Files,
    index: u32,
}

impl Carrier {
    async fn run(self, purpose: Purpose) {
        let test = Arc::clone(&self.task.0);
        if let Err(failure) = self.carry(purpose).await {
            test.fail(failure);
        }
    }

    async fn carry(self, purpose: Purpose) -> Result<(), Failure> {
        let opening = encode(&Opening::new(purpose.clone()));
        let opening_bytes = opening.len() as u64;
        let stream = self.open(opening).await;
        let stream = stream.map_err(|error| failures::of_stream(error, Role::Client))?;
        let test = &self.task.0;
        match purpose {
            Purpose::Up { .. } => {
                let file = self.files.source.as_deref().map(open_source).transpose()?;
                let mut supply =
                    Supply::make(&self.engine, &test.plan, file, self.files.path).await?;
                test.add_sending(stream.clone(), opening_bytes);
                let share = test.plan.share(self.index);
                bulk::pump(test, &stream, &mut supply, share, Role::Client).await;
            }
            Purpose::Down { .. } => {
                let file = self.files.sink.as_deref().map(open_sink).transpose()?;
                let sink = Drain::make(
                    &self.engine,
                    &test.plan,
                    file,
                    (self.index, self.files.path),
                )
                .await?;
                bulk::drain(test, &stream, &sink, Role::Client).await;
            }
            Purpose::Echo { .. } => call(self.task, stream, self.index).await,
            Purpose::Begin { .. } => {}
        }
        Ok(())
    }

    async fn open(&self, opening: Vec<u8>) -> Result<Stream, ringway::Error> {
        let stream = self.session.open(StreamOptions::default()).await?;
        stream.send_record(opening).await?;
        Ok(stream)
    }
}
