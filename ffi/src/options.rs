//! Options as C gives them: structures that begin with their size, in which 0 means the default.
//!
//! What pointers point to is read by `abi`; this file turns numbers into settings.

use std::ffi::{c_char, c_int};
use std::os::fd::OwnedFd;
use std::time::Duration;

use ringway::{
    AuthenticationMode, BodyChecksum, Capabilities, Capability, Config, ConnectOptions, Keys,
    ListenOptions, PathChoice, Priority, StreamOptions, WhenFull,
};
use ringway_files::{ClientOptions, GetOptions, ListOptions, Overwrite, PutOptions};

use crate::abi::ringway_keys;
use crate::failure::{Failure, Result};

/// Whose thread the engine runs on.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ringway_loop_mode {
    /// Threads of the engine, one per core or as many as `shards` says. The default.
    RINGWAY_LOOP_THREADS = 0,
    /// The thread that starts the engine: it works inside of `ringway_loop_poll`, and nowhere
    /// else. No thread of the library, unless `helper_threads` asks for some.
    RINGWAY_LOOP_CALLER = 1,
}

/// Which way bodies take to the socket; for measurement.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ringway_path {
    /// By size, source, route and what the kernel reported. The default.
    RINGWAY_PATH_AUTO = 0,
    /// Always through user memory.
    RINGWAY_PATH_COPY = 1,
    /// Files and buffers of the arena by splice, whatever the size.
    RINGWAY_PATH_SPLICE = 2,
    /// Buffers of the arena by zero-copy send, even where the kernel will copy.
    RINGWAY_PATH_ZERO_COPY = 3,
}

/// Whether bodies are followed by a checksum, if the peer agrees.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ringway_checksum {
    /// Never. The default.
    RINGWAY_CHECKSUM_OFF = 0,
    /// Where both ends touch the bytes anyway.
    RINGWAY_CHECKSUM_AUTO = 1,
    /// Always, at the cost of reading every byte.
    RINGWAY_CHECKSUM_ALWAYS = 2,
}

/// Doing without keys.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ringway_insecure {
    /// Keys are used; without any, the call is refused. The default.
    RINGWAY_INSECURE_NO = 0,
    /// Anybody is believed; listening is possible on loopback and Unix sockets only.
    RINGWAY_INSECURE_LOCAL = 1,
    /// Also where other machines can connect.
    RINGWAY_INSECURE_ANYWHERE = 2,
}

/// What to do with a target that exists.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ringway_overwrite {
    /// Replace it, by one rename. The default.
    RINGWAY_OVERWRITE_REPLACE = 0,
    /// Keep it and skip the source.
    RINGWAY_OVERWRITE_NEVER = 1,
    /// Replace it if the source was modified later.
    RINGWAY_OVERWRITE_IF_NEWER = 2,
    /// Replace it unless size and modification time are the same.
    RINGWAY_OVERWRITE_IF_DIFFERENT = 3,
}

/// What becomes of sends when the session keeps `retained_bytes_max` unacked bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ringway_when_full {
    /// They wait until acks make room; nothing is lost. The default.
    RINGWAY_WHEN_FULL_WAIT = 0,
    /// The direction fails: `RINGWAY_EVENT_STREAM_SEND_FAILED` tells `RINGWAY_E_RETENTION_FULL`,
    /// and takes nothing more but a reset.
    RINGWAY_WHEN_FULL_FAIL = 1,
    /// The stream is lossy: its oldest whole records make room, and the receiver is told by
    /// `RINGWAY_E_GAP`.
    RINGWAY_WHEN_FULL_DROP_OLDEST = 2,
}

/// For numbers whose 0 means the default: none at all.
pub const RINGWAY_NONE: u32 = 0xffff_ffff;

/// Connections for large bodies of one session at most: the engine's own bound (docs/WIRE.md).
const BULK_CONNECTIONS_MAX: u32 = 8;

