//! Where everything lies in the memory of a pool: the one definition of it.
//!
//! A pool has two pieces of memory. `control` is mapped for reading and writing by everybody and
//! holds the words of the protocol, and the responses. `requests` can be written by shards alone.
//!
//! ```text
//! control                                                             bytes
//! +------------------+ 0
//! | header           | magic, abi, hash, epoch, shape, sizes, offsets  4096
//! +------------------+ pool_offset
//! | pool words       | idle | spinning | deaths | stop; a line each    256
//! +------------------+ workers_offset
//! | worker table     | life | sleep, wants | limit, current job   W x 256
//! +------------------+ worker_counters_offset
//! | worker counters  |                                     W x 1024
//! +------------------+ shards_offset
//! | shard table      | tail, queued | head | sleep, epoch | attention bits
//! |                  |                                     S x shard_bytes (512 and more)
//! +------------------+ shard_counters_offset
//! | shard counters   |                                     S x 1024
//! +------------------+ rings_offset
//! | hint rings       | cells, the power of two from 2 N    S x cells x 8
//! +------------------+ slots_offset
//! | slot headers     | three lines each, see below         S x N x 192
//! +------------------+ responses_offset (of a page)
//! | inline responses |                                     S x N x slot_bytes
//! +------------------+ response_blocks_offset (of a page)
//! | response blocks  |                                     W x response_blocks x 64 KiB
//! +------------------+ control_bytes
//!
//! requests
//! +------------------+ 0
//! | inline requests  |                                     S x N x slot_bytes
//! +------------------+ request_blocks_offset (of a page)
//! | request blocks   |                                     S x request_blocks x 64 KiB
//! +------------------+ request_bytes
//!
//! slot header, in words of 8 bytes
//!   0 state       everybody       | 8..16  response extents, two to a word; or chunks   worker
//!   1 submitted   shard           |
//!   2 deadline    shard           | 16..24 request extents, two to a word, but for the
//!   3 request     shard           |        low half of word 16: the window of the shard  shard
//!   4 cancel      shard           |
//!   5 response    worker          |
//!   6 started     worker          |
//!   7 window      worker          |
//! ```
//!
//! All numbers are little-endian on the machines that this runs on; every word has 8 bytes. What
//! different processes write lies on different lines, but for the first line of a slot, which
//! wanders between the two that have the job, so that a small job costs one line to describe.
//!
//! A [`Word`] or a [`Span`] is made by a [`Layout`] alone and therefore lies inside of the memory
//! that this layout describes.

mod rows;

use std::fmt;

use super::word::{ShardIndex, SlotIndex, WorkerIndex};
pub use rows::{ShardRow, WorkerRow};

/// What the memory of a pool is made for; fixed when the pool starts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shape {
    /// Shards that submit.
    pub shards: u16,
    /// Places for workers, spare ones included.
    pub workers: u8,
    /// Slots of each shard.
    pub slots: u32,
    /// Bytes of a slot for each direction; rounded up to lines.
    pub slot_bytes: u32,
    /// Blocks of 64 KiB for the request bodies of each shard.
    pub request_blocks: u16,
    /// Blocks of 64 KiB for the response bodies of each worker.
    pub response_blocks: u16,
}

/// Why there is no such memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ShapeError {
    /// A count is outside of its bounds.
    Count {
        /// Which one.
        what: &'static str,
        /// What was asked for.
        value: u64,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// All together is more than can be addressed.
    TooLarge,
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { what, value, min, max } => {
                write!(f, "{value} {what}, where a pool has {min} to {max}")
            }
            Self::TooLarge => f.write_str("the slots and blocks of the pool exceed 2^46 bytes"),
        }
    }
}

impl std::error::Error for ShapeError {}

/// Why memory is not that of a pool which this program can use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AttachError {
    /// Another version of this program made it.
    Abi {
        /// The version that it says.
        found: u64,
    },
    /// The same version with another layout made it.
    Hash {
        /// What it says.
        found: u64,
        /// What this program computes for the same shape.
        expected: u64,
    },
    /// It was not made by this program at all.
    Magic {
        /// What stands in the first word.
        found: u64,
    },
    /// The shape in it is none.
    Shape(ShapeError),
    /// The memory is shorter or longer than the shape in it says.
    Size {
        /// Which of the two.
        what: &'static str,
        /// Its length.
        found: u64,
        /// The length that the shape asks for.
        expected: u64,
    },
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the memory of the pool cannot be used: ")?;
        match self {
            Self::Abi { found } => write!(f, "it has version {found}, this program {ABI}"),
            Self::Hash { found, expected } => {
                write!(f, "its layout is {found:016x}, this program's {expected:016x}")
            }
            Self::Magic { found } => write!(f, "it begins with {found:016x}"),
            Self::Shape(error) => error.fmt(f),
            Self::Size { what, found, expected } => {
                write!(f, "{what} has {found} bytes in place of {expected}")
            }
        }
    }
}

impl std::error::Error for AttachError {}

/// A word of the control memory, counted in words from its beginning.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Word(u32);

impl Word {
    /// Words from the beginning of the control memory.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    const fn after(self, words: u32) -> Self {
        Self(self.0 + words)
    }
}

/// Which memory.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Area {
    /// Written by shards and workers.
    Control,
    /// Written by shards alone.
    Requests,
}

