//! What an engine holds when everything of a test is over: nothing.

use std::time::Duration;

use ringway::{Engine, Statistics};

/// Last words, grace times and late completions take a few seconds at most.
const ATTEMPTS: u32 = 1500;

/// Waits until an engine without sessions and listeners holds nothing any more. One that was shut
/// down already has answered for itself.
pub async fn comes_to_rest(engine: &Engine) {
    let mut left = Vec::new();
    for _ in 0..ATTEMPTS {
        let Ok(now) = engine.statistics().await else {
            return;
        };
        left = held(&now);
        if left.is_empty() {
            return;
        }
        // Shut down meanwhile: the next look says so.
        let _ = engine.sleep(Duration::from_millis(10)).await;
    }
    panic!("left over: {left:?}");
}

fn held(now: &Statistics) -> Vec<(&'static str, u64)> {
    let gauges = [
        ("sessions", now.sessions),
        ("streams", now.streams),
        ("streams of ended sessions", now.streams_detached),
        ("connections", now.connections),
        ("handshakes", now.handshakes),
        ("dials", now.dials),
        ("listeners", now.listeners),
        ("tasks", now.tasks),
        ("messages", now.messages_waiting),
        ("ops", now.ops_in_flight),
        ("starved connections", now.connections_starved),
        ("resting leases", now.leases_resting),
        ("retained bytes", now.retained_bytes),
        ("unacked bytes", now.unacked_bytes),
    ];
    gauges.into_iter().filter(|(_, count)| *count > 0).collect()
}
