//! Starting a child: the fork, what the child does first, and the parent's view of it.

use std::io::{self, Read as _, Write as _};
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::pools::Pools;
use super::state::{ChildId, Role};
use super::{Roles, ShardStart, TemplateStart};
use crate::config::Config;
use crate::exit::Exit;
use crate::net::listener::Listener;
use crate::offload::region::Region;
use crate::sys::channel::{self, Channel, FromChild, ToChild, WorkerNumber};
use crate::sys::newborn::{Newborn, Trouble};
use crate::sys::page::SharedPage;
use crate::sys::poll::wait_readable;
use crate::sys::process::{Ended, Fork, Forked, Pid, PidFd, end_child, fork, own_pid, reap};
use crate::sys::signal::SignalFd;
use crate::sys::title::Title;
use crate::sys::user::User;
use crate::telemetry::log::{Identity, Logger};

/// A process that was started, as the supervisor sees it.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) id: ChildId,
    /// `None` while a worker that was ordered has not shown up.
    pub(super) process: Option<Process>,
    /// Our end of its channel.
    pub(super) channel: Channel,
    /// False once nothing can come from there any more.
    pub(super) is_heard: bool,
    /// Whether we have killed it.
    pub(super) is_killed: bool,
    /// What it writes, we read; shards have one.
    pub(super) page: Option<SharedPage>,
}

/// How to watch and to signal a process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: Pid,
    /// Readable once the process is dead.
    pub(super) pidfd: PidFd,
}

impl Child {
    pub(super) fn pid(&self) -> Option<Pid> {
        self.process.as_ref().map(|process| process.pid)
    }

