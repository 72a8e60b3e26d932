//! Starting a child: the fork, what the child does first, and the parent's view of it.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd;

use super::state::ChildId;
use super::{Roles, ShardStart};
use crate::config::Config;
use crate::config::cpus::cpu_list;
use crate::config::placement::ShardPlace;
use crate::exit::Exit;
use crate::net::listener::Listener;
use crate::sys::channel::{self, Channel, FromChild};
use crate::sys::page::SharedPage;
use crate::sys::poll::wait_readable;
use crate::sys::process::{Ended, Fork, Forked, Pid, PidFd, end_child, fork, reap};
use crate::sys::signal::{Signal, SignalFd, ignore};
use crate::sys::title::{Title, set_short_name};
use crate::sys::{affinity, descriptors};
use crate::telemetry::log::{Identity, Logger};

/// A process that was started, as the supervisor sees it.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) id: ChildId,
    pub(super) pid: Pid,
    /// Readable once the process is dead.
    pub(super) pidfd: PidFd,
    /// Our end of its channel.
    pub(super) channel: Channel,
    /// False once nothing can come from there any more.
    pub(super) is_heard: bool,
    /// What it writes, we read.
    pub(super) page: SharedPage,
}

/// What came back from a process that did one thing.
pub(super) struct Apart {
    /// What it answered; empty if it did not get so far.
    pub(super) answer: String,
    /// How it ended.
    pub(super) ended: Ended,
}

/// Calls `body` in a process of its own and waits for it. Meant for the start, while there are no
/// other children.
pub(super) fn run_apart(body: impl FnOnce() -> String) -> io::Result<Apart> {
    let (mut reader, mut writer) = io::pipe()?;
    let pid = match fork()? {
        Fork::Child(forked) => forked.exit_with(|_| {
            // If the reader is gone, so is everybody who wants to know.
            let _ = writer.write_all(body().as_bytes());
            0
        }),
        Fork::Parent(pid) => pid,
    };
    drop(writer);
    let mut answer = String::new();
    reader.read_to_string(&mut answer)?;
    let pidfd = PidFd::open(pid)?;
    wait_readable(&[pidfd.as_fd()], None)?;
    loop {
        match reap()? {
            Some((reaped, ended)) if reaped == pid => return Ok(Apart { answer, ended }),
            // An orphan that came to us, or a wait that was interrupted.
            Some(_) => {}
            None => _ = wait_readable(&[pidfd.as_fd()], None)?,
        }
    }
}

/// What every child is made from.
pub(super) struct Nursery<'a> {
    pub(super) config: &'a Config,
    pub(super) roles: &'a Roles<'a>,
    pub(super) logger: &'a Logger,
    pub(super) generation: u32,
    /// The supervisor itself; children watch it.
    pub(super) supervisor: &'a PidFd,
}

