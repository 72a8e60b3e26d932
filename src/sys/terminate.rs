//! TERM in a child: heard even when the process hangs.
//!
//! The kernel sends TERM when the supervisor is gone. A descriptor that is read between two turns
//! would be enough for a shard that turns; for one that hangs in a handler the signal handler
//! itself has to arm the alarm that ends it, because nobody else is left to do so.
//!
//! | word | writer | reader | ordering | pairs with |
//! |---|---|---|---|---|
//! | all three | `on_terminate` | the handler | Relaxed | program order |
//!
//! The handler runs on the thread that stored the words before it installed the handler.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use super::descriptors::doorbell;
use super::signal::{Signal, set_default};

static DOORBELL: AtomicI32 = AtomicI32::new(-1);
static PARENT: AtomicI32 = AtomicI32::new(0);
static SECONDS: AtomicU32 = AtomicU32::new(0);

/// Let TERM count up the eventfd that is returned. If the parent of this moment is gone by then,
/// the process is also ended by ALRM `seconds` after it, whatever it is doing.
///
/// For the main thread, once in each process; a fork calls it anew. The eventfd stays open.
///
/// # Errors
/// When the process is out of descriptors.
pub fn on_terminate(seconds: u32) -> io::Result<OwnedFd> {
    let bell = doorbell()?;
    // The handler's own copy: it must not find the number closed or taken by another file.
    let copy = bell.try_clone()?;
    DOORBELL.store(copy.as_raw_fd(), Ordering::Relaxed);
    std::mem::forget(copy);
    // SAFETY: getppid has no preconditions.
    PARENT.store(unsafe { libc::getppid() }, Ordering::Relaxed);
    SECONDS.store(seconds, Ordering::Relaxed);
    set_default(Signal::Alarm)?;
    // SAFETY: a zeroed sigaction is valid: no flags, an empty mask, the default action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = terminated as *const () as usize;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: `action` is initialised and outlives the call; the handler calls nothing but
    // functions that signal-safety(7) lists.
    let result = unsafe { libc::sigaction(libc::SIGTERM, &raw const action, std::ptr::null_mut()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    unblock()?;
    Ok(bell)
}

fn unblock() -> io::Result<()> {
    // SAFETY: a zeroed sigset_t is valid storage, which sigemptyset initialises.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is valid storage for a signal set.
    unsafe { libc::sigemptyset(&raw mut set) };
    // SAFETY: `set` is an initialised signal set, SIGTERM a valid signal.
    unsafe { libc::sigaddset(&raw mut set, libc::SIGTERM) };
    // SAFETY: `set` outlives the call; the old mask is not asked for.
    let result =
        unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()) };
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(result)) }
}

/// The handler. Only async-signal-safe calls, and errno is left as it was found.
extern "C" fn terminated(_: libc::c_int) {
    // SAFETY: errno is thread-local and always accessible.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above; a plain read of an int.
    let saved = unsafe { *errno };
    // SAFETY: getppid has no preconditions and is async-signal-safe.
    if unsafe { libc::getppid() } != PARENT.load(Ordering::Relaxed) {
        // SAFETY: alarm has no preconditions and is async-signal-safe.
        unsafe { libc::alarm(SECONDS.load(Ordering::Relaxed)) };
    }
    let one = 1u64;
    let doorbell = DOORBELL.load(Ordering::Relaxed);
    // SAFETY: write is async-signal-safe; `one` is 8 readable bytes, which is what an eventfd
    // takes; the descriptor was left open for the handler alone.
    unsafe { libc::write(doorbell, (&raw const one).cast(), 8) };
    // SAFETY: as the read above.
    unsafe { *errno = saved };
}
