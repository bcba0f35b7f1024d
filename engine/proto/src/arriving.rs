//! Bodies on their way, and how the peer ends its direction of a stream.

use crate::body_checksum::BodyChecksum;
use crate::event::Event;
use crate::frame::kind;
use crate::header::flag;
use crate::id::StreamId;
use crate::incoming::{Incoming, Next};
use crate::limit::{ACK_AT_ONCE_BYTES, ACK_STEP_BYTES};
use crate::link::Link;
use crate::receive_stream::{ReceiveEnd, ReceiveStream};
use crate::session::Session;
use crate::status::Status;
use crate::time::Time;
use crate::violation::{Rule, Violation};

/// The body that is arriving.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arriving {
    pub(crate) stream: StreamId,
    /// Of its first byte on the wire.
    pub(crate) offset: u64,
    pub(crate) record: u64,
    pub(crate) length: u64,
    /// Reported by the caller.
    pub(crate) taken: u64,
    pub(crate) end_of_record: bool,
    pub(crate) finishes: bool,
    /// Its checksum follows it.
    pub(crate) trailer: bool,
    /// The checksum has come and is right, or none comes.
    pub(crate) is_verified: bool,
    /// The stream has ended here: all of it is of no use.
    pub(crate) is_stale: bool,
}

impl Arriving {
    fn end(&self) -> u64 {
        self.offset + self.length
    }

    fn records_behind(&self) -> u64 {
        self.record + u64::from(self.end_of_record)
    }

    /// Bytes that were not received before.
    fn new_bytes(&self, receive: &ReceiveStream) -> u64 {
        let new = self.end().saturating_sub(receive.received);
        new.min(self.length)
    }

    fn ends_new_record(&self, receive: &ReceiveStream) -> bool {
        self.end_of_record && self.records_behind() > receive.records
    }

    /// Whether it continues what was received, within the stream's credit and end (W-3.3 to
    /// W-3.5, W-4.1).
    fn check(&self, receive: &ReceiveStream) -> Result<(), Violation> {
        let fail = |rule, got, expected| {
            let violation = Violation::new(rule, kind::DATA, got, expected);
            Err(violation.on(self.stream, self.offset))
        };
        if self.offset > receive.received {
            return fail(Rule::OffsetGap, self.offset, receive.received);
        }
        let has_new_bytes = self.new_bytes(receive) > 0;
        let is_news = has_new_bytes || self.ends_new_record(receive);
        if is_news && self.record != receive.records {
            return fail(Rule::RecordGap, self.record, receive.records);
        }
        if is_news && self.end() < receive.received {
            return fail(Rule::RecordGap, self.end(), receive.received);
        }
        if self.end() > receive.credit {
            return fail(Rule::Credit, self.end(), receive.credit);
        }
        if let ReceiveEnd::Finish {
            offset, records, ..
        } = receive.end
        {
            if self.end() > offset {
                return fail(Rule::BeyondEnd, self.end(), offset);
            }
            if self.records_behind() > records {
                return fail(Rule::BeyondEnd, self.records_behind(), records);
            }
        }
        Ok(())
    }
}

impl Session {
    /// A body comes on `link`: now, or it waits there for what comes before it.
    pub(crate) fn begin_data(
        &mut self,
        link: Link,
        arriving: Arriving,
        opens: bool,
    ) -> Result<Next, Violation> {
        if !self.must_wait(link, arriving.stream, (arriving.offset, arriving.record)) {
            return self.on_data(link, arriving, opens).map(Next::Body);
        }
        if let Some(state) = self.link_mut(link) {
            state.waiting = Some(arriving);
        }
        Ok(Next::Wait)
    }