/// A run of bytes for a body.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Span {
    area: Area,
    offset: usize,
    bytes: u32,
}

impl Span {
    /// Which memory it lies in.
    #[must_use]
    pub const fn area(self) -> Area {
        self.area
    }

    /// Bytes from the beginning of that memory.
    #[must_use]
    pub const fn offset(self) -> usize {
        self.offset
    }

    /// Its length.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        self.bytes
    }

    /// The first `bytes` of it; `None` when it has not so many.
    #[must_use]
    pub const fn first(self, bytes: u32) -> Option<Self> {
        if bytes <= self.bytes { Some(Self { bytes, ..self }) } else { None }
    }
}

impl Span {
    /// What lies behind the first `bytes` of it; `None` when it has not so many.
    #[must_use]
    pub const fn behind(self, bytes: u32) -> Option<Self> {
        if bytes > self.bytes {
            return None;
        }
        Some(Self { offset: self.offset + bytes as usize, bytes: self.bytes - bytes, ..self })
    }
}

/// Which kind of process an eventfd wakes, and which one.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Doorbell {
    /// A shard's.
    Shard(ShardIndex),
    /// A worker's.
    Worker(WorkerIndex),
}

/// The words of one slot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SlotWords(Word);

impl SlotWords {
    /// State, owner and generation.
    #[must_use]
    pub const fn state(self) -> Word {
        self.0.after(STATE)
    }

    /// When the job was submitted, in nanoseconds of the monotonic clock.
    #[must_use]
    pub const fn submitted(self) -> Word {
        self.0.after(SUBMITTED)
    }

    /// When it is too late, on the same clock.
    #[must_use]
    pub const fn deadline(self) -> Word {
        self.0.after(DEADLINE)
    }

    /// How the request lies in memory; see `slot::Request`.
    #[must_use]
    pub const fn request(self) -> Word {
        self.0.after(REQUEST)
    }

    /// The generation that is not wanted any more; see `slot::cancel_word`.
    #[must_use]
    pub const fn cancel(self) -> Word {
        self.0.after(CANCEL)
    }

    /// How the response lies in memory; see `slot::Response`.
    #[must_use]
    pub const fn response(self) -> Word {
        self.0.after(RESPONSE)
    }

    /// When user code began.
    #[must_use]
    pub const fn started(self) -> Word {
        self.0.after(STARTED)
    }

    /// How far the worker is with chunks of both directions.
    #[must_use]
    pub const fn worker_window(self) -> Word {
        self.0.after(WORKER_WINDOW)
    }

    /// Two of the 16 extents of the response, or two of its chunks.
    ///
    /// # Panics
    /// Panics when `pair` is not below 8.
    #[must_use]
    pub const fn response_extents(self, pair: u32) -> Word {
        assert!(pair < LINE_WORDS);
        self.0.after(RESPONSE_EXTENTS + pair)
    }

    /// Two of the 15 extents of the request, or two of its chunks; pair 0 holds the first one in
    /// its upper half, and the window of the shard in its lower half.
    ///
    /// # Panics
    /// Panics when `pair` is not below 8.
    #[must_use]
    pub const fn request_extents(self, pair: u32) -> Word {
        assert!(pair < LINE_WORDS);
        self.0.after(REQUEST_EXTENTS + pair)
    }
}

/// Where everything lies for one shape.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Layout {
    shape: Shape,
    /// Cells of a hint ring: the power of two from twice the slots.
    cells: u64,
    /// Words of attention bits of a shard.
    attention_words: u32,
    /// Words of a row in the shard table.
    shard_words: u32,
    /// Offsets in bytes.
    at: Offsets,
    control_bytes: u64,
    request_bytes: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Offsets {
    pool: u64,
    workers: u64,
    worker_counters: u64,
    shards: u64,
    shard_counters: u64,
    rings: u64,
    slots: u64,
    responses: u64,
    response_blocks: u64,
    request_blocks: u64,
}

impl Layout {
    /// Computes it.
    ///
    /// # Errors
    /// Fails when a count is outside of its bounds or all together is too large.
    pub fn new(shape: Shape) -> Result<Self, ShapeError> {
        let shape = checked(shape)?;
        Self::place(shape).filter(Self::is_addressable).ok_or(ShapeError::TooLarge)
    }

    /// Reads the layout of existing memory: `header` gives the first words of it.
    ///
    /// # Errors
    /// Fails when the memory was made by another program or version, or is cut.
    pub fn attach(
        header: impl Fn(Word) -> u64,
        control_bytes: u64,
        request_bytes: u64,
    ) -> Result<Self, AttachError> {
        if control_bytes < HEADER_BYTES {
            let what = "control memory";
            return Err(AttachError::Size { what, found: control_bytes, expected: HEADER_BYTES });
        }
        let read = |index| header(Word(index));
        match (read(HEADER_MAGIC), read(HEADER_ABI)) {
            (MAGIC, ABI) => {}
            (MAGIC, found) => return Err(AttachError::Abi { found }),
            (found, _) => return Err(AttachError::Magic { found }),
        }
        let layout = Self::new(shape_in(&read)?).map_err(AttachError::Shape)?;
        layout.check_header(&read)?;
        check_size("control memory", control_bytes, layout.control_bytes)?;
        check_size("request memory", request_bytes, layout.request_bytes)?;
        Ok(layout)
    }

