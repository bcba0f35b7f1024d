//! How urgent a stream is among those of its session.

/// How many levels there are.
pub(crate) const LEVELS: usize = 8;

/// One of eight levels: bodies of a higher one are sent first.
///
/// It orders what this side sends; the peer chooses for itself, and is not told. Control never
/// waits, whatever the priority. A lower level does not starve: after 16 bodies of higher ones it
/// has a turn. Streams of one level take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// For what nobody waits for.
    pub const LOWEST: Self = Self(0);
    /// Of a stream for which nothing else was chosen.
    pub const NORMAL: Self = Self(4);
    /// For what everybody waits for.
    pub const HIGHEST: Self = Self(7);

    /// By its level, 0 (lowest) to 7 (highest); `None` for another number.
    #[must_use]
    pub const fn new(level: u8) -> Option<Self> {
        if level < LEVELS as u8 {
            Some(Self(level))
        } else {
            None
        }
    }

    /// Its level, 0 to 7.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.0
    }

    pub(crate) fn index(self) -> usize {
        self.0.into()
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::NORMAL
    }
}
