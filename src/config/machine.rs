//! What the machine offers: pure data, so that a placement can be tried on any machine.

use std::io;
use std::path::Path;

use serde::Serialize;

use super::cpus::cpu_list;
use crate::sys::topology::Topology;
use crate::sys::{affinity, cgroup, procfs, topology};

pub use crate::sys::cgroup::{Cpuset, MemoryLimit, Quota};
pub use crate::sys::topology::Cpu;

/// The CPUs, and what of them this process may use.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Machine {
    /// CPUs that are online, ascending.
    pub cpus: Vec<Cpu>,
    /// CPUs that are there and offline, ascending.
    pub offline: Vec<usize>,
    /// CPUs in the affinity mask, ascending.
    pub mask: Vec<usize>,
    /// CPUs that the control group allows.
    pub cpuset: Option<Cpuset>,
    /// CPU time that the control group allows.
    pub quota: Option<Quota>,
    /// Memory that the control group allows.
    pub memory: Option<MemoryLimit>,
    /// What could not be read.
    pub notes: Vec<String>,
}

impl Machine {
    /// Asks the kernel.
    ///
    /// # Errors
    /// When it does not even say which CPUs this process may use.
    pub fn read() -> io::Result<Self> {
        let mut machine = Self::read_below(Path::new("/"));
        if machine.mask.is_empty() {
            machine.mask = affinity::allowed()?;
            machine.complete();
        }
        Ok(machine)
    }

    /// Reads the files of the kernel below `root`. What is missing there is left empty.
    #[must_use]
    pub fn read_below(root: &Path) -> Self {
        let Topology { cpus, offline } = topology::read(root);
        let limits = cgroup::read(root);
        let mut machine = Self {
            cpus,
            offline,
            mask: procfs::allowed_cpus(root).unwrap_or_default(),
            cpuset: limits.cpuset,
            quota: limits.quota,
            memory: limits.memory,
            notes: limits.notes,
        };
        machine.complete();
        machine
    }

    /// Settles what contradicts itself. The mask comes from the kernel and is inside of the
    /// cpuset; without /sys it alone counts.
    fn complete(&mut self) {
        if !self.mask.iter().any(|&cpu| self.cpu(cpu).is_some()) {
            self.cpus = self.mask.iter().copied().map(lone_cpu).collect();
            self.offline.clear();
        }
        let online: Vec<usize> = self.cpus.iter().map(|cpu| cpu.number).collect();
        let allowed = |cpu: &usize| self.mask.contains(cpu) && online.contains(cpu);
        let foreign = |cpuset: &Cpuset| {
            let excluded = |cpu: &&usize| allowed(cpu) && !cpuset.cpus.contains(cpu);
            online.iter().any(|cpu| excluded(&cpu))
        };
        if let Some(cpuset) = self.cpuset.take_if(|cpuset| foreign(cpuset)) {
            let cpus = cpu_list(&cpuset.cpus);
            self.notes.push(format!("{} ({cpus}) is not what holds for this process", cpuset.path));
        }
    }

    /// A machine whose CPUs are all alike.
    #[cfg(test)]
    pub(crate) fn uniform(online: &[usize], mask: &[usize]) -> Self {
        let cpus = online.iter().copied().map(lone_cpu).collect();
        Self { cpus, mask: mask.to_vec(), ..Self::default() }
    }

    /// The CPU with this number, if it is online.
    #[must_use]
    pub fn cpu(&self, number: usize) -> Option<&Cpu> {
        let at = self.cpus.binary_search_by_key(&number, |cpu| cpu.number).ok()?;
        Some(&self.cpus[at])
    }

    /// CPUs that this process may use, ascending.
    #[must_use]
    pub fn usable(&self) -> Vec<usize> {
        let numbers = self.cpus.iter().map(|cpu| cpu.number);
        numbers.filter(|&number| self.why_unusable(number).is_none()).collect()
    }

    /// Why a CPU cannot be used; `None` when it can.
    #[must_use]
    pub fn why_unusable(&self, number: usize) -> Option<Unusable> {
        if self.offline.contains(&number) {
            Some(Unusable::Offline)
        } else if self.cpu(number).is_none() {
            Some(Unusable::Missing)
        } else if self.cpuset.as_ref().is_some_and(|cpuset| !cpuset.cpus.contains(&number)) {
            Some(Unusable::Cpuset)
        } else if !self.mask.contains(&number) {
            Some(Unusable::Mask)
        } else {
            None
        }
    }
}

/// Why a CPU cannot be used by this process.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Unusable {
    /// The cpuset of the control group excludes it. The mask then does so too.
    Cpuset,
    /// The affinity mask excludes it.
    Mask,
    /// There is no such CPU.
    Missing,
    /// It is switched off.
    Offline,
}

/// A CPU of which only the number is known.
fn lone_cpu(number: usize) -> Cpu {
    Cpu { number, core: number, l3: 0, node: 0, capacity: topology::CAPACITY_MAX }
}
