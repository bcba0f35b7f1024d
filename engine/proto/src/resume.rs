//! After an attach: each side states what it has, then only what is missing is sent again.
//!
//! Until the peer's last chunk has come, no body leaves (W-5.1): its position is not known. Then
//! a stream is one of (W-5.4):
//! - listed by the peer: it is replayed from the stated position;
//! - not listed, and its id at or above what the peer has seen: the peer never heard of it, it is
//!   replayed from the start;
//! - not listed, and its id below: the peer has ended it. It is never replayed.

use std::collections::{BTreeMap, VecDeque};

use crate::close_reason::CloseReason;
use crate::event::Event;
use crate::frame::{Frame, ResumeEntry, kind};
use crate::id::StreamId;
use crate::limit::RESUME_ENTRIES_MAX;
use crate::send_stream::SendEnd;
use crate::session::Session;
use crate::status::Status;
use crate::stream::Owed;
use crate::time::Time;
use crate::violation::{Rule, Violation};

/// What of our state is still to be stated.
#[derive(Debug)]
pub(crate) struct ResumeOut {
    /// Streams not stated yet.
    streams: VecDeque<StreamId>,
    /// Streams of the peer that were seen when it began. All chunks say this: a stream that the
    /// peer opens meanwhile is in none of them, and must not look as if it had ended.
    seen: u64,
}

/// What the peer has stated so far.
#[derive(Debug, Default)]
pub(crate) struct PeerResume {
    entries: BTreeMap<StreamId, ResumeEntry>,
}

impl Session {
    /// States everything again, and rewinds every stream to what was acked.
    pub(crate) fn begin_resume(&mut self, now: Time, resumed: bool) {
        self.statistics.unacked_bytes = 0;
        let ids: Vec<StreamId> = self.streams.keys().copied().collect();
        for &id in &ids {
            let Some(state) = self.streams.get_mut(&id) else {
                continue;
            };
            state.send.rewind();
            state.owes.finish = false;
            state.owes.reset =
                matches!(state.send.end, SendEnd::Reset(..)) && !state.send.is_end_acked;
            state.owes.stop = state.receive.stop.is_some() && !state.receive.has_ended();
            state.owes.lossy = state.send.is_declaration_due() && id.opener() == self.side;
            if state.owes.is_any() {
                self.owing.insert(id);
            }
        }
        self.credit.owe();
        self.owes_stream_credit = true;
        self.owe_bulk();
        self.owes_drain = self.is_draining;
        if resumed {
            let (streams, seen) = (ids.into(), self.peer_opened);
            self.resume_out = Some(ResumeOut { streams, seen });
            self.resume_in = Some(PeerResume::default());
        } else {
            self.start_all(now);
        }
    }

    /// Every stream may send.
    fn start_all(&mut self, now: Time) {
        let ids: Vec<StreamId> = self.streams.keys().copied().collect();
        for id in ids {
            self.apply_failure(id);
            self.queue(id);
            self.watch_credit(now, id);
            self.owe_finish(id);
        }
    }

    /// Appends the next chunk of our state.
    pub(crate) fn emit_resume(&mut self, now: Time, out: &mut Vec<u8>) {
        let Some(resume) = &mut self.resume_out else {
            return;
        };
        let mut entries = Vec::new();
        while entries.len() < RESUME_ENTRIES_MAX
            && let Some(id) = resume.streams.pop_front()
        {
            let Some(state) = self.streams.get_mut(&id) else {
                continue;
            };
            // Also what the peer has never heard of: it ignores what it does not have.
            entries.push(state.receive.position(id));
            state.receive.unacked = 0;
            state.owes.ack = false;
        }
        let (is_last, seen) = (resume.streams.is_empty(), resume.seen);
        if is_last {
            self.resume_out = None;
        }
        let frame = Frame::Resume {
            opened: self.opened,
            seen,
            is_last,
            entries,
        };
        self.emit(&frame, out);
        let Frame::Resume { entries, .. } = frame else {
            return;
        };
        // A stream that only owed an ack of its end has stated it.
        for entry in entries {
            self.forget_if_over(now, entry.stream);
        }
    }

