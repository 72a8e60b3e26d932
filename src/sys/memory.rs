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
        assert!(!kernel_release().is_empty());
    }
}