/// How an engine is built. Zero everything, set `struct_size`, then what matters; 0 is the
/// default everywhere. Strings are copied.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ringway_config {
    /// `sizeof(ringway_config)`.
    pub struct_size: usize,
    /// A `ringway_loop_mode`.
    pub loop_mode: u32,
    /// Shards, each with a thread and a ring; default: one per core. One with
    /// `RINGWAY_LOOP_CALLER`.
    pub shards: u32,
    /// The endpoint's name, told to peers after authentication; NULL: `ringway`.
    pub name: *const c_char,
    /// Names of kernel features to do without, separated by commas; NULL: none.
    pub masked: *const c_char,
    /// Registered memory per shard, bytes; default 16 MiB.
    pub arena_bytes: u64,
    /// Pipes per shard for spliced bodies; default 16.
    pub pipes_max: u32,
    /// Threads per shard for calls that have no ring op and may block (name resolution, reading
    /// directories). Default: 2, and none with `RINGWAY_LOOP_CALLER`. With none (`RINGWAY_NONE`)
    /// such calls block the loop.
    pub helper_threads: u32,
    /// Sessions of one shard; default 10,000.
    pub sessions_max: u64,
    /// Handshakes of one shard at a time; default 256.
    pub handshakes_max: u64,
    /// Handles of this engine at a time; default 1,048,576.
    pub handles_max: u64,
    /// A connection must have proven itself within this, ns; default 10 s.
    pub handshake_timeout_ns: u64,
    /// Arena memory of a connection that was reset rests so long, ns; default 1 s.
    pub reset_grace_ns: u64,
    /// What a peer may send on one stream beyond what was consumed, bytes; default 16 MiB.
    pub stream_window_bytes: u64,
    /// And on all streams of a session together, bytes; default 64 MiB.
    pub session_window_bytes: u64,
    /// Streams a peer may have open at once; default 4,096.
    pub streams_max: u64,
    /// Memory a session keeps for unacked bytes; default 64 MiB.
    pub retained_bytes_max: u64,
    /// Body bytes in flight unacked, of any kind; default 64 MiB.
    pub unacked_bytes_max: u64,
    /// Silence after which a heartbeat is sent, ns; after twice this a peer is silent. Default 5 s.
    pub heartbeat_ns: u64,
    /// A session without a connection lives so long, ns; default 120 s.
    pub resume_window_ns: u64,
    /// A drain takes at most so long, ns; default 30 s.
    pub drain_timeout_ns: u64,
    /// A `ringway_path`.
    pub path: u32,
    /// A `ringway_checksum`.
    pub body_checksum: u32,
    /// Connections for large bodies beside the one for everything else, at most 8; the smaller
    /// number of both sides holds. 0: the default, 1; `RINGWAY_NONE`: none.
    pub bulk_connections: u32,
    /// 0.
    pub reserved: u32,
    /// What is sent at once is large from so many bytes on; default 256 KiB.
    pub bulk_body_bytes_min: u64,
}

/// How to listen.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ringway_listen_options {
    /// `sizeof(ringway_listen_options)`.
    pub struct_size: usize,
    /// Whoever proves one of these may connect. Copied; may be freed after the call.
    pub keys: *const ringway_keys,
    /// A `ringway_insecure`, instead of keys.
    pub insecure: u32,
    /// Connections the kernel may hold that nobody accepted yet; default 1,024.
    pub backlog: u32,
    /// New sessions that may wait to be told; beyond, they are refused. Default 1,024.
    pub sessions_waiting_max: u64,
    /// Permission bits of a Unix socket's path; default 0600.
    pub unix_mode: u32,
    /// A `ringway_path`.
    pub path: u32,
    /// `cubic`, `bbr` or `reno`; NULL: the system's.
    pub congestion_control: *const c_char,
    /// Comes with each event of the listener, and is what its sessions begin with.
    pub user_data: u64,
}

/// How to connect.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ringway_connect_options {
    /// `sizeof(ringway_connect_options)`.
    pub struct_size: usize,
    /// The first of these is proven to the peer. Copied; may be freed after the call.
    pub keys: *const ringway_keys,
    /// A `ringway_insecure`, instead of keys.
    pub insecure: u32,
    /// A `ringway_path`.
    pub path: u32,
    /// How long the first connection may take in all, ns; default 10 s.
    pub connect_timeout_ns: u64,
    /// How long one attempt may take, handshake included, ns; default 5 s.
    pub attempt_timeout_ns: u64,
    /// First step of the delay between attempts, ns; it doubles. Default 10 ms.
    pub backoff_first_ns: u64,
    /// Longest step, ns; default 2 s.
    pub backoff_longest_ns: u64,
    /// `cubic`, `bbr` or `reno`; NULL: the system's.
    pub congestion_control: *const c_char,
    /// Which shard owns the session, counted from 1; 0: the next in turn.
    pub shard_number: u32,
    /// Not 0: the application dials. `RINGWAY_EVENT_DIAL` asks for each connection.
    pub own_dialer: u32,
    /// Not 0: `descriptor` is a connected stream socket to begin with. It is duplicated.
    pub has_descriptor: u32,
    /// See `has_descriptor`.
    pub descriptor: c_int,
    /// Comes with each event of the session, and is what its streams begin with.
    pub user_data: u64,
}

