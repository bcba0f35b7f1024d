//! One end: a session, the payloads it sends, and what its application has received.

use std::collections::{BTreeMap, BTreeSet};

use ringway_proto::{
    BodyChecksum, BodyId, BodyKind, Established, Event, Incoming, Link, Next, Offer, SendError,
    Session, SessionConfig, SessionId, Side, Status, StreamId, StreamOptions, TRAILER_BYTES, Time,
    Trailer, Transmit, Violation,
};

/// What was given to a stream to send.
#[derive(Debug, Default)]
pub struct Sent {
    pub bytes: Vec<u8>,
    /// Offsets at which records end.
    pub records: Vec<u64>,
    pub finish: Option<Status>,
    pub is_reset: bool,
    pub failure: Option<Status>,
}

/// What came of a stream.
#[derive(Debug, Default)]
pub struct Received {
    pub bytes: Vec<u8>,
    pub records: Vec<u64>,
    pub consumed: u64,
    /// From, to and records of what was left out; `bytes` has zeros there.
    pub gaps: Vec<(u64, u64, u64)>,
    pub finished: Option<(Status, u64)>,
    pub reset: Option<(Status, u64)>,
}

pub struct End {
    side: Side,
    pub session: Session,
    pub sent: BTreeMap<StreamId, Sent>,
    pub received: BTreeMap<StreamId, Received>,
    pub opened: BTreeSet<StreamId>,
    pub ended: BTreeSet<StreamId>,
    pub stopped: BTreeMap<StreamId, Status>,
    pub fenced: BTreeSet<StreamId>,
    pub events: Vec<Event>,
    pub acked: BTreeMap<StreamId, u64>,
    bodies: BTreeMap<BodyId, (StreamId, Vec<u8>)>,
    bodies_made: u64,
    /// Its peer is a test that makes up bytes.
    pub is_fed_by_hand: bool,
    /// The message connection first, then the bulk connections.
    connections: Vec<Connection>,
}

/// What is under way on one connection.
#[derive(Debug, Default)]
struct Connection {
    rest: Vec<u8>,
    unchecked: Vec<u8>,
    arriving: Option<(Incoming, u64)>,
    is_waiting: bool,
    offer: Option<Offer>,
}

/// Payload bytes that differ by stream, side and offset.
fn pattern(side: Side, stream: StreamId, start: usize, length: usize) -> Vec<u8> {
    let salt = stream.0 * 31 + u64::from(side == Side::Dialer) * 101;
    let byte = |at: usize| (((at as u64).wrapping_mul(2_654_435_761) >> 7) ^ salt) as u8;
    (start..start + length).map(byte).collect()
}

impl Received {
    /// Where the last record, or gap, ended.
    fn last_boundary(&self) -> u64 {
        let record = self.records.last().copied().unwrap_or(0);
        self.gaps.last().map_or(record, |gap| gap.1.max(record))
    }

    /// Whole records, each without a gap in it, and as many as there were with those in gaps.
    pub fn check_gaps(&self, sent: &Sent) {
        for &end in &self.records {
            // Of several that end here the last: the others are empty, or were left out.
            let behind = sent.records.partition_point(|&other| other <= end);
            let at = behind.checked_sub(1).expect("a record that was sent");
            assert_eq!(sent.records[at], end, "a record that was sent");
            let start = at.checked_sub(1).map_or(0, |before| sent.records[before]);
            let is_hit = |gap: &&(u64, u64, u64)| gap.0 < end && gap.1 > start;
            assert_eq!(
                self.gaps.iter().find(is_hit),
                None,
                "a record with a gap in it"
            );
        }
        for &(from, to, _) in &self.gaps {
            let is_boundary = |at| at == 0 || sent.records.binary_search(&at).is_ok();
            assert!(is_boundary(from) && is_boundary(to), "whole records");
        }
    }

    /// Records received, and left out.
    pub fn records_passed(&self) -> u64 {
        let left_out = self.gaps.iter().map(|gap| gap.2);
        self.records.len() as u64 + left_out.sum::<u64>()
    }
}

impl End {
    pub fn new(side: Side, id: SessionId, config: &SessionConfig, now: Time) -> Self {
        Self {
            side,
            session: Session::new(side, id, config.clone(), now),
            sent: BTreeMap::new(),
            received: BTreeMap::new(),
            opened: BTreeSet::new(),
            ended: BTreeSet::new(),
            stopped: BTreeMap::new(),
            fenced: BTreeSet::new(),
            events: Vec::new(),
            acked: BTreeMap::new(),
            bodies: BTreeMap::new(),
            bodies_made: 0,
            is_fed_by_hand: false,
            connections: vec![Connection::default()],
        }
    }

