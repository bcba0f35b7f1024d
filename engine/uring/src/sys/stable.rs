//! One value on the heap that the kernel may read and write while we hold it.
//!
//! A `Box` will not do: moving a `Box` claims that nobody else has a pointer into it, and the
//! kernel has one.
//!
//! Invariants:
//! 1. `pointer` came from `Box::leak` and is given back to `Box` once, in `Drop`.
//! 2. `T` is valid for every bit pattern the kernel may write (the structs of its interface).
#![allow(unsafe_code)]

use std::ptr::NonNull;

/// A heap value with a fixed address.
pub(crate) struct Stable<T> {
    pointer: NonNull<T>,
}

// SAFETY: it owns its value like a `Box` (1).
unsafe impl<T: Send> Send for Stable<T> {}

impl<T> Stable<T> {
    /// Moves `value` to the heap.
    pub(crate) fn new(value: T) -> Self {
        let pointer = NonNull::from(Box::leak(Box::new(value)));
        Self { pointer }
    }

    /// Where it lies, for the kernel.
    pub(crate) fn as_ptr(&self) -> *mut T {
        self.pointer.as_ptr()
    }

    /// A copy of the value. Call it when the kernel is done.
    pub(crate) fn get(&self) -> T
    where
        T: Copy,
    {
        // SAFETY: the value is alive (1) and initialised (2).
        unsafe { self.pointer.as_ptr().read() }
    }
}

impl<T> Drop for Stable<T> {
    fn drop(&mut self) {
        // SAFETY: from `Box::leak`, given back once (1).
        drop(unsafe { Box::from_raw(self.pointer.as_ptr()) });
    }
}
