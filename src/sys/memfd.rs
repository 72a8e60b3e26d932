//! Anonymous shared memory with a size that nobody can change.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use memmap2::{Advice, MmapOptions, MmapRaw};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fstat, ftruncate, memfd_create};
use rustix::io::Errno;

/// Makes shared memory of `bytes`, all zero, that can be sealed. `name` is for people.
pub fn create(name: &str, bytes: u64) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = match memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        // The kernel is older than 6.3 and does not know the last flag.
        Err(Errno::INVAL) => memfd_create(name, flags)?,
        other => other?,
    };
    ftruncate(&fd, bytes)?;
    Ok(fd)
}

/// The size of a file.
pub fn size(fd: impl AsFd) -> io::Result<u64> {
    Ok(u64::try_from(fstat(fd)?.st_size).unwrap_or(0))
}

/// What nobody can do any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Seal {
    /// Change the size.
    Size,
    /// Change the size, or map it anew for writing. Mappings that exist are as before.
    SizeAndWriting,
}

/// Seals memory, for good and in one step: a seal that is to come later comes too late.
pub fn seal(fd: impl AsFd, seal: Seal) -> io::Result<()> {
    let size = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    let seals = match seal {
        Seal::Size => size,
        Seal::SizeAndWriting => size | SealFlags::FUTURE_WRITE,
    };
    Ok(fcntl_add_seals(fd, seals)?)
}

/// Shared memory as this process sees it.
#[derive(Debug)]
pub struct Mapping {
    map: MmapRaw,
    writable: bool,
}

impl Mapping {
    /// Maps all of it for reading and writing.
    pub fn writable(fd: impl AsFd, bytes: usize) -> io::Result<Self> {
        let map = MmapOptions::new().len(bytes).map_raw(&fd.as_fd())?;
        Ok(Self { map, writable: true })
    }

    /// Maps all of it for reading. Of memory that is sealed against writing such a mapping can
    /// never be made writable.
    pub fn read_only(fd: impl AsFd, bytes: usize) -> io::Result<Self> {
        let map = MmapOptions::new().len(bytes).map_raw_read_only(&fd.as_fd())?;
        Ok(Self { map, writable: false })
    }

    /// Its first byte. The memory is page-aligned and stays mapped while this value lives; other
    /// processes may change it at any time.
    #[must_use]
    pub fn as_ptr(&self) -> *mut u8 {
        self.map.as_mut_ptr()
    }

    /// Its length.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.map.len()
    }

    /// False for one that can only be read.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// Has the kernel find the memory now. What it cannot find is an error here, where a first
    /// access would have been the end of the process.
    pub fn populate(&self, offset: usize, bytes: usize) -> io::Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        self.map.advise_range(Advice::PopulateWrite, offset, bytes)
    }

    /// Keeps the memory out of the processes that this one forks: they end when they touch it.
    pub fn keep_from_children(&self) -> io::Result<()> {
        self.map.advise(Advice::DontFork)
    }

    /// Keeps the memory out of core dumps.
    pub fn keep_from_dumps(&self) -> io::Result<()> {
        self.map.advise(Advice::DontDump)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::mm::{MprotectFlags, mprotect};

    const BYTES: usize = 8192;

    /// Tries to make a mapping writable.
    fn unprotect(mapping: &Mapping) -> rustix::io::Result<()> {
        let flags = MprotectFlags::READ | MprotectFlags::WRITE;
        // SAFETY: the range is exactly the mapping, which lives; nothing refers to its bytes.
        unsafe { mprotect(mapping.as_ptr().cast(), mapping.bytes(), flags) }
    }

    #[test]
    fn sizes_are_sealed() {
        let fd = create("corewise-test", BYTES as u64).unwrap();
        assert_eq!(size(&fd).unwrap(), BYTES as u64);
        seal(&fd, Seal::Size).unwrap();
        assert_eq!(ftruncate(&fd, 4096), Err(Errno::PERM));
        assert_eq!(ftruncate(&fd, 16_384), Err(Errno::PERM));
        assert!(seal(&fd, Seal::SizeAndWriting).is_err(), "no seal comes later");
        Mapping::writable(&fd, BYTES).unwrap();
    }

    #[test]
    fn writing_is_sealed_but_for_who_had_it() {
        let fd = create("corewise-test", BYTES as u64).unwrap();
        let writer = Mapping::writable(&fd, BYTES).unwrap();
        let early = Mapping::read_only(&fd, BYTES).unwrap();
        seal(&fd, Seal::SizeAndWriting).unwrap();
        assert!(Mapping::writable(&fd, BYTES).is_err());
        let late = Mapping::read_only(&fd, BYTES).unwrap();
        assert_eq!(unprotect(&late), Err(Errno::ACCESS));
        // This is why what was inherited is mapped afresh.
        unprotect(&early).unwrap();
        // SAFETY: the first byte of a mapping for writing of BYTES bytes that lives.
        unsafe { writer.as_ptr().write_volatile(7) };
        // SAFETY: the first byte of a mapping of BYTES bytes that lives.
        assert_eq!(unsafe { late.as_ptr().read_volatile() }, 7);
    }

    #[test]
    fn memory_that_cannot_be_found_is_an_error_and_no_signal() {
        // Behind the end of the file there is none: to touch it would be SIGBUS.
        let fd = create("corewise-test", 4096).unwrap();
        let mapping = Mapping::writable(&fd, BYTES).unwrap();
        mapping.populate(0, 4096).unwrap();
        mapping.populate(4096, 0).unwrap();
        assert!(mapping.populate(0, BYTES).is_err());
        mapping.keep_from_dumps().unwrap();
    }
}
