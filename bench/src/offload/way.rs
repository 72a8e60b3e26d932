//! The ways by which one process can ask another and be answered.
//!
//! A way has two ends: `Ask` in the process that measures, and a loop in its partner, which is
//! this program again with another command. Both copy: the request out of a buffer of the one
//! into a buffer of the other, and the answer back, as whoever asks has to do. The first word of
//! the answer is that of the request plus one, so that no way is fast because it does nothing.

use std::os::fd::OwnedFd;

use super::partner::Partner;
use super::{board, slots, streams};

/// The end that asks.
pub(super) trait Ask {
    /// Sends a request and waits for its answer, which has the same length.
    fn ask(&mut self, request: &[u8], answer: &mut [u8]) -> Result<(), Fault>;
}

pub(super) type Fault = Box<dyn std::error::Error>;

/// Who asks how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// Four copies through shared memory, and a word to say that they are there.
    Copies,
    /// The same, with an eventfd in place of looking at the word.
    Eventfd,
    Pipe,
    /// Two words, written in turns; nothing is copied.
    PingPong,
    /// A job of ours.
    Slots,
    /// The same, with what the partner does while it has nothing to do left to the defaults.
    SlotsByDefault,
    UnixStream,
}

/// How both ends wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wait {
    /// In the kernel.
    Asleep,
    /// By looking again and again.
    Awake,
}

/// What is asked, and where the other end is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) wait: Wait,
    /// Of a request, and of its answer.
    pub(super) bytes: usize,
    /// CPU of the partner.
    pub(super) cpu: usize,
    /// Both ends have the same CPU.
    pub(super) shared: bool,
}

impl Way {
    pub(super) const ALL: [Self; 7] = [
        Self::PingPong,
        Self::Copies,
        Self::Eventfd,
        Self::Slots,
        Self::SlotsByDefault,
        Self::Pipe,
        Self::UnixStream,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Copies => "copies",
            Self::Eventfd => "eventfd",
            Self::Pipe => "pipe",
            Self::PingPong => "ping-pong",
            Self::Slots => "corewise",
            Self::SlotsByDefault => "corewise-default",
            Self::UnixStream => "unix-stream",
        }
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Copies => "four copies through shared memory (the limit)",
            Self::Eventfd => "shared memory and an eventfd (the limit of sleepers)",
            Self::Pipe => "pipes",
            Self::PingPong => "two words in shared memory (the limit)",
            Self::Slots => "corewise",
            Self::SlotsByDefault => "corewise, as the settings' defaults have it wait",
            Self::UnixStream => "a Unix stream socket",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.name() == name)
    }

    /// Starts the partner and returns the end that asks.
    pub(super) fn open(self, setup: Setup) -> Result<Box<dyn Ask>, Fault> {
        match self {
            Self::Copies | Self::Eventfd | Self::PingPong => board::open(self, setup),
            Self::Pipe | Self::UnixStream => streams::open(self, setup),
            Self::Slots | Self::SlotsByDefault => slots::open(self, setup),
        }
    }

    /// The partner's side; it ends by being killed, or when nobody is left to ask.
    pub(super) fn serve(self, setup: Setup, descriptors: Vec<OwnedFd>) -> Result<(), Fault> {
        match self {
            Self::Copies | Self::Eventfd | Self::PingPong => board::serve(self, setup, descriptors),
            Self::Pipe | Self::UnixStream => streams::serve(setup, descriptors),
            Self::Slots | Self::SlotsByDefault => slots::serve(self, setup, descriptors),
        }
    }
}

/// The first word of a message.
pub(super) fn stamp(message: &[u8]) -> u64 {
    let word = message.first_chunk().expect("messages have a word at least");
    u64::from_ne_bytes(*word)
}

pub(super) fn set_stamp(message: &mut [u8], stamp: u64) {
    let word = message.first_chunk_mut().expect("messages have a word at least");
    *word = stamp.to_ne_bytes();
}

/// What a partner answers; the rest of the answer is what it was.
pub(super) fn reply(request: &[u8], answer: &mut [u8]) {
    set_stamp(answer, stamp(request).wrapping_add(1));
}

/// Looks until something is true, and now and then whether the partner lives.
pub(super) fn until(partner: &mut Partner, mut found: impl FnMut() -> bool) -> Result<(), Fault> {
    loop {
        for _ in 0..LOOKS {
            if found() {
                return Ok(());
            }
            std::hint::spin_loop();
        }
        partner.check()?;
    }
}

/// About 10 ms.
const LOOKS: u32 = 1 << 20;
