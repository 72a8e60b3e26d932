//! Processes: fork, what a child does first, signals to it, and how it ended.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::io::Errno;
use rustix::process::{
    Pid as RawPid, PidfdFlags, WaitId, WaitIdOptions, WaitOptions, getpid, getppid, kill_process,
    pidfd_open, pidfd_send_signal, set_child_subreaper, set_parent_process_death_signal, setpgid,
    wait, waitid, waitpid,
};

use super::poll::wait_readable;
use super::signal::{self, Signal};

/// The number of a process.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Pid(u32);

impl Pid {
    /// The process with this number, if it can be one.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self(number).to_rustix().ok().map(|_| Self(number))
    }

    /// The number as such.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    fn to_rustix(self) -> io::Result<RawPid> {
        let raw = i32::try_from(self.0).ok().and_then(RawPid::from_raw);
        raw.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<RawPid> for Pid {
    fn from(pid: RawPid) -> Self {
        Self(pid.as_raw_nonzero().get().unsigned_abs())
    }
}

/// The number of the calling process.
#[must_use]
pub fn own_pid() -> Pid {
    getpid().into()
}

/// The number of the parent; `None` when it lives outside of this pid namespace.
#[must_use]
pub fn parent_pid() -> Option<Pid> {
    getppid().map(Pid::from)
}

/// True when this process has exactly one thread. False also when the kernel does not say.
pub(super) fn is_single_threaded() -> bool {
    thread_count().is_ok_and(|count| count == 1)
}

/// How many threads this process has; an error where /proc is not mounted.
pub fn thread_count() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/task")?.count())
}

/// Proof of being the child of a fork, which ends by `exit` alone.
#[derive(Debug)]
pub struct Forked {
    /// The parent as it was before the fork.
    parent: Pid,
}

impl Forked {
    /// Moves this process to a process group of its own, so that the terminal's signals pass it.
    pub fn leave_process_group(&self) -> io::Result<()> {
        Ok(setpgid(None, None)?)
    }

    /// Asks the kernel for TERM when the parent dies. False when it is dead already.
    pub fn follow_parent(&self) -> io::Result<bool> {
        follow(self.parent)
    }

    /// The same for a process whose parent leaves at once, which `parent` tells: waits until
    /// `guardian` has taken the place of the parent. False when somebody else has.
    ///
    /// Asked for before, the signal would come as the parent leaves.
    pub fn follow_guardian(&self, parent: &PidFd, guardian: Pid) -> io::Result<bool> {
        // The kernel gives orphans away before it says that their parent is dead.
        while wait_readable(&[parent.as_fd()], None)? != [true] {}
        Ok(parent_pid() == Some(guardian) && follow(guardian)?)
    }

    /// Runs `body` and ends the process with the code it returns, or 101 if it panics.
    ///
    /// Nothing of the copied stack above is unwound and no destructor of it runs: the values
    /// there belong to the parent.
    pub fn exit_with(self, body: impl FnOnce(&Self) -> u8) -> ! {
        let code = catch_unwind(AssertUnwindSafe(|| body(&self))).unwrap_or(PANIC_CODE);
        exit_now(code)
    }
}

fn follow(parent: Pid) -> io::Result<bool> {
    set_parent_process_death_signal(Some(Signal::Terminate.to_rustix()))?;
    // The parent may have died before the line above; then the signal never comes.
    Ok(parent_pid() == Some(parent))
}

/// Which side of a fork this is.
#[derive(Debug)]
pub enum Fork {
    /// The new process.
    Child(Forked),
    /// The old process; the new one has this number.
    Parent(Pid),
}

/// Forks this process, which must have a single thread: a copied lock that another thread held
/// would stay locked in the child for good.
pub fn fork() -> io::Result<Fork> {
    if !is_single_threaded() {
        return Err(io::Error::other("a process with several threads must not fork"));
    }
    let parent = own_pid();
    // SAFETY: this process has one thread, as just checked, so the child's copy of the memory is
    // consistent: no other thread was inside the allocator or held a lock. Nothing that runs
    // between the check and the fork starts a thread.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child(Forked { parent })),
        pid => Ok(Fork::Parent(Pid(pid.unsigned_abs()))),
    }
}

