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

/// Numbers drawn from a seed (`SplitMix64`).
#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64, salt: u64) -> Self {
        let mut draw = Self(seed ^ salt.wrapping_mul(0xa076_1d64_78bd_642f));
        draw.next();
        draw
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// With so many chances of a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }

    /// A size, small ones as likely as large ones, at most `max`.
    pub fn size(&mut self, max: u64) -> u64 {
        let bits = self.below(u64::from(max.ilog2()) + 1);
        self.below((1 << bits) + 1).min(max)
    }
}
