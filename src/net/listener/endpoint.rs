//! Where a listening socket is reached.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix};

/// The address of a listening socket, as the system has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Endpoint {
    /// TCP.
    Tcp(SocketAddr),
    /// A path of the file system.
    Path(PathBuf),
    /// An abstract name of unix(7), or none.
    Abstract(String),
}

impl Endpoint {
    /// Address and port, if it is TCP.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        if let Self::Tcp(address) = self { Some(*address) } else { None }
    }
}

impl TryFrom<SocketAddrAny> for Endpoint {
    type Error = io::Error;

    fn try_from(address: SocketAddrAny) -> io::Result<Self> {
        if address.address_family() != AddressFamily::UNIX {
            return Ok(Self::Tcp(SocketAddr::try_from(address)?));
        }
        let address = SocketAddrUnix::try_from(address)?;
        if let Some(path) = address.path_bytes() {
            return Ok(Self::Path(OsStr::from_bytes(path).into()));
        }
        let name = address.abstract_name().unwrap_or_default();
        Ok(Self::Abstract(String::from_utf8_lossy(name).into_owned()))
    }
}

/// What is put into the ready line: a URL where there is one.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Path(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{name}"),
        }
    }
}
