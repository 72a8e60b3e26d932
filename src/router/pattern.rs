//! Patterns of an ordered table: one path, or many, as people write them in a file.
//!
//! They share their normal form and the meaning of `{name}` and `{*rest}` with the patterns of
//! [`Router`](super::Router), and add `/*` at the end for whatever follows, nothing included.
//! A pattern knows which others it takes in, so that a route that can never be reached is found
//! before anybody misses it.

use std::fmt;

use super::path;

/// A pattern of an ordered table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pattern {
    /// As it was written.
    text: Box<str>,
    /// What stands between the slashes; the tail and the slash before it left out. Cut once, as
    /// in a long file each pattern is compared with all before it.
    segments: Box<[Segment]>,
    /// What every path begins with.
    prefix: Box<str>,
    /// The parameters that stand for a segment or a part of one.
    steps: Box<[Step]>,
    tail: Tail,
    /// Of all captures, in order; that of `*` is `*`.
    names: Box<[Box<str>]>,
}

/// A parameter, and the literal text up to the next one.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Step {
    /// The rest of the parameter's segment.
    suffix: Box<str>,
    /// What follows, from the slash on; empty at the end.
    literal: Box<str>,
}

/// How a pattern ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Tail {
    /// `*`: with anything, nothing included.
    Anything,
    /// Here.
    Nothing,
    /// `{*rest}`: with at least one character.
    Something,
}

impl Pattern {
    /// Read a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (written, tail) = match text.strip_suffix('*') {
            Some(body) if body.ends_with('/') => (body, Tail::Anything),
            _ => (text, Tail::Nothing),
        };
        let normal = path::normalise_pattern(written)?;
        let mut names: Vec<_> = path::parameter_names(&normal).iter().cloned().collect();
        let (body, tail) = match normal.find("{*") {
            Some(_) if tail == Tail::Anything => return Err(REST_INSIDE),
            Some(at) if !normal.ends_with('}') || normal[at + 1..].contains('{') => {
                return Err(REST_INSIDE);
            }
            Some(at) if !normal[..at].ends_with('/') => return Err(REST_IN_SEGMENT),
            Some(at) => (&normal[..at], Tail::Something),
            None => (&*normal, tail),
        };
        if body.contains('*') {
            return Err("`*` can only stand at the end, as a segment of its own");
        }
        if tail == Tail::Anything {
            names.push(REST.into());
        }
        let (prefix, steps) = cut(body)?;
        let segments = segments(body, tail);
        Ok(Self { text: text.into(), segments, prefix, steps, tail, names: names.into() })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of what it captures, in order; `*` captures under the name `*`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// Whether `path`, which is in normal form, is one of its paths.
    pub fn matches(&self, path: &str) -> bool {
        self.capture(path, |_| ())
    }

    /// Whether `path`, which is in normal form, is one of its paths. What its parameters stand
    /// for goes to `capture`, as it is in the path; if it does not match, some may have gone there.
    pub(super) fn capture<'p>(&self, path: &'p str, mut capture: impl FnMut(&'p str)) -> bool {
        let Some(mut rest) = path.strip_prefix(&*self.prefix) else { return false };
        for step in &self.steps {
            let end = rest.find('/').unwrap_or(rest.len());
            let (segment, behind) = rest.split_at(end);
            match segment.strip_suffix(&*step.suffix) {
                None | Some("") => return false,
                Some(value) => capture(value),
            }
            let Some(behind) = behind.strip_prefix(&*step.literal) else { return false };
            rest = behind;
        }
        if self.tail == Tail::Nothing {
            return rest.is_empty();
        }
        capture(rest);
        self.tail == Tail::Anything || !rest.is_empty()
    }

    /// Whether every path of `other` is one of its own.
    pub fn covers(&self, other: &Self) -> bool {
        let (own, others) = (&self.segments, &other.segments);
        let Some(rest) = others.get(own.len()..) else { return false };
        if !own.iter().zip(others).all(|(one, other)| one.covers(other)) {
            return false;
        }
        match (self.tail, rest) {
            (Tail::Nothing, rest) => rest.is_empty() && other.tail == Tail::Nothing,
            // Behind the slash that both have here.
            (Tail::Anything, []) => other.tail != Tail::Nothing,
            (Tail::Anything, _) => true,
            (Tail::Something, []) => other.tail == Tail::Something,
            (Tail::Something, [last]) => !last.is_empty() || other.tail != Tail::Nothing,
            (Tail::Something, _) => true,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Cuts a pattern in normal form, without its tail, into what it begins with and its parameters.
fn cut(body: &str) -> Result<(Box<str>, Box<[Step]>), &'static str> {
    let mut pieces = body.split('{');
    let prefix = pieces.next().unwrap_or_default();
    let mut steps = Vec::new();
    for piece in pieces {
        // All braces of the normal form belong to parameters.
        let (_, text) = piece.split_once('}').ok_or("a brace is not closed")?;
        let (suffix, literal) = text.split_at(text.find('/').unwrap_or(text.len()));
        steps.push(Step { suffix: suffix.into(), literal: literal.into() });
    }
    // Without a slash behind it, the next parameter stands in the same segment.
    let inner = &steps[..steps.len().saturating_sub(1)];
    if inner.iter().any(|step| step.literal.is_empty()) {
        return Err("a segment can hold only one parameter");
    }
    Ok((prefix.into(), steps.into()))
}

/// The segments of a pattern in normal form, without its tail.
fn segments(body: &str, tail: Tail) -> Box<[Segment]> {
    let body = &body[1..];
    match (tail, body.strip_suffix('/')) {
        (Tail::Nothing, _) => body.split('/').map(Segment::parse).collect(),
        (_, Some(body)) => body.split('/').map(Segment::parse).collect(),
        // The slash before the tail is the first one.
        (_, None) => Box::default(),
    }
}

/// A segment of a pattern.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Segment {
    Literal(Box<str>),
    /// One parameter between two literals that may be empty.
    Parameter {
        prefix: Box<str>,
        suffix: Box<str>,
    },
}

