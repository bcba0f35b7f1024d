//! Streams with random work on them, in both directions at once, and the oracle.
//!
//! The oracle is naive: byte and record boundaries at each offset follow from the script of the
//! direction; what is received is compared as it comes, how it ended when both sides are done.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use ringway::{
    Engine, Error, File, OpenHow, Payload, Session, Status, Stream, StreamId, StreamOptions,
};
use ringway_sim::DiskHandle;

use crate::content::{assert_content, content};
use crate::scene::{Scene, Spawner, race};
use crate::script::{Appetite, Ending, Item, Source, Taking, Way};
use crate::seeds::Draw;

/// One end: an engine, its disk, and its handle of the session.
#[derive(Clone)]
pub struct Party {
    pub engine: Engine,
    pub disk: DiskHandle,
    pub session: Session,
    /// Tells the ends apart in names of files.
    pub name: &'static str,
    spawner: Spawner,
}

/// Names one direction of one stream: the stream, and whether its opener sends.
type WayKey = (StreamId, bool);

/// How sending ended.
#[derive(Clone, Debug)]
enum Sent {
    Finished,
    Reset,
    Failed(Error),
}

/// What was received.
#[derive(Clone, Debug)]
struct Received {
    bytes: u64,
    record_ends: Vec<u64>,
    /// Some bytes went where records cannot be told.
    has_used_file: bool,
    end: Result<Status, Error>,
}

#[derive(Default)]
struct Ledger {
    ways: BTreeMap<WayKey, Way>,
    sent: BTreeMap<WayKey, Sent>,
    received: BTreeMap<WayKey, Received>,
}

/// Everything that is under way on one session.
#[derive(Clone, Default)]
pub struct Load(Rc<RefCell<Ledger>>);

impl Party {
    pub fn of(scene: &Scene, index: usize, session: &Session) -> Self {
        let host = scene.hosts[index.min(scene.hosts.len() - 1)];
        let name = ["near", "far"][index];
        scene.world.disk(host).plant_directory(format!("/{name}"));
        Self {
            engine: scene.engines[index].clone(),
            disk: scene.world.disk(host),
            session: session.clone(),
            name,
            spawner: scene.spawner.clone(),
        }
    }
}

fn content_key((stream, forth): WayKey) -> u64 {
    stream.0 << 1 | u64::from(forth)
}

impl Load {
    /// Opens `count` streams at `opener`, and accepts as many at `acceptor`.
    pub fn add(
        &self,
        opener: &Party,
        acceptor: &Party,
        count: u64,
        draw: &mut Draw,
        appetite: Appetite,
    ) {
        let mut draw = Draw::new(draw.next(), 2);
        let (load, party) = (self.clone(), opener.clone());
        opener.spawner.spawn("opener", async move {
            for _ in 0..count {
                let stream = party.session.open(StreamOptions::default()).await;
                let stream = stream.expect("the session lives");
                let forth = Way::draw(&mut draw, &appetite);
                let back = Way::draw(&mut draw, &appetite);
                load.plan((stream.id(), true), forth);
                load.plan((stream.id(), false), back);
                load.serve(&party, stream, true);
            }
        });
        let (load, party) = (self.clone(), acceptor.clone());
        acceptor.spawner.spawn("acceptor", async move {
            for _ in 0..count {
                let stream = party.session.accept().await.expect("the session lives");
                load.serve(&party, stream, false);
            }
        });
    }

    fn plan(&self, key: WayKey, way: Way) {
        self.0.borrow_mut().ways.insert(key, way);
    }

    /// Sends one direction of a stream, receives the other.
    fn serve(&self, party: &Party, stream: Stream, is_opener: bool) {
        let (sending, receiving) = ((stream.id(), is_opener), (stream.id(), !is_opener));
        let way = |key| self.0.borrow().ways[&key].clone();
        let (load, out, sender) = (self.clone(), way(sending), party.clone());
        let handle = stream.clone();
        let name = format!("{} sends {sending:?} {out:?}", party.name);
        party.spawner.spawn(name, async move {
            let sent = send(&sender, &handle, sending, &out).await;
            load.0.borrow_mut().sent.insert(sending, sent);
        });
        let (load, into, receiver) = (self.clone(), way(receiving), party.clone());
        let name = format!("{} receives {receiving:?} {into:?}", party.name);
        party.spawner.spawn(name, async move {
            let mut reader = Reader::new(&receiver, &stream, receiving, into).await;
            let received = reader.receive_all().await;
            load.0.borrow_mut().received.insert(receiving, received);
        });
    }