    /// What stands in the header, from its first word on.
    #[must_use]
    pub fn header(&self) -> Vec<(Word, u64)> {
        let fixed = [(HEADER_MAGIC, MAGIC), (HEADER_ABI, ABI), (HEADER_HASH, self.hash())];
        let numbers = (HEADER_NUMBERS..).zip(self.numbers().into_iter().map(|(_, n)| n));
        fixed.into_iter().chain(numbers).map(|(index, value)| (Word(index), value)).collect()
    }

    /// The shape that it was made for, with the slot's bytes rounded.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// Length of the control memory.
    #[must_use]
    pub const fn control_bytes(&self) -> u64 {
        self.control_bytes
    }

    /// Length of the request memory.
    #[must_use]
    pub const fn request_bytes(&self) -> u64 {
        self.request_bytes
    }

    /// Cells of a shard's hint ring, a power of two.
    #[must_use]
    pub const fn cells(&self) -> u64 {
        self.cells
    }

    /// Words of a shard's attention bits.
    #[must_use]
    pub const fn attention_words(&self) -> u32 {
        self.attention_words
    }

    /// All places for shards.
    pub fn shards(&self) -> impl Iterator<Item = ShardIndex> + use<> {
        (0..self.shape.shards).map(ShardIndex)
    }

    /// All places for workers.
    pub fn workers(&self) -> impl Iterator<Item = WorkerIndex> + use<> {
        (0..self.shape.workers).map(WorkerIndex)
    }

    /// All slots of a shard.
    pub fn slots(&self) -> impl Iterator<Item = SlotIndex> + use<> {
        let last = u16::try_from(self.shape.slots - 1).expect("at most 65,536 slots");
        (0..=last).map(SlotIndex)
    }

    /// A worker's place by a number that somebody else wrote.
    #[must_use]
    pub fn worker(&self, index: usize) -> Option<WorkerIndex> {
        let index = u8::try_from(index).ok()?;
        (index < self.shape.workers).then_some(WorkerIndex(index))
    }

    /// A slot by a number that somebody else wrote.
    #[must_use]
    pub fn slot_index(&self, index: usize) -> Option<SlotIndex> {
        let slot = u16::try_from(index).ok()?;
        (u32::from(slot) < self.shape.slots).then_some(SlotIndex(slot))
    }

    /// + 1 with each program image of the supervisor.
    #[must_use]
    pub const fn supervisor_epoch(&self) -> Word {
        Word(HEADER_EPOCH)
    }

    /// Bit per worker: has spare capacity and waits. `index` counts words of 64 workers.
    #[must_use]
    pub fn idle(&self, index: usize) -> Word {
        self.pool_word(0, index)
    }

    /// Bit per worker: is spinning.
    #[must_use]
    pub fn spinning(&self, index: usize) -> Word {
        self.pool_word(1, index)
    }

    /// How many workers have died.
    #[must_use]
    pub fn deaths(&self) -> Word {
        self.pool_word(2, 0)
    }

    /// Not 0: workers without a job leave.
    #[must_use]
    pub fn stop(&self) -> Word {
        self.pool_word(3, 0)
    }

    /// Where the words of a worker lie.
    ///
    /// # Panics
    /// Panics when there is no such worker.
    #[must_use]
    pub fn worker_row(&self, worker: WorkerIndex) -> WorkerRow {
        assert!(worker.0 < self.shape.workers);
        let number = u32::from(worker.0);
        WorkerRow {
            table: word(self.at.workers).after(number * WORKER_WORDS),
            counters: word(self.at.worker_counters).after(number * COUNTER_WORDS),
        }
    }

    /// Where the words of a shard lie, and its slots.
    ///
    /// # Panics
    /// Panics when there is no such shard.
    #[must_use]
    pub fn shard_row(&self, shard: ShardIndex) -> ShardRow {
        assert!(shard.0 < self.shape.shards);
        let Shape { slots, slot_bytes, .. } = self.shape;
        let number = u32::from(shard.0);
        let first_slot = number * slots;
        let inline = |base: u64| base as usize + first_slot as usize * slot_bytes as usize;
        // At most 2^17 cells.
        let cells = self.cells as u32;
        ShardRow {
            table: word(self.at.shards).after(number * self.shard_words),
            counters: word(self.at.shard_counters).after(number * COUNTER_WORDS),
            ring: word(self.at.rings).after(number * cells),
            slots: word(self.at.slots).after(first_slot * SLOT_WORDS),
            requests: inline(0),
            responses: inline(self.at.responses),
            cells: self.cells,
            attention_words: self.attention_words,
            slot_count: slots,
            slot_bytes,
        }
    }

    /// Which life of this place it is.
    #[must_use]
    pub fn life(&self, worker: WorkerIndex) -> Word {
        self.worker_row(worker).life()
    }

    /// The worker's sleep sequence.
    #[must_use]
    pub fn worker_sleep(&self, worker: WorkerIndex) -> Word {
        self.worker_row(worker).sleep()
    }

    /// What the worker would be woken for while it sleeps in the middle of jobs; see `wake`.
    #[must_use]
    pub fn worker_wants(&self, worker: WorkerIndex) -> Word {
        self.worker_row(worker).wants()
    }

