//! How shards wait, on the real kernel.

mod pair;

use std::time::Duration;

use pair::Pair;
use ringway::{Config, Engine, StartError, Statistics, Status, StreamOptions, WaitMode, block_on};

fn engine(wait: WaitMode) -> Engine {
    let config = Config {
        shards: 1,
        wait,
        ..Config::from_environment().expect("known names")
    };
    Engine::start(config).expect("starts")
}

/// Round trips between two such engines, asked for from this thread, which the shards do not know
/// of before it comes. The statistics of the first.
fn echo(wait: WaitMode, rounds: u8) -> Statistics {
    let pair = Pair::plain_between(engine(wait), engine(wait), "127.0.0.1:0");
    let statistics = block_on(async {
        let call = pair.near.open(StreamOptions::default()).await;
        let call = call.expect("opens");
        call.send_record(vec![0; 64]).await.expect("sends");
        let serve = pair.far.accept().await.expect("arrives");
        for round in 0..rounds {
            let there = serve.receive_record(64).await.expect("alive");
            serve
                .send_record(there.expect("a record"))
                .await
                .expect("sends");
            let back = call.receive_record(64).await.expect("alive");
            assert_eq!(back.expect("a record"), vec![round; 64]);
            call.send_record(vec![round + 1; 64]).await.expect("sends");
        }
        call.finish(Status::ok()).await.expect("finishes");
        pair.client.statistics().await.expect("alive")
    });
    pair.end();
    statistics
}

/// Nobody rings for a shard that has not said that it sleeps: it has to find messages and
/// completions by itself.
#[test]
fn a_shard_that_never_sleeps_finds_all_that_comes() {
    let idle_max = Duration::MAX;
    let statistics = echo(WaitMode::Spin { idle_max }, 50);
    assert!(statistics.peeks > 0, "it has not spun");
    assert_eq!(statistics.sleeps, 0, "it has slept");
}

/// The change from one to the other is where a message could be missed.
#[test]
fn a_shard_that_spins_for_a_moment_and_then_sleeps_misses_nothing() {
    let idle_max = Duration::from_micros(2);
    let statistics = echo(WaitMode::Spin { idle_max }, 200);
    assert!(statistics.sleeps > 0 && statistics.peeks > 0);
}

#[test]
fn a_peek_misses_nothing() {
    let peek_max = Duration::from_millis(1);
    let statistics = echo(WaitMode::Sleep { peek_max }, 200);
    assert!(statistics.sleeps > 0, "the first wait is one");
}

#[test]
fn a_peek_as_long_as_spinning_is_refused() {
    let config = Config {
        shards: 1,
        wait: WaitMode::Sleep {
            peek_max: Duration::from_secs(1),
        },
        ..Config::default()
    };
    let refused = Engine::start(config).map(drop);
    let refused = refused.expect_err("it is too long");
    assert!(matches!(refused, StartError::Configuration { .. }));
    assert!(refused.to_string().contains("peek_max"), "{refused}");
}
