//! What the machine allows: two words and two areas in shared memory, and nothing that survives
//! a crash.
//!
//! | word | writer | reader | ordering | pairs with |
//! |---|---|---|---|---|
//! | `asked` | who asks | the partner | Release / Acquire | `Board::publish` with `Board::read` |
//! | `answered` | the partner | who asks | Release / Acquire | the same |

use std::error::Error;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use corewise::sys::descriptors;
use corewise::sys::memfd::{self, Mapping};

use super::partner::Partner;
use super::way::{self, Ask, Fault, Setup, Way};

/// Which of the two words, and which of the two areas.
#[derive(Clone, Copy)]
enum Side {
    Asked,
    Answered,
}

/// The memory.
struct Board {
    mapping: Mapping,
    bytes: usize,
}

impl Board {
    fn map(file: &OwnedFd, bytes: usize) -> io::Result<Self> {
        let mapping = Mapping::writable(file, size(bytes))?;
        mapping.populate(0, mapping.bytes())?;
        Ok(Self { mapping, bytes })
    }

    fn word(&self, side: Side) -> &AtomicU64 {
        let offset = match side {
            Side::Asked => 0,
            Side::Answered => LINES_APART,
        };
        // SAFETY: the mapping has a page before its areas, so that both offsets lie inside of it.
        let place = unsafe { self.mapping.as_ptr().add(offset) };
        // SAFETY: aligned to a line, inside of a mapping that lives as long as `self`, and both
        // processes access it atomically alone: the areas lie behind the first page.
        unsafe { AtomicU64::from_ptr(place.cast()) }
    }

    fn area(&self, side: Side) -> *mut u8 {
        let offset = match side {
            Side::Asked => PAGE,
            Side::Answered => PAGE + self.bytes.next_multiple_of(PAGE),
        };
        // SAFETY: `size` made the mapping long enough for the page and both areas.
        unsafe { self.mapping.as_ptr().add(offset) }
    }

    fn copy_in(&self, side: Side, bytes: &[u8]) {
        assert!(bytes.len() <= self.bytes);
        // SAFETY: the area has `self.bytes`, and no reference into the mapping exists. The other
        // process reads it only after the word that follows.
        unsafe { bytes.as_ptr().copy_to_nonoverlapping(self.area(side), bytes.len()) };
    }

    fn copy_out(&self, side: Side, into: &mut [u8]) {
        assert!(into.len() <= self.bytes);
        // SAFETY: as in `copy_in`, the other way round.
        unsafe { self.area(side).copy_to_nonoverlapping(into.as_mut_ptr(), into.len()) };
    }

    fn publish(&self, side: Side, number: u64) {
        // Pairs with the load in `read`: who sees the number sees the bytes.
        self.word(side).store(number, Ordering::Release);
    }

    fn read(&self, side: Side) -> u64 {
        // Pairs with the store in `publish`.
        self.word(side).load(Ordering::Acquire)
    }
}

fn size(bytes: usize) -> usize {
    PAGE + 2 * bytes.next_multiple_of(PAGE)
}

/// The end that asks.
struct Asker {
    board: Board,
    partner: Partner,
    number: u64,
    how: How,
    /// To the partner, and from it.
    bells: [OwnedFd; 2],
}

/// What of it a way does.
#[derive(Clone, Copy)]
struct How {
    copies: bool,
    sleeps: bool,
}

impl How {
    fn of(way: Way) -> Self {
        Self { copies: way != Way::PingPong, sleeps: way == Way::Eventfd }
    }
}

pub(super) fn open(way: Way, setup: Setup) -> Result<Box<dyn Ask>, Fault> {
    let file = memfd::create("corewise-bench", size(setup.bytes) as u64)?;
    let board = Board::map(&file, setup.bytes)?;
    let bells = [descriptors::bell()?, descriptors::bell()?];
    let inherited = [file.as_fd(), bells[0].as_fd(), bells[1].as_fd()];
    let partner = Partner::start(way, setup, &inherited)?;
    Ok(Box::new(Asker { board, partner, number: 0, how: How::of(way), bells }))
}

impl Ask for Asker {
    fn ask(&mut self, request: &[u8], answer: &mut [u8]) -> Result<(), Fault> {
        self.number += 1;
        if self.how.copies {
            self.board.copy_in(Side::Asked, request);
        }
        self.board.publish(Side::Asked, self.number);
        let is_there = || self.board.read(Side::Answered) == self.number;
        if self.how.sleeps {
            descriptors::ring(self.bells[0].as_fd());
            wait(&self.bells[1])?;
            assert!(is_there(), "the bell rings behind the word");
        } else {
            way::until(&mut self.partner, is_there)?;
        }
        if self.how.copies {
            self.board.copy_out(Side::Answered, answer);
        } else {
            way::reply(request, answer);
        }
        Ok(())
    }
}

pub(super) fn serve(way: Way, setup: Setup, inherited: Vec<OwnedFd>) -> Result<(), Box<dyn Error>> {
    let [file, asked, answered] = <[OwnedFd; 3]>::try_from(inherited)
        .map_err(|_| "a memory and two bells are to be inherited")?;
    let board = Board::map(&file, setup.bytes)?;
    let how = How::of(way);
    let (mut request, mut answer) = (vec![0; setup.bytes], vec![0; setup.bytes]);
    for number in 1.. {
        if how.sleeps {
            wait(&asked)?;
        }
        while board.read(Side::Asked) != number {
            std::hint::spin_loop();
        }
        if how.copies {
            board.copy_out(Side::Asked, &mut request);
            way::reply(&request, &mut answer);
            board.copy_in(Side::Answered, &answer);
        }
        board.publish(Side::Answered, number);
        if how.sleeps {
            descriptors::ring(answered.as_fd());
        }
    }
    Ok(())
}

/// Sleeps until a bell rings, and takes its count.
fn wait(bell: &OwnedFd) -> io::Result<()> {
    loop {
        match rustix::io::read(bell, &mut [0u8; 8]) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

const PAGE: usize = 4096;
/// Two lines: processors fetch them in pairs.
const LINES_APART: usize = 128;