    pub(crate) fn on_data(
        &mut self,
        link: Link,
        mut arriving: Arriving,
        opens: bool,
    ) -> Result<Incoming, Violation> {
        let (id, offset) = (arriving.stream, arriving.offset);
        if arriving.trailer && self.body_checksum() == BodyChecksum::Off {
            let flag = flag::TRAILER.into();
            let violation = Violation::new(Rule::Reserved, kind::DATA, flag, 0);
            return Err(violation.on(id, offset));
        }
        let is_live = self.find_or_open(id, opens, kind::DATA, offset)?;
        let receive = self.streams.get(&id).map(|state| &state.receive);
        let receive =
            receive.filter(|receive| is_live && !matches!(receive.end, ReceiveEnd::Reset));
        let (mut skip, mut end_of_record) = (arriving.length, false);
        if let Some(receive) = receive {
            arriving.check(receive)?;
            let brings = arriving.length > 0 || arriving.end_of_record || arriving.finishes;
            if brings && self.is_taken_elsewhere(link, id) {
                // Sent on two connections at once: two writers of one place.
                let (got, expected) = (offset, receive.received);
                let violation = Violation::new(Rule::OffsetGap, kind::DATA, got, expected);
                return Err(violation.on(id, offset));
            }
            let new = arriving.new_bytes(receive);
            if let Err((total, granted)) = self
                .credit
                .check(receive.received, receive.received.max(arriving.end()))
            {
                let violation = Violation::new(Rule::SessionCredit, kind::DATA, total, granted);
                return Err(violation.on(id, offset));
            }
            skip -= new;
            end_of_record = arriving.ends_new_record(receive);
        } else {
            arriving.is_stale = true;
        }
        self.statistics.duplicate_bytes += skip;
        if let Some(state) = self.link_mut(link) {
            state.arriving = Some(arriving);
        }
        Ok(Incoming {
            stream: id,
            offset: offset + skip,
            length: arriving.length,
            skip,
            end_of_record,
            trailer: arriving.trailer,
        })
    }

    /// So many further bytes of the body that arrives on `link` are copied or written (or were discarded, if
    /// they were to be skipped). For a body of no bytes: once, with 0.
    ///
    /// # Errors
    /// [`Violation`] if its end contradicts what was said before.
    pub fn handle_body(&mut self, now: Time, link: Link, bytes: u64) -> Result<(), Violation> {
        self.heard(now, link);
        let state = self.link_mut(link);
        let Some(arriving) = state.and_then(|state| state.arriving.as_mut()) else {
            return Ok(());
        };
        arriving.taken = arriving.taken.saturating_add(bytes).min(arriving.length);
        self.count_body(now, link)
    }

    /// The checksum of the body that arrives on `link` has come: what was read, and what the bytes have. Call
    /// it before what follows on the connection is parsed.
    ///
    /// # Errors
    /// [`Violation`] with both values if they differ. Nothing of the body counts: drop the
    /// connection and it comes again, or end the session with [`violated`](Self::violated).
    pub fn handle_trailer(
        &mut self,
        now: Time,
        link: Link,
        received: u32,
        computed: u32,
    ) -> Result<(), Violation> {
        self.heard(now, link);
        let state = self.link_mut(link);
        let arriving = state.and_then(|state| state.arriving.as_mut());
        let Some(arriving) = arriving.filter(|it| it.trailer) else {
            return Ok(());
        };
        if received != computed {
            let (got, expected) = (received.into(), computed.into());
            let violation = Violation::new(Rule::BodyChecksum, kind::DATA, got, expected);
            return Err(violation.on(arriving.stream, arriving.offset));
        }
        arriving.is_verified = true;
        self.count_body(now, link)
    }

    /// Counts what was taken of the arriving body; with a checksum behind it, only once all of it
    /// was verified. Then piece by piece: what the application takes of it must have been received.
    fn count_body(&mut self, now: Time, link: Link) -> Result<(), Violation> {
        let Some(state) = self.link_mut(link) else {
            return Ok(());
        };
        let Some(arriving) = state.arriving else {
            return Ok(());
        };
        let is_all_taken = arriving.taken == arriving.length;
        let is_whole = is_all_taken && arriving.is_verified;
        if is_whole {
            state.arriving = None;
        } else if !arriving.is_verified {
            return Ok(());
        }
        let id = arriving.stream;
        let Some(state) = self.streams.get_mut(&id).filter(|_| !arriving.is_stale) else {
            return Ok(());
        };
        let receive = &mut state.receive;
        let from = receive.received;
        let taken = match cfg!(ringway_mutant = "partial_frame_acked") {
            false => arriving.taken,
            true => arriving.length,
        };
        receive.received = from.max(arriving.offset + taken);
        receive.unacked += receive.received - from;
        let new = receive.received - from;
        self.credit.receive(from, receive.received);
        if is_whole && arriving.records_behind() > receive.records {
            receive.records = arriving.records_behind();
            receive.begin_record();
        }
        let is_step = receive.unacked >= ACK_STEP_BYTES;
        let is_small = is_whole && arriving.length < ACK_AT_ONCE_BYTES;
        let is_wait_news = receive.is_wait_news();
        self.statistics.received_bytes += new;
        if new > 0 {
            self.watch_new_byte(now);
        }
        if is_wait_news {
            self.watch_reader(now, id);
        }
        if is_step || is_small || (is_whole && arriving.finishes) {
            self.owe_ack(id);
        } else {
            self.owe_ack_later(now, id);
        }
        if is_whole && arriving.finishes {
            let (end, records) = (arriving.end(), arriving.records_behind());
            self.on_finish(now, id, (end, records), Status::ok(), kind::DATA)?;
        } else if is_whole {
            self.tell_finish(now, id);
        }
        Ok(())
    }

