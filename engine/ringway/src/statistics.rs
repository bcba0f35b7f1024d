//! What a shard counts: everything that is chosen, copied, replayed, dropped or waited for.

use std::ops::AddAssign;

/// The way the bytes of a body took to the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BodyPath {
    /// Copied behind its header and sent with it.
    Coalesced,
    /// Sent from its own memory; the kernel copied it.
    Copy,
    /// Read from the file into memory, then sent.
    ReadThenSend,
    /// Spliced from the file through a pipe.
    SpliceFile,
    /// Spliced from the arena through a pipe.
    SpliceArena,
    /// Sent from registered memory without a copy.
    ZeroCopy,
}

impl BodyPath {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [
        Self::Coalesced,
        Self::Copy,
        Self::ReadThenSend,
        Self::SpliceFile,
        Self::SpliceArena,
        Self::ZeroCopy,
    ];

    /// The name in JSON and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Coalesced => "coalesced",
            Self::Copy => "copy",
            Self::ReadThenSend => "read_then_send",
            Self::SpliceFile => "splice_file",
            Self::SpliceArena => "splice_arena",
            Self::ZeroCopy => "zero_copy",
        }
    }
}

/// Body bytes by path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathCounters([u64; 6]);

impl PathCounters {
    /// Adds `bytes` to `path`.
    pub fn add(&mut self, path: BodyPath, bytes: u64) {
        self.0[path as usize] += bytes;
    }

    /// Body bytes that took `path`.
    #[must_use]
    pub fn bytes(&self, path: BodyPath) -> u64 {
        self.0[path as usize]
    }

    /// Body bytes in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

macro_rules! statistics {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A snapshot of the counters of one shard, or the sum over several.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Statistics {
            /// Body bytes sent, by path.
            pub paths: PathCounters,
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Statistics {
            /// Every counter but the paths, with its name.
            #[must_use]
            pub fn counters(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }

        impl AddAssign for Statistics {
            fn add_assign(&mut self, other: Self) {
                for path in BodyPath::ALL {
                    self.paths.add(path, other.paths.bytes(path));
                }
                $(self.$name += other.$name;)*
            }
        }
    };
}

statistics! {
    /// Turns of the loop.
    turns,
    /// Waits in the kernel.
    sleeps,
    /// Completions reaped.
    completions,
    /// Messages taken from the mailbox.
    messages,
    /// Polls of local tasks.
    task_polls,
    /// Connections accepted.
    connections_accepted,
    /// Connections dialled, failed attempts included.
    connections_dialled,
    /// Dials that failed.
    dials_failed,
    /// Handshakes that failed or were refused.
    handshakes_failed,
    /// Sessions established for the first time.
    sessions_opened,
    /// Sessions that ended.
    sessions_ended,
    /// Connections attached to a session that had one before.
    resumes,
    /// Connections lost under a session.
    connections_lost,
    /// Body bytes sent, headers excluded.
    body_bytes_sent,
    /// Body bytes sent again after a resume.
    replayed_bytes,
    /// Body bytes received, duplicates excluded.
    body_bytes_received,
    /// Duplicate body bytes received and discarded.
    duplicate_bytes,
    /// Body bytes copied from receive buffers.
    received_by_copy_bytes,
    /// Body bytes received directly into the place they belong.
    received_direct_bytes,
    /// Body bytes received into a file by splice.
    received_by_splice_bytes,
    /// Zero-copy sends tried.
    zero_copy_attempted,
    /// Zero-copy sends that the kernel reported as copied.
    zero_copy_copied,
    /// Body bytes of these.
    zero_copy_copied_bytes,
    /// File pieces that were in the page cache and spliced inline.
    file_pieces_hot,
    /// File pieces that went through a kernel worker.
    file_pieces_cold,
    /// Longest inline splice from a file, ns.
    inline_splice_longest_ns,
    /// Times a multishot receive ended for want of buffers.
    receive_starved,
    /// Times a send waited for the socket.
    socket_blocked,
    /// Times a send was refused at the retention cap or for want of credit.
    send_blocked,
    /// Payloads of lossy streams dropped at the retention cap.
    payloads_dropped,
    /// Times no pipe was free.
    pipes_exhausted,
    /// Times no piece of the arena was free.
    leases_exhausted,
    /// Completions that came for something already gone.
    completions_orphaned,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_add_every_counter_and_every_path() {
        let mut one = Statistics {
            turns: 2,
            resumes: 1,
            ..Statistics::default()
        };
        one.paths.add(BodyPath::SpliceFile, 10);
        let mut sum = one;
        sum += one;
        assert_eq!((sum.turns, sum.resumes, sum.paths.total()), (4, 2, 20));
        assert!(sum.counters().contains(&("resumes", 2)));
    }
}
