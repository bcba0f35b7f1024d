//! The same code on atomics that promise no order.

mod atomics {
    pub(crate) use loom::sync::atomic::Ordering;

    #[derive(Debug)]
    pub(crate) struct AtomicU8(loom::sync::atomic::AtomicU8);

    impl AtomicU8 {
        pub(crate) fn new(value: u8) -> Self {
            Self(loom::sync::atomic::AtomicU8::new(value))
        }

        pub(crate) fn fetch_and(&self, value: u8, _order: Ordering) -> u8 {
            self.0.fetch_and(value, Ordering::Relaxed)
        }

        pub(crate) fn fetch_or(&self, value: u8, _order: Ordering) -> u8 {
            self.0.fetch_or(value, Ordering::Relaxed)
        }
    }
}

#[path = "../../src/wakefulness.rs"]
#[allow(dead_code, reason = "the model uses a part of it")]
mod wakefulness;

pub(crate) use wakefulness::Wakefulness;

impl super::Protocol for Wakefulness {
    fn new() -> Self {
        Self::new()
    }

    fn deliver(&self) -> bool {
        self.deliver() == wakefulness::Delivery::Ring
    }

    fn prepare_sleep(&self, is_idle: impl FnOnce() -> bool) -> bool {
        self.prepare_sleep(is_idle)
    }

    fn awake(&self) {
        self.awake();
    }
}
