//! The process between us and a subject, which sees to it that nothing of the subject outlives us.
//!
//! ```text
//! us --life (a pipe)--> guard --parent--> root of the subject --parent--> its own children
//!    <--reports--------
//! ```
//!
//! Processes that a server starts can leave its group and its session, and their parents can end
//! before them. But they cannot leave the tree below the guard, which adopts every orphan there
//! (PR_SET_CHILD_SUBREAPER). When the subject ends by itself, when we drop our end of `life`, and
//! when we are gone without a word, the guard kills whatever is left below it, and leaves. It
//! sleeps otherwise, and it is no part of the subject: its parent is us, its child is the root.
//!
//! The guard is a fork that never calls exec, so that it may do no more than a signal handler may:
//! system calls on its own stack.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{self, Pid, PidfdFlags, Signal, WaitOptions};
use rustix::thread::CpuSet;

use crate::server;

/// A subject's processes, and the guard over them.
#[derive(Debug)]
pub(super) struct Guarded {
    guard: Child,
    root: Pid,
    /// None when it had ended before it could be opened.
    root_descriptor: Option<OwnedFd>,
    /// Closed to end everything.
    life: Option<OwnedFd>,
    reports: File,
    /// How the root ended, once it was reported.
    ended: Option<ExitStatus>,
}

impl Guarded {
    /// Starts the command on these CPUs, in a session and a group of its own.
    pub(super) fn spawn(mut command: Command, cpus: &[usize]) -> io::Result<Self> {
        let cpus = server::cpus(cpus);
        let (life_out, life) = io::pipe()?;
        let (reports, report_in) = io::pipe()?;
        let (life_descriptor, report_descriptor) = (life_out.as_raw_fd(), report_in.as_raw_fd());
        // SAFETY: the closure runs in a fork of us with one thread, where it makes system calls
        // only: it allocates nothing, takes no lock, and both descriptors are open until `spawn`
        // has returned. The fork below is of that same process, and for both of its sides the
        // same holds until the exec of the one and the end of the other.
        unsafe {
            command.pre_exec(move || {
                process::setsid()?;
                process::set_child_subreaper(Some(process::getpid()))?;
                match libc::fork() {
                    -1 => Err(io::Error::last_os_error()),
                    0 => become_root(&cpus),
                    root => watch(root, life_descriptor, report_descriptor),
                }
            });
        }
        let guard = command.spawn()?;
        drop((life_out, report_in));
        let mut reports = File::from(OwnedFd::from(reports));
        let mut word = [0; 4];
        reports.read_exact(&mut word)?;
        let root = Pid::from_raw(i32::from_ne_bytes(word)).expect("fork gives no process 0");
        let root_descriptor = match process::pidfd_open(root, PidfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH) => None,
            opened => Some(opened?),
        };
        let life = Some(OwnedFd::from(life));
        Ok(Self { guard, root, root_descriptor, life, reports, ended: None })
    }

    /// The process that was started; the guard is above it.
    pub(super) fn root(&self) -> u32 {
        self.root.as_raw_nonzero().get().cast_unsigned()
    }

    /// The process above everything that is left of the subject; it does nothing but wait.
    pub(super) fn guard(&self) -> u32 {
        self.guard.id()
    }

    /// To the root alone. Once that has ended, to nobody.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        let descriptor = self.root_descriptor.as_ref().ok_or(rustix::io::Errno::SRCH)?;
        Ok(process::pidfd_send_signal(descriptor, signal)?)
    }

    /// How the root ended, if it does so in time. Then nothing of the subject is left.
    pub(super) fn wait(&mut self, patience: Duration) -> io::Result<Option<ExitStatus>> {
        if self.ended.is_none() && readable(self.reports.as_fd(), patience)? {
            let mut word = [0; 4];
            self.reports.read_exact(&mut word).map_err(|error| {
                io::Error::new(error.kind(), "the subject's guard was killed by somebody")
            })?;
            self.ended = Some(ExitStatus::from_raw(i32::from_ne_bytes(word)));
        }
        Ok(self.ended)
    }

    /// Ends whatever is left, at once.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        self.life = None;
        self.guard.wait().map(drop)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // The guard ends by itself when it cannot be waited for.
        let _ended = self.kill();
    }
}

/// The side that becomes the subject.
fn become_root(cpus: &CpuSet) -> io::Result<()> {
    process::setpgid(None, None)?;
    process::set_parent_process_death_signal(Some(Signal::KILL))?;
    server::pin_to(cpus)
}

/// The side that stays. It says who the root is, and later how that ended.
fn watch(root: i32, life: RawFd, reports: RawFd) -> ! {
    // Our copies of everything else that was open, among them the lives of other subjects.
    let (low, high) = (life.min(reports), life.max(reports));
    close_range(3, low - 1);
    close_range(low + 1, high - 1);
    close_range(high + 1, i32::MAX);
    // SAFETY: both are open in this process, and nothing here closes them.
    let (life, reports) =
        unsafe { (BorrowedFd::borrow_raw(life), BorrowedFd::borrow_raw(reports)) };
    let status = guard(root, life, reports);
    // SAFETY: ends the process without running what the program it was forked from registered.
    unsafe { libc::_exit(i32::from(status.is_err())) }
}

fn guard(root: i32, life: BorrowedFd<'_>, reports: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let root = Pid::from_raw(root).ok_or(rustix::io::Errno::SRCH)?;
    let descriptor = process::pidfd_open(root, PidfdFlags::empty())?;
    rustix::io::write(reports, &root.as_raw_nonzero().get().to_ne_bytes())?;
    let mut wakers =
        [PollFd::from_borrowed_fd(life, PollFlags::IN), PollFd::new(&descriptor, PollFlags::IN)];
    while matches!(poll(&mut wakers, None), Err(rustix::io::Errno::INTR)) {}
    let ended = match wakers[1].revents().is_empty() {
        true => None,
        false => process::waitpid(Some(root), WaitOptions::empty())?,
    };
    kill_children();
    if let Some((_, status)) = ended {
        rustix::io::write(reports, &status.as_raw().to_ne_bytes())?;
    }
    Ok(())
}

/// Kills generation by generation: the children of who ends become ours.
fn kill_children() {
    let mut list = [0; 4096];
    loop {
        let count = read_children(&mut list).unwrap_or(0);
        // A number that the buffer cut has no blank behind it, and its turn comes.
        for word in list[..count].split_inclusive(|byte| *byte == b' ') {
            let Some((b' ', digits)) = word.split_last() else { continue };
            let number = digits.iter().fold(0, |sum, digit| sum * 10 + i32::from(digit - b'0'));
            if let Some(child) = Pid::from_raw(number) {
                let _gone = process::kill_process(child, Signal::KILL);
            }
        }
        if matches!(process::wait(WaitOptions::empty()), Err(rustix::io::Errno::CHILD)) {
            return;
        }
    }
}

fn read_children(list: &mut [u8]) -> rustix::io::Result<usize> {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    let path = c"/proc/thread-self/children";
    let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty())?;
    rustix::io::read(&file, list)
}

fn close_range(first: RawFd, last: RawFd) {
    if first <= last {
        // SAFETY: plain numbers. Nobody in this process uses what lies between them.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
}

fn readable(descriptor: BorrowedFd<'_>, patience: Duration) -> io::Result<bool> {
    let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
    let mut waker = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
    match poll(&mut waker, Some(&patience)) {
        Err(rustix::io::Errno::INTR) => Ok(false),
        other => Ok(other? > 0),
    }
}
