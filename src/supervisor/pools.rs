//! The memory of the pools, as the supervisor holds it: made before the first fork, handed to every
//! process, and always told who lives in it.
//!
//! A shard has the same seat in the memory of every pool. There is one seat more than there are
//! shards, so that one which leaves keeps its own beside its successor. A process that has died
//! leaves its seat dirty; the next one cleans it up, so those are given out first.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::state::{ChildId, JobNote, Role};
use crate::config::grants::Finding;
use crate::config::placement::PoolPlace;
use crate::config::{Config, PoolConfig};
use crate::limits::{REQUEST_MESSAGE_HEAD_BYTES_MAX, RESPONSE_MESSAGE_HEAD_BYTES_MAX};
use crate::offload::death::{Overdue, Registry};
use crate::offload::layout::{BLOCK_BYTES, Layout, Shape};
use crate::offload::message::{REQUEST_PREFIX_BYTES, route_of};
use crate::offload::region::{Mapped, Region};
use crate::offload::word::{Owner, ShardIndex, WorkerIndex};
use crate::offload::world::World;
use crate::sys::{cgroup, memory};

/// All pools, in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Pools {
    pools: Vec<Pool>,
    seats: Seats,
}

#[derive(Debug)]
struct Pool {
    shape: Shape,
    /// Workers whose blocks are there from the start.
    workers: u8,
    /// From the deadline of a job to the end of its worker.
    force: Duration,
    /// What processes get that start now.
    current: Memory,
    /// What has been replaced, and is still had by somebody.
    replaced: Vec<Memory>,
}

/// One region with those who have it.
#[derive(Debug)]
struct Memory {
    region: Arc<Region>,
    registry: Registry<Mapped>,
    /// Shards and workers that were started with it; of a worker also the life that it was given
    /// there, as slots name it.
    users: BTreeMap<ChildId, u16>,
    /// Workers that were found with a job that they do not come back from.
    condemned: BTreeSet<ChildId>,
    /// Indices whose blocks are there.
    populated: BTreeSet<u8>,
}

impl Pools {
    /// Makes the memory of all pools.
    pub(super) fn create(config: &Config) -> Result<Self, Finding> {
        let shards = config.placement.shards.len();
        // One that leaves keeps its seat.
        let seats = u16::try_from(shards + 1).expect("options bound every count");
        let pools = config.pools.iter().zip(&config.placement.pools);
        let plans: Vec<(&PoolConfig, Shape, u8)> =
            pools.map(|(pool, place)| plan(pool, place, seats)).collect::<Result<_, Finding>>()?;
        check_memory(&plans, granted_bytes())?;
        let pools = plans.into_iter().map(|(pool, shape, workers)| {
            let force = pool.request.force;
            let current = Memory::create(shape, workers)
                .map_err(|error| Finding::of_pool(&pool.name, need(shape, workers), &error))?;
            Ok(Pool { shape, workers, force, current, replaced: Vec::new() })
        });
        Ok(Self { pools: pools.collect::<Result<_, Finding>>()?, seats: Seats::new(seats) })
    }

    /// Takes a shard in that is about to start; its seat.
    pub(super) fn seat(&mut self, shard: ChildId) -> u16 {
        for pool in &mut self.pools {
            pool.current.users.insert(shard, 0);
        }
        self.seats.take(shard)
    }

    /// What a shard gets: the memory of all pools. For the shard's own process, in which nobody
    /// buries anybody.
    pub(super) fn into_regions(self) -> Vec<Arc<Region>> {
        self.pools.into_iter().map(|pool| pool.current.region).collect()
    }

    /// What a template gets: the memory of its pool alone. For the template's own process.
    pub(super) fn into_region(self, pool: u16) -> Option<Region> {
        let mut pools = self.pools.into_iter();
        let Memory { region, registry, .. } = pools.nth(pool.into())?.current;
        drop(registry);
        Arc::into_inner(region)
    }

    /// Gives a worker its place before it is ordered.
    pub(super) fn enlist(&mut self, worker: ChildId) -> io::Result<()> {
        let Some((pool, index)) = self.place(worker.role) else {
            return Err(io::Error::other("the memory of its pool has no place for it"));
        };
        let memory = &mut pool.current;
        if !memory.populated.contains(&index.0) {
            memory.region.populate(index)?;
            memory.populated.insert(index.0);
        }
        let life = memory.registry.enlist(index);
        memory.users.insert(worker, life.short());
        Ok(())
    }

    /// A shard or a worker is gone, and the kernel said so; or it will never be there.
    pub(super) fn bury(&mut self, child: ChildId) {
        let seat = self.seats.leave(child);
        for pool in &mut self.pools {
            for memory in pool.memories() {
                memory.bury(child, seat);
            }
            pool.replaced.retain(|memory| !memory.users.is_empty());
        }
    }

