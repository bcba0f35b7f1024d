//! The session protocol as pure state machines (docs/WIRE.md specifies every byte).
//!
//! ```text
//!   Dial ─┐ handshake bytes            ┌─ Accept
//!         └──▶ Established ──▶ Session ◀┘
//!                                │ handle_bytes, handle_body, handle_timeout   (network, time in)
//!                                │ open, send, finish, reset, stop, consume    (application in)
//!                                ▼
//!                     poll_transmit, poll_event, poll_timeout                  (out)
//! ```
//!
//! Nothing here does I/O, reads a clock or draws a random number, and no payload byte passes
//! through: bodies are described by an id the caller chose. Same inputs, same outputs.
//!
//! Start with [`Session`], whose documentation states the contract.
#![forbid(unsafe_code)]

mod accept;
mod arriving;
mod body_checksum;
mod bulk;
mod close_reason;
mod dial;
mod dropping;
mod event;
mod feature;
mod frame;
mod gap;
mod handshake_error;
mod header;
mod hello;
mod id;
mod incoming;
mod key;
mod limit;
mod link;
mod name;
mod priority;
mod proof;
mod ready;
mod receive_stream;
mod refusal;
mod resume;
mod send_stream;
mod session;
mod session_app;
mod session_credit;
mod session_end;
mod session_error;
mod session_in;
mod session_out;
mod session_report;
mod session_timer;
mod session_watch;
mod status;
mod stream;
mod time;
mod violation;
mod wait_clock;
mod wire;

pub use accept::{Accept, AllowedNames, Authentication, Claim, Decision, KeyGrant, Need};
pub use body_checksum::{BodyChecksum, TRAILER_BYTES, Trailer};
pub use close_reason::CloseReason;
pub use dial::Dial;
pub use event::Event;
pub use feature::Features;
pub use frame::HEADER_BYTES;
pub use handshake_error::HandshakeError;
pub use hello::{Established, Intent, LocalEndpoint, PeerIdentity, Role, SessionLimits};
pub use id::{BodyId, Epoch, SessionId, Side, StreamId};
pub use incoming::{Incoming, Next, Parsed};
pub use key::{Key, KeyError};
pub use limit::{SessionConfig, VERSION_MAX, VERSION_MIN};
pub use link::Link;
pub use name::{EndpointName, KeyId, NameError};
pub use priority::Priority;
pub use refusal::{Refusal, RefusalCode};
pub use session::{BodyKind, Offer, Retention, Session, StreamOptions, Transmit};
pub use session_end::close_frame;
pub use session_error::{OpenError, SendError, SessionError};
pub use session_report::{RetainedBody, SessionStatistics, StreamReport, StreamStatistics};
pub use session_watch::SendWait;
pub use status::Status;
pub use stream::StreamProgress;
pub use time::Time;
pub use violation::{Rule, Violation};
pub use wait_clock::WaitClock;

#[doc(hidden)]
pub mod testing {
    //! The codec, for golden vectors and fuzzing; the ledger, for tests of credit.
    pub use crate::frame::{Frame, FrameError, ResumeEntry};
    pub use crate::limit::table as limit_table;

    /// Session credit: sent, allowed, received, consumed, granted (docs/WIRE.md, W-4.2).
    #[must_use]
    pub fn session_ledger(session: &crate::Session) -> [u64; 5] {
        session.credit.ledger()
    }

    /// Of each stream that has not ended: accepted, sent, acked, consumed by the peer, allowed;
    /// received, taken by our application, granted. Offsets all.
    #[must_use]
    pub fn stream_ledgers(session: &crate::Session) -> Vec<(crate::StreamId, [u64; 8])> {
        let streams = session.streams.iter();
        let ledgers = streams.map(|(&id, stream)| {
            let (progress, receive) = (stream.progress(), &stream.receive);
            let sending = [progress.accepted, progress.sent, progress.acked];
            let [accepted, sent, acked] = sending;
            let receiving = [receive.received, receive.consumed, receive.credit];
            let [received, taken, granted] = receiving;
            let (consumed, allowed) = (progress.consumed, progress.credit);
            let ledger = [
                accepted, sent, acked, consumed, allowed, received, taken, granted,
            ];
            (id, ledger)
        });
        ledgers.collect()
    }
}
