//! What whoever holds a key may take of an engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bounds for all sessions together that were proven with one key, over all shards; `None`: none
/// but those of each session and shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyLimits {
    /// Sessions. Beyond, the oldest one without a connection makes room; else the new one is
    /// refused as overloaded.
    pub sessions: Option<u64>,
    /// Streams that the peer may have open. A new session is promised what is left of it, and with
    /// nothing left treated as one too many.
    pub streams: Option<u64>,
    /// Memory we keep for unacked bytes towards this peer. At the bound a send waits or fails as
    /// at the session's own cap; a session that keeps nothing may always send one payload.
    pub retained_bytes: Option<u64>,
}

impl KeyLimits {
    /// From the words behind a key in a key file: `sessions=10`, `streams=1000`,
    /// `retained=67108864`.
    pub(crate) fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Result<Self, &'static str> {
        let mut limits = Self::default();
        for word in words {
            let (name, number) = word.split_once('=').unwrap_or((word, ""));
            let place = match name {
                "sessions" => &mut limits.sessions,
                "streams" => &mut limits.streams,
                "retained" => &mut limits.retained_bytes,
                _ => return Err("behind the key only sessions=, streams= and retained= may stand"),
            };
            let number = number.parse().map_err(|_| "a limit is a whole number")?;
            if number == 0 || place.replace(number).is_some() {
                return Err("a limit is at least 1, and stands once");
            }
        }
        Ok(limits)
    }
}

/// One session's part of the memory that a key may take.
#[derive(Debug)]
pub(crate) struct RetainedShare {
    total: Arc<AtomicU64>,
    allowed: u64,
    counted: u64,
}

impl RetainedShare {
    pub(crate) fn new(total: Arc<AtomicU64>, allowed: u64) -> Self {
        Self {
            total,
            allowed,
            counted: 0,
        }
    }

    /// The session keeps so much now; returns how much it may, given what the others keep.
    pub(crate) fn count(&mut self, retained: u64) -> u64 {
        // Wraps to the right sum: what is subtracted was added before.
        let change = retained.wrapping_sub(self.counted);
        let before = self.total.fetch_add(change, Ordering::Relaxed);
        let others = before.wrapping_sub(self.counted);
        self.counted = retained;
        self.allowed.saturating_sub(others)
    }
}

impl Drop for RetainedShare {
    fn drop(&mut self) {
        self.count(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_one_key_add_up_and_are_given_back() {
        let total = Arc::new(AtomicU64::new(0));
        let mut one = RetainedShare::new(Arc::clone(&total), 100);
        let mut other = RetainedShare::new(Arc::clone(&total), 100);
        assert_eq!(
            (one.count(30), other.count(50), one.count(30)),
            (100, 70, 50)
        );
        assert_eq!((other.count(90), one.count(20)), (70, 10));
        drop(other);
        assert_eq!((one.count(20), total.load(Ordering::Relaxed)), (100, 20));
        drop(one);
        assert_eq!(total.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn limits_are_words_with_numbers_each_once() {
        let parse = |text: &'static str| KeyLimits::parse(text.split_whitespace());
        let limits = parse("sessions=3 retained=4096").expect("valid");
        let expected = KeyLimits {
            sessions: Some(3),
            streams: None,
            retained_bytes: Some(4096),
        };
        assert_eq!((limits, parse("")), (expected, Ok(KeyLimits::default())));
        for bad in [
            "x",
            "streams",
            "streams=",
            "streams=0",
            "streams=1 streams=2",
            "streams=-1",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
