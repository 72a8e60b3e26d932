//! What the control groups around this process allow it: CPU time, CPUs, memory.
//!
//! Both versions are read, also side by side. A limit may stand in any group between ours and the
//! root that we can see, so the way up is walked and the smallest one counts. All paths are below
//! a root directory, "/" in production. What is missing limits nothing; what cannot be read is
//! told in a note.

use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::Serialize;

use super::affinity::parse_kernel_list;

/// The limits that hold for this process.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Limits {
    /// CPU time.
    pub quota: Option<Quota>,
    /// CPUs.
    pub cpuset: Option<Cpuset>,
    /// Memory.
    pub memory: Option<MemoryLimit>,
    /// What could not be read: lower case, no full stop.
    pub notes: Vec<String>,
}

/// How much CPU time a group gets.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Quota {
    /// In thousandths of a CPU; never 0.
    pub thousandths: u64,
    /// The file that says so.
    pub path: String,
}

/// The CPUs of a group.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Cpuset {
    /// Ascending.
    pub cpus: Vec<usize>,
    /// True when no other group of this machine may use them.
    pub exclusive: bool,
    /// The file that says so.
    pub path: String,
}

/// The most memory of a group.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct MemoryLimit {
    /// Bytes.
    pub bytes: u64,
    /// The file that says so.
    pub path: String,
}

/// Reads the limits of this process below `root`.
#[must_use]
pub fn read(root: &Path) -> Limits {
    let Ok(own) = fs::read_to_string(root.join("proc/self/cgroup")) else {
        return Limits::default();
    };
    let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).unwrap_or_default();
    let mut reader = Reader { root, own: &own, mounts: &mounts, limits: Limits::default() };
    for controller in ["cpu", "cpuset", "memory"] {
        // Where both versions are mounted, each controller is managed by one of them.
        for (version, group) in reader.groups(controller) {
            match controller {
                "cpu" => reader.quota(version, &group),
                "cpuset" => reader.cpuset(version, &group),
                _ => reader.memory(version, &group),
            }
        }
    }
    reader.limits
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Version {
    One,
    Two,
}

/// Where a group and those above it lie.
#[derive(Debug)]
struct Group {
    /// The mounted root, from "/".
    mount: PathBuf,
    /// Ours below it.
    below: PathBuf,
}

impl Group {
    /// Our group and all above it that we can see, ours first.
    fn upwards(&self) -> impl Iterator<Item = PathBuf> {
        self.below.ancestors().map(|below| self.mount.join(below))
    }
}

struct Reader<'a> {
    root: &'a Path,
    /// /proc/self/cgroup.
    own: &'a str,
    /// /proc/self/mountinfo.
    mounts: &'a str,
    limits: Limits,
}

