//! What will happen, ordered by time and then by the order in which it was decided.

use std::collections::BTreeMap;

use ringway_io::{Errno, OpId};

use crate::KernelId;

/// Something that happens at a moment of virtual time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// The oldest segment in flight of a direction reaches its receiver.
    Arrive { connection: u64, direction: usize },
    /// The sender learns that bytes arrived.
    Acked {
        connection: u64,
        direction: usize,
        bytes: usize,
    },
    /// The sender learns that the receiver made room.
    WindowOpen {
        connection: u64,
        direction: usize,
        bytes: usize,
    },
    /// A dial reaches the host it is for.
    Dial {
        kernel: KernelId,
        op: OpId,
        attempt: u32,
    },
    /// A dial's answer is back: the connection, or why there is none.
    Dialled {
        kernel: KernelId,
        op: OpId,
        result: Result<u64, Errno>,
    },
    /// A disk op or a blocking call has run.
    DiskDone { kernel: KernelId, op: OpId },
    /// The time of a timeout op.
    Deadline { kernel: KernelId, op: OpId },
    /// The memory of a zero-copy send is free.
    Notify { kernel: KernelId, op: OpId },
    /// Ops that wait on an object go on, after a pause that was drawn.
    Nudge { object: u64 },
    /// The user timeout of an end is over, unless acks went beyond `acked`.
    UserTimeout {
        connection: u64,
        end: usize,
        acked: u64,
    },
    /// An end gives up; what it has sent stays on its way.
    GiveUp { connection: u64, end: usize },
}

/// The queue of what will happen.
#[derive(Debug, Default)]
pub(crate) struct Events {
    queue: BTreeMap<(u64, u64), Event>,
    decided: u64,
}

impl Events {
    pub(crate) fn schedule(&mut self, at_ns: u64, event: Event) {
        self.queue.insert((at_ns, self.decided), event);
        self.decided += 1;
    }

    /// The next event, if its time has come.
    pub(crate) fn pop_due(&mut self, now_ns: u64) -> Option<Event> {
        let entry = self.queue.first_entry()?;
        (entry.key().0 <= now_ns).then(|| entry.remove())
    }

    pub(crate) fn next_at_ns(&self) -> Option<u64> {
        self.queue.first_key_value().map(|(&(at_ns, _), _)| at_ns)
    }
}