    pub(crate) fn on_finish(
        &mut self,
        now: Time,
        id: StreamId,
        (offset, records): (u64, u64),
        status: Status,
        frame: u8,
    ) -> Result<(), Violation> {
        let Some(state) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        let receive = &mut state.receive;
        let fail = |got, expected| {
            Err(Violation::new(Rule::EndChanged, frame, got, expected).on(id, offset))
        };
        match &receive.end {
            ReceiveEnd::Finish { offset: known, .. } if *known != offset => {
                return fail(offset, *known);
            }
            ReceiveEnd::Finish { records: known, .. } if *known != records => {
                return fail(records, *known);
            }
            ReceiveEnd::Finish { .. } | ReceiveEnd::Reset => {}
            ReceiveEnd::Open if offset < receive.received => {
                return fail(offset, receive.received);
            }
            ReceiveEnd::Open if records < receive.records => {
                return fail(records, receive.records);
            }
            ReceiveEnd::Open => {
                receive.end = ReceiveEnd::Finish {
                    status: Box::new(status),
                    offset,
                    records,
                    is_told: false,
                };
            }
        }
        self.tell_finish(now, id);
        self.owe_ack(id);
        Ok(())
    }

    /// Tells the end once every byte before it has been reported.
    pub(crate) fn tell_finish(&mut self, now: Time, id: StreamId) {
        let Some(state) = self.streams.get_mut(&id) else {
            return;
        };
        if let Some((status, offset)) = state.receive.reach_finish() {
            state.owes.stop = false;
            self.watch_reader(now, id);
            self.events.push_back(Event::Finished {
                stream: id,
                status,
                offset,
            });
            self.owe_ack(id);
            self.forget_if_over(now, id);
        }
    }

    pub(crate) fn on_reset(
        &mut self,
        now: Time,
        id: StreamId,
        offset: u64,
        status: Status,
    ) -> Result<(), Violation> {
        let Some(state) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        let receive = &mut state.receive;
        let from = receive.received;
        let fail = |rule, got, expected| {
            Err(Violation::new(rule, kind::RESET, got, expected).on(id, offset))
        };
        if offset < from {
            return fail(Rule::EndChanged, offset, from);
        }
        if !receive.has_ended() {
            // The end of a lossy stream may lie behind a gap, which waits for no credit.
            let is_lossy = receive.gaps.is_some();
            if offset > receive.credit && !is_lossy {
                return fail(Rule::Credit, offset, receive.credit);
            }
            let checked = match is_lossy {
                true => self.credit.check_jump(from, offset),
                false => self.credit.check(from, offset),
            };
            if let Err((total, granted)) = checked {
                return fail(Rule::SessionCredit, total, granted);
            }
            receive.end = ReceiveEnd::Reset;
            state.owes.stop = false;
            // What is just arriving on a bulk link was overtaken: it is of no use any more.
            for link in &mut self.links {
                if let Some(arriving) = &mut link.arriving
                    && arriving.stream == id
                {
                    arriving.is_stale = true;
                }
            }
            // What was lost in flight counted against the session: it is returned at once.
            self.credit.receive(from, offset);
            if !cfg!(ringway_mutant = "reset_credit_not_returned") {
                self.credit.consume(from, offset);
            }
            self.watch_reader(now, id);
            self.events.push_back(Event::Reset {
                stream: id,
                status,
                final_offset: offset,
            });
        }
        self.owe_ack(id);
        self.forget_if_over(now, id);
        Ok(())
    }
}
