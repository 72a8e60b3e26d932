//! Buffers that go round: a response body built by a handler comes back here once it was encoded,
//! so that the steady state allocates nothing.

use std::cell::RefCell;

/// Most buffers kept; more than one turn's worth of inline answers is never alive at once.
const SPARE_MAX: usize = 8;
/// A larger buffer is freed instead of kept.
const CAPACITY_MAX: usize = 64 << 10;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer, a used one if there is one.
pub(crate) fn take() -> Vec<u8> {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Give a buffer back.
pub(crate) fn give(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > CAPACITY_MAX {
        return;
    }
    buffer.clear();
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < SPARE_MAX {
            spare.push(buffer);
        }
    });
}