impl Reader<'_> {
    /// The groups that may limit what `controller` manages.
    fn groups(&self, controller: &str) -> Vec<(Version, Group)> {
        let own = self.own.lines().filter_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            match controllers {
                "" => Some((Version::Two, path)),
                list if has(list, controller) => Some((Version::One, path)),
                _ => None,
            }
        });
        own.filter_map(|(version, path)| {
            let mut mounts = self.mounts.lines().filter_map(parse_mount);
            let mount = mounts.find(|mount| match version {
                Version::One => mount.kind == "cgroup" && has(mount.options, controller),
                Version::Two => mount.kind == "cgroup2",
            })?;
            Some((version, mount.group(path)))
        })
        .collect()
    }

    fn quota(&mut self, version: Version, group: &Group) {
        for folder in group.upwards() {
            let quota = match version {
                Version::One => self.quota_one(&folder),
                Version::Two => self.value(&folder.join("cpu.max"), parse_cpu_max),
            };
            let Some((Some(thousandths), path)) = quota else { continue };
            if self.limits.quota.as_ref().is_none_or(|known| thousandths < known.thousandths) {
                self.limits.quota = Some(Quota { thousandths, path });
            }
        }
    }

    fn quota_one(&mut self, folder: &Path) -> Option<(Option<u64>, String)> {
        let (period, _) = self.value(&folder.join("cpu.cfs_period_us"), |text| {
            text.parse::<u64>().ok().filter(|&period| period > 0)
        })?;
        self.value(&folder.join("cpu.cfs_quota_us"), |text| match text.parse::<i64>().ok()? {
            ..0 => Some(None),
            quota => Some(Some(thousandths(quota.unsigned_abs(), period))),
        })
    }

    fn cpuset(&mut self, version: Version, group: &Group) {
        let names: &[&str] = match version {
            Version::One => &["cpuset.effective_cpus", "cpuset.cpus"],
            Version::Two => &["cpuset.cpus.effective"],
        };
        let parse = |text: &str| parse_kernel_list(text).filter(|cpus| !cpus.is_empty());
        // Only where the controller is switched on is there a file; otherwise the group above
        // decides.
        let found = group
            .upwards()
            .find_map(|folder| names.iter().find_map(|name| self.value(&folder.join(name), parse)));
        let Some((cpus, path)) = found else { return };
        if self.limits.cpuset.as_ref().is_none_or(|known| cpus.len() < known.cpus.len()) {
            let exclusive = self.is_exclusive(version, group);
            self.limits.cpuset = Some(Cpuset { cpus, exclusive, path });
        }
    }

    fn is_exclusive(&self, version: Version, group: &Group) -> bool {
        match version {
            // The topmost group always says 1, and so must each one on the way to it.
            Version::One => {
                let mut own = group.upwards().filter(|folder| *folder != group.mount).peekable();
                let flag = |folder: PathBuf| self.text(&folder.join("cpuset.cpu_exclusive"));
                own.peek().is_some() && own.all(|folder| flag(folder).as_deref() == Some("1"))
            }
            Version::Two => group.upwards().any(|folder| {
                let partition = self.text(&folder.join("cpuset.cpus.partition"));
                matches!(partition.as_deref(), Some("root" | "isolated"))
            }),
        }
    }

    fn memory(&mut self, version: Version, group: &Group) {
        let name = match version {
            Version::One => "memory.limit_in_bytes",
            Version::Two => "memory.max",
        };
        for folder in group.upwards() {
            let limit = self.value(&folder.join(name), |text| match text {
                "max" => Some(None),
                text => Some(Some(text.parse().ok()?).filter(|&bytes: &u64| bytes < UNLIMITED)),
            });
            let Some((Some(bytes), path)) = limit else { continue };
            if self.limits.memory.as_ref().is_none_or(|known| bytes < known.bytes) {
                self.limits.memory = Some(MemoryLimit { bytes, path });
            }
        }
    }

    /// Reads one file; `None` when there is none, or when it cannot be read, which is noted.
    fn value<T>(&mut self, path: &Path, parse: impl Fn(&str) -> Option<T>) -> Option<(T, String)> {
        let text = self.text(path)?;
        let shown = path.display().to_string();
        let value = parse(&text);
        if value.is_none() {
            let text: String = text.chars().take(40).collect();
            self.limits.notes.push(format!("{shown} is not understood and ignored: {text:?}"));
        }
        Some((value?, shown))
    }

    fn text(&self, path: &Path) -> Option<String> {
        let below = path.strip_prefix("/").unwrap_or(path);
        Some(fs::read_to_string(self.root.join(below)).ok()?.trim().to_owned())
    }
}

/// A line of mountinfo.
struct Mount<'a> {
    /// Which part of the file system is mounted.
    root: String,
    point: String,
    kind: &'a str,
    options: &'a str,
}

impl Mount<'_> {
    /// Where the group that the kernel calls `path` lies.
    fn group(&self, path: &str) -> Group {
        let root = self.root.trim_end_matches('/');
        // A path outside of what is mounted belongs to another namespace of groups: all that can
        // be seen of ours is the top of the mount.
        let below = path.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let below = Path::new(below.unwrap_or_default().trim_start_matches('/'));
        let is_plain = below.components().all(|part| matches!(part, Component::Normal(_)));
        let below = if is_plain { below.to_owned() } else { PathBuf::new() };
        Group { mount: PathBuf::from(&self.point), below }
    }
}

