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

/// Asks the kernel to let the calling thread run in turns as short as there are: who wakes up for
/// little work is then let in at once beside somebody who computes, instead of at the end of that
/// one's turn. It gets no more of the CPU by it. Kernels before 6.12 take the wish and forget it.
pub fn take_short_turns() -> io::Result<()> {
    // SAFETY: a struct of integers, for which zeros are a value.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::sched_attr>() as u32;
    // Class and niceness are set by the same call, so they are read first: whoever leaves them
    // zero loses a niceness without being told.
    // SAFETY: the kernel writes at most `size` bytes, which the struct has; 0 is this thread.
    let result = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    attributes.sched_runtime = TURN_NS;
    // SAFETY: the struct is initialised, says its own size and outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
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

/// The shortest turn that the kernel knows.
const TURN_NS: u64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_turns_leave_class_and_niceness_alone() {
        std::thread::spawn(|| {
            be_nicer(3).unwrap();
            let before = getpriority_process(None).unwrap();
            take_short_turns().unwrap();
            assert_eq!(getpriority_process(None).unwrap(), before);
            assert!(!is_in_background());
            run_in_background().unwrap();
            take_short_turns().unwrap();
            assert!(is_in_background());
            assert_eq!(getpriority_process(None).unwrap(), before);
        })
        .join()
        .unwrap();
    }

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
