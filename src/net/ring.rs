//! The network ring: one io_uring per shard, entered once per turn.
//!
//! Set up as measured: SINGLE_ISSUER | DEFER_TASKRUN | TASKRUN_FLAG. Completions are only
//! produced while we are inside `io_uring_enter`; until then the kernel raises a flag in shared
//! memory, which [`Ring::is_work_waiting`] reads without a system call.
//!
//! Knows sockets and bytes, nothing of HTTP. The interface (accept, receive into a leased buffer,
//! send, cancel, close, wait) is what a second engine would have to offer.

use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::atomic::{Ordering, fence};

use io_uring::types::{Fd, TimeoutFlags, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::buffers::{Buffers, GROUP, Lease};
use super::op::{ConnId, Kind, Token};
use super::output::{Output, Rest};

/// Submissions that fit before the ring has to be entered in the middle of a turn.
const SUBMISSIONS: u32 = 1024;
/// Completions that fit; more wait in the kernel (IORING_FEAT_NODROP) until these are reaped.
const COMPLETIONS: u32 = 4096;

/// A shard's ring.
pub struct Ring {
    /// Dropped first: the kernel must let go of buffers before they are freed.
    io: IoUring,
    /// Index under which the ring is registered with itself, or -1.
    registered: i32,
    /// Outputs the kernel may still read, by flight.
    flights: Vec<Option<Box<Output>>>,
    /// Unused entries of `flights`.
    landed: Vec<u32>,
    /// Whether the eventfd is registered.
    signals: bool,
    /// When the one timeout under way ends, in nanoseconds on CLOCK_MONOTONIC.
    alarm: Option<u64>,
    /// What the kernel reads of it while it is submitted.
    alarm_at: Box<Timespec>,
    buffers: Rc<Buffers>,
}

/// A send under way. One more than its place in the table, so that an `Option` costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlightId(NonZeroU32);

/// Why a ring could not be had; the texts are for people.
#[derive(Debug)]
pub struct OpenError {
    /// What was tried.
    pub step: &'static str,
    /// What the kernel said.
    pub source: io::Error,
}

impl OpenError {
    /// What to do about it.
    pub fn fix(&self) -> &'static str {
        match self.source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                "allow io_uring: sysctl kernel.io_uring_disabled=0, and in a container a seccomp \
                 profile that permits io_uring_setup, io_uring_enter and io_uring_register"
            }
            Some(libc::ENOSYS) => {
                "this kernel or its seccomp profile has no io_uring: use Linux 6.1 or later, and \
                 in a container permit io_uring_setup, io_uring_enter and io_uring_register"
            }
            Some(libc::EINVAL) => "use Linux 6.1 or later, which has IORING_SETUP_DEFER_TASKRUN",
            Some(libc::ENOMEM) => {
                "raise the limit of locked memory (ulimit -l) or of the container"
            }
            Some(libc::EMFILE | libc::ENFILE) => "raise the limit of open files (ulimit -n)",
            _ => "see the kernel log",
        }
    }
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.step, self.source)
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// How an operation ended that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// Cancelled at our own wish.
    pub const CANCELED: Self = Self(libc::ECANCELED);
    /// The buffer ring was empty.
    pub const NO_BUFFERS: Self = Self(libc::ENOBUFS);

    /// Whether a descriptor, memory or another resource was lacking, so that trying again later
    /// may help.
    pub fn is_shortage(self) -> bool {
        matches!(self.0, libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    }

    /// Whether trying again at once is right.
    pub fn is_transient(self) -> bool {
        matches!(self.0, libc::EINTR | libc::EAGAIN | libc::ECONNABORTED | libc::EPROTO)
    }
}

impl std::fmt::Display for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        io::Error::from_raw_os_error(self.0).fmt(f)
    }
}

/// A completion as it lies in the ring, copied out before any is handled. Not to be copied: what
/// it stands for is handed out once.
pub struct Raw {
    token: Token,
    result: i32,
    flags: u32,
}

