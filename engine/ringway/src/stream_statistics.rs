//! What one stream counts and holds.

use crate::metric::metrics;

metrics! {
    /// What one stream counts and holds, at one moment.
    pub struct StreamStatistics {
        /// Accepted from the application for sending.
        counter accepted_bytes,
        /// Given to a connection at least once.
        counter sent_bytes,
        /// Copied by the peer's engine.
        counter acked_bytes,
        /// Taken by the peer's application.
        counter consumed_by_peer_bytes,
        /// Records accepted from the application.
        counter records_accepted,
        /// Given to a connection again.
        counter replayed_bytes,
        /// Received in order.
        counter received_bytes,
        /// Taken by our application.
        counter consumed_bytes,
        /// Records received.
        counter records_received,
        /// Time with something to send and no credit of the stream's own.
        counter credit_wait_ns,
        /// Time with a send waiting at the session's retention cap.
        counter cap_wait_ns,
        /// Time that the peer waited because the stream was not read here.
        counter reader_wait_ns,
        /// Sent and not acked.
        gauge unacked_bytes,
        /// Memory kept for what is not acked.
        gauge retained_bytes,
        /// Received and not taken by our application.
        gauge unread_bytes,
        /// What the stream's own credit still allows to send.
        gauge send_credit_bytes,
        /// What the peer may still send by the stream's own credit.
        gauge receive_credit_bytes,
        /// Sends that are not accepted yet.
        gauge sends_waiting,
        /// Receives into a buffer or a file that are not answered yet.
        gauge receives_waiting,
    }
}
