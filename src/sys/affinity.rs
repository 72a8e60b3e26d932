//! Which CPUs there are, which of them this process may use, and pinning to one or to some.

use std::io;

use core_affinity::CoreId;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// CPUs that the affinity mask (and with it the cpuset) allows this process, ascending.
pub fn allowed() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// Pins the calling thread, and every thread that it starts later, to one CPU.
pub fn pin(cpu: usize) -> io::Result<()> {
    if core_affinity::set_for_current(CoreId { id: cpu }) {
        return Ok(());
    }
    // core_affinity hides the reason; the same call through the kernel's own set names it.
    pin_to(&[cpu])
}

/// Lets the calling thread, and every thread that it starts later, run on these CPUs only.
pub fn pin_to(cpus: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        if cpu >= CpuSet::MAX_CPU {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        set.set(cpu);
    }
    Ok(sched_setaffinity(None, &set)?)
}

/// The same, unless it is so already: a mask that was never set follows the cpuset when that
/// grows, one that was set does not.
pub fn confine_to(cpus: &[usize]) -> io::Result<()> {
    if allowed().is_ok_and(|allowed| allowed == cpus) { Ok(()) } else { pin_to(cpus) }
}

/// Parses the kernel's list form: `0-3,8,10-11`.
pub(super) fn parse_kernel_list(text: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last < first || last >= CpuSet::MAX_CPU {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_lists() {
        assert_eq!(parse_kernel_list("0-1"), Some(vec![0, 1]));
        assert_eq!(parse_kernel_list("0,2-4,9"), Some(vec![0, 2, 3, 4, 9]));
        assert_eq!(parse_kernel_list(""), Some(vec![]));
        assert_eq!(parse_kernel_list("3-1"), None);
        assert_eq!(parse_kernel_list("0-x"), None);
        assert_eq!(parse_kernel_list("0-99999999"), None);
    }

    #[test]
    fn pinning_is_read_back() {
        let before = allowed().unwrap();
        assert!(!before.is_empty());
        let cpu = *before.last().unwrap();
        // A thread of its own: the pin must not leak into other tests.
        let seen = std::thread::spawn(move || {
            confine_to(&[cpu]).unwrap();
            let confined = allowed().unwrap();
            pin(cpu).unwrap();
            confine_to(&[cpu]).unwrap();
            assert_eq!(confined, allowed().unwrap());
            confined
        });
        assert_eq!(seen.join().unwrap(), vec![cpu]);
        assert_eq!(allowed().unwrap(), before);
    }

    #[test]
    fn a_cpu_that_does_not_exist_is_an_error() {
        std::thread::spawn(|| {
            assert!(pin(CpuSet::MAX_CPU - 1).is_err());
            assert!(pin_to(&[CpuSet::MAX_CPU]).is_err());
        })
        .join()
        .unwrap();
    }
}
