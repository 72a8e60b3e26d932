//! What the system grants to a configuration, and what is said where it grants less: the same
//! words at the start and from `corewise check`.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use super::{Address, Config};
use crate::exit::Exit;
use crate::sys::descriptors;
use crate::sys::host::Host;
use crate::sys::procfs::Holder;

/// One thing that the system does not grant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// A stable code, for searching and explaining.
    pub code: &'static str,
    /// How a start would end; `None` where it goes on with less.
    pub exit: Option<Exit>,
    /// What is refused or cut: lower case, no full stop.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

/// Limits that a configuration has to fit; `None` is none, or not known.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Grants {
    /// Lockable memory in bytes.
    pub locked_memory: Option<u64>,
    /// Open descriptors of one process.
    pub open_files: Option<u64>,
    /// Longest accept queue.
    pub somaxconn: Option<u32>,
}

/// What a start would get, which raises its limits first.
impl From<&Host> for Grants {
    fn from(host: &Host) -> Self {
        Self {
            locked_memory: host.ceilings.locked_memory,
            open_files: host.ceilings.open_files,
            somaxconn: host.somaxconn,
        }
    }
}

impl Grants {
    /// Cuts `config` to what is granted; what it then lacks is said.
    pub fn fit(&self, config: &mut Config) -> Vec<Finding> {
        let findings =
            [self.fit_descriptors(config), self.fit_memory(config), self.fit_backlog(config)];
        findings.into_iter().flatten().collect()
    }

    fn fit_descriptors(&self, config: &mut Config) -> Option<Finding> {
        let files = self.open_files?;
        let fitting =
            u32::try_from(files.saturating_sub(OWN_DESCRIPTORS).max(1)).unwrap_or(u32::MAX);
        let asked = config.shard.connections;
        if asked <= fitting {
            return None;
        }
        config.shard.connections = fitting;
        let message = format!(
            "descriptor limit is {files}, connections per shard cut from {asked} to {fitting}"
        );
        let fix = "raise the hard limit (ulimit -Hn, LimitNOFILE=)";
        Some(Finding::warning(FEW_DESCRIPTORS, message, fix))
    }

    fn fit_memory(&self, config: &Config) -> Option<Finding> {
        let wanted = LOCKED_BYTES_PER_SHARD * config.placement.shards.len() as u64;
        let locked = self.locked_memory.filter(|&locked| locked < wanted)?;
        let message = format!("lockable memory is {} KiB, too little for the shards", locked >> 10);
        let fix =
            format!("raise the hard limit to {} KiB (ulimit -Hl, LimitMEMLOCK=)", wanted >> 10);
        Some(Finding::warning(LITTLE_LOCKED, message, fix))
    }

    fn fit_backlog(&self, config: &mut Config) -> Option<Finding> {
        // Where the kernel does not say, it cuts in silence.
        let limit = self.somaxconn?;
        let asked = config.server.backlog;
        if asked <= limit {
            return None;
        }
        config.server.backlog = limit;
        let message = format!("somaxconn is {limit}, backlog cut from {asked}");
        let fix = format!("sysctl -w net.core.somaxconn={asked}");
        Some(Finding::warning(SHORT_QUEUE, message, fix))
    }
}

impl Finding {
    /// An address that cannot be listened on. `refused` is what the system said to `step`, `holder`
    /// who has it, where that is known.
    #[must_use]
    pub fn of_address(
        address: &Address,
        step: &str,
        refused: &io::Error,
        holder: Option<Holder>,
    ) -> Self {
        let (code, exit, reason, fix) = match address {
            Address::Tcp(address) => of_tcp(*address, refused, holder),
            Address::Unix(unix) => of_path(&unix.path, step, refused),
            Address::Descriptor(_) => {
                let fix = "start it with a listening socket as that descriptor, or listen \
                           elsewhere with --bind";
                (ADDRESS_REFUSED, Exit::System, format!("{step}: {refused}"), fix.to_owned())
            }
            Address::Systemd(name) => {
                let fix = format!("write FileDescriptorName={name} into the socket unit");
                (ADDRESS_REFUSED, Exit::System, format!("{step}: {refused}"), fix)
            }
        };
        let message = format!("cannot listen on {address}: {reason}");
        Self { code, exit: Some(exit), message, fix }
    }