    /// A chunk of the peer's state.
    pub(crate) fn on_resume(
        &mut self,
        now: Time,
        (opened, seen): (u64, u64),
        is_last: bool,
        entries: Vec<ResumeEntry>,
    ) -> Result<(), Violation> {
        let Some(resume) = &mut self.resume_in else {
            return Err(Violation::new(Rule::ResumeUnexpected, kind::RESUME, 1, 0));
        };
        // Bounded by what lives here: an entry for a stream that has ended is not kept.
        for entry in entries {
            if self.streams.contains_key(&entry.stream) {
                resume.entries.insert(entry.stream, entry);
            } else if entry.stream.opener() == self.side && entry.stream.index() >= self.opened {
                return self.check_known(&entry, kind::RESUME);
            }
        }
        if !is_last {
            return Ok(());
        }
        self.check_resume(opened, seen)?;
        let resume = self.resume_in.take().unwrap_or_default();
        let ids: Vec<StreamId> = self.streams.keys().copied().collect();
        for id in ids {
            if self.closed.is_none() {
                self.resume_stream(now, id, seen, resume.entries.get(&id))?;
            }
        }
        if self.closed.is_none() {
            self.start_all(now);
        }
        Ok(())
    }

    /// Whether the peer knows no fewer of its own streams than we do, and no more of ours.
    fn check_resume(&self, opened: u64, seen: u64) -> Result<(), Violation> {
        let fail = |rule, got, expected| Err(Violation::new(rule, kind::RESUME, got, expected));
        if opened < self.peer_opened {
            return fail(Rule::StreamUnknown, opened, self.peer_opened);
        }
        if opened > self.peer_open_credit {
            return fail(Rule::StreamCredit, opened, self.peer_open_credit);
        }
        if seen > self.opened {
            return fail(Rule::StreamUnknown, seen, self.opened);
        }
        Ok(())
    }

    fn resume_stream(
        &mut self,
        now: Time,
        id: StreamId,
        seen: u64,
        entry: Option<&ResumeEntry>,
    ) -> Result<(), Violation> {
        let Some(state) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        let received = entry.map_or(0, |entry| entry.received);
        state.send.forget_gaps_behind(received);
        match entry {
            Some(entry) => self.on_position(now, entry, kind::RESUME),
            None if id.opener() == self.side && id.index() >= seen => {
                // Never heard of there: from the start, if it is still there.
                let (acked, records) = state.send.position();
                if state.is_known || acked > 0 || records > 0 {
                    self.replay_lost(0, acked);
                }
                Ok(())
            }
            None => self.ended_at_peer(now, id),
        }
    }

    /// The peer is at `wanted`; what lies before `kept` is gone.
    pub(crate) fn replay_lost(&mut self, wanted: u64, kept: u64) {
        let reason = CloseReason::ReplayLost { wanted, kept };
        if self.is_attached && self.closed.is_none() {
            self.owes_close = Some(Status::new(Status::PROTOCOL, &reason.to_string()));
        }
        self.end_with(reason);
    }

    /// The peer has ended the stream: everything of ours arrived, and nothing more comes. Only
    /// what the application has not taken yet keeps it alive here.
    fn ended_at_peer(&mut self, now: Time, id: StreamId) -> Result<(), Violation> {
        let Some(state) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        let send = &mut state.send;
        if !send.is_end_sent || !state.receive.has_ended() {
            // It ends a stream only when both sides know both ends.
            let violation = Violation::new(Rule::ResumeBehindAck, kind::RESUME, 0, 1);
            return Err(violation.on(id, send.acked));
        }
        state.owes = Owed::default();
        let is_news = !std::mem::replace(&mut send.is_end_acked, true);
        let (was_acked, accepted, records) = (send.acked, send.accepted, send.records);
        let stream = id;
        if is_news && matches!(send.end, SendEnd::Finish(_)) {
            self.acknowledge(id, accepted, records);
            if accepted > was_acked {
                let offset = accepted;
                self.events.push_back(Event::Acked { stream, offset });
            }
        }
        if is_news {
            self.events.push_back(Event::FinishAcked { stream });
            self.tell_fenced(id);
        }
        self.forget_if_over(now, id);
        Ok(())
    }
}
