//! Paths and patterns in one normal form (RFC 3986 6.2.2), so that equal paths are equal text.
//!
//! In the normal form unreserved characters are not escaped, everything that a path cannot hold
//! is, the digits of escapes are upper case, and there are no dot segments.

use std::rc::Rc;

use crate::http::percent;

/// Whether `path` can be matched and cut into parameters as it is: in normal form and without
/// any escape. Nearly all paths are.
pub(super) fn is_plain(path: &str) -> bool {
    let bytes = path.as_bytes();
    if bytes.first() != Some(&b'/') {
        return false;
    }
    let (mut plain, mut before) = (true, 0);
    for &byte in bytes {
        // A dot behind a slash may begin a dot segment; the slow way looks closer. No branch, as
        // paths are short and nearly always plain to the end.
        plain &= IN_PATH[usize::from(byte)] & !((byte == b'.') & (before == b'/'));
        before = byte;
    }
    plain
}

/// The normal form of a path that begins with a slash; `None` if an escape is malformed or dot
/// segments lead above the root.
pub(super) fn normalise(path: &str) -> Option<String> {
    let mut escaped = String::with_capacity(path.len());
    push_normalised(path.as_bytes(), &mut escaped)?;
    remove_dot_segments(&escaped)
}

/// Whether a decoded value has no dot segment left. Only an escaped slash can have hidden one,
/// which nobody sends in earnest and which would lead a handler that joins paths astray.
pub(super) fn is_settled(value: &str) -> bool {
    !value.contains('/') || !value.split('/').any(is_dot_segment)
}

/// Whether a segment of a path in normal form is not a name but a direction.
pub(super) fn is_dot_segment(segment: &str) -> bool {
    matches!(segment, "." | "..")
}

/// The normal form of a pattern, whose parameters and doubled braces stay as they are.
pub(super) fn normalise_pattern(pattern: &str) -> Result<String, &'static str> {
    if !pattern.starts_with('/') {
        return Err("a pattern begins with a slash");
    }
    let mut normalised = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(brace) = rest.find(['{', '}']) {
        push_literal(&rest[..brace], &mut normalised)?;
        rest = push_braced(&rest[brace..], &mut normalised)?;
    }
    push_literal(rest, &mut normalised)?;
    if normalised.split('/').any(is_dot_segment) {
        return Err("dot segments are resolved before paths are matched");
    }
    let names = parameter_names(&normalised);
    if names.iter().enumerate().any(|(index, name)| names[..index].contains(name)) {
        return Err("two parameters have the same name");
    }
    Ok(normalised)
}

/// The names of the parameters of a pattern in normal form, in which all braces belong to them.
pub(super) fn parameter_names(pattern: &str) -> Rc<[Box<str>]> {
    let parameters = pattern.split('{').skip(1).filter_map(|text| text.split('}').next());
    parameters.map(|name| Box::from(name.strip_prefix('*').unwrap_or(name))).collect()
}

/// Append what `rest` begins with, a parameter or a literal brace, and give back what follows.
fn push_braced<'a>(rest: &'a str, out: &mut String) -> Result<&'a str, &'static str> {
    for (doubled, escaped) in [("{{", "%7B"), ("}}", "%7D")] {
        if let Some(behind) = rest.strip_prefix(doubled) {
            // A path in normal form has no brace either: it is escaped on both sides.
            out.push_str(escaped);
            return Ok(behind);
        }
    }
    let end = rest.find('}').filter(|end| *end > 0).ok_or(UNBALANCED)?;
    let name = &rest[1..end];
    let name = name.strip_prefix('*').unwrap_or(name);
    if name.is_empty() || name.contains(['{', '/', '*']) {
        return Err(UNBALANCED);
    }
    out.push_str(&rest[..=end]);
    Ok(&rest[end + 1..])
}

fn push_literal(text: &str, out: &mut String) -> Result<(), &'static str> {
    if text.contains(['?', '#']) {
        return Err("a pattern is matched against the path alone, which has no query");
    }
    push_normalised(text.as_bytes(), out).ok_or("a percent sign begins no valid escape")
}

const UNBALANCED: &str = "a parameter has no plain name, or a brace is not closed";

/// RFC 3986 6.2.2.1 and 6.2.2.2. `None` at an escape that is none.
fn push_normalised(mut rest: &[u8], out: &mut String) -> Option<()> {
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte == b'%' {
            let (byte, behind) = percent::escape(behind)?;
            rest = behind;
            match is_unreserved(byte) {
                true => out.push(char::from(byte)),
                false => push_escaped(byte, out),
            }
        } else if IN_PATH[usize::from(byte)] {
            out.push(char::from(byte));
        } else {
            push_escaped(byte, out);
        }
    }
    Some(())
}

/// Append a byte as an escape.
pub(super) fn push_escaped(byte: u8, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(DIGITS[usize::from(byte >> 4)]));
    out.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// RFC 3986 5.2.4, but for a path that leads above the root, which it would cut short: that is
