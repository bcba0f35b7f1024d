//! Options as C gives them: structures that begin with their size, in which 0 means the default.
//!
//! What pointers point to is read by `abi`; `settings` turns the numbers into those of Rust.

use std::ffi::{c_char, c_int};

use crate::abi::ringway_keys;

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
    /// Files that pass the page cache (`direct` of `ringway_transfer_options`), also what of them is
    /// in it.
    RINGWAY_PATH_DIRECT = 4,
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
    /// An idle shard spins until nothing has come for so long, ns, and then sleeps; `UINT64_MAX`:
    /// it never sleeps. 0: it does not spin. A caller's loop waits as it likes.
    pub spin_ns: u64,
    /// A shard that does not spin looks for so long at most before it sleeps, ns, and only while
    /// its waits are no longer; at most 1,000,000. 0: the default, 50,000; `RINGWAY_NONE`: it
    /// sleeps at once.
    pub peek_ns: u32,
    /// 0.
    pub reserved_more: u32,
    /// Which cores the shards run on, their kernel workers with them. `any`, or NULL: wherever the
    /// scheduler puts them. `own`: each on a core of its own that nobody in this process has taken;
    /// more shards than such cores are refused. A list such as `2,4-7`: the first shard on the
    /// first of these, and so on, whoever else is there. Without `shards` there is one for each
    /// core. Means nothing with `RINGWAY_LOOP_CALLER`.
    pub cores: *const c_char,
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

/// What whoever holds one key may take of an engine, all its sessions together; 0: no limit but
/// the engine's own.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ringway_key_limits {
    /// `sizeof(ringway_key_limits)`.
    pub struct_size: usize,
    /// Sessions; one more takes the place of the one that has been longest without a connection,
    /// or is refused as overloaded when all have one.
    pub sessions: u64,
    /// Streams that the peer may have open; a new session is promised what is left of them.
    pub streams: u64,
    /// Bytes that are kept for it unacked; beyond, sends wait or fail as at `retained_bytes_max`.
    pub retained_bytes: u64,
}

/// How to connect.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ringway_connect_options {
    /// `sizeof(ringway_connect_options)`.
    pub struct_size: usize,
    /// The first of these is proven to the peer, and what it was before where the peer still has
    /// that (`ringway_keys_join`). Copied; may be freed after the call.
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
    /// Not 0: read and write large files past the page cache (O_DIRECT), where the file system can.
    pub direct: u64,
}
