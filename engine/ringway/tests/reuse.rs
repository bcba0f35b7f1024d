//! On loopback and Unix sockets bytes travel by reference: a write to the arena would alter what a
//! slow reader gets, if memory were lent again too early.

mod pair;

use pair::recycle::{narrow, recycle};
use pair::{Pair, engine_of};
use ringway::{BodyPath, Capability, block_on};

/// Many times the arena, so that each piece of memory is used often.
const LENGTH: u64 = 96 << 20;

fn recycle_at(target: &str) {
    let (server, client) = (engine_of(narrow()), engine_of(narrow()));
    let pair = Pair::cuttable_between(server, client, target);
    block_on(async {
        let cuts = recycle(&pair, LENGTH).await;
        assert!(cuts >= 10, "{cuts} cuts");
        let statistics = pair.client.statistics().await.expect("counted");
        assert!(statistics.resumes >= 5, "{} resumes", statistics.resumes);
        let by_reference = statistics.path_bytes.bytes(BodyPath::SpliceArena);
        let masked = narrow().masked;
        let can_splice = !masked.has(Capability::Splice) && !masked.has(Capability::ArenaSplice);
        assert_eq!(by_reference > LENGTH / 2, can_splice, "{by_reference}");
    });
    pair.end();
}

// S22
#[test]
fn leases_recycled_at_once_never_alter_what_a_slow_reader_gets_over_tcp() {
    recycle_at("127.0.0.1:0");
}

// S22
#[test]
fn leases_recycled_at_once_never_alter_what_a_slow_reader_gets_over_a_unix_socket() {
    let place = tempfile::tempdir().expect("temporary directory");
    recycle_at(&format!("unix:{}", place.path().join("socket").display()));
}
