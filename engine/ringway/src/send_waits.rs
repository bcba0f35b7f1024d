//! What a session waits for before it can send, and for how long.

use std::ops::AddAssign;

use ringway_proto::SendWait;

use crate::metric::MetricValue;

/// What the sending half of a session waits for; one thing at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// Nothing: it is sending.
    Nothing,
    /// The application gives nothing.
    Application,
    /// The peer's credit.
    Credit,
    /// The cap on unacked bytes: the peer's acks.
    Acks,
    /// Room in the socket.
    Socket,
    /// A file that is being read.
    Source,
    /// A connection, or on a new one the peer's statement of what it has.
    #[default]
    Connection,
}

impl From<SendWait> for Awaited {
    fn from(wait: SendWait) -> Self {
        match wait {
            SendWait::None => Self::Nothing,
            SendWait::Application => Self::Application,
            SendWait::Credit => Self::Credit,
            SendWait::Acks => Self::Acks,
            SendWait::Connection => Self::Connection,
        }
    }
}

/// Times that a session waited before it could send, ns, by what it waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendWaits([u64; 6]);

impl SendWaits {
    pub(crate) const LABEL: Option<&'static str> = Some("for");
    const NAMES: [&'static str; 6] = [
        "application",
        "credit",
        "acks",
        "socket",
        "source",
        "connection",
    ];

    fn slot(&mut self, awaited: Awaited) -> Option<&mut u64> {
        let index = match awaited {
            Awaited::Nothing => return None,
            Awaited::Application => 0,
            Awaited::Credit => 1,
            Awaited::Acks => 2,
            Awaited::Socket => 3,
            Awaited::Source => 4,
            Awaited::Connection => 5,
        };
        self.0.get_mut(index)
    }

    /// How long for the thing of that name (see [`iter`](Self::iter)), ns; 0 for an unknown one.
    #[must_use]
    pub fn of(&self, what: &str) -> u64 {
        let found = self.iter().find(|(name, _)| *name == what);
        found.map_or(0, |(_, ns)| ns)
    }

    /// Each thing that is waited for, and how long, ns.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Self::NAMES.into_iter().zip(self.0)
    }

    pub(crate) fn value(&self) -> MetricValue {
        MetricValue::Parts(self.iter().collect())
    }
}

impl AddAssign for SendWaits {
    fn add_assign(&mut self, other: Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

/// The times of one session, with what it waits for now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitBook {
    awaited: Awaited,
    since_ns: u64,
    past: SendWaits,
}

impl WaitBook {
    /// A session begins without a connection.
    pub(crate) fn new(now_ns: u64) -> Self {
        Self {
            awaited: Awaited::default(),
            since_ns: now_ns,
            past: SendWaits::default(),
        }
    }

    /// Notes what is waited for from now on. The clock is read only when that has changed.
    pub(crate) fn note(&mut self, awaited: Awaited, now_ns: impl FnOnce() -> u64) {
        if awaited == self.awaited {
            return;
        }
        let now_ns = now_ns();
        self.past = self.times(now_ns);
        self.awaited = awaited;
        self.since_ns = now_ns;
    }

    /// All waits so far, the present one included.
    pub(crate) fn times(&self, now_ns: u64) -> SendWaits {
        let mut times = self.past;
        if let Some(slot) = times.slot(self.awaited) {
            *slot += now_ns.saturating_sub(self.since_ns);
        }
        times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_moment_counts_for_what_was_waited_for_then() {
        let mut book = WaitBook::new(100);
        book.note(Awaited::Nothing, || 130);
        book.note(Awaited::Socket, || 135);
        book.note(Awaited::Socket, || unreachable!("nothing has changed"));
        assert_eq!(book.times(145).of("socket"), 10);
        book.note(Awaited::Application, || 155);
        let times = book.times(1155);
        let all: Vec<_> = times.iter().filter(|(_, ns)| *ns > 0).collect();
        assert_eq!(
            all,
            [("application", 1000), ("socket", 20), ("connection", 30)]
        );
        assert_eq!(times.of("weather"), 0);
    }
}