    /// Compares how each direction ended at both ends.
    pub fn check(&self) {
        let ledger = self.0.borrow();
        for (key, way) in &ledger.ways {
            let sent = ledger.sent.get(key).expect("sent");
            let received = ledger.received.get(key).expect("received");
            check(*key, way, sent, received);
        }
    }

    /// How many directions there were.
    pub fn ways(&self) -> usize {
        self.0.borrow().ways.len()
    }
}

fn check(key: WayKey, way: &Way, sent: &Sent, received: &Received) {
    let told = format!("{key:?} {way:?}\nsent {sent:?}\nreceived {received:?}");
    let ends = way.record_ends();
    let mut seen = received.record_ends.clone();
    // What a finish cuts short counts as a record for whoever reads records.
    let last = ends.last().copied().unwrap_or(0);
    if seen.len() == ends.len() + 1 && way.length() > last && received.end.is_ok() {
        assert_eq!(seen.pop(), Some(way.length()), "{told}");
    }
    if !received.has_used_file {
        assert!(ends.starts_with(&seen), "records: {told}");
    }
    match (sent, &received.end) {
        (Sent::Finished, Ok(status)) => {
            let Ending::Finish(code) = way.ending else {
                panic!("{told}");
            };
            assert_eq!(
                (status.code, received.bytes),
                (code, way.length()),
                "{told}"
            );
            assert!(received.has_used_file || seen == ends, "records: {told}");
        }
        // The stop came when everything was on its way.
        (Sent::Failed(Error::Stopped(_)), Ok(_)) => {
            assert_eq!(received.bytes, way.length(), "{told}");
            assert!(way.stop_at.is_some(), "{told}");
        }
        (
            Sent::Reset,
            Err(Error::StreamReset {
                status,
                final_offset,
            }),
        ) => {
            let code = if way.stop_at.is_some() {
                status.code
            } else {
                1001
            };
            assert_eq!(status.code, code, "{told}");
            assert!(*final_offset >= received.bytes, "{told}");
        }
        (Sent::Failed(Error::Stopped(status)), Err(Error::StreamReset { .. })) => {
            assert!(way.stop_at.is_some() && status.code == 1002, "{told}");
        }
        _ => panic!("{told}"),
    }
}

// --- sending -----------------------------------------------------------------------------------

async fn send(party: &Party, stream: &Stream, key: WayKey, way: &Way) -> Sent {
    let file = source_file(party, key, way).await;
    let mut at = 0;
    for item in &way.items {
        match send_item(party, stream, key, &file, at, item).await {
            Ok(end) => assert_eq!(end, at + item.length),
            Err(error) => return Sent::Failed(error),
        }
        at += item.length;
    }
    match way.ending {
        Ending::Reset(code) => {
            stream.reset(Status::new(code, "reset"));
            Sent::Reset
        }
        Ending::Finish(code) => finish(stream, code, at).await,
    }
}

async fn finish(stream: &Stream, code: u32, length: u64) -> Sent {
    let text = if code == 0 { "" } else { "all of it" };
    if let Err(error) = stream.finish(Status::new(code, text)).await {
        return Sent::Failed(error);
    }
    if let Err(error) = stream.finish_acked().await {
        return Sent::Failed(error);
    }
    assert!(
        stream.acked_now() >= length,
        "the end is acked before the bytes"
    );
    Sent::Finished
}

/// Sends one item, however often its future is dropped.
async fn send_item(
    party: &Party,
    stream: &Stream,
    key: WayKey,
    file: &Option<File>,
    at: u64,
    item: &Item,
) -> Result<u64, Error> {
    let payload = payload(party, key, file, at, item).await;
    if let Some(patience) = item.patience {
        let sent = send_payload(stream, payload.clone(), item);
        if let Some(sent) = race(sent, party.engine.sleep(patience)).await {
            return sent;
        }
        // Whole or not at all: the position says which.
        let progress = stream.progress().await?;
        if progress.accepted > at {
            assert_eq!(progress.accepted, at + item.length);
            return Ok(progress.accepted);
        }
        if item.length == 0 {
            // An empty record is not to be seen there. Records are not checked that exactly.
            return Ok(at);
        }
    }
    send_payload(stream, payload, item).await
}

