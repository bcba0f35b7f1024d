//! `cargo bench -p ringway-benches --bench memory`: what idle sessions and streams cost, and a
//! large body that is retained.
//!
//! Both ends live in this process, on an engine each with one shard, and talk over loopback. What
//! is told is how much more of the process is resident afterwards (`/proc/self/statm`), divided by
//! the number of ends: handles that the application keeps are in it, sockets are not (the kernel
//! has those), and what the allocator keeps of freed memory counts as used.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use ringway::{
    Config, ConnectOptions, Engine, KeyId, Keys, ListenOptions, Listener, Session, SessionConfig,
    Status, Stream, StreamOptions, block_on,
};
use ringway_benches::Result;
use ringway_benches::environment::Environment;
use serde::Serialize;

/// The body that is retained and not acked, bytes.
const BODY_BYTES: u64 = 10 << 30;

/// What idle sessions and streams cost, and a large body that is retained
#[derive(Parser)]
struct Options {
    /// Idle sessions
    #[arg(long, default_value_t = 1000)]
    sessions: u64,
    /// Idle streams of one session
    #[arg(long, default_value_t = 100_000)]
    streams: u64,
    /// One JSON document on stdout
    #[arg(long)]
    json: bool,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// One number, and what it should be at most.
#[derive(Serialize)]
struct Row {
    what: &'static str,
    count: u64,
    resident_bytes: u64,
    bytes_each: u64,
    target_bytes: u64,
}

#[derive(Serialize)]
struct Report {
    rows: Vec<Row>,
    environment: Environment,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match block_on(measure(&options)) {
        Ok(rows) => {
            print(&options, rows);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("memory: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print(options: &Options, rows: Vec<Row>) {
    let report = Report {
        rows,
        environment: Environment::look(),
    };
    if options.json {
        let text = serde_json::to_string(&report).unwrap_or_default();
        return println!("{text}");
    }
    for row in &report.rows {
        println!(
            "{:<28} {:>8} × {:>8} bytes (at most {}), {} resident in all",
            row.what, row.count, row.bytes_each, row.target_bytes, row.resident_bytes
        );
    }
}

/// Two engines, and what connects them.
struct Ends {
    near: Engine,
    far: Engine,
    listener: Listener,
    options: ConnectOptions,
}

impl Ends {
    async fn start(session: SessionConfig) -> Result<Self> {
        let engine = || {
            Engine::start(Config {
                shards: 1,
                session: session.clone(),
                ..Config::default()
            })
        };
        let (near, far) = (engine()?, engine()?);
        let key = Keys::generate(KeyId::new("bench")?);
        let listening = ListenOptions::keyed(Keys::one(key.clone()));
        let listener = far.listen("127.0.0.1:0", listening).await?;
        let options = ConnectOptions::keyed(key);
        Ok(Self {
            near,
            far,
            listener,
            options,
        })
    }

    async fn connect(&self) -> Result<(Session, Session)> {
        let target = self.listener.address().to_string();
        let near = self.near.connect(&target, self.options.clone()).await?;
        Ok((near, self.listener.accept().await?))
    }

    async fn settle(&self) -> Result<u64> {
        self.near.sleep(Duration::from_millis(300)).await?;
        resident_bytes()
    }

    async fn stop(self) {
        for engine in [self.near, self.far] {
            engine.shutdown(Duration::from_secs(5)).await;
        }
    }
}

async fn measure(options: &Options) -> Result<Vec<Row>> {
    raise_descriptors(options.sessions * 2 + 200)?;
    let streams = idle_streams(options.streams).await?;
    Ok(vec![
        idle_sessions(options.sessions).await?,
        streams,
        retained_body().await?,
    ])
}

async fn idle_sessions(count: u64) -> Result<Row> {
    let ends = Ends::start(SessionConfig::default()).await?;
    let warm = ends.connect().await?;
    let before = ends.settle().await?;
    let mut sessions = Vec::new();
    for _ in 0..count {
        sessions.push(ends.connect().await?);
    }
    let row = Row::of("idle session, each end", count * 2, before, &ends, 16 << 10).await?;
    drop((warm, sessions));
    ends.stop().await;
    Ok(row)
}

async fn idle_streams(count: u64) -> Result<Row> {
    let ends = Ends::start(SessionConfig {
        streams_max: count + 16,
        ..SessionConfig::default()
    })
    .await?;
    let (near, far) = ends.connect().await?;
    let warm = open(&near, &far).await?;
    let before = ends.settle().await?;
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(open(&near, &far).await?);
    }
    let row = Row::of("idle stream, each end", count * 2, before, &ends, 1 << 10).await?;
    drop((warm, streams, near, far));
    ends.stop().await;
    Ok(row)
}

/// A stream that has brought a record, which was taken and acked.
async fn open(near: &Session, far: &Session) -> Result<(Stream, Stream)> {
    let stream = near.open(StreamOptions::default()).await?;
    let end = stream.send_record(&b"x"[..]).await?;
    let other = far.accept().await?;
    other.receive_record(1).await?;
    stream.acked(end).await?;
    Ok((stream, other))
}

async fn retained_body() -> Result<Row> {
    let ends = Ends::start(SessionConfig {
        // What the receiving end holds is not what is measured.
        stream_window_bytes: 64 << 10,
        ..SessionConfig::default()
    })
    .await?;
    let (near, far) = ends.connect().await?;
    let (stream, other) = open(&near, &far).await?;
    let file = tempfile::tempfile()?;
    file.set_len(BODY_BYTES)?;
    let file = ends.near.adopt_file(file).await?;
    let before = ends.settle().await?;
    stream.send(file.range(0, BODY_BYTES)).await?;
    let row = Row::of("10 GiB of a file, unacked", 1, before, &ends, 1 << 20).await?;
    let progress = stream.progress().await?;
    if progress.accepted - progress.acked < BODY_BYTES - (1 << 20) {
        return Err("the body was not retained".into());
    }
    near.close(Status::ok());
    drop((stream, other, near, far));
    ends.stop().await;
    Ok(row)
}

impl Row {
    async fn of(
        what: &'static str,
        count: u64,
        before: u64,
        ends: &Ends,
        target_bytes: u64,
    ) -> Result<Self> {
        let resident_bytes = ends.settle().await?.saturating_sub(before);
        Ok(Self {
            what,
            count,
            resident_bytes,
            bytes_each: resident_bytes.div_ceil(count),
            target_bytes,
        })
    }
}

/// Pages of this process that are in memory (proc(5), `statm`).
fn resident_bytes() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = text
        .split_whitespace()
        .nth(1)
        .ok_or("statm is empty")?
        .parse()?;
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?;
    Ok(pages * u64::try_from(page.unwrap_or(4096))?)
}

fn raise_descriptors(wanted: u64) -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard)?;
    }
    Ok(())
}
