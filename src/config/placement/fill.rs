//! Splits the cores between shards and pools and gives every process its CPU. Never fails: what
//! does not fit shares.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::budget::Budget;
use super::room::{Core, Room, named};
use super::{
    Note, Placement, Policy, PoolPlace, PoolWish, Priority, ShardPlace, Share, Smt, Wishes,
    WorkerPlace, Workers,
};
use crate::config::cpus::{CpuWish, cpu_list};

/// Places everybody.
pub(super) fn fill(room: Room, wishes: &Wishes, budget: Budget) -> Placement {
    let mut plan = Plan::new(room, wishes, budget);
    plan.place_shards();
    plan.place_workers();
    plan.finish()
}

struct Plan<'a> {
    wishes: &'a Wishes,
    budget: Budget,
    room: Room,
    /// Cores that nobody names, no more than the budget.
    free: Vec<Core>,
    /// The CPU of each shard.
    shards: Vec<usize>,
    /// The workers of each pool.
    pools: Vec<Vec<Seat>>,
    notes: Vec<Note>,
}

/// A worker's CPU.
#[derive(Clone, Copy)]
struct Seat {
    cpu: usize,
    on_demand: bool,
}

impl<'a> Plan<'a> {
    fn new(mut room: Room, wishes: &'a Wishes, mut budget: Budget) -> Self {
        let named = named(wishes);
        let is_free = |core: &&Core| !core.threads.iter().any(|cpu| named.contains(cpu));
        let free: Vec<Core> = room.cores.iter().filter(is_free).cloned().collect();
        let asked = match wishes.shards {
            CpuWish::Count(count) => count,
            CpuWish::Auto | CpuWish::List(_) => 0,
        };
        let mut notes = std::mem::take(&mut budget.notes);
        notes.append(&mut room.notes);
        Self {
            free: strongest(free, budget.size.max(asked)),
            pools: vec![Vec::new(); wishes.pools.len()],
            shards: Vec::new(),
            wishes,
            budget,
            room,
            notes,
        }
    }

    fn place_shards(&mut self) {
        self.shards = match &self.wishes.shards {
            CpuWish::List(cpus) => cpus.clone(),
            CpuWish::Count(count) => self.counted_shards(*count),
            CpuWish::Auto => self.automatic_shards(),
        };
        let home = self.homes();
        self.shards.sort_by_key(|cpu| home.get(cpu).map(|core| (core.node, core.l3, *cpu)));
    }

    fn automatic_shards(&mut self) -> Vec<usize> {
        let fast: Vec<&Core> = self.free.iter().filter(|core| core.fast).collect();
        let fit = if fast.is_empty() { self.free.iter().collect() } else { fast };
        if fit.is_empty() {
            // Pools have claimed every core; the first fast one is shared.
            let core =
                self.room.cores.iter().max_by_key(|core| (core.fast, Reverse(core.threads[0])));
            return core.map(|core| core.threads[0]).into_iter().collect();
        }
        let count = self.shard_cores().clamp(1, fit.len());
        let cores = spread(&fit, count);
        let cpus = cores.iter().flat_map(|core| match self.wishes.smt {
            Smt::Both => core.threads.as_slice(),
            Smt::Auto | Smt::One => &core.threads[..1],
        });
        let most = self.budget.size.saturating_sub(self.wishes.pools.len()).max(1);
        cpus.copied().take(most).collect()
    }

    /// How many of the free cores are for shards.
    fn shard_cores(&self) -> usize {
        let all = self.free.len();
        let workers: Vec<Workers> = self.choosing().map(|(_, pool)| pool.workers).collect();
        if workers.contains(&Workers::Auto) {
            return match self.wishes.policy {
                Policy::Balanced => all.div_ceil(4),
                Policy::Latency => all.div_ceil(2),
            };
        }
        let mut wanted: usize = workers.iter().map(|workers| fixed(*workers)).sum();
        let mut cores: Vec<&Core> = self.free.iter().collect();
        cores.sort_by_key(|core| core.fast);
        let needed = cores.iter().take_while(|core| {
            let needs_more = wanted > 0;
            wanted = wanted.saturating_sub(self.threads_for_workers(core).len());
            needs_more
        });
        all - needed.count()
    }