async fn send_payload(stream: &Stream, payload: Payload, item: &Item) -> Result<u64, Error> {
    if item.ends_record {
        stream.send_record(payload).await
    } else {
        stream.send(payload).await
    }
}

async fn payload(party: &Party, key: WayKey, file: &Option<File>, at: u64, item: &Item) -> Payload {
    let length = item.length as usize;
    let bytes = content(content_key(key), at, length);
    match (item.source, file) {
        (Source::File, Some(file)) => file.range(at, item.length).into(),
        (Source::Lease, _) if length > 0 && length <= 1 << 20 => {
            match party.engine.lease(length).await.expect("the engine lives") {
                Some(mut lease) => {
                    lease[..length].copy_from_slice(bytes);
                    lease.freeze(length).into()
                }
                None => Payload::Bytes(bytes.into()),
            }
        }
        _ => Payload::Bytes(bytes.into()),
    }
}

/// The file that parts of a direction come from: byte for byte what the stream is to carry.
async fn source_file(party: &Party, key: WayKey, way: &Way) -> Option<File> {
    if way.items.iter().all(|item| item.source != Source::File) {
        return None;
    }
    let path = format!("/{}/from-{}-{}", party.name, key.0, key.1);
    let bytes = content(content_key(key), 0, way.length() as usize);
    party.disk.plant_file(&path, bytes);
    let file = party.engine.ambient().open(&path, OpenHow::READ).await;
    Some(file.expect("it was planted"))
}

// --- receiving ---------------------------------------------------------------------------------

struct Reader<'a> {
    party: &'a Party,
    stream: &'a Stream,
    key: u64,
    way: Way,
    sink: Option<(File, String)>,
    received: Received,
    has_stopped: bool,
    /// Parts of the stream that went to the file.
    in_file: Vec<(u64, u64)>,
}

impl<'a> Reader<'a> {
    async fn new(party: &'a Party, stream: &'a Stream, key: WayKey, way: Way) -> Self {
        let path = format!("/{}/into-{}-{}", party.name, key.0, key.1);
        let sink = if matches!(way.taking, Taking::File | Taking::Mixed) {
            let how = OpenHow::READ_WRITE_CREATE;
            let file = party.engine.ambient().open(&path, how).await;
            Some((file.expect("it opens"), path))
        } else {
            None
        };
        Self {
            party,
            stream,
            key: content_key(key),
            way,
            sink,
            received: Received {
                bytes: 0,
                record_ends: Vec::new(),
                has_used_file: false,
                end: Ok(Status::ok()),
            },
            has_stopped: false,
            in_file: Vec::new(),
        }
    }

