//! What `ps` and `top` show of a process: its command line and its short name.
//!
//! The kernel reads a command line from the memory in which it once put the arguments. A title
//! that is longer than those runs on into the environment behind them, so the environment is
//! moved to the heap first.

use std::ffi::{CStr, CString, c_char};
use std::fs;
use std::io;
use std::ptr;

use super::process::is_single_threaded;

/// The memory that the kernel shows as this process's command line.
///
/// There is one per process: `claim` moves the environment away, and a fork copies it all.
#[derive(Debug)]
pub struct Title {
    /// First byte of the arguments.
    start: *mut u8,
    /// Bytes up to the end of the environment strings.
    length: usize,
}

impl Title {
    /// Takes the memory over. `None` where that is not possible: in a process with several
    /// threads (one could read the environment meanwhile), or where /proc does not tell the
    /// addresses. A missing title hurts nobody.
    #[must_use]
    pub fn claim() -> Option<Self> {
        if !is_single_threaded() {
            return None;
        }
        let area = argument_area().ok().flatten()?;
        move_environment(&area);
        Some(Self {
            start: ptr::with_exposed_provenance_mut(area.start),
            length: area.end - area.start,
        })
    }

    /// Shows `text` as the command line; it is cut to what fits.
    pub fn set(&mut self, text: &str) {
        let shown = &text.as_bytes()[..text.len().min(self.length - 1)];
        // SAFETY: `start` and `length` describe the strings of arguments and environment, which
        // the kernel mapped writable on the stack for the life of the process; /proc/self/stat
        // gave the addresses. Nothing reads the environment there any more (`move_environment`),
        // and readers of the arguments stop at a NUL, which the area always ends with. The
        // process had one thread when this was claimed; whoever has the `&mut` writes alone.
        unsafe {
            ptr::write_bytes(self.start, 0, self.length);
            ptr::copy_nonoverlapping(shown.as_ptr(), self.start, shown.len());
        }
    }
}

/// Sets the short name of the calling thread, which is that of the process in its first thread.
/// It holds 15 bytes and is cut to them.
pub fn set_short_name(name: &str) -> io::Result<()> {
    let bytes: Vec<u8> = name.bytes().filter(|&byte| byte != 0).take(SHORT_NAME_BYTES).collect();
    let name = CString::new(bytes).expect("NUL bytes were filtered out");
    Ok(rustix::thread::set_name(&name)?)
}

/// The short name of the process that is called `name`, as in `shard/0`: what is too long for the
/// 15 bytes is cut in front of the slash, never behind it, where its index stands.
#[must_use]
pub fn short_name(name: &str) -> String {
    let (group, rest) = name.split_at(name.rfind('/').unwrap_or(name.len()));
    let room = SHORT_NAME_BYTES.saturating_sub(SHORT_PREFIX.len() + rest.len());
    format!("{SHORT_PREFIX}{}{rest}", &group[..group.floor_char_boundary(room)])
}

/// Addresses of the strings that the kernel put on the stack.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Area {
    /// First byte of the first argument.
    start: usize,
    /// First byte of the environment.
    environment: usize,
    /// Behind the last byte of the environment, or of the arguments if it lies elsewhere.
    end: usize,
}

fn argument_area() -> io::Result<Option<Area>> {
    Ok(parse_stat(&fs::read_to_string("/proc/self/stat")?))
}

/// Reads arg_start, arg_end, env_start and env_end, the fields 48 to 51 of the stat line.
fn parse_stat(stat: &str) -> Option<Area> {
    // The second field, the name in brackets, may hold anything, brackets and blanks included.
    let behind_name = &stat[stat.rfind(')')? + 1..];
    let fields: Vec<usize> = behind_name
        .split_ascii_whitespace()
        .skip(48 - 3)
        .take(4)
        .map_while(|field| field.parse().ok())
        .collect();
    let &[arg_start, arg_end, env_start, env_end] = fields.as_slice() else { return None };
    if arg_start == 0 || arg_end <= arg_start {
        return None;
    }
    let joined = env_start == arg_end && env_end > env_start;
    let end = if joined { env_end } else { arg_end };
    Some(Area { start: arg_start, environment: env_start, end })
}

/// Copies every environment string that lies in the area to the heap, for good.
fn move_environment(area: &Area) {
    unsafe extern "C" {
        static mut environ: *mut *mut c_char;
    }
    // SAFETY: `environ` is the C library's own variable; the process has one thread, so nobody
    // changes it or the array behind it meanwhile. The array ends with a null pointer, and each
    // entry before that is a NUL-terminated string.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let address = (*entry).expose_provenance();
            if (area.environment..area.end).contains(&address) {
                *entry = CStr::from_ptr(*entry).to_owned().into_raw();
            }
            entry = entry.add(1);
        }
    }
}

/// What the kernel keeps of a short name.
const SHORT_NAME_BYTES: usize = 15;
const SHORT_PREFIX: &str = "cw:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_never_cut() {
        assert_eq!(short_name("shard/0"), "cw:shard/0");
        assert_eq!(short_name("thumbnails-of-photos/12"), "cw:thumbnail/12");
        assert_eq!(short_name("thumbnails/template"), "cw:thu/template");
        assert_eq!(short_name("größe/template"), "cw:gr/template", "never within a character");
        assert_eq!(short_name("supervisor-of-all-things"), "cw:supervisor-o");
    }

    #[test]
    fn the_stat_line_is_read_behind_the_name() {
        let numbers: Vec<String> = (4..=47).map(|field| field.to_string()).collect();
        let line = format!("7 (a) b) S {} 1000 1010 1010 1100 0\n", numbers.join(" "));
        let area = Area { start: 1000, environment: 1010, end: 1100 };
        assert_eq!(parse_stat(&line), Some(area));
        let apart = format!("7 (x) S {} 1000 1010 2000 2100 0\n", numbers.join(" "));
        assert_eq!(parse_stat(&apart).unwrap().end, 1010);
        assert_eq!(parse_stat("7 (x) S 1 2 3"), None);
    }

    #[test]
    fn own_arguments_are_found() {
        let area = argument_area().unwrap().unwrap();
        assert!(area.start < area.end);
    }

    #[test]
    fn a_process_with_threads_gets_no_title() {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || receiver.recv());
        assert!(Title::claim().is_none());
        drop(sender);
        let _ = other.join().unwrap();
    }

    #[test]
    fn short_names_are_cut() {
        std::thread::spawn(|| {
            set_short_name("cw:a-very-long-pool-name/3").unwrap();
            let shown = fs::read_to_string("/proc/thread-self/comm").unwrap();
            assert_eq!(shown, "cw:a-very-long-\n");
        })
        .join()
        .unwrap();
    }
}
