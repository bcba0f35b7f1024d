//! What can be chosen, with the defaults.

use std::fmt;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use ringway_io::{Capabilities, Capability};
use ringway_proto::{Key, Priority, SessionConfig};

use crate::cores::Cores;
use crate::faults::Faults;
use crate::key_file::{Keys, NamedKey};
use crate::wait_mode::WaitMode;

/// How an engine is built.
#[derive(Clone, Debug)]
pub struct Config {
    /// Shards, each with a thread and a ring; 0 for one per core this process may use.
    pub shards: usize,
    /// The endpoint's name, told to peers after authentication.
    pub name: String,
    /// Kernel features to do without, for tests and for kernels known to be bad.
    pub masked: Capabilities,
    /// Registered memory per shard, bytes.
    pub arena_bytes: u64,
    /// Pipes per shard for spliced bodies.
    pub pipes_max: u32,
    /// Threads per shard for calls that have no ring op and may block (name resolution, reading
    /// directories); 0 runs them on the shard itself, which then waits for them.
    pub helper_threads: u32,
    /// How the session protocol behaves.
    pub session: SessionConfig,
    /// Sessions one shard may own; beyond, new ones are refused as overloaded.
    pub sessions_max: usize,
    /// Handshakes one shard may have in progress; beyond, accepting waits. Never more than a quarter
    /// of the ops that its ring holds (1024, less where locked memory is short).
    pub handshakes_max: usize,
    /// Within this a connection must have proven itself.
    pub handshake_timeout: Duration,
    /// Leases of a reset connection rest for so long before they are lent again.
    pub reset_grace: Duration,
    /// Which way bodies take to the socket.
    pub path: PathChoice,
    /// How a shard waits when it has nothing to do. A foreign loop waits as it likes.
    pub wait: WaitMode,
    /// Which cores the shards run on. A foreign loop's thread belongs to its caller, who keeps it
    /// where it should be: there this means nothing.
    pub cores: Cores,
    /// Faults to rehearse with; without, none of that code runs. Kernels given to
    /// [`Engine::assemble`](crate::Engine::assemble) are wrapped by whoever makes them.
    pub faults: Option<Faults>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            shards: 0,
            name: "ringway".into(),
            masked: Capabilities::NONE,
            arena_bytes: 16 << 20,
            pipes_max: 16,
            helper_threads: 2,
            session: SessionConfig::default(),
            sessions_max: 10_000,
            handshakes_max: 256,
            handshake_timeout: Duration::from_secs(10),
            reset_grace: Duration::from_secs(1),
            path: PathChoice::Auto,
            wait: WaitMode::default(),
            cores: Cores::Any,
            faults: None,
        }
    }
}

impl Config {
    /// The default, less the capabilities named in the environment variable `RINGWAY_MASK`
    /// (comma-separated names, see [`Capability`]).
    ///
    /// # Errors
    /// A text that names the known capabilities, when one is unknown.
    pub fn from_environment() -> Result<Self, String> {
        let names = std::env::var("RINGWAY_MASK").unwrap_or_default();
        let masked = names
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::parse::<Capability>)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            masked,
            ..Self::default()
        })
    }
}

/// Forces the way bodies take to the socket, for measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PathChoice {
    /// By size, source, route and what the kernel reported.
    #[default]
    Auto,
    /// Always through user memory.
    Copy,
    /// Files and leases by splice, whatever the size.
    Splice,
    /// Leases by zero-copy send, even where the kernel will copy.
    ZeroCopy,
    /// Files past the page cache, also what is in it: those that were made ready for it
    /// ([`File::direct`](crate::File::direct)).
    Direct,
}

impl PathChoice {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Auto,
        Self::Copy,
        Self::Splice,
        Self::ZeroCopy,
        Self::Direct,
    ];

    /// The name used on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Copy => "copy",
            Self::Splice => "splice",
            Self::ZeroCopy => "zerocopy",
            Self::Direct => "direct",
        }
    }
}

impl FromStr for PathChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|choice| choice.name() == text)
            .ok_or_else(|| format!("`{text}` is none of {}", known()))
    }
}

/// When to try again after a lost connection or a failed dial: each delay is drawn between half
/// of and the whole of the present step, which doubles from `first` to `longest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// First step. The very first redial happens at once.
    pub first: Duration,
    /// Longest step.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(10),
            longest: Duration::from_secs(2),
        }
    }
}

/// A connected stream socket from somewhere else: a proxy, an inherited descriptor.
pub type ConnectorFuture = Pin<Box<dyn Future<Output = std::io::Result<OwnedFd>> + Send>>;

/// The application's own dialer, used for the first connection and for every redial.
#[derive(Clone)]
pub struct Connector(Arc<dyn Fn() -> ConnectorFuture + Send + Sync>);

