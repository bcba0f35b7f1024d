//! Bulk connections: who wants how many, how they come, and bodies that wait on them.
//!
//! The dialing side dials them, once either side has a large body: the accepting side says by
//! BULK how many it takes, and how many it wants. They belong to the epoch of the message
//! connection, and end with it.

use crate::event::Event;
use crate::feature::Features;
use crate::frame::kind;
use crate::hello::{Established, Role};
use crate::id::{Epoch, Side, StreamId};
use crate::incoming::Incoming;
use crate::limit::BULK_CONNECTIONS_MAX;
use crate::link::{Fence, Link, LinkState};
use crate::refusal::{Refusal, RefusalCode};
use crate::send_stream::SendEnd;
use crate::session::Session;
use crate::session_error::SessionError;
use crate::time::Time;
use crate::violation::{Rule, Violation};

/// Bulk connections: what is agreed, and what is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bulk {
    /// One of the two sides has had a large body.
    pub(crate) is_wanted: bool,
    /// The accepting side has to say so.
    pub(crate) is_owed: bool,
    /// What the accepting side takes, at the dialing one.
    peer_takes: u64,
}

impl Session {
    // --- wanting -------------------------------------------------------------------------------

    fn is_bulk_agreed(&self) -> bool {
        self.features().contains(Features::BULK_CONNECTIONS)
    }

    /// How many there may be now.
    fn bulk_allowed(&self) -> u64 {
        let ours = u64::from(self.config.bulk_connections);
        match (self.is_bulk_agreed(), self.side) {
            (false, _) => 0,
            (true, Side::Acceptor) => ours,
            (true, Side::Dialer) => ours.min(self.bulk.peer_takes),
        }
    }

    /// How many bulk connections are to be dialled and attached now. Always 0 at the accepting
    /// side, and while nobody has a large body.
    #[must_use]
    pub fn bulk_missing(&self) -> u64 {
        let is_time = self.side == Side::Dialer
            && self.bulk.is_wanted
            && self.is_attached
            && self.closed.is_none();
        match is_time {
            true => self.bulk_allowed().saturating_sub(self.bulk_links() as u64),
            false => 0,
        }
    }

    pub(crate) fn want_bulk(&mut self) {
        if !std::mem::replace(&mut self.bulk.is_wanted, true) {
            self.owe_bulk();
        }
    }

    /// The accepting side says what it takes and wants, where that is of use.
    pub(crate) fn owe_bulk(&mut self) {
        self.bulk.is_owed = self.side == Side::Acceptor && self.is_bulk_agreed();
    }

    /// What BULK says: taken, and wanted now.
    pub(crate) fn bulk_statement(&self) -> (u64, u64) {
        let takes = self.bulk_allowed();
        (takes, if self.bulk.is_wanted { takes } else { 0 })
    }

    pub(crate) fn on_bulk(&mut self, takes: u64, wanted: u64) -> Result<(), Violation> {
        if self.side == Side::Acceptor || !self.is_bulk_agreed() {
            return Err(Violation::new(Rule::Misplaced, kind::BULK, 1, 0));
        }
        if wanted > takes {
            return Err(Violation::new(Rule::Misplaced, kind::BULK, wanted, takes));
        }
        self.bulk.peer_takes = takes.min(BULK_CONNECTIONS_MAX.into());
        self.bulk.is_wanted |= wanted > 0;
        Ok(())
    }

    // --- attaching -----------------------------------------------------------------------------

    /// Whether a peer that has proven that the session is its own may attach a bulk connection of
    /// this epoch.
    ///
    /// # Errors
    /// The [`Refusal`] to answer with.
    pub fn check_bulk(&self, epoch: Epoch) -> Result<(), Refusal> {
        if self.closed.is_some() {
            return Err(Refusal::unknown_session(self.id));
        }
        if !self.is_bulk_agreed() {
            let text = "this session was agreed to have one connection (W-1.9)";
            return Err(Refusal::new(RefusalCode::Unsupported, text));
        }
        if !self.is_attached || epoch != self.epoch {
            return Err(Refusal::other_epoch(epoch, self.epoch));
        }
        let (held, allowed) = (self.bulk_links() as u64, self.bulk_allowed());
        match held < allowed {
            true => Ok(()),
            false => Err(Refusal::too_many_connections(held, allowed)),
        }
    }

