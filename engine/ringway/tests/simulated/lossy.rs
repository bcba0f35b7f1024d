//! Lossy streams whose reader or link is slower than their writer: what arrives is whole, in
//! order, and together with the gaps accounts for everything that was sent.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ringway::{Error, OpenHow, SessionConfig, Status, Stream, StreamOptions, WhenFull};

use crate::cuts::cut_often;
use crate::load::Party;
use crate::mix::drawn;
use crate::scene::{Scene, TARGET};
use crate::seeds::{Draw, for_seeds};

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
    let how = OpenHow::READ_WRITE_CREATE;
    let file = party.engine.ambient().open(&path, how).await;
    let file = file.expect("opens");
    let pause_us = draw.pick(&[0, 100, 5000]);
    loop {
        if pause_us > 0 {
            let pause = Duration::from_micros(draw.size(pause_us));
            party.engine.sleep(pause).await.expect("lives");
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

// S23
#[test]
fn what_arrives_of_a_lossy_stream_is_whole_and_every_gap_is_told() {
    let left_out = Rc::new(RefCell::new(0));
    for_seeds(100, |seed| {
        let mut draw = Draw::new(seed, 20);
        let (world, mut config) = drawn(&mut draw);
        config.session = SessionConfig {
            retained_bytes_max: draw.pick(&[10_000, 40_000, 200_000]),
            unacked_bytes_max: draw.pick(&[4000, 30_000]),
            ..config.session
        };
        let mut scene = Scene::two_hosts(seed, world, &config);
        let (near, far, listener) = scene.connect(TARGET);
        let ends = [Party::of(&scene, 0, &near), Party::of(&scene, 1, &far)];
        let times = draw.below(6);
        cut_often(&scene, &ends[0], &mut draw, times);
        let (count, left_out) = (50 + draw.below(200), Rc::clone(&left_out));
        let pause_us = draw.pick(&[0, 50, 400]);
        let [writer, reader] = ends;
        scene.spawner.spawn("writer", async move {
            let options = StreamOptions {
                when_full: WhenFull::DropOldest,
                ..StreamOptions::default()
            };
            let stream = writer.session.open(options).await.expect("opens");
            assert!(stream.is_lossy());
            for number in 0..count {
                stream.send_record(record(number)).await.expect("accepted");
                let pause = Duration::from_micros(pause_us);
                writer.engine.sleep(pause).await.expect("lives");
            }
            stream.finish(Status::ok()).await.expect("finished");
            stream.finish_acked().await.expect("acked");
        });
        let draw = Draw::new(draw.next(), 21);
        scene.spawner.spawn("reader", async move {
            let stream = reader.session.accept().await.expect("arrives");
            let told = read(reader, stream.clone(), draw).await;
            assert!(stream.is_lossy());
            assert_eq!((told.next, told.partial.len()), (count, 0));
            *left_out.borrow_mut() += told.left_out;
            stream.finish(Status::ok()).await.expect("finished");
        });
        scene.run_all(Duration::from_secs(600));
        scene.close(near, far);
        drop(listener);
        scene.end();
    });
    assert!(*left_out.borrow() > 0, "no seed ever dropped anything");
}
