//! The other process: this program again, on a CPU of its own, with descriptors that it inherits.

use std::env;
use std::error::Error;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::Signal;

use super::way::{Fault, Setup, Wait, Way};
use crate::arguments::Arguments;
use crate::{interrupt, server};

/// A partner that runs; dropping it ends it.
#[derive(Debug)]
pub(super) struct Partner {
    child: Child,
}

impl Partner {
    /// Starts the other end of a way; it inherits the descriptors in their order.
    pub(super) fn start(
        way: Way,
        setup: Setup,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<Self> {
        let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let list: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        let mut command = Command::new(env::current_exe()?);
        command
            .args([COMMAND, "--way", way.name(), "--descriptors", &list.join(",")])
            .args(["--bytes", &setup.bytes.to_string()])
            .args(["--cpu", &setup.cpu.to_string()])
            .stdin(Stdio::null())
            .process_group(0);
        command.args((setup.wait == Wait::Awake).then_some("--awake"));
        command.args(setup.shared.then_some("--shared"));
        // SAFETY: the closure makes system calls, allocates nothing and takes no lock. The
        // descriptors are open until `spawn` has returned, for they are borrowed until then.
        unsafe {
            command.pre_exec(move || {
                rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
                for number in &numbers {
                    // SAFETY: open, as above.
                    let descriptor = BorrowedFd::borrow_raw(*number);
                    fcntl_setfd(descriptor, FdFlags::empty())?;
                }
                Ok(())
            });
        }
        Ok(Self { child: command.spawn()? })
    }

    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// An error when it has ended, or the run is to end.
    pub(super) fn check(&mut self) -> Result<(), Fault> {
        interrupt::check()?;
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("the partner has ended: {status}").into()),
        }
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        // It may have ended already, and then there is nobody to kill.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The command of a partner, which nobody types.
pub(crate) fn run(mut arguments: Arguments) -> Result<bool, Box<dyn Error>> {
    let name: String = arguments.value("--way")?.ok_or("--way is missing")?;
    let way = Way::named(&name).ok_or("no such way")?;
    let numbers = arguments.list("--descriptors")?;
    let setup = Setup {
        wait: if arguments.flag("--awake") { Wait::Awake } else { Wait::Asleep },
        bytes: arguments.value("--bytes")?.ok_or("--bytes is missing")?,
        cpu: arguments.value("--cpu")?.ok_or("--cpu is missing")?,
        shared: arguments.flag("--shared"),
    };
    arguments.finish()?;
    server::pin(setup.cpu)?;
    let descriptors: Result<Vec<OwnedFd>, _> = numbers.iter().map(|word| inherit(word)).collect();
    way.serve(setup, descriptors?)?;
    Ok(true)
}

fn inherit(word: &str) -> Result<OwnedFd, Box<dyn Error>> {
    let number: RawFd = word.parse()?;
    if number < 3 {
        return Err(format!("descriptor {number} is a standard stream").into());
    }
    // SAFETY: whoever started us left this descriptor open for us and says so; nothing in this
    // process has opened any since, and each number is named once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

pub(crate) const COMMAND: &str = "offload-partner";
