//! How a direction of a stream, or a session, ended.

use std::fmt;

use crate::limit::STATUS_TEXT_BYTES_MAX;

/// A code and a text. Codes below 1000 are Ringway's, the others the application's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Status {
    /// 0: all is well.
    pub code: u32,
    /// For people; at most 1,024 bytes, cut there at a character's boundary.
    pub text: String,
}

impl Status {
    /// The engine shuts down.
    pub const SHUTTING_DOWN: u32 = 1;
    /// Whoever held the stream or session let go of it.
    pub const DROPPED: u32 = 2;
    /// The file the bytes went to cannot take them.
    pub const SINK_FAILED: u32 = 3;
    /// The file the bytes came from cannot be read.
    pub const SOURCE_FAILED: u32 = 4;
    /// The file the bytes came from is not what it was.
    pub const SOURCE_CHANGED: u32 = 5;
    /// A drain took longer than allowed.
    pub const DRAIN_TIMEOUT: u32 = 6;
    /// The peer broke the protocol.
    pub const PROTOCOL: u32 = 7;

    /// All is well.
    #[must_use]
    pub fn ok() -> Self {
        Self::default()
    }

    /// A code with a text.
    #[must_use]
    pub fn new(code: u32, text: &str) -> Self {
        let mut end = text.len().min(STATUS_TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = text[..end].into();
        Self { code, text }
    }

    /// Whether all is well.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.code == 0
    }

    /// The engine shuts down.
    #[must_use]
    pub fn shutting_down() -> Self {
        Self::new(Self::SHUTTING_DOWN, "the engine shuts down")
    }

    /// Whoever held it let go.
    #[must_use]
    pub fn dropped() -> Self {
        Self::new(Self::DROPPED, "dropped by its holder")
    }

    /// The file the bytes went to cannot take them.
    #[must_use]
    pub fn sink_failed(cause: &str) -> Self {
        Self::new(Self::SINK_FAILED, &format!("cannot write: {cause}"))
    }

    /// The file the bytes came from cannot be read.
    #[must_use]
    pub fn source_failed(cause: &str) -> Self {
        Self::new(Self::SOURCE_FAILED, &format!("cannot read: {cause}"))
    }

    /// The file the bytes came from is not what it was.
    #[must_use]
    pub fn source_changed(cause: &str) -> Self {
        Self::new(Self::SOURCE_CHANGED, cause)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.text.as_str()) {
            (0, _) => f.write_str("OK"),
            (code, "") => write!(f, "code {code}"),
            (code, text) => write!(f, "{text} (code {code})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let status = Status::new(1000, &"é".repeat(600));
        assert_eq!(status.text.len(), 1024);
        assert!(Status::new(1, &"x€".repeat(400)).text.len() <= STATUS_TEXT_BYTES_MAX);
        assert!(Status::ok().is_ok());
    }
}
