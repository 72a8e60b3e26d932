//! A fork tree that is known: children that share the listener and are replaced when they die.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Signal, set_parent_process_death_signal};

/// The thread that starts a child again whenever it has ended.
type Keeper = JoinHandle<io::Result<()>>;

/// Starts so many children, each with a thread that keeps it alive.
pub(super) fn keep(
    listener: &TcpListener,
    children: usize,
    words: &[String],
) -> io::Result<Vec<Keeper>> {
    let keep_one = |_| -> io::Result<Keeper> {
        let (listener, words) = (listener.try_clone()?, words.to_vec());
        Ok(thread::spawn(move || keep_alive(&listener, &words)))
    };
    (0..children).map(keep_one).collect()
}

/// The listener that the parent gave as standard input.
pub(super) fn inherited_listener() -> io::Result<TcpListener> {
    Ok(TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?))
}

/// A process that uses so much CPU and ends, waited for.
pub(super) fn burn_in_child(burn: Duration) -> io::Result<()> {
    let mut command = own("--burn-and-end")?;
    command.args(["--burn-us", &burn.as_micros().to_string()]);
    spawn(&mut command)?.wait().map(drop)
}

fn keep_alive(listener: &TcpListener, words: &[String]) -> io::Result<()> {
    loop {
        let mut command = own("--child")?;
        command.args(words).stdin(Stdio::from(listener.as_fd().try_clone_to_owned()?));
        spawn(&mut command)?.wait()?;
    }
}

fn own(role: &str) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["stub", role]);
    Ok(command)
}

/// It ends with the thread that started it, which waits for it.
fn spawn(command: &mut Command) -> io::Result<Child> {
    // SAFETY: the closure makes one system call, allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
    command.spawn()
}