/// Something has happened.
pub enum Completion {
    /// Connections wait at a listener, which is watched no more.
    Acceptable {
        /// Which listener.
        listener: u32,
    },
    /// The watch over a listener ended without a word about connections.
    WatchEnded {
        /// Which listener.
        listener: u32,
        /// Why.
        error: Errno,
    },
    /// The result of something nobody waits for.
    Nothing,
    /// A polled descriptor is ready.
    Polled {
        /// The caller's tag.
        tag: u32,
        /// Whether the poll goes on.
        armed: bool,
    },
    /// Bytes arrived.
    Received {
        /// On which connection.
        conn: ConnId,
        /// The bytes.
        lease: Lease,
        /// Whether the receive goes on.
        armed: bool,
        /// Whether more bytes lay in the socket when these were taken.
        more: bool,
    },
    /// The receive ended: with the peer's FIN (`None`) or an error.
    ReceiveEnded {
        /// On which connection.
        conn: ConnId,
        /// `None` for the peer's FIN.
        error: Option<Errno>,
    },
    /// A send is over; the output comes back, advanced by what was sent.
    Sent {
        /// On which connection.
        conn: ConnId,
        /// The output.
        output: Box<Output>,
        /// How it went.
        result: Result<usize, Errno>,
    },
}

impl Ring {
    /// Set the ring up.
    ///
    /// # Errors
    /// Names the step that the kernel refused.
    pub fn open() -> Result<Self, OpenError> {
        let step = |step| move |source| OpenError { step, source };
        let io = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_clamp()
            .setup_cqsize(COMPLETIONS)
            .dontfork()
            .build(SUBMISSIONS)
            .map_err(step("io_uring_setup with SINGLE_ISSUER | DEFER_TASKRUN"))?;
        let buffers = Buffers::map().map_err(step("mapping the receive buffers"))?;
        // SAFETY: the address is the start of a mapping of `count` zero-initialised entries. It
        // is owned by `Ring::buffers`, declared after `Ring::io`, and `Ring::drop` gives up the
        // ring's own reference to itself first, so the ring that it is registered with is closed
        // before it is unmapped; leases keep it alive even longer.
        unsafe {
            io.submitter().register_buf_ring_with_flags(
                buffers.address(),
                buffers.count(),
                GROUP,
                0,
            )
        }
        .map_err(step("registering the buffer ring"))?;
        confine_helpers(&io).map_err(step("confining the kernel's helper threads"))?;
        let registered = register_self(io.as_raw_fd());
        Ok(Self {
            io,
            registered,
            flights: Vec::new(),
            landed: Vec::new(),
            signals: false,
            alarm: None,
            alarm_at: Box::default(),
            buffers,
        })
    }

    /// Tell once when connections wait at `listener`, at once if some do.
    ///
    /// They are then to be accepted one by one. A multishot accept would be cheaper by a call per
    /// connection, but it goes on accepting while a killed process is being taken apart: of 40
    /// clients that connected right after a kill -9 up to 20 were accepted by the dead and reset,
    /// while their successor was already there. Those that are not accepted wait for it.
    pub fn watch_listener(&mut self, listener: BorrowedFd<'_>, index: u32) {
        let entry = opcode::PollAdd::new(Fd(listener.as_raw_fd()), libc::POLLIN as u32);
        self.push(entry.build(), Token::new(Kind::Accept, index, 0));
    }

    /// End the watch over listener `index`. It holds the socket open until its end is reported.
    pub fn unwatch_listener(&mut self, index: u32) {
        self.cancel(Token::new(Kind::Accept, index, 0));
    }

    /// Tell whenever `fd` is readable or hung up.
    pub fn poll(&mut self, fd: BorrowedFd<'_>, tag: u32) {
        let entry = opcode::PollAdd::new(Fd(fd.as_raw_fd()), libc::POLLIN as u32).multi(true);
        self.push(entry.build(), Token::new(Kind::Poll, tag, 0));
    }

    /// Receive on `socket` until cancelled, at the end, or out of buffers.
    pub fn receive(&mut self, conn: ConnId, socket: BorrowedFd<'_>) {
        let entry = opcode::RecvMulti::new(Fd(socket.as_raw_fd()), GROUP);
        self.push(entry.build(), Token::new(Kind::Receive, conn.index, conn.generation));
    }

    /// Receive on `socket` once. A connection of a single request then has nothing to cancel when
    /// it is closed.
    pub fn receive_once(&mut self, conn: ConnId, socket: BorrowedFd<'_>) {
        let nowhere = std::ptr::null_mut();
        let entry = opcode::Recv::new(Fd(socket.as_raw_fd()), nowhere, 0).buf_group(GROUP);
        self.push(
            entry.build().flags(squeue::Flags::BUFFER_SELECT),
            Token::new(Kind::Receive, conn.index, conn.generation),
        );
    }

    /// End the receive of `conn`; what is on its way still comes.
    pub fn cancel_receive(&mut self, conn: ConnId) {
        self.cancel(Token::new(Kind::Receive, conn.index, conn.generation));
    }

