//! Leases: borrowing a piece of the arena and giving it back.

use criterion::{Criterion, Throughput};
use ringway_io::Kernel;
use ringway_uring::{Uring, UringConfig};

pub fn measure(criterion: &mut Criterion) {
    let mut kernel = Uring::start(UringConfig::default()).expect("a ring");
    let mut group = criterion.benchmark_group("lease");
    group.throughput(Throughput::Elements(1));
    for (name, bytes) in [("4 KiB", 4 << 10), ("256 KiB", 256 << 10)] {
        group.bench_function(format!("{name}: acquire, release"), |bencher| {
            bencher.iter(|| kernel.lease(bytes).expect("the arena is empty").len());
        });
        group.bench_function(
            format!("{name}: acquire, freeze, to Bytes, release"),
            |bencher| {
                bencher.iter(|| {
                    let lease = kernel.lease(bytes).expect("the arena is empty");
                    lease.freeze(bytes).into_bytes().len()
                });
            },
        );
    }
    group.finish();
}
