//! Handles: 64 bits that C may keep too long.
//!
//! ```text
//!   63   60 59        48 47                    24 23                    0
//!   ┌──────┬────────────┬────────────────────────┬───────────────────────┐
//!   │ kind │   engine   │       generation       │         index         │
//!   └──────┴────────────┴────────────────────────┴───────────────────────┘
//! ```
//!
//! 0 is never a handle. A place is used again with the next generation, so that a stale handle
//! names nothing; after 2^24 uses it is not used any more.

use crate::code::ringway_code::{RINGWAY_E_CLOSED, RINGWAY_E_HANDLE};
use crate::failure::Result;

/// Places in one engine's table, and uses of one place.
pub(crate) const PLACES_MAX: u32 = 1 << 24;
/// Engines are told apart modulo this.
pub(crate) const ENGINES: u16 = 1 << 12;

/// What a handle names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Listener = 1,
    Session = 2,
    Stream = 3,
    Client = 4,
    Transfer = 5,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Listener,
        Self::Session,
        Self::Stream,
        Self::Client,
        Self::Transfer,
    ];
}

/// A handle, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    pub(crate) kind: Kind,
    pub(crate) engine: u16,
    pub(crate) generation: u32,
    pub(crate) index: u32,
}

impl Handle {
    pub(crate) fn pack(self) -> u64 {
        (self.kind as u64) << 60
            | u64::from(self.engine) << 48
            | u64::from(self.generation) << 24
            | u64::from(self.index)
    }

    /// Takes a number of C apart; the table knows whether it is still one.
    ///
    /// # Errors
    /// `RINGWAY_E_HANDLE` for a number that no engine gives out.
    pub(crate) fn unpack(number: u64) -> Result<Self> {
        let kind = Kind::ALL
            .into_iter()
            .find(|&kind| kind as u64 == number >> 60);
        let part = |shift: u32, bits: u32| (number >> shift & ((1 << bits) - 1)) as u32;
        Ok(Self {
            kind: kind.ok_or(RINGWAY_E_HANDLE)?,
            engine: part(48, 12) as u16,
            generation: part(24, 24),
            index: part(0, 24),
        })
    }

    /// What to say about a handle whose place has another generation.
    pub(crate) fn staleness(self, present: u32) -> crate::code::ringway_code {
        match self.generation < present {
            true => RINGWAY_E_CLOSED,
            false => RINGWAY_E_HANDLE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_survives_packing_and_zero_is_none() {
        let handle = Handle {
            kind: Kind::Transfer,
            engine: ENGINES - 1,
            generation: 0xff_fffe,
            index: 0x12_3456,
        };
        assert_eq!(Handle::unpack(handle.pack()).expect("one of ours"), handle);
        assert!(Handle::unpack(0).is_err() && Handle::unpack(u64::MAX).is_err());
    }
}