    /// Send `output`, which is the ring's until its completion. Returns the flight.
    pub fn send(
        &mut self,
        conn: ConnId,
        socket: BorrowedFd<'_>,
        mut output: Box<Output>,
    ) -> FlightId {
        output.conn = conn;
        let fd = Fd(socket.as_raw_fd());
        let entry = match output.rest() {
            Rest::Single(rest) => {
                let len = u32::try_from(rest.len()).unwrap_or(u32::MAX);
                opcode::Send::new(fd, rest.as_ptr(), len).flags(libc::MSG_NOSIGNAL).build()
            }
            Rest::Pieces(message) => {
                opcode::SendMsg::new(fd, message).flags(libc::MSG_NOSIGNAL as u32).build()
            }
        };
        // The pointers above are into the heap (the output's buffer, its box of pieces), so they
        // survive the move into the table; they stay untouched there until the completion.
        let flight = match self.landed.pop() {
            Some(flight) => {
                self.flights[flight as usize] = Some(output);
                flight
            }
            None => {
                self.flights.push(Some(output));
                (self.flights.len() - 1) as u32
            }
        };
        self.push(entry, Token::new(Kind::Send, flight, 0));
        FlightId(NonZeroU32::MIN.saturating_add(flight))
    }

    /// Give up on a send.
    pub fn cancel_send(&mut self, flight: FlightId) {
        self.cancel(Token::new(Kind::Send, flight.0.get() - 1, 0));
    }

    /// Close `socket`, after everything that was asked before.
    pub fn close(&mut self, socket: OwnedFd) {
        let entry = opcode::Close::new(Fd(socket.into_raw_fd()));
        self.push(entry.build().flags(squeue::Flags::SKIP_SUCCESS), FORGET);
    }

    /// Whether an enter would produce completions, or some lie there already.
    pub fn is_work_waiting(&mut self) -> bool {
        let tasks = {
            let submission = self.io.submission();
            submission.taskrun() || submission.cq_overflow()
        };
        tasks || !self.io.completion().is_empty()
    }

    /// Submit what was asked and produce completions, without waiting.
    pub fn submit(&mut self) {
        self.enter(0);
    }

    /// Submit what was asked and wait for a completion, at most until `until` (nanoseconds on
    /// CLOCK_MONOTONIC).
    ///
    /// The time is kept by one timeout operation that stays from wait to wait. A timeout of the
    /// enter itself would set a timer of the CPU anew for every sleep, which in a virtual machine
    /// costs an exit to the host.
    pub fn wait(&mut self, until: Option<u64>) {
        if let Some(until) = until {
            self.set_alarm(until);
        }
        self.enter(1);
    }

    /// Have a completion at `until` at the latest; one that comes early does no harm.
    fn set_alarm(&mut self, until: u64) {
        if self.alarm.is_some_and(|alarm| alarm <= until) {
            return;
        }
        *self.alarm_at =
            Timespec::new().sec(until / NANOS_PER_SECOND).nsec((until % NANOS_PER_SECOND) as u32);
        let at = &raw const *self.alarm_at;
        if self.alarm.is_some() {
            let entry = opcode::TimeoutUpdate::new(ALARM.0, at).flags(TimeoutFlags::ABS).build();
            self.push(entry.flags(squeue::Flags::SKIP_SUCCESS), FORGET);
        } else {
            self.push(opcode::Timeout::new(at).flags(TimeoutFlags::ABS).build(), ALARM);
        }
        self.alarm = Some(until);
    }

    /// Copy out what lies in the ring.
    pub fn reap(&mut self, into: &mut Vec<Raw>) {
        for entry in self.io.completion() {
            into.push(Raw {
                token: Token(entry.user_data()),
                result: entry.result(),
                flags: entry.flags(),
            });
        }
    }

    /// What a completion means. Each must be resolved once: it carries ownership.
    pub fn resolve(&mut self, raw: Raw) -> Completion {
        let armed = cqueue::more(raw.flags);
        match raw.token.kind() {
            Some(Kind::Receive) => self.resolve_receive(raw, armed),
            Some(Kind::Send) => self.resolve_send(raw),
            Some(Kind::Accept) => resolve_accept(raw),
            Some(Kind::Poll) => Completion::Polled { tag: raw.token.index(), armed },
            Some(Kind::Forget) => Completion::Nothing,
            Some(Kind::Alarm) => {
                self.alarm = None;
                Completion::Nothing
            }
            None => unreachable!("a completion with a token that was never submitted"),
        }
    }

