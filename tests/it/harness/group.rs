//! A control group for a server, where the machine lets the test make one.

use std::ffi::CString;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A group with a limit; gone when it is dropped, once its processes are.
#[derive(Debug)]
pub(crate) struct Group {
    folder: PathBuf,
}

impl Group {
    /// A group whose processes get so many thousandths of a CPU together. None where nobody may
    /// make one: without root, and in most containers.
    pub(crate) fn of_cpu_time(thousandths: u64) -> Option<Group> {
        let quota = 100 * thousandths;
        let new = [("cpu.max", format!("{quota} 100000"))];
        Self::make("cpu", [&new, &[("cpu.cfs_quota_us", quota.to_string())]])
    }

    /// A group whose processes get so much memory together, and no swap: when one asks for more,
    /// the kernel ends one of them. None as above.
    pub(crate) fn of_memory(bytes: u64) -> Option<Group> {
        let new = [("memory.max", bytes.to_string()), ("memory.swap.max", "0".to_owned())];
        let old = [
            ("memory.limit_in_bytes", bytes.to_string()),
            ("memory.memsw.limit_in_bytes", bytes.to_string()),
        ];
        Self::make("memory", [&new, &old])
    }

    /// With limits as either version writes them.
    fn make(controller: &str, limits: [&[(&str, String)]; 2]) -> Option<Group> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("corewise-test-{}-{count}", std::process::id());
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let mounts = mounts.lines().filter_map(|line| mount_of(line, controller));
        mounts.map(|mount| mount.join(&name)).find_map(|folder| {
            fs::create_dir(&folder).ok()?;
            let group = Group { folder };
            limits.iter().any(|limits| group.limit(limits).is_ok()).then_some(group)
        })
    }

    /// Takes in a process that is there already. What it has counts where it was.
    pub(crate) fn take_in(&self, pid: u32) {
        self.write("cgroup.procs", &pid.to_string()).expect("a group takes processes in");
    }

    /// The file that takes processes in.
    pub(crate) fn entrance(&self) -> CString {
        let path = self.folder.join("cgroup.procs").into_os_string();
        CString::new(path.into_encoded_bytes()).expect("a path holds no zero byte")
    }

    /// The first limit has to be there; a kernel without swap has no others.
    fn limit(&self, limits: &[(&str, String)]) -> io::Result<()> {
        for (number, (file, text)) in limits.iter().enumerate() {
            match self.write(file, text) {
                Err(error) if number > 0 && error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
        Ok(())
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).open(self.folder.join(file))?;
        file.write_all(text.as_bytes())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // One that a failing test leaves processes in stays; it limits nobody else.
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Where a line of mountinfo mounts what limits this, of either version.
fn mount_of<'a>(line: &'a str, controller: &str) -> Option<&'a Path> {
    let (left, right) = line.split_once(" - ")?;
    let words: Vec<&str> = right.split(' ').collect();
    let limits = match words[..] {
        ["cgroup", _, options] => options.split(',').any(|option| option == controller),
        ["cgroup2", ..] => true,
        _ => false,
    };
    left.split(' ').nth(4).filter(|_| limits).map(Path::new)
}
