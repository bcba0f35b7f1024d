//! Kernel features, found by trying them at start.

use std::fmt;
use std::str::FromStr;

macro_rules! capabilities {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// One feature that the engine can use and can do without.
        ///
        /// Found by trying, never by version; any can be masked at start, so that the paths of
        /// old kernels are tested on a new one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Capability {
            $($(#[$doc])* $name,)*
        }

        impl Capability {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name used in `RINGWAY_MASK`, `probe` and JSON.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

capabilities! {
    /// Ring without the index array (io_uring_setup(2) `IORING_SETUP_NO_SQARRAY`, 6.6).
    NoSqArray = "no_sqarray",
    /// Waiting for several completions, with a short time for the first (6.12).
    MinTimeout = "min_timeout",
    /// The arena registered as fixed buffer: read, write and zero-copy send without page pinning.
    RegisteredBuffers = "registered_buffers",
    /// Zero-copy send (6.0).
    SendZeroCopy = "send_zc",
    /// The kernel reports whether a zero-copy send was copied (6.2).
    ZeroCopyReport = "zc_report_usage",
    /// Multishot receive with a ring of provided buffers (6.0).
    ReceiveMultishot = "recv_multishot",
    /// Multishot accept (5.19).
    AcceptMultishot = "accept_multishot",
    /// Page-cache residency by cachestat(2) (6.5); else mincore(2).
    CacheStat = "cachestat",
    /// Bytes can be spliced from files to sockets through pipes.
    Splice = "splice",
    /// The arena's own memory (a memfd) can be spliced by reference.
    ArenaSplice = "arena_splice",
    /// Huge pages behind the arena, verified after mapping.
    HugePages = "huge_pages",
    /// Wait without being accounted as I/O wait (6.15).
    NoIoWait = "no_iowait",
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Capability {
    type Err = String;

    /// Finds a capability by name.
    ///
    /// # Errors
    /// A text that lists all names.
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|each| each.name() == text).copied();
        found.ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|each| each.name()).collect();
            format!("unknown capability `{text}`; known: {}", names.join(", "))
        })
    }
}

/// A set of capabilities.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Capabilities(u32);

impl Capabilities {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// All that exist.
    #[must_use]
    pub fn all() -> Self {
        Capability::ALL.iter().copied().collect()
    }

    /// Whether `capability` is in the set.
    #[must_use]
    pub fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u32) != 0
    }

    /// The set with `capability`.
    #[must_use]
    pub fn with(self, capability: Capability) -> Self {
        Self(self.0 | 1 << capability as u32)
    }

    /// The set without all of `others`.
    #[must_use]
    pub fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// The members, in order.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL
            .iter()
            .copied()
            .filter(move |&each| self.has(each))
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(members: I) -> Self {
        members.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masking_removes_exactly_what_is_named() {
        let mask: Capabilities = ["splice", "send_zc"]
            .into_iter()
            .map(|name| name.parse::<Capability>().expect("known"))
            .collect();
        let left = Capabilities::all().without(mask);
        assert!(!left.has(Capability::Splice) && !left.has(Capability::SendZeroCopy));
        assert_eq!(left.iter().count(), Capability::ALL.len() - 2);
        assert!(
            "warp"
                .parse::<Capability>()
                .expect_err("unknown")
                .contains("splice")
        );
    }
}
