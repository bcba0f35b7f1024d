//! The mailbox: a question to a shard and its answer, from another thread and on the shard.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use ringway::{Config, Engine, block_on};

pub fn measure(criterion: &mut Criterion) {
    let config = Config {
        shards: 1,
        ..Config::default()
    };
    let engine = Engine::start(config).expect("an engine");
    let mut group = criterion.benchmark_group("mailbox");
    group.throughput(Throughput::Elements(1));
    // Two changes of threads, each with a wake-up.
    group.bench_function("round trip from another thread", |bencher| {
        bencher.iter(|| block_on(engine.now()).expect("it runs"));
    });
    group.bench_function("round trip on the shard", |bencher| {
        bencher.iter_custom(|rounds| on_shard(&engine, rounds));
    });
    group.finish();
    block_on(engine.shutdown(Duration::from_secs(1)));
}

fn on_shard(engine: &Engine, rounds: u64) -> Duration {
    let (told, answer) = mpsc::channel();
    let own = engine.clone();
    let spawned = engine.spawn_on(0, move || async move {
        let start = Instant::now();
        for _ in 0..rounds {
            own.now().await.expect("it runs");
        }
        // The measuring thread waits for exactly this.
        let _ = told.send(start.elapsed());
    });
    spawned.expect("it has a shard 0");
    answer.recv().expect("the task ends by telling")
}