    /// Has the workers of all pools leave once they have nothing to do.
    pub(super) fn stop(&self) {
        for pool in &self.pools {
            pool.current.registry.stop();
        }
    }

    /// Makes new memory for a pool; who starts from now on gets it.
    pub(super) fn rebuild(&mut self, pool: u16) -> io::Result<()> {
        let Some(pool) = self.pools.get_mut(usize::from(pool)) else { return Ok(()) };
        check_granted(need(pool.shape, pool.workers).0, granted_bytes())?;
        let new = Memory::create(pool.shape, pool.workers)?;
        let old = mem::replace(&mut pool.current, new);
        pool.replaced.push(old);
        pool.replaced.retain(|memory| !memory.users.is_empty());
        Ok(())
    }

    /// The workers that do not come back from a job, each once. `now` is of the monotonic clock.
    pub(super) fn take_overdue(&mut self, now: u64, routes: &[String]) -> Vec<(ChildId, JobNote)> {
        let mut found = Vec::new();
        for pool in &mut self.pools {
            let force = nanos(pool.force);
            for memory in pool.memories() {
                // Slots are looked at only where a worker itself says that it could be late.
                if !memory.limits().any(|limit| limit.saturating_add(force) <= now) {
                    continue;
                }
                for job in memory.registry.overdue(now, force) {
                    let Some(worker) = memory.user(job.worker) else { continue };
                    if memory.condemned.insert(worker) {
                        found.push((worker, memory.note(&job, now, routes)));
                    }
                }
            }
        }
        found
    }

    /// How long until a worker could be late with what it runs now.
    pub(super) fn next_overdue(&self, now: u64) -> Option<Duration> {
        let of_pool = |pool: &Pool| {
            let force = nanos(pool.force);
            let memories = pool.replaced.iter().chain([&pool.current]);
            memories.flat_map(Memory::limits).map(move |limit| limit.saturating_add(force)).min()
        };
        let first = self.pools.iter().filter_map(of_pool).min()?;
        Some(Duration::from_nanos(first.saturating_sub(now)))
    }

    /// What a worker is running, or was when it died.
    pub(super) fn jobs(&self, worker: ChildId, now: u64, routes: &[String]) -> Vec<JobNote> {
        let Role::Worker { pool, index } = worker.role else { return Vec::new() };
        let (Some(pool), Ok(index)) = (self.pools.get(usize::from(pool)), u8::try_from(index))
        else {
            return Vec::new();
        };
        let Some(memory) = pool.memory_of(worker) else { return Vec::new() };
        let jobs = memory.registry.running(WorkerIndex(index));
        jobs.iter().map(|job| memory.note(job, now, routes)).collect()
    }

    /// The process that a shard has found to write what cannot be, if it is still there: its place
    /// may have somebody else by now, and so may the same place in newer memory.
    pub(super) fn accused(&self, by: ChildId, pool: u16, owner: Owner) -> Option<ChildId> {
        let memory = self.pools.get(usize::from(pool))?.memory_of(by)?;
        let worker = memory.user(owner.worker)?;
        (memory.users.get(&worker) == Some(&owner.incarnation)).then_some(worker)
    }

    /// The longest time from a deadline to the end of a worker.
    pub(super) fn longest_force(&self) -> Duration {
        self.pools.iter().map(|pool| pool.force).max().unwrap_or_default()
    }

    fn place(&mut self, role: Role) -> Option<(&mut Pool, WorkerIndex)> {
        let Role::Worker { pool, index } = role else { return None };
        let pool = self.pools.get_mut(usize::from(pool))?;
        let index = pool.current.region.layout().worker(index.into())?;
        Some((pool, index))
    }
}

impl Pool {
    fn memories(&mut self) -> impl Iterator<Item = &mut Memory> {
        self.replaced.iter_mut().chain([&mut self.current])
    }

    /// What this process was started with.
    fn memory_of(&self, child: ChildId) -> Option<&Memory> {
        let mut memories = self.replaced.iter().chain([&self.current]);
        memories.find(|memory| memory.users.contains_key(&child))
    }
}

impl Memory {
    fn create(shape: Shape, workers: u8) -> io::Result<Self> {
        let region = Arc::new(Region::create(shape, workers)?);
        let registry = Registry::of(&region);
        let (users, condemned) = (BTreeMap::new(), BTreeSet::new());
        Ok(Self { region, registry, users, condemned, populated: (0..workers).collect() })
    }

