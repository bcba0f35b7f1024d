//! What comes from the network.

use crate::close_reason::CloseReason;
use crate::frame::{Frame, FrameError, ResumeEntry, kind};
use crate::id::StreamId;
use crate::incoming::{Incoming, Next, Parsed};
use crate::limit::{ACK_AT_ONCE_BYTES, ACK_STEP_BYTES, PONGS_MAX};
use crate::receive_stream::ReceiveEnd;
use crate::session::{Event, Session};
use crate::status::Status;
use crate::time::Time;
use crate::violation::{Rule, Violation};

/// The body that is arriving.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arriving {
    stream: StreamId,
    /// Of its first byte on the wire.
    offset: u64,
    record: u64,
    length: u64,
    /// Reported by the caller.
    taken: u64,
    end_of_record: bool,
    finishes: bool,
    /// The stream has ended here: all of it is of no use.
    is_stale: bool,
}

impl Session {
    /// Parses frames from `bytes`, until they are used up or a body comes. Call it with what
    /// follows a body only after all of that body was reported.
    ///
    /// # Errors
    /// [`Violation`]: call [`violated`](Self::violated), send what is left, drop the connection.
    pub fn handle_bytes(&mut self, now: Time, bytes: &[u8]) -> Result<Parsed, Violation> {
        self.heard(now);
        let mut consumed = 0;
        loop {
            if self.closed.is_some() {
                // Nothing is expected any more; what still comes is not looked at.
                let next = Next::More(crate::frame::HEADER_BYTES);
                let consumed = bytes.len();
                return Ok(Parsed { consumed, next });
            }
            match Frame::parse(&bytes[consumed..]) {
                Ok((frame, size)) => {
                    consumed += size;
                    self.statistics.frames_received += 1;
                    if std::env::var("RINGWAY_DEBUG").is_ok() { eprintln!("{} {:?} <- {frame:?}", now.as_ns(), self.side); }
                    if let Some(incoming) = self.on_frame(now, frame)? {
                        let next = Next::Body(incoming);
                        return Ok(Parsed { consumed, next });
                    }
                }
                Err(FrameError::Incomplete(missing)) => {
                    let next = Next::More(missing);
                    return Ok(Parsed { consumed, next });
                }
                Err(FrameError::Violation(violation)) => return Err(violation),
            }
        }
    }

    fn on_frame(&mut self, now: Time, frame: Frame) -> Result<Option<Incoming>, Violation> {
        match frame {
            Frame::Data {
                stream,
                offset,
                record,
                length,
                opens,
                end_of_record,
                finishes,
            } => {
                let arriving = Arriving {
                    stream,
                    offset,
                    record,
                    length: length.into(),
                    taken: 0,
                    end_of_record,
                    finishes,
                    is_stale: false,
                };
                return self.on_data(arriving, opens).map(Some);
            }
            Frame::Ack {
                stream,
                received,
                records,
                consumed,
                credit,
                end_known,
            } => {
                let entry = ResumeEntry {
                    stream,
                    received,
                    records,
                    consumed,
                    credit,
                    end_known,
                };
                self.on_position(now, &entry, kind::ACK)?;
            }
            Frame::SessionCredit(credit) => {
                self.session_credit = self.session_credit.max(credit);
            }
            Frame::StreamCredit(credit) => {
                self.open_credit = self.open_credit.max(credit);
                self.unblock_open();
            }
            Frame::Finish {
                stream,
                offset,
                record,
                opens,
                status,
            } => {
                if self.find_or_open(stream, opens, kind::FINISH, offset)? {
                    self.on_finish(now, stream, offset, record, status, kind::FINISH)?;
                }
            }
            Frame::Reset {
                stream,
                offset,
                opens,
                status,
            } => {
                if self.find_or_open(stream, opens, kind::RESET, offset)? {
                    self.on_reset(now, stream, offset, status)?;
                }
            }
            Frame::Stop { stream, status, .. } => self.on_stop(now, stream, status),
            Frame::Ping(token) => {
                if self.pongs.len() < PONGS_MAX {
                    self.pongs.push_back(token);
                }
            }
            Frame::Pong(_) => {}
            Frame::Resume {
                opened,
                seen,
                is_last,
                entries,
            } => self.on_resume(now, (opened, seen), is_last, entries)?,
            Frame::Drain => {
                if !std::mem::replace(&mut self.is_peer_draining, true) {
                    self.events.push_back(Event::PeerDraining);
                }
            }
            Frame::Close(status) => self.end_with(CloseReason::Peer(status)),
        }
        Ok(None)
    }

