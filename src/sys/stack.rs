//! The last words of a process: where each of its threads that has work stood when it was ended by
//! ABRT, or by a fault of its own.
//!
//! All of it runs in a signal handler, on a stack of its own, in a process that may have broken
//! anything: it takes no memory and no lock, and an alarm ends it should it stand still all the
//! same. What finds names was made ready before (`symbols`). The unwinder is that of the
//! toolchain, which from glibc 2.35 on finds its tables without a lock.
//!
//! | word | writer | readers | ordering | pairs with |
//! |---|---|---|---|---|
//! | `TELL` | `tell_with`, before the handler is there | the handler | Relaxed | program order |
//! | `FIRST`, `TOLD` | handlers | handlers | Relaxed | nothing: no data hangs on them |
//! | `AT_WORK` | its thread | the first handler | Relaxed | nothing: a thread too many or few |

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::io;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicUsize, Ordering};

use super::process::end_after_seconds;
use super::signal::name;
pub use super::symbols::Place;
use super::symbols::prepare;

/// What is known of a process that ends.
#[derive(Debug)]
pub struct Fall<'a> {
    /// The name of the signal.
    pub signal: &'static str,
    /// The short name of the thread, with NULs behind it.
    pub thread: [u8; 16],
    /// Whether the thread has used up its stack.
    pub is_overflow: bool,
    /// Where it stood, and who called that, and so on.
    pub places: &'a [Place],
}

/// Tells it. It may take no memory and no lock.
pub type Tell = fn(&Fall<'_>);

/// The `Tell` in use.
static TELL: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());
/// The thread that tells first.
static FIRST: AtomicI32 = AtomicI32::new(0);
/// How many of the others have told.
static TOLD: AtomicUsize = AtomicUsize::new(0);
/// The threads besides the first one of the process that have work.
static AT_WORK: [AtomicI32; THREADS_MAX] = [const { AtomicI32::new(0) }; THREADS_MAX];

/// Has the end of this process, and of those that it forks, told by `tell`. For its first thread.
///
/// # Errors
/// When there is no memory for a stack.
pub fn tell_with(tell: Tell) -> io::Result<()> {
    prepare();
    // What it sets up the first time is there from now on.
    let mut places = [Place::default(); PLACES_MAX];
    walk(0, &mut places);
    TELL.store(tell as *mut (), Ordering::Relaxed);
    stand_by()?;
    // SAFETY: a zeroed sigaction is valid: no flags, an empty mask, the default action.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = fallen as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    for signal in SIGNALS {
        // SAFETY: `action` is initialised and outlives the call; what the handler may do stands at
        // the top of this file.
        if unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Gives the calling thread a stack for its last words. It stays for the life of the process.
fn stand_by() -> io::Result<()> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
    // SAFETY: asks for new memory wherever there is room.
    let memory = unsafe { libc::mmap(ptr::null_mut(), STACK_BYTES, protection, flags, -1, 0) };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the first page of what was just mapped; nobody uses it.
    unsafe { libc::mprotect(memory, GUARD_BYTES, libc::PROT_NONE) };
    let stack = libc::stack_t {
        ss_sp: memory.wrapping_byte_add(GUARD_BYTES),
        ss_flags: 0,
        ss_size: STACK_BYTES - GUARD_BYTES,
    };
    // SAFETY: the stack is mapped, nobody else's, and never unmapped.
    if unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Says that a thread, not the first one of its process, has work until this is dropped.
#[derive(Debug)]
pub struct AtWork(Option<usize>);

impl AtWork {
    /// Begins.
    #[must_use]
    pub fn begin() -> Self {
        if !STANDS_BY.replace(true) {
            // Without one the thread says nothing; all else goes on.
            let _ = stand_by();
        }
        let thread = own_thread();
        let take = |word: &AtomicI32| {
            word.compare_exchange(0, thread, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        Self(AT_WORK.iter().position(take))
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if let Some(index) = self.0 {
            AT_WORK[index].store(0, Ordering::Relaxed);
        }
    }
}

thread_local! {
    /// Whether this thread has a stack for its last words.
    static STANDS_BY: Cell<bool> = const { Cell::new(false) };
}

/// The handler. The first one tells for its thread, has the others with work do the same, and ends
/// the process.
extern "C" fn fallen(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let own = own_thread();
    match FIRST.compare_exchange(0, own, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => {
            // An error leaves it to whoever else may end this process.
            let _ = end_after_seconds(1);
            tell(signal, info, context);
            if is_from_outside(info) {
                ask_others(own);
            }
        }
        // Telling has failed in its turn.
        Err(first) if first == own => {}
        Err(_) => {
            tell(signal, info, context);
            // Relaxed, like all of these: what was told has left by a system call.
            TOLD.fetch_add(1, Ordering::Relaxed);
            loop {
                // SAFETY: pause has no preconditions. The first thread ends the process.
                unsafe { libc::pause() };
            }
        }
    }
    // SAFETY: SIG_DFL installs no code of ours, and raise takes no pointers. A signal that comes
    // from outside ends the process when this handler returns; a fault happens again.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

fn tell(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let tell = TELL.load(Ordering::Relaxed);
    // SAFETY: only `tell_with` stores there, and it stores a `Tell`.
    let tell = unsafe { mem::transmute::<*mut (), Option<Tell>>(tell) };
    let mut places = [Place::default(); PLACES_MAX];
    let (at, stack) = interrupted(context);
    let count = walk(at, &mut places);
    let mut thread = [0; 16];
    // SAFETY: PR_GET_NAME writes at most 16 bytes.
    unsafe { libc::prctl(libc::PR_GET_NAME, thread.as_mut_ptr()) };
    let fault = fault_address(signal, info);
    let is_overflow = fault.is_some_and(|fault| stack.abs_diff(fault) < OVERFLOW_BYTES);
    if let Some(tell) = tell {
        tell(&Fall { signal: name(signal), thread, is_overflow, places: &places[..count] });
    }
}

/// Has every other thread that has work tell, and waits a little for them.
fn ask_others(own: i32) {
    let mut asked = 0;
    for word in &AT_WORK {
        let thread = word.load(Ordering::Relaxed);
        if thread == 0 || thread == own {
            continue;
        }
        // SAFETY: takes no pointers. A thread that has ended meanwhile is an error; its number is
        // given out again only within this process or after it.
        let sent =
            unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, libc::SIGABRT) };
        asked += usize::from(sent == 0);
    }
    let moment = libc::timespec { tv_sec: 0, tv_nsec: 5_000_000 };
    for _ in 0..MOMENTS_MAX {
        if TOLD.load(Ordering::Relaxed) >= asked {
            return;
        }
        // SAFETY: `moment` outlives the call, and the rest is not asked for.
        unsafe { libc::nanosleep(&raw const moment, ptr::null_mut()) };
    }
}

fn is_from_outside(info: *mut libc::siginfo_t) -> bool {
    // SAFETY: the kernel gives a valid description to a handler that asked for one.
    unsafe { (*info).si_code == libc::SI_USER }
}

/// The address that could not be used.
fn fault_address(signal: c_int, info: *mut libc::siginfo_t) -> Option<usize> {
    // SAFETY: as above; a fault has an address, which a positive code tells from a sent signal.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr()) };
    (signal == libc::SIGSEGV && code > 0).then_some(address as usize)
}

/// Where the thread stood, and the end of its stack.
#[cfg(target_arch = "x86_64")]
fn interrupted(context: *mut c_void) -> (usize, usize) {
    // SAFETY: the kernel gives a handler that asked for it the registers as they were.
    let registers = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    (registers[libc::REG_RIP as usize] as usize, registers[libc::REG_RSP as usize] as usize)
}

/// Where the thread stood, and the end of its stack.
#[cfg(target_arch = "aarch64")]
fn interrupted(context: *mut c_void) -> (usize, usize) {
    // SAFETY: the kernel gives a handler that asked for it the registers as they were.
    let registers = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext };
    (registers.pc as usize, registers.sp as usize)
}

/// The places from `at` on, or from here on if that is 0; how many.
fn walk(at: usize, places: &mut [Place; PLACES_MAX]) -> usize {
    let mut walk = Walk { at, places, count: 0 };
    // SAFETY: `step` takes the `Walk` that it is given, which outlives the call. Tables that are
    // wrong lead to a fault in the handler, which ends the process.
    unsafe { _Unwind_Backtrace(step, (&raw mut walk).cast()) };
    if walk.count == 0 {
        // The way out of the handler was not found: where it stood is known all the same.
        walk.places[0] = Place { address: at, is_return: false };
        return 1;
    }
    walk.count
}

struct Walk<'a> {
    at: usize,
    places: &'a mut [Place; PLACES_MAX],
    count: usize,
}