impl Nursery<'_> {
    /// Forks a shard. In the child this does not return.
    pub(super) fn spawn(
        &self,
        id: ChildId,
        listeners: &[Listener],
        title: &mut Option<Title>,
    ) -> io::Result<Child> {
        let (ours, theirs) = channel::pair()?;
        let page = SharedPage::map()?;
        match fork()? {
            Fork::Child(forked) => forked
                .exit_with(|forked| self.child_main(forked, id, listeners, title, theirs, page)),
            Fork::Parent(pid) => adopt(id, pid, ours, page).inspect_err(|_| end(id, pid)),
        }
    }

    fn child_main(
        &self,
        forked: &Forked,
        id: ChildId,
        listeners: &[Listener],
        title: &mut Option<Title>,
        channel: Channel,
        page: SharedPage,
    ) -> u8 {
        let prepared = self.prepare(forked, id, listeners, title, &channel);
        let (listeners, signals, supervisor) = match prepared {
            Ok(prepared) => prepared,
            Err(trouble) => return trouble.tell(&channel),
        };
        let placement = self.placement(id);
        let start = ShardStart {
            shard: id.shard,
            cpu: placement.cpu,
            dedicated: placement.dedicated,
            generation: self.generation,
            incarnation: id.incarnation,
            listeners,
            channel,
            signals,
            supervisor,
            config: self.config,
            page,
        };
        (self.roles.shard)(start).code()
    }

    /// Makes this process one that owns nothing but its own things.
    fn prepare(
        &self,
        forked: &Forked,
        id: ChildId,
        listeners: &[Listener],
        title: &mut Option<Title>,
        channel: &Channel,
    ) -> Result<(Vec<Listener>, SignalFd, PidFd), Trouble> {
        let step = |step| move |error| Trouble { step, error, exit: Exit::System };
        forked.leave_process_group().map_err(step("setpgid"))?;
        // First of all: memory comes from the node of the CPU that first touches it, and every
        // thread inherits the mask.
        self.pin(id)?;
        name_process(id, title);
        self.logger.identify(Identity {
            process: id.to_string(),
            shard: Some(id.shard),
            generation: Some(self.generation),
        });
        descriptors::stdin_from_null().map_err(step("/dev/null as standard input"))?;
        for signal in IGNORED {
            ignore(signal).map_err(step("ignoring a signal"))?;
        }
        let signals = SignalFd::open(&[Signal::Interrupt, Signal::Terminate]);
        let signals = signals.map_err(step("signalfd"))?;
        let listeners: Result<Vec<_>, _> = listeners.iter().map(Listener::duplicate).collect();
        let listeners = listeners.map_err(step("dup of a listener"))?;
        let supervisor = self.supervisor.duplicate().map_err(step("dup of a pidfd"))?;
        let mut keep = vec![channel.as_fd(), signals.as_fd(), supervisor.as_fd()];
        keep.extend(listeners.iter().map(AsFd::as_fd));
        descriptors::close_all_but(forked, &keep).map_err(step("close_range"))?;
        if !forked.follow_parent().map_err(step("PDEATHSIG"))? {
            let error = io::Error::other("the supervisor is gone already");
            return Err(Trouble { step: "start", error, exit: Exit::System });
        }
        Ok((listeners, signals, supervisor))
    }

    /// Puts this process where it was planned. One that floats gets all CPUs that we may use:
    /// what it inherited is where the supervisor is.
    fn pin(&self, id: ChildId) -> Result<(), Trouble> {
        let floating = self.config.placement.floating_cpus();
        let (result, place) = match self.placement(id).cpu {
            Some(cpu) => (affinity::pin(cpu), format!("CPU {cpu}")),
            None if floating.is_empty() => return Ok(()),
            None => (affinity::confine_to(&floating), format!("CPUs {}", cpu_list(&floating))),
        };
        result.map_err(|error| {
            let error = io::Error::new(error.kind(), format!("{place}: {error}"));
            Trouble { step: "pinning", error, exit: Exit::Permission }
        })
    }

    fn placement(&self, id: ChildId) -> ShardPlace {
        self.config.placement.shards[usize::from(id.shard)]
    }
}

/// Takes what is needed to watch a process that was just forked.
fn adopt(id: ChildId, pid: Pid, channel: Channel, page: SharedPage) -> io::Result<Child> {
    page.keep_from_children()?;
    Ok(Child { id, pid, pidfd: PidFd::open(pid)?, channel, is_heard: true, page })
}

/// Ends a process that cannot be watched: it would take clients and nobody could stop it.
fn end(id: ChildId, pid: Pid) {
    if let Err(error) = end_child(pid) {
        tracing::error!(pid = pid.get(), shard = id.shard, %error, "process cannot be ended");
    }
}

/// What `ps` and `top` show. That a name could not be set hurts nobody.
fn name_process(id: ChildId, title: &mut Option<Title>) {
    if let Some(title) = title {
        title.set(&format!("corewise: {id}"));
    }
    let _ = set_short_name(&format!("cw:{id}"));
}

/// Why a child could not even begin.
struct Trouble {
    step: &'static str,
    error: io::Error,
    exit: Exit,
}

impl Trouble {
    /// Tells the supervisor, and returns the exit code.
    fn tell(&self, channel: &Channel) -> u8 {
        let code = self.exit.code();
        // When nobody listens, the exit code alone has to say it.
        let _ = channel.send(&FromChild::Failed { code, text: self.to_string() });
        code
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {}", self.step, self.error)
    }
}

/// Signals that mean something to a supervisor only: sent to a child, they must not end it.
const IGNORED: [Signal; 6] =
    [Signal::Hangup, Signal::TtyIn, Signal::TtyOut, Signal::User1, Signal::User2, Signal::Window];
