//! The memory of a pool as processes have it: made by the supervisor, inherited, or attached.
//!
//! Two files without a name, mapped by everybody, and a doorbell for each process. Their sizes
//! are sealed, so that no process can take memory from under another one; all that is needed is
//! there from the start, so that a full machine is an error at the start and never a signal later.
//!
//! The request memory is sealed against new mappings for writing after the supervisor mapped it
//! for the shards. What a worker inherits is therefore thrown away and mapped afresh, which can
//! only be for reading: an inherited mapping that is merely made read-only could be made
//! writable again.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, fence};

use super::client::Client;
use super::death::Registry;
use super::layout::{Area, Doorbell, Layout, Shape, Span, Word};
use super::server::{Server, SpinPolicy};
use super::word::{ShardIndex, WorkerIndex};
use super::world::{Ordering, World};
use crate::sys::clock::monotonic_ns;
use crate::sys::descriptors;
use crate::sys::memfd::{self, Mapping, Seal};
use crate::sys::processor;
use crate::sys::socket::{STRETCHES_MAX, Stretch, send_now};

/// The memory and the doorbells of one pool.
#[derive(Debug)]
pub struct Region {
    layout: Layout,
    control: Mapping,
    requests: Mapping,
    control_fd: OwnedFd,
    requests_fd: OwnedFd,
    /// Of the shards, then of the workers.
    doorbells: Vec<OwnedFd>,
}

impl Region {
    /// Makes the memory of a pool, with the response blocks of the first `workers`. Those of
    /// other places are made by `populate` before the first worker of the place starts.
    ///
    /// # Errors
    /// Fails when the shape is impossible or the machine does not give so much memory.
    pub fn create(shape: Shape, workers: u8) -> io::Result<Self> {
        let layout = Layout::new(shape).map_err(io::Error::other)?;
        let control_fd = memfd::create("corewise-pool", layout.control_bytes())?;
        let requests_fd = memfd::create("corewise-requests", layout.request_bytes())?;
        let control = Mapping::writable(&control_fd, bytes(layout.control_bytes()))?;
        let requests = Mapping::writable(&requests_fd, bytes(layout.request_bytes()))?;
        let (blocks, length) = layout.response_blocks_of(workers);
        let from_the_start = bytes(blocks + length).min(control.bytes());
        control.populate(0, from_the_start).map_err(|error| no_memory(&layout, &error))?;
        requests.populate(0, requests.bytes()).map_err(|error| no_memory(&layout, &error))?;
        memfd::seal(&control_fd, Seal::Size)?;
        memfd::seal(&requests_fd, Seal::SizeAndWriting)?;
        let doorbells = (0..doorbells_of(&layout)).map(|_| descriptors::doorbell());
        let doorbells = doorbells.collect::<io::Result<Vec<OwnedFd>>>()?;
        Ok(Self { layout, control, requests, control_fd, requests_fd, doorbells })
    }

