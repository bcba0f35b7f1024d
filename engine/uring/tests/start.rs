//! What a ring gets at start, and what it tells about it.

mod rig;

use std::collections::HashSet;

use rig::{Rig, config, wait_for_turn};
use ringway_io::{Capabilities, Capability, Errno, Kernel, Op, Wait};
use ringway_uring::{Uring, UringConfig, probe};

#[test]
fn every_capability_is_found_once_and_in_order() {
    let rig = Rig::new();
    let findings = rig.kernel.findings();
    let order: Vec<_> = findings.iter().map(|it| it.capability).collect();
    assert_eq!(order, Capability::ALL);
    for finding in findings {
        assert!(!finding.how.is_empty());
        let is_used = rig.has(finding.capability);
        assert_eq!(is_used, finding.is_present && !finding.is_masked);
    }
    rig.finish();
}

// On the reference kernel everything works but what its configuration switches off.
#[test]
fn a_new_kernel_has_all_but_huge_pages() {
    wait_for_turn();
    let release = probe(UringConfig::default()).kernel_release;
    let mut numbers = release.split('.').map(|part| part.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < (6, 15) {
        return rig::skip("a_new_kernel_has_all", &format!("kernel {release}"));
    }
    let mut rig = Rig::with(UringConfig {
        masked: Capabilities::NONE,
        ..config()
    });
    let absent: HashSet<_> = Capability::ALL
        .iter()
        .filter(|it| !rig.has(**it))
        .copied()
        .collect();
    let may_be_absent = [Capability::HugePages, Capability::RegisteredBuffers];
    assert!(
        absent.iter().all(|it| may_be_absent.contains(it)),
        "{absent:?}"
    );
    assert!(rig.kernel.lease(1).is_some());
    rig.finish();
}

#[test]
fn everything_masked_still_moves_time() {
    let mut rig = Rig::with(UringConfig {
        masked: Capabilities::all(),
        ..config()
    });
    assert_eq!(rig.kernel.capabilities(), Capabilities::NONE);
    let at_ns = rig.kernel.now_ns();
    rig::expect_error(&rig.run(Op::Timeout { at_ns }), Errno::ETIMEDOUT);
    rig.finish();
}

#[test]
fn limits_are_what_was_configured_on_a_machine_that_gives_it() {
    let rig = Rig::with(UringConfig {
        submission_entries: 100,
        ops_max: 1000,
        accept_window: 10,
        provided_count: 10,
        ..config()
    });
    let limits = rig.kernel.limits();
    let is_reduced = limits.reductions.iter().any(|it| it.what == "ops");
    assert_eq!(is_reduced, limits.ops_max < 1000);
    assert!(is_reduced || limits.submission_entries == 128);
    assert!((16..=1000).contains(&limits.ops_max));
    assert_eq!(limits.provided_count, 16);
    assert!(limits.completion_entries >= 3 * limits.ops_max + 16 + 4);
    rig.finish();
}

#[test]
fn more_ops_than_a_completion_queue_can_hold_are_reduced_and_told() {
    let rig = Rig::with(UringConfig {
        ops_max: 1_000_000,
        ..config()
    });
    let limits = rig.kernel.limits();
    assert!(limits.ops_max < 22_000 && limits.completion_entries <= 65536);
    let told = limits.reductions.iter().find(|it| it.what == "ops");
    assert_eq!(told.map(|it| it.got), Some(limits.ops_max.into()));
    rig.finish();
}

#[test]
fn a_probe_tells_and_leaves_nothing() {
    wait_for_turn();
    let report = probe(config());
    let ring = report.ring.expect("a ring");
    assert_eq!(ring.findings.len(), Capability::ALL.len());
    assert!(ring.limits.arena_bytes > 0 && report.memlock_limit_bytes > 0);
    assert!(report.pipe_max_bytes.is_some() && report.pipe_user_pages_soft.is_some());
}

#[test]
fn a_ring_that_was_never_entered_is_dropped_in_peace() {
    wait_for_turn();
    for _ in 0..10 {
        let mut kernel = Uring::start(config()).expect("a ring");
        let bell = kernel.doorbell();
        kernel.submit(ringway_io::Token(1), Op::Timeout { at_ns: u64::MAX });
        bell.ring();
        drop(kernel);
    }
}

#[test]
fn randomness_and_time_are_there() {
    let mut rig = Rig::new();
    let (mut one, mut two) = ([0; 32], [0; 32]);
    rig.kernel.entropy(&mut one);
    rig.kernel.entropy(&mut two);
    assert!(one != two && one != [0; 32]);
    let before = rig.kernel.now_ns();
    rig.kernel.enter(Wait::No).expect("works");
    assert!(rig.kernel.now_ns() >= before);
    rig.finish();
}
