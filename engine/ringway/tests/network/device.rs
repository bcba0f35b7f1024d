//! Memory that a device gathers from: where there is one, zero-copy sends are what they promise,
//! and their notifications come when the device is done with a segment and the peer has acked it.

use ringway::{BodyPath, Engine, block_on};

use crate::namespace::{Namespace, devices, skip};
use crate::pair::Pair;
use crate::pair::recycle::{narrow, recycle};

const LENGTH: u64 = 96 << 20;

// S22, over a wire. Between virtual devices the memory travels by splice; `cargo xtask device` runs
// this in a guest whose two network devices take zero-copy sends.
#[test]
fn leases_recycled_at_once_are_never_altered_on_a_wire() {
    let Some((near, far)) = Namespace::joined() else {
        return skip("leases_recycled_at_once_are_never_altered_on_a_wire");
    };
    let start = |namespace: &Namespace| {
        let started = namespace.run(|| Engine::start(narrow()));
        started.expect("starts")
    };
    let pair = Pair::cuttable_between(start(&far), start(&near), "10.77.0.2:0");
    block_on(async {
        let cuts = recycle(&pair, LENGTH).await;
        assert!(cuts >= 10, "{cuts} cuts");
        let statistics = pair.client.statistics().await.expect("counted");
        assert!(statistics.resumes >= 5, "{} resumes", statistics.resumes);
        let gathered = statistics.path_bytes.bytes(BodyPath::ZeroCopy);
        let (sends, copied) = (statistics.zero_copy_attempted, statistics.zero_copy_copied);
        println!("{gathered} bytes in {sends} zero-copy sends, {copied} of them copied");
        if devices().is_some() {
            assert!(gathered >= LENGTH, "{gathered} bytes by zero-copy");
            assert_eq!(copied, 0, "of {sends} zero-copy sends");
        } else {
            assert_eq!(gathered, 0, "bytes by zero-copy sends that would be copied");
        }
    });
    pair.end();
    drop((near, far));
}
