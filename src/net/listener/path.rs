//! Listening sockets in the file system. AF_UNIX has no SO_REUSEPORT: all shards share one.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, bind, connect};

use super::{BindError, Listener, Tenure, listen_on, stream_socket};
use crate::sys::user::User;

/// The name of a socket that we have bound, to be taken away when we stop.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), device: found.dev(), inode: found.ino() })
    }

    /// Takes the name away, so that nobody new finds the socket. A file that somebody else has put
    /// there meanwhile stays, and that there is none any more is no error.
    pub fn remove(&self) -> io::Result<()> {
        match fs::symlink_metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => {
                fs::remove_file(&self.path)
            }
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Listens at `path`. What a server left there that was killed is replaced; a socket that somebody
/// listens on, or a file that is no socket, is not. Nobody is let in before `mode` and `owner`
/// hold.
pub fn open_path(
    path: &Path,
    mode: Option<u32>,
    owner: Option<&User>,
    backlog: u32,
) -> Result<(Listener, SocketFile), BindError> {
    if let Some(stale) = look(path)? {
        remove_stale(path, &stale).map_err(BindError::at("removing what a dead server left"))?;
    }
    let socket = stream_socket(AddressFamily::UNIX)?;
    bind(&socket, &address(path)?).map_err(BindError::at("bind"))?;
    let file = SocketFile::of(path).map_err(BindError::at("stat"))?;
    let opened = open_up(socket, path, mode, owner, backlog);
    opened.map(|listener| (listener, file)).inspect_err(|_| {
        // It is the first failure that people have to know.
        let _ = fs::remove_file(path);
    })
}

/// Whether `path` could be listened at now; nothing is changed.
pub fn try_path(path: &Path) -> Result<(), BindError> {
    look(path)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let writable = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::access(folder, writable).map_err(BindError::at("bind"))
}

fn open_up(
    socket: OwnedFd,
    path: &Path,
    mode: Option<u32>,
    owner: Option<&User>,
    backlog: u32,
) -> Result<Listener, BindError> {
    if let Some((user, group)) = owner.map(User::numbers) {
        chown(path, Some(user), Some(group)).map_err(BindError::at("chown"))?;
    }
    if let Some(mode) = mode {
        let permissions = Permissions::from_mode(mode);
        fs::set_permissions(path, permissions).map_err(BindError::at("chmod"))?;
    }
    listen_on(socket.as_fd(), backlog)?;
    Listener::of(socket, Tenure::Named)
}

/// What is at `path`: nothing, or a socket that nobody listens on any more.
fn look(path: &Path) -> Result<Option<Metadata>, BindError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(BindError { step: "stat", error }),
    };
    if !found.file_type().is_socket() {
        let error =
            io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket is there");
        return Err(BindError { step: "bind", error });
    }
    let socket = stream_socket(AddressFamily::UNIX)?;
    match connect(&socket, &address(path)?) {
        Err(Errno::CONNREFUSED) => Ok(Some(found)),
        // Gone in this moment.
        Err(Errno::NOENT) => Ok(None),
        // EAGAIN is a full accept queue: somebody is there. So is whoever is of another type, or
        // does not let us in.
        Ok(()) | Err(_) => Err(BindError { step: "bind", error: Errno::ADDRINUSE.into() }),
    }
}

/// Removes it unless another server has replaced it since.
fn remove_stale(path: &Path, stale: &Metadata) -> io::Result<()> {
    SocketFile { path: path.to_owned(), device: stale.dev(), inode: stale.ino() }.remove()
}

fn address(path: &Path) -> Result<SocketAddrUnix, BindError> {
    SocketAddrUnix::new(path).map_err(BindError::at("the path"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    fn place(folder: &tempfile::TempDir) -> PathBuf {
        folder.path().join("app.sock")
    }

    fn open(path: &Path) -> Result<(Listener, SocketFile), BindError> {
        open_path(path, Some(0o640), None, 16)
    }

    #[test]
    fn a_path_is_listened_at_until_its_name_is_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = place(&folder);
        let (listener, file) = open(&path).unwrap();
        assert_eq!(listener.endpoint().to_string(), format!("unix:{}", path.display()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        UnixStream::connect(&path).unwrap();
        assert!(rustix::net::accept(&listener).is_ok());
        file.remove().unwrap();
        assert!(!path.exists());
        file.remove().unwrap();
    }

    #[test]
    fn who_is_there_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = place(&folder);
        let (_listener, _) = open(&path).unwrap();
        assert_eq!(open(&path).unwrap_err().error.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(try_path(&path).unwrap_err().error.kind(), io::ErrorKind::AddrInUse);
        let file = folder.path().join("file");
        fs::write(&file, "precious").unwrap();
        assert_eq!(open(&file).unwrap_err().error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&file).unwrap(), b"precious");
    }

    #[test]
    fn what_a_dead_server_left_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = place(&folder);
        // The standard library leaves the name behind, as a killed server does.
        drop(UnixListener::bind(&path).unwrap());
        try_path(&path).unwrap();
        let (_listener, old) = open(&path).unwrap();
        UnixStream::connect(&path).unwrap();
        // Somebody else takes the name: it is not ours to remove any more.
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        old.remove().unwrap();
        assert!(path.exists());
    }

    #[test]
    fn a_folder_that_is_not_there_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none/app.sock");
        assert_eq!(open(&path).unwrap_err().error.kind(), io::ErrorKind::NotFound);
        assert_eq!(try_path(&path).unwrap_err().error.kind(), io::ErrorKind::NotFound);
    }
}