    fn bury(&mut self, child: ChildId, seat: Option<u16>) {
        if self.users.remove(&child).is_none() {
            return;
        }
        self.condemned.remove(&child);
        match (child.role, seat) {
            (Role::Worker { .. }, _) => {
                let index = index_of(child.role).expect("it was enlisted under its index");
                self.registry.bury(index);
            }
            (Role::Shard(_), Some(seat)) => self.registry.bury_shard(ShardIndex(seat)),
            (Role::Shard(_) | Role::Template { .. }, _) => {}
        }
    }

    /// The process that lives in the place of a worker.
    fn user(&self, worker: WorkerIndex) -> Option<ChildId> {
        self.users.keys().copied().find(|user| index_of(user.role) == Some(worker))
    }

    /// When the jobs of the workers that are not condemned should be done.
    fn limits(&self) -> impl Iterator<Item = u64> {
        let workers = self.users.keys().filter(|user| !self.condemned.contains(user));
        let indices = workers.filter_map(|user| index_of(user.role));
        indices.filter_map(|index| self.registry.hard_limit(index))
    }

    fn note(&self, job: &Overdue, now: u64, routes: &[String]) -> JobNote {
        let world = self.registry.world();
        // The beginning of a request lies in its slot, which shards alone can write.
        let span = world.layout().inline_request(job.shard, job.slot);
        let mut beginning = [0; REQUEST_PREFIX_BYTES];
        world.copy_out(span, &mut beginning);
        let route = route_of(&beginning).and_then(|route| routes.get(usize::from(route.0)));
        // Its worker has written when it began; a broken one may have written anything.
        let ran = Duration::from_nanos(now.saturating_sub(job.started));
        JobNote { route: route.cloned().unwrap_or_else(|| "unknown".to_owned()), ran }
    }
}

/// Who sits where in the memory of all pools.
#[derive(Debug, Default)]
struct Seats {
    /// Who has a seat now.
    taken: Vec<Option<ChildId>>,
    /// Seats whose last process has not been followed by another one.
    dirty: BTreeSet<usize>,
    /// Where each shard sat last.
    last: BTreeMap<Role, usize>,
}

impl Seats {
    fn new(count: u16) -> Self {
        Self { taken: vec![None; count.into()], ..Self::default() }
    }

    /// The seat of a shard that is about to start: its own, else one to be cleaned up, else any.
    fn take(&mut self, shard: ChildId) -> u16 {
        let is_free = |seat: &usize| self.taken.get(*seat).is_some_and(Option::is_none);
        let own = self.last.get(&shard.role).copied().filter(is_free);
        let dirty = || self.dirty.iter().copied().find(is_free);
        let any = || (0..self.taken.len()).find(is_free);
        let seat = own.or_else(dirty).or_else(any);
        // Without pools there is nothing to sit in; with them the state starts no more shards
        // than there are seats.
        let Some(seat) = seat else { return 0 };
        self.taken[seat] = Some(shard);
        self.dirty.remove(&seat);
        self.last.insert(shard.role, seat);
        u16::try_from(seat).expect("seats are counted in 16 bits")
    }

    fn leave(&mut self, shard: ChildId) -> Option<u16> {
        let seat = self.taken.iter().position(|taken| *taken == Some(shard))?;
        self.taken[seat] = None;
        self.dirty.insert(seat);
        u16::try_from(seat).ok()
    }
}

/// What a pool needs of the system.
fn need(shape: Shape, workers: u8) -> (u64, u64) {
    let Ok(layout) = Layout::new(shape) else { return (u64::MAX, 0) };
    let (offset, length) = layout.response_blocks_of(workers);
    let doorbells = u64::from(shape.shards) + u64::from(shape.workers);
    (offset + length + layout.request_bytes(), doorbells + 2)
}

/// The shape of a pool's memory, and how many of its workers start with the server. There are
/// twice as many places as workers, so that a replacement can be there before who it replaces.
fn plan<'a>(
    pool: &'a PoolConfig,
    place: &PoolPlace,
    seats: u16,
) -> Result<(&'a PoolConfig, Shape, u8), Finding> {
    let places = place.workers.len();
    let at_start = place.workers.iter().filter(|worker| !worker.on_demand).count();
    let (Ok(most), Ok(workers)) = (u8::try_from(places), u8::try_from(at_start)) else {
        return Err(Finding::of_many_workers(&pool.name, places));
    };
    let shape = Shape {
        shards: seats,
        workers: most.saturating_mul(2),
        slots: pool.slots,
        slot_bytes: pool.slot_bytes,
        request_blocks: REQUEST_BLOCKS,
        response_blocks: RESPONSE_BLOCKS,
    };
    Ok((pool, shape, workers))
}

