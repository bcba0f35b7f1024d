//! Bulk connections beside the message connection.

use std::time::Duration;

use ringway::{Session, Statistics, Status};

use crate::replay::small_buffers;
use crate::stage::{HEARTBEAT, Setup, Stage, all, both, pattern, receive_pattern, send_pattern};
use crate::stuck::small_window;
use crate::{replay, stuck};

/// From here on a payload is large, where a scenario says so.
const LARGE_BYTES: u64 = 16 << 10;

/// Everything of some size takes one of three bulk connections.
fn over_three(mut setup: Setup) -> Setup {
    setup.config.session.bulk_connections = 3;
    setup.config.session.bulk_body_bytes_min = LARGE_BYTES;
    setup
}

pub fn three() -> Setup {
    over_three(Setup::default())
}

pub fn three_slow() -> Setup {
    over_three(replay::slow_link())
}

pub fn three_with_small_buffers() -> Setup {
    over_three(small_buffers())
}

pub fn three_with_small_windows() -> Setup {
    over_three(small_window())
}

/// One end takes none.
pub fn none() -> Setup {
    let mut setup = Setup::default();
    setup.config.session.bulk_connections = 0;
    setup
}

async fn counted(stage: &Stage) -> (Statistics, Statistics) {
    let (near, far) = (&stage.near_engine, &stage.far_engine);
    let both = both(near.statistics(), far.statistics()).await;
    (both.0.expect("counted"), both.1.expect("counted"))
}

/// Waits until so many are attached at both ends; somebody has a large body.
async fn attached(stage: &Stage, count: u64) {
    loop {
        let (near, far) = counted(stage).await;
        if near.bulk_attached.min(far.bulk_attached) == count {
            return;
        }
        stage.sleep(Duration::from_millis(5)).await;
    }
}

// S10
pub async fn large_replays_both_ways_over_several_connections_complete(stage: Stage) {
    replay::large_replays_both_ways_at_once_through_small_buffers_complete(stage.clone()).await;
    let (near, far) = counted(&stage).await;
    assert!(near.bulk_attached > 0 && far.bulk_attached > 0);
    assert!(near.bulk_body_bytes_sent > 0 && far.bulk_body_bytes_sent > 0);
}

// S11
pub async fn a_set_of_connections_that_dies_again_and_again_makes_progress(stage: Stage) {
    replay::a_link_that_dies_again_and_again_at_half_of_a_replay_still_makes_progress(
        stage.clone(),
    )
    .await;
    let (near, _) = counted(&stage).await;
    assert!(
        near.bulk_attached > near.resumes,
        "attached again each time"
    );
}

// S15
pub async fn a_half_open_set_of_connections_is_taken_over_as_one(stage: Stage) {
    // The bulk connections are there before the way falls silent.
    let (near, far) = stage.stream().await;
    send_pattern(&near, 3, 4 * LARGE_BYTES, 2 * LARGE_BYTES as usize).await;
    assert_eq!(receive_pattern(&far, 3, 5).await, 4 * LARGE_BYTES + 5);
    attached(&stage, 3).await;
    replay::a_half_open_connection_is_taken_over_and_what_comes_late_on_it_is_ignored(
        stage.clone(),
    )
    .await;
    let (_, far) = counted(&stage).await;
    assert!(far.bulk_lost > 0);
}

// S29
pub async fn bodies_that_nobody_takes_do_not_stop_messages_and_neighbours(stage: Stage) {
    stuck::readers_that_never_read_do_not_stop_their_neighbours(stage.clone()).await;
    let (near, far) = counted(&stage).await;
    assert!(near.bulk_body_bytes_sent > 0 && far.bulk_body_bytes_sent > 0);
}

// S12, and what bulk connections are for.
pub async fn a_small_message_passes_a_body_that_saturates_its_link(stage: Stage) {
    const LENGTH: u64 = 24 << 20;
    let (near, far) = stage.stream().await;
    let (ping, pong) = stage.stream().await;
    let sent = send_pattern(&near, 1, LENGTH, 4 << 20);
    let bulk = both(sent, receive_pattern(&far, 1, 5));
    let messages = async {
        let mut answered_under_load = 0;
        for _ in 0..20 {
            ping.send_record(&b"ping"[..]).await.expect("accepted");
            let record = pong.receive_record(10).await.expect("arrives");
            pong.send_record(record.expect("a record"))
                .await
                .expect("accepted");
            ping.receive_record(10).await.expect("arrives");
            let received = far.progress().await.expect("told").received;
            answered_under_load += u64::from((6..LENGTH).contains(&received));
            stage.sleep(Duration::from_millis(20)).await;
        }
        answered_under_load
    };
    let (((), end), answered_under_load) = both(bulk, messages).await;
    assert_eq!(end, LENGTH + 5);
    assert!(answered_under_load >= 5, "{answered_under_load} of 20");
    let (near, _) = counted(&stage).await;
    assert!(near.bulk_body_bytes_sent > 0);
}

