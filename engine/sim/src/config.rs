//! What a world is made of: sizes, delays, and how unkind it is.
//!
//! [`WorldConfig::default`] is moderately unkind: pieces are short, completions late and out of
//! order. [`WorldConfig::calm`] does what a textbook says, for tests of one thing at a time.

use std::ops::RangeInclusive;

use ringway_io::{Capabilities, Route};

/// Everything about a world but its seed.
#[derive(Clone, Debug, PartialEq)]
pub struct WorldConfig {
    /// Links between different hosts, until [`crate::World::set_link`] says otherwise.
    pub link: LinkConfig,
    /// The way from a host to itself over TCP.
    pub loopback: LinkConfig,
    /// Sockets as they are made.
    pub socket: SocketConfig,
    /// Kernels as they are made.
    pub kernel: KernelConfig,
    /// Disks as they are made.
    pub disk: DiskConfig,
    /// What goes wrong, and how often.
    pub faults: FaultConfig,
    /// Keep the trace as text too, not only its hash.
    pub trace_text: bool,
    /// Virtual time that a turn takes whose wait is [`ringway_io::Wait::No`], ns: a spinning
    /// shard must not stop the clock.
    pub turn_ns: u64,
    /// The wall clock at virtual time 0, ns since 1970; files are dated with it.
    pub epoch_ns: i128,
}

/// One link, the same in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// One-way delay, ns.
    pub delay_ns: u64,
    /// Up to this is added to each segment's delay; order is kept, as TCP does.
    pub jitter_ns_max: u64,
    /// Bytes per second; 0 means without limit. Shared by all connections of the link.
    pub bandwidth_bytes_per_second: u64,
    /// A segment is at most this long (segmentation offload), bytes.
    pub segment_bytes_max: usize,
    /// What [`ringway_io::Kernel::route`] tells of it. Over a [`Route::Device`] spliced bytes
    /// are read when they arrive; over any other they stay references until the receiver copies.
    pub route: Route,
}

/// Buffers of a socket, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketConfig {
    /// Bytes taken from the sender and not acknowledged.
    pub send_buffer_bytes: usize,
    /// Bytes arrived and not read: the window.
    pub receive_buffer_bytes: usize,
    /// Dials are tried this often, a second apart, before `ETIMEDOUT`.
    pub dial_attempts: u32,
}

/// Which capabilities a kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapabilityChoice {
    /// All.
    All,
    /// All but these.
    Without(Capabilities),
    /// Each one with a chance of three quarters, drawn from the seed.
    Seeded,
}

/// Sizes of one kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelConfig {
    /// Its capabilities.
    pub capabilities: CapabilityChoice,
    /// Submission queue entries: more than these flush themselves.
    pub submission_entries: u32,
    /// Arena, bytes.
    pub arena_bytes: usize,
    /// Provided buffers.
    pub provided_count: u16,
    /// Size of each, bytes.
    pub provided_bytes: u32,
    /// Pipes the pool may lend.
    pub pipes_max: u32,
    /// Capacity of a pipe, bytes.
    pub pipe_bytes: u32,
    /// Worker ops (splices with files, syncs, opens, …) that run at a time.
    pub workers_max: usize,
    /// Blocking calls that run at a time.
    pub helpers_max: usize,
    /// Descriptors a host's process may have open: more is `EMFILE`.
    pub descriptors_max: usize,
    /// Completions become visible up to this much late, each on its own, ns.
    pub completion_delay_ns_max: u64,
    /// User id of the process.
    pub uid: u32,
}

/// One disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskConfig {
    /// Bytes that fit; more is `ENOSPC`.
    pub capacity_bytes: u64,
    /// Latency of an op, drawn, ns.
    pub latency_ns: RangeInclusive<u64>,
    /// Bytes per second; 0 means without limit.
    pub bandwidth_bytes_per_second: u64,
    /// How much of a planted file is in the page cache, per mille of its 256 KiB blocks.
    pub resident_per_mille: u32,
    /// How many unsynced pages survive a crash of the machine, per mille.
    pub crash_keeps_per_mille: u32,
    /// How many of the others survive in part: some sectors are new, some old, per mille.
    pub crash_tears_per_mille: u32,
}

/// Where a send or a receive ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShortIo {
    /// It takes all that is there.
    Never,
    /// So many per mille are cut at a drawn byte.
    Seeded(u32),
    /// None crosses this offset of its direction: with each offset tried in turn, every split.
    At(u64),
}

/// What goes wrong, per mille where no unit is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultConfig {
    /// Short sends, receives and splices.
    pub short_io: ShortIo,
    /// A cancelled op that is under way runs to its real result.
    pub cancel_late_per_mille: u32,
    /// A multishot op ends with a good result and without `more`.
    pub multishot_end_per_mille: u32,
    /// The last provided buffer ends a multishot receive silently; else `ENOBUFS` follows.
    pub silent_end_per_mille: u32,
    /// An `exact` receive ends short, as a signal does it.
    pub exact_short_per_mille: u32,
    /// A poll completes though nothing is ready.
    pub spurious_poll_per_mille: u32,
    /// An op is refused with `ENOMEM`.
    pub no_memory_per_mille: u32,
    /// A dial's first packet is lost: it hangs until that is sent again.
    pub dial_hangs_per_mille: u32,
    /// A dial is refused though somebody listens.
    pub dial_refused_per_mille: u32,
    /// An accept fails with `ECONNABORTED`, `EMFILE` or `ENETDOWN`; the connection is there for
    /// the next.
    pub accept_fails_per_mille: u32,
    /// A send or receive finds the connection reset; so does the peer.
    pub broken_per_mille: u32,
    /// A zero-copy notification comes up to this much after the last ack, ns.
    pub notification_delay_ns_max: u64,
    /// A zero-copy notification comes only when the connection ends.
    pub notification_held_per_mille: u32,
    /// A zero-copy send over a device is copied after all.
    pub device_copies_per_mille: u32,
    /// A failed zero-copy send is followed by a notification.
    pub failed_send_notifies_per_mille: u32,
    /// A read or write of a file, or a splice into one, moves less than it could.
    pub disk_short_per_mille: u32,
    /// A read, write, splice or sync of a file fails with `EIO`.
    pub disk_error_per_mille: u32,
    /// An op on files takes up to this much longer, one in a hundred, ns.
    pub disk_stall_ns_max: u64,
}

