//! What tells one source, and one version of it, from another (F-20).

use ringway::FileStat;
use serde::{Deserialize, Serialize};

/// A time as file systems keep it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Timestamp {
    /// Whole seconds since 1970, negative before.
    pub(crate) seconds: i64,
    /// To be added, below 1,000,000,000.
    pub(crate) nanoseconds: u32,
}

const NS_PER_SECOND: i128 = 1_000_000_000;

impl Timestamp {
    pub(crate) fn from_ns(ns: i128) -> Self {
        let seconds = ns.div_euclid(NS_PER_SECOND);
        Self {
            seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
            nanoseconds: u32::try_from(ns.rem_euclid(NS_PER_SECOND)).unwrap_or(0),
        }
    }

    pub(crate) fn as_ns(self) -> i128 {
        i128::from(self.seconds) * NS_PER_SECOND + i128::from(self.nanoseconds)
    }
}

/// One version of one source file.
///
/// The device is left out, because its number may differ after a reboot, and the path, because
/// the same file by another path is the same source. Two files that agree in all of these at two
/// different hosts would have to be changed in the same nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceIdentity {
    /// Bytes.
    pub(crate) size: u64,
    /// Last change of the content.
    pub(crate) modified: Timestamp,
    /// Last change of the inode: sees also writers that set the modification time back.
    pub(crate) changed: Timestamp,
    /// Inode number.
    pub(crate) inode: u64,
}

impl SourceIdentity {
    pub(crate) fn of(stat: &FileStat) -> Self {
        Self {
            size: stat.size,
            modified: Timestamp::from_ns(stat.modified_ns),
            changed: Timestamp::from_ns(stat.changed_ns),
            inode: stat.inode,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_keep_their_nanoseconds() {
        for ns in [-1, 0, 1, -1_000_000_001, 1_700_000_000_123_456_789] {
            assert_eq!(Timestamp::from_ns(ns).as_ns(), ns);
        }
        let before = Timestamp::from_ns(-1);
        assert_eq!((before.seconds, before.nanoseconds), (-1, 999_999_999));
    }
}
