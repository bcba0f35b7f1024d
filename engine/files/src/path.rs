//! Paths below the server's root (F-10).

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::limits::{NAME_BYTES_MAX, PATH_BYTES_MAX, PATH_COMPONENTS_MAX};

/// A path below the server's root: a list of plain names, possibly none (the root itself).
///
/// Names are bytes, as Linux has them. A value of this type holds no `..`, no `.`, no empty name,
/// no NUL and no leading slash, whoever made it: parsing is the only way in, also from the wire.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct RemotePath(Vec<u8>);

/// Why a text is no [`RemotePath`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum PathError {
    /// It begins with a slash.
    #[error("`{0}` is absolute: paths start at the served directory, leave the first `/` out")]
    Absolute(String),
    /// It has `..` in it.
    #[error("`{0}` has `..` in it: nothing outside of the served directory can be reached")]
    Parent(String),
    /// Two slashes in a row.
    #[error("`{0}` has an empty name in it (`//`)")]
    EmptyName(String),
    /// A NUL byte.
    #[error("`{0}` has a NUL byte in it")]
    Nul(String),
    /// Too long in bytes.
    #[error("a path of {bytes} bytes is longer than the {allowed} allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// Limit.
        allowed: usize,
    },
    /// One of its names is too long.
    #[error("a name of {bytes} bytes is longer than the {allowed} a file system takes")]
    NameTooLong {
        /// Its length.
        bytes: usize,
        /// Limit.
        allowed: usize,
    },
    /// Too many names.
    #[error("a path of {names} names is deeper than the {allowed} allowed")]
    TooDeep {
        /// How many.
        names: usize,
        /// Limit.
        allowed: usize,
    },
}

impl RemotePath {
    /// The served directory itself.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads what a person typed: a trailing slash and `.` are taken away.
    ///
    /// # Errors
    /// [`PathError`].
    pub fn parse(text: impl AsRef<OsStr>) -> Result<Self, PathError> {
        let bytes = text.as_ref().as_bytes();
        let bytes = bytes
            .strip_suffix(b"/")
            .filter(|b| !b.is_empty())
            .unwrap_or(bytes);
        let names = bytes
            .split(|byte| *byte == b'/')
            .filter(|name| *name != b".");
        Self::from_bytes(names.collect::<Vec<_>>().join(&b'/'))
    }

    /// Checks what came over the wire.
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Result<Self, PathError> {
        if bytes.is_empty() {
            return Ok(Self::root());
        }
        let text = || String::from_utf8_lossy(&bytes[..bytes.len().min(256)]).into_owned();
        if bytes.len() > PATH_BYTES_MAX {
            let (bytes, allowed) = (bytes.len(), PATH_BYTES_MAX);
            return Err(PathError::TooLong { bytes, allowed });
        }
        if bytes[0] == b'/' {
            return Err(PathError::Absolute(text()));
        }
        if bytes.contains(&0) {
            return Err(PathError::Nul(text()));
        }
        let mut names = 0;
        for name in bytes.split(|byte| *byte == b'/') {
            names += 1;
            match name {
                b"" | b"." => return Err(PathError::EmptyName(text())),
                b".." => return Err(PathError::Parent(text())),
                name if name.len() > NAME_BYTES_MAX => {
                    let (bytes, allowed) = (name.len(), NAME_BYTES_MAX);
                    return Err(PathError::NameTooLong { bytes, allowed });
                }
                _ => {}
            }
        }
        if names > PATH_COMPONENTS_MAX {
            let allowed = PATH_COMPONENTS_MAX;
            return Err(PathError::TooDeep { names, allowed });
        }
        Ok(Self(bytes))
    }

    /// Whether it is the served directory itself.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Its names from the root on.
    pub fn names(&self) -> impl Iterator<Item = &OsStr> {
        let names = self.0.split(|byte| *byte == b'/');
        names.filter(|name| !name.is_empty()).map(OsStr::from_bytes)
    }

    /// The last name; `None` for the root.
    #[must_use]
    pub fn file_name(&self) -> Option<&OsStr> {
        self.names().last()
    }

