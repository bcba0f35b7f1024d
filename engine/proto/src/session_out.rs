//! What goes to the network.

use crate::body_checksum::{BodyChecksum, Trailer};
use crate::frame::Frame;
use crate::id::StreamId;
use crate::limit::{BODY_BYTES_MAX, CONTROL_BATCH_BYTES, UNACKED_RESERVED_PART};
use crate::link::Link;
use crate::ready::Lane;
use crate::send_stream::{Cut, SendEnd};
use crate::session::{Offer, Session, Transmit};
use crate::time::Time;

impl Session {
    /// The next thing to send on `link`: control frames, appended to `out` in a bounded batch, or a body of
    /// at most `body_max` bytes. While an offer is open, only control.
    ///
    /// Control never waits for credit or for bodies (W-4.5).
    pub fn poll_transmit(
        &mut self,
        now: Time,
        link: Link,
        out: &mut Vec<u8>,
        body_max: u64,
    ) -> Option<Transmit> {
        if !self.is_attached {
            return None;
        }
        let before = out.len();
        match link.is_bulk() {
            true => self.emit_liveness(link, out),
            false => self.emit_control(now, out),
        }
        let state = self.link_mut(link)?;
        if out.len() > before {
            state.last_sent = now;
            return Some(Transmit::Control);
        }
        if state.offer.is_some() || self.closed.is_some() || self.resume_in.is_some() {
            return None;
        }
        self.next_body(now, link, out, body_max)
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
        if let Some(granted) = self.credit.take_owed() {
            self.emit(&Frame::SessionCredit(granted), out);
        }
        if std::mem::take(&mut self.owes_stream_credit) {
            self.emit(&Frame::StreamCredit(self.peer_open_credit), out);
        }
        if std::mem::take(&mut self.bulk.is_owed) {
            let (takes, wanted) = self.bulk_statement();
            self.emit(&Frame::Bulk { takes, wanted }, out);
        }
        self.emit_liveness(Link::MESSAGE, out);
        // Stream states are not to be mixed with the statements of a resume.
        while self.resume_out.is_none()
            && out.len() < end
            && let Some(id) = self.owing.pop_first()
        {
            self.emit_owed(now, id, out);
        }
        let is_all_said = self.owing.is_empty() && self.resume_in.is_none();
        if is_all_said && std::mem::take(&mut self.owes_drain) {
            self.emit(&Frame::Drain, out);
        }
    }

    /// Signs of life, and pings behind what was sent of aborted streams.
    fn emit_liveness(&mut self, link: Link, out: &mut Vec<u8>) {
        if self.closed.is_some() {
            return;
        }
        let fence = self.take_fence_ping(link);
        let token = self.ping_serial;
        let Some(state) = self.link_mut(link) else {
            return;
        };
        let pongs = std::mem::take(&mut state.pongs);
        let ping = std::mem::take(&mut state.owes_ping).then_some(token);
        for token in pongs {
            self.emit(&Frame::Pong(token), out);
        }
        if let Some(token) = fence.or(ping) {
            self.emit(&Frame::Ping(token), out);
        }
    }

    /// Everything a stream owes, absolute.
    fn emit_owed(&mut self, now: Time, id: StreamId, out: &mut Vec<u8>) {
        self.renew(id);
        if !self.is_settled(id) {
            // Owed again as soon as it is known what the peer has.
            return;
        }
        let Some(state) = self.streams.get_mut(&id) else {
            return;
        };
        let owes = std::mem::take(&mut state.owes);
        let opens = id.opener() == self.side && !state.is_known;
        let opening = (owes.open && opens && !state.is_opening_sent).then(|| Frame::opening(id));
        let declaration = owes.lossy.then_some(Frame::Gap {
            stream: id,
            offset: 0,
            record: 0,
            opens,
            next_offset: 0,
            next_record: 0,
        });
        // While the peer may not know the stream, nothing of it was received either.
        let ack = (owes.ack && !opens).then(|| state.receive.position(id));
        let stop = state.receive.stop.as_deref().filter(|_| owes.stop);
        let stop = stop.map(|status| Frame::Stop {
            stream: id,
            opens,
            status: status.clone(),
        });
        let end = state.send.emit_end(id, opens, owes);
        // First says that it is lossy, before what else opens it.
        let frames = [declaration, opening, stop, end];
        state.is_opening_sent |= frames.iter().any(Option::is_some);
        if let Some(entry) = ack {
            state.receive.unacked = 0;
            self.emit(&Frame::ack(&entry), out);
        }
        for frame in frames.into_iter().flatten() {
            self.emit(&frame, out);
        }
        self.forget_if_over(now, id);
    }

