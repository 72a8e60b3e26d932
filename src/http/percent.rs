//! Percent-encoding (RFC 3986 2.1), as far as a server reads it.
//!
//! A path and a form are decoded by different rules: a path that does not decode is the client's
//! mistake, while forms are written by anything at all and are read as browsers read them. Text
//! that holds nothing to decode is handed back as it is, without an allocation.

use std::borrow::Cow;
use std::fmt;

/// Why a piece of a path does not decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// A `%` without two hexadecimal digits behind it.
    Malformed,
    /// An escaped NUL: no text has one, and below us it would end a file name early.
    Nul,
    /// The decoded bytes are not UTF-8.
    Utf8,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "a percent sign is not followed by two hexadecimal digits",
            Self::Nul => "an escape stands for NUL",
            Self::Utf8 => "the escapes do not stand for UTF-8 text",
        })
    }
}

impl std::error::Error for DecodeError {}

/// Decode a piece of a path. A plus sign is a plus sign here.
///
/// # Errors
/// When an escape is malformed, stands for NUL, or the result is not UTF-8.
pub fn decode_path_segment(text: &str) -> Result<Cow<'_, str>, DecodeError> {
    let bytes = text.as_bytes();
    let Some(first) = memchr::memchr(b'%', bytes) else { return Ok(Cow::Borrowed(text)) };
    let mut decoded = Vec::with_capacity(bytes.len());
    decoded.extend_from_slice(&bytes[..first]);
    let mut rest = &bytes[first..];
    while let Some((&byte, behind)) = rest.split_first() {
        let (byte, behind) = match byte {
            b'%' => escape(behind).ok_or(DecodeError::Malformed)?,
            _ => (byte, behind),
        };
        if byte == 0 {
            return Err(DecodeError::Nul);
        }
        decoded.push(byte);
        rest = behind;
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| DecodeError::Utf8)
}

/// Decode a name or a value of a query or a form (WHATWG URL 5.1): `+` is a space, an escape that
/// is none stays as it was written, and what is not UTF-8 is replaced by U+FFFD.
pub fn decode_form(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let Some(first) = memchr::memchr2(b'%', b'+', bytes) else { return Cow::Borrowed(text) };
    let mut decoded = Vec::with_capacity(bytes.len());
    decoded.extend_from_slice(&bytes[..first]);
    let mut rest = &bytes[first..];
    while let Some((&byte, behind)) = rest.split_first() {
        let (byte, behind) = match byte {
            b'+' => (b' ', behind),
            b'%' => escape(behind).unwrap_or((b'%', behind)),
            _ => (byte, behind),
        };
        decoded.push(byte);
        rest = behind;
    }
    let decoded = String::from_utf8(decoded);
    Cow::Owned(decoded.unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

/// The byte whose two hexadecimal digits `rest`, the text behind a percent sign, begins with, and
/// what is behind them.
pub(crate) fn escape(rest: &[u8]) -> Option<(u8, &[u8])> {
    let (&[high, low], behind) = rest.split_first_chunk()?;
    Some((digit(high)? << 4 | digit(low)?, behind))
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_path(text: &str, expected: Result<&str, DecodeError>) {
        assert_eq!(decode_path_segment(text).as_deref(), expected.as_deref(), "{text}");
    }

    #[track_caller]
    fn check_form(text: &str, expected: &str) {
        assert_eq!(decode_form(text), expected, "{text}");
    }

    #[test]
    fn path_decodes() {
        check_path("", Ok(""));
        check_path("plain-._~", Ok("plain-._~"));
        check_path("a+b", Ok("a+b"));
        check_path("a%2Fb", Ok("a/b"));
        check_path("a%2fb", Ok("a/b"));
        check_path("%c3%BC", Ok("ü"));
        check_path("ü%20", Ok("ü "));
        check_path("%25", Ok("%"));
        check_path("%2541", Ok("%41"));
        check_path("%7F", Ok("\u{7f}"));
    }

    #[test]
    fn path_refuses() {
        for text in ["%", "%4", "a%", "a%4", "%g0", "%0g", "%%41", "% 41", "%+1", "%\u{fc}1"] {
            check_path(text, Err(DecodeError::Malformed));
        }
        check_path("%00", Err(DecodeError::Nul));
        check_path("a%00b", Err(DecodeError::Nul));
        // A stray continuation, a cut sequence, an overlong slash, a surrogate, past the last.
        for text in ["%80", "%c3", "%c3x", "%c0%af", "%ed%a0%80", "%f4%90%80%80"] {
            check_path(text, Err(DecodeError::Utf8));
        }
    }

    #[test]
    fn form_decodes() {
        check_form("", "");
        check_form("plain", "plain");
        check_form("a+b%2Bc", "a b+c");
        check_form("%", "%");
        check_form("%4", "%4");
        check_form("100%+sure", "100% sure");
        check_form("%zz%41", "%zzA");
        check_form("%%41", "%A");
        check_form("%ff!", "\u{fffd}!");
        check_form("%00", "\0");
    }

    #[test]
    fn nothing_to_decode_is_borrowed() {
        assert!(matches!(decode_path_segment("a+b/c"), Ok(Cow::Borrowed("a+b/c"))));
        assert!(matches!(decode_form("a-b"), Cow::Borrowed("a-b")));
    }

    proptest! {
        #[test]
        fn any_text_survives_encoding(text in "[^\0]{0,40}") {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            prop_assert_eq!(decode_form(&encoded), &*text);
            prop_assert_eq!(decode_path_segment(&encoded), Ok(Cow::Owned(text)));
        }

        #[test]
        fn no_text_panics(text in "[%+0-9a-fgü]{0,12}") {
            let form = decode_form(&text);
            if let Ok(path) = decode_path_segment(&text) && !text.contains('+') {
                prop_assert_eq!(path, form);
            }
        }
    }
}