    /// As many as somebody asked for: one per fast core, then the slower cores, then the second
    /// threads, then the other halves of cores that pools name, then what pools share.
    fn counted_shards(&mut self, count: usize) -> Vec<usize> {
        let thread = |fast: bool, second: bool| {
            let cores = self.free.iter().filter(move |core| core.fast == fast);
            let part = move |core: &Core| match second {
                false => core.threads[..1].to_vec(),
                true => core.threads[1..].to_vec(),
            };
            cores.flat_map(move |core| part(core).into_iter().map(|cpu| core.with(cpu))).collect()
        };
        let mut stages: Vec<Vec<Core>> = vec![thread(true, false), thread(false, false)];
        if self.wishes.smt != Smt::One {
            stages.extend([thread(true, true), thread(false, true)]);
        }
        stages.extend([self.leftovers(), self.shared_cores()]);
        let slow: BTreeSet<usize> = stages[1].iter().map(|core| core.threads[0]).collect();
        let mut cpus = Vec::new();
        for stage in stages {
            let stage: Vec<&Core> =
                stage.iter().filter(|core| !cpus.contains(&core.threads[0])).collect();
            let missing = count - cpus.len();
            cpus.extend(
                spread(&stage, missing.min(stage.len())).iter().map(|core| core.threads[0]),
            );
        }
        let slow: Vec<usize> = cpus.iter().copied().filter(|cpu| slow.contains(cpu)).collect();
        if !slow.is_empty() {
            self.note(format!("{} slower than the others, with a shard all the same", are(&slow)));
        }
        cpus
    }

    /// CPUs that nobody names on cores of which a pool names another, each like a core.
    fn leftovers(&self) -> Vec<Core> {
        let named = named(self.wishes);
        let most = if self.wishes.smt == Smt::One { 1 } else { usize::MAX };
        let half = self
            .room
            .cores
            .iter()
            .filter(|core| core.threads.iter().any(|cpu| named.contains(cpu)));
        let cpus = half.flat_map(|core| {
            let open = core.threads.iter().filter(|cpu| !named.contains(cpu)).take(most);
            open.map(|&cpu| core.with(cpu)).collect::<Vec<_>>()
        });
        cpus.collect()
    }

    /// CPUs that pools name and would share, each like a core.
    fn shared_cores(&self) -> Vec<Core> {
        let home = self.homes();
        let sharing = self.wishes.pools.iter().filter(|pool| pool.share == Share::On);
        let cpus = sharing.flat_map(|pool| pool.cores.iter().flatten());
        let cores = cpus.filter_map(|cpu| Some(home.get(cpu)?.with(*cpu)));
        cores.collect()
    }

    fn place_workers(&mut self) {
        let slots = self.slots();
        for (index, pool) in self.wishes.pools.iter().enumerate() {
            if let Some(cpus) = &pool.cores {
                let mut cpus = cpus.clone();
                cpus.sort_by_key(|cpu| (self.shards.contains(cpu), *cpu));
                let count = match pool.workers {
                    Workers::Auto => cpus.len(),
                    Workers::Count(count) => count.min(cpus.len()),
                };
                self.seat(index, cpus[..count].iter().copied(), false);
            }
        }
        let left = self.share_out(slots);
        self.squeeze_in();
        let mut left = left.into_iter();
        for (index, pool) in self.wishes.pools.iter().enumerate() {
            self.complete(index, pool, &mut left);
        }
    }

    /// CPUs for workers, by core.
    fn slots(&self) -> Vec<Vec<usize>> {
        let claimed: BTreeSet<usize> =
            self.wishes.pools.iter().flat_map(|pool| &pool.cores).flatten().copied().collect();
        let half_claimed = self.room.cores.iter().filter(|core| {
            core.threads.iter().any(|cpu| claimed.contains(cpu)) && self.wishes.smt != Smt::One
        });
        let cores = self.free.iter().chain(half_claimed);
        let slots = cores.map(|core| {
            let has_shard = core.threads.iter().any(|cpu| self.shards.contains(cpu));
            let threads = match self.wishes.smt {
                Smt::Auto | Smt::One if has_shard => &[],
                _ => self.threads_for_workers(core),
            };
            let open = threads.iter().filter(|cpu| !self.shards.contains(cpu));
            open.filter(|cpu| !claimed.contains(cpu)).copied().collect()
        });
        slots.filter(|threads: &Vec<usize>| !threads.is_empty()).collect()
    }