    /// The earliest deadline of the jobs that the worker runs; 0 is none.
    #[must_use]
    pub fn hard_limit(&self, worker: WorkerIndex) -> Word {
        self.worker_row(worker).hard_limit()
    }

    /// The job that the worker began last; see `counters`.
    #[must_use]
    pub fn current_job(&self, worker: WorkerIndex) -> Word {
        self.worker_row(worker).current_job()
    }

    /// When it began.
    #[must_use]
    pub fn current_start(&self, worker: WorkerIndex) -> Word {
        self.worker_row(worker).current_start()
    }

    /// A counter of a worker.
    ///
    /// # Panics
    /// Panics when there are not so many.
    #[must_use]
    pub fn worker_counter(&self, worker: WorkerIndex, index: u32) -> Word {
        self.worker_row(worker).counter(index)
    }

    /// A counter of a shard.
    ///
    /// # Panics
    /// Panics when there are not so many.
    #[must_use]
    pub fn shard_counter(&self, shard: ShardIndex, index: u32) -> Word {
        self.shard_row(shard).counter(index)
    }

    /// Which life of the shard it is.
    #[must_use]
    pub fn epoch(&self, shard: ShardIndex) -> Word {
        self.shard_row(shard).epoch()
    }

    /// The position of the next hint, for the shard's successor.
    #[must_use]
    pub fn tail(&self, shard: ShardIndex) -> Word {
        self.shard_row(shard).tail()
    }

    /// How many jobs wait behind the slots of the shard.
    #[must_use]
    pub fn queued(&self, shard: ShardIndex) -> Word {
        self.shard_row(shard).queued()
    }

    /// The position of the first hint that was not passed yet.
    #[must_use]
    pub fn head(&self, shard: ShardIndex) -> Word {
        self.shard_row(shard).head()
    }

    /// The shard's sleep sequence.
    #[must_use]
    pub fn shard_sleep(&self, shard: ShardIndex) -> Word {
        self.shard_row(shard).sleep()
    }

    /// Bit per slot: look at it. `index` counts words of 64 slots.
    ///
    /// # Panics
    /// Panics when there are not so many.
    #[must_use]
    pub fn attention(&self, shard: ShardIndex, index: u32) -> Word {
        self.shard_row(shard).attention(index)
    }

    /// The hint for a position.
    #[must_use]
    pub fn cell(&self, shard: ShardIndex, position: u64) -> Word {
        self.shard_row(shard).cell(position)
    }

    /// The words of a slot.
    #[must_use]
    pub fn slot(&self, shard: ShardIndex, slot: SlotIndex) -> SlotWords {
        self.shard_row(shard).slot(slot)
    }

    /// Where a small request lies.
    #[must_use]
    pub fn inline_request(&self, shard: ShardIndex, slot: SlotIndex) -> Span {
        self.shard_row(shard).inline_request(slot)
    }

    /// Where a small response lies.
    #[must_use]
    pub fn inline_response(&self, shard: ShardIndex, slot: SlotIndex) -> Span {
        self.shard_row(shard).inline_response(slot)
    }

    /// A block for requests; `None` when the shard has not so many.
    #[must_use]
    pub fn request_block(&self, shard: ShardIndex, block: u16) -> Option<Span> {
        let count = self.shape.request_blocks;
        let number = u64::from(shard.0) * u64::from(count) + u64::from(block);
        let exists = shard.0 < self.shape.shards && block < count;
        exists.then(|| block_span(Area::Requests, self.at.request_blocks, number))
    }

    /// A block for responses; `None` when the worker has not so many.
    #[must_use]
    pub fn response_block(&self, worker: WorkerIndex, block: u16) -> Option<Span> {
        let count = self.shape.response_blocks;
        let number = u64::from(worker.0) * u64::from(count) + u64::from(block);
        let exists = worker.0 < self.shape.workers && block < count;
        exists.then(|| block_span(Area::Control, self.at.response_blocks, number))
    }

    /// The memory of the response blocks of the first `workers`: offset and length in `control`.
    /// Everything before it is needed from the start.
    #[must_use]
    pub fn response_blocks_of(&self, workers: u8) -> (u64, u64) {
        let each = u64::from(self.shape.response_blocks) * BLOCK_BYTES;
        (self.at.response_blocks, each * u64::from(workers.min(self.shape.workers)))
    }