/// How to open a stream.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ringway_stream_options {
    /// `sizeof(ringway_stream_options)`.
    pub struct_size: usize,
    /// Bytes that may wait for the engine to accept them before a send answers
    /// `RINGWAY_E_AGAIN`; default 1 MiB. (What is accepted counts against
    /// `retained_bytes_max` until it is acked.)
    pub queue_bytes_max: u64,
    /// A `ringway_when_full`.
    pub when_full: u32,
    /// How urgent what is sent is among the streams of the session, 1 (lowest) to 8; default 5.
    pub priority: u32,
    /// Comes with each event of the stream.
    pub user_data: u64,
}

/// How to reach `ringway serve`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ringway_client_options {
    /// `sizeof(ringway_client_options)`.
    pub struct_size: usize,
    /// After the session has ended, new ones are tried for so long, ns; default 60 s.
    pub give_up_after_ns: u64,
    /// Not told by any event; for the application's own use.
    pub user_data: u64,
}

/// How to put, get or list.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ringway_transfer_options {
    /// `sizeof(ringway_transfer_options)`.
    pub struct_size: usize,
    /// Not 0: directories too, with all that is in them.
    pub recursive: u32,
    /// A `ringway_overwrite`.
    pub overwrite: u32,
    /// Not 0: discard a partial file instead of resuming it.
    pub restart: u32,
    /// Not 0: read source and target again and compare digests.
    pub verify: u32,
    /// Small files under way at once; default 256.
    pub small_files_in_flight: u32,
    /// Large files (1 MiB and more) under way at once; default 2.
    pub large_files_in_flight: u32,
    /// Entries of a listing at most; default 1,000,000.
    pub entries_max: u64,
    /// Comes with each event of the transfer.
    pub user_data: u64,
}

/// Bounds a duration that C gives: a year is as good as for ever, and sums stay far from overflow.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// Handles of one engine unless told otherwise.
pub(crate) const HANDLES_DEFAULT: u64 = 1 << 20;

/// A number, unless it is 0.
fn set<T: TryFrom<u64>>(target: &mut T, value: u64, what: &str) -> Result<()> {
    if value > 0 {
        let fits = T::try_from(value);
        *target = fits.map_err(|_| Failure::argument(format!("{what}: {value} is too large")))?;
    }
    Ok(())
}

fn or_none(number: u32) -> u32 {
    match number {
        RINGWAY_NONE => 0,
        number => number,
    }
}

fn set_duration(target: &mut Duration, ns: u64) {
    if ns > 0 {
        *target = Duration::from_nanos(ns).min(DURATION_MAX);
    }
}

fn choice<T: Copy>(what: &str, number: u32, choices: &[T]) -> Result<T> {
    let chosen = choices.get(number as usize).copied();
    let last = choices.len().saturating_sub(1);
    chosen.ok_or_else(|| Failure::argument(format!("{what}: {number} is not within 0 to {last}")))
}

fn path(number: u32) -> Result<PathChoice> {
    let choices = [
        PathChoice::Auto,
        PathChoice::Copy,
        PathChoice::Splice,
        PathChoice::ZeroCopy,
    ];
    choice("path", number, &choices)
}

fn path_or_engines(number: u32) -> Result<Option<PathChoice>> {
    Ok(Some(path(number)?).filter(|_| number > 0))
}

/// A level as C counts it, 1 to 8.
pub(crate) fn priority(number: u32) -> Result<Priority> {
    let level = number
        .checked_sub(1)
        .and_then(|level| u8::try_from(level).ok());
    let wrong = || Failure::argument(format!("priority {number} is not within 1 to 8"));
    level.and_then(Priority::new).ok_or_else(wrong)
}

fn congestion_control(name: Option<&str>) -> Result<Option<&'static str>> {
    let Some(name) = name else { return Ok(None) };
    let known = ["cubic", "bbr", "reno"]
        .into_iter()
        .find(|&known| known == name);
    let unknown = || Failure::argument(format!("congestion control `{name}`: cubic, bbr or reno"));
    known.map(Some).ok_or_else(unknown)
}

