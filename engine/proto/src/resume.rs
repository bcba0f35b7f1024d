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
use crate::frame::{Frame, ResumeEntry, kind};
use crate::id::StreamId;
use crate::limit::RESUME_ENTRIES_MAX;
use crate::receive_stream::ReceiveEnd;
use crate::send_stream::SendEnd;
use crate::session::{Event, Session};
use crate::time::Time;
use crate::violation::{Rule, Violation};

/// What of our state is still to be stated.
#[derive(Debug)]
pub(crate) struct ResumeOut {
    /// Streams not stated yet.
    streams: VecDeque<StreamId>,
}

/// What the peer has stated so far.
#[derive(Debug, Default)]
pub(crate) struct PeerResume {
    entries: BTreeMap<StreamId, ResumeEntry>,
}

impl Session {
    /// States everything again, and rewinds every stream to what was acked.
    pub(crate) fn begin_resume(&mut self, resumed: bool) {
        self.ready.clear();
        self.statistics.unacked_bytes = 0;
        let ids: Vec<StreamId> = self.streams.keys().copied().collect();
        for &id in &ids {
            let Some(state) = self.streams.get_mut(&id) else {
                continue;
            };
            state.is_queued = false;
            state.send.rewind();
            state.owes.finish = false;
            state.owes.reset =
                matches!(state.send.end, SendEnd::Reset(..)) && !state.send.is_end_acked;
            state.owes.stop = state.receive.stop.is_some() && !state.receive.has_ended();
            if state.owes.is_any() {
                self.owing.insert(id);
            }
        }
        self.owes_session_credit = true;
        self.owes_stream_credit = true;
        self.owes_drain = self.is_draining;
        if resumed {
            let streams = ids.into();
            self.resume_out = Some(ResumeOut { streams });
            self.resume_in = Some(PeerResume::default());
        } else {
            self.start_all();
        }
    }

    /// Every stream may send.
    fn start_all(&mut self) {
        let ids: Vec<StreamId> = self.streams.keys().copied().collect();
        for id in ids {
            self.queue(id);
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
            entries.push(ResumeEntry {
                stream: id,
                received: state.receive.received,
                records: state.receive.records,
                consumed: state.receive.consumed,
                credit: state.receive.credit,
                end_known: state.receive.has_ended(),
            });
            state.receive.unacked = 0;
            state.owes.ack = false;
        }
        let is_last = resume.streams.is_empty();
        if is_last {
            self.resume_out = None;
        }
        let frame = Frame::Resume {
            opened: self.opened,
            seen: self.peer_opened,
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
        let unexpected = Violation::new(Rule::ResumeUnexpected, kind::RESUME, 1, 0);
        let Some(resume) = &mut self.resume_in else {
            return Err(unexpected);
        };
        // Bounded by what lives here: an entry for an unknown stream is not kept.
        for entry in entries {
            if self.streams.contains_key(&entry.stream) {
                resume.entries.insert(entry.stream, entry);
            }
        }
        if !is_last {
            return Ok(());
        }
        if opened < self.peer_opened {
            let known = self.peer_opened;
            return Err(Violation::new(
                Rule::StreamUnknown,
                kind::RESUME,
                opened,
                known,
            ));
        }
        if seen > self.opened {
            return Err(Violation::new(
                Rule::StreamUnknown,
                kind::RESUME,
                seen,
                self.opened,
            ));
        }
        let resume = self.resume_in.take().unwrap_or_default();
        let ids: Vec<StreamId> = self.streams.keys().copied().collect();
        for id in ids {
            self.resume_stream(now, id, seen, resume.entries.get(&id))?;
        }
        if self.closed.is_none() {
            self.start_all();
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
        let is_ours = id.opener() == self.side;
        match entry {
            Some(entry) => {
                if let Some(state) = self.streams.get_mut(&id) {
                    state.is_known = true;
                }
                self.on_position(now, entry, kind::RESUME)
            }
            None if is_ours && id.index() >= seen => {
                // Never heard of there: from the start.
                let (acked, _) = self.streams.get(&id).map_or((0, 0), |s| s.send.position());
                if acked > 0 {
                    let (wanted, kept) = (0, acked);
                    self.end_with(CloseReason::ReplayLost { wanted, kept });
                }
                Ok(())
            }
            None => {
                self.ended_at_peer(now, id);
                Ok(())
            }
        }
    }

    /// The peer has ended the stream: everything of ours arrived, and nothing more comes.
    fn ended_at_peer(&mut self, now: Time, id: StreamId) {
        let Some(state) = self.streams.get_mut(&id) else {
            return;
        };
        let (accepted, records) = (state.send.accepted, state.send.records);
        let was_acked = state.send.acked;
        let released = state.send.ack(accepted, records);
        state.send.is_end_acked = true;
        let has_receive_ended = state.receive.has_ended();
        if !has_receive_ended {
            state.receive.end = ReceiveEnd::Reset;
        }
        state.owes = crate::stream::Owed::default();
        self.release(released);
        if accepted > was_acked {
            let offset = accepted;
            self.events.push_back(Event::Acked { stream: id, offset });
        }
        self.events.push_back(Event::FinishAcked { stream: id });
        if !has_receive_ended {
            // It cannot be: the peer ends a stream only once we know the end of its direction.
            let (status, final_offset) = (crate::status::Status::dropped(), 0);
            self.events.push_back(Event::Reset {
                stream: id,
                status,
                final_offset,
            });
        }
        self.forget(now, id);
    }
}
