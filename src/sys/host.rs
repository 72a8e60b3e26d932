//! What the host grants a server: limits of this process and settings of the kernel, as far as
//! they can be read. Reads below a root, so that tests can show it other machines.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use rustix::process::{Resource, getrlimit};

use super::memory::kernel_release;

/// Facts about a host. What cannot be read there, as in many containers, is `None`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Host {
    /// The release of the kernel, for people.
    pub kernel: String,
    /// To what the soft limits can be raised.
    pub ceilings: Ceilings,
    /// Longest accept queue (`net.core.somaxconn`).
    pub somaxconn: Option<u32>,
    /// Whether a full queue of half-open connections is answered with cookies.
    pub syncookies: Option<bool>,
    /// Longest queue of half-open connections where there are no cookies.
    pub syn_backlog: Option<u32>,
    /// The ports that outgoing connections take theirs from, first and last.
    pub outgoing_ports: Option<(u16, u16)>,
    /// The first port that every user may listen on.
    pub unprivileged_port: Option<u16>,
    /// What decides the clock of the CPUs, each word once.
    pub governors: Vec<String>,
    /// Who implements that.
    pub frequency_driver: Option<String>,
    /// What time is read from.
    pub clock_source: Option<String>,
}

/// Hard limits of this process; `None` is unlimited.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ceilings {
    /// Lockable memory in bytes.
    pub locked_memory: Option<u64>,
    /// Open descriptors.
    pub open_files: Option<u64>,
}

impl Host {
    /// Asks the kernel and reads the files.
    #[must_use]
    pub fn read() -> Self {
        let ceilings = Ceilings {
            locked_memory: getrlimit(Resource::Memlock).maximum,
            open_files: getrlimit(Resource::Nofile).maximum,
        };
        Self { kernel: kernel_release(), ceilings, ..Self::read_below(Path::new("/")) }
    }

    /// What the files below `root` say.
    #[must_use]
    pub fn read_below(root: &Path) -> Self {
        let net = root.join("proc/sys/net");
        Self {
            kernel: String::new(),
            ceilings: Ceilings::default(),
            somaxconn: number(&net.join("core/somaxconn")),
            syncookies: number::<u8>(&net.join("ipv4/tcp_syncookies")).map(|word| word != 0),
            syn_backlog: number(&net.join("ipv4/tcp_max_syn_backlog")),
            outgoing_ports: range(&net.join("ipv4/ip_local_port_range")),
            unprivileged_port: number(&net.join("ipv4/ip_unprivileged_port_start")),
            governors: governors(&root.join("sys/devices/system/cpu/cpufreq")),
            frequency_driver: word(
                &root.join("sys/devices/system/cpu/cpufreq/policy0/scaling_driver"),
            ),
            clock_source: word(
                &root.join("sys/devices/system/clocksource/clocksource0/current_clocksource"),
            ),
        }
    }
}

fn word(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn number<T: FromStr>(path: &Path) -> Option<T> {
    word(path)?.parse().ok()
}

fn range(path: &Path) -> Option<(u16, u16)> {
    let text = word(path)?;
    let mut numbers = text.split_whitespace().map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// CPUs that share a clock share a folder `policyN`.
fn governors(folder: &Path) -> Vec<String> {
    let policies = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut words: Vec<String> =
        policies.filter_map(|policy| word(&policy.path().join("scaling_governor"))).collect();
    words.sort_unstable();
    words.dedup();
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_and_missing_ones_are_unknown() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(Host::read_below(root.path()), Host::default());
        write("proc/sys/net/core/somaxconn", "128\n");
        write("proc/sys/net/ipv4/tcp_syncookies", "2\n");
        write("proc/sys/net/ipv4/tcp_max_syn_backlog", "x\n");
        write("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n");
        write("proc/sys/net/ipv4/ip_unprivileged_port_start", "1024\n");
        for (policy, governor) in [("policy0", "performance"), ("policy4", "powersave")] {
            let folder = format!("sys/devices/system/cpu/cpufreq/{policy}");
            write(&format!("{folder}/scaling_governor"), governor);
            write(&format!("{folder}/scaling_driver"), "acpi-cpufreq");
        }
        write("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n");
        let expected = Host {
            somaxconn: Some(128),
            syncookies: Some(true),
            outgoing_ports: Some((32768, 60999)),
            unprivileged_port: Some(1024),
            governors: vec!["performance".into(), "powersave".into()],
            frequency_driver: Some("acpi-cpufreq".into()),
            clock_source: Some("tsc".into()),
            ..Host::default()
        };
        assert_eq!(Host::read_below(root.path()), expected);
    }

    #[test]
    fn this_host_can_be_read() {
        let host = Host::read();
        assert!(!host.kernel.is_empty());
        assert_eq!(host.somaxconn, super::super::memory::somaxconn().ok());
    }
}
