//! Streams with drawn work on them, in both directions at once, and the oracle.
//!
//! The oracle is naive: byte and record boundaries at each offset follow from the script of the
//! direction; what is received is compared as it comes, how it ended when both sides are done.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use ringway::{Error, Status, Stream, StreamId, StreamOptions};

use crate::draw::Draw;
use crate::party::Party;
use crate::reader::Reader;
use crate::script::{Appetite, Ending, Way};
use crate::sender::send;

/// Names one direction of one stream of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WayKey {
    session: u64,
    stream: StreamId,
    /// Its opener sends.
    is_forth: bool,
}

impl WayKey {
    /// Names what it carries: no two directions carry the same.
    pub(crate) fn content(self) -> u64 {
        self.session * 1_000_033 + (self.stream.0 << 1 | u64::from(self.is_forth))
    }
}

impl fmt::Display for WayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.is_forth { "forth" } else { "back" };
        write!(f, "{}-{}-{way}", self.session, self.stream.0)
    }
}

/// How sending ended.
#[derive(Clone, Debug)]
pub(crate) enum Sent {
    Finished,
    Reset,
    Failed(Error),
}

/// What was received.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) bytes: u64,
    pub(crate) record_ends: Vec<u64>,
    /// Some bytes went where records cannot be told.
    pub(crate) has_used_file: bool,
    pub(crate) end: Result<Status, Error>,
}

/// What may have happened to a session that its streams are not to blame for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Excuses {
    /// A process at one of its ends was killed.
    pub is_severed: bool,
    /// Disks failed: a source may end early and say so, a sink may refuse.
    pub have_disks_failed: bool,
}

#[derive(Default)]
struct Ledger {
    ways: BTreeMap<WayKey, Way>,
    sent: BTreeMap<WayKey, Sent>,
    received: BTreeMap<WayKey, Received>,
}

/// Everything that is under way on one session.
#[derive(Clone, Default)]
pub struct Load {
    session: u64,
    ledger: Rc<RefCell<Ledger>>,
    excuses: Rc<Cell<Excuses>>,
}

impl Load {
    /// The work of the session number `session`.
    #[must_use]
    pub fn new(session: u64) -> Self {
        Self {
            session,
            ..Self::default()
        }
    }

    /// Opens `count` streams at `opener`, and accepts as many at `acceptor`.
    pub fn add(
        &self,
        opener: &Party,
        acceptor: &Party,
        count: u64,
        draw: &mut Draw,
        appetite: Appetite,
    ) {
        let mut draw = draw.fork();
        let (load, party) = (self.clone(), opener.clone());
        opener.spawner.spawn("opener", async move {
            for _ in 0..count {
                let opened = party.session.open(StreamOptions::default()).await;
                let Some(stream) = load.unless_severed(opened) else {
                    return;
                };
                let forth = Way::draw(&mut draw, &appetite);
                let back = Way::draw(&mut draw, &appetite);
                load.plan(load.key(&stream, true), forth);
                load.plan(load.key(&stream, false), back);
                load.serve(&party, stream, true);
            }
        });
        let (load, party) = (self.clone(), acceptor.clone());
        acceptor.spawner.spawn("acceptor", async move {
            for _ in 0..count {
                let accepted = party.session.accept().await;
                let Some(stream) = load.unless_severed(accepted) else {
                    return;
                };
                load.serve(&party, stream, false);
            }
        });
    }

    /// A process at one of its ends was killed: its session may end.
    pub fn sever(&self) {
        self.excuse(|excuses| excuses.is_severed = true);
    }

    /// Something happened that streams may fail of.
    pub fn excuse(&self, add: impl FnOnce(&mut Excuses)) {
        let mut excuses = self.excuses.get();
        add(&mut excuses);
        self.excuses.set(excuses);
    }

    fn unless_severed(&self, stream: Result<Stream, Error>) -> Option<Stream> {
        match stream {
            Ok(stream) => Some(stream),
            Err(error) => {
                assert!(self.excuses.get().is_severed, "the session ended: {error}");
                None
            }
        }
    }

    fn key(&self, stream: &Stream, is_forth: bool) -> WayKey {
        WayKey {
            session: self.session,
            stream: stream.id(),
            is_forth,
        }
    }

    fn plan(&self, key: WayKey, way: Way) {
        self.ledger.borrow_mut().ways.insert(key, way);
    }