/// an attempt, not a mistake.
fn remove_dot_segments(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len());
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => out.truncate(out.rfind('/')?),
            _ => {
                out.push('/');
                out.push_str(segment);
                continue;
            }
        }
        if is_last {
            out.push('/');
        }
    }
    Some(out)
}

/// Whether a byte stands unescaped in a path.
pub(super) fn is_in_path(byte: u8) -> bool {
    IN_PATH[usize::from(byte)]
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What stands unescaped in a path: unreserved characters, sub-delimiters, `:`, `@` and the slash
/// (RFC 3986 3.3).
static IN_PATH: [bool; 256] = {
    let mut table = [false; 256];
    let allowed = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789\
        -._~!$&'()*+,;=:@/";
    let mut index = 0;
    while index < allowed.len() {
        table[allowed[index] as usize] = true;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: Option<&str>) {
        assert_eq!(normalise(path).as_deref(), expected, "{path}");
        if is_plain(path) {
            assert_eq!(expected, Some(path), "plain paths are in normal form");
        }
    }

    #[test]
    fn unreserved_characters_are_unescaped() {
        check("/a", Some("/a"));
        check("/%61%7e%2D%5F", Some("/a~-_"));
        check("/%2f%2F%3a%c3%bc", Some("/%2F%2F%3A%C3%BC"));
        check("/ü {}", Some("/%C3%BC%20%7B%7D"));
        check("/%", None);
        check("/%4", None);
        check("/%4x", None);
    }

    #[test]
    fn dot_segments_go() {
        // The examples of RFC 3986 5.2.4 and 5.4 that begin with a slash.
        check("/a/b/c/./../../g", Some("/a/g"));
        check("/b/c/g;x=1/../y", Some("/b/c/y"));
        check("/b/c/..g", Some("/b/c/..g"));
        check("/b/c/g.", Some("/b/c/g."));
        check("/.", Some("/"));
        check("/./", Some("/"));
        check("/a/.", Some("/a/"));
        check("/a/..", Some("/"));
        check("/a/b/..", Some("/a/"));
        check("/a/b/../", Some("/a/"));
        check("/...", Some("/..."));
        check("/.well-known/x", Some("/.well-known/x"));
        check("/a/%2e%2E/b", Some("/b"));
        check("/a/%2e./b", Some("/b"));
        check("/a/..%2Fb", Some("/a/..%2Fb"));
        check("/..", None);
        check("/../a", None);
        check("/a/../../b", None);
        check("/%2e%2e/a", None);
    }

    #[test]
    fn empty_segments_stay() {
        check("/", Some("/"));
        check("//", Some("//"));
        check("//a//b/", Some("//a//b/"));
        check("/a//../b", Some("/a/b"));
        check("//..", Some("/"));
    }

    #[test]
    fn plain_is_what_needs_no_work() {
        for path in ["/", "/user/42", "/a.b/c..d", "//x", "/~me/@b:c;d=e,f!$&'()*+"] {
            assert!(is_plain(path), "{path}");
        }
        for path in ["", "*", "a", "/%61", "/./a", "/.a", "/a b", "/ü", "/\"", "/{x}", "/a\0"] {
            assert!(!is_plain(path), "{path}");
        }
    }

    #[track_caller]
    fn check_pattern(pattern: &str, expected: Result<(&str, &[&str]), ()>) {
        let normalised = normalise_pattern(pattern);
        let names = normalised.as_deref().map(parameter_names);
        let names = names.as_ref().map(|names| names.iter().map(|n| &**n).collect::<Vec<_>>());
        match expected {
            Ok((text, expected)) => {
                assert_eq!(normalised.as_deref(), Ok(text), "{pattern}");
                assert_eq!(names.as_deref(), Ok(expected), "{pattern}");
            }
            Err(()) => assert!(normalised.is_err(), "{pattern} gave {normalised:?}"),
        }
    }

    #[test]
    fn patterns() {
        check_pattern("/", Ok(("/", &[])));
        check_pattern("/user/{id}", Ok(("/user/{id}", &["id"])));
        check_pattern(
            "/{a}/img-{b}.png/{*rest}",
            Ok(("/{a}/img-{b}.png/{*rest}", &["a", "b", "rest"])),
        );
        check_pattern("/grüße/{名}", Ok(("/gr%C3%BC%C3%9Fe/{名}", &["名"])));
        check_pattern("/a b/%7e/%2f", Ok(("/a%20b/~/%2F", &[])));
        check_pattern("/{{x}}/{y}", Ok(("/%7Bx%7D/{y}", &["y"])));
        for pattern in [
            "", "a", "*", "/{", "/}", "/{}", "/{*}", "/{a", "/a}", "/{a}}", "/{a/b}", "/{a{b}",
            "/%", "/%4", "/a?b=c", "/a#b", "/./a", "/a/..", "/%2e/a", "/{a}/{a}", "/{a*}",
        ] {
            check_pattern(pattern, Err(()));
        }
    }
}