    /// Whether the stream lives here, after opening it if the frame does. False: it has ended.
    fn find_or_open(
        &mut self,
        id: StreamId,
        opens: bool,
        frame: u8,
        offset: u64,
    ) -> Result<bool, Violation> {
        if let Some(state) = self.streams.get_mut(&id) {
            // Whoever speaks of it knows it: an ack of what it says is not one for a stranger.
            state.is_known = true;
            return Ok(true);
        }
        let (is_ours, index) = (id.opener() == self.side, id.index());
        let known = if is_ours {
            self.opened
        } else {
            self.peer_opened
        };
        if index < known {
            return Ok(false);
        }
        if is_ours || !opens {
            let violation = Violation::new(Rule::StreamUnknown, frame, index, known);
            return Err(violation.on(id, offset));
        }
        if index >= self.peer_open_credit {
            let limit = self.peer_open_credit;
            let violation = Violation::new(Rule::StreamCredit, frame, index + 1, limit);
            return Err(violation.on(id, offset));
        }
        // Opening one opens every lower one of that side (W-3.1).
        for index in self.peer_opened..=index {
            let id = StreamId::new(self.side.other(), index);
            let mut stream = self.new_stream();
            stream.is_known = true;
            self.streams.insert(id, stream);
            self.events.push_back(Event::Opened(id));
        }
        self.peer_opened = index + 1;
        Ok(true)
    }

    fn on_data(&mut self, mut arriving: Arriving, opens: bool) -> Result<Incoming, Violation> {
        let (id, offset) = (arriving.stream, arriving.offset);
        let is_live = self.find_or_open(id, opens, kind::DATA, offset)?;
        let end = offset + arriving.length;
        let skip = match self.streams.get(&id) {
            Some(state) if is_live && !matches!(state.receive.end, ReceiveEnd::Reset) => {
                let receive = &state.receive;
                let fail = |rule, got, expected| {
                    Err(Violation::new(rule, kind::DATA, got, expected).on(id, offset))
                };
                if offset > receive.received {
                    return fail(Rule::OffsetGap, offset, receive.received);
                }
                if arriving.record > receive.records {
                    return fail(Rule::RecordGap, arriving.record, receive.records);
                }
                if end > receive.credit {
                    return fail(Rule::Credit, end, receive.credit);
                }
                if let ReceiveEnd::Finish { offset: last, .. } = receive.end
                    && end > last
                {
                    return fail(Rule::BeyondEnd, end, last);
                }
                let new = end.saturating_sub(receive.received);
                if self.received_total + new > self.granted_total {
                    let total = self.received_total + new;
                    return fail(Rule::SessionCredit, total, self.granted_total);
                }
                arriving.length - new.min(arriving.length)
            }
            _ => {
                arriving.is_stale = true;
                arriving.length
            }
        };
        self.statistics.duplicate_bytes += skip;
        let records = self
            .streams
            .get(&id)
            .map_or(0, |state| state.receive.records);
        let is_new_record = arriving.end_of_record && arriving.record + 1 > records;
        self.arriving = Some(arriving);
        Ok(Incoming {
            stream: id,
            offset: offset + skip,
            length: arriving.length,
            skip,
            end_of_record: is_new_record && !arriving.is_stale,
        })
    }

    /// So many further bytes of the arriving body are copied or written (or were discarded, if
    /// they were to be skipped). For a body of no bytes: once, with 0.
    ///
    /// # Errors
    /// [`Violation`] if its end contradicts what was said before.
    pub fn handle_body(&mut self, now: Time, bytes: u64) -> Result<(), Violation> {
        self.heard(now);
        let Some(arriving) = &mut self.arriving else {
            return Ok(());
        };
        arriving.taken = (arriving.taken + bytes).min(arriving.length);
        let arriving = *arriving;
        let is_whole = arriving.taken == arriving.length;
        if is_whole {
            self.arriving = None;
        }
        if arriving.is_stale {
            return Ok(());
        }
        let id = arriving.stream;
        let Some(state) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        let received = arriving.offset + arriving.taken;
        let new = received.saturating_sub(state.receive.received);
        state.receive.received += new;
        state.receive.unacked += new;
        self.received_total += new;
        if is_whole && arriving.end_of_record {
            let records = arriving.record + 1;
            state.receive.records = state.receive.records.max(records);
        }
        let is_step = state.receive.unacked >= ACK_STEP_BYTES;
        let is_small = is_whole && arriving.length < ACK_AT_ONCE_BYTES;
        if is_step || is_small || (is_whole && arriving.finishes) {
            self.owe_ack(id);
        } else {
            self.owe_ack_later(now, id);
        }
        if is_whole && arriving.finishes {
            let records = arriving.record + u64::from(arriving.end_of_record);
            let end = arriving.offset + arriving.length;
            self.on_finish(now, id, end, records, Status::ok(), kind::DATA)?;
        } else if is_whole {
            self.tell_finish(now, id);
        }
        Ok(())
    }