    /// A number for all constants and all offsets together.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let fields = FIELDS.iter().map(|&(_, number)| u64::from(number));
        let numbers = self.numbers().into_iter().map(|(_, number)| number);
        fields
            .chain(numbers)
            .flat_map(u64::to_le_bytes)
            .fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME))
    }

    fn place(shape: Shape) -> Option<Self> {
        let (shards, workers) = (u64::from(shape.shards), u64::from(shape.workers));
        let slots = shards * u64::from(shape.slots);
        let cells = (2 * u64::from(shape.slots)).next_power_of_two();
        let attention_words = shape.slots.div_ceil(u64::BITS);
        let shard_words = (ATTENTION + attention_words).next_multiple_of(LINE_WORDS);
        let shard_words = shard_words.max(SHARD_WORDS_MIN);
        let inline = slots.checked_mul(shape.slot_bytes.into())?;
        let mut end = 0u64;
        let mut take = |bytes: u64, align: u64| {
            let at = end.checked_next_multiple_of(align)?;
            end = at.checked_add(bytes)?;
            Some(at)
        };
        take(HEADER_BYTES, PAGE_BYTES)?;
        let at = Offsets {
            pool: take(bytes_of(POOL_WORDS), LINE_BYTES)?,
            workers: take(workers * bytes_of(WORKER_WORDS), LINE_BYTES)?,
            worker_counters: take(workers * bytes_of(COUNTER_WORDS), LINE_BYTES)?,
            shards: take(shards * bytes_of(shard_words), LINE_BYTES)?,
            shard_counters: take(shards * bytes_of(COUNTER_WORDS), LINE_BYTES)?,
            rings: take(shards * cells * WORD_BYTES, LINE_BYTES)?,
            slots: take(slots * bytes_of(SLOT_WORDS), LINE_BYTES)?,
            responses: take(inline, PAGE_BYTES)?,
            response_blocks: take(
                workers * u64::from(shape.response_blocks) * BLOCK_BYTES,
                PAGE_BYTES,
            )?,
            request_blocks: inline.checked_next_multiple_of(PAGE_BYTES)?,
        };
        let control_bytes = end.checked_next_multiple_of(PAGE_BYTES)?;
        let request_blocks = shards * u64::from(shape.request_blocks) * BLOCK_BYTES;
        let request_bytes = at.request_blocks.checked_add(request_blocks)?;
        Some(Self { shape, cells, attention_words, shard_words, at, control_bytes, request_bytes })
    }

    /// Words are counted in 32 bits, bytes in a `usize`.
    fn is_addressable(&self) -> bool {
        self.at.responses / WORD_BYTES <= u64::from(u32::MAX)
            && self.control_bytes <= BYTES_MAX
            && self.request_bytes <= BYTES_MAX
    }

    /// Shape, sizes and offsets by name, in the order of the header.
    fn numbers(&self) -> [(&'static str, u64); NUMBERS] {
        [
            ("shards", self.shape.shards.into()),
            ("workers", self.shape.workers.into()),
            ("slots", self.shape.slots.into()),
            ("slot_bytes", self.shape.slot_bytes.into()),
            ("request_blocks", self.shape.request_blocks.into()),
            ("response_blocks", self.shape.response_blocks.into()),
            ("cells", self.cells),
            ("shard_bytes", bytes_of(self.shard_words)),
            ("control_bytes", self.control_bytes),
            ("request_bytes", self.request_bytes),
            ("pool_offset", self.at.pool),
            ("workers_offset", self.at.workers),
            ("worker_counters_offset", self.at.worker_counters),
            ("shards_offset", self.at.shards),
            ("shard_counters_offset", self.at.shard_counters),
            ("rings_offset", self.at.rings),
            ("slots_offset", self.at.slots),
            ("responses_offset", self.at.responses),
            ("response_blocks_offset", self.at.response_blocks),
            ("request_blocks_offset", self.at.request_blocks),
        ]
    }

    fn check_header(&self, read: &impl Fn(u32) -> u64) -> Result<(), AttachError> {
        for (index, (_, expected)) in (HEADER_NUMBERS..).zip(self.numbers()) {
            if read(index) != expected {
                return Err(AttachError::Hash { found: read(HEADER_HASH), expected: self.hash() });
            }
        }
        match read(HEADER_HASH) {
            found if found == self.hash() => Ok(()),
            found => Err(AttachError::Hash { found, expected: self.hash() }),
        }
    }

    fn pool_word(&self, line: u32, index: usize) -> Word {
        assert!(index < BITMAP_WORDS);
        word(self.at.pool).after(line * LINE_WORDS + index as u32)
    }
}

fn checked(shape: Shape) -> Result<Shape, ShapeError> {
    let within = |what, value: u64, min, max| {
        let error = ShapeError::Count { what, value, min, max };
        if (min..=max).contains(&value) { Ok(()) } else { Err(error) }
    };
    within("shards", shape.shards.into(), 1, SHARDS_MAX)?;
    within("workers", shape.workers.into(), 1, WORKERS_MAX)?;
    within("slots", shape.slots.into(), 1, SLOTS_MAX)?;
    within("bytes of a slot", shape.slot_bytes.into(), 1, SLOT_BYTES_MAX)?;
    within("request blocks", shape.request_blocks.into(), 0, BLOCKS_MAX)?;
    within("response blocks", shape.response_blocks.into(), 0, BLOCKS_MAX)?;
    Ok(Shape { slot_bytes: shape.slot_bytes.next_multiple_of(LINE_BYTES as u32), ..shape })
}

/// The shape as the header says it; a number that does not fit its type is none.
fn shape_in(read: &impl Fn(u32) -> u64) -> Result<Shape, AttachError> {
    fn narrow<T: TryFrom<u64>>(what: &'static str, value: u64, max: u64) -> Result<T, AttachError> {
        let error = AttachError::Shape(ShapeError::Count { what, value, min: 0, max });
        T::try_from(value).map_err(|_| error)
    }
    let number = |index| read(HEADER_NUMBERS + index);
    Ok(Shape {
        shards: narrow("shards", number(0), SHARDS_MAX)?,
        workers: narrow("workers", number(1), WORKERS_MAX)?,
        slots: narrow("slots", number(2), SLOTS_MAX)?,
        slot_bytes: narrow("bytes of a slot", number(3), SLOT_BYTES_MAX)?,
        request_blocks: narrow("request blocks", number(4), BLOCKS_MAX)?,
        response_blocks: narrow("response blocks", number(5), BLOCKS_MAX)?,
    })
}