    // --- the application -----------------------------------------------------------------------

    pub fn open(&mut self, now: Time) -> Option<StreamId> {
        self.open_with(now, StreamOptions::default())
    }

    pub fn open_with(&mut self, now: Time, options: StreamOptions) -> Option<StreamId> {
        let id = self.session.open(now, options).ok()?;
        self.note_open(id);
        Some(id)
    }

    fn note_open(&mut self, id: StreamId) {
        assert!(self.opened.insert(id), "{id} opened twice");
        self.sent.entry(id).or_default();
        self.received.entry(id).or_default();
    }

    pub fn send(
        &mut self,
        now: Time,
        side: Side,
        id: StreamId,
        length: usize,
        kind: BodyKind,
        end_of_record: bool,
    ) -> Result<u64, SendError> {
        let sent = self.sent.entry(id).or_default();
        let bytes = pattern(side, id, sent.bytes.len(), length);
        let body = BodyId(self.bodies_made);
        let end = self
            .session
            .send(now, id, body, length as u64, kind, end_of_record)?;
        self.bodies_made += 1;
        sent.bytes.extend_from_slice(&bytes);
        assert_eq!(end, sent.bytes.len() as u64);
        if end_of_record {
            sent.records.push(end);
        }
        assert!(self.bodies.insert(body, (id, bytes)).is_none());
        Ok(end)
    }

    pub fn finish(&mut self, now: Time, id: StreamId, status: Status) {
        if self.session.finish(now, id, status.clone()).is_ok() {
            self.sent.entry(id).or_default().finish = Some(status);
        }
    }

    pub fn reset(&mut self, now: Time, id: StreamId) {
        if self.session.progress(id).is_some() {
            self.session.reset(now, id, Status::new(1001, "reset"));
            self.sent.entry(id).or_default().is_reset = true;
        }
    }

    /// The payload under the offer, or the oldest one retained, fails.
    pub fn fail_source(&mut self, now: Time, id: StreamId, body: BodyId, status: Status) {
        if let Some(sent) = self.sent.get_mut(&id)
            && !sent.is_reset
        {
            sent.failure.get_or_insert(status.clone());
            self.session.fail_source(now, id, body, status);
        }
    }

    pub fn retained(&self) -> Vec<BodyId> {
        self.bodies.keys().copied().collect()
    }

    pub fn owner(&self, body: BodyId) -> Option<StreamId> {
        self.bodies.get(&body).map(|(stream, _)| *stream)
    }

    pub fn consume(&mut self, now: Time, id: StreamId, bytes: u64) {
        let Some(received) = self.received.get_mut(&id) else {
            return;
        };
        let bytes = bytes.min(received.bytes.len() as u64 - received.consumed);
        received.consumed += bytes;
        self.session.consume(now, id, bytes);
    }

    // --- connections ---------------------------------------------------------------------------

    /// All of them; an offer that is open stays with whoever loads it, and is void.
    pub fn forget_connections(&mut self) {
        let offer = self.connections[0].offer;
        self.connections = vec![Connection {
            offer,
            ..Connection::default()
        }];
    }

    pub fn attach_bulk(&mut self, now: Time, established: &Established) -> Link {
        let link = self.session.attach_bulk(now, established).expect("allowed");
        self.connections.push(Connection::default());
        assert_eq!(usize::from(link.number()) + 1, self.connections.len());
        link
    }

    pub fn offer(&self) -> Option<Offer> {
        self.connections[0].offer
    }

    pub fn take_offer(&mut self) -> Option<Offer> {
        self.connections[0].offer.take()
    }

    fn at(&mut self, link: Link) -> &mut Connection {
        &mut self.connections[usize::from(link.number())]
    }

    /// Gives the session what arrived; bodies are taken as they come, in parts.
    pub fn take(&mut self, now: Time, link: Link, bytes: &[u8]) -> Result<(), Violation> {
        let mut bytes = bytes.to_vec();
        loop {
            if self.at(link).is_waiting {
                self.at(link).rest.append(&mut bytes);
                return Ok(());
            }
            if self.at(link).arriving.is_some() {
                let used = self.take_body(now, link, &bytes)?;
                bytes.drain(..used);
                if self.at(link).arriving.is_some() {
                    return Ok(());
                }
            }
            let mut given = std::mem::take(&mut self.at(link).rest);
            given.append(&mut bytes);
            let parsed = self.session.handle_bytes(now, link, &given)?;
            // A gap stands before the body that follows it.
            self.drain_events();
            let behind = given.split_off(parsed.consumed);
            match parsed.next {
                Next::More(missing) => {
                    assert!(missing > 0);
                    self.at(link).rest = behind;
                    return Ok(());
                }
                Next::Wait => {
                    assert!(link.is_bulk(), "messages never wait");
                    self.at(link).rest = behind;
                    self.at(link).is_waiting = true;
                    return Ok(());
                }
                Next::Body(incoming) => {
                    bytes = behind;
                    self.begin_body(now, link, incoming)?;
                }
            }
        }
    }

