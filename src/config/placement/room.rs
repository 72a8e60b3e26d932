//! What there is to share out: physical cores, without the reserve.

use std::collections::{BTreeMap, BTreeSet};

use super::budget::Budget;
use super::{Clash, Note, PoolWish, Share, Smt, Wish, Wishes};
use crate::config::cpus::{CpuWish, Reserve, cpu_list};
use crate::config::fault::{RESERVE_TAKES_ALL, TOO_MANY_SHARDS};
use crate::config::machine::{Cpu, Machine};

/// Cores to share out.
pub(super) struct Room {
    /// By node, cache and number.
    pub(super) cores: Vec<Core>,
    pub(super) reserved: Vec<usize>,
    pub(super) usable: Vec<usize>,
    pub(super) notes: Vec<Note>,
}

/// A physical core with those of its CPUs that may be used.
#[derive(Clone, Debug)]
pub(super) struct Core {
    pub(super) node: usize,
    pub(super) l3: usize,
    /// Fit for shards: at least 80 % as strong as the strongest.
    pub(super) fast: bool,
    /// Its CPUs, ascending; never empty.
    pub(super) threads: Vec<usize>,
}

impl Room {
    pub(super) fn new(
        machine: &Machine,
        wishes: &Wishes,
        usable: Vec<usize>,
        budget: &Budget,
        clashes: &mut Vec<Clash>,
    ) -> Self {
        let mut room = Self {
            cores: cores(machine, &usable),
            reserved: Vec::new(),
            usable,
            notes: Vec::new(),
        };
        let before = room.cores.clone();
        room.reserve(wishes, budget);
        if room.cores.is_empty() && !before.is_empty() {
            let message = format!("cores.reserve = {} leaves no CPU to work on", wishes.reserve);
            let fix = "reserve fewer, or leave it at \"auto\"".into();
            clashes.push(Clash::new(RESERVE_TAKES_ALL, Wish::Reserve, message, fix));
        } else if let CpuWish::Count(count) = wishes.shards {
            let fitting = cpus_for_shards(&room.cores, wishes);
            if count > fitting {
                let reserve_is_it = count <= cpus_for_shards(&before, wishes);
                clashes.push(room.too_many(count, fitting, wishes, reserve_is_it));
            }
        }
        if room.cores.is_empty() {
            // Nothing is known. One floating process of each kind is right on any machine.
            room.cores.push(Core { node: 0, l3: 0, fast: true, threads: vec![0] });
        }
        room
    }

    fn reserve(&mut self, wishes: &Wishes, budget: &Budget) {
        match &wishes.reserve {
            Reserve::List(cpus) => self.take(cpus),
            Reserve::PerNode(count) => {
                let cpus = self.per_node(wishes, *count, 0);
                self.take(&cpus);
            }
            Reserve::Auto if self.cores.len() < RESERVE_FROM || budget.floating.is_some() => {}
            Reserve::Auto => {
                // A node of which we have one core keeps it.
                let cpus = self.per_node(wishes, 1, 1);
                let left = self.cores.iter().filter(|core| !cpus.contains(&core.threads[0]));
                match wishes.shards {
                    CpuWish::Count(count) if count > left.count() => self.notes.push(Note {
                        message: format!("no CPU is reserved: {count} shards need them all"),
                        fix: String::new(),
                    }),
                    _ => self.take(&cpus),
                }
            }
        }
    }

    /// So many cores of each node that nobody names, the slower and lower ones first, but at
    /// least `left` of them stay.
    fn per_node(&self, wishes: &Wishes, count: usize, left: usize) -> Vec<usize> {
        let named = named(wishes);
        let mut nodes: BTreeMap<usize, Vec<&Core>> = BTreeMap::new();
        for core in self.cores.iter().filter(|core| !core.threads.iter().any(|t| named.contains(t)))
        {
            nodes.entry(core.node).or_default().push(core);
        }
        let mut cpus = Vec::new();
        for cores in nodes.values_mut() {
            cores.sort_by_key(|core| (core.fast, core.threads[0]));
            let taken = count.min(cores.len().saturating_sub(left));
            cpus.extend(cores[..taken].iter().flat_map(|core| &core.threads));
        }
        cpus.sort_unstable();
        cpus
    }