    /// Maps the memory of a pool from its descriptors, as a worker does that was not forked from
    /// a process which had it: the request memory can only be read.
    ///
    /// # Errors
    /// Fails when the memory is not that of a pool of this version, or a descriptor is missing.
    pub fn attach(
        control_fd: OwnedFd,
        requests_fd: OwnedFd,
        doorbells: Vec<OwnedFd>,
    ) -> io::Result<Self> {
        let (control_bytes, request_bytes) =
            (memfd::size(&control_fd)?, memfd::size(&requests_fd)?);
        let control = Mapping::writable(&control_fd, bytes(control_bytes))?;
        let requests = Mapping::read_only(&requests_fd, bytes(request_bytes))?;
        let header = |at: Word| {
            assert!(at.index() < control.bytes() / size_of::<u64>());
            // SAFETY: the index lies inside of the mapping, as just asserted, which is aligned to
            // a page and lives until the end of this function at least.
            let word =
                unsafe { AtomicU64::from_ptr(control.as_ptr().cast::<u64>().add(at.index())) };
            word.load(Ordering::Relaxed)
        };
        let layout = Layout::attach(header, control_bytes, request_bytes);
        let layout = layout.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if doorbells.len() != doorbells_of(&layout) {
            let (found, expected) = (doorbells.len(), doorbells_of(&layout));
            let text = format!("{found} doorbells in place of {expected}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(Self { layout, control, requests, control_fd, requests_fd, doorbells })
    }

    /// Finds the memory of the response blocks of a spare place, before its first worker starts.
    ///
    /// # Errors
    /// Fails when the machine does not give so much; the worker must not be started then.
    pub fn populate(&self, worker: WorkerIndex) -> io::Result<()> {
        let (_, before) = self.layout.response_blocks_of(worker.0);
        let (offset, until) = self.layout.response_blocks_of(worker.0 + 1);
        let (from, length) = (bytes(offset + before), bytes(until - before));
        self.control.populate(from, length).map_err(|error| no_memory(&self.layout, &error))
    }

    /// Gives the means to change requests up for good: what a template and a worker do before any
    /// code of the application runs.
    ///
    /// # Errors
    /// Fails when the memory cannot be mapped again.
    pub fn into_reader(self) -> io::Result<Self> {
        let requests = Mapping::read_only(&self.requests_fd, self.requests.bytes())?;
        Ok(Self { requests, ..self })
    }

    /// Keeps the memory from processes that code of the application forks, and out of its core
    /// dumps: what a worker does before such code runs.
    ///
    /// # Errors
    /// Fails when the kernel refuses.
    pub fn keep_private(&self) -> io::Result<()> {
        for mapping in [&self.control, &self.requests] {
            mapping.keep_from_children()?;
            mapping.keep_from_dumps()?;
        }
        Ok(())
    }

    /// Where everything lies.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What to wait at.
    #[must_use]
    pub fn doorbell(&self, doorbell: Doorbell) -> BorrowedFd<'_> {
        self.doorbells[place_of(&self.layout, doorbell)].as_fd()
    }

    /// All descriptors: control memory, request memory, doorbells in the order of `attach`.
    #[must_use]
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let files = [&self.control_fd, &self.requests_fd];
        files.into_iter().chain(&self.doorbells).map(AsFd::as_fd).collect()
    }
}

/// The real world: the memory of a region, the clock, the doorbells.
#[derive(Clone)]
pub struct Mapped {
    region: Arc<Region>,
    /// The first word of the control memory, kept beside the region for the sake of speed.
    words: *mut u64,
    /// The first byte of the request memory, likewise.
    requests: *mut u8,
    /// Whether that can be written.
    writes_requests: bool,
}

// SAFETY: `words` and `requests` point into the mappings that `region` keeps alive, which belong to
// no thread; all accesses through them are atomic or raw copies.
unsafe impl Send for Mapped {}
// SAFETY: as for Send; no method needs exclusive access.
unsafe impl Sync for Mapped {}

impl fmt::Debug for Mapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapped").field("region", &self.region).finish_non_exhaustive()
    }
}

impl Mapped {
    /// Makes the world of a region.
    ///
    /// # Safety
    /// Every `Word` and `Span` that is handed to this world must come from its own `layout`, or
    /// from one made for the same shape. The accesses do not check it: a check would be a tenth
    /// of what a job costs.
    #[must_use]
    pub unsafe fn new(region: Arc<Region>) -> Self {
        let words = region.control.as_ptr().cast::<u64>();
        let requests = region.requests.as_ptr();
        let writes_requests = region.requests.is_writable();
        Self { region, words, requests, writes_requests }
    }

    /// The region.
    #[must_use]
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Sends `first` and then the bytes of these spans, as much as the socket takes without
    /// waiting; how much that was.
    ///
    /// # Errors
    /// As sendmsg(2).
    pub fn send(
        &self,
        socket: BorrowedFd<'_>,
        first: &[u8],
        spans: impl Iterator<Item = Span>,
    ) -> io::Result<usize> {
        let first = Stretch { start: first.as_ptr(), bytes: first.len() };
        let mut stretches = [first; STRETCHES_MAX];
        let mut count = 1;
        for (place, span) in stretches[1..].iter_mut().zip(spans) {
            let bytes = span.bytes() as usize;
            *place = Stretch { start: self.place(span, bytes), bytes };
            count += 1;
        }
        // SAFETY: the first stretch is borrowed from the caller; the others lie in the mappings of
        // `region` (`place`), which `self` keeps alive. Other processes may write to them.
        unsafe { send_now(socket, &stretches[..count]) }
    }

    #[inline]
    fn word(&self, at: Word) -> &AtomicU64 {
        debug_assert!(at.index() < self.region.control.bytes() / size_of::<u64>());
        // SAFETY: `at` comes from the layout of this region (duty of whoever called `new`), and a
        // layout gives out words inside of the control memory only (its module, property test).
        let place = unsafe { self.words.add(at.index()) };
        // SAFETY: `place` lies inside of a mapping that is aligned to a page and that `region`
        // keeps mapped for as long as `self` lives; so it is valid and aligned for the lifetime
        // of the reference. Here and in all other processes this memory is accessed atomically
        // alone: spans for bytes lie apart from words (property test of the layout).
        unsafe { AtomicU64::from_ptr(place) }
    }

