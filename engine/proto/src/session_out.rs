//! What goes to the network.

use crate::frame::Frame;
use crate::id::BodyId;
use crate::id::StreamId;
use crate::limit::{BODY_BYTES_MAX, CONTROL_BATCH_BYTES};
use crate::send_stream::SendEnd;
use crate::session::{Offer, Session, Transmit};
use crate::status::Status;
use crate::time::Time;

impl Session {
    /// The next thing to send: control frames, appended to `out` in a bounded batch, or a body of
    /// at most `body_max` bytes. While an offer is open, only control.
    ///
    /// Control never waits for credit or for bodies (W-4.5).
    pub fn poll_transmit(
        &mut self,
        now: Time,
        out: &mut Vec<u8>,
        body_max: u64,
    ) -> Option<Transmit> {
        if !self.is_attached {
            return None;
        }
        let before = out.len();
        self.emit_control(now, out);
        if out.len() > before {
            self.last_sent = now;
            return Some(Transmit::Control);
        }
        if self.offer.is_some() || self.closed.is_some() || self.resume_in.is_some() {
            return None;
        }
        self.next_body(now, out, body_max)
    }

    fn emit_control(&mut self, now: Time, out: &mut Vec<u8>) {
        if let Some(status) = self.owes_close.take() {
            self.emit(&Frame::Close(status), out);
            return;
        }
        if self.closed.is_some() {
            return;
        }
        let end = out.len() + CONTROL_BATCH_BYTES;
        while self.resume_out.is_some() && out.len() < end {
            self.emit_resume(now, out);
        }
        if std::mem::take(&mut self.owes_session_credit) {
            self.emit(&Frame::SessionCredit(self.granted_total), out);
        }
        if std::mem::take(&mut self.owes_stream_credit) {
            self.emit(&Frame::StreamCredit(self.peer_open_credit), out);
        }
        while let Some(token) = self.pongs.pop_front() {
            self.emit(&Frame::Pong(token), out);
        }
        if std::mem::take(&mut self.owes_ping) {
            self.emit(&Frame::Ping(now.as_ns()), out);
        }
        // Stream states are not to be mixed with the statements of a resume.
        while self.resume_out.is_none()
            && out.len() < end
            && let Some(id) = self.owing.pop_first()
        {
            self.emit_owed(now, id, out);
        }
        if self.owing.is_empty() && std::mem::take(&mut self.owes_drain) {
            self.emit(&Frame::Drain, out);
        }
    }

    /// Everything a stream owes, absolute.
    fn emit_owed(&mut self, now: Time, id: StreamId, out: &mut Vec<u8>) {
        let Some(state) = self.streams.get_mut(&id) else {
            return;
        };
        let owes = std::mem::take(&mut state.owes);
        let opens = id.opener() == self.side && !state.is_known;
        let mut frames = [None, None, None];
        // An ack for a stream the peer cannot know of would be one for a stranger; there is
        // nothing to ack either.
        if owes.ack && !opens {
            state.receive.unacked = 0;
            frames[0] = Some(Frame::Ack {
                stream: id,
                received: state.receive.received,
                records: state.receive.records,
                consumed: state.receive.consumed,
                credit: state.receive.credit,
                end_known: state.receive.has_ended(),
            });
        }
        if owes.stop
            && let Some(status) = &state.receive.stop
        {
            let (stream, status) = (id, status.clone());
            let opens = false;
            frames[1] = Some(Frame::Stop {
                stream,
                opens,
                status,
            });
        }
        let (offset, record, stream) = (state.send.accepted, state.send.records, id);
        frames[2] = match &state.send.end {
            SendEnd::Finish(status) if owes.finish => {
                state.send.is_finish_sent = true;
                let status = status.clone();
                Some(Frame::Finish {
                    stream,
                    offset,
                    record,
                    opens,
                    status,
                })
            }
            SendEnd::Reset(status, offset) if owes.reset => Some(Frame::Reset {
                stream,
                offset: *offset,
                opens,
                status: status.clone(),
            }),
            _ => None,
        };
        // What opens the stream goes first.
        if opens {
            frames.reverse();
        }
        for frame in frames.into_iter().flatten() {
            self.emit(&frame, out);
        }
        self.forget_if_over(now, id);
    }