fn check_size(what: &'static str, found: u64, expected: u64) -> Result<(), AttachError> {
    if found == expected { Ok(()) } else { Err(AttachError::Size { what, found, expected }) }
}

fn block_span(area: Area, base: u64, number: u64) -> Span {
    let offset = base + number * BLOCK_BYTES;
    Span { area, offset: offset as usize, bytes: BLOCK_BYTES as u32 }
}

const fn word(offset: u64) -> Word {
    Word((offset / WORD_BYTES) as u32)
}

const fn bytes_of(words: u32) -> u64 {
    words as u64 * WORD_BYTES
}

/// Every word of a pool, for tests that write to all of them.
#[cfg(test)]
pub(super) fn words_of(layout: &Layout) -> Vec<Word> {
    let mut words: Vec<Word> = layout.header().into_iter().map(|(word, _)| word).collect();
    words.push(layout.supervisor_epoch());
    words.extend((0..BITMAP_WORDS).flat_map(|i| [layout.idle(i), layout.spinning(i)]));
    words.extend([layout.deaths(), layout.stop()]);
    for worker in layout.workers() {
        words.extend([layout.life(worker), layout.worker_sleep(worker)]);
        words.push(layout.worker_wants(worker));
        words.extend([layout.hard_limit(worker), layout.current_job(worker)]);
        words.push(layout.current_start(worker));
        words.extend((0..COUNTER_WORDS).map(|index| layout.worker_counter(worker, index)));
    }
    for shard in layout.shards() {
        words.extend([layout.epoch(shard), layout.tail(shard), layout.head(shard)]);
        words.extend([layout.shard_sleep(shard), layout.queued(shard)]);
        words.extend((0..layout.attention_words()).map(|i| layout.attention(shard, i)));
        words.extend((0..COUNTER_WORDS).map(|index| layout.shard_counter(shard, index)));
        words.extend((0..layout.cells()).map(|position| layout.cell(shard, position)));
        for slot in layout.slots() {
            let slot = layout.slot(shard, slot);
            words.extend([slot.state(), slot.submitted(), slot.deadline(), slot.request()]);
            words.extend([slot.cancel(), slot.response(), slot.started()]);
            words.push(slot.worker_window());
            words.extend((0..8).map(|pair| slot.response_extents(pair)));
            words.extend((0..8).map(|pair| slot.request_extents(pair)));
        }
    }
    words
}

/// The first word: `corewise` read as a little-endian number.
pub const MAGIC: u64 = u64::from_le_bytes(*b"corewise");
/// + 1 with each change of the layout or of the meaning of a word.
pub const ABI: u64 = 2;
/// Length of a block.
pub const BLOCK_BYTES: u64 = 64 << 10;
/// Most extents of a request.
pub const REQUEST_EXTENTS_MAX: usize = 15;
/// Most extents of a response.
pub const RESPONSE_EXTENTS_MAX: usize = 16;
/// Words of a bit per worker.
pub const BITMAP_WORDS: usize = 4;
/// Counters of a process.
pub const COUNTER_WORDS: u32 = 128;

const WORD_BYTES: u64 = 8;
const LINE_BYTES: u64 = 64;
const LINE_WORDS: u32 = 8;
const PAGE_BYTES: u64 = 4096;
const HEADER_BYTES: u64 = 4096;
const POOL_WORDS: u32 = 4 * LINE_WORDS;
const WORKER_WORDS: u32 = 4 * LINE_WORDS;
const SHARD_WORDS_MIN: u32 = 8 * LINE_WORDS;
const SLOT_WORDS: u32 = 3 * LINE_WORDS;

const SHARDS_MAX: u64 = 1024;
const WORKERS_MAX: u64 = 255;
const SLOTS_MAX: u64 = 1 << 16;
const SLOT_BYTES_MAX: u64 = 1 << 20;
/// An extent names a block in 15 bits.
const BLOCKS_MAX: u64 = (1 << 15) - 1;
const BYTES_MAX: u64 = 1 << 46;

const HEADER_MAGIC: u32 = 0;
const HEADER_ABI: u32 = 1;
const HEADER_HASH: u32 = 2;
const HEADER_EPOCH: u32 = 3;
const HEADER_NUMBERS: u32 = 4;
const NUMBERS: usize = 20;

const LIFE: u32 = 0;
const WORKER_SLEEP: u32 = LINE_WORDS;
const WORKER_WANTS: u32 = WORKER_SLEEP + 1;
const HARD_LIMIT: u32 = 2 * LINE_WORDS;
const CURRENT_JOB: u32 = HARD_LIMIT + 1;
const CURRENT_START: u32 = HARD_LIMIT + 2;

// The shard writes its first line with every job. What workers read with every job lies elsewhere.
const TAIL: u32 = 0;
const QUEUED: u32 = 1;
const HEAD: u32 = LINE_WORDS;
const SHARD_SLEEP: u32 = 2 * LINE_WORDS;
const EPOCH: u32 = SHARD_SLEEP + 1;
const ATTENTION: u32 = 3 * LINE_WORDS;