    fn take(&mut self, cpus: &[usize]) {
        for core in &mut self.cores {
            core.threads.retain(|cpu| !cpus.contains(cpu));
        }
        self.cores.retain(|core| !core.threads.is_empty());
        self.reserved = cpus.iter().copied().filter(|cpu| self.usable.contains(cpu)).collect();
    }

    /// `reserve_is_it`: they would fit if nothing was reserved.
    fn too_many(
        &self,
        count: usize,
        fitting: usize,
        wishes: &Wishes,
        reserve_is_it: bool,
    ) -> Clash {
        let usable = self.usable.len();
        let noun = if usable == 1 { "CPU" } else { "CPUs" };
        let shards = if count == 1 { "1 shard does" } else { &format!("{count} shards do") };
        let mut place = format!("on {usable} usable {noun}");
        if fitting != usable {
            place += &format!(", of which {fitting} can be had");
        }
        if wishes.smt == Smt::One {
            place += ", one of each core (cores.smt = \"one\")";
        }
        let message = format!("{shards} not fit {place}");
        let fix = match fitting {
            0 => format!("leave some of the CPUs {} to the shards", cpu_list(&self.usable)),
            _ => format!("write \"auto\" or at most {fitting}; usable: {}", cpu_list(&self.usable)),
        };
        let pool = wishes.pools.iter().position(claims_alone);
        let other = match pool {
            _ if reserve_is_it => Some((Wish::Reserve, "reserved here".to_owned())),
            Some(pool) => Some((Wish::PoolCores(pool), "claimed here".to_owned())),
            None => None,
        };
        let note = "each shard has a CPU of its own".to_owned();
        Clash { other, note, ..Clash::new(TOO_MANY_SHARDS, Wish::Shards, message, fix) }
    }
}

/// The usable CPUs as cores.
fn cores(machine: &Machine, usable: &[usize]) -> Vec<Core> {
    let cpus: Vec<&Cpu> = usable.iter().filter_map(|&cpu| machine.cpu(cpu)).collect();
    let top = cpus.iter().map(|cpu| cpu.capacity).max().unwrap_or(1);
    let mut cores: BTreeMap<usize, Core> = BTreeMap::new();
    for cpu in cpus {
        let fast = u64::from(cpu.capacity) * 100 >= u64::from(top) * FAST_PERCENT;
        let core = Core { node: cpu.node, l3: cpu.l3, fast, threads: Vec::new() };
        cores.entry(cpu.core).or_insert(core).threads.push(cpu.number);
    }
    let mut cores: Vec<Core> = cores.into_values().collect();
    cores.sort_by_key(|core| (core.node, core.l3, core.threads[0]));
    cores
}

/// How many shards could have a CPU of their own.
fn cpus_for_shards(cores: &[Core], wishes: &Wishes) -> usize {
    let alone = wishes.pools.iter().filter(|pool| claims_alone(pool));
    let alone: BTreeSet<usize> = alone.flat_map(|pool| &pool.cores).flatten().copied().collect();
    let free = cores.iter().map(|core| {
        let free = core.threads.iter().filter(|cpu| !alone.contains(cpu)).count();
        if wishes.smt == Smt::One { free.min(1) } else { free }
    });
    free.sum()
}

fn claims_alone(pool: &PoolWish) -> bool {
    pool.cores.is_some() && pool.share != Share::On
}

/// All CPUs that somebody names, the reserve excepted.
pub(super) fn named(wishes: &Wishes) -> BTreeSet<usize> {
    let shards = match &wishes.shards {
        CpuWish::List(cpus) => cpus.as_slice(),
        CpuWish::Auto | CpuWish::Count(_) => &[],
    };
    let pools = wishes.pools.iter().filter_map(|pool| pool.cores.as_ref()).flatten();
    shards.iter().chain(pools).copied().collect()
}

/// Below so many cores none is reserved.
const RESERVE_FROM: usize = 8;
/// Shards run on cores of at least this part of the top capacity.
pub(in crate::config) const FAST_PERCENT: u64 = 80;
