//! What the processes of a story share: words of memory, numbers drawn from a seed, signals.

use std::sync::atomic::AtomicU64;

use corewise::sys::memfd::{self, Mapping};
use corewise::sys::process::{Ended, Pid, wait_for};
use rustix::process::{Pid as RawPid, Signal, kill_process};

/// A mapping of words, all zero at first, that forked processes share.
#[derive(Debug)]
pub(crate) struct Words {
    map: Mapping,
    count: usize,
}

impl Words {
    pub(crate) fn new(count: usize) -> Self {
        let bytes = (count * size_of::<u64>()).next_multiple_of(4096);
        let file = memfd::create("corewise-ledger", bytes as u64).unwrap();
        Self { map: Mapping::writable(&file, bytes).unwrap(), count }
    }

    pub(crate) fn at(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.count, "word {index} of {}", self.count);
        // SAFETY: the word lies inside of the mapping, whose length is at least `count` words.
        let place = unsafe { self.map.as_ptr().cast::<u64>().add(index) };
        // SAFETY: a mapping begins on a page, so `place` is aligned; it is readable and writable
        // for as long as `self`, and in every process it is accessed as an atomic alone.
        unsafe { AtomicU64::from_ptr(place) }
    }
}

/// Numbers that follow from a seed (xorshift*).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 33) % bound
    }

    /// True once in so many times.
    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// Sends a signal to a child that is not reaped.
pub(crate) fn send(pid: Pid, signal: Signal) {
    let raw = RawPid::from_raw(pid.get().cast_signed()).expect("a pid is not 0");
    kill_process(raw, signal).unwrap();
}

/// Kills a child and reaps it; it must have lived until then.
pub(crate) fn end(pid: Pid) {
    send(pid, Signal::KILL);
    let ended = wait_for(pid).unwrap();
    assert_eq!(ended, Ended::Signal(Signal::KILL.as_raw()), "{pid} had ended before");
}