    /// Have `eventfd` signalled when work arrives; false if work is there already, so that nobody
    /// sleeps. Always the same eventfd.
    ///
    /// # Errors
    /// When the kernel refuses to register it.
    pub fn arm_eventfd(&mut self, eventfd: BorrowedFd<'_>) -> io::Result<bool> {
        if !self.signals {
            // Only now: signals cost a look at their switch for every completion.
            self.io.submitter().register_eventfd(eventfd.as_raw_fd())?;
            self.signals = true;
        }
        self.io.completion().enable_eventfd();
        // Excludes: we read "no work", the kernel reads "signals off", and both go to sleep. One
        // of the two sees the other. Pairs with the barrier in the kernel between queueing the
        // task work (setting TASKRUN) and looking at the switch.
        fence(Ordering::SeqCst);
        Ok(!self.is_work_waiting())
    }

    /// No more signals: we look at the ring ourselves.
    pub fn disarm_eventfd(&mut self) {
        self.io.completion().disable_eventfd();
    }

    fn resolve_receive(&mut self, raw: Raw, armed: bool) -> Completion {
        let conn = raw.token.conn();
        let lease = cqueue::buffer_select(raw.flags)
            .map(|index| self.buffers.lease(index, usize::try_from(raw.result).unwrap_or(0)));
        match (raw.result, lease) {
            (1.., Some(lease)) => {
                let more = cqueue::sock_nonempty(raw.flags);
                Completion::Received { conn, lease, armed, more }
            }
            (0.., _) => Completion::ReceiveEnded { conn, error: None },
            (error, _) => Completion::ReceiveEnded { conn, error: Some(Errno(-error)) },
        }
    }

    fn resolve_send(&mut self, raw: Raw) -> Completion {
        let flight = raw.token.index();
        let mut output = self.flights[flight as usize].take().expect("a flight lands exactly once");
        self.landed.push(flight);
        let result = usize::try_from(raw.result).map_err(|_| Errno(-raw.result));
        if let Ok(bytes) = result {
            output.advance(bytes);
        }
        Completion::Sent { conn: output.conn, output, result }
    }

    fn cancel(&mut self, target: Token) {
        let entry = opcode::AsyncCancel::new(target.0).build();
        self.push(entry.flags(squeue::Flags::SKIP_SUCCESS), FORGET);
    }

    fn push(&mut self, entry: squeue::Entry, token: Token) {
        let entry = entry.user_data(token.0);
        loop {
            // SAFETY: what the entry points to lives until its completion: outputs in `flights`,
            // receive buffers in `buffers`; the alarm's time, in a box that is only written
            // before a push, is read while it is submitted. Other operations carry no pointers.
            // Descriptors
            // are borrowed from live owners: sockets are closed through this same queue, in
            // order; listeners once their watch has ended, so that nothing of them is queued.
            if unsafe { self.io.submission().push(&entry) }.is_ok() {
                return;
            }
            self.submit();
        }
    }

    fn enter(&mut self, want: u32) {
        let submissions = self.io.submission().len() as u32;
        let result = if self.registered >= 0 {
            enter(self.registered, submissions, want, ENTER_GETEVENTS | ENTER_REGISTERED_RING)
        } else {
            enter(self.io.as_raw_fd(), submissions, want, ENTER_GETEVENTS)
        };
        match result {
            // EINTR: a signal or a stop. EAGAIN, EBUSY: the kernel wants us to reap first. In all
            // of them what was not submitted stays in the queue and the turn goes on as if
            // nothing had completed.
            Ok(()) | Err(libc::EINTR | libc::EAGAIN | libc::EBUSY) => {}
            Err(errno) => {
                panic!("io_uring_enter failed: {}", io::Error::from_raw_os_error(errno))
            }
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if self.registered >= 0 {
            // Else the ring outlives its descriptor, and with it the use of our buffers.
            unregister_self(self.io.as_raw_fd(), self.registered);
        }
    }
}

fn resolve_accept(raw: Raw) -> Completion {
    let listener = raw.token.index();
    if raw.result < 0 {
        return Completion::WatchEnded { listener, error: Errno(-raw.result) };
    }
    Completion::Acceptable { listener }
}

/// Keeps the threads that the kernel starts for operations that would block, of any ring of this
/// thread, where the thread itself may run. Before Linux 6.2 they otherwise run on every CPU.
fn confine_helpers(io: &IoUring) -> io::Result<()> {
    // SAFETY: cpu_set_t is an array of integers, for which zero bytes are a value.
    let mut cpus: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `cpus` is a live local, and the size handed over is its own; 0 names this thread.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&cpus), &raw mut cpus) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    io.submitter().register_iowq_aff(&cpus)
}

