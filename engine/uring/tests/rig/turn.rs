//! One test at a time where locked memory is short.
//!
//! Rings are charged to the *user*: under `RLIMIT_MEMLOCK` of 64 KiB there is room for four or five
//! small ones, and with 8 MiB the first takes most of what can be registered. Tests that run beside
//! each other would take it from each other, and see limits that depend on who came first. So
//! whoever starts a ring holds the turn of its process; on a machine that gives enough, nobody
//! waits.
//!
//! Other crates' tests include this file by its path.

use std::cell::RefCell;
use std::sync::{Condvar, Mutex, PoisonError};

/// Set in the processes that a test starts to run itself again: the parent has the turn.
const CHILD: &str = "RINGWAY_TEST_CHILD";

/// Enough for a dozen rings with an arena of 16 MiB each.
const PLENTY_BYTES: u64 = 256 << 20;

/// Bit of `CAP_IPC_LOCK`, whose holders are not charged (capabilities(7)).
const IPC_LOCK: u32 = 14;

static IS_TAKEN: Mutex<bool> = Mutex::new(false);
static GIVEN_BACK: Condvar = Condvar::new();

thread_local! {
    /// Ends with the thread, and each test has one: whatever else it holds is gone by then.
    static OURS: RefCell<Option<Turn>> = const { RefCell::new(None) };
}

/// The right to start rings.
struct Turn;

/// Waits until no other test starts rings. Whoever has the turn may ask again on the same thread.
pub fn wait_for_turn() {
    if is_plenty() || std::env::var_os(CHILD).is_some() {
        return;
    }
    OURS.with_borrow_mut(|ours| {
        ours.get_or_insert_with(Turn::take);
    });
}

impl Turn {
    fn take() -> Self {
        let is_taken = IS_TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_taken = GIVEN_BACK
            .wait_while(is_taken, |is_taken| *is_taken)
            .unwrap_or_else(PoisonError::into_inner);
        *is_taken = true;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *IS_TAKEN.lock().unwrap_or_else(PoisonError::into_inner) = false;
        GIVEN_BACK.notify_one();
    }
}

/// From proc(5), so that this file needs no crate.
fn is_plenty() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = field(&status, "CapEff:").and_then(|set| u64::from_str_radix(set, 16).ok());
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let limit = field(&limits, "Max locked memory").map(|soft| match soft {
        "unlimited" => u64::MAX,
        bytes => bytes.parse().unwrap_or(0),
    });
    let is_exempt = effective.is_some_and(|set| set >> IPC_LOCK & 1 == 1);
    is_exempt || limit.is_some_and(|bytes| bytes >= PLENTY_BYTES)
}

/// The first word behind a name that begins a line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()
}
