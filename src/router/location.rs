//! Where a redirect leads: a target with holes for what its route's pattern captures.
//!
//! What a client sends never decides which host it is sent to: captures stand behind the host
//! only, a target without a host always begins with a single slash, and everything is taken from
//! the normal form of the path, in which all that is not part of a URI is escaped.

use std::borrow::Cow;
use std::fmt;

use super::path;
use super::pattern::{Pattern, REST};
use crate::http::{is_authority, percent};

/// The target of a redirect.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Location {
    /// As it was written.
    text: Box<str>,
    /// Whose captures the indices of the pieces count.
    pattern: Pattern,
    /// Scheme and authority; empty for a path on the host that was asked.
    origin: Box<str>,
    path: Box<[Piece]>,
    query: Query,
    fragment: Box<[Piece]>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Piece {
    /// Of that number in the order of the pattern.
    Capture(usize),
    /// Escaped as it has to be.
    Literal(Box<str>),
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Query {
    /// That of the request.
    Kept,
    /// One of its own; none if it is empty.
    Own(Box<[Piece]>),
}

impl Location {
    /// Read the target of a redirect for the paths of `pattern`: `/path` or `https://host/path`,
    /// in which `{name}` and `*` stand for what the pattern captures. A query of its own, if only
    /// a question mark, takes the place of the request's, which is kept otherwise.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, pattern: &Pattern) -> Result<Self, String> {
        if text.chars().any(char::is_control) {
            return Err("a control character has no place in a target".into());
        }
        let (origin, rest) = split_origin(text)?;
        // Names hold neither, and what is captured has them escaped.
        let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let path = pieces(if path.is_empty() { "/" } else { path }, pattern, Place::Path)?;
        if !is_settled(&join(&path, |_| "x")) {
            return Err("a dot segment leads elsewhere than it seems; write where it leads".into());
        }
        let query = match query {
            Some(query) => Query::Own(pieces(query, pattern, Place::Query)?),
            None => Query::Kept,
        };
        let fragment = pieces(fragment, pattern, Place::Query)?;
        let (text, origin) = (text.into(), origin.into());
        Ok(Self { text, pattern: pattern.clone(), origin, path, query, fragment })
    }

    /// The path, in normal form, to which every request is led on the host that it asked; `None`
    /// if that depends on the request, or is elsewhere.
    pub fn fixed_path(&self) -> Option<String> {
        match &*self.path {
            [Piece::Literal(path)] if self.origin.is_empty() => path::normalise(path),
            _ => None,
        }
    }

    /// The value of the Location field for a request; `path` and `query` are as they were sent.
    /// `None` if what was captured would be a dot segment in it, or the path is not the pattern's.
    pub fn render(&self, path: &str, query: Option<&str>) -> Option<String> {
        let path = match path::is_plain(path) {
            true => Cow::Borrowed(path),
            false => Cow::Owned(path::normalise(path)?),
        };
        let mut values = Vec::new();
        if !self.pattern.capture(&path, |value| values.push(value)) {
            return None;
        }
        let mut target = join(&self.path, |index| values[index]);
        if !is_settled(&target) {
            return None;
        }
        if self.origin.is_empty() {
            // Two slashes at the start would be followed by a host.
            let end = target.len() - target.trim_start_matches('/').len();
            target.replace_range(..end, "/");
        } else {
            target.insert_str(0, &self.origin);
        }
        let query = match &self.query {
            Query::Kept => Cow::Borrowed(query.unwrap_or_default()),
            Query::Own(pieces) => Cow::Owned(join_escaped(pieces, &values)),
        };
        for (mark, text) in [('?', query), ('#', join_escaped(&self.fragment, &values).into())] {
            if !text.is_empty() {
                target.push(mark);
                target.push_str(&text);
            }
        }
        Some(target)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Scheme and authority, and what is behind them.
fn split_origin(text: &str) -> Result<(&str, &str), String> {
    if text.starts_with("//") || text.starts_with("/\\") {
        return Err("a target on another host begins with its scheme".into());
    }
    if text.starts_with('/') {
        return Ok(("", text));
    }
    let is_web = |scheme: &str| ["http", "https"].iter().any(|s| scheme.eq_ignore_ascii_case(s));
    let Some((_, rest)) = text.split_once("://").filter(|(scheme, _)| is_web(scheme)) else {
        return Err("a target begins with a slash, `http://` or `https://`".into());
    };
    let length = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(length);
    if authority.contains(['{', '}', '*']) {
        return Err("what a client sends cannot be part of the host it is sent to".into());
    }
    if !is_authority(authority) {
        return Err(format!("`{authority}` is not a host with an optional port"));
    }
    Ok((&text[..text.len() - rest.len()], rest))
}

#[derive(Clone, Copy)]
enum Place {
    Path,
    /// Or the fragment, which may hold the same.
    Query,
}

fn pieces(mut text: &str, pattern: &Pattern, place: Place) -> Result<Box<[Piece]>, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    while let Some(byte) = text.bytes().next() {
        if let Some((brace, behind)) = doubled_brace(text) {
            path::push_escaped(brace, &mut literal);
            text = behind;
        } else if let Some((name, behind)) = hole(text)? {
            let index = pattern.names().position(|known| known == name);
            let index = index.ok_or_else(|| unknown_capture(name, pattern))?;
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
            }
            pieces.push(Piece::Capture(index));
            text = behind;
        } else if byte == b'%' {
            let (byte, _) = percent::escape(&text.as_bytes()[1..])
                .ok_or("a percent sign begins no valid escape")?;
            // An escape stays as it is, but for a dot: clients look for dot segments behind it.
            literal.push_str(if byte == b'.' { "." } else { &text[..3] });
            text = &text[3..];
        } else {
            let end = text.chars().next().map_or(text.len(), char::len_utf8);
            for byte in text[..end].bytes() {
                push_literal(byte, place, &mut literal);
            }
            text = &text[end..];
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal.into()));
    }
    Ok(pieces.into())
}

