//! Becoming another user, for good.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use rustix::process::{Gid, Uid, geteuid, getgid, getgroups, getuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::process::Forked;

/// A user of this system, with all groups.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct User {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

impl User {
    /// Looks a user up by name, with its supplementary groups, wherever the system keeps them
    /// (getpwnam(3), getgrouplist(3)).
    ///
    /// # Errors
    /// `NotFound` when there is no such user; otherwise what the system says.
    pub fn find(name: &str) -> io::Result<Self> {
        let name = CString::new(name).map_err(|_| io::ErrorKind::NotFound)?;
        let (uid, gid) = look_up(&name)?;
        let groups = groups_of(&name, gid)?.into_iter().map(Gid::from_raw).collect();
        Ok(Self { uid: Uid::from_raw(uid), gid: Gid::from_raw(gid), groups })
    }

    /// Its numbers: user and group.
    #[must_use]
    pub fn numbers(&self) -> (u32, u32) {
        (self.uid.as_raw(), self.gid.as_raw())
    }

    /// Whether this process may become it: root may, and who is it already.
    #[must_use]
    pub fn is_within_reach(&self) -> bool {
        geteuid().is_root() || getuid() == self.uid
    }

    /// Makes this process one of the user's, with no way back. A process that has just been
    /// forked has a single thread, which the token proves: the calls are those of a thread.
    ///
    /// # Errors
    /// What was refused. The process must then end: it may be half of each.
    pub fn become_it(&self, _in_child: &Forked) -> io::Result<()> {
        if getuid() == self.uid && !geteuid().is_root() {
            return Ok(());
        }
        // In this order: who is no longer root may change no group.
        set_thread_groups(&self.groups)?;
        set_thread_res_gid(self.gid, self.gid, self.gid)?;
        set_thread_res_uid(self.uid, self.uid, self.uid)?;
        let took = getuid() == self.uid && geteuid() == self.uid && getgid() == self.gid;
        if took && getgroups()?.len() == self.groups.len() {
            return Ok(());
        }
        Err(io::Error::other("the kernel took the calls and changed nothing"))
    }
}

fn look_up(name: &CStr) -> io::Result<(libc::uid_t, libc::gid_t)> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let mut entry = MaybeUninit::<libc::passwd>::uninit();
        let mut found = ptr::null_mut();
        // SAFETY: `name` ends with a zero; `entry` and `found` are places of the types asked for;
        // the buffer is as long as it is said to be. All live for the call.
        let error = unsafe {
            libc::getpwnam_r(
                name.as_ptr(),
                entry.as_mut_ptr(),
                buffer.as_mut_ptr(),
                buffer.len(),
                &raw mut found,
            )
        };
        match error {
            0 if found.is_null() => return Err(io::ErrorKind::NotFound.into()),
            0 => {
                // SAFETY: a result that is not null is `entry`, which the call has filled.
                let entry = unsafe { entry.assume_init() };
                return Ok((entry.pw_uid, entry.pw_gid));
            }
            libc::ERANGE if buffer.len() < BUFFER_BYTES_MAX => buffer.resize(buffer.len() * 2, 0),
            libc::EINTR => {}
            // getpwnam(3): these mean that there is none, depending on where one looks.
            libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM => {
                return Err(io::ErrorKind::NotFound.into());
            }
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

fn groups_of(name: &CStr, gid: libc::gid_t) -> io::Result<Vec<libc::gid_t>> {
    let mut groups = vec![gid; 64];
    loop {
        let mut count = libc::c_int::try_from(groups.len()).unwrap_or(libc::c_int::MAX);
        // SAFETY: `name` ends with a zero, and `groups` has `count` places. Both live for the call.
        let result =
            unsafe { libc::getgrouplist(name.as_ptr(), gid, groups.as_mut_ptr(), &raw mut count) };
        let count = usize::try_from(count).unwrap_or_default();
        if result >= 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        if groups.len() >= GROUPS_MAX {
            return Err(io::Error::other("it has more groups than Linux allows"));
        }
        groups.resize(count.max(groups.len() * 2), gid);
    }
}

/// What an entry needs; most need a tenth.
const BUFFER_BYTES: usize = 4096;
/// An entry longer than this is none.
const BUFFER_BYTES_MAX: usize = 1 << 20;
/// credentials(7).
const GROUPS_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name() {
        let root = User::find("root").unwrap();
        assert_eq!(root.numbers(), (0, 0));
        for name in ["nobody-is-called-this", "a\0b", ""] {
            assert_eq!(User::find(name).unwrap_err().kind(), io::ErrorKind::NotFound, "{name}");
        }
    }
}
