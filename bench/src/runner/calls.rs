//! System calls of a process tree, counted by the kernel where it enters them.
//!
//! The tracepoint `raw_syscalls:sys_enter` is opened for every task of the tree. That costs at
//! each call, so it is done in a window of its own, from which nothing else is read. Where it is
//! not allowed the quantity is absent: an unknown number of calls is not 0.

use std::fs;
use std::io::{self, Read as _};
use std::os::fd::FromRawFd as _;

use super::usage::{self, Tree};

/// Counters on every task of a tree; tasks that these start are counted with them.
pub(super) struct Counters {
    files: Vec<fs::File>,
}

impl Counters {
    /// Starts counting; the error says what would allow it.
    pub(super) fn open(tree: &Tree) -> Result<Self, String> {
        let event = event_id()?;
        let mut files = Vec::new();
        for process in &tree.processes {
            for task in usage::tasks(*process) {
                match open(event, task) {
                    Ok(file) => files.push(file),
                    // It ended in between and calls nothing any more.
                    Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                    Err(error) => return Err(format!("{UNAVAILABLE}: {error}; {FIX}")),
                }
            }
        }
        Ok(Self { files })
    }

    /// Calls since `open`.
    pub(super) fn read(mut self) -> io::Result<u64> {
        let mut sum = 0;
        for file in &mut self.files {
            let mut count = [0; 8];
            file.read_exact(&mut count)?;
            sum += u64::from_ne_bytes(count);
        }
        Ok(sum)
    }
}

/// The number by which this kernel knows the tracepoint.
fn event_id() -> Result<u64, String> {
    let text = FOLDERS.iter().find_map(|folder| {
        fs::read_to_string(format!("{folder}/events/raw_syscalls/sys_enter/id")).ok()
    });
    let id = text.and_then(|text| text.trim().parse().ok());
    id.ok_or_else(|| format!("{UNAVAILABLE}: the tracepoint cannot be read; {FIX}"))
}

fn open(event: u64, task: u32) -> io::Result<fs::File> {
    let attributes = Attributes {
        kind: TRACEPOINT,
        size: size_of::<Attributes>() as u32,
        event,
        period: 0,
        sample: 0,
        read_format: 0,
        flags: INHERIT,
        wakeup: 0,
        breakpoint: 0,
        more: 0,
    };
    let (any_cpu, no_group) = (-1_i32, -1_i32);
    // SAFETY: perf_event_open reads `size` bytes of the attributes, which is their size, all of
    // them initialised, and they outlive the call. The other arguments are integers.
    let result = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            task.cast_signed(),
            any_cpu,
            no_group,
            CLOSE_ON_EXEC,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let descriptor = i32::try_from(result).expect("descriptors are small");
    // SAFETY: the kernel just gave us this descriptor, and nobody else knows it.
    Ok(unsafe { fs::File::from_raw_fd(descriptor) })
}

/// The first form of the kernel's `perf_event_attr`, which every later kernel reads.
#[repr(C)]
struct Attributes {
    kind: u32,
    size: u32,
    event: u64,
    period: u64,
    sample: u64,
    read_format: u64,
    flags: u64,
    wakeup: u32,
    breakpoint: u32,
    more: u64,
}

const _: () = assert!(size_of::<Attributes>() == 64);

/// `PERF_FLAG_FD_CLOEXEC`.
const CLOSE_ON_EXEC: libc::c_ulong = 1 << 3;
/// `PERF_TYPE_TRACEPOINT`.
const TRACEPOINT: u32 = 2;
/// Tasks that a counted task starts are counted in its counter.
const INHERIT: u64 = 1 << 1;
const FOLDERS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
const UNAVAILABLE: &str = "system calls are not counted";
const FIX: &str = "run as root, with tracefs mounted";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_or_the_reason_is_said() {
        let own = usage::tree(&[std::process::id()]).unwrap();
        match Counters::open(&own) {
            Ok(counters) => {
                for _ in 0..1000 {
                    std::hint::black_box(rustix::process::getppid());
                }
                let count = counters.read().unwrap();
                // Other tests run in this process, too.
                assert!(count >= 1000, "{count}");
            }
            Err(reason) => assert!(reason.contains("root"), "{reason}"),
        }
    }
}
