//! What a peer did against the protocol.

use std::fmt;

use crate::id::StreamId;

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// A rule of docs/WIRE.md that a peer can break.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Rule {
            $($(#[$doc])* $name,)*
        }

        impl Rule {
            /// Its number in docs/WIRE.md.
            #[must_use]
            pub fn number(self) -> &'static str {
                match self { $(Self::$name => $number,)* }
            }
        }
    };
}

rules! {
    /// The checksum of a header does not match.
    HeaderChecksum = "W-2.2",
    /// A frame type that does not exist.
    FrameType = "W-2.3",
    /// Reserved bits or fields that are not zero.
    Reserved = "W-2.4",
    /// A payload longer than its type allows.
    PayloadLength = "W-2.5",
    /// A payload that is not what its type says.
    Payload = "W-2.6",
    /// A frame that this connection, or this side, must not send.
    Misplaced = "W-2.8",
    /// A stream that its opener cannot have opened.
    StreamUnknown = "W-3.1",
    /// More streams than granted.
    StreamCredit = "W-3.2",
    /// Bytes ahead of the stream's position.
    OffsetGap = "W-3.3",
    /// Records ahead of, or against, the stream's position.
    RecordGap = "W-3.4",
    /// Bytes behind the end of the stream.
    BeyondEnd = "W-3.5",
    /// A body that does not match its checksum.
    BodyChecksum = "W-3.6",
    /// Two different ends.
    EndChanged = "W-3.7",
    /// A gap that a stream cannot have, or that leads nowhere.
    Gap = "W-3.13",
    /// More bytes than the stream's credit.
    Credit = "W-4.1",
    /// More bytes than the session's credit.
    SessionCredit = "W-4.2",
    /// More acked than was sent.
    AckBeyondSent = "W-4.3",
    /// Less acked than before.
    AckBackwards = "W-4.4",
    /// Resume chunks where none are expected.
    ResumeUnexpected = "W-5.2",
    /// Resume entries that are not in the order of their streams.
    ResumeOrder = "W-5.2",
    /// A resume that forgets what was acked.
    ResumeBehindAck = "W-5.3",
}

/// A broken rule, where, and the two numbers that do not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// Which type of frame, as on the wire.
    pub frame: u8,
    /// Which stream, where it is about one.
    pub stream: Option<StreamId>,
    /// Which offset of it.
    pub offset: u64,
    /// What the peer said.
    pub got: u64,
    /// What would have been right, or the bound.
    pub expected: u64,
}

impl Violation {
    pub(crate) fn new(rule: Rule, frame: u8, got: u64, expected: u64) -> Self {
        Self {
            rule,
            frame,
            stream: None,
            offset: 0,
            got,
            expected,
        }
    }

    pub(crate) fn on(mut self, stream: StreamId, offset: u64) -> Self {
        self.stream = Some(stream);
        self.offset = offset;
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rule, frame) = (self.rule, self.frame);
        write!(f, "{rule:?} ({}), frame type {frame}", rule.number())?;
        if let Some(stream) = self.stream {
            write!(f, ", stream {stream} at {}", self.offset)?;
        }
        write!(f, ": got {}, expected {}", self.got, self.expected)
    }
}
