//! How the kernel schedules a process among others: its class and its niceness.

use std::io;

use rustix::process::{getpriority_process, setpriority_process};

/// Lets the calling thread, and every thread that it starts later, run only while nobody else
/// wants the CPU. Its niceness stays: this call changes the class alone, where sched_setattr
/// would also set the niceness that its struct happens to hold.
pub fn run_in_background() -> io::Result<()> {
    let parameter = libc::sched_param { sched_priority: 0 };
    // SAFETY: `parameter` is initialised and outlives the call; 0 is the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameter) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes the calling thread nicer than it is by so many steps, in both directions as far as the
/// scale goes. Less nice needs a privilege.
pub fn be_nicer(steps: i32) -> io::Result<()> {
    if steps == 0 {
        return Ok(());
    }
    let nice = getpriority_process(None)?.saturating_add(steps);
    Ok(setpriority_process(None, nice.clamp(-20, 19))?)
}

/// Whether the calling thread runs in the background.
pub fn is_in_background() -> bool {
    // SAFETY: no pointers; 0 is the calling thread.
    unsafe { libc::sched_getscheduler(0) == libc::SCHED_IDLE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_background_keeps_its_niceness() {
        // A thread of its own: neither class nor niceness must leak into other tests.
        std::thread::spawn(|| {
            let before = getpriority_process(None).unwrap();
            be_nicer(2).unwrap();
            assert!(!is_in_background());
            run_in_background().unwrap();
            assert!(is_in_background());
            assert_eq!(getpriority_process(None).unwrap(), (before + 2).min(19));
            be_nicer(100).unwrap();
            assert_eq!(getpriority_process(None).unwrap(), 19, "the scale ends there");
        })
        .join()
        .unwrap();
    }
}
