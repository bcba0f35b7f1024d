//! What can be asked of a socket at once.

/// Which readiness a [`crate::Op::Poll`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Bytes, an end or an error can be read.
    Readable,
    /// Bytes can be written, or an error is pending.
    Writable,
}

/// Which direction to shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownHow {
    /// Nothing more will be sent; the peer sees an end after all that was.
    Send,
    /// Both directions.
    Both,
}

/// Socket options the engine uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketOption {
    /// Small segments leave at once (tcp(7) `TCP_NODELAY`).
    NoDelay(bool),
    /// The kernel's send buffer, bytes (socket(7) `SO_SNDBUF`).
    SendBufferBytes(u32),
    /// The kernel's receive buffer, bytes (socket(7) `SO_RCVBUF`).
    ReceiveBufferBytes(u32),
    /// Unacked data kills the connection after this many ms; 0 for the system's default. Only
    /// during dial and handshake: it kills a live peer whose window is closed.
    UserTimeoutMs(u32),
    /// Readable only once this many bytes wait (socket(7) `SO_RCVLOWAT`).
    ReceiveLowWatermarkBytes(u32),
    /// The congestion control algorithm, one of a fixed set of names.
    CongestionControl(&'static str),
}

/// Options of a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// Connections the kernel may hold that nobody accepted yet.
    pub backlog: u32,
    /// Several shards may listen on the same address (socket(7) `SO_REUSEPORT`).
    pub reuse_port: bool,
    /// Permission bits of a Unix socket's path.
    pub unix_mode: u32,
}

/// Who is at the other end of a Unix socket (unix(7) `SO_PEERCRED`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCredentials {
    /// Process id.
    pub pid: i32,
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
}

/// What kind of way the bytes of a connection take; decides which data paths are zero-copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// Loopback: the peer is on this host, bytes travel by reference or are copied late.
    Loopback,
    /// A Unix socket.
    Unix,
    /// A virtual device (veth, tun, bridge): zero-copy sends are copied late.
    Virtual,
    /// Anything else: presumably a device that can gather.
    Device,
}

/// What the kernel counted for a TCP connection (`TCP_INFO`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketStatistics {
    /// Segments sent again.
    pub retransmits: u64,
    /// Smoothed round-trip time, ns.
    pub round_trip_ns: u64,
    /// Bytes the peer's kernel acknowledged; 1 more at the dialer (the SYN).
    pub bytes_acked: u64,
    /// Bytes our kernel has received in order.
    pub bytes_received: u64,
    /// Bytes given to the kernel and not yet sent.
    pub not_sent_bytes: u64,
}