    fn on_finish(
        &mut self,
        now: Time,
        id: StreamId,
        offset: u64,
        records: u64,
        status: Status,
        frame: u8,
    ) -> Result<(), Violation> {
        let Some(state) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        let fail = |got, expected| {
            Err(Violation::new(Rule::EndChanged, frame, got, expected).on(id, offset))
        };
        match &state.receive.end {
            ReceiveEnd::Finish { offset: known, .. } if *known != offset => {
                return fail(offset, *known);
            }
            ReceiveEnd::Finish { .. } | ReceiveEnd::Reset => {}
            ReceiveEnd::Open => {
                if offset < state.receive.received || records < state.receive.records {
                    return fail(offset, state.receive.received);
                }
                state.receive.end = ReceiveEnd::Finish {
                    status,
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
    fn tell_finish(&mut self, now: Time, id: StreamId) {
        let Some(state) = self.streams.get_mut(&id) else {
            return;
        };
        if let Some((status, offset)) = state.receive.reach_finish() {
            self.events.push_back(Event::Finished {
                stream: id,
                status,
                offset,
            });
            self.owe_ack(id);
            self.forget_if_over(now, id);
        }
    }

    fn on_reset(
        &mut self,
        now: Time,
        id: StreamId,
        offset: u64,
        status: Status,
    ) -> Result<(), Violation> {
        let Some(state) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        if offset < state.receive.received {
            let received = state.receive.received;
            let violation = Violation::new(Rule::EndChanged, kind::RESET, offset, received);
            return Err(violation.on(id, offset));
        }
        let lost = offset - state.receive.received;
        if self.received_total + lost > self.granted_total {
            let (total, granted) = (self.received_total + lost, self.granted_total);
            let violation = Violation::new(Rule::SessionCredit, kind::RESET, total, granted);
            return Err(violation.on(id, offset));
        }
        if !state.receive.has_ended() {
            state.receive.end = ReceiveEnd::Reset;
            // What was lost in flight counted against the session: it is returned at once.
            state.receive.received = offset;
            state.receive.consumed += lost;
            state.owes.stop = false;
            self.received_total += lost;
            self.consume_session(lost);
            let final_offset = offset;
            self.events.push_back(Event::Reset {
                stream: id,
                status,
                final_offset,
            });
        }
        self.owe_ack(id);
        self.forget_if_over(now, id);
        Ok(())
    }

    fn on_stop(&mut self, now: Time, id: StreamId, status: Status) {
        let Some(state) = self.streams.get_mut(&id) else {
            return;
        };
        state.is_known = true;
        if state.send.is_end_acked {
            return;
        }
        let stream = id;
        self.events.push_back(Event::StopRequested {
            stream,
            status: status.clone(),
        });
        self.reset(now, id, status);
    }

    /// What the peer says it has of a stream, in an ack or a resume.
    pub(crate) fn on_position(
        &mut self,
        now: Time,
        entry: &ResumeEntry,
        frame: u8,
    ) -> Result<(), Violation> {
        let id = entry.stream;
        let is_ours = id.opener() == self.side;
        let Some(state) = self.streams.get_mut(&id) else {
            let (known, index) = match is_ours {
                true => (self.opened, id.index()),
                false => (self.peer_opened, id.index()),
            };
            if index >= known {
                let violation = Violation::new(Rule::StreamUnknown, frame, index, known);
                return Err(violation.on(id, entry.received));
            }
            return Ok(());
        };
        let fail = |rule, got, expected| {
            Err(Violation::new(rule, frame, got, expected).on(id, entry.received))
        };
        let send = &mut state.send;
        if entry.received > send.sent_max {
            return fail(Rule::AckBeyondSent, entry.received, send.sent_max);
        }
        if entry.records > send.records {
            return fail(Rule::AckBeyondSent, entry.records, send.records);
        }
        let (acked, acked_records) = send.position();
        if entry.received < acked || entry.records < acked_records {
            if frame == kind::RESUME {
                // The bytes it wants again are gone: it had acked them (S4).
                let (wanted, kept) = (entry.received, acked);
                self.end_with(CloseReason::ReplayLost { wanted, kept });
                return Ok(());
            }
            return fail(Rule::AckBackwards, entry.received, acked);
        }
        state.is_known = true;
        let released = send.ack(entry.received, entry.records);
        send.credit = send.credit.max(entry.credit);
        let is_end_news = entry.end_known && !send.is_end_acked && send.has_end();
        send.is_end_acked |= entry.end_known && send.has_end();
        let is_consumed_news = entry.consumed > send.consumed;
        send.consumed = send.consumed.max(entry.consumed.min(send.sent_max));
        let consumed = send.consumed;
        if is_end_news {
            state.owes.finish = false;
            state.owes.reset = false;
        }
        if frame == kind::ACK {
            let unacked = &mut self.statistics.unacked_bytes;
            *unacked = unacked.saturating_sub(entry.received - acked);
        }
        self.release(released);
        let stream = id;
        if entry.received > acked {
            let offset = entry.received;
            self.events.push_back(Event::Acked { stream, offset });
        }
        if is_consumed_news {
            let offset = consumed;
            self.events.push_back(Event::Consumed { stream, offset });
        }
        if is_end_news {
            self.events.push_back(Event::FinishAcked { stream });
        }
        self.queue(id);
        self.forget_if_over(now, id);
        Ok(())
    }
}