    /// Offers the next body; empty records are sent as they are.
    fn next_body(&mut self, now: Time, out: &mut Vec<u8>, body_max: u64) -> Option<Transmit> {
        let before = out.len();
        for _ in 0..self.ready.len() {
            let id = *self.ready.front()?;
            let Some(cut) = self.streams.get(&id).and_then(|state| state.send.next()) else {
                self.ready.pop_front();
                if let Some(state) = self.streams.get_mut(&id) {
                    state.is_queued = false;
                }
                continue;
            };
            if cut.length == 0 {
                self.send_header(now, id, 0, out);
                self.rotate(id);
                if out.len() - before >= CONTROL_BATCH_BYTES {
                    break;
                }
                continue;
            }
            let length = cut.length.min(self.room(cut.offset, id)).min(body_max);
            let length = length.min(BODY_BYTES_MAX);
            if length == 0 {
                // The session's credit, or the cap on unacked bytes: others wait as well, unless
                // they only send again what was counted before.
                self.ready.rotate_left(1);
                continue;
            }
            if out.len() > before {
                break;
            }
            self.offer_serial += 1;
            let offer = Offer {
                serial: self.offer_serial,
                stream: id,
                body: cut.body,
                body_offset: cut.body_offset,
                length,
            };
            self.offer = Some(offer);
            return Some(Transmit::Body(offer));
        }
        (out.len() > before).then_some(Transmit::Control)
    }

    /// How many bytes at `offset` the session's credit and the cap on unacked bytes allow. What
    /// is sent again was counted before.
    fn room(&self, offset: u64, id: StreamId) -> u64 {
        let sent_max = self.streams.get(&id).map_or(0, |state| state.send.sent_max);
        let again = sent_max.saturating_sub(offset);
        let credit = self.session_credit.saturating_sub(self.sent_total);
        let cap = self.config.unacked_bytes_max.saturating_sub(self.unacked());
        again.saturating_add(credit).min(cap)
    }

    /// The header of a body of `length` bytes, at the stream's cursor.
    fn send_header(&mut self, now: Time, id: StreamId, length: u64, out: &mut Vec<u8>) {
        let Some(state) = self.streams.get_mut(&id) else {
            return;
        };
        let Some(cut) = state.send.next() else {
            return;
        };
        let end_of_record = cut.end_of_record && length == cut.length;
        let opens = id.opener() == self.side && !state.is_known;
        let (new, again) = state.send.advance(length);
        let is_ok = matches!(&state.send.end, SendEnd::Finish(status) if status.is_ok());
        let finishes = is_ok && state.send.is_finish_due();
        if finishes {
            state.send.is_finish_sent = true;
            state.owes.finish = false;
        }
        self.sent_total += new;
        self.statistics.new_bytes += new;
        self.statistics.replayed_bytes += again;
        self.statistics.unacked_bytes += length;
        self.last_sent = now;
        let frame = Frame::Data {
            stream: id,
            offset: cut.offset,
            record: cut.record,
            length: u32::try_from(length).unwrap_or(u32::MAX),
            opens,
            end_of_record,
            finishes,
        };
        self.emit(&frame, out);
        self.owe_finish(id);
    }

    /// The stream has had its turn.
    fn rotate(&mut self, id: StreamId) {
        if self.ready.front() == Some(&id) {
            self.ready.pop_front();
        }
        if let Some(state) = self.streams.get_mut(&id) {
            state.is_queued = false;
        }
        self.queue(id);
    }

    fn take_offer(&mut self, offer: Offer) -> bool {
        let is_open = self.offer.is_some_and(|open| open.serial == offer.serial);
        if is_open {
            self.offer = None;
        }
        is_open
    }

    /// The caller holds `length` bytes of the offered body (1 to the offer's length): appends the
    /// header to `out`; the caller sends it and the bytes behind it. False: the offer is void (the
    /// stream was reset, or the connection replaced), nothing is appended, the bytes are not to
    /// be sent.
    #[must_use]
    pub fn commit(&mut self, now: Time, offer: Offer, length: u64, out: &mut Vec<u8>) -> bool {
        let length = length.min(offer.length);
        if !self.take_offer(offer) || length == 0 {
            return false;
        }
        self.send_header(now, offer.stream, length, out);
        self.rotate(offer.stream);
        true
    }

    /// The caller holds nothing: the body will be offered again.
    pub fn withdraw(&mut self, offer: Offer) {
        self.take_offer(offer);
    }

    /// The payload `body` can deliver nothing beyond what was sent of it: what was accepted
    /// behind is dropped, and the direction finishes there with `status`.
    pub fn fail_source(&mut self, _now: Time, stream: StreamId, body: BodyId, status: Status) {
        let Some(state) = self.streams.get_mut(&stream) else {
            return;
        };
        if matches!(state.send.end, SendEnd::Reset(..)) {
            return;
        }
        let (dropped, shrunk) = state.send.truncate(body, status);
        self.sent_total -= shrunk;
        self.void_offer(stream);
        self.release(dropped);
        self.owe_finish(stream);
    }
}
