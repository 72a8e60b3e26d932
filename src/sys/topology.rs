//! How the CPUs of this machine lie: cores, caches, nodes, and how strong each is.
//!
//! Read from sysfs below a root directory, "/" in production. Whatever is missing or malformed
//! becomes something safe: a CPU without siblings, one cache per node, one node, equal strength.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::affinity::parse_kernel_list;

/// All CPUs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Topology {
    /// Those that are online, ascending; empty when the kernel does not say.
    pub cpus: Vec<Cpu>,
    /// Those that are there and offline, ascending.
    pub offline: Vec<usize>,
}

/// One CPU that is online.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Cpu {
    /// Its number.
    pub number: usize,
    /// Its physical core, counted from 0: CPUs with the same one are siblings.
    pub core: usize,
    /// Its last cache (L3 where there is one), counted from 0 over the machine; never on two
    /// nodes.
    pub l3: usize,
    /// Its NUMA node, by the kernel's number.
    pub node: usize,
    /// How strong it is, where the strongest of the machine has 1024.
    pub capacity: u32,
}

/// The capacity of the strongest CPU.
pub const CAPACITY_MAX: u32 = 1024;

/// Reads the CPUs below `root`.
#[must_use]
pub fn read(root: &Path) -> Topology {
    let reader =
        Reader { system: root.join("sys/devices/system"), devices: root.join("sys/devices") };
    let online = reader.list("cpu/online").unwrap_or_default();
    let present = reader.list("cpu/present").or_else(|| reader.list("cpu/possible"));
    let offline = present.unwrap_or_default().into_iter().filter(|cpu| !online.contains(cpu));
    Topology { offline: offline.collect(), cpus: reader.cpus(&online) }
}

struct Reader {
    /// /sys/devices/system.
    system: PathBuf,
    /// /sys/devices.
    devices: PathBuf,
}

impl Reader {
    fn cpus(&self, online: &[usize]) -> Vec<Cpu> {
        let nodes = self.nodes();
        let cores = self.cores(online);
        let caches = self.caches(online, &cores);
        let capacities = self.capacities(online);
        let node_of = |cpu: &usize| nodes.get(cpu).copied().unwrap_or(0);
        // A cache may reach over two nodes (sub-NUMA clustering); what we call one does not.
        let domain_of =
            |cpu: &usize| (node_of(cpu), caches.get(cpu).copied().unwrap_or(usize::MAX));
        let domains = ranks(online.iter().map(domain_of));
        let core_ranks = ranks(online.iter().map(|cpu| cores[cpu]));
        let cpus = online.iter().map(|cpu| Cpu {
            number: *cpu,
            core: core_ranks[&cores[cpu]],
            l3: domains[&domain_of(cpu)],
            node: node_of(cpu),
            capacity: capacities.get(cpu).copied().unwrap_or(CAPACITY_MAX),
        });
        cpus.collect()
    }

    fn nodes(&self) -> BTreeMap<usize, usize> {
        let mut nodes = BTreeMap::new();
        for node in self.list("node/online").unwrap_or_default() {
            for cpu in self.list(&format!("node/node{node}/cpulist")).unwrap_or_default() {
                nodes.insert(cpu, node);
            }
        }
        nodes
    }

    /// For each CPU the first of its core.
    fn cores(&self, online: &[usize]) -> BTreeMap<usize, usize> {
        let mut cores = BTreeMap::new();
        let mut by_ids = BTreeMap::new();
        for &cpu in online {
            if cores.contains_key(&cpu) {
                continue;
            }
            let siblings =
                ["core_cpus_list", "thread_siblings_list"].into_iter().find_map(|name| {
                    let list = self.list(&format!("cpu/cpu{cpu}/topology/{name}"))?;
                    list.contains(&cpu).then_some(list)
                });
            match siblings {
                Some(siblings) => take_group(&mut cores, online, cpu, &siblings),
                None => {
                    let first = self.core_ids(cpu).map(|ids| *by_ids.entry(ids).or_insert(cpu));
                    cores.insert(cpu, first.unwrap_or(cpu));
                }
            }
        }
        cores
    }

    /// What names a core where siblings are not listed.
    fn core_ids(&self, cpu: usize) -> Option<[i64; 4]> {
        let id = |name: &str| self.number::<i64>(&format!("cpu/cpu{cpu}/topology/{name}"));
        let core = id("core_id").filter(|&core| core >= 0)?;
        let [package, die, cluster] =
            ["physical_package_id", "die_id", "cluster_id"].map(|name| id(name).unwrap_or(-1));
        Some([package, die, cluster, core])
    }

    /// For each CPU the first one that shares its last cache; absent where no cache is known that
    /// several cores share.
    fn caches(&self, online: &[usize], cores: &BTreeMap<usize, usize>) -> BTreeMap<usize, usize> {
        let mut caches = BTreeMap::new();
        for &cpu in online {
            if caches.contains_key(&cpu) {
                continue;
            }
            let Some((level, sharers)) = self.last_cache(cpu) else { continue };
            // A second-level cache that belongs to one core says nothing about its neighbours.
            let is_common = sharers.iter().any(|other| cores.get(other) != cores.get(&cpu));
            if level >= 3 || is_common {
                take_group(&mut caches, online, cpu, &sharers);
            }
        }
        caches
    }

