//! The line that a process writes about its own end: where it stood. It is made in a signal
//! handler, without memory of its own and without waiting for a lock.

use std::fmt::{self, Write as _};
use std::io;
use std::sync::{PoisonError, RwLock};

use super::log::{Form, Timestamp};
use crate::sys::clock::unix_milliseconds;
use crate::sys::stack::{self, Fall};

/// Has the end of this process by ABRT or a fault told, and that of its forks.
///
/// # Errors
/// When there is no memory for it.
pub fn report_falls() -> io::Result<()> {
    stack::tell_with(tell)
}

/// What stands in every such line of this process.
struct Frame {
    form: Form,
    /// The name of the process; for machines its fields, as members of an object.
    identity: String,
}

static FRAME: RwLock<Option<Frame>> = RwLock::new(None);

/// Notes who this process is.
pub(super) fn identify(form: Form, identity: String) {
    let mut frame = FRAME.write().unwrap_or_else(PoisonError::into_inner);
    *frame = Some(Frame { form, identity });
}

fn tell(fall: &Fall<'_>) {
    // Held only by the thread that is noting who it is, which then says nothing.
    let Ok(frame) = FRAME.try_read() else { return };
    let Some(frame) = &*frame else { return };
    let mut line = Line { bytes: [0; LINE_BYTES], length: 0 };
    frame.write(&mut line, unix_milliseconds(), fall);
    stack::write_error(&line.bytes[..line.length]);
}

impl Frame {
    fn write(&self, line: &mut Line, milliseconds: u64, fall: &Fall<'_>) {
        let length = fall.thread.iter().position(|&byte| byte == 0).unwrap_or(fall.thread.len());
        let thread = Plain(std::str::from_utf8(&fall.thread[..length]).unwrap_or("?"));
        let message = if fall.is_overflow { OVERFLOW } else { STOOD_HERE };
        let (time, signal, identity) = (Timestamp(milliseconds), fall.signal, &self.identity);
        let end = match self.form {
            Form::Json => "]}\n",
            Form::Pretty => "\n",
        };
        // What does not fit is left out, and the line is whole all the same.
        let _ = match self.form {
            Form::Json => write!(
                line,
                "{{\"time\":\"{time}Z\",\"level\":\"error\",\"message\":\"{message}\",{identity},\
                 \"signal\":\"{signal}\",\"thread\":\"{thread}\",\"stack\":["
            ),
            Form::Pretty => write!(
                line,
                "error  {time}  {identity}  {message}  signal={signal} thread={thread}"
            ),
        };
        for (number, place) in fall.places.iter().enumerate() {
            let before = line.length;
            let written = match (self.form, number) {
                (Form::Json, 0) => write!(line, "\"{}\"", Plain(place)),
                (Form::Json, _) => write!(line, ",\"{}\"", Plain(place)),
                (Form::Pretty, _) => write!(line, "\n    {number:2}: {}", Plain(place)),
            };
            if written.is_err() {
                line.length = before;
                break;
            }
        }
        line.finish(end);
    }
}

/// A text of bounded length. What does not fit is an error.
struct Line {
    bytes: [u8; LINE_BYTES],
    length: usize,
}

impl Line {
    /// Room for this was kept.
    fn finish(&mut self, end: &str) {
        self.bytes[self.length..self.length + end.len()].copy_from_slice(end.as_bytes());
        self.length += end.len();
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        if end > LINE_BYTES - END_BYTES {
            return Err(fmt::Error);
        }
        self.bytes[self.length..end].copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// A text in which nothing ends a line or a string, cut where it gets too long for one.
struct Plain<T>(T);

impl<T: fmt::Display> fmt::Display for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Filter<'a, 'b>(&'a mut fmt::Formatter<'b>, usize);
        impl fmt::Write for Filter<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                for char in text.chars() {
                    let fits = !char.is_control() && char != '"' && char != '\\';
                    if self.1 < PLAIN_CHARS_MAX {
                        self.0.write_char(if fits { char } else { '?' })?;
                        self.1 += 1;
                    }
                }
                Ok(())
            }
        }
        write!(Filter(f, 0), "{}", self.0)
    }
}

const STOOD_HERE: &str = "stood here when it was ended";
const OVERFLOW: &str = "stood here when its stack was used up";
/// As much as a pipe takes without another process's bytes in between.
const LINE_BYTES: usize = 4096;
const END_BYTES: usize = 4;
const PLAIN_CHARS_MAX: usize = 240;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn line(form: Form, identity: &str, count: usize) -> String {
        let places = vec![stack::Place::default(); count];
        let mut thread = [0; 16];
        thread[..8].copy_from_slice(b"cw:cpu\n0");
        let fall = Fall { signal: "ABRT", thread, is_overflow: false, places: &places };
        let mut line = Line { bytes: [0; LINE_BYTES], length: 0 };
        Frame { form, identity: identity.to_owned() }.write(&mut line, 0, &fall);
        String::from_utf8(line.bytes[..line.length].to_vec()).unwrap()
    }

    #[test]
    fn for_machines_it_is_one_object() {
        let text = line(Form::Json, "\"process\":\"cpu/0\",\"pid\":7", 2);
        assert_eq!(text.matches('\n').count(), 1);
        let object: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["message"], STOOD_HERE);
        assert_eq!((&object["pid"], &object["process"]), (&7.into(), &"cpu/0".into()));
        assert_eq!(object["time"], "1970-01-01T00:00:00.000Z");
        assert_eq!((&object["signal"], &object["thread"]), (&"ABRT".into(), &"cw:cpu?0".into()));
        assert_eq!(object["stack"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn for_people_each_place_has_a_line() {
        let text = line(Form::Pretty, "cpu/0", 2);
        let expected = "error  1970-01-01T00:00:00.000  cpu/0  stood here when it was ended  \
                        signal=ABRT thread=cw:cpu?0\n     0: 0x0\n     1: 0x0\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        for form in [Form::Json, Form::Pretty] {
            let text = line(form, "\"process\":\"cpu/0\"", 2000);
            assert!(text.len() > LINE_BYTES - 20 && text.len() <= LINE_BYTES, "{}", text.len());
            assert!(text.ends_with('\n'));
            if form == Form::Json {
                serde_json::from_str::<Value>(&text).unwrap();
            }
        }
        // Nobody has such a name; whatever comes of it, it is no panic in a handler.
        line(Form::Json, &"x".repeat(5000), 3);
    }

    #[test]
    fn a_name_is_cut_and_ends_nothing() {
        assert_eq!(Plain("a\"b\\c\nd").to_string(), "a?b?c?d");
        assert_eq!(Plain("é".repeat(1000)).to_string().chars().count(), PLAIN_CHARS_MAX);
    }
}
