//! A control group for a server, where the machine lets the test make one.

use std::ffi::CString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A group with a limit of CPU time; gone when it is dropped, once its processes are.
#[derive(Debug)]
pub(crate) struct Group {
    folder: PathBuf,
}

impl Group {
    /// A group whose processes get so many thousandths of a CPU together. None where nobody may
    /// make one: without root, and in most containers.
    pub(crate) fn of_cpu_time(thousandths: u64) -> Option<Group> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("corewise-test-{}-{count}", std::process::id());
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let mounts = mounts.lines().filter_map(cpu_mount);
        mounts.map(|mount| mount.join(&name)).find_map(|folder| {
            fs::create_dir(&folder).ok()?;
            let group = Group { folder };
            group.limit(thousandths).ok()?;
            Some(group)
        })
    }

    /// The file that takes processes in.
    pub(crate) fn entrance(&self) -> CString {
        let path = self.folder.join("cgroup.procs").into_os_string();
        CString::new(path.into_encoded_bytes()).expect("a path holds no zero byte")
    }

    fn limit(&self, thousandths: u64) -> io::Result<()> {
        let quota = 100 * thousandths;
        let (file, text) = if self.folder.join("cpu.max").exists() {
            ("cpu.max", format!("{quota} 100000"))
        } else {
            ("cpu.cfs_quota_us", quota.to_string())
        };
        fs::OpenOptions::new().write(true).open(self.folder.join(file)).and_then(|mut file| {
            use io::Write as _;
            file.write_all(text.as_bytes())
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // One that a failing test leaves processes in stays; it limits nobody else.
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Where a line of mountinfo mounts what limits CPU time, of either version.
fn cpu_mount(line: &str) -> Option<&Path> {
    let (left, right) = line.split_once(" - ")?;
    let words: Vec<&str> = right.split(' ').collect();
    let limits = match words[..] {
        ["cgroup", _, options] => options.split(',').any(|option| option == "cpu"),
        ["cgroup2", ..] => true,
        _ => false,
    };
    left.split(' ').nth(4).filter(|_| limits).map(Path::new)
}