fn masked(names: &str) -> Result<Capabilities> {
    let names = names
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let parsed: std::result::Result<Capabilities, String> =
        names.map(str::parse::<Capability>).collect();
    parsed.map_err(Failure::argument)
}

impl ringway_config {
    /// Whether the caller's thread is the shard.
    pub(crate) fn is_callers(&self) -> Result<bool> {
        choice("loop_mode", self.loop_mode, &[false, true])
    }

    pub(crate) fn handles(&self) -> Result<usize> {
        let mut handles = HANDLES_DEFAULT as usize;
        set(&mut handles, self.handles_max, "handles_max")?;
        Ok(handles)
    }

    /// The settings; the strings are read already.
    pub(crate) fn settings(&self, name: Option<&str>, mask: Option<&str>) -> Result<Config> {
        let mut config = Config::default();
        if let Some(name) = name {
            ringway::EndpointName::new(name)
                .map_err(|error| Failure::argument(format!("name: {error}")))?;
            name.clone_into(&mut config.name);
        }
        config.masked = masked(mask.unwrap_or_default())?;
        config.shards = self.shards as usize;
        config.path = path(self.path)?;
        set(&mut config.arena_bytes, self.arena_bytes, "arena_bytes")?;
        set(&mut config.pipes_max, self.pipes_max.into(), "pipes_max")?;
        if self.is_callers()? || self.helper_threads > 0 {
            config.helper_threads = or_none(self.helper_threads);
        }
        if config.helper_threads > 64 {
            let wanted = u64::from(config.helper_threads);
            return Err(Failure::limit("helper_threads", wanted, 64));
        }
        set(&mut config.sessions_max, self.sessions_max, "sessions_max")?;
        set(
            &mut config.handshakes_max,
            self.handshakes_max,
            "handshakes_max",
        )?;
        set_duration(&mut config.handshake_timeout, self.handshake_timeout_ns);
        set_duration(&mut config.reset_grace, self.reset_grace_ns);
        self.set_session(&mut config)?;
        Ok(config)
    }

    fn set_session(&self, config: &mut Config) -> Result<()> {
        let session = &mut config.session;
        let bytes = [
            (&mut session.stream_window_bytes, self.stream_window_bytes),
            (&mut session.session_window_bytes, self.session_window_bytes),
            (&mut session.streams_max, self.streams_max),
            (&mut session.retained_bytes_max, self.retained_bytes_max),
            (&mut session.unacked_bytes_max, self.unacked_bytes_max),
        ];
        for (target, value) in bytes {
            set(target, value.min(1 << 62), "bytes")?;
        }
        set_duration(&mut session.heartbeat, self.heartbeat_ns);
        set_duration(&mut session.resume_window, self.resume_window_ns);
        set_duration(&mut session.drain_timeout, self.drain_timeout_ns);
        let checksums = [BodyChecksum::Off, BodyChecksum::Auto, BodyChecksum::Always];
        session.body_checksum = choice("body_checksum", self.body_checksum, &checksums)?;
        self.set_bulk(config)
    }

    fn set_bulk(&self, config: &mut Config) -> Result<()> {
        let session = &mut config.session;
        if self.bulk_connections > 0 {
            let wanted = or_none(self.bulk_connections);
            let fits = u8::try_from(wanted).ok();
            let fits = fits.filter(|_| wanted <= BULK_CONNECTIONS_MAX);
            let (wanted, allowed) = (wanted.into(), BULK_CONNECTIONS_MAX.into());
            session.bulk_connections =
                fits.ok_or_else(|| Failure::limit("bulk_connections", wanted, allowed))?;
        }
        let bytes = self.bulk_body_bytes_min.min(1 << 62);
        set(&mut session.bulk_body_bytes_min, bytes, "bytes")?;
        match self.reserved {
            0 => Ok(()),
            _ => Err(Failure::argument("reserved is not 0")),
        }
    }
}

/// What is wanted without keys; refused when keys are given too, or neither.
fn insecure(keys: Option<&Keys>, number: u32) -> Result<bool> {
    let wanted = choice("insecure", number, &[None, Some(false), Some(true)])?;
    match (keys, wanted) {
        (Some(_), Some(_)) => Err(Failure::argument("keys and insecure exclude each other")),
        (None, None) => Err(Failure::argument(
            "no keys: give some (ringway_keys_of_user), or say that it is meant to be insecure",
        )),
        (_, wanted) => Ok(wanted.unwrap_or(false)),
    }
}

