//! Where bodies come from and where they go.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// What bodies are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Heap memory, always the same bytes.
    Memory,
    /// A piece of registered memory, always the same.
    Lease,
    /// A file, from its start, again and again: the sender's own one where no path is given.
    File(Option<PathBuf>),
}

/// Where bodies go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sink {
    /// Taken and dropped.
    Discard,
    /// Into a file, from its start, again and again: the receiver's own one where no path is
    /// given.
    File(Option<PathBuf>),
}

/// The file in `text`, if it names one.
fn file(text: &str) -> Option<Option<PathBuf>> {
    if text == "file" {
        return Some(None);
    }
    let path = text.strip_prefix("file:").filter(|path| !path.is_empty())?;
    Some(Some(path.into()))
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "memory" => Ok(Self::Memory),
            "lease" => Ok(Self::Lease),
            _ => file(text)
                .map(Self::File)
                .ok_or_else(|| format!("`{text}` is none of memory, lease, file, file:PATH")),
        }
    }
}

impl FromStr for Sink {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "discard" => Ok(Self::Discard),
            _ => file(text)
                .map(Self::File)
                .ok_or_else(|| format!("`{text}` is none of discard, file, file:PATH")),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Lease => f.write_str("lease"),
            Self::File(None) => f.write_str("file"),
            Self::File(Some(path)) => write!(f, "file:{}", path.display()),
        }
    }
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discard => f.write_str("discard"),
            Self::File(None) => f.write_str("file"),
            Self::File(Some(path)) => write!(f, "file:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_what_is_read() {
        for text in ["memory", "lease", "file", "file:/a b/c"] {
            assert_eq!(text.parse::<Source>().expect(text).to_string(), text);
        }
        for text in ["discard", "file", "file:x"] {
            assert_eq!(text.parse::<Sink>().expect(text).to_string(), text);
        }
        for text in ["", "file:", "disk", "Memory"] {
            assert!(text.parse::<Source>().is_err() && text.parse::<Sink>().is_err());
        }
    }
}