    /// The third level, or the last one before it.
    fn last_cache(&self, cpu: usize) -> Option<(u32, Vec<usize>)> {
        let caches = (0..CACHES_MAX).map(|index| format!("cpu/cpu{cpu}/cache/index{index}"));
        let levels = caches.map_while(|folder| {
            let level: u32 = self.number(&format!("{folder}/level"))?;
            Some((level, folder))
        });
        let (level, folder) = levels.filter(|(level, _)| (2..=3).contains(level)).max()?;
        let sharers = self.list(&format!("{folder}/shared_cpu_list"))?;
        sharers.contains(&cpu).then_some((level, sharers))
    }

    /// Strength by the scheduler's own figures, by kind (hybrid chips of Intel), or by frequency.
    fn capacities(&self, online: &[usize]) -> BTreeMap<usize, u32> {
        let by_file = |name: &str| {
            let read = |&cpu: &usize| Some((cpu, self.number(&format!("cpu/cpu{cpu}/{name}"))?));
            // All CPUs have such a file or none has.
            let found: Option<BTreeMap<usize, u64>> = online.iter().map(read).collect();
            found.filter(|found| found.values().all(|&value| value > 0))
        };
        let found = by_file("cpu_capacity")
            .or_else(|| self.kinds(online))
            .or_else(|| by_file("cpufreq/base_frequency"))
            .or_else(|| by_file("cpufreq/cpuinfo_max_freq"))
            .unwrap_or_default();
        let top = found.values().copied().max().unwrap_or(1);
        let scale = |value: u64| u128::from(value) * u128::from(CAPACITY_MAX) / u128::from(top);
        let scaled = found.into_iter().map(|(cpu, value)| {
            (cpu, u32::try_from(scale(value)).expect("no value is above the top").max(1))
        });
        scaled.collect()
    }

    /// Performance cores and the others, of chips that say no more than that.
    fn kinds(&self, online: &[usize]) -> Option<BTreeMap<usize, u64>> {
        let strong = kernel_list(&self.devices.join("cpu_core/cpus"))?;
        let weight = |cpu| if strong.contains(cpu) { STRONG } else { EFFICIENT };
        Some(online.iter().map(|cpu| (*cpu, weight(cpu))).collect())
    }

    fn list(&self, path: &str) -> Option<Vec<usize>> {
        kernel_list(&self.system.join(path))
    }

    fn number<T: std::str::FromStr>(&self, path: &str) -> Option<T> {
        fs::read_to_string(self.system.join(path)).ok()?.trim().parse().ok()
    }
}

/// Puts the CPUs of `members` into one group, named after its first member that is online.
fn take_group(
    groups: &mut BTreeMap<usize, usize>,
    online: &[usize],
    cpu: usize,
    members: &[usize],
) {
    for &member in members.iter().filter(|member| online.binary_search(member).is_ok()) {
        // Lists that contradict each other: the first one counts.
        groups.entry(member).or_insert(cpu);
    }
}

/// Counts different things from 0, in the order of their values.
fn ranks<T: Ord + Copy>(things: impl Iterator<Item = T>) -> BTreeMap<T, usize> {
    let distinct: BTreeSet<T> = things.collect();
    distinct.into_iter().enumerate().map(|(rank, thing)| (thing, rank)).collect()
}

fn kernel_list(path: &Path) -> Option<Vec<usize>> {
    let mut list = parse_kernel_list(fs::read_to_string(path).ok()?.trim())?;
    list.sort_unstable();
    list.dedup();
    Some(list)
}