pub async fn several_large_bodies_use_every_bulk_connection_and_stay_in_order(stage: Stage) {
    const LENGTH: u64 = 2 << 20;
    let mut streams = Vec::new();
    for _ in 0..6 {
        streams.push(stage.stream().await);
    }
    let cutter = async {
        stage.sleep(Duration::from_millis(60)).await;
        stage.ground.cut();
    };
    let transfers = streams
        .iter()
        .zip(0..)
        .map(|((near, far), key)| async move {
            // Small ones in between: a stream must not overtake itself from one connection to another.
            for part in 0..4 {
                let at = part * (LENGTH / 4);
                near.send(pattern(key, at, 100)).await.expect("accepted");
                let rest = pattern(key, at + 100, (LENGTH / 4) as usize - 100);
                near.send(rest).await.expect("accepted");
            }
            near.finish(Status::ok()).await.expect("finished");
            assert_eq!(receive_pattern(far, key, 5).await, LENGTH + 5);
        });
    both(all(transfers), cutter).await;
    let (near, _) = counted(&stage).await;
    assert!(near.bulk_attached >= 3, "{} attached", near.bulk_attached);
    assert!(near.bulk_body_bytes_sent >= LENGTH);
}

pub async fn the_numbers_of_a_session_are_those_of_all_its_connections(stage: Stage) {
    const LENGTH: u64 = 4 << 20;
    let (near, far) = stage.stream().await;
    near.send(pattern(1, 0, 1 << 20)).await.expect("accepted");
    attached(&stage, 1).await;
    let rest = pattern(1, 1 << 20, (LENGTH - (1 << 20)) as usize);
    near.send(rest).await.expect("accepted");
    near.finish(Status::ok()).await.expect("finished");
    assert_eq!(receive_pattern(&far, 1, 5).await, LENGTH + 5);
    near.finish_acked().await.expect("acked");
    let (sender, receiver) = counted(&stage).await;
    assert!(sender.bulk_body_bytes_sent > 0);
    let of = |session: &Session| {
        let session = session.clone();
        async move { session.statistics().await.expect("told") }
    };
    let (ours, theirs) = (of(&stage.near).await, of(&stage.far).await);
    assert_eq!(ours.body_bytes_sent, LENGTH + 5);
    assert_eq!(ours.body_bytes_sent, sender.body_bytes_sent);
    assert_eq!(theirs.body_bytes_received, LENGTH + 5);
    assert_eq!(theirs.body_bytes_received, receiver.body_bytes_received);
    let by_path = ringway::BodyPath::ALL.iter();
    let by_path = by_path.map(|&path| ours.path_bytes.bytes(path));
    assert_eq!(by_path.sum::<u64>(), ours.body_bytes_sent);
    assert_eq!(
        (ours.connected, ours.pieces_queued, ours.unacked_bytes),
        (1, 0, 0)
    );
}

pub async fn a_body_that_is_cut_in_the_middle_is_counted_once(stage: Stage) {
    const LENGTH: u64 = 8 << 20;
    let (near, far) = stage.stream().await;
    let cutter = async {
        // Somewhere in a body, at both of the connections.
        for _ in 0..3 {
            stage.sleep(Duration::from_millis(70)).await;
            stage.ground.cut();
        }
    };
    let sent = send_pattern(&near, 1, LENGTH, 2 << 20);
    let (((), end), ()) = both(both(sent, receive_pattern(&far, 1, 5)), cutter).await;
    assert_eq!(end, LENGTH + 5);
    let (_, receiver) = counted(&stage).await;
    assert!(receiver.resumes > 0);
    assert_eq!(receiver.body_bytes_received, LENGTH + 5);
    let theirs = stage.far.statistics().await.expect("told");
    assert_eq!(theirs.body_bytes_received, LENGTH + 5);
}

pub async fn without_bulk_connections_large_bodies_take_the_message_connection(stage: Stage) {
    const LENGTH: u64 = 4 << 20;
    let (near, far) = stage.stream().await;
    let sent = send_pattern(&near, 1, LENGTH, 1 << 20);
    let ((), end) = both(sent, receive_pattern(&far, 1, 5)).await;
    assert_eq!(end, LENGTH + 5);
    let (near, far) = counted(&stage).await;
    assert_eq!((near.bulk_attached, far.bulk_attached), (0, 0));
    assert_eq!(near.connections_dialled, 1);
}

pub async fn where_no_second_connection_is_to_be_had_bodies_flow_all_the_same(stage: Stage) {
    const LENGTH: u64 = 4 << 20;
    let (near, far) = stage.stream().await;
    // What is attached goes on; what is dialled from now on fails.
    stage.listener.close();
    while counted(&stage).await.1.listeners > 0 {
        stage.sleep(Duration::from_millis(5)).await;
    }
    // Its socket is closed once the kernel has given it back.
    stage.sleep(HEARTBEAT).await;
    let sent = send_pattern(&near, 1, LENGTH, 1 << 20);
    let ((), end) = both(sent, receive_pattern(&far, 1, 5)).await;
    assert_eq!(end, LENGTH + 5);
    // It is tried again and again, and disturbs nobody.
    stage.sleep(HEARTBEAT * 3).await;
    let (near, _) = counted(&stage).await;
    assert_eq!((near.bulk_attached, near.connections_lost), (0, 0));
    assert!(near.connections_dialled > 1);
}
