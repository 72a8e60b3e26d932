//! What changes once a second in every answer, formatted once a second.

use std::time::{Duration, SystemTime};

/// The start of a 200 answer, complete up to and with its Date, and the same without the status
/// line for all others. One per shard; the owner refreshes it from its clock.
#[derive(Clone, Debug)]
pub struct Preamble {
    /// Status line, Server and Date of a 200.
    bytes: [u8; LENGTH],
    /// The second that `bytes` holds.
    unix_seconds: u64,
}

impl Preamble {
    /// A preamble for that second.
    #[must_use]
    pub fn new(unix_seconds: u64) -> Self {
        let mut bytes = [0; LENGTH];
        bytes[..STATUS_OK.len()].copy_from_slice(STATUS_OK);
        bytes[STATUS_OK.len()..][..SERVER.len()].copy_from_slice(SERVER);
        bytes[SERVER_END..DATE_AT].copy_from_slice(DATE_NAME);
        bytes[LENGTH - 2..].copy_from_slice(b"\r\n");
        let mut preamble = Self { bytes, unix_seconds };
        preamble.format();
        preamble
    }

    /// Brings the date up to `unix_seconds`; free when it has not changed.
    pub fn refresh(&mut self, unix_seconds: u64) {
        if self.unix_seconds != unix_seconds {
            self.unix_seconds = unix_seconds;
            self.format();
        }
    }

    /// The date alone, as it stands in the Date field (RFC 9110 5.6.7: IMF-fixdate).
    #[must_use]
    pub fn date(&self) -> &str {
        str::from_utf8(&self.bytes[DATE_AT..DATE_AT + DATE_LENGTH]).expect("a date is ASCII")
    }

    /// `HTTP/1.1 200 OK`, Server and Date, each with its line end.
    pub(crate) fn ok(&self) -> &[u8; LENGTH] {
        &self.bytes
    }

    /// The Server line.
    pub(crate) fn server(&self) -> &[u8] {
        &self.bytes[STATUS_OK.len()..SERVER_END]
    }

    /// The Date line.
    pub(crate) fn date_line(&self) -> &[u8] {
        &self.bytes[SERVER_END..]
    }

    fn format(&mut self) {
        // Year 9999 is the last that the format can express; a clock beyond it is not believed.
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(self.unix_seconds.min(LAST_SECOND));
        let text = httpdate::fmt_http_date(time);
        self.bytes[DATE_AT..DATE_AT + DATE_LENGTH].copy_from_slice(text.as_bytes());
    }
}

const STATUS_OK: &[u8; 17] = b"HTTP/1.1 200 OK\r\n";
const SERVER: &[u8; 18] = b"Server: corewise\r\n";
const DATE_NAME: &[u8; 6] = b"Date: ";
const DATE_LENGTH: usize = 29;
const SERVER_END: usize = STATUS_OK.len() + SERVER.len();
const DATE_AT: usize = SERVER_END + DATE_NAME.len();
const LENGTH: usize = DATE_AT + DATE_LENGTH + 2;
const LAST_SECOND: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_status_server_and_date() {
        let mut preamble = Preamble::new(784_111_777);
        let expected =
            "HTTP/1.1 200 OK\r\nServer: corewise\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
        assert_eq!(preamble.ok(), expected.as_bytes());
        assert_eq!(preamble.server(), b"Server: corewise\r\n");
        assert_eq!(preamble.date_line(), b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
        preamble.refresh(784_111_778);
        assert_eq!(preamble.date(), "Sun, 06 Nov 1994 08:49:38 GMT");
    }

    #[test]
    fn believes_no_clock_beyond_the_format() {
        assert_eq!(Preamble::new(u64::MAX).date(), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
