//! Many records in one crossing to the shard, and back.
//!
//! A record of its own costs a message to the shard, an answer, a wake-up of whoever waits for it,
//! and at the receiver a lock and a word to the shard that it was taken. For 64 bytes all that is
//! more than the record. Here it is paid once for all that are there.

use std::future::poll_fn;

use bytes::Bytes;

use crate::Error;
use crate::message::Message;
use crate::reply::reply;
use crate::stream::Stream;

impl Stream {
    /// Sends records, in their order, each as [`send_record`](Self::send_record) would. Resolves
    /// when all are accepted, with the stream offset behind the last one. Waits at the retention
    /// cap; dropping the future then takes back those that were not accepted yet.
    ///
    /// # Errors
    /// As [`send`](Self::send). Records in front of the one that was refused are accepted, none
    /// behind it.
    pub async fn send_records<I>(&self, records: I) -> Result<u64, Error>
    where
        I: IntoIterator,
        I::Item: Into<Bytes>,
    {
        let (reply, answer) = reply();
        self.post(Message::SendRecords {
            session: self.key(),
            stream: self.id(),
            records: records.into_iter().map(Into::into).collect(),
            reply,
        });
        answer.await?.map_err(|error| self.cause_of(error))
    }

    /// Waits for a record and adds it to `records`, with those that have arrived behind it, up to
    /// `count_max` in all. Returns how many were added: 0 after the end.
    ///
    /// Each is of at most `bytes_max` bytes. What cannot be taken (a larger one, a gap) ends the
    /// batch before it, and is told by the next receive. Dropping the future loses nothing.
    ///
    /// # Errors
    /// As [`receive_record`](Self::receive_record), and then nothing was added.
    pub async fn receive_records(
        &self,
        records: &mut Vec<Bytes>,
        count_max: usize,
        bytes_max: u64,
    ) -> Result<usize, Error> {
        let inbox = self.inbox();
        let polled = poll_fn(|context| {
            let polled = inbox.poll_records(records, count_max, bytes_max, context);
            if polled.is_pending() {
                self.consume(inbox.take_unreported());
            }
            polled
        });
        let (count, consumed) = match polled.await {
            Ok((count, consumed)) => (Ok(count), consumed),
            Err((error, consumed)) => (Err(error), consumed),
        };
        self.consume(consumed);
        count
    }
}