const STATE: u32 = 0;
const SUBMITTED: u32 = 1;
const DEADLINE: u32 = 2;
const REQUEST: u32 = 3;
const CANCEL: u32 = 4;
const RESPONSE: u32 = 5;
const STARTED: u32 = 6;
const WORKER_WINDOW: u32 = 7;
const RESPONSE_EXTENTS: u32 = LINE_WORDS;
const REQUEST_EXTENTS: u32 = 2 * LINE_WORDS;

/// Every constant of the layout by name, in words where it is a place.
const FIELDS: &[(&str, u32)] = &[
    ("header.magic", HEADER_MAGIC),
    ("header.abi", HEADER_ABI),
    ("header.hash", HEADER_HASH),
    ("header.epoch", HEADER_EPOCH),
    ("header.numbers", HEADER_NUMBERS),
    ("pool.idle", 0),
    ("pool.spinning", LINE_WORDS),
    ("pool.deaths", 2 * LINE_WORDS),
    ("pool.stop", 3 * LINE_WORDS),
    ("worker.life", LIFE),
    ("worker.sleep", WORKER_SLEEP),
    ("worker.wants", WORKER_WANTS),
    ("worker.hard_limit", HARD_LIMIT),
    ("worker.current_job", CURRENT_JOB),
    ("worker.current_start", CURRENT_START),
    ("worker.words", WORKER_WORDS),
    ("shard.tail", TAIL),
    ("shard.queued", QUEUED),
    ("shard.head", HEAD),
    ("shard.sleep", SHARD_SLEEP),
    ("shard.epoch", EPOCH),
    ("shard.attention", ATTENTION),
    ("slot.state", STATE),
    ("slot.submitted", SUBMITTED),
    ("slot.deadline", DEADLINE),
    ("slot.request", REQUEST),
    ("slot.cancel", CANCEL),
    ("slot.response", RESPONSE),
    ("slot.started", STARTED),
    ("slot.worker_window", WORKER_WINDOW),
    ("slot.response_extents", RESPONSE_EXTENTS),
    ("slot.request_extents", REQUEST_EXTENTS),
    ("slot.words", SLOT_WORDS),
    ("counter.words", COUNTER_WORDS),
    ("block.bytes", BLOCK_BYTES as u32),
];

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

