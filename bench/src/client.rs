//! Programs that put load on a server: pinned to the client's core, ended with us and by Ctrl-C.

use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::interrupt;
use crate::server::pin;

/// Runs a load to its end and returns what it wrote; its failure is an error with its own words.
pub(crate) fn run(command: &mut Command, cpu: usize) -> io::Result<String> {
    let mut child = start(command.stdout(Stdio::piped()).stderr(Stdio::piped()), cpu)?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut stdout = child.stdout.take().expect("stdout is piped");
    let mut stderr = child.stderr.take().expect("stderr is piped");
    // What a load writes to standard error fits a pipe, so they can be read one after the other.
    stdout.read_to_end(&mut out)?;
    stderr.read_to_end(&mut err)?;
    let status = finish(&mut child)?;
    interrupt::check()?;
    let out = String::from_utf8_lossy(&out).into_owned();
    if status.success() {
        return Ok(out);
    }
    let (program, err) = (command.get_program().to_string_lossy(), String::from_utf8_lossy(&err));
    Err(io::Error::other(format!("{program}: {status}: {}{}", out.trim(), err.trim())))
}

/// Runs a load for a moment and ends it; what it found is of no interest.
pub(crate) fn run_for(command: &mut Command, cpu: usize, time: Duration) -> io::Result<()> {
    let mut child = start(command.stdout(Stdio::null()).stderr(Stdio::null()), cpu)?;
    let slept = interrupt::sleep(time);
    // It may be over already, and then nobody is there to be killed.
    let _ = rustix::process::kill_process(Pid::from_child(&child), Signal::KILL);
    finish(&mut child)?;
    slept
}

fn start(command: &mut Command, cpu: usize) -> io::Result<Child> {
    // A process group of its own: Ctrl-C comes through us, after it was noted.
    command.stdin(Stdio::null()).process_group(0);
    // SAFETY: the closure makes two system calls, allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            pin(cpu)
        });
    }
    let child = command.spawn().map_err(|error| {
        let program = command.get_program().to_string_lossy();
        io::Error::new(error.kind(), format!("cannot start {program}: {error}"))
    })?;
    interrupt::pass_on_to(Some(child.id()));
    Ok(child)
}

/// Waits for the end, and forgets the process before its number can be somebody else's.
fn finish(child: &mut Child) -> io::Result<std::process::ExitStatus> {
    let exited = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(error) = rustix::process::waitid(WaitId::Pid(Pid::from_child(child)), exited) {
        if error != rustix::io::Errno::INTR {
            return Err(error.into());
        }
    }
    interrupt::pass_on_to(None);
    child.wait()
}