/// More caches than this no CPU has.
const CACHES_MAX: usize = 8;
/// What the kinds of a hybrid chip count where nothing else is known: an efficient core does
/// about half of the work of a strong one.
const STRONG: u64 = 2;
const EFFICIENT: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine of a few files below /sys/devices.
    fn machine(files: &[(&str, &str)]) -> Topology {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join("sys/devices").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        read(root.path())
    }

    #[track_caller]
    fn check(files: &[(&str, &str)], value: fn(&Cpu) -> usize, expected: &[usize]) {
        let found: Vec<usize> = machine(files).cpus.iter().map(value).collect();
        assert_eq!(found, expected);
    }

    const FOUR: (&str, &str) = ("system/cpu/online", "0-3\n");

    #[test]
    fn a_kernel_that_says_nothing() {
        assert_eq!(machine(&[]), Topology::default());
        assert_eq!(machine(&[("system/cpu/online", "garbage")]), Topology::default());
        let cpus = machine(&[FOUR]).cpus;
        assert!(cpus.iter().all(|cpu| cpu.l3 == 0 && cpu.node == 0));
        assert!(cpus.iter().all(|cpu| cpu.core == cpu.number && cpu.capacity == CAPACITY_MAX));
    }

    #[test]
    fn cores_without_lists_of_siblings() {
        let ids = |cpu: usize, core: &'static str, package: &'static str| {
            let folder = format!("system/cpu/cpu{cpu}/topology");
            [
                (format!("{folder}/core_id"), core),
                (format!("{folder}/physical_package_id"), package),
            ]
        };
        let files = [ids(0, "0", "0"), ids(1, "0", "1"), ids(2, "0", "0"), ids(3, "-1", "0")];
        let mut files: Vec<(&str, &str)> =
            files.iter().flatten().map(|(path, id)| (path.as_str(), *id)).collect();
        files.push(FOUR);
        check(&files, |cpu| cpu.core, &[0, 1, 0, 2]);
    }

    #[test]
    fn lists_that_lie_are_left_aside() {
        let lies = ("system/cpu/cpu0/topology/core_cpus_list", "7-9");
        let honest = ("system/cpu/cpu0/topology/thread_siblings_list", "0,2,99");
        check(&[FOUR, lies, honest], |cpu| cpu.core, &[0, 1, 0, 2]);
        let overlapping = ("system/cpu/cpu1/topology/core_cpus_list", "0-3");
        check(&[FOUR, honest, overlapping], |cpu| cpu.core, &[0, 1, 0, 1]);
    }

    #[test]
    fn caches() {
        let level = |text: &'static str| ("system/cpu/cpu0/cache/index0/level", text);
        let cpus = |text: &'static str| ("system/cpu/cpu0/cache/index0/shared_cpu_list", text);
        check(&[FOUR, level("3"), cpus("0-1")], |cpu| cpu.l3, &[0, 0, 1, 1]);
        check(&[FOUR, level("2"), cpus("0-2")], |cpu| cpu.l3, &[0, 0, 0, 1]);
        // One core's own second level, a first level, a list that lies: the node counts.
        check(&[FOUR, level("2"), cpus("0")], |cpu| cpu.l3, &[0, 0, 0, 0]);
        check(&[FOUR, level("1"), cpus("0-1")], |cpu| cpu.l3, &[0, 0, 0, 0]);
        check(&[FOUR, level("3"), cpus("2-3")], |cpu| cpu.l3, &[0, 0, 0, 0]);
        check(&[FOUR, level("x"), cpus("0-1")], |cpu| cpu.l3, &[0, 0, 0, 0]);
    }

    #[test]
    fn a_cache_on_two_nodes_counts_as_two() {
        let cache = [
            ("system/cpu/cpu0/cache/index0/level", "3"),
            ("system/cpu/cpu0/cache/index0/shared_cpu_list", "0-3"),
        ];
        let nodes = [
            ("system/node/online", "0,2"),
            ("system/node/node0/cpulist", "0,2"),
            ("system/node/node2/cpulist", "1,3"),
        ];
        let files = [&cache[..], &nodes[..], &[FOUR]].concat();
        check(&files, |cpu| cpu.node, &[0, 2, 0, 2]);
        check(&files, |cpu| cpu.l3, &[0, 1, 0, 1]);
    }

    #[test]
    fn capacities() {
        const TWO: (&str, &str) = ("system/cpu/online", "0-1");
        let by = |name: &str, values: [&'static str; 2]| {
            let path = |cpu| format!("system/cpu/cpu{cpu}/{name}");
            let files = [(path(0), values[0]), (path(1), values[1])];
            let files: Vec<(&str, &str)> = files.iter().map(|(p, v)| (p.as_str(), *v)).collect();
            let cpus = machine(&[&[TWO], &files[..]].concat()).cpus;
            cpus.iter().map(|cpu| cpu.capacity).collect::<Vec<_>>()
        };
        assert_eq!(by("cpu_capacity", ["1024", "446"]), [1024, 446]);
        assert_eq!(by("cpufreq/base_frequency", ["3000000", "1500000"]), [1024, 512]);
        assert_eq!(by("cpufreq/cpuinfo_max_freq", ["5000000", "4000000"]), [1024, 819]);
        // Half known is not known, and nothing divides by 0.
        assert_eq!(by("cpu_capacity", ["1024", "much"]), [1024, 1024]);
        assert_eq!(by("cpu_capacity", ["0", "0"]), [1024, 1024]);
        let huge = "18446744073709551615";
        assert_eq!(by("cpu_capacity", [huge, "1"]), [1024, 1]);
        let cpus = machine(&[TWO, ("cpu_core/cpus", "1")]).cpus;
        assert_eq!(cpus.iter().map(|cpu| cpu.capacity).collect::<Vec<_>>(), [512, 1024]);
    }

    #[test]
    fn offline_cpus() {
        let topology = machine(&[("system/cpu/online", "0,2"), ("system/cpu/present", "0-3")]);
        assert_eq!(topology.offline, [1, 3]);
        assert_eq!(topology.cpus.len(), 2);
        let topology = machine(&[("system/cpu/online", "0"), ("system/cpu/possible", "0-1")]);
        assert_eq!(topology.offline, [1]);
    }

    #[test]
    fn this_machine() {
        let cpus = read(Path::new("/")).cpus;
        assert!(cpus.windows(2).all(|pair| pair[0].number < pair[1].number));
    }
}
