//! The environment of this process, for what is loaded into it later.

use std::ffi::CString;
use std::io;

use super::process::is_single_threaded;

/// Sets a variable. `replace` says what becomes of one that is there already.
///
/// # Errors
/// In a process with several threads, one of which could read the environment meanwhile; for a
/// name that no variable can have.
pub fn set(name: &str, value: &str, replace: bool) -> io::Result<()> {
    if !is_single_threaded() {
        return Err(io::Error::other("a process with several threads must not change it"));
    }
    let (name, value) = (CString::new(name)?, CString::new(value)?);
    // SAFETY: both are NUL-terminated strings that outlive the call, which copies them; the
    // process has one thread, as just checked, so nobody reads the environment meanwhile.
    let result = unsafe { libc::setenv(name.as_ptr(), value.as_ptr(), replace.into()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_threads_keeps_its_environment() {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || receiver.recv());
        assert!(set("COREWISE_TEST", "1", true).is_err());
        drop(sender);
        let _ = other.join().unwrap();
    }
}
