//! The atomics that [`crate::wakefulness`] is made of; in its model they are loom's.

pub(crate) use std::sync::atomic::{AtomicU8, Ordering};