    /// The first byte of a span of which `bytes` are wanted.
    #[inline]
    fn place(&self, at: Span, bytes: usize) -> *mut u8 {
        assert!(bytes <= at.bytes() as usize, "{bytes} bytes in a span of {}", at.bytes());
        let (first, length) = match at.area() {
            Area::Control => (self.words.cast::<u8>(), self.region.control.bytes()),
            Area::Requests => (self.requests, self.region.requests.bytes()),
        };
        debug_assert!(at.offset() + at.bytes() as usize <= length);
        // SAFETY: `at` comes from the layout of this region (duty of whoever called `new`), and a
        // layout gives out spans inside of their memory only (property test).
        unsafe { first.add(at.offset()) }
    }
}

impl World for Mapped {
    #[inline]
    fn layout(&self) -> &Layout {
        &self.region.layout
    }

    #[inline]
    fn load(&self, at: Word, order: Ordering) -> u64 {
        self.word(at).load(order)
    }

    #[inline]
    fn store(&self, at: Word, value: u64, order: Ordering) {
        self.word(at).store(value, order);
    }

    #[inline]
    fn compare_exchange(
        &self,
        at: Word,
        current: u64,
        new: u64,
        order: Ordering,
    ) -> Result<u64, u64> {
        self.word(at).compare_exchange(current, new, order, Ordering::Relaxed)
    }

    #[inline]
    fn swap(&self, at: Word, value: u64, order: Ordering) -> u64 {
        self.word(at).swap(value, order)
    }

    #[inline]
    fn fetch_or(&self, at: Word, bits: u64, order: Ordering) -> u64 {
        self.word(at).fetch_or(bits, order)
    }

    #[inline]
    fn fetch_and(&self, at: Word, bits: u64, order: Ordering) -> u64 {
        self.word(at).fetch_and(bits, order)
    }

    #[inline]
    fn fetch_add(&self, at: Word, value: u64, order: Ordering) -> u64 {
        self.word(at).fetch_add(value, order)
    }

    // Pairs with what the caller names.
    #[inline]
    fn fence(&self, order: Ordering) {
        // Pairs with what the caller names.
        fence(order);
    }

    fn ring(&self, doorbell: Doorbell) {
        descriptors::ring(self.region.doorbell(doorbell));
    }

    #[inline]
    fn now(&self) -> u64 {
        monotonic_ns()
    }

    #[inline]
    fn ticks(&self) -> Option<u64> {
        processor::ticks()
    }

    #[inline]
    fn expect(&self, word: Word, at: Span) {
        processor::prefetch(self.word(word).as_ptr().cast());
        processor::prefetch(self.place(at, 0));
    }

    #[inline]
    fn copy_in(&self, at: Span, bytes: &[u8]) {
        assert!(
            at.area() == Area::Control || self.writes_requests,
            "a worker does not write requests"
        );
        let to = self.place(at, bytes.len());
        // SAFETY: `bytes` is readable for its length; `to` begins a span that is at least as long
        // (`place`) in a mapping that is writable (just asserted for requests; always for
        // control). They do not overlap: no reference into the mapping is ever made. That another
        // process could write there at the same time is against the protocol and costs no more
        // than the content, which is bytes and has no invalid value.
        unsafe { copy(bytes.as_ptr(), to, bytes.len()) };
    }

    #[inline]
    fn copy_out(&self, at: Span, into: &mut [u8]) {
        let from = self.place(at, into.len());
        // SAFETY: as in `copy_in`, the other way round.
        unsafe { copy(from, into.as_mut_ptr(), into.len()) };
    }
}

/// Copies bytes, long runs in pieces where they lie badly. Libraries copy what is long with one
/// instruction of the processor, and on some processors that takes six times as long where the
/// run's new place begins a few bytes behind its old one within a page (EPYC, four times 1 MiB
/// between two processes: 787 in place of 134 us). A body lies so behind a short head.
///
/// # Safety
/// `from` is readable and `to` writable for `bytes`, and they do not overlap.
#[inline]
unsafe fn copy(from: *const u8, to: *mut u8, bytes: usize) {
    let ahead = to.addr().wrapping_sub(from.addr()) % PAGE_BYTES;
    if bytes > PIECE_BYTES && (1..LINE_BYTES).contains(&ahead) {
        // SAFETY: the caller answers for the same.
        return unsafe { copy_in_pieces(from, to, bytes) };
    }
    // SAFETY: the caller answers for `bytes` at both places, and that they are apart.
    unsafe { from.copy_to_nonoverlapping(to, bytes) };
}

