//! What /proc tells: who holds a port, where this process may run.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::affinity::parse_kernel_list;

/// A process that holds a port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// Its short name.
    pub name: String,
}

/// Finds who listens on an address, or on all addresses with its port. `None` when nobody does,
/// or when the holder belongs to someone into whose processes we may not look.
#[must_use]
pub fn listener_holder(address: SocketAddr) -> Option<Holder> {
    let inodes: Vec<u64> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| listening_inodes(&table, address))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let targets: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let mut pids: Vec<u32> = fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    // The oldest process of a family is the one that a person knows.
    pids.sort_unstable();
    let pid = pids.into_iter().find(|&pid| holds_one_of(pid, &targets))?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(Holder { pid, name: name.trim_end().to_owned() })
}

/// The CPUs in the affinity mask of this process, ascending; read below `root`, "/" in production.
#[must_use]
pub fn allowed_cpus(root: &Path) -> Option<Vec<usize>> {
    let status = fs::read_to_string(root.join("proc/self/status")).ok()?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    parse_kernel_list(list.trim())
}

fn holds_one_of(pid: u32, targets: &[String]) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .any(|link| link.to_str().is_some_and(|link| targets.iter().any(|target| target == link)))
}

/// The inodes of the sockets in a table of /proc/net that listen where `address` would.
fn listening_inodes(table: &str, address: SocketAddr) -> Vec<u64> {
    let rows = table.lines().skip(1);
    rows.filter_map(parse_row)
        .filter(|row| row.clashes_with(address))
        .map(|row| row.inode)
        .collect()
}

/// A listening socket of /proc/net/tcp or tcp6.
struct Row {
    ip: IpAddr,
    port: u16,
    inode: u64,
}

impl Row {
    fn clashes_with(&self, address: SocketAddr) -> bool {
        let any = self.ip.is_unspecified() || address.ip().is_unspecified();
        self.port == address.port() && (any || self.ip == address.ip().to_canonical())
    }
}

fn parse_row(line: &str) -> Option<Row> {
    let mut fields = line.split_ascii_whitespace();
    let (ip, port) = fields.nth(1)?.split_once(':')?;
    let state = fields.nth(1)?;
    if state != LISTEN {
        return None;
    }
    let inode = fields.nth(5)?.parse().ok()?;
    Some(Row { ip: parse_ip(ip)?.to_canonical(), port: u16::from_str_radix(port, 16).ok()?, inode })
}

/// The kernel prints addresses as words in the byte order of the machine.
fn parse_ip(hex: &str) -> Option<IpAddr> {
    let mut bytes = Vec::with_capacity(16);
    for at in (0..hex.len()).step_by(8) {
        let word = u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?;
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?).into())
}

const LISTEN: &str = "0A";

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn rows_are_read() {
        let row = parse_row(
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000 \
             0 4242 1 0 100 0 0 10 0",
        )
        .unwrap();
        assert_eq!((row.ip, row.port, row.inode), (Ipv4Addr::LOCALHOST.into(), 8080, 4242));
        assert!(row.clashes_with("127.0.0.1:8080".parse().unwrap()));
        assert!(row.clashes_with("0.0.0.0:8080".parse().unwrap()));
        assert!(!row.clashes_with("127.0.0.2:8080".parse().unwrap()));
        assert!(!row.clashes_with("127.0.0.1:8081".parse().unwrap()));
        assert!(parse_row("garbage").is_none());
    }

    #[test]
    fn we_are_found_as_the_holder() {
        for text in ["127.0.0.1:0", "[::1]:0"] {
            // A machine without IPv6 has nothing to find there.
            let Ok(listener) = TcpListener::bind(text) else {
                assert!(text.contains("::"), "cannot bind {text}");
                continue;
            };
            let holder = listener_holder(listener.local_addr().unwrap()).unwrap();
            assert_eq!(holder.pid, std::process::id());
            assert!(!holder.name.is_empty());
        }
    }

    #[test]
    fn nobody_holds_a_free_port() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(listener_holder(address), None);
    }
}