/// Forks a process that is nobody's child here: its parent leaves at once, so that it goes to the
/// nearest ancestor that adopts orphans. `body` gets the parent, for `Forked::follow_guardian`.
pub fn fork_orphan(body: impl FnOnce(&Forked, PidFd) -> u8) -> io::Result<()> {
    let parent = match fork()? {
        Fork::Child(forked) => forked.exit_with(|_| fork_and_leave(body)),
        Fork::Parent(parent) => parent,
    };
    match wait_for(parent)? {
        Ended::Code(0) => Ok(()),
        Ended::Code(code) => Err(io::Error::from_raw_os_error(code.into())),
        ended => Err(io::Error::other(format!("the process between was ended by {ended}"))),
    }
}

/// In the process between; the code is 0 or the number of an error, which fits: those of fork and
/// pidfd_open are small.
fn fork_and_leave(body: impl FnOnce(&Forked, PidFd) -> u8) -> u8 {
    let forked = PidFd::open(own_pid()).and_then(|own| Ok((fork()?, own)));
    match forked {
        Ok((Fork::Child(forked), parent)) => forked.exit_with(|forked| body(forked, parent)),
        Ok((Fork::Parent(_), _)) => 0,
        Err(error) => {
            let number = error.raw_os_error().and_then(|number| u8::try_from(number).ok());
            number.unwrap_or(u8::MAX)
        }
    }
}

/// Ends this process at once, without destructors and exit handlers.
fn exit_now(code: u8) -> ! {
    // SAFETY: _exit takes no pointers and does not return.
    unsafe { libc::_exit(code.into()) }
}

/// Ends this process by SIGALRM after so many seconds, whatever it does meanwhile.
pub fn end_after_seconds(seconds: u32) -> io::Result<()> {
    // SAFETY: SIG_DFL installs no code of ours.
    let result = unsafe { libc::signal(libc::SIGALRM, libc::SIG_DFL) };
    if result == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: alarm takes no pointers.
    unsafe { libc::alarm(seconds) };
    Ok(())
}

/// Ends this process as a wrong access to memory does.
pub fn end_by_segv() -> ! {
    // SAFETY: raise takes no pointers, and SIG_DFL installs no code of ours. Whoever handles the
    // signal may take it for one that comes again by itself.
    unsafe {
        libc::raise(libc::SIGSEGV);
        libc::signal(libc::SIGSEGV, libc::SIG_DFL);
        libc::raise(libc::SIGSEGV);
    }
    unreachable!("the default of SIGSEGV, which nobody blocks, ends the process")
}

/// Makes orphans below this process its children.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Debug)]
pub struct PidFd {
    fd: OwnedFd,
}

impl PidFd {
    /// Opens it. The process must be this one, or a child that is not reaped yet.
    pub fn open(pid: Pid) -> io::Result<Self> {
        Ok(Self { fd: pidfd_open(pid.to_rustix()?, PidfdFlags::empty())? })
    }

    /// Opens it, if it is a child of this process that is not reaped yet.
    pub fn open_child(pid: Pid) -> io::Result<Self> {
        let pidfd = Self::open(pid)?;
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        waitid(WaitId::PidFd(pidfd.as_fd()), look)?;
        Ok(pidfd)
    }

    /// A second descriptor for the same process.
    pub fn duplicate(&self) -> io::Result<Self> {
        Ok(Self { fd: super::descriptors::duplicate(&self.fd)? })
    }

