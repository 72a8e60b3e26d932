//! Signals as something to read: blocked, then taken from a descriptor.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr;

use super::descriptors::own;

/// The signals that mean something to a process of ours, alphabetically.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Signal {
    /// ABRT: end with a trace of where it stood.
    Abort,
    /// ALRM: a time is over.
    Alarm,
    /// CHLD: a child has changed.
    Child,
    /// HUP: reload.
    Hangup,
    /// INT: a person pressed Ctrl-C.
    Interrupt,
    /// KILL.
    Kill,
    /// QUIT: fast stop.
    Quit,
    /// TERM: graceful stop.
    Terminate,
    /// TTIN: one more.
    TtyIn,
    /// TTOU: one fewer.
    TtyOut,
    /// USR1: reopen logs.
    User1,
    /// USR2: new binary.
    User2,
    /// WINCH: drain, or a resized terminal.
    Window,
}

impl Signal {
    /// All signals that can be blocked and read.
    pub const READABLE: [Self; 10] = [
        Self::Child,
        Self::Hangup,
        Self::Interrupt,
        Self::Quit,
        Self::Terminate,
        Self::TtyIn,
        Self::TtyOut,
        Self::User1,
        Self::User2,
        Self::Window,
    ];

    /// Its number.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Abort => libc::SIGABRT,
            Self::Alarm => libc::SIGALRM,
            Self::Child => libc::SIGCHLD,
            Self::Hangup => libc::SIGHUP,
            Self::Interrupt => libc::SIGINT,
            Self::Kill => libc::SIGKILL,
            Self::Quit => libc::SIGQUIT,
            Self::Terminate => libc::SIGTERM,
            Self::TtyIn => libc::SIGTTIN,
            Self::TtyOut => libc::SIGTTOU,
            Self::User1 => libc::SIGUSR1,
            Self::User2 => libc::SIGUSR2,
            Self::Window => libc::SIGWINCH,
        }
    }

    /// The signal with this number, if it is one of the readable ones.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::READABLE.into_iter().find(|signal| signal.number() == number)
    }

    pub(super) fn to_rustix(self) -> rustix::process::Signal {
        rustix::process::Signal::from_named_raw(self.number())
            .expect("every variant is a named signal")
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name(self.number()))
    }
}

/// The short name of a signal number, as `kill -l` prints it; "?" for one without a name.
#[must_use]
pub fn name(number: i32) -> &'static str {
    match number {
        libc::SIGABRT => "ABRT",
        libc::SIGALRM => "ALRM",
        libc::SIGBUS => "BUS",
        libc::SIGCHLD => "CHLD",
        libc::SIGFPE => "FPE",
        libc::SIGHUP => "HUP",
        libc::SIGILL => "ILL",
        libc::SIGINT => "INT",
        libc::SIGKILL => "KILL",
        libc::SIGPIPE => "PIPE",
        libc::SIGQUIT => "QUIT",
        libc::SIGSEGV => "SEGV",
        libc::SIGSYS => "SYS",
        libc::SIGTERM => "TERM",
        libc::SIGTRAP => "TRAP",
        libc::SIGTTIN => "TTIN",
        libc::SIGTTOU => "TTOU",
        libc::SIGUSR1 => "USR1",
        libc::SIGUSR2 => "USR2",
        libc::SIGWINCH => "WINCH",
        libc::SIGXCPU => "XCPU",
        libc::SIGXFSZ => "XFSZ",
        _ => "?",
    }
}

/// Replaces the signal mask of the calling thread: exactly these are blocked from now on.
pub fn block_only(signals: &[Signal]) -> io::Result<()> {
    let set = signal_set(signals);
    // SAFETY: `set` is an initialised sigset_t that outlives the call; the old mask is not asked
    // for, which a null pointer says.
    let result =
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut()) };
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(result)) }
}

/// Lets the process ignore a signal.
pub fn ignore(signal: Signal) -> io::Result<()> {
    set_disposition(signal, libc::SIG_IGN)
}

/// Gives a signal back its default action.
pub fn set_default(signal: Signal) -> io::Result<()> {
    set_disposition(signal, libc::SIG_DFL)
}

/// A descriptor from which blocked signals are read. It does not block.
#[derive(Debug)]
pub struct SignalFd {
    fd: OwnedFd,
}

impl SignalFd {
    /// Blocks exactly these signals in the calling thread and opens a descriptor for them.
    pub fn open(signals: &[Signal]) -> io::Result<Self> {
        block_only(signals)?;
        let set = signal_set(signals);
        // SAFETY: `set` is an initialised sigset_t that outlives the call; -1 asks for a new
        // descriptor, so no other one is changed.
        let fd =
            unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: signalfd has just returned this descriptor; nothing else owns it.
        Ok(Self { fd: unsafe { own(fd) } })
    }

    /// The next signal that has arrived, with the number for those we have no name for.
    pub fn read(&self) -> io::Result<Option<Signal>> {
        let mut record = [0u8; size_of::<libc::signalfd_siginfo>()];
        loop {
            match rustix::io::read(&self.fd, &mut record) {
                Ok(length) if length == record.len() => {}
                Ok(_) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                Err(rustix::io::Errno::AGAIN) => return Ok(None),
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            // The record starts with ssi_signo, a u32.
            let number = u32::from_ne_bytes([record[0], record[1], record[2], record[3]]);
            if let Some(signal) = i32::try_from(number).ok().and_then(Signal::from_number) {
                return Ok(Some(signal));
            }
        }
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<SignalFd> for OwnedFd {
    fn from(signals: SignalFd) -> Self {
        signals.fd
    }
}

fn signal_set(signals: &[Signal]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the whole set behind the pointer, which is valid for it.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for signal in signals {
        // SAFETY: the set was initialised by sigemptyset; the number is a valid signal.
        unsafe { libc::sigaddset(set.as_mut_ptr(), signal.number()) };
    }
    // SAFETY: sigemptyset has initialised it and cannot fail for a valid pointer.
    unsafe { set.assume_init() }
}

fn set_disposition(signal: Signal, disposition: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: only SIG_IGN and SIG_DFL come here, so no code of ours ever runs in a handler.
    let result = unsafe { libc::signal(signal.number(), disposition) };
    if result == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_signals_match() {
        for signal in Signal::READABLE {
            assert_eq!(Signal::from_number(signal.number()), Some(signal));
            assert_ne!(signal.to_string(), "?");
            assert_eq!(signal.to_rustix().as_raw(), signal.number());
        }
        assert_eq!(Signal::from_number(libc::SIGKILL), None);
        assert_eq!(name(libc::SIGSEGV), "SEGV");
    }

    #[test]
    fn a_blocked_signal_is_read() {
        // A thread of its own, and a signal sent to that thread only.
        std::thread::spawn(|| {
            let signals = SignalFd::open(&[Signal::User1, Signal::User2]).unwrap();
            assert_eq!(signals.read().unwrap(), None);
            // SAFETY: the calling thread exists; the signal is blocked in it, so no handler runs.
            unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGUSR2) };
            assert_eq!(signals.read().unwrap(), Some(Signal::User2));
            assert_eq!(signals.read().unwrap(), None);
        })
        .join()
        .unwrap();
    }
}