    /// The user that everybody shall become cannot be had.
    #[must_use]
    pub fn of_user(name: &str, refused: &io::Error) -> Self {
        let (exit, fix) = match refused.kind() {
            io::ErrorKind::PermissionDenied => {
                (Exit::Permission, "start the server as root, or leave server.user empty")
            }
            _ => (Exit::Config, "name a user that `getent passwd` shows"),
        };
        let message = format!("cannot become the user `{name}`: {refused}");
        Self { code: USER_REFUSED, exit: Some(exit), message, fix: fix.to_owned() }
    }

    /// No engine works here.
    #[must_use]
    pub fn of_engine(reason: String, fix: String) -> Self {
        Self { code: NO_ENGINE, exit: Some(Exit::Unavailable), message: reason, fix }
    }

    /// The memory of a pool that the system refuses. `need`: bytes, and descriptors of every
    /// process that has it.
    #[must_use]
    pub fn of_pool(pool: &str, need: (u64, u64), refused: &io::Error) -> Self {
        let (bytes, descriptors) = need;
        let (code, message, fix) = if descriptors::are_used_up(refused) {
            (
                POOL_DESCRIPTORS,
                format!("pool `{pool}` needs {descriptors} descriptors: {refused}"),
                "raise the hard limit (ulimit -Hn, LimitNOFILE=), or start fewer workers",
            )
        } else {
            (
                POOL_MEMORY,
                format!("pool `{pool}` needs {} MiB of shared memory: {refused}", bytes >> 20),
                "write a smaller `slots` or `slot`, or fewer workers, in the pool; or raise what \
                 limits memory (the control group, ulimit -v)",
            )
        };
        Self { code, exit: Some(Exit::System), message, fix: fix.to_owned() }
    }

    /// More workers than the memory of a pool has places for.
    #[must_use]
    pub fn of_many_workers(pool: &str, workers: usize) -> Self {
        let message =
            format!("pool `{pool}` comes to {workers} workers, and its memory has places for 255");
        let fix = "write `workers` = 255 or less in the pool; a second pool can have the rest";
        Self { code: POOL_MEMORY, exit: Some(Exit::Config), message, fix: fix.to_owned() }
    }

    fn warning(code: &'static str, message: String, fix: impl Into<String>) -> Self {
        Self { code, exit: None, message, fix: fix.into() }
    }
}

/// Why an address of TCP is refused: code, exit, reason, fix.
fn of_tcp(
    address: SocketAddr,
    refused: &io::Error,
    holder: Option<Holder>,
) -> (&'static str, Exit, String, String) {
    match refused.kind() {
        io::ErrorKind::AddrInUse => {
            let holder = holder.map_or_else(
                || "a process of somebody else".to_owned(),
                |holder| format!("pid {} ({})", holder.pid, holder.name),
            );
            let fix = "stop that process, or listen elsewhere with --bind".to_owned();
            (ADDRESS_TAKEN, Exit::System, format!("the port is taken by {holder}"), fix)
        }
        io::ErrorKind::PermissionDenied => {
            let port = address.port();
            let fix = format!(
                "use a port from 1024 on, or give the program CAP_NET_BIND_SERVICE \
                 (setcap cap_net_bind_service=+ep), or allow it to everybody: \
                 sysctl -w net.ipv4.ip_unprivileged_port_start={port}"
            );
            (PORT_FORBIDDEN, Exit::Permission, format!("this user may not use port {port}"), fix)
        }
        io::ErrorKind::AddrNotAvailable => {
            let fix = "use 0.0.0.0 for every address, or one that `ip address` shows";
            let reason = "this machine does not have that address".to_owned();
            (ADDRESS_ABSENT, Exit::System, reason, fix.to_owned())
        }
        _ => {
            let fix = "listen elsewhere with --bind".to_owned();
            (ADDRESS_REFUSED, Exit::System, refused.to_string(), fix)
        }
    }
}