fn parse_mount(line: &str) -> Option<Mount<'_>> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let mut right = right.split(' ');
    Some(Mount {
        root: unescape(left.next()?),
        point: unescape(left.next()?),
        kind: right.next()?,
        options: right.nth(1)?,
    })
}

/// Blanks in paths are written as `\040`.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code.filter(u8::is_ascii) {
            Some(byte) => plain.extend([char::from(byte)].into_iter().chain(part[3..].chars())),
            None => plain.extend(['\\'].into_iter().chain(part.chars())),
        }
    }
    plain
}

/// `max 100000` or `250000 100000`.
fn parse_cpu_max(text: &str) -> Option<Option<u64>> {
    let (quota, period) = text.split_once(' ')?;
    let period = period.trim().parse().ok().filter(|&period: &u64| period > 0)?;
    match quota {
        "max" => Some(None),
        quota => Some(Some(thousandths(quota.parse().ok()?, period))),
    }
}

fn thousandths(quota: u64, period: u64) -> u64 {
    let exact = u128::from(quota) * 1000 / u128::from(period);
    u64::try_from(exact).unwrap_or(u64::MAX).max(1)
}

fn has(list: &str, word: &str) -> bool {
    list.split(',').any(|other| other == word)
}

/// Version 1 writes "no limit" as the largest multiple of a page.
const UNLIMITED: u64 = 1 << 60;

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNT_TWO: &str = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";

    fn limits(own: &str, mounts: &str, files: &[(&str, &str)]) -> Limits {
        let root = tempfile::tempdir().unwrap();
        let fixed = [("/proc/self/cgroup", own), ("/proc/self/mountinfo", mounts)];
        for (path, content) in fixed.iter().chain(files) {
            let path = root.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        read(root.path())
    }

    #[track_caller]
    fn check_quota(own: &str, mounts: &str, files: &[(&str, &str)], expected: Option<(u64, &str)>) {
        let limits = limits(own, mounts, files);
        let found = limits.quota.as_ref().map(|quota| (quota.thousandths, quota.path.as_str()));
        assert_eq!(found, expected, "{:?}", limits.notes);
    }

    #[test]
    fn nothing_is_no_limit() {
        assert_eq!(read(Path::new("/does/not/exist")), Limits::default());
        assert_eq!(limits("", "", &[]), Limits::default());
        assert_eq!(limits("0::/a", "", &[("/sys/fs/cgroup/a/cpu.max", "1 1")]), Limits::default());
        assert_eq!(limits("garbage\n0:", "garbage - \n- - -", &[]), Limits::default());
    }

    #[test]
    fn the_smallest_quota_on_the_way_up_counts() {
        let files = [
            ("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n"),
            ("/sys/fs/cgroup/a/cpu.max", "150000 100000\n"),
            ("/sys/fs/cgroup/cpu.max", "200000 100000\n"),
        ];
        let expected = Some((1500, "/sys/fs/cgroup/a/cpu.max"));
        check_quota("0::/a/b\n", MOUNT_TWO, &files, expected);
        check_quota("0::/\n", MOUNT_TWO, &files, Some((2000, "/sys/fs/cgroup/cpu.max")));
        // A group that we cannot see: the top of the mount is all there is.
        check_quota("0::/../x\n", MOUNT_TWO, &files, Some((2000, "/sys/fs/cgroup/cpu.max")));
    }

    #[test]
    fn a_mount_that_shows_a_part_only() {
        let mounts = "30 23 0:26 /docker/1 /cg\\040x rw - cgroup2 cgroup2 rw";
        let files = [("/cg x/cpu.max", "50000 100000"), ("/cg x/in/cpu.max", "10000 100000")];
        check_quota("0::/docker/1", mounts, &files, Some((500, "/cg x/cpu.max")));
        check_quota("0::/docker/1/in", mounts, &files, Some((100, "/cg x/in/cpu.max")));
        check_quota("0::/docker/12", mounts, &files, Some((500, "/cg x/cpu.max")));
    }

    #[test]
    fn version_one() {
        let own = "3:cpu,cpuacct:/a\n2:memory:/a\n1:cpuset:/a\n0::/\n";
        let mounts = "1 2 0:1 / /c rw - cgroup cgroup rw,cpu,cpuacct\n\
                      1 2 0:2 / /m rw - cgroup cgroup rw,memory\n\
                      1 2 0:3 / /s rw - cgroup cgroup rw,cpuset\n\
                      1 2 0:4 / /u rw - cgroup2 cgroup2 rw\n";
        let files = [
            ("/c/a/cpu.cfs_quota_us", "-1"),
            ("/c/a/cpu.cfs_period_us", "100000"),
            ("/c/cpu.cfs_quota_us", "250000"),
            ("/c/cpu.cfs_period_us", "100000"),
            ("/m/a/memory.limit_in_bytes", "9223372036854771712"),
            ("/m/memory.limit_in_bytes", "4096"),
            ("/s/a/cpuset.cpus", "0-1,3"),
            ("/s/a/cpuset.cpu_exclusive", "1"),
            ("/s/cpuset.cpu_exclusive", "1"),
        ];
        let found = limits(own, mounts, &files);
        assert_eq!(found.notes, Vec::<String>::new());
        assert_eq!(found.quota.unwrap().thousandths, 2500);
        assert_eq!(found.memory.unwrap().bytes, 4096);
        let cpuset = found.cpuset.unwrap();
        assert_eq!((cpuset.cpus, cpuset.exclusive), (vec![0, 1, 3], true));
        let shared = limits(own, mounts, &[files[6], ("/s/a/cpuset.cpu_exclusive", "0"), files[8]]);
        assert!(!shared.cpuset.unwrap().exclusive);
        let top = own.replace("/a", "/");
        let top = limits(&top, mounts, &[("/s/cpuset.cpus", "0-3"), files[8]]);
        assert!(!top.cpuset.unwrap().exclusive, "the topmost group belongs to everybody");
    }

    #[test]
    fn cpusets() {
        let files = |partition| {
            [
                ("/sys/fs/cgroup/a/cpuset.cpus.effective", "2-3\n"),
                ("/sys/fs/cgroup/a/cpuset.cpus.partition", partition),
            ]
        };
        let found = |own, partition| limits(own, MOUNT_TWO, &files(partition)).cpuset.unwrap();
        assert!(found("0::/a", "root\n").exclusive);
        assert!(found("0::/a", "isolated\n").exclusive);
        assert!(
            !found("0::/a", "root invalid (Cpu list in cpuset.cpus not exclusive)\n").exclusive
        );
        assert!(!found("0::/a", "member\n").exclusive);
        // Where the controller is not switched on, the group above decides.
        assert_eq!(found("0::/a/b", "root\n").cpus, [2, 3]);
    }

    #[test]
    fn what_is_not_understood_is_told() {
        for text in ["", "max", "x 100000", "1 0", "-5 100000", "99999999999999999999 1"] {
            let found = limits("0::/", MOUNT_TWO, &[("/sys/fs/cgroup/cpu.max", text)]);
            assert_eq!(found.quota, None, "{text}");
            assert_eq!(found.notes.len(), 1, "{text}");
            assert!(found.notes[0].starts_with("/sys/fs/cgroup/cpu.max is not understood"));
        }
        let files = [
            ("/sys/fs/cgroup/cpuset.cpus.effective", "3-1"),
            ("/sys/fs/cgroup/memory.max", "lots"),
        ];
        assert_eq!(limits("0::/", MOUNT_TWO, &files).notes.len(), 2);
    }

    #[test]
    fn tiny_and_huge_quotas() {
        assert_eq!(parse_cpu_max("1 1000000"), Some(Some(1)), "never 0");
        assert_eq!(parse_cpu_max("18446744073709551615 1"), Some(Some(u64::MAX)));
        assert_eq!(unescape("a\\040b\\x\\999\\"), "a b\\x\\999\\");
        assert_eq!(unescape("\\04\u{e9}"), "\\04\u{e9}");
    }
}
