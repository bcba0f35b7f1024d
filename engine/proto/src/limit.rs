//! Every limit and default, with its reason: the one source of the table in docs/WIRE.md.

use std::time::Duration;

use crate::body_checksum::BodyChecksum;

/// Oldest version this implementation speaks.
pub const VERSION_MIN: u16 = 1;
/// Newest version this implementation speaks.
pub const VERSION_MAX: u16 = 1;

/// A host's fully qualified name fits.
pub(crate) const ENDPOINT_NAME_BYTES_MAX: usize = 255;
/// A user name or a short label fits.
pub(crate) const KEY_ID_BYTES_MAX: usize = 64;
/// A path and a sentence fit; bounds what a peer can make us keep per stream.
pub(crate) const STATUS_TEXT_BYTES_MAX: usize = 1024;
/// A handshake message: all names at their longest, twice over.
pub(crate) const HANDSHAKE_BODY_BYTES_MAX: usize = 2048;
/// The payload of a control frame: a resume chunk, or a status.
pub(crate) const CONTROL_BYTES_MAX: usize = 16 << 10;
/// One body frame: the largest pipe.
pub(crate) const BODY_BYTES_MAX: u64 = 1 << 20;
/// Streams stated in one resume chunk: fits a control frame, leaves room for other frames.
pub(crate) const RESUME_ENTRIES_MAX: usize = 256;
/// Streams that are brought over, settled or acked in one step: well below a millisecond.
pub(crate) const STREAMS_PER_STEP: usize = 1024;
/// Control frames gathered per call of `poll_transmit`.
pub(crate) const CONTROL_BATCH_BYTES: usize = 32 << 10;
/// Bodies of this size and more are acked in steps, smaller ones at once.
pub(crate) const ACK_AT_ONCE_BYTES: u64 = 64 << 10;
/// Step of acks inside a bulk transfer: one per pipe.
pub(crate) const ACK_STEP_BYTES: u64 = 1 << 20;
/// A bulk ack, or a report of consumption, waits at most so long.
pub(crate) const ACK_DELAY: Duration = Duration::from_millis(2);
/// Events and small queues: a peer cannot make us keep more unread control than this.
pub(crate) const PONGS_MAX: usize = 16;
/// Bulk connections of one session, at most: more cores are used by more sessions.
pub(crate) const BULK_CONNECTIONS_MAX: u8 = 8;
/// A payload from this size on travels on a bulk connection: behind less than this a small message
/// waits no longer than behind one piece of a body.
const BULK_BODY_BYTES_MIN: u64 = 256 << 10;
/// Of the cap on unacked bytes, this part is kept free for the message connection.
pub(crate) const UNACKED_RESERVED_PART: u64 = 8;
/// The first bytes of each stream need no session credit: a page, enough for a small call. All
/// streams together then hold at most 16 MiB more than the session window.
pub(crate) const STREAM_FREE_BYTES: u64 = 4 << 10;
/// What keeping a payload costs at least: its bookkeeping, so that empty records and short
/// payloads cannot grow without bound below the cap.
pub(crate) const RETAINED_COST_MIN: u64 = 64;
/// Gaps of a lossy stream that its reader has not been told of: beyond, the sender holds the next
/// one back, and it grows instead.
pub(crate) const GAPS_UNREAD_MAX: usize = 64;
/// Stream offsets and lengths stay below this, so that sums cannot overflow.
pub(crate) const OFFSET_MAX: u64 = 1 << 62;

/// How a session behaves. Announced to the peer where both sides matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// What a peer may send on one stream beyond what the application took, bytes.
    pub stream_window_bytes: u64,
    /// What a peer may send on all streams together beyond what the application took, bytes.
    pub session_window_bytes: u64,
    /// Streams a peer may have open at once.
    pub streams_max: u64,
    /// Memory kept for unacked bytes (bodies of kind memory), bytes.
    pub retained_bytes_max: u64,
    /// Body bytes in flight unacked, of any kind.
    pub unacked_bytes_max: u64,
    /// Bulk connections beside the message connection, at most; 0 for none. The smaller number of
    /// the two sides holds.
    pub bulk_connections: u8,
    /// A payload of so many bytes is large: it travels on a bulk connection, if there is one.
    pub bulk_body_bytes_min: u64,
    /// Silence after which a heartbeat is sent; twice this and the peer is silent.
    pub heartbeat: Duration,
    /// A session without a connection lives so long.
    pub resume_window: Duration,
    /// A drain takes at most so long.
    pub drain_timeout: Duration,
    /// Whether bodies are followed by a checksum, if the peer agrees.
    pub body_checksum: BodyChecksum,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            stream_window_bytes: 16 << 20,
            session_window_bytes: 64 << 20,
            streams_max: 4096,
            retained_bytes_max: 64 << 20,
            unacked_bytes_max: 64 << 20,
            bulk_connections: 1,
            bulk_body_bytes_min: BULK_BODY_BYTES_MIN,
            heartbeat: Duration::from_secs(5),
            resume_window: Duration::from_secs(120),
            drain_timeout: Duration::from_secs(30),
            body_checksum: BodyChecksum::Off,
        }
    }
}

/// The table of limits and defaults, as docs/WIRE.md prints it: name, value, unit.
#[must_use]
pub fn table() -> Vec<(&'static str, u64, &'static str)> {
    let config = SessionConfig::default();
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    vec![
        ("version", VERSION_MAX.into(), ""),
        ("endpoint name", ENDPOINT_NAME_BYTES_MAX as u64, "bytes"),
        ("key id", KEY_ID_BYTES_MAX as u64, "bytes"),
        ("status text", STATUS_TEXT_BYTES_MAX as u64, "bytes"),
        ("handshake body", HANDSHAKE_BODY_BYTES_MAX as u64, "bytes"),
        ("control payload", CONTROL_BYTES_MAX as u64, "bytes"),
        ("body frame", BODY_BYTES_MAX, "bytes"),
        (
            "resume entries per chunk",
            RESUME_ENTRIES_MAX as u64,
            "entries",
        ),
        ("acked at once below", ACK_AT_ONCE_BYTES, "bytes"),
        ("ack step", ACK_STEP_BYTES, "bytes"),
        ("ack delay", ms(ACK_DELAY), "ms"),
        ("pongs queued", PONGS_MAX as u64, "frames"),
        ("offset", OFFSET_MAX, "bytes"),
        (
            "stream bytes free of session credit",
            STREAM_FREE_BYTES,
            "bytes",
        ),
        ("retained per payload at least", RETAINED_COST_MIN, "bytes"),
        ("gaps unread per stream", GAPS_UNREAD_MAX as u64, "gaps"),
        ("stream window", config.stream_window_bytes, "bytes"),
        ("session window", config.session_window_bytes, "bytes"),
        ("streams", config.streams_max, "streams"),
        ("retained memory", config.retained_bytes_max, "bytes"),
        ("unacked body bytes", config.unacked_bytes_max, "bytes"),
        (
            "bulk connections",
            config.bulk_connections.into(),
            "connections",
        ),
        (
            "bulk connections at most",
            BULK_CONNECTIONS_MAX.into(),
            "connections",
        ),
        ("large body from", config.bulk_body_bytes_min, "bytes"),
        ("heartbeat", ms(config.heartbeat), "ms"),
        ("resume window", ms(config.resume_window), "ms"),
        ("drain timeout", ms(config.drain_timeout), "ms"),
    ]
}
