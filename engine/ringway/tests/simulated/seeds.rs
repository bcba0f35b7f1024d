//! Runs a test over many seeds, and names the one that failed.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

/// After so many failed seeds the others are not tried.
const FAILURES_MAX: usize = 10;

thread_local! {
    static SEED: Cell<Option<u64>> = const { Cell::new(None) };
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Whether one seed was asked for: its trace is wanted.
pub fn is_single() -> bool {
    number("RINGWAY_SEED").is_some()
}

/// Runs `test` with the seeds from 0 to `count`, or those the environment asks for.
pub fn for_seeds(count: u64, test: impl Fn(u64)) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if let Some(seed) = SEED.get() {
                eprintln!("seed {seed}:");
            }
            before(panic);
        }));
    });
    let seeds = match number("RINGWAY_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = number("RINGWAY_SEED_FIRST").unwrap_or(0);
            first..first + number("RINGWAY_SEEDS").unwrap_or(count)
        }
    };
    let mut failed = Vec::new();
    for seed in seeds {
        SEED.set(Some(seed));
        let run = catch_unwind(AssertUnwindSafe(|| test(seed)));
        failed.extend(run.is_err().then_some(seed));
        if failed.len() >= FAILURES_MAX {
            break;
        }
    }
    SEED.set(None);
    assert!(failed.is_empty(), "failed with seeds {failed:?}");
}
