//! After an attach: each side states what it has, then only what is missing is sent again.
//!
//! Until the peer's last chunk has come, no body leaves (W-5.1): its position is not known. Then
//! a stream is one of (W-5.4):
//! - listed by the peer: it is replayed from the stated position;
//! - not listed, and its id at or above what the peer has seen: the peer never heard of it, it is
//!   replayed from the start;
//! - not listed, and its id below: the peer has ended it. It is never replayed.
//!
//! There may be 100,000 streams, so nothing walks over all of them at once:
//!
//! ```text
//!   streams, by id     0 ──────────────────────────────────────────────────────▶
//!   brought over       ██████████████████████ · ·  ·    when stated, or touched before (`renew`)
//!   stated to the peer ██████████████████████           a chunk per 256 streams (`emit_resume`)
//!   stated by the peer █████████████                    chunks in order (W-5.2); each stream that
//!                                                       is listed is settled at once
//!   walked             ████████                         behind that, in steps: settles those that
//!                                                       are not listed (`settle_step`)
//! ```
//!
//! A detach, and an attach, begin a new *set of connections* and touch no stream. What a stream
//! says of sending (its cursor, its line, its link) counts only if it is of the present set:
//! whoever is about to use it calls `renew`, which brings it over. A stream is *settled* once it
//! is known what the peer has of it: from then on its control goes out.

use crate::close_reason::CloseReason;
use crate::event::Event;
use crate::frame::{Frame, ResumeEntry, kind};
use crate::id::StreamId;
use crate::limit::{RESUME_ENTRIES_MAX, STREAMS_PER_STEP};
use crate::link::Link;
use crate::send_stream::SendEnd;
use crate::session::Session;
use crate::status::Status;
use crate::stream::Owed;
use crate::time::Time;
use crate::violation::{Rule, Violation};

/// Counts the sets of connections, and the times without one between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConnectionSet(u32);

impl ConnectionSet {
    /// What was said of the older one counts no more.
    pub(crate) fn begin(&mut self) {
        self.0 = self.0.wrapping_add(1);
    }

    /// Whether it began right after the older one.
    fn follows(self, older: Self) -> bool {
        self.0 == older.0.wrapping_add(1)
    }
}

/// What of our state is still to be stated.
#[derive(Debug)]
pub(crate) struct ResumeOut {
    /// The first stream that is not stated yet.
    next: StreamId,
    /// The last one to be stated: who opens streams meanwhile does not make it longer.
    last: StreamId,
    /// Streams of the peer that were seen when it began. All chunks say this: a stream that the
    /// peer opens meanwhile may be in none of them, and must not look as if it had ended.
    seen: u64,
}

/// What the peer has stated so far.
#[derive(Debug)]
pub(crate) struct PeerResume {
    /// It has said all of streams below.
    stated: u64,
    /// These were settled, whether listed or not.
    walked: StreamId,
    /// Streams of ours that it had seen.
    seen: Option<u64>,
    since: Time,
}

impl PeerResume {
    fn new(now: Time) -> Self {
        Self {
            stated: 0,
            walked: StreamId(0),
            seen: None,
            since: now,
        }
    }

    /// The last chunk has come.
    fn is_complete(&self) -> bool {
        self.stated == u64::MAX
    }
}

impl Session {
    /// Everything is stated again, and every stream goes back to what was acked, in steps.
    pub(crate) fn begin_resume(&mut self, now: Time, resumed: bool) {
        // What of streams that are still to be brought over is in flight counts no more.
        self.statistics.unacked_bytes = 0;
        self.set.begin();
        if !cfg!(ringway_mutant = "lost_credit_not_restated") {
            self.credit.owe();
        }
        self.owes_stream_credit = true;
        self.owe_bulk();
        self.owes_drain = self.is_draining;
        if resumed {
            let last = self.streams.last_key_value();
            self.resume_out = Some(ResumeOut {
                next: StreamId(0),
                last: last.map_or(StreamId(0), |(&id, _)| id),
                seen: self.peer_opened,
            });
            self.resume_in = Some(PeerResume::new(now));
        } else {
            // The first connection: there was no credit for a stream before it.
            debug_assert!(self.streams.is_empty());
        }
    }