    /// Sends a signal. False when the process is gone.
    pub fn send(&self, signal: Signal) -> io::Result<bool> {
        match pidfd_send_signal(&self.fd, signal.to_rustix()) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<PidFd> for OwnedFd {
    fn from(pidfd: PidFd) -> Self {
        pidfd.fd
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ended {
    /// By itself, with a code.
    Code(u8),
    /// By a signal.
    Signal(i32),
}

impl Ended {
    /// Whether it was ended by this signal.
    #[must_use]
    pub fn is_by(self, signal: Signal) -> bool {
        self == Self::Signal(signal.to_rustix().as_raw())
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match signal::name(*number) {
                "?" => write!(f, "signal {number}"),
                name => write!(f, "signal {name}"),
            },
        }
    }
}

/// Reaps one dead child of this process; `None` when none is dead.
pub fn reap() -> io::Result<Option<(Pid, Ended)>> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(None) | Err(Errno::CHILD) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(Some((pid, status))) => {
                if let Some(ended) = ended(status) {
                    return Ok(Some((pid.into(), ended)));
                }
            }
        }
    }
}

/// A dead child of this process that is not reaped yet; `None` when none is dead.
pub fn dead_child() -> io::Result<Option<Pid>> {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: all zero is a valid siginfo_t.
    let mut found: libc::siginfo_t = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: `found` is valid for writes and outlives the call.
        let result = unsafe { libc::waitid(libc::P_ALL, 0, &raw mut found, options) };
        if result == 0 {
            // SAFETY: waitid has filled in the fields of a child's change, or left them all zero.
            let number = unsafe { found.si_pid() };
            return Ok(u32::try_from(number).ok().and_then(Pid::from_number));
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => {}
            error if error.raw_os_error() == Some(libc::ECHILD) => return Ok(None),
            error => return Err(error),
        }
    }
}

/// Waits until a child of this process is dead, and reaps it.
pub fn wait_for(pid: Pid) -> io::Result<Ended> {
    loop {
        match waitpid(Some(pid.to_rustix()?), WaitOptions::empty()) {
            Ok(found) => {
                if let Some(ended) = found.and_then(|(_, status)| ended(status)) {
                    return Ok(ended);
                }
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Kills a child of this process and waits until it is reaped. It must not be reaped already.
pub fn end_child(pid: Pid) -> io::Result<()> {
    let raw = pid.to_rustix()?;
    // Nobody else can have this number: a dead child keeps it until it is reaped below.
    kill_process(raw, Signal::Kill.to_rustix())?;
    wait_for(pid).map(drop)
}

fn ended(status: rustix::process::WaitStatus) -> Option<Ended> {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Some(Ended::Code(u8::try_from(code & 0xff).expect("masked to a byte"))),
        (None, Some(number)) => Some(Ended::Signal(number)),
        // Stopped or continued: the process lives.
        (None, None) => None,
    }
}

const PANIC_CODE: u8 = 101;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_read_well() {
        assert_eq!(Ended::Code(3).to_string(), "exit code 3");
        assert_eq!(Ended::Signal(libc::SIGKILL).to_string(), "signal KILL");
        assert_eq!(Ended::Signal(60).to_string(), "signal 60");
    }

    #[test]
    fn a_process_with_threads_does_not_fork() {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || receiver.recv());
        assert!(fork().is_err());
        drop(sender);
        let _ = other.join().unwrap();
    }

    #[test]
    fn a_child_that_is_not_wanted_is_gone_for_good() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        end_child(Pid(child.id())).unwrap();
        assert!(child.wait().is_err(), "it is reaped already");
    }

    #[test]
    fn only_children_open_as_children() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = Pid::from_number(child.id()).unwrap();
        assert!(PidFd::open_child(pid).is_ok());
        assert!(PidFd::open_child(own_pid()).is_err());
        end_child(pid).unwrap();
        assert!(PidFd::open_child(pid).is_err(), "it is reaped already");
        assert!(child.wait().is_err());
        assert_eq!(Pid::from_number(0), None);
        assert_eq!(Pid::from_number(u32::MAX), None);
    }

    #[test]
    fn own_pidfd_opens() {
        let pidfd = PidFd::open(own_pid()).unwrap();
        // WINCH is ignored by default, so sending it to ourselves is harmless.
        assert!(pidfd.send(Signal::Window).unwrap());
        assert_ne!(parent_pid(), Some(own_pid()));
    }
}