    /// Offers the next body; empty records are sent as they are.
    fn next_body(
        &mut self,
        now: Time,
        link: Link,
        out: &mut Vec<u8>,
        body_max: u64,
    ) -> Option<Transmit> {
        let before = out.len();
        while out.len() - before < CONTROL_BATCH_BYTES {
            let has_credit = self.credit_room(link) > 0;
            let Some((lane, id)) = self.link(link)?.ready.front(has_credit) else {
                break;
            };
            if lane == Lane::Free && self.send_gap(id, out) {
                self.link_mut(link)?.last_sent = now;
                self.rotate(link, id);
                continue;
            }
            // What is next may have changed since it stood in line, and with it the link.
            let cut = self.next_cut(id, lane);
            let Some(cut) = cut.filter(|_| self.assign(id) == link) else {
                self.rotate(link, id);
                continue;
            };
            if cut.length == 0 {
                self.send_header(now, link, id, (0, Trailer::None), out);
                self.rotate(link, id);
                continue;
            }
            if out.len() > before {
                break;
            }
            let free = self.free_bytes(id, cut.offset);
            let length = cut.length.min(self.room(link, free)).min(body_max);
            let length = length.min(BODY_BYTES_MAX);
            if length == 0 {
                // The cap on unacked bytes: it holds for all.
                break;
            }
            self.offer_serial += 1;
            let offer = Offer {
                serial: self.offer_serial,
                link,
                stream: id,
                body: cut.body,
                body_offset: cut.body_offset,
                length,
                charge: length.saturating_sub(free),
            };
            self.link_mut(link)?.offer = Some(offer);
            return Some(Transmit::Body(offer));
        }
        (out.len() > before).then_some(Transmit::Control)
    }

    /// The next piece of a stream, if it still stands where it belongs.
    fn next_cut(&self, id: StreamId, lane: Lane) -> Option<Cut> {
        let send = &self.streams.get(&id)?.send;
        send.next().filter(|_| send.lane() == Some(lane))
    }

    /// How many bytes of a stream from `offset` on need no session credit. What is sent again was
    /// counted before.
    fn free_bytes(&self, id: StreamId, offset: u64) -> u64 {
        let state = self.streams.get(&id);
        state.map_or(0, |state| state.send.free_bytes(offset))
    }

    /// The session's credit, less what offers that are open on other links may use up.
    fn credit_room(&self, link: Link) -> u64 {
        let offered = self.offered_elsewhere(link).map(|offer| offer.charge);
        self.credit.room().saturating_sub(offered.sum())
    }

    /// How many bytes the session's credit and the cap on unacked bytes allow, where `free` of
    /// them need no credit.
    fn room(&self, link: Link, free: u64) -> u64 {
        let offered = self.offered_elsewhere(link).map(|offer| offer.length);
        let used = self.statistics.unacked_bytes + offered.sum::<u64>();
        let cap = self.config.unacked_bytes_max;
        let kept_free = match link.is_bulk() {
            true => cap / UNACKED_RESERVED_PART,
            false => 0,
        };
        let room = free.saturating_add(self.credit_room(link));
        room.min((cap - kept_free).saturating_sub(used))
    }