impl ringway_listen_options {
    pub(crate) fn settings(
        &self,
        keys: Option<Keys>,
        control: Option<&str>,
    ) -> Result<ListenOptions> {
        let anywhere = insecure(keys.as_ref(), self.insecure)?;
        let mut options = ListenOptions::insecure();
        options.authentication = match keys {
            Some(keys) => AuthenticationMode::Keyed(keys),
            None => AuthenticationMode::Insecure { anywhere },
        };
        set(&mut options.backlog, self.backlog.into(), "backlog")?;
        set(
            &mut options.sessions_waiting_max,
            self.sessions_waiting_max,
            "sessions_waiting_max",
        )?;
        set(&mut options.unix_mode, self.unix_mode.into(), "unix_mode")?;
        options.path = path_or_engines(self.path)?;
        options.congestion_control = congestion_control(control)?;
        Ok(options)
    }
}

/// Where connections come from, if not from the engine's own dialling.
#[derive(Debug, Default)]
pub(crate) struct Dialling {
    pub(crate) descriptor: Option<OwnedFd>,
    pub(crate) asks_application: bool,
}

impl Dialling {
    pub(crate) fn has_desk(&self) -> bool {
        self.asks_application || self.descriptor.is_some()
    }
}

impl ringway_connect_options {
    pub(crate) fn settings(
        &self,
        keys: Option<&Keys>,
        control: Option<&str>,
    ) -> Result<ConnectOptions> {
        insecure(keys, self.insecure)?;
        let mut options = match keys {
            Some(keys) => ConnectOptions::keys(keys),
            None => ConnectOptions::insecure(),
        };
        set_duration(&mut options.connect_timeout, self.connect_timeout_ns);
        set_duration(&mut options.attempt_timeout, self.attempt_timeout_ns);
        set_duration(&mut options.backoff.first, self.backoff_first_ns);
        set_duration(&mut options.backoff.longest, self.backoff_longest_ns);
        options.path = path_or_engines(self.path)?;
        options.congestion_control = congestion_control(control)?;
        options.shard = (self.shard_number as usize).checked_sub(1);
        Ok(options)
    }
}

impl ringway_stream_options {
    pub(crate) fn settings(&self) -> Result<StreamOptions> {
        let choices = [WhenFull::Wait, WhenFull::Fail, WhenFull::DropOldest];
        let when_full = choice("when_full", self.when_full, &choices)?;
        let priority = match self.priority {
            0 => Priority::NORMAL,
            level => priority(level)?,
        };
        Ok(StreamOptions {
            when_full,
            priority,
        })
    }
}

impl ringway_client_options {
    pub(crate) fn settings(&self) -> ClientOptions {
        let mut options = ClientOptions::default();
        set_duration(&mut options.give_up_after, self.give_up_after_ns);
        options
    }
}

impl ringway_transfer_options {
    fn overwrite(&self) -> Result<Overwrite> {
        let choices = [
            Overwrite::Replace,
            Overwrite::Never,
            Overwrite::IfNewer,
            Overwrite::IfDifferent,
        ];
        choice("overwrite", self.overwrite, &choices)
    }

    pub(crate) fn put(&self) -> Result<PutOptions> {
        let mut options = PutOptions {
            recursive: self.recursive != 0,
            overwrite: self.overwrite()?,
            restart: self.restart != 0,
            verify: self.verify != 0,
            ..PutOptions::default()
        };
        let (small, large) = (self.small_files_in_flight, self.large_files_in_flight);
        set(
            &mut options.small_files_in_flight,
            small.into(),
            "small files",
        )?;
        set(
            &mut options.large_files_in_flight,
            large.into(),
            "large files",
        )?;
        Ok(options)
    }

    pub(crate) fn get(&self) -> Result<GetOptions> {
        let put = self.put()?;
        Ok(GetOptions {
            recursive: put.recursive,
            overwrite: put.overwrite,
            restart: put.restart,
            verify: put.verify,
            small_files_in_flight: put.small_files_in_flight,
            large_files_in_flight: put.large_files_in_flight,
        })
    }

    pub(crate) fn list(&self) -> Result<ListOptions> {
        let mut options = ListOptions {
            recursive: self.recursive != 0,
            ..ListOptions::default()
        };
        set(&mut options.entries_max, self.entries_max, "entries_max")?;
        Ok(options)
    }
}
