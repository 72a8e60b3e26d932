//! Ctrl-C: remembered, so that a run can end in order, and passed on to the load of the moment.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::{Duration, Instant};

/// From now on SIGINT and SIGTERM no longer end this process.
pub(crate) fn watch() -> io::Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let handler = on_signal as extern "C" fn(libc::c_int);
        // SAFETY: the handler makes one system call and touches two atomics, all of which a
        // signal handler may do, and it lives as long as the program.
        if unsafe { libc::signal(signal, handler as libc::sighandler_t) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Whether the run is to end.
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// An error once the run is to end.
pub(crate) fn check() -> io::Result<()> {
    if requested() {
        return Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted"));
    }
    Ok(())
}

/// Sleeps, but not past an interrupt.
pub(crate) fn sleep(duration: Duration) -> io::Result<()> {
    let end = Instant::now() + duration;
    loop {
        check()?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(STEP));
    }
}

/// Says which process an interrupt ends; `None` before it is waited for, so that nobody else can
/// have got its number.
pub(crate) fn pass_on_to(process: Option<u32>) {
    // Excludes that a load is never ended: the handler has not seen it yet, and we do not see that
    // the handler has run. Pairs with the handler, which writes and reads in the other order.
    LOAD.store(process.map_or(0, u32::cast_signed), Ordering::SeqCst);
    // The other half of what is excluded above.
    if REQUESTED.load(Ordering::SeqCst) {
        end_load();
    }
}

extern "C" fn on_signal(_: libc::c_int) {
    // Pairs with `pass_on_to`.
    REQUESTED.store(true, Ordering::SeqCst);
    end_load();
}

fn end_load() {
    // Pairs with `pass_on_to`.
    let load = LOAD.load(Ordering::SeqCst);
    if load > 0 {
        // SAFETY: the call takes two integers. The process is a child that was not waited for.
        unsafe { libc::kill(load, libc::SIGKILL) };
    }
}

static REQUESTED: AtomicBool = AtomicBool::new(false);
/// The process of the load; 0 when there is none.
static LOAD: AtomicI32 = AtomicI32::new(0);
const STEP: Duration = Duration::from_millis(100);
