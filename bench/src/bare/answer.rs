//! The one answer of the bare loop, with the fields and the length of corewise's /plaintext.

use std::time::{Duration, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// The answer as bytes, its date exact to the second.
pub(super) struct Answer {
    keep: Vec<u8>,
    close: Vec<u8>,
    unix_seconds: i64,
}

impl Answer {
    pub(super) fn new() -> Self {
        let mut answer = Self { keep: Vec::new(), close: Vec::new(), unix_seconds: -1 };
        answer.refresh();
        answer
    }

    /// Once per turn: the coarse clock is read without entering the kernel.
    pub(super) fn refresh(&mut self) {
        let now = clock_gettime(ClockId::RealtimeCoarse).tv_sec;
        if now != self.unix_seconds {
            self.unix_seconds = now;
            self.rewrite();
        }
    }

    pub(super) fn bytes(&self, close: bool) -> &[u8] {
        if close { &self.close } else { &self.keep }
    }

    fn rewrite(&mut self) {
        let seconds = u64::try_from(self.unix_seconds).unwrap_or(0);
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
        self.keep = answer(&date, "");
        self.close = answer(&date, "Connection: close\r\n");
    }
}

fn answer(date: &str, connection: &str) -> Vec<u8> {
    // The server's name is as long as `corewise`, so that both send the same number of bytes.
    format!(
        "HTTP/1.1 200 OK\r\nServer: bareloop\r\nDate: {date}\r\n{connection}\
         Content-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_whole_answers() {
        let answer = Answer::new();
        for close in [false, true] {
            let text = String::from_utf8(answer.bytes(close).to_vec()).unwrap();
            assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
            assert!(text.ends_with("\r\n\r\nHello, World!"), "{text}");
            assert_eq!(text.contains("Connection: close\r\n"), close, "{text}");
        }
    }
}