    /// Gives the slots to the pools that name no CPUs; returns what is left.
    fn share_out(&mut self, mut slots: Vec<Vec<usize>>) -> Vec<usize> {
        let wishes = self.wishes;
        let (autos, fixed_pools): (Vec<_>, Vec<_>) =
            choosing(wishes).partition(|(_, pool)| pool.workers == Workers::Auto);
        let threads: usize = slots.iter().map(Vec::len).sum();
        let mut room = threads.min(self.budget.size.saturating_sub(self.shards.len()));
        let for_fixed = room.saturating_sub(autos.len()).max(fixed_pools.len().min(room));
        let wanted: Vec<usize> = fixed_pools.iter().map(|(_, pool)| fixed(pool.workers)).collect();
        // First threads of all cores first: a fixed number spreads out.
        let depth = slots.iter().map(Vec::len).max().unwrap_or(0);
        let order: Vec<usize> = (0..depth)
            .flat_map(|at| slots.iter().filter_map(move |core| core.get(at)))
            .copied()
            .collect();
        let mut order = order.into_iter();
        for ((index, _), count) in fixed_pools.iter().zip(deal(&wanted, for_fixed)) {
            room -= count;
            self.seat(*index, order.by_ref().take(count), false);
        }
        let taken: BTreeSet<usize> = self.pools.iter().flatten().map(|seat| seat.cpu).collect();
        for core in &mut slots {
            core.retain(|cpu| !taken.contains(cpu));
        }
        slots.retain(|core| !core.is_empty());
        if !autos.is_empty() {
            let autos: Vec<usize> = autos.iter().map(|(index, _)| *index).collect();
            self.share_out_cores(&autos, &mut slots, room);
        }
        slots.into_iter().flatten().collect()
    }

    /// Each core goes to the pool that has the fewest workers so far.
    fn share_out_cores(&mut self, pools: &[usize], slots: &mut [Vec<usize>], room: usize) {
        let threads: usize = slots.iter().map(Vec::len).sum();
        let groups: Vec<Vec<usize>> = if slots.len() < pools.len() || room < threads {
            slots.iter().flatten().map(|&cpu| vec![cpu]).collect()
        } else {
            slots.to_vec()
        };
        let mut given: BTreeSet<usize> = BTreeSet::new();
        for group in groups {
            let fewest = pools.iter().min_by_key(|&&pool| self.pools[pool].len());
            let count = group.len().min(room - given.len());
            let Some(&pool) = fewest.filter(|_| count > 0) else { break };
            self.seat(pool, group[..count].iter().copied(), false);
            given.extend(&group[..count]);
        }
        for core in slots.iter_mut() {
            core.retain(|cpu| !given.contains(cpu));
        }
    }

    /// A pool that got nothing shares with other pools, else sits on the second thread of a
    /// shard's core, else on a shard's CPU.
    fn squeeze_in(&mut self) {
        for index in 0..self.pools.len() {
            if !self.pools[index].is_empty() {
                continue;
            }
            let workers = self.pools.iter().flatten().map(|seat| seat.cpu);
            let workers: Vec<usize> = workers.filter(|cpu| !self.shards.contains(cpu)).collect();
            let siblings = self.siblings();
            let places = [workers, siblings, self.shards.clone()];
            let place = places.into_iter().find(|place| !place.is_empty()).unwrap_or_default();
            let cpu = place.into_iter().min_by_key(|&cpu| (self.load(cpu), cpu));
            self.seat(index, cpu, false);
        }
    }

    /// Second threads of shards' cores that nobody uses.
    fn siblings(&self) -> Vec<usize> {
        if self.wishes.smt == Smt::One {
            return Vec::new();
        }
        let cores = self.room.cores.iter();
        let with_shards =
            cores.filter(|core| core.threads.iter().any(|cpu| self.shards.contains(cpu)));
        let threads = with_shards.flat_map(|core| &core.threads).copied();
        threads.filter(|&cpu| self.load(cpu) == 0).collect()
    }

    /// What a pool still lacks: workers on shard cores, doubled ones, and those on demand.
    /// `left`: CPUs that no worker has.
    fn complete(&mut self, index: usize, pool: &PoolWish, left: &mut impl Iterator<Item = usize>) {
        let own: Vec<usize> = self.pools[index].iter().map(|seat| seat.cpu).collect();
        let shards: Vec<usize> = match &pool.cores {
            None if self.shares(pool) => {
                self.shards.iter().copied().filter(|cpu| !own.contains(cpu)).collect()
            }
            _ => Vec::new(),
        };
        let unused = pool.cores.iter().flatten().copied().filter(|cpu| !own.contains(cpu));
        let unused: Vec<usize> = unused.collect();
        let doubled = own.iter().copied().cycle();
        let background = if pool.workers == Workers::Auto { shards.len() } else { 0 };
        let count = match pool.workers {
            Workers::Auto => own.len() + background,
            Workers::Count(count) => count,
        };
        let mut next = shards.into_iter().chain(unused).chain(doubled);
        self.seat(index, next.by_ref().take(count - own.len()), false);
        let more = pool.max_workers.saturating_sub(count);
        let open = if pool.cores.is_none() && self.budget.floating.is_none() { more } else { 0 };
        let free: Vec<usize> = left.take(open).collect();
        let rest = more - free.len();
        self.seat(index, free.into_iter().chain(next.take(rest)), true);
    }

