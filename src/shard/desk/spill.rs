//! How much of answers that their clients do not read yet a shard holds in its own memory.
//!
//! | word | writer | readers | ordering | pairs with |
//! |---|---|---|---|---|
//! | `held` | this shard | this shard | Relaxed | nothing: bytes may be dropped on any thread |

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// The account of one shard.
#[derive(Clone)]
pub(super) struct Spill {
    held: Arc<AtomicUsize>,
    bytes_max: usize,
}

/// A part of it, given back when dropped.
pub(super) struct Spilled {
    held: Arc<AtomicUsize>,
    bytes: usize,
}

impl Spill {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { held: Arc::default(), bytes_max }
    }

    /// Takes so much, if that much is left.
    pub(super) fn take(&self, bytes: usize) -> Option<Spilled> {
        let held = self.held.load(Ordering::Relaxed).checked_add(bytes)?;
        if held > self.bytes_max {
            return None;
        }
        self.held.store(held, Ordering::Relaxed);
        Some(Spilled { held: Arc::clone(&self.held), bytes })
    }

    /// How much is taken.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

impl Spilled {
    /// Ties the account to these bytes.
    pub(super) fn around(self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Held { bytes, _spilled: self })
    }
}

impl Drop for Spilled {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Bytes with their part of the account.
struct Held {
    bytes: Vec<u8>,
    _spilled: Spilled,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_can_be_taken_again() {
        let spill = Spill::new(100);
        let first = spill.take(60).unwrap().around(vec![1; 60]);
        assert!(spill.take(41).is_none());
        let second = spill.take(40).unwrap();
        let part = first.slice(10..20);
        drop((first, second));
        assert_eq!(spill.held(), 60, "a part keeps the whole");
        assert_eq!(&part[..], &[1; 10]);
        drop(part);
        assert_eq!(spill.held(), 0);
        assert!(spill.take(usize::MAX).is_none());
        assert!(spill.take(100).is_some());
    }
}
