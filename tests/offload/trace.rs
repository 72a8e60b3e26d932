//! A process that is led instruction by instruction, and killed after some of them.

use std::collections::HashMap;
use std::io;
use std::mem::{MaybeUninit, offset_of};
use std::ptr;

use corewise::sys::process::{Fork, Pid, end_child, fork};
use rustix::process::{Pid as RawPid, Signal, WaitOptions, WaitStatus};
use rustix::process::{getpid, kill_process, waitpid};

/// A child that stands still where its part begins.
#[derive(Debug)]
pub(crate) struct Tracee {
    pid: Pid,
}

/// A point in the part of a tracee: the instruction that is the next one, and how often the part
/// has come to it. Forked processes have everything at the same addresses, so that a point of one
/// means the same in another.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Point {
    address: u64,
    visit: u32,
}

/// How often a part has come to each instruction.
#[derive(Debug, Default)]
pub(crate) struct Path {
    visits: HashMap<u64, u32>,
    last: u64,
}

impl Path {
    /// The point of a tracee that was led by single steps; `None` for a further round of an
    /// instruction that repeats itself, at which no breakpoint stops.
    pub(crate) fn point_of(&mut self, tracee: &Tracee) -> Option<Point> {
        let address = tracee.next_instruction();
        if std::mem::replace(&mut self.last, address) == address {
            return None;
        }
        let visit = self.visits.entry(address).or_default();
        *visit += 1;
        Some(Point { address, visit: *visit })
    }
}

impl Tracee {
    /// Forks a process that stops, plays, stops again, and is not expected to live any longer.
    pub(crate) fn start(play: impl FnOnce()) -> Self {
        let pid = match fork().unwrap() {
            Fork::Child(forked) => forked.exit_with(|_| {
                follow();
                stop();
                play();
                stop();
                0
            }),
            Fork::Parent(pid) => pid,
        };
        let tracee = Self { pid };
        assert_eq!(tracee.wait(), Stop::Mark, "the child stops before its part");
        tracee.ask(libc::PTRACE_SETOPTIONS, 0, libc::PTRACE_O_EXITKILL as usize);
        tracee
    }

    /// Leads it through one instruction, a system call counted as one; false when it came to the
    /// end of its part.
    pub(crate) fn step(&self) -> bool {
        self.ask(libc::PTRACE_SINGLESTEP, 0, 0);
        self.wait() == Stop::Point
    }

    /// Leads it to a point; false when it came to the end of its part without.
    pub(crate) fn go_to(&self, point: Point) -> bool {
        // In place of steps, each of which costs two changes of process: the processor stops it
        // wherever it comes to the address (bit 0: the first of its four registers is in use).
        let register = |index| offset_of!(libc::user, u_debugreg) + index * size_of::<u64>();
        self.ask(libc::PTRACE_POKEUSER, register(0), point.address as usize);
        self.ask(libc::PTRACE_POKEUSER, register(7), 1);
        (0..point.visit).all(|_| {
            self.ask(libc::PTRACE_CONT, 0, 0);
            self.wait() == Stop::Point
        })
    }

    /// Kills it where it stands; it is reaped when this returns.
    pub(crate) fn kill(self) {
        end_child(self.pid).unwrap();
    }

    fn next_instruction(&self) -> u64 {
        let mut registers = MaybeUninit::<libc::user_regs_struct>::zeroed();
        self.ask(libc::PTRACE_GETREGS, 0, registers.as_mut_ptr() as usize);
        // SAFETY: the kernel has written it, and all zero it was valid before.
        unsafe { registers.assume_init() }.rip
    }

    fn ask(&self, request: libc::c_uint, address: usize, data: usize) {
        let pid = self.raw().as_raw_nonzero().get();
        let address = ptr::without_provenance_mut::<u8>(address);
        let data = ptr::with_exposed_provenance_mut::<u8>(data);
        // SAFETY: of the requests that are made here, all but GETREGS take numbers in these two
        // arguments; GETREGS writes a `user_regs_struct` at `data`, and its only caller passes one
        // that lives until then. What else is done is done to the tracee, ours and stopped.
        let result = unsafe { libc::ptrace(request, pid, address, data) };
        assert_eq!(result, 0, "request {request}: {}", io::Error::last_os_error());
    }

    fn wait(&self) -> Stop {
        let (_, status) = waitpid(Some(self.raw()), WaitOptions::empty()).unwrap().unwrap();
        match status.stopping_signal() {
            Some(libc::SIGTRAP) => Stop::Point,
            Some(libc::SIGSTOP) => Stop::Mark,
            _ => panic!("the traced process does not play its part: {}", describe(status)),
        }
    }

    fn raw(&self) -> RawPid {
        RawPid::from_raw(self.pid.get().cast_signed()).expect("a pid is not 0")
    }
}

/// Why a tracee stands still.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stop {
    /// Before or behind its part.
    Mark,
    /// After a step, or at a point.
    Point,
}

fn describe(status: WaitStatus) -> String {
    let signal = status.terminating_signal().or(status.stopping_signal());
    format!("exit code {:?}, signal {signal:?}", status.exit_status())
}

/// Lets the parent trace this process.
fn follow() {
    let none = ptr::null_mut::<u8>();
    // SAFETY: PTRACE_TRACEME ignores all other arguments.
    let result = unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, none, none) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

fn stop() {
    kill_process(getpid(), Signal::STOP).unwrap();
}
