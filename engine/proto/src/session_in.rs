//! What comes from the network: frames, and what they say about streams (bodies: `arriving`).

use crate::arriving::Arriving;
use crate::close_reason::CloseReason;
use crate::event::Event;
use crate::frame::{Frame, FrameError, ResumeEntry, kind};
use crate::id::StreamId;
use crate::incoming::{Next, Parsed};
use crate::limit::PONGS_MAX;
use crate::link::Link;
use crate::send_stream::{SendEnd, SendStream};
use crate::session::Session;
use crate::status::Status;
use crate::time::Time;
use crate::violation::{Rule, Violation};

impl Session {
    /// Parses frames from `bytes`, which came on `link`, until they are used up or a body comes. Call it with what
    /// follows a body only after all of that body was reported.
    ///
    /// # Errors
    /// [`Violation`]: call [`violated`](Self::violated), send what is left, drop the connection.
    pub fn handle_bytes(
        &mut self,
        now: Time,
        link: Link,
        bytes: &[u8],
    ) -> Result<Parsed, Violation> {
        self.heard(now, link);
        if self.link(link).is_some_and(|state| state.waiting.is_some()) {
            let (consumed, next) = (0, Next::Wait);
            return Ok(Parsed { consumed, next });
        }
        let mut consumed = 0;
        loop {
            if self.closed.is_some() || self.link(link).is_none() {
                // Nothing is expected any more; what still comes is not looked at.
                let next = Next::More(crate::frame::HEADER_BYTES);
                let consumed = bytes.len();
                return Ok(Parsed { consumed, next });
            }
            match Frame::parse(&bytes[consumed..]) {
                Ok((frame, size)) => {
                    consumed += size;
                    self.statistics.frames_received += 1;
                    check_place(link, &frame)?;
                    if let Some(next) = self.on_frame(now, link, frame)? {
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

    fn on_frame(&mut self, now: Time, link: Link, frame: Frame) -> Result<Option<Next>, Violation> {
        match frame {
            Frame::Data {
                stream,
                offset,
                record,
                length,
                opens,
                end_of_record,
                finishes,
                trailer,
            } => {
                let arriving = Arriving {
                    stream,
                    offset,
                    record,
                    length: length.into(),
                    taken: 0,
                    end_of_record,
                    finishes,
                    trailer,
                    is_verified: !trailer,
                    is_stale: false,
                };
                return self.begin_data(link, arriving, opens).map(Some);
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
            Frame::SessionCredit(credit) => self.credit.allow(credit),
            Frame::StreamCredit(credit) => {
                self.open_credit = self.open_credit.max(credit);
                self.unblock_open();
            }
            frame @ (Frame::Finish { .. }
            | Frame::Reset { .. }
            | Frame::Stop { .. }
            | Frame::Gap { .. }) => self.on_stream_frame(now, frame)?,
            Frame::Ping(token) => self.on_ping(link, token),
            Frame::Pong(token) => self.on_pong(now, link, token),
            Frame::Bulk { takes, wanted } => self.on_bulk(takes, wanted)?,
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

    /// Control of one stream by its sender, or a stop by its receiver: each may open it.
    #[expect(
        clippy::collapsible_match,
        reason = "opening a stream in a guard is overlooked"
    )]
    fn on_stream_frame(&mut self, now: Time, frame: Frame) -> Result<(), Violation> {
        match frame {
            Frame::Finish {
                stream,
                offset,
                record,
                opens,
                status,
            } => {
                if self.find_or_open(stream, opens, kind::FINISH, offset)? {
                    self.on_finish(now, stream, (offset, record), status, kind::FINISH)?;
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
            Frame::Stop {
                stream,
                opens,
                status,
            } => {
                if self.find_or_open(stream, opens, kind::STOP, 0)? {
                    self.on_stop(now, stream, status);
                }
            }
            Frame::Gap {
                stream,
                offset,
                record,
                opens,
                next_offset,
                next_record,
            } => {
                if self.find_or_open(stream, opens, kind::GAP, offset)? {
                    let (from, to) = ((offset, record), (next_offset, next_record));
                    self.on_gap(now, stream, from, to)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn on_ping(&mut self, link: Link, token: u64) {
        if let Some(state) = self.link_mut(link)
            && state.pongs.len() < PONGS_MAX
        {
            state.pongs.push_back(token);
        }
    }

    /// Whether the stream lives here, after opening it if the frame does. False: it has ended.
    pub(crate) fn find_or_open(
        &mut self,
        id: StreamId,
        opens: bool,
        frame: u8,
        offset: u64,
    ) -> Result<bool, Violation> {
        let set = self.set;
        if let Some(state) = self.streams.get_mut(&id) {
            state.is_known = true;
            if state.set != set {
                self.renew(id);
            }
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

    fn on_stop(&mut self, now: Time, id: StreamId, status: Status) {
        let Some(state) = self.streams.get_mut(&id) else {
            return;
        };
        let send = &mut state.send;
        let is_news =
            !send.is_end_acked && send.stopped.is_none() && !matches!(send.end, SendEnd::Reset(..));
        if !is_news {
            return;
        }
        send.stopped = Some(Box::new(status.clone()));
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
        self.renew(id);
        let Some(state) = self.streams.get_mut(&id) else {
            return self.check_known(entry, frame);
        };
        let send = &mut state.send;
        check_position(send, entry, frame)?;
        let (acked, acked_records) = send.position();
        if entry.received < acked || entry.records < acked_records {
            if frame == kind::RESUME {
                // The bytes it wants again are gone: it had acked them.
                self.replay_lost(entry.received, acked);
                return Ok(());
            }
            let violation = Violation::new(Rule::AckBackwards, frame, entry.received, acked);
            return Err(violation.on(id, entry.received));
        }
        state.is_known = true;
        if frame == kind::ACK
            && let Some(gaps) = &mut send.gaps
        {
            // It acks something of this stream, and that came behind the declaration.
            gaps.is_declared = true;
        }
        send.credit = send.credit.max(entry.credit);
        let is_end_news = entry.end_known && !send.is_end_acked;
        send.is_end_acked |= entry.end_known;
        let is_wait_news = send.is_wait_news();
        let is_consumed_news = entry.consumed > send.consumed;
        send.consumed = send.consumed.max(entry.consumed);
        send.gaps_consumed();
        if is_end_news {
            state.owes.finish = false;
            state.owes.reset = false;
        }
        self.acknowledge(id, entry.received, entry.records);
        let stream = id;
        if entry.received > acked {
            let offset = entry.received;
            self.events.push_back(Event::Acked { stream, offset });
        }
        if is_consumed_news {
            let offset = entry.consumed;
            self.events.push_back(Event::Consumed { stream, offset });
        }
        if is_end_news {
            self.events.push_back(Event::FinishAcked { stream });
            self.tell_fenced(id);
        }
        self.queue(id);
        if is_wait_news {
            self.watch_credit(now, id);
        }
        self.forget_if_over(now, id);
        Ok(())
    }

    /// A stream that does not live here has ended, or was never opened.
    pub(crate) fn check_known(&self, entry: &ResumeEntry, frame: u8) -> Result<(), Violation> {
        let (id, index) = (entry.stream, entry.stream.index());
        let known = match id.opener() == self.side {
            true => self.opened,
            false => self.peer_opened,
        };
        if index < known {
            return Ok(());
        }
        let violation = Violation::new(Rule::StreamUnknown, frame, index, known);
        Err(violation.on(id, entry.received))
    }
}

/// Whether a frame may come on this link: a bulk connection carries bodies and signs of life, and
/// opens no stream (W-2.8).
fn check_place(link: Link, frame: &Frame) -> Result<(), Violation> {
    let is_allowed = match frame {
        Frame::Data { opens, .. } => !opens,
        Frame::Ping(_) | Frame::Pong(_) => true,
        _ => false,
    };
    if is_allowed || !link.is_bulk() {
        return Ok(());
    }
    let number = u64::from(link.number());
    Err(Violation::new(Rule::Misplaced, frame.kind(), number, 0))
}

/// Whether the peer claims no more than it was given.
fn check_position(send: &SendStream, entry: &ResumeEntry, frame: u8) -> Result<(), Violation> {
    let fail = |got, expected| {
        let violation = Violation::new(Rule::AckBeyondSent, frame, got, expected);
        Err(violation.on(entry.stream, entry.received))
    };
    if entry.received > send.sent_max {
        return fail(entry.received, send.sent_max);
    }
    if entry.records > send.records_sent_max {
        return fail(entry.records, send.records_sent_max);
    }
    if entry.consumed > entry.received {
        return fail(entry.consumed, entry.received);
    }
    if entry.end_known && !send.is_end_sent {
        return fail(1, 0);
    }
    // A finish is known only with everything before it.
    if entry.end_known && matches!(send.end, SendEnd::Finish(_)) {
        if entry.received != send.accepted {
            return fail(entry.received, send.accepted);
        }
        if entry.records != send.records {
            return fail(entry.records, send.records);
        }
    }
    Ok(())
}