impl Segment {
    fn parse(text: &str) -> Self {
        match (text.split_once('{'), text.split_once('}')) {
            (Some((prefix, _)), Some((_, suffix))) => {
                Self::Parameter { prefix: prefix.into(), suffix: suffix.into() }
            }
            _ => Self::Literal(text.into()),
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Literal(text) if text.is_empty())
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(one), Self::Literal(other)) => one == other,
            (Self::Literal(_), Self::Parameter { .. }) => false,
            (Self::Parameter { prefix, suffix }, Self::Literal(text)) => text
                .strip_prefix(&**prefix)
                .and_then(|text| text.strip_suffix(&**suffix))
                .is_some_and(|value| !value.is_empty()),
            (Self::Parameter { prefix, suffix }, Self::Parameter { prefix: p, suffix: s }) => {
                p.starts_with(&**prefix) && s.ends_with(&**suffix)
            }
        }
    }
}

/// The name of what `*` captures.
pub(super) const REST: &str = "*";
const REST_INSIDE: &str = "what stands for the rest of the path can only stand at the end";
const REST_IN_SEGMENT: &str = "`{*rest}` has to be a segment of its own";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::Params;
    use crate::router::{Outcome, Router};

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    /// What is captured, separated by commas; `-` if the path does not match.
    fn captured(pattern: &Pattern, path: &str) -> String {
        let mut values = Vec::new();
        if pattern.capture(path, |value| values.push(value)) {
            values.join(",")
        } else {
            "-".into()
        }
    }

    #[track_caller]
    fn check(text: &str, cases: &[(&str, &str)]) {
        for (path, expected) in cases {
            assert_eq!(captured(&pattern(text), path), *expected, "{text} {path}");
        }
    }

    #[test]
    fn paths() {
        check("/", &[("/", ""), ("//", "-"), ("/a", "-")]);
        check("/exact", &[("/exact", ""), ("/exact/", "-"), ("/Exact", "-"), ("/exac", "-")]);
        check("/user/{id}", &[("/user/42", "42"), ("/user/", "-"), ("/user/4/", "-")]);
        check("/{a}/x/{b}", &[("/1/x/2", "1,2"), ("/1/y/2", "-"), ("/1/x/", "-"), ("//x/2", "-")]);
        check("/img-{n}.png", &[("/img-a.png", "a"), ("/img-.png", "-"), ("/img-a.gif", "-")]);
        check("/{n}.png", &[("/a.png.png", "a.png"), ("/.png", "-"), ("/a/b.png", "-")]);
        check("/{id}/", &[("/4/", "4"), ("/4", "-"), ("/4//", "-")]);
    }

    #[test]
    fn tails() {
        check("/*", &[("/", ""), ("/a", "a"), ("/a/b/", "a/b/"), ("//", "/")]);
        check("/p/*", &[("/p/", ""), ("/p/a/b", "a/b"), ("/p", "-"), ("/pa", "-")]);
        check("/p/{*rest}", &[("/p/", "-"), ("/p/a/b", "a/b"), ("/p//", "/"), ("/p", "-")]);
        check("/{a}/*", &[("/1/", "1,"), ("/1/2/3", "1,2/3"), ("/1", "-"), ("//2", "-")]);
        check("/ü/*", &[("/%C3%BC/x", "x")]);
    }

    #[track_caller]
    fn check_refused(text: &str, expected: &str) {
        assert_eq!(Pattern::parse(text).unwrap_err(), expected, "{text}");
    }

    #[test]
    fn refused_patterns() {
        check_refused("", "a pattern begins with a slash");
        check_refused("a/*", "a pattern begins with a slash");
        check_refused("*", "a pattern begins with a slash");
        for text in ["/a*", "/*/a", "/**", "/*.png", "/a/*/*"] {
            check_refused(text, "`*` can only stand at the end, as a segment of its own");
        }
        check_refused("/{*a}/b", REST_INSIDE);
        check_refused("/{*a}{b}", REST_INSIDE);
        check_refused("/{*a}/*", REST_INSIDE);
        check_refused("/a{*b}", REST_IN_SEGMENT);
        check_refused("/{a}{b}", "a segment can hold only one parameter");
        check_refused("/{a}-{b}/c", "a segment can hold only one parameter");
        check_refused("/{a}/{a}", "two parameters have the same name");
        check_refused("/../a", "dot segments are resolved before paths are matched");
        check_refused("/a?b", "a pattern is matched against the path alone, which has no query");
        check_refused("/{", "a parameter has no plain name, or a brace is not closed");
    }

    #[track_caller]
    fn check_covers(one: &str, covered: &[&str], not_covered: &[&str]) {
        for other in covered {
            assert!(pattern(one).covers(&pattern(other)), "{one} takes all of {other}");
        }
        for other in not_covered {
            assert!(!pattern(one).covers(&pattern(other)), "{one} leaves some of {other}");
        }
    }

    #[test]
    fn covering() {
        check_covers("/*", &["/", "/a", "/*", "/{a}", "/{*a}", "/a/{b}/*"], &[]);
        check_covers("/{*a}", &["/a", "/{b}", "/{*b}", "/a/", "//", "/a/*"], &["/", "/*"]);
        check_covers("/a/*", &["/a/", "/a/b", "/a/{*b}", "/a/*"], &["/a", "/*", "/{a}/", "/b/c"]);
        check_covers("/a/{*b}", &["/a/b", "/a/{c}/", "/a//"], &["/a/", "/a/*", "/a"]);
        check_covers("/{a}", &["/a", "/{b}", "/{b}.png"], &["/", "/a/", "/a/b", "/*", "/{*b}"]);
        check_covers("/{a}.png", &["/x.png", "/y{a}.png"], &["/.png", "/{b}", "/x.gif"]);
        check_covers("/a", &["/a", "/%61"], &["/a/", "/A", "/*", "/{a}"]);
        check_covers("/{a}/{b}", &["/x/{y}", "/{y}/x"], &["/x", "/x/y/z", "/x/*"]);
    }

    /// Patterns of a small alphabet, so that they meet.
    fn patterns() -> impl Strategy<Value = String> {
        let segment = prop_oneof![
            Just(String::new()),
            "[ab]{1,2}",
            "[ab]?".prop_map(|prefix| format!("{prefix}{{NAME}}")),
            "[ab]".prop_map(|suffix| format!("{{NAME}}{suffix}")),
        ];
        let tail = prop_oneof![Just(""), Just("/*"), Just("/{*rest}")];
        (proptest::collection::vec(segment, 0..4), tail).prop_map(|(segments, tail)| {
            let segments: Vec<_> = segments
                .iter()
                .enumerate()
                .map(|(at, text)| text.replace("NAME", &format!("p{at}")))
                .collect();
            let text = if segments.is_empty() { String::new() } else { "/".to_owned() };
            let text = text + &segments.join("/") + tail;
            if text.is_empty() { "/".to_owned() } else { text }
        })
    }

    proptest! {
        #[test]
        fn a_pattern_takes_every_path_of_those_it_covers(
            one in patterns(), other in patterns(), path in "/[ab/]{0,6}",
        ) {
            let (one, other) = (pattern(&one), pattern(&other));
            if one.covers(&other) && other.matches(&path) {
                prop_assert!(one.matches(&path), "{one} covers {other} but has not {path}");
            }
            prop_assert!(one.covers(&one));
        }

        #[test]
        fn what_both_tables_have_means_the_same(text in patterns(), path in "/[ab/]{0,6}") {
            let mut builder = Router::builder();
            if text.ends_with('*') || builder.insert(None, &text, ()).is_err() {
                return Ok(());
            }
            let mut params = Params::new();
            let found = builder.build().route(&::http::Method::GET, &path, &mut params) ==
                Outcome::Found(&());
            let values: Vec<_> = params.iter(&path).map(|(_, value)| value).collect();
            let expected = if found { values.join(",") } else { "-".to_owned() };
            prop_assert_eq!(captured(&pattern(&text), &path), expected, "{}", text);
        }

        #[test]
        fn no_pattern_panics(text in "/?[/.%*a-c7{}ü?]{0,16}", path in "/[/.%*a-c7{}ü]{0,16}") {
            if let Ok(pattern) = Pattern::parse(&text) {
                pattern.matches(&path);
                pattern.covers(&pattern);
            }
        }
    }
}