/// The same of a path.
fn of_path(path: &Path, step: &str, refused: &io::Error) -> (&'static str, Exit, String, String) {
    let (code, exit, reason, fix) = match refused.kind() {
        io::ErrorKind::AddrInUse => (
            ADDRESS_TAKEN,
            Exit::System,
            "another process listens there".to_owned(),
            "stop that process (`ss -xlp` shows it), or listen elsewhere with --bind",
        ),
        io::ErrorKind::AlreadyExists => {
            let reason = "a file that is no socket is there".to_owned();
            (ADDRESS_REFUSED, Exit::System, reason, "remove it, or listen elsewhere with --bind")
        }
        io::ErrorKind::NotFound => {
            let folder = path.parent().unwrap_or(path).display();
            let reason = format!("the folder {folder} does not exist");
            (
                ADDRESS_REFUSED,
                Exit::System,
                reason,
                "make it (RuntimeDirectory= of a systemd unit does)",
            )
        }
        io::ErrorKind::PermissionDenied => {
            let reason = "this user may not make a file there".to_owned();
            let fix = "use a folder of this user (RuntimeDirectory= of a systemd unit makes one)";
            (PATH_FORBIDDEN, Exit::Permission, reason, fix)
        }
        _ => {
            let reason = format!("{step}: {refused}");
            (ADDRESS_REFUSED, Exit::System, reason, "listen elsewhere with --bind")
        }
    };
    (code, exit, reason, fix.to_owned())
}

/// Descriptors that a shard needs for itself: listeners, rings, timers, doorbells.
const OWN_DESCRIPTORS: u64 = 48;
/// What the rings of one shard lock.
pub const LOCKED_BYTES_PER_SHARD: u64 = 512 << 10;

