//! What to do with a target that is already there.

use std::str::FromStr;

use ringway::{FileKind, FileStat};
use serde::{Deserialize, Serialize};

use crate::failure::Fault;
use crate::identity::{SourceIdentity, Timestamp};

/// What to do with a regular file that already has the target's name (F-30).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Overwrite {
    /// Replaced, by one rename: readers see the old file or the new one, never a mixture.
    #[default]
    Replace,
    /// Kept; the source is skipped with [`crate::SkipReason::Exists`].
    Never,
    /// Replaced if the source's modification time is later; else skipped.
    IfNewer,
    /// Replaced unless size and modification time are the same; else skipped. Makes a repeated
    /// run of a tree cheap.
    IfDifferent,
}

impl Overwrite {
    /// The name used on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Never => "never",
            Self::IfNewer => "if-newer",
            Self::IfDifferent => "if-different",
        }
    }

    /// Whether what is at the target now gives way to `source`.
    pub(crate) fn replaces(
        self,
        target: Option<&FileStat>,
        source: &SourceIdentity,
    ) -> Result<bool, Fault> {
        let Some(target) = target else {
            return Ok(true);
        };
        match target.kind {
            FileKind::Regular => {}
            FileKind::Directory => return Err(Fault::IsDirectory),
            FileKind::Symlink | FileKind::Special => return Err(Fault::NotRegular),
        }
        let modified = Timestamp::from_ns(target.modified_ns);
        Ok(match self {
            Self::Replace => true,
            Self::Never => false,
            Self::IfNewer => source.modified > modified,
            Self::IfDifferent => (source.size, source.modified) != (target.size, modified),
        })
    }
}

impl FromStr for Overwrite {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Replace, Self::Never, Self::IfNewer, Self::IfDifferent]
            .into_iter()
            .find(|policy| policy.name() == text)
            .ok_or_else(|| format!("`{text}` is none of replace, never, if-newer, if-different"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(kind: FileKind) -> FileStat {
        FileStat {
            kind,
            mode: 0o644,
            size: 10,
            modified_ns: 1_000,
            changed_ns: 1_000,
            inode: 1,
            device: 1,
        }
    }

    fn source(size: u64, modified_ns: i128) -> SourceIdentity {
        let stat = FileStat {
            size,
            modified_ns,
            ..target(FileKind::Regular)
        };
        SourceIdentity::of(&stat)
    }

    #[test]
    fn each_policy_replaces_what_it_says() {
        let there = target(FileKind::Regular);
        let replaced = |policy: Overwrite, size, modified| {
            policy
                .replaces(Some(&there), &source(size, modified))
                .expect("a regular file")
        };
        assert!(replaced(Overwrite::Replace, 10, 1_000));
        assert!(!replaced(Overwrite::Never, 11, 2_000));
        assert!(replaced(Overwrite::IfNewer, 10, 1_001));
        assert!(!replaced(Overwrite::IfNewer, 11, 1_000));
        assert!(replaced(Overwrite::IfDifferent, 10, 999));
        assert!(replaced(Overwrite::IfDifferent, 11, 1_000));
        assert!(!replaced(Overwrite::IfDifferent, 10, 1_000));
    }

    #[test]
    fn only_regular_files_give_way_under_any_policy() {
        for policy in [Overwrite::Replace, Overwrite::Never, Overwrite::IfNewer] {
            let verdict = |kind| policy.replaces(Some(&target(kind)), &source(10, 1_000));
            assert_eq!(verdict(FileKind::Directory), Err(Fault::IsDirectory));
            assert_eq!(verdict(FileKind::Symlink), Err(Fault::NotRegular));
            assert_eq!(verdict(FileKind::Special), Err(Fault::NotRegular));
            assert_eq!(policy.replaces(None, &source(10, 1_000)), Ok(true));
        }
    }

    #[test]
    fn every_policy_has_a_name_that_is_read_back() {
        for policy in [Overwrite::Replace, Overwrite::Never, Overwrite::IfDifferent] {
            assert_eq!(policy.name().parse(), Ok(policy));
        }
        assert!("always".parse::<Overwrite>().is_err());
    }
}