    fn begin_body(&mut self, now: Time, link: Link, incoming: Incoming) -> Result<(), Violation> {
        self.at(link).arriving = Some((incoming, 0));
        if incoming.length == 0 {
            self.take_body(now, link, &[])?;
        }
        Ok(())
    }

    /// Goes on with bodies that waited; true if there was one.
    pub fn take_arrivals(&mut self, now: Time) -> bool {
        let Some((link, incoming)) = self.session.poll_arrival(now) else {
            return false;
        };
        let incoming = incoming.expect("no violation between honest ends");
        assert!(std::mem::take(&mut self.at(link).is_waiting));
        self.begin_body(now, link, incoming).expect("no violation");
        let rest = std::mem::take(&mut self.at(link).rest);
        self.take(now, link, &rest).expect("no violation");
        true
    }

    fn take_body(&mut self, now: Time, link: Link, bytes: &[u8]) -> Result<usize, Violation> {
        if self
            .at(link)
            .arriving
            .is_some_and(|(incoming, _)| incoming.trailer)
        {
            return self.take_checked_body(now, link, bytes);
        }
        self.take_plain_body(now, link, bytes)
    }

    /// Nothing of it is told before its checksum has come.
    fn take_checked_body(
        &mut self,
        now: Time,
        link: Link,
        bytes: &[u8],
    ) -> Result<usize, Violation> {
        let connection = self.at(link);
        let Some((incoming, _)) = connection.arriving else {
            return Ok(0);
        };
        let missing = incoming.length as usize + TRAILER_BYTES - connection.unchecked.len();
        let count = missing.min(bytes.len());
        connection.unchecked.extend_from_slice(&bytes[..count]);
        if count < missing {
            return Ok(count);
        }
        let mut body = std::mem::take(&mut connection.unchecked);
        let trailer = body.split_off(incoming.length as usize);
        let received = u32::from_le_bytes(trailer.try_into().expect("four bytes"));
        self.session
            .handle_trailer(now, link, received, crc32c::crc32c(&body))?;
        self.take_plain_body(now, link, &body)?;
        Ok(count)
    }

    fn take_plain_body(&mut self, now: Time, link: Link, bytes: &[u8]) -> Result<usize, Violation> {
        let Some((incoming, taken)) = self.at(link).arriving else {
            return Ok(0);
        };
        let count = bytes.len().min((incoming.length - taken) as usize);
        if count == 0 && incoming.length > 0 {
            return Ok(0);
        }
        let peer = self.side.other();
        let received = self.received.entry(incoming.stream).or_default();
        // Of a direction that was aborted meanwhile, nothing more is of use.
        let fresh = match received.reset {
            Some(_) => count,
            None => (incoming.skip.saturating_sub(taken) as usize).min(count),
        };
        if fresh < count {
            let at = incoming.offset + taken.saturating_sub(incoming.skip);
            assert_eq!(at, received.bytes.len() as u64, "a gap or a double");
            let fresh = &bytes[fresh..count];
            let expected = pattern(peer, incoming.stream, at as usize, fresh.len());
            assert!(self.is_fed_by_hand || expected == fresh, "altered");
            received.bytes.extend_from_slice(fresh);
        }
        let taken = taken + count as u64;
        let is_whole = taken == incoming.length;
        if is_whole && incoming.end_of_record && received.reset.is_none() {
            received.records.push(received.bytes.len() as u64);
        }
        self.at(link).arriving = (!is_whole).then_some((incoming, taken));
        self.session.handle_body(now, link, count as u64)?;
        Ok(count)
    }

