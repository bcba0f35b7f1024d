//! Options of C become those of Rust: numbers are checked, 0 is the default. What pointers point to
//! was read by `abi`.

use std::os::fd::OwnedFd;
use std::time::Duration;

use ringway::{
    AuthenticationMode, BodyChecksum, Capabilities, Capability, Config, ConnectOptions, Cores,
    KeyLimits, Keys, ListenOptions, PathChoice, Priority, StreamOptions, WaitMode, WhenFull,
};
use ringway_files::{ClientOptions, GetOptions, ListOptions, Overwrite, PageCache, PutOptions};

use crate::failure::{Failure, Result};
use crate::options::{
    RINGWAY_NONE, ringway_client_options, ringway_config, ringway_connect_options,
    ringway_key_limits, ringway_listen_options, ringway_stream_options, ringway_transfer_options,
};

/// Connections for large bodies of one session at most: the engine's own bound (docs/WIRE.md).
const BULK_CONNECTIONS_MAX: u32 = 8;

/// Longest peek: the engine's own bound.
const PEEK_NS_MAX: u32 = 1_000_000;

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

/// The numbers of `ringway_path` are the places in the list.
fn path(number: u32) -> Result<PathChoice> {
    choice("path", number, &PathChoice::ALL)
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

/// Where the shards run.
fn cores_of(text: Option<&str>) -> Result<Cores> {
    let cores = text.map_or(Ok(Cores::Any), str::parse);
    cores.map_err(|error| Failure::argument(format!("cores: {error}")))
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
    pub(crate) fn settings(
        &self,
        name: Option<&str>,
        mask: Option<&str>,
        cores: Option<&str>,
    ) -> Result<Config> {
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
        config.wait = self.wait()?;
        config.cores = cores_of(cores)?;
        self.set_session(&mut config)?;
        Ok(config)
    }

    fn wait(&self) -> Result<WaitMode> {
        let peek_ns = or_none(self.peek_ns);
        if peek_ns > PEEK_NS_MAX {
            let wanted = u64::from(peek_ns);
            return Err(Failure::limit("peek_ns", wanted, PEEK_NS_MAX.into()));
        }
        Ok(match (self.spin_ns, self.peek_ns) {
            (0, 0) => WaitMode::default(),
            (0, _) => WaitMode::Sleep {
                peek_max: Duration::from_nanos(peek_ns.into()),
            },
            (u64::MAX, _) => WaitMode::Spin {
                idle_max: Duration::MAX,
            },
            (spin_ns, _) => WaitMode::Spin {
                idle_max: Duration::from_nanos(spin_ns),
            },
        })
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

impl ringway_key_limits {
    pub(crate) fn settings(&self) -> KeyLimits {
        let unless_zero = |number: u64| Some(number).filter(|&number| number > 0);
        KeyLimits {
            sessions: unless_zero(self.sessions),
            streams: unless_zero(self.streams),
            retained_bytes: unless_zero(self.retained_bytes),
        }
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
            cache: match self.direct {
                0 => PageCache::Used,
                _ => PageCache::Passed,
            },
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
            cache: put.cache,
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

/// Each test takes the options of Rust apart, field by field: one that is new there does not
/// compile until it has its counterpart in C, or is named here with the reason.
#[cfg(test)]
mod tests {
    use ringway::{Backoff, EndpointName, SessionConfig};

    use super::*;

    /// Zero everything, as C does.
    macro_rules! zeroed {
        ($name:ident { $($field:ident: $value:expr),* $(,)? }) => {{
            // Options are made of numbers and pointers; `abi` reads them in the same way.
            let mut options = crate::abi::default_options::<$name>();
            $(options.$field = $value;)*
            options
        }};
    }

    fn ns(number: u64) -> Duration {
        Duration::from_nanos(number)
    }

    #[test]
    fn every_option_of_an_engine_can_be_said_in_c() {
        let given = zeroed!(ringway_config {
            shards: 1,
            arena_bytes: 2,
            pipes_max: 3,
            helper_threads: 4,
            sessions_max: 5,
            handshakes_max: 6,
            handshake_timeout_ns: 7,
            reset_grace_ns: 8,
            path: 1,
            stream_window_bytes: 10,
            session_window_bytes: 11,
            streams_max: 12,
            retained_bytes_max: 13,
            unacked_bytes_max: 14,
            bulk_connections: 7,
            bulk_body_bytes_min: 16,
            heartbeat_ns: 17,
            resume_window_ns: 18,
            drain_timeout_ns: 19,
            body_checksum: 2,
            peek_ns: 20,
        });
        let settings = given.settings(Some("me"), Some("splice"), Some("1,0"));
        let settings = settings.expect("valid");
        let Config {
            shards,
            name,
            masked,
            arena_bytes,
            pipes_max,
            helper_threads,
            session,
            sessions_max,
            handshakes_max,
            handshake_timeout,
            reset_grace,
            path,
            wait,
            cores,
            // `ringway_engine_start_with_faults`.
            faults: _,
        } = settings;
        assert_eq!((shards, arena_bytes, pipes_max), (1, 2, 3));
        assert_eq!((helper_threads, sessions_max, handshakes_max), (4, 5, 6));
        assert_eq!((handshake_timeout, reset_grace), (ns(7), ns(8)));
        assert_eq!((name.as_str(), path), ("me", PathChoice::Copy));
        assert_eq!(wait, WaitMode::Sleep { peek_max: ns(20) });
        assert_eq!(cores, Cores::These(vec![1, 0]));
        assert!(cores_of(Some("two")).is_err(), "no core");
        assert_eq!(masked, [Capability::Splice].into_iter().collect());
        let SessionConfig {
            stream_window_bytes,
            session_window_bytes,
            streams_max,
            retained_bytes_max,
            unacked_bytes_max,
            bulk_connections,
            bulk_body_bytes_min,
            heartbeat,
            resume_window,
            drain_timeout,
            body_checksum,
        } = session;
        let bytes = [
            stream_window_bytes,
            session_window_bytes,
            streams_max,
            retained_bytes_max,
            unacked_bytes_max,
            bulk_body_bytes_min,
        ];
        assert_eq!(bytes, [10, 11, 12, 13, 14, 16]);
        let times = [heartbeat, resume_window, drain_timeout];
        assert_eq!(times, [17, 18, 19].map(ns));
        assert_eq!((bulk_connections, body_checksum), (7, BodyChecksum::Always));
        assert!(EndpointName::new(&name).is_ok());
    }

    #[test]
    fn every_way_to_wait_can_be_said_in_c() {
        let wait = |spin_ns, peek_ns| {
            zeroed!(ringway_config {
                spin_ns: spin_ns,
                peek_ns: peek_ns
            })
            .wait()
        };
        let peek_max = |number| WaitMode::Sleep {
            peek_max: ns(number),
        };
        let spin = |idle_max| WaitMode::Spin { idle_max };
        assert_eq!(wait(0, 0).expect("valid"), WaitMode::default());
        assert_eq!(wait(0, RINGWAY_NONE).expect("valid"), peek_max(0));
        assert_eq!(wait(7, 0).expect("valid"), spin(ns(7)));
        assert_eq!(wait(u64::MAX, 0).expect("valid"), spin(Duration::MAX));
        assert!(wait(0, 1_000_001).is_err());
    }

    #[test]
    fn every_option_of_a_listener_can_be_said_in_c() {
        let given = zeroed!(ringway_listen_options {
            insecure: 2,
            backlog: 3,
            sessions_waiting_max: 4,
            unix_mode: 0o660,
            path: 2,
        });
        let ListenOptions {
            authentication,
            backlog,
            sessions_waiting_max,
            unix_mode,
            path,
            congestion_control,
        } = given.settings(None, Some("bbr")).expect("valid");
        let AuthenticationMode::Insecure { anywhere: true } = authentication else {
            panic!("{authentication:?}");
        };
        assert_eq!((backlog, sessions_waiting_max, unix_mode), (3, 4, 0o660));
        assert_eq!(path, Some(PathChoice::Splice));
        assert_eq!(congestion_control, Some("bbr"));
        let keys = crate::keys::generate("me").expect("valid");
        let keyed = zeroed!(ringway_listen_options { insecure: 0 });
        let keyed = keyed.settings(Some(keys), None);
        let authentication = keyed.expect("valid").authentication;
        assert!(matches!(authentication, AuthenticationMode::Keyed(_)));
    }

    #[test]
    fn every_option_of_a_connection_can_be_said_in_c() {
        let before = crate::keys::generate("me").expect("valid");
        let keys = crate::keys::generate("me").expect("valid").join(&before);
        let given = zeroed!(ringway_connect_options {
            path: 3,
            connect_timeout_ns: 1,
            attempt_timeout_ns: 2,
            backoff_first_ns: 3,
            backoff_longest_ns: 4,
            shard_number: 6,
        });
        let ConnectOptions {
            key,
            previous_key,
            connect_timeout,
            attempt_timeout,
            backoff: Backoff { first, longest },
            // `own_dialer` and `descriptor`.
            connector: _,
            path,
            congestion_control,
            shard,
        } = given.settings(Some(&keys), Some("reno")).expect("valid");
        let key = key.expect("keyed").key.to_hex();
        assert_eq!(key.as_str(), keys.own().key.to_hex().as_str());
        let previous = previous_key.expect("joined").to_hex();
        assert_eq!(previous.as_str(), before.own().key.to_hex().as_str());
        let times = [connect_timeout, attempt_timeout, first, longest];
        assert_eq!(times, [1, 2, 3, 4].map(ns));
        assert_eq!((path, shard), (Some(PathChoice::ZeroCopy), Some(5)));
        assert_eq!(congestion_control, Some("reno"));
    }

    #[test]
    fn every_option_of_a_stream_and_a_key_can_be_said_in_c() {
        let given = zeroed!(ringway_stream_options {
            when_full: 2,
            priority: 8,
        });
        let StreamOptions {
            when_full,
            priority,
        } = given.settings().expect("valid");
        assert_eq!(when_full, WhenFull::DropOldest);
        assert_eq!(Some(priority), Priority::new(7));
        let given = zeroed!(ringway_key_limits {
            sessions: 1,
            streams: 2,
            retained_bytes: 3,
        });
        let KeyLimits {
            sessions,
            streams,
            retained_bytes,
        } = given.settings();
        let limits = [sessions, streams, retained_bytes];
        assert_eq!(limits, [1, 2, 3].map(Some));
    }

    #[test]
    fn every_option_of_the_file_service_can_be_said_in_c() {
        let given = zeroed!(ringway_client_options {
            give_up_after_ns: 1,
        });
        let ClientOptions { give_up_after } = given.settings();
        assert_eq!(give_up_after, ns(1));
        let given = zeroed!(ringway_transfer_options {
            recursive: 1,
            overwrite: 2,
            restart: 1,
            verify: 1,
            small_files_in_flight: 3,
            large_files_in_flight: 4,
            entries_max: 5,
            direct: 1,
        });
        let PutOptions {
            recursive,
            overwrite,
            restart,
            verify,
            cache,
            small_files_in_flight,
            large_files_in_flight,
        } = given.put().expect("valid");
        assert!(recursive && restart && verify);
        assert_eq!(cache, PageCache::Passed);
        assert_eq!(overwrite, Overwrite::IfNewer);
        assert_eq!((small_files_in_flight, large_files_in_flight), (3, 4));
        let GetOptions {
            recursive,
            overwrite,
            restart,
            verify,
            cache,
            small_files_in_flight,
            large_files_in_flight,
        } = given.get().expect("valid");
        assert!(recursive && restart && verify);
        assert_eq!(cache, PageCache::Passed);
        assert_eq!(overwrite, Overwrite::IfNewer);
        assert_eq!((small_files_in_flight, large_files_in_flight), (3, 4));
        let ListOptions {
            recursive,
            entries_max,
        } = given.list().expect("valid");
        assert_eq!((recursive, entries_max), (true, 5));
    }
}