fn push_literal(byte: u8, place: Place, out: &mut String) {
    let stays = path::is_in_path(byte) || (matches!(place, Place::Query) && byte == b'?');
    if stays { out.push(char::from(byte)) } else { path::push_escaped(byte, out) }
}

fn doubled_brace(text: &str) -> Option<(u8, &str)> {
    let behind = text.strip_prefix("{{").map(|behind| (b'{', behind));
    behind.or_else(|| text.strip_prefix("}}").map(|behind| (b'}', behind)))
}

/// The name of a capture that `text` begins with, and what is behind it.
fn hole(text: &str) -> Result<Option<(&str, &str)>, String> {
    if let Some(behind) = text.strip_prefix(REST) {
        return Ok(Some((REST, behind)));
    }
    if text.starts_with('}') {
        return Err("a brace is closed that was not opened; `}}` is the character".into());
    }
    let Some(text) = text.strip_prefix('{') else { return Ok(None) };
    let (name, behind) = text.split_once('}').ok_or("a brace is not closed")?;
    // `{*rest}` in the pattern may be written so here too.
    Ok(Some((name.strip_prefix('*').filter(|name| !name.is_empty()).unwrap_or(name), behind)))
}

fn unknown_capture(name: &str, pattern: &Pattern) -> String {
    let names: Vec<_> = pattern
        .names()
        .map(|name| if name == REST { "`*`".to_owned() } else { format!("`{{{name}}}`") })
        .collect();
    let shown = if name == REST { "`*`".to_owned() } else { format!("`{{{name}}}`") };
    match names.is_empty() {
        true => format!("{shown} stands for nothing: the path captures nothing"),
        false => format!("{shown} stands for nothing; the path captures {}", names.join(", ")),
    }
}

fn join<'a>(pieces: &'a [Piece], value: impl Fn(usize) -> &'a str) -> String {
    let texts = pieces.iter().map(|piece| match piece {
        Piece::Capture(index) => value(*index),
        Piece::Literal(text) => &**text,
    });
    texts.collect()
}

/// For a query or a fragment: what has a meaning in a form but none in a path is escaped.
fn join_escaped(pieces: &[Piece], values: &[&str]) -> String {
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Capture(index) => {
                for byte in values[*index].bytes() {
                    match byte {
                        b'&' | b'=' | b'+' | b';' | b'\'' => path::push_escaped(byte, &mut out),
                        _ => out.push(char::from(byte)),
                    }
                }
            }
            Piece::Literal(text) => out.push_str(text),
        }
    }
    out
}

