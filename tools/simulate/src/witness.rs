//! Catches what panics while a seed runs, wherever it does.
//!
//! Checkers are assertions. Some run inside tasks of a shard, whose panics the shard survives (as
//! it must): only the hook sees those.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// What panicked on this thread while it was watched.
    static SEEN: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Runs `act`; what it gave, unless it panicked, and everything that panicked meanwhile.
pub(crate) fn watch<T>(act: impl FnOnce() -> T) -> (Option<T>, Vec<String>) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let is_watched = SEEN.with(|seen| match &mut *seen.borrow_mut() {
                Some(seen) => {
                    seen.push(panic.to_string());
                    true
                }
                None => false,
            });
            if !is_watched {
                before(panic);
            }
        }));
    });
    SEEN.set(Some(Vec::new()));
    let result = catch_unwind(AssertUnwindSafe(act));
    (result.ok(), SEEN.take().unwrap_or_default())
}
