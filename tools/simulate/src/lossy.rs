//! The workload of lossy streams, whose reader or link is slower than their writer: what arrives
//! is whole, in order, and together with the gaps accounts for everything that was sent.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ringway::{Error, OpenHow, Status, Stream, StreamOptions, WhenFull};

use crate::draw::Draw;
use crate::party::Party;
use crate::run::Context;
use crate::streams::{DONE_WITHIN, Pair};
use crate::trouble::Trouble;

/// Bytes of every record: its number, over and over.
const RECORD_BYTES: usize = 3000;

fn record(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(RECORD_BYTES / 8)
}

/// What a reader was told: numbers of whole records, and how many were left out.
#[derive(Default)]
struct Told {
    next: u64,
    left_out: u64,
    partial: Vec<u8>,
}

impl Told {
    fn take(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        while self.partial.len() >= RECORD_BYTES {
            let rest = self.partial.split_off(RECORD_BYTES);
            let whole = std::mem::replace(&mut self.partial, rest);
            assert!(whole == record(self.next), "mixed, or out of order");
            self.next += 1;
        }
    }

    fn skip(&mut self, error: &Error) {
        let Error::Gap(gap) = error else {
            panic!("{error}")
        };
        // A receive of whole records has never shown what had come of one.
        let begin = self.next * RECORD_BYTES as u64;
        let begun = gap.offset - begin;
        let is_shown = self.partial.len() as u64 == begun;
        assert!(is_shown || self.partial.is_empty(), "in its place: {gap:?}");
        assert_eq!(gap.is_record_cut, begun > 0, "{gap:?}");
        self.partial.clear();
        self.next += gap.records;
        self.left_out += gap.records;
        assert_eq!(gap.offset + gap.bytes, self.next * RECORD_BYTES as u64);
    }
}

async fn read(party: Party, stream: Stream, mut draw: Draw) -> Told {
    let mut told = Told::default();
    let path = format!("/{}/sink", party.name);
    let file = party.open(&path, OpenHow::READ_WRITE_CREATE).await;
    let pause_us = draw.pick(&[0, 100, 5000]);
    loop {
        if pause_us > 0 {
            let pause = Duration::from_micros(draw.size(pause_us));
            party.pause(pause).await;
        }
        let size = 1 + draw.below(3 * RECORD_BYTES as u64) as usize;
        let got = match draw.below(4) {
            // Only where a record begins: what was taken of one is not there any more.
            0 if told.partial.is_empty() => {
                let record = stream.receive_record(1 << 20).await;
                record.map(|record| record.map(|bytes| bytes.to_vec()))
            }
            1 => {
                let received = stream.receive_into(vec![0; size]).await;
                received.map(|(mut buffer, filled, _)| {
                    buffer.truncate(filled);
                    (filled > 0).then_some(buffer)
                })
            }
            2 => match stream.receive_into_file(&file, 0, size as u64).await {
                Ok(count) => {
                    let read = file.read_at(0, vec![0; count as usize]).await;
                    let (bytes, filled) = read.expect("readable");
                    assert_eq!(filled as u64, count);
                    Ok((count > 0).then_some(bytes))
                }
                Err(error) => Err(error),
            },
            _ => {
                let chunk = stream.receive().await;
                chunk.map(|chunk| chunk.map(|chunk| chunk.bytes.to_vec()))
            }
        };
        match got {
            Ok(Some(bytes)) => told.take(&bytes),
            Ok(None) => return told,
            Err(error) => told.skip(&error),
        }
    }
}

/// Runs one seed.
///
/// # Panics
/// At a violation.
pub(crate) fn run(seed: u64, context: &Context) {
    let mut draw = Draw::new(seed, 20);
    let mut pair = Pair::draw(seed, context, &mut draw, |world, configs| {
        // A file that fails would be no gap: disks and memory are kind here.
        world.faults.disk_error_per_mille = 0;
        world.faults.no_memory_per_mille = 0;
        for config in configs {
            config.session.retained_bytes_max = draw_cap(seed, &[10_000, 40_000, 200_000]);
            config.session.unacked_bytes_max = draw_cap(seed ^ 1, &[4000, 30_000]);
        }
    });
    let listener = pair.listen(&mut draw);
    let ends = pair.connect(&listener);
    let [writer, reader] = pair.parties(&ends, "lossy");
    let count = 50 + draw.below(200);
    let pause = Duration::from_micros(draw.pick(&[0, 50, 400]));
    let left_out = Rc::new(RefCell::new(0));
    writer
        .spawner
        .clone()
        .spawn("writer", write(writer, count, pause));
    let (told, its) = (Rc::clone(&left_out), draw.fork());
    reader.spawner.clone().spawn("reader", async move {
        let stream = reader.session.accept().await.expect("arrives");
        let read = read(reader, stream.clone(), its).await;
        assert!(stream.is_lossy());
        assert_eq!((read.next, read.partial.len()), (count, 0));
        *told.borrow_mut() += read.left_out;
        stream.finish(Status::ok()).await.expect("finished");
    });
    let trouble = Trouble::draw(&mut draw);
    trouble.make(&mut pair.scene, &ends[..1], &mut draw);
    pair.scene.world.calm();
    pair.scene.run_all(DONE_WITHIN);
    pair.rest(&ends);
    pair.close(ends, &mut draw);
    context.count("records_left_out", *left_out.borrow());
    drop(listener);
    pair.end();
}

fn draw_cap(seed: u64, of: &[u64]) -> u64 {
    Draw::new(seed, 22).pick(of)
}

async fn write(writer: Party, count: u64, pause: Duration) {
    let options = StreamOptions {
        when_full: WhenFull::DropOldest,
        ..StreamOptions::default()
    };
    let stream = writer.session.open(options).await.expect("opens");
    assert!(stream.is_lossy());
    for number in 0..count {
        stream.send_record(record(number)).await.expect("accepted");
        writer.pause(pause).await;
    }
    stream.finish(Status::ok()).await.expect("finished");
    stream.finish_acked().await.expect("acked");
}
