//! What the kernel carries: pipes, and a Unix stream socket. Both ends sleep in the kernel.

use std::error::Error;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use super::partner::Partner;
use super::way::{self, Ask, Fault, Setup, Way};

/// The end that asks.
struct Asker {
    to: File,
    from: File,
    _partner: Partner,
}

pub(super) fn open(way: Way, setup: Setup) -> Result<Box<dyn Ask>, Fault> {
    let ((to, from), theirs) = match way {
        Way::UnixStream => {
            let (ours, theirs) = UnixStream::pair()?;
            let (ours, theirs) = (OwnedFd::from(ours), OwnedFd::from(theirs));
            ((ours.try_clone()?, ours), (theirs.try_clone()?, theirs))
        }
        _ => {
            let (their_from, to) = pipe(setup.bytes)?;
            let (from, their_to) = pipe(setup.bytes)?;
            ((to, from), (their_from, their_to))
        }
    };
    let partner = Partner::start(way, setup, &[theirs.0.as_fd(), theirs.1.as_fd()])?;
    Ok(Box::new(Asker { to: File::from(to), from: File::from(from), _partner: partner }))
}

/// One whose buffer takes a message, as far as the system allows.
fn pipe(bytes: usize) -> io::Result<(OwnedFd, OwnedFd)> {
    let (from, to) = io::pipe()?;
    let (from, to) = (OwnedFd::from(from), OwnedFd::from(to));
    // It keeps its 64 KiB where more is refused: then a message goes through it in parts.
    let _as_it_is = rustix::pipe::fcntl_setpipe_size(&to, bytes);
    Ok((from, to))
}

impl Ask for Asker {
    fn ask(&mut self, request: &[u8], answer: &mut [u8]) -> Result<(), Fault> {
        self.to.write_all(request)?;
        Ok(self.from.read_exact(answer)?)
    }
}

/// Leaves once nobody is left to ask.
pub(super) fn serve(setup: Setup, inherited: Vec<OwnedFd>) -> Result<(), Box<dyn Error>> {
    let [from, to] =
        <[OwnedFd; 2]>::try_from(inherited).map_err(|_| "two descriptors are to be inherited")?;
    let (mut from, mut to) = (File::from(from), File::from(to));
    let (mut request, mut answer) = (vec![0; setup.bytes], vec![0; setup.bytes]);
    loop {
        match from.read_exact(&mut request) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        }
        way::reply(&request, &mut answer);
        to.write_all(&answer)?;
    }
}
