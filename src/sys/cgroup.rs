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