/// Register the ring with itself, which spares the kernel a descriptor look-up per enter. A
/// kernel that refuses is no loss: -1, and the descriptor is used.
fn register_self(ring: RawFd) -> i32 {
    let mut update = RsrcUpdate { offset: u32::MAX, reserved: 0, data: ring as u64 };
    // SAFETY: IORING_REGISTER_RING_FDS (20) reads and writes one io_uring_rsrc_update, which
    // `update` is (u32, u32, u64, as in the uapi header), and which lives across the call.
    let result =
        unsafe { libc::syscall(libc::SYS_io_uring_register, ring, 20, &raw mut update, 1) };
    if result == 1 { update.offset as i32 } else { -1 }
}

/// Undo `register_self`. It cannot fail for an index that was registered, and there is nobody to
/// tell if it did.
fn unregister_self(ring: RawFd, registered: i32) {
    let mut update = RsrcUpdate { offset: registered as u32, reserved: 0, data: 0 };
    // SAFETY: IORING_UNREGISTER_RING_FDS (21) reads one io_uring_rsrc_update, which `update` is
    // and which lives across the call.
    unsafe { libc::syscall(libc::SYS_io_uring_register, ring, 21, &raw mut update, 1) };
}

/// `struct io_uring_rsrc_update` of the uapi header.
#[repr(C)]
struct RsrcUpdate {
    offset: u32,
    reserved: u32,
    data: u64,
}

const _: () = assert!(size_of::<RsrcUpdate>() == 16);

fn enter(ring: i32, submissions: u32, want: u32, flags: u32) -> Result<(), i32> {
    let nothing = std::ptr::null::<libc::c_void>();
    // SAFETY: without EXT_ARG the last two arguments are an optional signal mask, which is null.
    // The entries submitted were made by `Ring::push`, which vouches for them.
    let result = unsafe {
        libc::syscall(libc::SYS_io_uring_enter, ring, submissions, want, flags, nothing, 0usize)
    };
    if result < 0 {
        // SAFETY: errno is thread-local and always readable.
        return Err(unsafe { *libc::__errno_location() });
    }
    Ok(())
}

const ALARM: Token = Token::new(Kind::Alarm, 0, 0);
const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// Closes and cancels: nobody waits for their results, and a completion of theirs would end the
/// wait for somebody else's, so only failures are posted.
const FORGET: Token = Token::new(Kind::Forget, 0, 0);
/// IORING_ENTER_GETEVENTS.
const ENTER_GETEVENTS: u32 = 1;
/// IORING_ENTER_REGISTERED_RING.
const ENTER_REGISTERED_RING: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::affinity;

    /// The masks of the kernel's helper threads of the calling thread, by their names.
    fn helpers() -> Vec<String> {
        let tid = rustix::thread::gettid().as_raw_nonzero();
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let statuses = tasks
            .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).ok());
        let own = format!("Name:\tiou-wrk-{tid}\n");
        let masks = statuses.filter(|status| status.starts_with(&own)).map(|status| {
            let line = status.lines().find(|line| line.starts_with("Cpus_allowed_list:")).unwrap();
            line["Cpus_allowed_list:".len()..].trim().to_owned()
        });
        masks.collect()
    }

    #[test]
    fn helper_threads_of_the_kernel_stay_where_we_are() {
        let cpu = *affinity::allowed().unwrap().last().unwrap();
        let found = std::thread::spawn(move || {
            affinity::pin(cpu).unwrap();
            let _ring = Ring::open().unwrap();
            // A ring like the executor's, made by somebody else.
            let mut other = IoUring::new(4).unwrap();
            let entry = opcode::Nop::new().build().flags(squeue::Flags::ASYNC);
            // SAFETY: an operation without buffers or descriptors refers to nothing.
            unsafe { other.submission().push(&entry) }.unwrap();
            other.submit_and_wait(1).unwrap();
            helpers()
        });
        let found = found.join().unwrap();
        assert!(!found.is_empty(), "the operation has started a thread");
        assert!(found.iter().all(|mask| *mask == cpu.to_string()), "{found:?} instead of {cpu}");
    }
}