    /// A worker has shown up and says which process it is. It must be one of ours: whoever is
    /// not would be signalled in its place.
    pub(super) fn introduce(&mut self, pid: u32) -> io::Result<()> {
        let pid = Pid::from_number(pid).ok_or(io::ErrorKind::InvalidData)?;
        if self.process.is_some() {
            // Code of the application can write here too: nobody becomes somebody else.
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.process = Some(Process { pid, pidfd: PidFd::open_child(pid)? });
        Ok(())
    }
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
pub(super) fn run_apart(body: impl FnOnce(&Forked) -> String) -> io::Result<Apart> {
    let (mut reader, mut writer) = io::pipe()?;
    let pid = match fork()? {
        Fork::Child(forked) => forked.exit_with(|forked| {
            // If the reader is gone, so is everybody who wants to know.
            let _ = writer.write_all(body(forked).as_bytes());
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
    /// Whom children become; `None` is who we are.
    pub(super) user: Option<&'a User>,
    /// The supervisor itself; children watch it.
    pub(super) supervisor: &'a PidFd,
}

impl Nursery<'_> {
    /// Forks a shard. In the child this does not return.
    pub(super) fn spawn_shard(
        &self,
        id: ChildId,
        shard: u16,
        listeners: &[Listener],
        pools: &mut Pools,
        title: &mut Option<Title>,
    ) -> io::Result<Child> {
        let (ours, theirs) = channel::pair()?;
        let page = SharedPage::map()?;
        let seat = pools.seat(id);
        match fork()? {
            Fork::Child(forked) => forked.exit_with(|forked| {
                // A copy, like everything here: the supervisor keeps its own.
                let regions = mem::take(pools).into_regions();
                let newborn = Newcomer { nursery: self, forked, id, channel: theirs };
                newborn.live_as_shard(shard, listeners, Seated { seat, regions }, title, page)
            }),
            Fork::Parent(pid) => adopt(id, pid, ours, Some(page)).inspect_err(|_| end(pid)),
        }
    }

    /// Forks the template of a pool. In the child this does not return.
    pub(super) fn spawn_template(
        &self,
        id: ChildId,
        pool: u16,
        pools: &mut Pools,
        title: &mut Option<Title>,
    ) -> io::Result<Child> {
        let (ours, theirs) = channel::pair()?;
        let supervisor = own_pid();
        match fork()? {
            Fork::Child(forked) => forked.exit_with(|forked| {
                let region = mem::take(pools).into_region(pool).expect("its pool has memory");
                let newborn = Newcomer { nursery: self, forked, id, channel: theirs };
                newborn.live_as_template(pool, region, supervisor, title)
            }),
            Fork::Parent(pid) => adopt(id, pid, ours, None).inspect_err(|_| end(pid)),
        }
    }

    /// Has a template fork a worker, which says itself which process it is.
    pub(super) fn order(&self, id: ChildId, index: u16, template: &Child) -> io::Result<Child> {
        let (ours, theirs) = channel::pair()?;
        let number = WorkerNumber { index, incarnation: id.incarnation };
        template.channel.send_with(&ToChild::Fork(number), &theirs)?;
        let (process, page) = (None, None);
        Ok(Child { id, process, channel: ours, is_heard: true, is_killed: false, page })
    }

    /// What a process is called, in every log and in `ps`.
    pub(super) fn name(&self, role: Role) -> String {
        let of_pool = |pool: u16| &self.config.pools[usize::from(pool)].name;
        match role {
            Role::Shard(shard) => format!("shard/{shard}"),
            Role::Template { pool } => format!("{}/template", of_pool(pool)),
            Role::Worker { pool, index } => format!("{}/{index}", of_pool(pool)),
        }
    }

    /// The CPUs of a process; none for those that it inherits. One that floats gets all CPUs that
    /// we may use: what it inherited is where the supervisor is. A template runs where its
    /// workers do.
    fn cpus(&self, role: Role) -> Vec<usize> {
        let placement = &self.config.placement;
        let pinned: Vec<Option<usize>> = match role {
            Role::Shard(shard) => vec![placement.shards[usize::from(shard)].cpu],
            Role::Template { pool } | Role::Worker { pool, .. } => {
                let workers = &placement.pools[usize::from(pool)].workers;
                workers.iter().map(|worker| worker.cpu).collect()
            }
        };
        match pinned.into_iter().collect::<Option<Vec<usize>>>() {
            Some(mut cpus) => {
                cpus.sort_unstable();
                cpus.dedup();
                cpus
            }
            None => placement.floating_cpus(),
        }
    }
}

/// What a shard has of the pools.
struct Seated {
    seat: u16,
    regions: Vec<Arc<Region>>,
}

/// A process that was just forked, on its way to its role.
struct Newcomer<'a> {
    nursery: &'a Nursery<'a>,
    forked: &'a Forked,
    id: ChildId,
    channel: Channel,
}

impl Newcomer<'_> {
    fn live_as_shard(
        self,
        shard: u16,
        listeners: &[Listener],
        seated: Seated,
        title: &mut Option<Title>,
        page: SharedPage,
    ) -> u8 {
        let copies = listeners.iter().map(Listener::duplicate).collect::<io::Result<Vec<_>>>();
        let settled = copies.map_err(Trouble::of("dup of a listener")).and_then(|listeners| {
            let mut fds: Vec<BorrowedFd<'_>> = listeners.iter().map(AsFd::as_fd).collect();
            fds.extend(seated.regions.iter().flat_map(|region| region.descriptors()));
            let (signals, supervisor) = self.settle(&fds, title)?;
            Ok((listeners, signals, supervisor))
        });
        let (listeners, signals, supervisor) = match settled {
            Ok(settled) => settled,
            Err(trouble) => return tell(&trouble, &self.channel),
        };
        let nursery = self.nursery;
        let place = nursery.config.placement.shards[usize::from(shard)];
        let start = ShardStart {
            shard,
            cpu: place.cpu,
            dedicated: place.dedicated,
            generation: nursery.generation,
            incarnation: self.id.incarnation,
            listeners,
            channel: self.channel,
            signals,
            supervisor,
            config: nursery.config,
            page,
            seat: seated.seat,
            regions: seated.regions,
        };
        (nursery.roles.shard)(start).code()
    }

    fn live_as_template(
        self,
        pool: u16,
        region: Region,
        parent: Pid,
        title: &mut Option<Title>,
    ) -> u8 {
        let settled = self.settle(&region.descriptors(), title);
        // Before any code of the application: nobody below can change a request.
        let reading = settled.and_then(|(signals, supervisor)| {
            let reader = region.into_reader().map_err(Trouble::of("mapping requests"))?;
            Ok((signals, supervisor, reader))
        });
        let (signals, supervisor, region) = match reading {
            Ok(reading) => reading,
            Err(trouble) => return tell(&trouble, &self.channel),
        };
        let nursery = self.nursery;
        let start = TemplateStart {
            pool,
            generation: nursery.generation,
            channel: self.channel,
            signals,
            supervisor,
            supervisor_pid: parent,
            config: nursery.config,
            region,
            logger: nursery.logger,
            title,
        };
        (nursery.roles.template)(start).code()
    }

    /// Makes this process one that owns nothing but its own things, `keep` among them.
    fn settle(
        &self,
        keep: &[BorrowedFd<'_>],
        title: &mut Option<Title>,
    ) -> Result<(SignalFd, PidFd), Trouble> {
        let (nursery, role) = (self.nursery, self.id.role);
        let name = nursery.name(role);
        nursery.logger.identify(Identity {
            process: name.clone(),
            shard: if let Role::Shard(shard) = role { Some(shard) } else { None },
            generation: Some(nursery.generation),
        });
        let supervisor = nursery.supervisor.duplicate();
        let supervisor = supervisor.map_err(Trouble::of("dup of a pidfd"))?;
        let mut fds = vec![self.channel.as_fd(), supervisor.as_fd()];
        fds.extend(keep);
        let (cpus, user) = (nursery.cpus(role), nursery.user);
        let newborn = Newborn { name: &name, cpus: &cpus, user, keep: &fds };
        let signals = newborn.settle(self.forked, title)?;
        if !self.forked.follow_parent().map_err(Trouble::of("PDEATHSIG"))? {
            return Err(Trouble::of("start")(io::Error::other("the supervisor is gone already")));
        }
        Ok((signals, supervisor))
    }
}

/// Takes what is needed to watch a process that was just forked.
fn adopt(id: ChildId, pid: Pid, channel: Channel, page: Option<SharedPage>) -> io::Result<Child> {
    page.as_ref().map_or(Ok(()), SharedPage::keep_from_children)?;
    let process = Process { pid, pidfd: PidFd::open(pid)? };
    Ok(Child { id, process: Some(process), channel, is_heard: true, is_killed: false, page })
}

/// Ends a process that cannot be watched: it would take clients and nobody could stop it.
fn end(pid: Pid) {
    if let Err(error) = end_child(pid) {
        tracing::error!(pid = pid.get(), %error, "process cannot be ended");
    }
}

/// Tells the supervisor why a process could not even begin, and returns the exit code.
fn tell(trouble: &Trouble, channel: &Channel) -> u8 {
    let exit = if trouble.forbidden { Exit::Permission } else { Exit::System };
    let code = exit.code();
    // When nobody listens, the exit code alone has to say it.
    let _ = channel.send(&FromChild::Failed { code, text: trouble.to_string() });
    code
}