    /// The path without its last name; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        Some(Self(self.0[..end].to_vec()))
    }

    /// This path and one or more names below it.
    ///
    /// # Errors
    /// [`PathError`].
    pub fn join(&self, below: impl AsRef<OsStr>) -> Result<Self, PathError> {
        let below = below.as_ref().as_bytes();
        if self.is_root() || below.is_empty() {
            let whole = if self.is_root() { below } else { &self.0 };
            return Self::from_bytes(whole.to_vec());
        }
        Self::from_bytes([&self.0, below].join(&b'/'))
    }

    /// As a relative path of the standard library.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// As an owned relative path of the standard library.
    #[must_use]
    pub fn to_path_buf(&self) -> PathBuf {
        PathBuf::from(OsString::from_vec(self.0.clone()))
    }
}

impl fmt::Display for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str("/");
        }
        String::from_utf8_lossy(&self.0).fmt(f)
    }
}

impl fmt::Debug for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemotePath({self})")
    }
}

impl Serialize for RemotePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for RemotePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = RemotePath;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path below the served directory")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<RemotePath, E> {
                RemotePath::from_bytes(bytes.to_vec()).map_err(E::custom)
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_of_the_root_can_be_named() {
        for text in [
            "..", "a/..", "../a", "a/../b", "/", "/etc", "a//b", "a\0b", "//",
        ] {
            assert!(RemotePath::parse(text).is_err(), "{text:?}");
            assert!(RemotePath::from_bytes(text.into()).is_err(), "{text:?}");
        }
        for text in [".", "a/", "a/./b", "./a"] {
            assert!(
                RemotePath::from_bytes(text.into()).is_err(),
                "{text:?} on the wire"
            );
            assert!(RemotePath::parse(text).is_ok(), "{text:?} typed");
        }
    }

    #[test]
    fn what_people_type_is_read_as_they_mean_it() {
        for (text, path) in [
            ("", ""),
            (".", ""),
            ("./", ""),
            ("a/", "a"),
            ("a/./b/", "a/b"),
        ] {
            assert_eq!(
                RemotePath::parse(text).expect(text).as_path(),
                Path::new(path)
            );
        }
        let dots = RemotePath::parse("...").expect("an odd but plain name");
        assert_eq!(dots.file_name(), Some(OsStr::new("...")));
    }

    #[test]
    fn names_are_bytes_and_survive_the_wire() {
        let name = OsStr::from_bytes(b"caf\xe9/\xff");
        let path = RemotePath::parse(name).expect("not UTF-8, still a path");
        let bytes = rmp_serde::to_vec(&path).expect("encodes");
        let again: RemotePath = rmp_serde::from_slice(&bytes).expect("decodes");
        assert_eq!(again, path);
        assert_eq!(again.names().count(), 2);
        let hostile = rmp_serde::to_vec(&Raw(b"../etc")).expect("encodes");
        assert!(rmp_serde::from_slice::<RemotePath>(&hostile).is_err());
    }

    struct Raw(&'static [u8]);

    impl Serialize for Raw {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(self.0)
        }
    }

    #[test]
    fn long_and_deep_paths_are_refused_with_both_numbers() {
        let long = "n".repeat(NAME_BYTES_MAX + 1);
        let error = RemotePath::parse(&long).expect_err("too long").to_string();
        assert!(error.contains("256") && error.contains("255"), "{error}");
        let deep = vec!["d"; PATH_COMPONENTS_MAX + 1].join("/");
        let error = RemotePath::parse(&deep).expect_err("too deep").to_string();
        assert!(error.contains(&PATH_COMPONENTS_MAX.to_string()), "{error}");
        let path = vec!["n".repeat(200); 30].join("/");
        assert!(matches!(
            RemotePath::parse(&path),
            Err(PathError::TooLong { .. })
        ));
    }

    #[test]
    fn parents_and_children_fit_together() {
        let path = RemotePath::parse("a/b").expect("plain");
        let parent = path.parent().expect("not the root");
        assert_eq!(parent.join("b").expect("plain"), path);
        assert_eq!(parent.parent(), Some(RemotePath::root()));
        assert_eq!(RemotePath::root().join("a").expect("plain"), parent);
        assert_eq!(RemotePath::root().parent(), None);
    }
}