    /// Sends one direction of a stream, receives the other.
    fn serve(&self, party: &Party, stream: Stream, is_opener: bool) {
        let (sending, receiving) = (self.key(&stream, is_opener), self.key(&stream, !is_opener));
        let way = |key| self.ledger.borrow().ways[&key].clone();
        let (load, out, sender) = (self.clone(), way(sending), party.clone());
        let handle = stream.clone();
        let name = format!("{} sends {sending} {out:?}", party.name);
        party.spawner.spawn(name, async move {
            let sent = send(&sender, &handle, sending, &out).await;
            load.ledger.borrow_mut().sent.insert(sending, sent);
        });
        let (load, into, receiver) = (self.clone(), way(receiving), party.clone());
        let name = format!("{} receives {receiving} {into:?}", party.name);
        party.spawner.spawn(name, async move {
            let mut reader = Reader::new(&receiver, &stream, receiving, into).await;
            let received = reader.receive_all().await;
            load.ledger
                .borrow_mut()
                .received
                .insert(receiving, received);
        });
    }

    /// Compares how each direction ended at both ends.
    ///
    /// # Panics
    /// If they do not agree with each other and with the script.
    pub fn check(&self) {
        let ledger = self.ledger.borrow();
        let excuses = self.excuses.get();
        for (key, way) in &ledger.ways {
            let told = Told {
                key: *key,
                way,
                sent: ledger.sent.get(key),
                received: ledger.received.get(key),
            };
            told.check_records(excuses);
            match excuses == Excuses::default() {
                true => told.check_end(),
                false => told.check_excused(excuses),
            }
        }
    }
}

/// How one direction ended, from both ends.
/// Told as a whole when a check fails.
#[derive(Debug)]
struct Told<'a> {
    #[expect(dead_code, reason = "shown when a check fails")]
    key: WayKey,
    way: &'a Way,
    sent: Option<&'a Sent>,
    received: Option<&'a Received>,
}

impl Told<'_> {
    /// The records seen are the first ones sent. What a finish cuts short counts as a record for
    /// whoever reads records.
    fn check_records(&self, excuses: Excuses) {
        let Some(received) = self.received.filter(|received| !received.has_used_file) else {
            return;
        };
        let ends = self.way.record_ends();
        let mut seen = received.record_ends.clone();
        let last = ends.last().copied().unwrap_or(0);
        if seen.len() > ends.len() && received.end.is_ok() && received.bytes > last {
            assert_eq!(seen.pop(), Some(received.bytes), "records: {self:?}");
        } else if excuses.have_disks_failed && !ends.starts_with(&seen) {
            // A source that failed finished in the middle of a record.
            assert_eq!(seen.pop(), Some(received.bytes), "records: {self:?}");
        }
        assert!(ends.starts_with(&seen), "records: {self:?}");
    }

    fn is_whole(&self, received: &Received) -> bool {
        let ends = self.way.record_ends();
        let seen = &received.record_ends;
        let has_all = received.has_used_file || seen.starts_with(&ends);
        received.bytes == self.way.length() && has_all
    }

    fn check_end(&self) {
        let (Some(sent), Some(received)) = (self.sent, self.received) else {
            panic!("one side never ended: {self:?}");
        };
        match (sent, &received.end) {
            (Sent::Finished, Ok(status)) => {
                let is_scripted =
                    matches!(self.way.ending, Ending::Finish(code) if code == status.code);
                assert!(is_scripted && self.is_whole(received), "{self:?}");
            }
            // The stop came when everything was on its way.
            (Sent::Failed(Error::Stopped(_)), Ok(_)) => {
                assert_eq!(received.bytes, self.way.length(), "{self:?}");
                assert!(self.way.stop_at.is_some(), "{self:?}");
            }
            (
                Sent::Reset,
                Err(Error::StreamReset {
                    status,
                    final_offset,
                }),
            ) => {
                let is_scripted = status.code == 1001 && self.way.stop_at.is_none();
                assert!(is_scripted || self.way.stop_at.is_some(), "{self:?}");
                assert!(*final_offset >= received.bytes, "{self:?}");
            }
            (Sent::Failed(Error::Stopped(status)), Err(Error::StreamReset { .. })) => {
                assert!(
                    self.way.stop_at.is_some() && status.code == 1002,
                    "{self:?}"
                );
            }
            _ => panic!("{self:?}"),
        }
    }

    /// Streams of a session that a process was killed under, or whose disks failed: what was
    /// received is right as far as it goes, and what looks complete is.
    fn check_excused(&self, excuses: Excuses) {
        if let Some(received) = self.received {
            let scripted = match self.way.ending {
                Ending::Finish(code) => code,
                Ending::Reset(_) => 0,
            };
            let looks_complete = matches!(&received.end, Ok(status) if status.code == scripted);
            assert!(!looks_complete || self.is_whole(received), "{self:?}");
            if let Some(Sent::Finished) = self.sent {
                let is_told = self.is_whole(received) || received.end.is_err();
                assert!(is_told || excuses.have_disks_failed, "{self:?}");
            }
        }
        if !excuses.is_severed {
            let is_over = self.sent.is_some() && self.received.is_some();
            assert!(is_over, "one side never ended: {self:?}");
        }
    }
}