    /// Whether a pool has workers on shards' CPUs.
    fn shares(&mut self, pool: &PoolWish) -> bool {
        let limited = self.budget.floating.is_some() || self.budget.is_shared_quota;
        match pool.share {
            Share::Off => false,
            Share::Auto => !limited && self.room.cores.len() <= SHARE_CORES_MAX,
            Share::On if limited => {
                self.note(format!(
                    "pool `{}` has no workers in the background: their time would be missing in \
                     the shards",
                    pool.name
                ));
                false
            }
            Share::On => true,
        }
    }

    fn seat(&mut self, pool: usize, cpus: impl IntoIterator<Item = usize>, on_demand: bool) {
        self.pools[pool].extend(cpus.into_iter().map(|cpu| Seat { cpu, on_demand }));
    }

    /// How many processes a CPU has.
    fn load(&self, cpu: usize) -> usize {
        let workers = self.pools.iter().flatten().map(|seat| seat.cpu);
        workers.chain(self.shards.iter().copied()).filter(|&other| other == cpu).count()
    }

    /// The CPUs of a core that workers may use.
    fn threads_for_workers<'c>(&self, core: &'c Core) -> &'c [usize] {
        match self.wishes.smt {
            Smt::One => &core.threads[..1],
            Smt::Auto | Smt::Both => &core.threads,
        }
    }

    /// The pools that name no CPUs.
    fn choosing(&self) -> impl Iterator<Item = (usize, &'a PoolWish)> {
        choosing(self.wishes)
    }

    /// The core of each CPU.
    fn homes(&self) -> BTreeMap<usize, Core> {
        let cores = self.room.cores.iter();
        cores.flat_map(|core| core.threads.iter().map(|&cpu| (cpu, core.clone()))).collect()
    }

    fn note(&mut self, message: String) {
        self.notes.push(Note { message, fix: String::new() });
    }

    fn finish(mut self) -> Placement {
        self.note_crowds();
        let floats = self.budget.floating.is_some();
        let home = self.homes();
        let mut load: BTreeMap<usize, usize> = BTreeMap::new();
        let workers = self.pools.iter().flatten().map(|seat| seat.cpu);
        for cpu in self.shards.iter().copied().chain(workers) {
            *load.entry(cpu).or_default() += 1;
        }
        let shard = |&cpu: &usize| {
            let core = home.get(&cpu).filter(|_| !floats);
            ShardPlace {
                cpu: core.map(|_| cpu),
                l3: core.map(|core| core.l3),
                node: core.map(|core| core.node),
                dedicated: !floats && load[&cpu] == 1,
            }
        };
        let worker = |pool: &PoolWish, seat: &Seat| {
            let core = home.get(&seat.cpu).filter(|_| !floats);
            let on_shard = !floats && self.shards.contains(&seat.cpu);
            let background = match pool.priority {
                Priority::Auto => on_shard,
                Priority::Background => true,
                Priority::Normal => false,
            };
            let shared = floats || load[&seat.cpu] > 1;
            WorkerPlace {
                cpu: core.map(|_| seat.cpu),
                l3: core.map(|core| core.l3),
                node: core.map(|core| core.node),
                background,
                shared,
                spins: !shared && !background,
                on_demand: seat.on_demand,
            }
        };
        let pools = self.wishes.pools.iter().zip(&self.pools).map(|(pool, seats)| PoolPlace {
            name: pool.name.clone(),
            workers: seats.iter().map(|seat| worker(pool, seat)).collect(),
        });
        let (pools, shards) = (pools.collect(), self.shards.iter().map(shard).collect());
        let (idle_siblings, unused) = if floats { Default::default() } else { self.spare(&load) };
        self.note_slow(&unused);
        Placement {
            shards,
            pools,
            reserved: self.room.reserved,
            idle_siblings,
            unused,
            usable: self.room.usable,
            floating: self.budget.floating,
            budget: self.budget.size,
            notes: self.notes,
        }
    }

    /// CPUs without a process: on used cores, and on others.
    fn spare(&self, load: &BTreeMap<usize, usize>) -> (Vec<usize>, Vec<usize>) {
        let (mut siblings, mut unused) = (Vec::new(), Vec::new());
        for core in &self.room.cores {
            let is_used = core.threads.iter().any(|cpu| load.contains_key(cpu));
            let idle = core.threads.iter().filter(|cpu| !load.contains_key(cpu));
            if is_used { siblings.extend(idle) } else { unused.extend(idle) }
        }
        siblings.sort_unstable();
        unused.sort_unstable();
        (siblings, unused)
    }

    fn note_crowds(&mut self) {
        let workers = self.pools.iter().flatten().map(|seat| seat.cpu);
        let mut cpus: Vec<usize> = self.shards.iter().copied().chain(workers).collect();
        let processes = cpus.len();
        cpus.sort_unstable();
        let crowded = cpus.chunk_by(|one, next| one == next).filter(|group| group.len() > 1);
        let crowded: Vec<usize> = crowded.map(|group| group[0]).collect();
        let size = self.budget.size;
        if self.budget.floating.is_some() || self.budget.is_shared_quota {
            if processes > size.max(1 + self.pools.len()) {
                let noun = if size == 1 { "CPU" } else { "CPUs" };
                self.note(format!("{processes} processes for the time of {size} {noun}"));
            }
        } else if !crowded.is_empty() {
            self.note(format!("{} shared by several processes: none watches there", are(&crowded)));
        }
    }

    fn note_slow(&mut self, unused: &[usize]) {
        let home = self.homes();
        let slow =
            unused.iter().copied().filter(|cpu| home.get(cpu).is_some_and(|core| !core.fast));
        let slow: Vec<usize> = slow.collect();
        if !slow.is_empty() && self.wishes.pools.is_empty() {
            self.notes.push(Note {
                message: format!("{} slower than the others and without a shard", are(&slow)),
                fix: "name them in cores.shards, or give them to a pool".into(),
            });
        }
    }
}