    async fn receive_all(&mut self) -> Received {
        loop {
            self.stop_if_due();
            match self.receive_some().await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    self.received.end = Err(error);
                    break;
                }
            }
            self.pause().await;
        }
        if self.received.end.is_ok() {
            self.received.end = self.stream.peer_status().await;
        }
        self.check_file();
        self.received.clone()
    }

    fn stop_if_due(&mut self) {
        let is_due = self.way.stop_at.is_some_and(|at| self.received.bytes >= at);
        if is_due && !self.has_stopped {
            self.has_stopped = true;
            self.stream.stop(Status::new(1002, "enough"));
        }
    }

    async fn pause(&mut self) {
        let most = self.way.pause.as_micros() as u64;
        let pause = self.way.draw.below(most + 1);
        if pause > 0 && self.way.draw.chance(30) {
            let slept = self.party.engine.sleep(Duration::from_micros(pause)).await;
            slept.expect("the engine lives");
        }
    }

    /// Takes what comes next, in whatever way; false at the end.
    async fn receive_some(&mut self) -> Result<bool, Error> {
        let taking = match self.way.taking {
            Taking::Mixed => self.way.draw.pick(&[
                Taking::Chunks,
                Taking::Records,
                Taking::Buffer,
                Taking::Buffer,
                Taking::File,
                Taking::File,
            ]),
            taking => taking,
        };
        match taking {
            Taking::Chunks | Taking::Mixed => self.receive_chunk().await,
            Taking::Records => self.receive_record().await,
            Taking::Buffer => self.receive_buffer().await,
            Taking::File => self.receive_file().await,
        }
    }

    /// Polls a receive, and drops it before its end if the script says so.
    async fn patiently<T>(&mut self, receive: impl Future<Output = T>) -> Option<T> {
        if !self.way.draw.chance(self.way.abandons) {
            return Some(receive.await);
        }
        let patience = Duration::from_micros(self.way.draw.below(3_000));
        race(receive, self.party.engine.sleep(patience)).await
    }

    async fn receive_chunk(&mut self) -> Result<bool, Error> {
        let stream = self.stream;
        let Some(received) = self.patiently(stream.receive()).await else {
            return Ok(true);
        };
        let Some(chunk) = received? else {
            return Ok(false);
        };
        assert_eq!(chunk.offset, self.received.bytes, "a gap, or bytes twice");
        self.take(&chunk.bytes, chunk.end_of_record);
        Ok(true)
    }

    async fn receive_record(&mut self) -> Result<bool, Error> {
        let stream = self.stream;
        let limit = self.way.draw.pick(&[u64::MAX, u64::MAX, 1 << 10]);
        let Some(received) = self.patiently(stream.receive_record(limit)).await else {
            return Ok(true);
        };
        match received {
            Ok(Some(record)) => self.take(&record, true),
            Ok(None) => return Ok(false),
            Err(Error::RecordTooLarge { received, allowed }) => {
                assert!(received > allowed);
                return self.receive_chunk().await;
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    async fn receive_buffer(&mut self) -> Result<bool, Error> {
        let stream = self.stream;
        let length = 1 + self.way.draw.size(400 << 10) as usize;
        let Some(received) = self.patiently(stream.receive_into(vec![0; length])).await else {
            return Ok(true);
        };
        let (buffer, filled, ends_record) = received?;
        assert_eq!(buffer.len(), length, "not the buffer that was given");
        self.take(&buffer[..filled], ends_record);
        Ok(filled > 0 || ends_record)
    }

    async fn receive_file(&mut self) -> Result<bool, Error> {
        let stream = self.stream;
        let Some((file, _)) = self.sink.clone() else {
            return self.receive_chunk().await;
        };
        let most = 1 + self.way.draw.size(600 << 10);
        let at = self.received.bytes;
        self.received.has_used_file = true;
        let received = self
            .patiently(stream.receive_into_file(&file, at, most))
            .await;
        let is_dropped = received.is_none();
        let count = match received {
            Some(count) => count?,
            None => self.written_so_far(at).await?,
        };
        assert!(count <= most);
        self.in_file.push((at, count));
        self.received.bytes += count;
        Ok(count > 0 || is_dropped)
    }

    /// How much went to the file for a future that was dropped: what is in it.
    async fn written_so_far(&mut self, at: u64) -> Result<u64, Error> {
        // The shard may still be at a write: it ends within this.
        let settle = self.party.engine.sleep(Duration::from_millis(20)).await;
        settle.expect("the engine lives");
        let length = self.sink.as_ref().map_or(0, |(_, path)| {
            self.party.disk.stat(path).map_or(0, |stat| stat.size)
        });
        Ok(length.saturating_sub(at))
    }

    fn take(&mut self, bytes: &[u8], ends_record: bool) {
        assert_content(self.key, self.received.bytes, bytes);
        self.received.bytes += bytes.len() as u64;
        if ends_record {
            self.received.record_ends.push(self.received.bytes);
        }
    }

    fn check_file(&self) {
        let Some((_, path)) = &self.sink else { return };
        let bytes = self.party.disk.read_file(path).unwrap_or_default();
        for &(at, count) in self.in_file.iter().filter(|(_, count)| *count > 0) {
            let part = &bytes[at as usize..(at + count) as usize];
            assert_content(self.key, at, part);
        }
    }
}