/// The kernel would end a process rather than refuse it memory, so what cannot fit is not asked
/// for.
fn check_memory(plans: &[(&PoolConfig, Shape, u8)], granted: Option<u64>) -> Result<(), Finding> {
    let mut sum: u64 = 0;
    for (pool, shape, workers) in plans {
        let needs = need(*shape, *workers);
        sum = sum.saturating_add(needs.0);
        check_granted(sum, granted).map_err(|error| Finding::of_pool(&pool.name, needs, &error))?;
    }
    Ok(())
}

fn check_granted(bytes: u64, granted: Option<u64>) -> io::Result<()> {
    match granted {
        Some(granted) if bytes > granted / 5 * 4 => {
            let reason = format!("the system has {} MiB", granted >> 20);
            Err(io::Error::new(io::ErrorKind::OutOfMemory, reason))
        }
        _ => Ok(()),
    }
}

/// What the system and our group could give at most; `None` if neither says.
fn granted_bytes() -> Option<u64> {
    let group = cgroup::read(Path::new("/")).memory.map(|limit| limit.bytes);
    [group, memory::available()].into_iter().flatten().min()
}

fn index_of(role: Role) -> Option<WorkerIndex> {
    match role {
        Role::Worker { index, .. } => u8::try_from(index).ok().map(WorkerIndex),
        Role::Shard(_) | Role::Template { .. } => None,
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Blocks of 64 KiB for the requests of each shard.
const REQUEST_BLOCKS: u16 = 64;
/// Blocks of 64 KiB for the responses of each worker.
const RESPONSE_BLOCKS: u16 = 32;

// No setting changes them: the longest head finds room beside the quarter that is kept for others,
// or its stream would wait for blocks that nobody has.
const _: () = assert!(
    (REQUEST_BLOCKS - REQUEST_BLOCKS / 4) as u64 * BLOCK_BYTES
        >= REQUEST_MESSAGE_HEAD_BYTES_MAX as u64
);
const _: () = assert!(
    (RESPONSE_BLOCKS - RESPONSE_BLOCKS / 4) as u64 * BLOCK_BYTES
        >= RESPONSE_MESSAGE_HEAD_BYTES_MAX as u64
);

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        shards: 2,
        workers: 4,
        slots: 2,
        slot_bytes: 256,
        request_blocks: 1,
        response_blocks: 1,
    };

    fn pools() -> Pools {
        let current = Memory::create(SHAPE, 2).unwrap();
        let force = Duration::ZERO;
        let pool = Pool { shape: SHAPE, workers: 2, force, current, replaced: Vec::new() };
        Pools { pools: vec![pool], seats: Seats::new(2) }
    }

    fn shard(incarnation: u32) -> ChildId {
        ChildId { role: Role::Shard(0), incarnation }
    }

    fn worker(incarnation: u32) -> ChildId {
        ChildId { role: Role::Worker { pool: 0, index: 1 }, incarnation }
    }

    fn owner(incarnation: u16) -> Owner {
        Owner { worker: WorkerIndex(1), incarnation }
    }

    #[test]
    fn whoever_is_accused_is_not_taken_for_its_successor() {
        let mut pools = pools();
        pools.seat(shard(1));
        pools.enlist(worker(1)).unwrap();
        assert_eq!(pools.accused(shard(1), 0, owner(1)), Some(worker(1)));
        assert_eq!(pools.accused(shard(1), 1, owner(1)), None, "there is no such pool");
        assert_eq!(pools.accused(shard(2), 0, owner(1)), None, "nobody who knows that memory");
        pools.bury(worker(1));
        assert_eq!(pools.accused(shard(1), 0, owner(1)), None, "it is dead");
        pools.enlist(worker(2)).unwrap();
        assert_eq!(pools.accused(shard(1), 0, owner(1)), None, "its successor wrote nothing");
        assert_eq!(pools.accused(shard(1), 0, owner(2)), Some(worker(2)));
    }

    #[test]
    fn whoever_has_old_memory_accuses_nobody_in_the_new_one() {
        let mut pools = pools();
        pools.seat(shard(1));
        pools.enlist(worker(1)).unwrap();
        pools.rebuild(0).unwrap();
        pools.bury(worker(1));
        // The count of lives begins anew, so that slots name both alike.
        pools.enlist(worker(2)).unwrap();
        assert_eq!(pools.accused(shard(1), 0, owner(1)), None);
        pools.seat(shard(2));
        assert_eq!(pools.accused(shard(2), 0, owner(1)), Some(worker(2)));
    }

    #[test]
    fn what_the_system_has_not_is_not_asked_for() {
        assert!(check_granted(80, Some(100)).is_ok());
        assert!(check_granted(81, Some(100)).is_err());
        assert!(check_granted(u64::MAX, None).is_ok(), "nobody says how much there is");
    }
}
