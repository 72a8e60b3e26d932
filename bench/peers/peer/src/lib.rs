//! What every peer needs that is not the server it shows: its command line, its CPU, its port.
//!
//! It must not know any server: what a peer recommends for production stands in its own file.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use rustix::net;
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

// As corewise has it, so that all subjects allocate alike.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a peer was started with.
#[derive(Debug)]
pub struct Arguments {
    /// The port on the loopback address.
    pub port: u16,
    /// The CPUs, to which this process is pinned by now; at least one.
    pub cpus: Vec<usize>,
    /// The folder whose files are served below `/file/`.
    pub root: PathBuf,
}

/// Reads the command line and pins this process before it has a second thread. With `--version` it
/// prints the version of `package`, the server that this peer shows.
pub fn start(package: &str) -> Arguments {
    match read(std::env::args().skip(1)) {
        Ok(Some(arguments)) => match pin(&arguments.cpus) {
            Ok(()) => arguments,
            Err(error) => leave(&format!("cannot run on CPU {:?}: {error}", arguments.cpus)),
        },
        Ok(None) => {
            println!("{package} {}", version(LOCK, package).unwrap_or("of an unknown version"));
            std::process::exit(0)
        }
        Err(fault) => leave(&format!("{fault}\n{USAGE}")),
    }
}

/// Listens on the loopback address; connections that are accepted inherit TCP_NODELAY.
pub fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = net::socket_with(
        net::AddressFamily::INET,
        net::SocketType::STREAM,
        net::SocketFlags::CLOEXEC | net::SocketFlags::NONBLOCK,
        None,
    )?;
    net::sockopt::set_socket_reuseaddr(&socket, true)?;
    net::sockopt::set_tcp_nodelay(&socket, true)?;
    net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
    net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// The same as an address, for servers that open their own socket.
pub fn address(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Uses so much CPU time, however long that takes beside others, and says so.
pub fn burn(ms: u64) -> String {
    let end = thread_time() + Duration::from_millis(ms);
    while thread_time() < end {
        std::hint::spin_loop();
    }
    format!("burned {ms} ms")
}

/// CPU time of this thread.
fn thread_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.cast_unsigned(), now.tv_nsec as u32)
}

fn read(mut words: impl Iterator<Item = String>) -> Result<Option<Arguments>, String> {
    let (mut port, mut cpus, mut root) = (None, None, PathBuf::from("."));
    while let Some(word) = words.next() {
        if word == "--version" {
            return Ok(None);
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let fault = || format!("{word} cannot be {value:?}");
        match word.as_str() {
            "--cpu" => {
                let list: Result<Vec<usize>, _> = value.split(',').map(str::parse).collect();
                cpus = Some(list.map_err(|_| fault())?);
            }
            "--port" => port = Some(value.parse().map_err(|_| fault())?),
            "--root" => root = PathBuf::from(&value),
            _ => return Err(format!("unknown argument {word:?}")),
        }
    }
    let port = port.ok_or("--port is missing")?;
    let cpus = cpus.ok_or("--cpu is missing")?;
    Ok(Some(Arguments { port, cpus, root }))
}

/// Pins the calling thread, and those that it will start.
pub fn pin(cpus: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        if *cpu >= CpuSet::MAX_CPU {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        set.set(*cpu);
    }
    Ok(sched_setaffinity(None, &set)?)
}

/// What a lock file says of a package.
fn version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let named = format!("name = \"{package}\"\nversion = \"");
    lock.split_once(&named)?.1.split('"').next()
}

fn leave(fault: &str) -> ! {
    eprintln!("error: {fault}");
    std::process::exit(2)
}

/// What the peers were built from.
const LOCK: &str = include_str!("../../Cargo.lock");
const USAGE: &str = "usage: peer-NAME --port P --cpu N[,N] [--root FOLDER] | peer-NAME --version";
/// Connections that may wait to be accepted: more than any load opens at once.
pub const BACKLOG: i32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> Result<Option<Arguments>, String> {
        read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn arguments_come_in_any_order() {
        let given = arguments("--root /tmp --cpu 1,0 --port 80").unwrap().unwrap();
        let expected = (80, vec![1, 0], PathBuf::from("/tmp"));
        assert_eq!((given.port, given.cpus, given.root), expected);
        assert!(arguments("--version").unwrap().is_none());
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(arguments("--port").unwrap_err(), "--port needs a value");
        assert_eq!(arguments("--port 80").unwrap_err(), "--cpu is missing");
        assert_eq!(arguments("--port x --cpu 0").unwrap_err(), "--port cannot be \"x\"");
        assert_eq!(arguments("--prot 80").unwrap_err(), "unknown argument \"--prot\"");
    }

    #[test]
    fn versions_come_from_the_lock_file() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.2\"\nsource = \"x\"\n";
        assert_eq!(version(lock, "a"), Some("1.2"));
        assert_eq!(version(lock, "b"), None);
        assert!(version(LOCK, "hyper").is_some());
    }
}