extern "C" fn step(context: *mut c_void, walk: *mut c_void) -> c_int {
    // SAFETY: `walk` gave its own.
    let walk = unsafe { &mut *walk.cast::<Walk<'_>>() };
    let mut is_before = 0;
    // SAFETY: the unwinder gave the context, and the other pointer is to an int.
    let address = unsafe { _Unwind_GetIPInfo(context, &raw mut is_before) };
    // What lies in front of it is this handler.
    if walk.count > 0 || walk.at == 0 || address == walk.at {
        let Some(place) = walk.places.get_mut(walk.count) else { return END_OF_WALK };
        *place = Place { address, is_return: is_before == 0 };
        walk.count += 1;
    }
    0
}

// What panics unwind with too, so it is there.
unsafe extern "C" {
    fn _Unwind_Backtrace(
        step: extern "C" fn(*mut c_void, *mut c_void) -> c_int,
        data: *mut c_void,
    ) -> c_int;
    fn _Unwind_GetIPInfo(context: *mut c_void, is_before: *mut c_int) -> usize;
}

/// The number of the calling thread.
fn own_thread() -> i32 {
    // SAFETY: gettid has no preconditions.
    unsafe { libc::gettid() }
}

/// Writes to standard error, once: nothing here may wait for a second time.
pub fn write_error(bytes: &[u8]) {
    // SAFETY: the bytes are valid for the call.
    unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
}

const SIGNALS: [c_int; 5] =
    [libc::SIGABRT, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGSEGV];
/// What tells the unwinder to stop.
const END_OF_WALK: c_int = 5;
const PLACES_MAX: usize = 32;
const THREADS_MAX: usize = 64;
/// Of each, the deepest names to be taken apart take a good part.
const STACK_BYTES: usize = 512 << 10;
const GUARD_BYTES: usize = 64 << 10;
/// A fault so close to the end of the stack is one of the stack.
const OVERFLOW_BYTES: usize = 64 << 10;
/// Moments of 5 ms to wait for other threads: together well below the second after which the
/// process is ended anyway.
const MOMENTS_MAX: u32 = 60;