    /// Attaches a bulk connection that has proven itself; it fences nothing.
    ///
    /// # Errors
    /// [`SessionError`]: close the connection. The session goes on without it.
    pub fn attach_bulk(
        &mut self,
        now: Time,
        established: &Established,
    ) -> Result<Link, SessionError> {
        if let Some(reason) = &self.closed {
            return Err(SessionError::Closed(reason.clone()));
        }
        if established.session != self.id {
            return Err(SessionError::OtherSession {
                got: established.session,
                expected: self.id,
            });
        }
        if !self.is_attached || established.epoch != self.epoch {
            let (got, current) = (established.epoch.0, self.epoch.0);
            return Err(SessionError::OtherEpoch { got, current });
        }
        let (held, allowed) = (self.bulk_links() as u64, self.bulk_allowed());
        if established.role != Role::Bulk || held >= allowed {
            return Err(SessionError::TooManyConnections { held, allowed });
        }
        let link = Link::at(self.links.len());
        self.links.push(LinkState::new(now));
        self.statistics.bulk_attaches += 1;
        Ok(link)
    }

    // --- bodies that wait ----------------------------------------------------------------------

    /// A body that waited on a bulk connection and may be taken now, or is found to break a rule.
    /// An output: drain it after any input, before what else comes on that connection is looked
    /// at. Streams it belongs to have been told of by [`poll_event`](Self::poll_event).
    pub fn poll_arrival(&mut self, now: Time) -> Option<(Link, Result<Incoming, Violation>)> {
        let is_due = |(index, state): (usize, &LinkState)| {
            let arriving = state.waiting?;
            let link = Link::at(index);
            (!self.must_wait(link, arriving.stream, (arriving.offset, arriving.record)))
                .then_some(link)
        };
        let link = self.links.iter().enumerate().find_map(is_due)?;
        let state = self.link_mut(link)?;
        // Nothing was read meanwhile: silence begins now.
        state.hear(now);
        let arriving = state.waiting.take()?;
        Some((link, self.on_data(link, arriving, false)))
    }

    /// Whether a body on `link` is ahead of its stream: of its position, or of the frame that
    /// opens it, or another body of the stream is just being taken (W-3.11).
    pub(crate) fn must_wait(
        &self,
        link: Link,
        stream: StreamId,
        (offset, record): (u64, u64),
    ) -> bool {
        if !link.is_bulk() {
            return false;
        }
        let Some(state) = self.streams.get(&stream) else {
            let (index, opened) = (stream.index(), self.peer_opened);
            return stream.opener() != self.side
                && (opened..self.peer_open_credit).contains(&index);
        };
        let receive = &state.receive;
        let is_ahead = offset > receive.received || record > receive.records;
        !receive.is_reset() && (is_ahead || self.is_taken_elsewhere(link, stream))
    }

    /// A body of the stream is arriving on another link.
    pub(crate) fn is_taken_elsewhere(&self, link: Link, stream: StreamId) -> bool {
        let others = self.links.iter().enumerate();
        others
            .filter(|(index, _)| *index != link.index())
            .any(|(_, state)| state.is_taking(stream))
    }

    // --- aborted streams -----------------------------------------------------------------------

    /// A stream is being aborted: what it has unacked on a bulk link stays behind there.
    pub(crate) fn begin_fence(&mut self, id: StreamId) {
        let Some(state) = self.streams.get_mut(&id) else {
            return;
        };
        let link = state.link;
        if !link.is_bulk() || state.send.is_all_acked() {
            return;
        }
        state.is_fencing = true;
        if let Some(state) = self.link_mut(link) {
            state.fence.asked.insert(id);
        }
    }

    /// The token of a ping to be sent on a link for those that wait for it.
    pub(crate) fn take_fence_ping(&mut self, link: Link) -> Option<u64> {
        self.ping_serial += 1;
        let token = self.ping_serial;
        let Fence { asked, sent } = &mut self.link_mut(link)?.fence;
        if asked.is_empty() || sent.is_some() {
            return None;
        }
        *sent = Some((token, std::mem::take(asked)));
        Some(token)
    }

    pub(crate) fn on_pong(&mut self, now: Time, link: Link, token: u64) {
        let Some(state) = self.link_mut(link) else {
            return;
        };
        let is_it = |sent: &mut (u64, _)| sent.0 == token;
        if let Some((_, streams)) = state.fence.sent.take_if(is_it) {
            for stream in streams {
                self.end_fence(now, stream);
            }
        }
    }

    pub(crate) fn end_fence(&mut self, now: Time, id: StreamId) {
        if let Some(state) = self.streams.get_mut(&id)
            && self.closed.is_none()
        {
            state.is_fencing = false;
            self.tell_fenced(id);
            self.forget_if_over(now, id);
        }
    }

    /// Tells that nothing of an aborted direction is on its way any more: its end is acked on the
    /// message connection, and a bulk connection has been read past its last byte.
    pub(crate) fn tell_fenced(&mut self, stream: StreamId) {
        if let Some(state) = self.streams.get(&stream)
            && matches!(state.send.end, SendEnd::Reset(..))
            && state.send.is_end_acked
            && !state.is_fencing
        {
            self.events.push_back(Event::Fenced { stream });
        }
    }
}