const _: () = assert!(size_of::<usize>() == 8, "offsets are 64 bits wide");
const _: () = assert!((HEADER_NUMBERS as u64 + NUMBERS as u64) * WORD_BYTES <= HEADER_BYTES);
const _: () = assert!(BITMAP_WORDS as u64 * 64 > WORKERS_MAX);
const _: () = assert!(BITMAP_WORDS as u32 <= LINE_WORDS);
const _: () = assert!(CURRENT_START < WORKER_WORDS);
const _: () = assert!(WORKER_WINDOW < RESPONSE_EXTENTS);
const _: () = assert!(RESPONSE_EXTENTS_MAX as u32 == 2 * LINE_WORDS);
const _: () = assert!(REQUEST_EXTENTS_MAX as u32 == 2 * LINE_WORDS - 1);
const _: () = assert!(REQUEST_EXTENTS + LINE_WORDS == SLOT_WORDS);
const _: () = assert!(PAGE_BYTES.is_multiple_of(LINE_BYTES));

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fmt::Write as _;
    use std::{env, fs};

    const DEFAULT: Shape = Shape {
        shards: 2,
        workers: 4,
        slots: 256,
        slot_bytes: 4096,
        request_blocks: 64,
        response_blocks: 32,
    };
    const ODD: Shape = Shape {
        shards: 3,
        workers: 255,
        slots: 2500,
        slot_bytes: 513,
        request_blocks: 0,
        response_blocks: 1,
    };

    fn header_of(layout: &Layout) -> impl Fn(Word) -> u64 + use<> {
        let words = layout.header();
        move |at| words.iter().find(|(word, _)| *word == at).map_or(0, |&(_, value)| value)
    }

    /// The table that other languages read: a name and a number on each line.
    fn table() -> String {
        let mut text = String::from("# Layout of a pool's memory: constants, then two shapes.\n");
        for (name, number) in FIELDS {
            writeln!(text, "{name} {number}").unwrap();
        }
        for (name, shape) in [("default", DEFAULT), ("odd", ODD)] {
            let layout = Layout::new(shape).unwrap();
            for (field, number) in layout.numbers() {
                writeln!(text, "{name}.{field} {number}").unwrap();
            }
            writeln!(text, "{name}.hash {:016x}", layout.hash()).unwrap();
            let bytes = layout.header().into_iter().flat_map(|(_, word)| word.to_le_bytes());
            let hex: String = bytes.map(|byte| format!("{byte:02x}")).collect();
            writeln!(text, "{name}.header {hex}").unwrap();
        }
        text
    }

    #[test]
    fn the_bytes_are_those_of_the_golden_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/offload/layout.txt");
        if env::var("COREWISE_GOLDEN").is_ok_and(|wish| wish == "update") {
            fs::write(path, table()).unwrap();
        }
        assert_eq!(
            table(),
            fs::read_to_string(path).unwrap(),
            "the layout changed: raise ABI; COREWISE_GOLDEN=update writes {path} again"
        );
    }

    #[test]
    fn what_was_made_can_be_attached() {
        for shape in [DEFAULT, ODD] {
            let made = Layout::new(shape).unwrap();
            let (control, requests) = (made.control_bytes(), made.request_bytes());
            assert_eq!(Layout::attach(header_of(&made), control, requests).unwrap(), made);
        }
    }

    #[track_caller]
    fn check_refused(index: u32, value: u64, expected: &str) {
        let made = Layout::new(DEFAULT).unwrap();
        let good = header_of(&made);
        let bad = |at: Word| if at.0 == index { value } else { good(at) };
        let error = Layout::attach(bad, made.control_bytes(), made.request_bytes()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn foreign_memory_is_refused() {
        check_refused(HEADER_MAGIC, 0, "it begins with 0000000000000000");
        check_refused(HEADER_ABI, 1, "it has version 1, this program 2");
        check_refused(HEADER_HASH, 7, "its layout is 0000000000000007");
        check_refused(HEADER_NUMBERS, 3, "its layout is");
        check_refused(HEADER_NUMBERS, u64::MAX, "18446744073709551615 shards");
        check_refused(HEADER_NUMBERS + 2, 0, "0 slots, where a pool has 1 to 65536");
        check_refused(HEADER_NUMBERS + 10, 0, "its layout is");
    }

    #[test]
    fn cut_memory_is_refused() {
        let made = Layout::new(DEFAULT).unwrap();
        let attach = |control, requests| Layout::attach(header_of(&made), control, requests);
        let error = attach(made.control_bytes() - 1, made.request_bytes()).unwrap_err();
        assert!(error.to_string().contains("control memory has"), "{error}");
        let error = attach(made.control_bytes(), 0).unwrap_err();
        assert!(error.to_string().contains("request memory has 0 bytes"), "{error}");
        assert!(matches!(attach(100, 0), Err(AttachError::Size { found: 100, .. })));
    }

    #[test]
    fn impossible_shapes_are_refused() {
        let count = |shape| matches!(Layout::new(shape), Err(ShapeError::Count { .. }));
        assert!(count(Shape { shards: 0, ..DEFAULT }));
        assert!(count(Shape { shards: 1025, ..DEFAULT }));
        assert!(count(Shape { workers: 0, ..DEFAULT }));
        assert!(count(Shape { slots: 0, ..DEFAULT }));
        assert!(count(Shape { slots: 65_537, ..DEFAULT }));
        assert!(count(Shape { slot_bytes: 0, ..DEFAULT }));
        assert!(count(Shape { request_blocks: 32_769, ..DEFAULT }));
        let huge = Shape { shards: 1024, slots: 1 << 16, slot_bytes: 1 << 20, ..DEFAULT };
        assert_eq!(Layout::new(huge), Err(ShapeError::TooLarge));
    }

    #[test]
    fn a_shard_takes_six_mebibytes_and_a_worker_two() {
        let bytes = |shape| {
            let layout = Layout::new(shape).unwrap();
            layout.control_bytes() + layout.request_bytes()
        };
        let more = |shape| bytes(shape) - bytes(DEFAULT);
        assert!(more(Shape { shards: 3, ..DEFAULT }) < 6_400_000);
        assert!(more(Shape { workers: 5, ..DEFAULT }) < 2_200_000);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn words_and_spans_are_apart_and_inside(
            shards in 1..4u16, workers in 1..6u8, slots in 1..150u32, slot_bytes in 1..700u32,
            request_blocks in 0..3u16, response_blocks in 0..3u16,
        ) {
            let shape =
                Shape { shards, workers, slots, slot_bytes, request_blocks, response_blocks };
            let layout = Layout::new(shape).unwrap();
            let mut control: Vec<(u64, u64)> =
                words_of(&layout).into_iter().map(|word| (u64::from(word.0) * 8, 8)).collect();
            let mut requests = Vec::new();
            for span in spans_of(&layout) {
                let piece = (span.offset as u64, u64::from(span.bytes));
                if span.area == Area::Control { control.push(piece) } else { requests.push(piece) }
            }
            assert_apart(control, layout.control_bytes());
            assert_apart(requests, layout.request_bytes());
        }
    }

    fn assert_apart(mut pieces: Vec<(u64, u64)>, end: u64) {
        pieces.sort_unstable();
        let mut free_from = 0;
        for (at, bytes) in pieces {
            assert!(at >= free_from, "{at} lies below {free_from}");
            free_from = at + bytes;
        }
        assert!(free_from <= end);
    }

    fn spans_of(layout: &Layout) -> Vec<Span> {
        let shape = layout.shape();
        let mut spans = Vec::new();
        for shard in layout.shards() {
            for slot in layout.slots() {
                spans.push(layout.inline_request(shard, slot));
                spans.push(layout.inline_response(shard, slot));
            }
            spans.extend((0..9).filter_map(|block| layout.request_block(shard, block)));
        }
        for worker in layout.workers() {
            spans.extend((0..9).filter_map(|block| layout.response_block(worker, block)));
        }
        let blocks = usize::from(shape.shards) * usize::from(shape.request_blocks)
            + usize::from(shape.workers) * usize::from(shape.response_blocks);
        let slots = usize::from(shape.shards) * shape.slots as usize;
        assert_eq!(spans.len(), blocks + 2 * slots);
        spans
    }
}