/// # Safety
/// As for `copy`.
unsafe fn copy_in_pieces(from: *const u8, to: *mut u8, bytes: usize) {
    for done in (0..bytes).step_by(PIECE_BYTES) {
        // SAFETY: `done` is below `bytes`, for which the caller answers.
        let (from, to) = unsafe { (from.add(done), to.add(done)) };
        // SAFETY: what is left of the same bytes, or less.
        unsafe { from.copy_to_nonoverlapping(to, PIECE_BYTES.min(bytes - done)) };
    }
}

impl Registry<Mapped> {
    /// The supervisor's hand on a region that it has just made.
    #[must_use]
    pub fn of(region: &Arc<Region>) -> Self {
        Self::create(mapped(region))
    }
}

impl Client<Mapped> {
    /// A shard's hand on a region.
    #[must_use]
    pub fn of(region: &Arc<Region>, shard: ShardIndex) -> Self {
        Self::attach(mapped(region), shard)
    }
}

impl Server<Mapped> {
    /// A worker's hand on a region.
    #[must_use]
    pub fn of(
        region: &Arc<Region>,
        worker: WorkerIndex,
        jobs_max: usize,
        spin: SpinPolicy,
    ) -> Self {
        Self::attach(mapped(region), worker, jobs_max, spin)
    }
}

/// The world of a region, for the ends of this module, whose words come from `World::layout`.
fn mapped(region: &Arc<Region>) -> Mapped {
    // SAFETY: it is handed to `Registry`, `Client` and `Server` alone, which make every word and
    // span from `World::layout` of this very world.
    unsafe { Mapped::new(Arc::clone(region)) }
}

fn place_of(layout: &Layout, doorbell: Doorbell) -> usize {
    match doorbell {
        Doorbell::Shard(shard) => usize::from(shard.0),
        Doorbell::Worker(worker) => usize::from(layout.shape().shards) + usize::from(worker.0),
    }
}

fn doorbells_of(layout: &Layout) -> usize {
    usize::from(layout.shape().shards) + usize::from(layout.shape().workers)
}

/// Less than what libraries copy with one instruction.
const PIECE_BYTES: usize = 2048;
const LINE_BYTES: usize = 64;
const PAGE_BYTES: usize = 4096;

/// A layout has at most 2^46 bytes.
fn bytes(number: u64) -> usize {
    usize::try_from(number).expect("addresses have 64 bits")
}

fn no_memory(layout: &Layout, error: &io::Error) -> io::Error {
    let mebibytes = (layout.control_bytes() + layout.request_bytes()) >> 20;
    let text = format!(
        "cannot get {mebibytes} MiB of shared memory for a pool: {error}; lower slots, slot or \
         the number of workers, or raise the memory limit"
    );
    io::Error::new(error.kind(), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offload::word::SlotIndex;

    #[test]
    fn bytes_arrive_however_they_lie() {
        let shape = Shape {
            shards: 1,
            workers: 1,
            slots: 1,
            slot_bytes: 16 << 10,
            request_blocks: 1,
            response_blocks: 1,
        };
        let world = mapped(&Arc::new(Region::create(shape, 1).unwrap()));
        let span = world.layout().inline_response(ShardIndex(0), SlotIndex(0));
        let bytes: Vec<u8> = (0..10_000_u32).map(|at| (at * 7 % 251) as u8).collect();
        let mut back = vec![0; bytes.len()];
        // Whatever the two distances within a page are, these come to less than a line for some.
        for (skip, shift) in (0..=64).step_by(8).flat_map(|skip| [(skip, 0), (0, skip), (skip, 1)])
        {
            for length in [0, 1, 2_047, 2_048, 2_049, 4_097, 9_000] {
                let (at, from) = (span.behind(skip as u32).unwrap(), &bytes[shift..][..length]);
                let into = &mut back[shift..][..length];
                into.fill(0);
                world.copy_in(at, from);
                world.copy_out(at, into);
                assert!(from == into, "{length} bytes from {shift} to {skip}");
            }
        }
    }
}