    /// Brings what a stream says of sending over to the present set of connections: nothing of it
    /// is in any line or on its way, what is unacked is sent again, what was said is said again.
    pub(crate) fn renew(&mut self, id: StreamId) {
        let (set, detached) = (self.set, self.watch_detached());
        let Some(state) = self.streams.get_mut(&id).filter(|state| state.set != set) else {
            return;
        };
        let is_counted = set.follows(state.set);
        state.set = set;
        state.is_settled = false;
        state.is_queued = false;
        state.is_opening_sent = false;
        state.link = Link::MESSAGE;
        state.send.credit_wait.stop(detached);
        if !self.is_attached {
            // Sets that came and went without touching the stream count nothing of it any more.
            if !is_counted {
                state.send.rewind();
            }
            return;
        }
        state.send.rewind();
        state.receive.forget_finish();
        state.owes.finish = false;
        state.owes.reset = matches!(state.send.end, SendEnd::Reset(..)) && !state.send.is_end_acked;
        state.owes.stop = state.receive.stop.is_some() && !state.receive.has_ended();
        state.owes.lossy = state.send.is_declaration_due() && id.opener() == self.side;
        if state.owes.is_any() {
            self.owing.insert(id);
        }
    }

    /// Whether it is known what the peer has of a stream that was brought over.
    pub(crate) fn is_settled(&self, stream: StreamId) -> bool {
        let is_it = || {
            let state = self.streams.get(&stream);
            state.is_some_and(|state| state.set == self.set && state.is_settled)
        };
        self.is_attached && (self.resume_in.is_none() || is_it())
    }

    /// What the peer has of a stream is known: it takes part again.
    fn start(&mut self, now: Time, id: StreamId) {
        let Some(state) = self.streams.get_mut(&id) else {
            return;
        };
        state.is_settled = true;
        if state.owes.is_any() {
            self.owing.insert(id);
        }
        self.apply_failure(id);
        self.queue(id);
        self.watch_credit(now, id);
        self.owe_finish(id);
    }

