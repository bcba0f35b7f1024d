//! Receives one direction of a stream in the way its script says, and compares every byte.

use std::time::Duration;

use ringway::{Error, File, OpenHow, Status, Stream};

use crate::content::assert_content;
use crate::load::{Received, WayKey};
use crate::party::Party;
use crate::scene::race;
use crate::script::{Taking, Way};

/// A write that is under way when its future is dropped ends within this, however the disk stalls.
const SETTLE: Duration = Duration::from_secs(2);

/// The receiver of one direction.
pub(crate) struct Reader<'a> {
    party: &'a Party,
    stream: &'a Stream,
    key: u64,
    way: Way,
    sink: Option<(File, String)>,
    received: Received,
    has_stopped: bool,
    /// From here on some bytes went to the file for a receive that was dropped.
    lost_at: Option<u64>,
    /// Parts of the stream that went to the file.
    in_file: Vec<(u64, u64)>,
}

impl<'a> Reader<'a> {
    pub(crate) async fn new(party: &'a Party, stream: &'a Stream, key: WayKey, way: Way) -> Self {
        let path = format!("/{}/into-{key}", party.name);
        let sink = if matches!(way.taking, Taking::File | Taking::Mixed) {
            let how = OpenHow::READ_WRITE_CREATE;
            let file = party.open_for_bodies(&path, how).await;
            Some((file, path))
        } else {
            None
        };
        Self {
            party,
            stream,
            key: key.content(),
            way,
            sink,
            received: Received {
                bytes: 0,
                record_ends: Vec::new(),
                has_used_file: false,
                end: Ok(Status::ok()),
            },
            has_stopped: false,
            lost_at: None,
            in_file: Vec::new(),
        }
    }

    /// Takes everything up to the end.
    pub(crate) async fn receive_all(&mut self) -> Received {
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
            self.party.pause(Duration::from_micros(pause)).await;
        }
    }

    /// Takes what comes next, in whatever way; false at the end.
    async fn receive_some(&mut self) -> Result<bool, Error> {
        if let Some(at) = self.lost_at {
            return self.find_place(at).await;
        }
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
        let Some(count) = received else {
            self.lost_at = Some(at);
            return Ok(true);
        };
        let count = count?;
        assert!(count <= most);
        self.wrote(at, count);
        Ok(count > 0)
    }

    fn wrote(&mut self, at: u64, count: u64) {
        self.in_file.push((at, count));
        self.received.bytes += count;
    }

    /// After a receive into a file was dropped: how much went there is told by the offset of what
    /// comes next, or by the file itself if nothing comes.
    async fn find_place(&mut self, at: u64) -> Result<bool, Error> {
        // A write may be under way.
        self.party.pause(SETTLE).await;
        let next = self.stream.receive().await?;
        self.lost_at = None;
        let Some(chunk) = next else {
            let length = self.sink.as_ref().map_or(0, |(_, path)| {
                self.party.disk.stat(path).map_or(0, |stat| stat.size)
            });
            self.wrote(at, length.saturating_sub(at));
            return Ok(false);
        };
        assert!(chunk.offset >= at, "bytes twice");
        self.wrote(at, chunk.offset - at);
        self.take(&chunk.bytes, chunk.end_of_record);
        Ok(true)
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