impl Connector {
    /// Wraps a function that makes a connected, stream-oriented socket.
    pub fn new<F, D>(dial: F) -> Self
    where
        F: Fn() -> D + Send + Sync + 'static,
        D: Future<Output = std::io::Result<OwnedFd>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(dial())))
    }

    pub(crate) fn dial(&self) -> ConnectorFuture {
        (self.0)()
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

/// How to connect.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// The key to prove; `None` only towards a peer that was told to be insecure.
    pub key: Option<NamedKey>,
    /// What the key was before it was changed: a peer that does not have the new one yet is met
    /// with it, also when a session is resumed (docs/WIRE.md, W-1.13).
    pub previous_key: Option<Key>,
    /// How long the first connection may take in all, retries included.
    pub connect_timeout: Duration,
    /// How long one attempt may take, handshake included.
    pub attempt_timeout: Duration,
    /// When to try again.
    pub backoff: Backoff,
    /// The application's own dialer, instead of the target's address.
    pub connector: Option<Connector>,
    /// Which way bodies take; `None` for the engine's.
    pub path: Option<PathChoice>,
    /// Congestion control of the sockets: `cubic`, `bbr` or `reno`; `None` for the system's.
    pub congestion_control: Option<&'static str>,
    /// Which shard owns the session; `None` for the next in turn.
    pub shard: Option<usize>,
}

impl ConnectOptions {
    /// With a key.
    #[must_use]
    pub fn keyed(key: NamedKey) -> Self {
        Self {
            key: Some(key),
            ..Self::insecure()
        }
    }

    /// With the first of these keys, and with what stands behind it under the same id: the one
    /// before.
    #[must_use]
    pub fn keys(keys: &Keys) -> Self {
        Self {
            previous_key: keys.previous(),
            ..Self::keyed(keys.own())
        }
    }

    /// Without authentication: anybody who answers there is believed.
    #[must_use]
    pub fn insecure() -> Self {
        Self {
            key: None,
            previous_key: None,
            connect_timeout: Duration::from_secs(10),
            attempt_timeout: Duration::from_secs(5),
            backoff: Backoff::default(),
            connector: None,
            path: None,
            congestion_control: None,
            shard: None,
        }
    }
}

/// Who may connect.
#[derive(Clone, Debug)]
pub enum AuthenticationMode {
    /// Whoever proves one of these keys.
    Keyed(Keys),
    /// Anybody. Refused by [`crate::Engine::listen`] except on loopback and Unix sockets, unless
    /// `anywhere` says that this is meant.
    Insecure {
        /// Also on addresses that other machines can reach.
        anywhere: bool,
    },
}

/// How to listen.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// Who may connect.
    pub authentication: AuthenticationMode,
    /// Connections the kernel may hold that nobody accepted yet.
    pub backlog: u32,
    /// New sessions that may wait for [`crate::Listener::accept`]; beyond, they are refused.
    pub sessions_waiting_max: usize,
    /// Permission bits of a Unix socket's path; other users are refused by uid besides.
    pub unix_mode: u32,
    /// Which way bodies take on sessions accepted here; `None` for the engine's.
    pub path: Option<PathChoice>,
    /// Congestion control of accepted sockets: `cubic`, `bbr` or `reno`; `None` for the system's.
    pub congestion_control: Option<&'static str>,
}

impl ListenOptions {
    /// With keys.
    #[must_use]
    pub fn keyed(keys: Keys) -> Self {
        Self::new(AuthenticationMode::Keyed(keys))
    }

    /// Without authentication; only on loopback and Unix sockets.
    #[must_use]
    pub fn insecure() -> Self {
        Self::new(AuthenticationMode::Insecure { anywhere: false })
    }

    fn new(authentication: AuthenticationMode) -> Self {
        Self {
            authentication,
            backlog: 1024,
            sessions_waiting_max: 1024,
            unix_mode: 0o600,
            path: None,
            congestion_control: None,
        }
    }
}

/// What a send does at the session's retention cap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WhenFull {
    /// It waits until acks make room; nothing is lost.
    #[default]
    Wait,
    /// It is refused with [`crate::Error::RetentionFull`].
    Fail,
    /// The stream is lossy: its oldest whole records that are not under way on the present
    /// connection make room, and the receiver is told by [`crate::Error::Gap`]. Where that is not
    /// enough (other streams hold the memory, or one record of this one is larger), the send waits.
    DropOldest,
}

/// How to open a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamOptions {
    /// What a send does when the session keeps as many unacked bytes as it may. With
    /// [`WhenFull::DropOldest`] the peer's direction is lossy, too.
    pub when_full: WhenFull,
    /// How urgent what we send is among the streams of the session.
    pub priority: Priority,
}
