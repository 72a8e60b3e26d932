//! Resource limits and what the kernel says about itself.

use std::fs;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A limit that can be raised for this process and its children.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Limit {
    /// Lockable memory in bytes: rings and registered buffers count against it.
    LockedMemory,
    /// Open descriptors.
    OpenFiles,
}

/// Raises the soft limit to the hard one and returns what holds now; `None` is unlimited.
pub fn raise(limit: Limit) -> io::Result<Option<u64>> {
    let resource = limit.resource();
    let hard = getrlimit(resource).maximum;
    setrlimit(resource, Rlimit { current: hard, maximum: hard })?;
    Ok(hard)
}

/// The soft limit; `None` is unlimited.
#[must_use]
pub fn current(limit: Limit) -> Option<u64> {
    getrlimit(limit.resource()).current
}

/// Has this process get its memory in small pages.
///
/// The allocator asks for huge ones. With them a shard's memory grows by 2 MiB at a time: ten
/// thousand idle connections then count for twice what they take.
pub fn use_small_pages() -> io::Result<()> {
    Ok(rustix::thread::disable_transparent_huge_pages(true)?)
}

/// Longest accept queue that the kernel allows a listener.
pub fn somaxconn() -> io::Result<u32> {
    let text = fs::read_to_string("/proc/sys/net/core/somaxconn")?;
    text.trim().parse().map_err(io::Error::other)
}

/// Memory that the machine could give without swapping; `None` where the kernel does not say.
#[must_use]
pub fn available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kibibytes = value_of(&text, "MemAvailable:")?;
    kibibytes.checked_mul(1024)
}

/// How many processes of the machine the kernel has ended for lack of memory; `None` where it does
/// not say.
#[must_use]
pub fn ended_for_lack() -> Option<u64> {
    value_of(&fs::read_to_string("/proc/vmstat").ok()?, "oom_kill")
}

/// The number behind a name that stands at the beginning of a line.
fn value_of(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::split_whitespace);
    let mut line = lines.find(|words| words.clone().next() == Some(name))?;
    line.nth(1)?.parse().ok()
}

/// The kernel's release, for people: features are probed, never read from here.
#[must_use]
pub fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

impl Limit {
    fn resource(self) -> Resource {
        match self {
            Self::LockedMemory => Resource::Memlock,
            Self::OpenFiles => Resource::Nofile,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_reaches_the_hard_one() {
        let hard = raise(Limit::OpenFiles).unwrap();
        assert_eq!(current(Limit::OpenFiles), hard);
    }

    #[test]
    fn the_kernel_answers() {
        assert!(somaxconn().unwrap() > 0);
        assert!(available().unwrap() > 1 << 20);
        ended_for_lack().unwrap();
        assert_eq!(value_of("oom_kill_x 1\noom_kill 7\n", "oom_kill"), Some(7));
        assert_eq!(value_of("oom_kill x\n", "oom_kill"), None);
        assert!(!kernel_release().is_empty());
    }
}