impl FaultConfig {
    /// Nothing unusual.
    pub const NONE: Self = Self {
        short_io: ShortIo::Never,
        cancel_late_per_mille: 0,
        multishot_end_per_mille: 0,
        silent_end_per_mille: 0,
        exact_short_per_mille: 0,
        spurious_poll_per_mille: 0,
        dial_refused_per_mille: 0,
        accept_fails_per_mille: 0,
        broken_per_mille: 0,
        notification_delay_ns_max: 0,
        notification_held_per_mille: 0,
        device_copies_per_mille: 0,
        failed_send_notifies_per_mille: 1000,
        no_memory_per_mille: 0,
        dial_hangs_per_mille: 0,
        disk_short_per_mille: 0,
        disk_error_per_mille: 0,
        disk_stall_ns_max: 0,
    };

    /// Everything the contracts allow, now and then.
    pub const MODERATE: Self = Self {
        short_io: ShortIo::Seeded(200),
        cancel_late_per_mille: 300,
        multishot_end_per_mille: 20,
        silent_end_per_mille: 500,
        exact_short_per_mille: 10,
        spurious_poll_per_mille: 20,
        // Connections die only where a test wants it.
        dial_refused_per_mille: 0,
        accept_fails_per_mille: 0,
        broken_per_mille: 0,
        notification_delay_ns_max: 2_000_000,
        notification_held_per_mille: 10,
        device_copies_per_mille: 100,
        failed_send_notifies_per_mille: 700,
        // The code under test may fail at these; a test asks for them.
        no_memory_per_mille: 0,
        dial_hangs_per_mille: 0,
        disk_short_per_mille: 0,
        disk_error_per_mille: 0,
        disk_stall_ns_max: 0,
    };
}

impl WorldConfig {
    /// No chance but in delays of the disk: what is sent arrives at once and whole.
    #[must_use]
    pub fn calm() -> Self {
        let mut config = Self {
            faults: FaultConfig::NONE,
            ..Self::default()
        };
        config.kernel.completion_delay_ns_max = 0;
        config.link.jitter_ns_max = 0;
        config.loopback.jitter_ns_max = 0;
        config.disk.resident_per_mille = 1000;
        config
    }
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self {
            link: LinkConfig::DEVICE,
            loopback: LinkConfig::LOOPBACK,
            socket: SocketConfig::default(),
            kernel: KernelConfig::default(),
            disk: DiskConfig::default(),
            faults: FaultConfig::MODERATE,
            trace_text: false,
            turn_ns: 1_000,
            epoch_ns: 1_700_000_000_000_000_000,
        }
    }
}

impl LinkConfig {
    /// A local network of 10 Gbit/s.
    pub const DEVICE: Self = Self {
        delay_ns: 50_000,
        jitter_ns_max: 10_000,
        bandwidth_bytes_per_second: 1_250_000_000,
        segment_bytes_max: 64 << 10,
        route: Route::Device,
    };

    /// A host's way to itself: 4 GB/s, as measured for one core a side.
    pub const LOOPBACK: Self = Self {
        delay_ns: 5_000,
        jitter_ns_max: 2_000,
        bandwidth_bytes_per_second: 4_000_000_000,
        segment_bytes_max: 64 << 10,
        route: Route::Loopback,
    };

    /// A Unix socket: no delay at all.
    pub(crate) const UNIX: Self = Self {
        delay_ns: 0,
        jitter_ns_max: 0,
        bandwidth_bytes_per_second: 0,
        segment_bytes_max: 64 << 10,
        route: Route::Unix,
    };
}

impl Default for SocketConfig {
    fn default() -> Self {
        Self {
            send_buffer_bytes: 256 << 10,
            receive_buffer_bytes: 256 << 10,
            dial_attempts: 4,
        }
    }
}

impl Default for KernelConfig {
    fn default() -> Self {
        Self {
            capabilities: CapabilityChoice::All,
            submission_entries: 256,
            arena_bytes: 16 << 20,
            provided_count: 256,
            provided_bytes: 4096,
            pipes_max: 16,
            pipe_bytes: 1 << 20,
            workers_max: 4,
            helpers_max: 2,
            descriptors_max: 1 << 20,
            completion_delay_ns_max: 20_000,
            uid: 1000,
        }
    }
}

impl Default for DiskConfig {
    fn default() -> Self {
        Self {
            capacity_bytes: 1 << 40,
            latency_ns: 20_000..=200_000,
            bandwidth_bytes_per_second: 2_000_000_000,
            resident_per_mille: 500,
            crash_keeps_per_mille: 0,
            crash_tears_per_mille: 0,
        }
    }
}