    /// Appends the next chunk of our state.
    pub(crate) fn emit_resume(&mut self, now: Time, out: &mut Vec<u8>) {
        let Some(resume) = &self.resume_out else {
            return;
        };
        let (next, last, seen) = (resume.next, resume.last, resume.seen);
        let streams = self.streams.range(next..).map(|(&id, _)| id);
        let mut streams = streams.take_while(|&id| id <= last);
        let ids: Vec<StreamId> = streams.by_ref().take(RESUME_ENTRIES_MAX).collect();
        let is_last = streams.next().is_none();
        let mut entries = Vec::with_capacity(ids.len());
        for &id in &ids {
            self.renew(id);
            if let Some(state) = self.streams.get_mut(&id) {
                // Also what the peer has never heard of: it ignores what it does not have.
                entries.push(state.receive.position(id));
                state.receive.unacked = 0;
                state.owes.ack = false;
            }
        }
        self.resume_out = ids.last().filter(|_| !is_last).map(|id| ResumeOut {
            next: StreamId(id.0 + 1),
            last,
            seen,
        });
        let frame = Frame::Resume {
            opened: self.opened,
            seen,
            is_last,
            entries,
        };
        self.emit(&frame, out);
        // A stream that only owed an ack of its end has stated it.
        for id in ids {
            self.forget_if_over(now, id);
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
        let resume = self.resume_in.as_mut();
        let Some(resume) = resume.filter(|resume| !resume.is_complete()) else {
            return Err(Violation::new(Rule::ResumeUnexpected, kind::RESUME, 1, 0));
        };
        let known = *resume.seen.get_or_insert(seen);
        if seen != known {
            let rule = Rule::ResumeBehindAck;
            return Err(Violation::new(rule, kind::RESUME, seen, known));
        }
        self.check_resume(opened, seen)?;
        for entry in entries {
            self.on_entry(now, &entry)?;
            if self.closed.is_some() {
                return Ok(());
            }
        }
        if is_last && let Some(resume) = &mut self.resume_in {
            resume.stated = u64::MAX;
        }
        self.settle_step(now)
    }

    /// One stream of a chunk.
    fn on_entry(&mut self, now: Time, entry: &ResumeEntry) -> Result<(), Violation> {
        let id = entry.stream;
        let Some(resume) = &mut self.resume_in else {
            return Ok(());
        };
        if id.0 < resume.stated || id.0 == u64::MAX {
            let violation = Violation::new(Rule::ResumeOrder, kind::RESUME, id.0, resume.stated);
            return Err(violation.on(id, entry.received));
        }
        resume.stated = id.0 + 1;
        self.renew(id);
        let Some(state) = self.streams.get_mut(&id) else {
            // It has ended here, or the peer has opened it and we have not heard of it.
            return match id.opener() == self.side {
                true => self.check_known(entry, kind::RESUME),
                false => Ok(()),
            };
        };
        state.send.forget_gaps_behind(entry.received);
        self.on_position(now, entry, kind::RESUME)?;
        if self.closed.is_none() {
            self.start(now, id);
        }
        Ok(())
    }

    // --- streams that are not listed -----------------------------------------------------------

    /// Since when there is a step to be done, if there is one.
    pub(crate) fn settling_since(&self) -> Option<Time> {
        let resume = self.resume_in.as_ref()?;
        let is_due = resume.is_complete() || resume.walked.0 < resume.stated;
        is_due.then_some(resume.since)
    }

    /// The next step, if there is one.
    pub(crate) fn go_on_settling(&mut self, now: Time) {
        if self.settling_since().is_some()
            && let Err(violation) = self.settle_step(now)
        {
            self.violated(now, violation);
        }
    }

    /// Settles a bounded number of streams that the peer has passed without listing them. After
    /// the last, bodies may leave.
    fn settle_step(&mut self, now: Time) -> Result<(), Violation> {
        let Some(resume) = &self.resume_in else {
            return Ok(());
        };
        let (walked, stated) = (resume.walked, StreamId(resume.stated));
        let seen = resume.seen.unwrap_or(0);
        let streams = self.streams.range(walked..stated.max(walked));
        let mut streams =
            streams.map(|(&id, state)| (id, state.set == self.set && state.is_settled));
        let step: Vec<_> = streams.by_ref().take(STREAMS_PER_STEP).collect();
        let next = streams.next().map_or(stated, |(id, _)| id);
        for (id, is_settled) in step {
            if !is_settled && self.closed.is_none() {
                self.settle_unlisted(now, id, seen)?;
            }
        }
        if let Some(resume) = &mut self.resume_in {
            resume.walked = next;
            if next.0 == u64::MAX && resume.is_complete() {
                self.resume_in = None;
            }
        }
        Ok(())
    }

    fn settle_unlisted(&mut self, now: Time, id: StreamId, seen: u64) -> Result<(), Violation> {
        self.renew(id);
        let Some(state) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        state.send.forget_gaps_behind(0);
        let is_replayed = cfg!(ringway_mutant = "completed_stream_replayed");
        if (id.opener() != self.side || id.index() < seen) && !is_replayed {
            self.ended_at_peer(now, id)?;
        } else if !is_replayed {
            // Never heard of there: from the start, if it is still there.
            let (acked, records) = state.send.position();
            if state.is_known || acked > 0 || records > 0 {
                self.replay_lost(0, acked);
            }
        }
        if self.closed.is_none() {
            self.start(now, id);
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