    /// Appends to `wire` what the session wants to send on `link` until it holds `limit` bytes.
    /// `held` says of an offer's length how much of it is held: 0 withdraws it, `None` keeps it
    /// open.
    pub fn pump(
        &mut self,
        now: Time,
        link: Link,
        wire: &mut Vec<u8>,
        (limit, body_max): (usize, u64),
        mut held: impl FnMut(u64) -> Option<u64>,
    ) {
        let mut withdrawn = 0;
        while wire.len() < limit && withdrawn < 3 {
            if let Some(offer) = self.at(link).offer.take() {
                match held(offer.length) {
                    None => self.at(link).offer = Some(offer),
                    Some(0) => {
                        withdrawn += 1;
                        self.session.withdraw(offer);
                    }
                    Some(length) => self.commit(now, offer, length, wire),
                }
            }
            match self.session.poll_transmit(now, link, wire, body_max) {
                None => return,
                Some(Transmit::Control) => {}
                Some(Transmit::Body(offer)) => {
                    assert!(offer.length > 0 && offer.length <= body_max);
                    assert!(
                        self.bodies.contains_key(&offer.body),
                        "released, but offered"
                    );
                    assert_eq!(offer.link, link);
                    self.at(link).offer = Some(offer);
                }
            }
        }
    }

    fn commit(&mut self, now: Time, offer: Offer, length: u64, wire: &mut Vec<u8>) {
        let length = length.min(offer.length);
        let before = wire.len();
        let trailer = match self.session.body_checksum() {
            BodyChecksum::Off => Trailer::None,
            BodyChecksum::Auto | BodyChecksum::Always => Trailer::Behind,
        };
        if self.session.commit(now, offer, length, trailer, wire) {
            assert!(wire.len() > before, "a header");
            let (_, body) = &self.bodies[&offer.body];
            let start = offer.body_offset as usize;
            let part = &body[start..start + length as usize];
            wire.extend_from_slice(part);
            if trailer == Trailer::Behind {
                wire.extend_from_slice(&crc32c::crc32c(part).to_le_bytes());
            }
        } else {
            assert_eq!(wire.len(), before);
        }
    }

    // --- events --------------------------------------------------------------------------------

    /// Events, and bodies that may be taken now, until there are no more.
    pub fn drain(&mut self, now: Time) {
        loop {
            self.drain_events();
            if !self.take_arrivals(now) {
                return;
            }
        }
    }

    fn drain_events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            self.on_event(&event);
            self.events.push(event);
        }
    }

    fn on_gap(&mut self, id: StreamId, offset: u64, bytes: u64, records: u64, is_cut: bool) {
        let received = self.received.get_mut(&id).expect("opened before");
        assert_eq!(offset, received.bytes.len() as u64, "in its place");
        let begun = received.last_boundary() < offset;
        assert!((begun, bytes + u64::from(begun) > 0, records > 0) == (is_cut, true, true));
        // What had come of a record is given up.
        let from = received.last_boundary();
        received.gaps.push((from, offset + bytes, records));
        received.bytes.resize((offset + bytes) as usize, 0);
    }

    fn on_event(&mut self, event: &Event) {
        match event {
            Event::Opened(id) => self.note_open(*id),
            Event::Finished {
                stream,
                status,
                offset,
            } => {
                let received = self.received.get_mut(stream).expect("opened before");
                assert!(received.finished.is_none() && received.reset.is_none());
                assert_eq!(*offset, received.bytes.len() as u64, "told with every byte");
                received.finished = Some((status.clone(), *offset));
            }
            Event::Reset {
                stream,
                status,
                final_offset,
            } => {
                let received = self.received.get_mut(stream).expect("opened before");
                assert!(received.finished.is_none() && received.reset.is_none());
                assert!(*final_offset >= received.bytes.len() as u64);
                received.reset = Some((status.clone(), *final_offset));
            }
            Event::Gap {
                stream,
                offset,
                bytes,
                records,
                is_record_cut,
            } => self.on_gap(*stream, *offset, *bytes, *records, *is_record_cut),
            Event::Dropped(body) => {
                assert!(self.bodies.remove(body).is_some(), "dropped twice");
            }
            Event::StopRequested { stream, status } => {
                let old = self.stopped.insert(*stream, status.clone());
                assert!(old.is_none(), "asked twice");
            }
            Event::Acked { stream, offset } => {
                let acked = self.acked.entry(*stream).or_default();
                assert!(*offset > *acked, "acks go forward");
                *acked = *offset;
            }
            Event::Fenced { stream } => {
                assert!(self.opened.contains(stream) && !self.ended.contains(stream));
                assert!(self.fenced.insert(*stream), "told twice");
            }
            Event::Released(body) => {
                assert!(self.bodies.remove(body).is_some(), "released twice");
            }
            Event::StreamEnded(id) => {
                assert!(self.opened.contains(id) && self.ended.insert(*id));
                let received = &self.received[id];
                assert!(received.finished.is_some() || received.reset.is_some());
                assert_eq!(received.consumed, received.bytes.len() as u64);
            }
            _ => {}
        }
    }
}