    fn offered_elsewhere(&self, link: Link) -> impl Iterator<Item = Offer> {
        let others = self.links.iter().enumerate();
        others
            .filter(move |(index, _)| *index != link.index())
            .filter_map(|(_, state)| state.offer)
    }

    /// The header of a body of `length` bytes, at the stream's cursor.
    fn send_header(
        &mut self,
        now: Time,
        link: Link,
        id: StreamId,
        (length, trailer): (u64, Trailer),
        out: &mut Vec<u8>,
    ) {
        let Some(state) = self.streams.get_mut(&id) else {
            return;
        };
        let send = &mut state.send;
        let Some(cut) = send.next() else {
            return;
        };
        let end_of_record = cut.end_of_record && length == cut.length;
        let opens = !link.is_bulk() && id.opener() == self.side && !state.is_known;
        state.is_opening_sent |= opens;
        let sent_max = send.sent_max;
        let (new, again) = send.advance(length);
        let is_wait_news = send.is_wait_news();
        self.credit.send(sent_max, send.sent_max);
        let is_ok = matches!(&send.end, SendEnd::Finish(status) if status.is_ok());
        let finishes = is_ok && send.is_finish_due();
        if finishes {
            send.is_finish_sent = true;
            send.is_end_sent = true;
            state.owes.finish = false;
        }
        self.statistics.new_bytes += new;
        self.statistics.replayed_bytes += again;
        self.statistics.unacked_bytes += length;
        self.statistics.bulk_bytes += if link.is_bulk() { length } else { 0 };
        if let Some(state) = self.link_mut(link) {
            state.last_sent = now;
        }
        if new > 0 {
            self.watch_new_byte(now);
        }
        if is_wait_news {
            self.watch_credit(now, id);
        }
        let frame = Frame::Data {
            stream: id,
            offset: cut.offset,
            record: cut.record,
            length: u32::try_from(length).unwrap_or(u32::MAX),
            opens,
            end_of_record,
            finishes,
            trailer: trailer == Trailer::Behind,
        };
        self.emit(&frame, out);
        self.owe_finish(id);
    }

    /// The stream has had its turn.
    fn rotate(&mut self, link: Link, id: StreamId) {
        if let Some(state) = self.link_mut(link) {
            state.ready.pop(id);
        }
        if let Some(state) = self.streams.get_mut(&id) {
            state.is_queued = false;
        }
        self.queue(id);
    }

    fn take_offer(&mut self, offer: Offer) -> bool {
        let Some(state) = self.link_mut(offer.link) else {
            return false;
        };
        let is_open = |open: Offer| open.serial == offer.serial;
        if !state.offer.is_some_and(is_open) {
            return false;
        }
        state.offer = None;
        true
    }

    /// The caller holds `length` bytes of the offered body (1 to the offer's length): appends the
    /// header to `out`; the caller sends it, and behind it the bytes and what `trailer` says.
    /// False: the offer is void (the stream was reset, or the connection replaced) or checksums
    /// were not agreed; nothing is appended, the bytes are not to be sent.
    #[must_use]
    pub fn commit(
        &mut self,
        now: Time,
        offer: Offer,
        length: u64,
        trailer: Trailer,
        out: &mut Vec<u8>,
    ) -> bool {
        let length = length.min(offer.length);
        let is_agreed = trailer == Trailer::None || self.body_checksum() != BodyChecksum::Off;
        if !self.take_offer(offer) || length == 0 || !is_agreed {
            return false;
        }
        let (link, stream) = (offer.link, offer.stream);
        self.send_header(now, link, stream, (length, trailer), out);
        self.rotate(link, stream);
        true
    }

    /// The caller holds nothing: the body will be offered again, after those of other streams.
    pub fn withdraw(&mut self, offer: Offer) {
        if self.take_offer(offer) {
            self.rotate(offer.link, offer.stream);
        }
    }
}
