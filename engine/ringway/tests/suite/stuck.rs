//! Readers that are slow, or do not read at all.

use ringway::{SessionState, Stream};

use crate::stage::{HEARTBEAT, Setup, Stage, all, both, open_between, pattern, send_pattern};

const WINDOW: u64 = 64 << 10;

/// Eight full streams use the credit of the session up.
pub fn small_window() -> Setup {
    let mut setup = Setup::default();
    setup.config.session.stream_window_bytes = WINDOW;
    setup.config.session.session_window_bytes = 8 * WINDOW;
    setup
}

// B5
pub async fn a_very_slow_reader_that_lives_is_never_timed_out(stage: Stage) {
    const LENGTH: u64 = 10 * WINDOW;
    let (near, far) = stage.stream().await;
    let reader = async {
        let mut at = 5;
        while let Some(chunk) = far.receive().await.expect("arrives") {
            assert!(chunk.bytes == pattern(1, at - 5, chunk.bytes.len()));
            let before = at / WINDOW;
            at += chunk.bytes.len() as u64;
            // Longer than a silent peer would be given.
            if at / WINDOW > before {
                stage.sleep(HEARTBEAT * 5 / 2).await;
            }
        }
        at
    };
    let ((), end) = both(send_pattern(&near, 1, LENGTH, 100_000), reader).await;
    assert_eq!(end, LENGTH + 5);
    for (engine, session) in [
        (&stage.near_engine, &stage.near),
        (&stage.far_engine, &stage.far),
    ] {
        let statistics = engine.statistics().await.expect("counted");
        assert_eq!(statistics.connections_lost, 0);
        assert!(matches!(session.state(), SessionState::Connected { .. }));
    }
}

// S29
pub async fn readers_that_never_read_do_not_stop_their_neighbours(stage: Stage) {
    let mut stuck: Vec<(Stream, Stream)> = Vec::new();
    for index in 0..10 {
        let (near, far) = stage.stream().await;
        let piece = pattern(index, 0, 2 * WINDOW as usize);
        near.send(piece.clone()).await.expect("accepted");
        far.send(piece).await.expect("accepted");
        stuck.push((near, far));
    }
    // Until nothing moves any more.
    stage.sleep(HEARTBEAT).await;
    let (other_near, other_far) = stage.another_session().await;
    for _ in 0..50 {
        round_trip(&stage.stream().await).await;
        round_trip(&open_between(&other_near, &other_far).await).await;
    }
    // Acks and credit pass as well: who reads at last gets everything.
    let ends = stuck.iter().zip(0..);
    let readers = ends.flat_map(|((near, far), index)| [read(far, index), read(near, index)]);
    all(readers).await;
    other_near.close(ringway::Status::ok());
    other_far.ended().await;
}

/// Reads what is in the way.
async fn read(stream: &Stream, key: u64) {
    let mut got = 0;
    while got < 2 * WINDOW {
        let chunk = stream.receive().await.expect("arrives").expect("more");
        assert!(chunk.bytes == pattern(key, got, chunk.bytes.len()));
        got += chunk.bytes.len() as u64;
    }
}

async fn round_trip((near, far): &(Stream, Stream)) {
    near.send_record(&b"ping"[..]).await.expect("accepted");
    let record = far.receive_record(10).await.expect("arrives");
    far.send_record(record.expect("a record"))
        .await
        .expect("accepted");
    let record = near.receive_record(10).await.expect("arrives");
    assert_eq!(record.expect("a record"), "ping");
}