impl Core {
    /// One CPU of it, like a core of its own.
    fn with(&self, cpu: usize) -> Self {
        Self { threads: vec![cpu], ..self.clone() }
    }
}

/// The pools that name no CPUs, with their index.
fn choosing(wishes: &Wishes) -> impl Iterator<Item = (usize, &PoolWish)> {
    wishes.pools.iter().enumerate().filter(|(_, pool)| pool.cores.is_none())
}

/// At most `count` cores, the strong ones first; their order stays.
fn strongest(cores: Vec<Core>, count: usize) -> Vec<Core> {
    let mut order: Vec<usize> = (0..cores.len()).collect();
    order.sort_by_key(|&at| !cores[at].fast);
    order.truncate(count);
    order.sort_unstable();
    order.into_iter().map(|at| cores[at].clone()).collect()
}

/// Chooses `count` of the cores so that every cache gets one first and then each its part; the
/// first cores of each.
fn spread<'c>(cores: &[&'c Core], count: usize) -> Vec<&'c Core> {
    let mut caches: BTreeMap<(usize, usize), Vec<&'c Core>> = BTreeMap::new();
    for core in cores {
        caches.entry((core.node, core.l3)).or_default().push(core);
    }
    let caches: Vec<Vec<&Core>> = caches.into_values().collect();
    let mut taken = vec![0; caches.len()];
    for _ in 0..count {
        let open = (0..caches.len()).filter(|&at| taken[at] < caches[at].len());
        // The largest part per shard wins; a fraction compares by cross multiplication.
        let best = open.max_by(|&one, &other| {
            let (left, right) =
                (caches[one].len() * (taken[other] + 1), caches[other].len() * (taken[one] + 1));
            let first = (taken[one] == 0).cmp(&(taken[other] == 0));
            first.then(left.cmp(&right)).then(other.cmp(&one))
        });
        let Some(best) = best else { break };
        taken[best] += 1;
    }
    caches.iter().zip(taken).flat_map(|(cores, taken)| cores[..taken].iter().copied()).collect()
}

/// Deals `count` things to those who want so many each, one at a time.
fn deal(wanted: &[usize], mut count: usize) -> Vec<usize> {
    let mut dealt = vec![0; wanted.len()];
    while count > 0 && dealt.iter().zip(wanted).any(|(has, wants)| has < wants) {
        for (has, wants) in dealt.iter_mut().zip(wanted) {
            if *has < *wants && count > 0 {
                *has += 1;
                count -= 1;
            }
        }
    }
    dealt
}

fn fixed(workers: Workers) -> usize {
    match workers {
        Workers::Auto => 0,
        Workers::Count(count) => count.max(1),
    }
}

/// "CPU 3 is" or "CPUs 3-5 are".
fn are(cpus: &[usize]) -> String {
    match cpus {
        [cpu] => format!("CPU {cpu} is"),
        cpus => format!("CPUs {} are", cpu_list(cpus)),
    }
}

/// Up to so many cores, pools share with shards unless told otherwise.
const SHARE_CORES_MAX: usize = 4;
