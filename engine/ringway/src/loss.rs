//! Why a connection was lost, and how often each way.

use std::fmt;
use std::ops::AddAssign;

use ringway_io::Errno;

use crate::metric::MetricValue;

/// Why a connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    PeerClosed,
    PeerSilent,
    Receive(Errno),
    Send(Errno),
    TakenOver,
    SessionEnded,
}

impl Loss {
    const NAMES: [&'static str; 6] = [
        "peer_closed",
        "peer_silent",
        "receive_failed",
        "send_failed",
        "taken_over",
        "session_ended",
    ];

    fn index(self) -> usize {
        match self {
            Self::PeerClosed => 0,
            Self::PeerSilent => 1,
            Self::Receive(_) => 2,
            Self::Send(_) => 3,
            Self::TakenOver => 4,
            Self::SessionEnded => 5,
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerClosed => f.write_str("the peer closed the connection"),
            Self::PeerSilent => f.write_str("the peer is silent"),
            Self::Receive(errno) => write!(f, "receive: {errno}"),
            Self::Send(errno) => write!(f, "send: {errno}"),
            Self::TakenOver => f.write_str("a newer connection took over"),
            Self::SessionEnded => f.write_str("the session ended"),
        }
    }
}

/// Connections lost, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LossCounters([u64; 6]);

impl LossCounters {
    pub(crate) const LABEL: Option<&'static str> = Some("cause");

    pub(crate) fn count(&mut self, loss: Loss) {
        self.0[loss.index()] += 1;
    }

    /// How many for the cause of that name (see [`iter`](Self::iter)); 0 for an unknown one.
    #[must_use]
    pub fn of(&self, cause: &str) -> u64 {
        let found = self.iter().find(|(name, _)| *name == cause);
        found.map_or(0, |(_, count)| count)
    }

    /// Each cause and how many.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Loss::NAMES.into_iter().zip(self.0)
    }

    pub(crate) fn value(&self) -> MetricValue {
        MetricValue::Parts(self.iter().collect())
    }
}

impl AddAssign for LossCounters {
    fn add_assign(&mut self, other: Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_counted_under_its_own_name() {
        let causes = [
            Loss::PeerClosed,
            Loss::PeerSilent,
            Loss::Receive(Errno::EIO),
            Loss::Send(Errno::EPIPE),
            Loss::TakenOver,
            Loss::SessionEnded,
        ];
        for (cause, name) in causes.into_iter().zip(Loss::NAMES) {
            let mut counters = LossCounters::default();
            counters.count(cause);
            assert_eq!(counters.of(name), 1, "{cause}");
            assert_eq!(counters.iter().map(|(_, count)| count).sum::<u64>(), 1);
        }
        assert_eq!(LossCounters::default().of("weather"), 0);
    }
}
