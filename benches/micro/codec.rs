//! The frame codec: a header to bytes and back, its checksum included.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use ringway_proto::StreamId;
use ringway_proto::testing::Frame;

fn frames() -> [(&'static str, Frame); 2] {
    let stream = StreamId(4);
    let data = Frame::Data {
        stream,
        offset: 123_456_789_012,
        record: 42,
        length: 1 << 20,
        opens: false,
        end_of_record: true,
        finishes: false,
        trailer: false,
    };
    let ack = Frame::Ack {
        stream,
        received: 123_456_789_012,
        records: 42,
        consumed: 123_456_700_000,
        credit: 123_473_477_216,
        end_known: false,
    };
    [("data", data), ("ack", ack)]
}

pub fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Elements(1));
    for (name, frame) in frames() {
        let mut bytes = Vec::with_capacity(256);
        group.bench_function(format!("emit {name}"), |bencher| {
            bencher.iter(|| {
                bytes.clear();
                black_box(&frame).emit(&mut bytes);
                bytes.len()
            });
        });
        group.bench_function(format!("parse {name}"), |bencher| {
            bencher.iter(|| Frame::parse(black_box(&bytes)).is_ok());
        });
    }
    group.finish();
}