/// An address that another process listens on.
pub const ADDRESS_TAKEN: &str = "E0401";
/// A port that this user may not listen on.
pub const PORT_FORBIDDEN: &str = "E0402";
/// An address that this machine does not have.
pub const ADDRESS_ABSENT: &str = "E0403";
/// An address that is refused for another reason.
pub const ADDRESS_REFUSED: &str = "E0404";
/// io_uring is forbidden, or too old.
pub const NO_ENGINE: &str = "E0405";
/// Fewer descriptors than connections.
pub const FEW_DESCRIPTORS: &str = "E0406";
/// Too little lockable memory.
pub const LITTLE_LOCKED: &str = "E0407";
/// An accept queue longer than the kernel's limit.
pub const SHORT_QUEUE: &str = "E0408";
/// Too little memory for a pool.
pub const POOL_MEMORY: &str = "E0409";
/// Too few descriptors for a pool.
pub const POOL_DESCRIPTORS: &str = "E0410";
/// A user that nobody can become.
pub const USER_REFUSED: &str = "E0415";
/// A folder in which this user may make no socket.
pub const PATH_FORBIDDEN: &str = "E0416";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Machine, Sources, UnixAddress};

    fn config() -> Config {
        let machine = Machine::uniform(&[0, 1], &[0, 1]);
        Sources::default().resolve(&machine).unwrap()
    }

    #[test]
    fn a_generous_system_changes_nothing() {
        let mut config = config();
        let before = format!("{config:?}");
        assert!(Grants::default().fit(&mut config).is_empty());
        let exact = Grants {
            locked_memory: Some(1 << 20),
            open_files: Some(65_536 + 48),
            somaxconn: Some(4096),
        };
        assert!(exact.fit(&mut config).is_empty());
        assert_eq!(format!("{config:?}"), before);
    }

    #[test]
    fn what_does_not_fit_is_cut_and_said() {
        let mut config = config();
        let grants =
            Grants { locked_memory: Some(64 << 10), open_files: Some(1024), somaxconn: Some(128) };
        let findings = grants.fit(&mut config);
        let codes: Vec<&str> = findings.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, [FEW_DESCRIPTORS, LITTLE_LOCKED, SHORT_QUEUE]);
        assert_eq!((config.shard.connections, config.server.backlog), (976, 128));
        assert!(findings[0].message.contains("from 65536 to 976"), "{findings:?}");
        assert!(findings[1].fix.contains("1024 KiB"), "{findings:?}");
        assert!(findings[2].fix.ends_with("somaxconn=4096"), "{findings:?}");
    }

    fn of_local(kind: io::ErrorKind, holder: Option<Holder>) -> Finding {
        let address = Address::Tcp("127.0.0.1:80".parse().unwrap());
        Finding::of_address(&address, "bind", &kind.into(), holder)
    }

    #[track_caller]
    fn check(kind: io::ErrorKind, code: &str, exit: Exit, message: &str, fix: &str) {
        let finding = of_local(kind, Some(Holder { pid: 7, name: "nginx".into() }));
        assert_eq!((finding.code, finding.exit), (code, Some(exit)));
        assert!(finding.message.contains(message), "{finding:?}");
        assert!(finding.fix.contains(fix), "{finding:?}");
    }

    #[test]
    fn a_refused_pool_says_why() {
        const ENFILE: i32 = 23;
        const EMFILE: i32 = 24;
        let refuse = |error: io::Error| Finding::of_pool("cpu", (20 << 20, 9), &error);
        for number in [EMFILE, ENFILE] {
            let found = refuse(io::Error::from_raw_os_error(number));
            assert_eq!((found.code, found.exit), (POOL_DESCRIPTORS, Some(Exit::System)));
            assert!(found.message.contains("`cpu` needs 9 descriptors"), "{found:?}");
        }
        let found = refuse(io::ErrorKind::OutOfMemory.into());
        assert_eq!((found.code, found.exit), (POOL_MEMORY, Some(Exit::System)));
        assert!(found.message.contains("`cpu` needs 20 MiB"), "{found:?}");
        let found = Finding::of_many_workers("cpu", 300);
        assert_eq!((found.code, found.exit), (POOL_MEMORY, Some(Exit::Config)));
    }

    #[test]
    fn a_refused_address_says_why() {
        use io::ErrorKind::{AddrInUse, AddrNotAvailable, OutOfMemory, PermissionDenied};
        check(AddrInUse, ADDRESS_TAKEN, Exit::System, "taken by pid 7 (nginx)", "--bind");
        check(PermissionDenied, PORT_FORBIDDEN, Exit::Permission, "port 80", "port_start=80");
        check(AddrNotAvailable, ADDRESS_ABSENT, Exit::System, "does not have", "0.0.0.0");
        check(OutOfMemory, ADDRESS_REFUSED, Exit::System, "out of memory", "--bind");
        let unknown = of_local(AddrInUse, None);
        assert!(unknown.message.ends_with("taken by a process of somebody else"), "{unknown:?}");
    }

    #[track_caller]
    fn check_path(kind: io::ErrorKind, code: &str, exit: Exit, message: &str) {
        let unix = UnixAddress { path: "/run/app/a.sock".into(), mode: None };
        let finding = Finding::of_address(&Address::Unix(unix), "bind", &kind.into(), None);
        assert_eq!((finding.code, finding.exit), (code, Some(exit)));
        assert!(finding.message.contains(message) && !finding.fix.is_empty(), "{finding:?}");
    }

    #[test]
    fn so_does_a_path() {
        use io::ErrorKind::{AddrInUse, AlreadyExists, NotFound, PermissionDenied};
        check_path(AddrInUse, ADDRESS_TAKEN, Exit::System, "another process listens");
        check_path(AlreadyExists, ADDRESS_REFUSED, Exit::System, "no socket");
        check_path(NotFound, ADDRESS_REFUSED, Exit::System, "folder /run/app does not exist");
        check_path(PermissionDenied, PATH_FORBIDDEN, Exit::Permission, "may not make a file");
    }

    #[test]
    fn a_user_that_cannot_be_had_is_said() {
        let absent = Finding::of_user("web", &io::ErrorKind::NotFound.into());
        assert_eq!((absent.code, absent.exit), (USER_REFUSED, Some(Exit::Config)));
        let forbidden = Finding::of_user("web", &io::ErrorKind::PermissionDenied.into());
        assert_eq!(forbidden.exit, Some(Exit::Permission));
        assert!(forbidden.message.contains("`web`") && forbidden.fix.contains("root"));
    }
}
