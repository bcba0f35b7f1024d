//! Networks on which calls fail: only the simulated kernel fails them at will.

use std::time::Duration;

use ringway_sim::FaultConfig;

use crate::on_sim::run_with;
use crate::stage::{Setup, Stage, both, receive_pattern, send_pattern, until};

const LENGTH: u64 = 4 << 20;

// S18, S19: a third of all accepts aborted (ECONNABORTED), half of all dials refused, and of all
// sends and receives one in a few hundred finds its connection broken.
#[test]
fn calls_that_fail_all_the_time_lose_neither_session_nor_listener_nor_byte() {
    let faults = FaultConfig {
        accept_fails_per_mille: 300,
        dial_refused_per_mille: 500,
        broken_per_mille: 3,
        ..FaultConfig::MODERATE
    };
    run_with(&Setup::default(), faults, move_both_ways);
}

async fn move_both_ways(stage: Stage) {
    let (near, far) = stage.stream().await;
    let out = both(
        send_pattern(&near, 1, LENGTH, 30_000),
        receive_pattern(&far, 1, 5),
    );
    let back = both(
        send_pattern(&far, 2, LENGTH, 30_000),
        receive_pattern(&near, 2, 0),
    );
    let cuts = async {
        loop {
            stage.sleep(Duration::from_millis(50)).await;
            stage.ground.cut();
        }
    };
    let ends = until(both(out, back), cuts).await.expect("they end");
    assert_eq!(ends, (((), LENGTH + 5), ((), LENGTH)));
    let near = stage.near_engine.statistics().await.expect("counted");
    assert!(near.resumes > 5 && near.dials_failed > 0, "nothing failed");
    // The listener accepts as before.
    let (another, accepted) = stage.another_session().await;
    another.close(ringway::Status::ok());
    accepted.ended().await;
}