fn is_settled(path: &str) -> bool {
    !path.split('/').any(path::is_dot_segment)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn render(pattern: &str, target: &str, request: &str) -> Option<String> {
        let pattern = Pattern::parse(pattern).unwrap();
        let location = Location::parse(target, &pattern).unwrap();
        let (path, query) = match request.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (request, None),
        };
        location.render(path, query)
    }

    #[track_caller]
    fn check(pattern: &str, target: &str, request: &str, expected: &str) {
        let found = render(pattern, target, request);
        assert_eq!(found.as_deref(), Some(expected), "{pattern} to {target} for {request}");
    }

    #[test]
    fn captures() {
        check("/a", "/b", "/a", "/b");
        check("/user/{id}", "/people/{id}/x", "/user/42", "/people/42/x");
        check("/old/*", "/new/*", "/old/a/b", "/new/a/b");
        check("/old/*", "/new/*", "/old/", "/new/");
        check("/old/{*rest}", "/new/{rest}", "/old/a/b", "/new/a/b");
        check("/old/{*rest}", "/new/{*rest}", "/old/a/b", "/new/a/b");
        check("/{a}/{b}", "/{b}/{a}/{b}", "/1/2", "/2/1/2");
        check("/*", "https://example.org/*", "/a/b", "https://example.org/a/b");
        check("/*", "https://example.org", "/a/b", "https://example.org/");
        check("/*", "HTTPS://[::1]:8443/x", "/", "HTTPS://[::1]:8443/x");
    }

    #[test]
    fn escapes_stay_right() {
        check("/u/{n}", "/v/{n}", "/u/a%2Fb%20c", "/v/a%2Fb%20c");
        check("/u/*", "/v/*", "/u/a%2fb/%c3%bc", "/v/a%2Fb/%C3%BC");
        check("/u/{n}", "/v/{n}", "/u/%0d%0aSet-Cookie:x", "/v/%0D%0ASet-Cookie:x");
        check("/u/{n}", "/v/{n}", "/u/%25%3F%23", "/v/%25%3F%23");
        check("/u/{n}", "/v/{n}", "/%75/%7e", "/v/~");
        check("/u", "/gr\u{fc}n {{x}}", "/u", "/gr%C3%BCn%20%7Bx%7D");
        check("/u", "/%zz".replace("zz", "2f").as_str(), "/u", "/%2f");
        check("/u/{n}", "/s?q={n}&x=y", "/u/a&b=c+d;e'", "/s?q=a%26b%3Dc%2Bd%3Be%27&x=y");
        check("/u/{n}", "/s#{n}", "/u/a&b", "/s#a%26b");
    }

    #[test]
    fn queries() {
        check("/a", "/b", "/a?x=1&y=%zz", "/b?x=1&y=%zz");
        check("/a", "/b", "/a?", "/b");
        check("/a", "/b#top", "/a?x=1", "/b?x=1#top");
        check("/a", "/b?own=1", "/a?x=1", "/b?own=1");
        check("/a", "/b?", "/a?x=1", "/b");
        check("/a", "/b?#top", "/a?x=1", "/b#top");
        check("/a", "/b?x?y", "/a", "/b?x?y");
        check("/a", "https://example.org", "/a?x=1", "https://example.org/?x=1");
        check("/a", "https://example.org?y=2", "/a?x=1", "https://example.org/?y=2");
    }

    /// A path that begins with two slashes would name a host.
    #[test]
    fn nobody_is_led_to_another_host() {
        check("/old/*", "/*", "/old//evil.example", "/evil.example");
        check("/old/*", "/*", "/old////evil.example/x", "/evil.example/x");
        check("/old/*", "/*", "/old/", "/");
        check("/old/*", "/*/evil.example", "/old/", "/evil.example");
        check("/old/*", "/*", "/old/%5Cevil.example", "/%5Cevil.example");
        check("/old/*", "/*", "/old/%2Fevil.example", "/%2Fevil.example");
        check("/old/*", "/*", "/old/%09/evil.example", "/%09/evil.example");
        check("/old/*", "/*", "/old/https://evil.example", "/https://evil.example");
        check("/*", "/*", "//evil.example/..", "/");
        check("/*", "https://a.example/*", "/@evil.example", "https://a.example/@evil.example");
    }

    #[test]
    fn dot_segments_are_never_made() {
        assert_eq!(render("/x-{v}", "/a/{v}", "/x-.."), None);
        assert_eq!(render("/x-{v}/{*w}", "/{v}/{w}", "/x-.//evil.example"), None);
        assert_eq!(render("/x/{v}", "/.{v}", "/x/a."), Some("/.a.".to_owned()));
        assert_eq!(render("/x-{v}", "/a{v}", "/x-.."), Some("/a..".to_owned()));
        assert_eq!(render("/x-{v}", "/%2e{v}", "/x-."), None);
        assert_eq!(render("/x", "/a", "/y"), None);
    }

    #[track_caller]
    fn check_refused(target: &str, expected: &str) {
        let pattern = Pattern::parse("/{id}/{*rest}").unwrap();
        let reason = Location::parse(target, &pattern).unwrap_err();
        assert!(reason.contains(expected), "{target}: {reason}");
    }

    #[test]
    fn refused_targets() {
        check_refused("", "begins with a slash");
        check_refused("b", "begins with a slash");
        check_refused("javascript:alert(1)", "begins with a slash");
        check_refused("ftp://example.org/", "begins with a slash");
        check_refused("//example.org/", "begins with its scheme");
        check_refused("/\\example.org/", "begins with its scheme");
        check_refused("https://{id}.example.org/", "part of the host");
        check_refused("https://example.org{id}", "part of the host");
        check_refused("https://example.org*", "part of the host");
        check_refused("https://", "not a host");
        check_refused("https:///a", "not a host");
        check_refused("https://a b/", "not a host");
        check_refused("https://me@example.org/", "not a host");
        check_refused("https://gr\u{fc}n.example/", "not a host");
        check_refused("/a\r\nSet-Cookie: x", "control character");
        check_refused("/a\t", "control character");
        check_refused("/%", "no valid escape");
        check_refused("/a?%zz", "no valid escape");
        check_refused("/a/../b", "dot segment");
        check_refused("/{id}/.", "dot segment");
        check_refused("/a/%2e%2E/b", "dot segment");
        check_refused("/{id", "not closed");
        check_refused("/id}", "not opened");
        check_refused("/{name}", "`{name}` stands for nothing; the path captures `{id}`, `{rest}`");
        check_refused("/{}", "`{}` stands for nothing");
        check_refused("/*", "`*` stands for nothing; the path captures");
        let plain = Pattern::parse("/a").unwrap();
        let reason = Location::parse("/b/*", &plain).unwrap_err();
        assert_eq!(reason, "`*` stands for nothing: the path captures nothing");
    }

    proptest! {
        /// Whatever is sent, the answer is a URI on our own host, or on the one that was written.
        #[test]
        fn no_request_chooses_the_host(
            path in "/[/.%@:\\\\a-f0-9\u{fc}\0\t ?#{}*]{0,24}",
            target in prop_oneof![
                Just("/*"), Just("/*/*"), Just("/a*"), Just("/?q=*"), Just("/a#*"),
                Just("https://a.example/*"), Just("https://a.example?*"),
            ],
        ) {
            let pattern = Pattern::parse("/*").unwrap();
            let location = Location::parse(target, &pattern).unwrap();
            if let Some(text) = location.render(&path, None) {
                prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{}", text);
                match target.starts_with('/') {
                    true => prop_assert!(text.starts_with('/') && !text.starts_with("//")),
                    false => prop_assert!(text.starts_with("https://a.example/")),
                }
                prop_assert!(!text.contains('\\'), "{}", text);
            }
        }

        #[test]
        fn no_target_panics(target in "[/a-c{}*%?#:\u{fc} ]{0,16}") {
            let pattern = Pattern::parse("/{a}/{*b}").unwrap();
            if let Ok(location) = Location::parse(&target, &pattern) {
                prop_assert!(location.render("/x/y", Some("q")).is_some());
            }
        }
    }
}
