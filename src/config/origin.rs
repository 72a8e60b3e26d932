//! Where a value was written.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Where a value was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// Nowhere: the default holds.
    Default,
    /// In this environment variable.
    Environment(String),
    /// In a file.
    File {
        /// The file.
        source: Arc<Source>,
        /// The bytes of it.
        span: Range<usize>,
    },
    /// In this flag.
    Flag(String),
}

/// A file that was read.
#[derive(Eq, PartialEq)]
pub struct Source {
    /// Its path, as it was named, without what could steer a terminal.
    pub path: String,
    /// What is in it; empty if it could not be read.
    pub text: String,
}

/// A place in a file, both numbers from 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column in characters.
    pub column: usize,
}

impl Origin {
    /// The place, if it is one in a file.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        let Self::File { source, span } = self else { return None };
        let before = &source.text[..source.text.floor_char_boundary(span.start)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Some(Place {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        })
    }

    /// True when somebody wrote the value, false for a default.
    #[must_use]
    pub fn is_written(&self) -> bool {
        *self != Self::Default
    }

    /// Narrows a place to the part of a list of CPUs that names `cpu`, if it can be found.
    pub(super) fn at_cpu(&self, cpu: usize) -> Self {
        let Self::File { source, span } = self else { return self.clone() };
        let written = source.text.get(span.clone()).unwrap_or_default();
        let mut start = span.start;
        for part in written.split(',') {
            let list = part.trim_matches(|char: char| !char.is_ascii_digit());
            let names_it = super::cpus::parse_list(list).is_ok_and(|cpus| cpus.contains(&cpu));
            if names_it {
                let start = start + part.find(list).unwrap_or(0);
                let span = start..start + list.len();
                return Self::File { source: Arc::clone(source), span };
            }
            start += part.len() + 1;
        }
        self.clone()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            // Nothing that is shown may steer a terminal.
            Self::Environment(name) => write!(f, "env {}", name.escape_debug()),
            Self::File { source, .. } => match self.place() {
                Some(place) if !source.text.is_empty() => {
                    write!(f, "{}:{}", source.path, place.line)
                }
                _ => f.write_str(&source.path),
            },
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str, what: &str) -> Origin {
        let start = text.find(what).unwrap();
        let source = Source { path: "corewise.toml".into(), text: text.into() };
        Origin::File { source: Arc::new(source), span: start..start + what.len() }
    }

    #[test]
    fn places_are_counted_in_lines_and_characters() {
        let origin = origin("a = 1\nü = \"x\"", "\"x\"");
        assert_eq!(origin.place(), Some(Place { line: 2, column: 5 }));
        assert_eq!(origin.to_string(), "corewise.toml:2");
        assert_eq!(Origin::Flag("bind".into()).to_string(), "--bind");
        assert_eq!(Origin::Environment("PORT".into()).to_string(), "env PORT");
    }

    #[track_caller]
    fn check_cpu(written: &str, cpu: usize, expected: Option<&str>) {
        let whole = origin(&format!("cores = {written}"), written);
        let found = whole.at_cpu(cpu);
        match expected {
            None => assert_eq!(found, whole),
            Some(part) => {
                let Origin::File { source, span } = found else { panic!("{found:?}") };
                assert_eq!(&source.text[span], part);
            }
        }
    }

    #[test]
    fn a_cpu_is_found_in_its_list() {
        check_cpu("\"1,5-7\"", 1, Some("1"));
        check_cpu("\"1, 5-7\"", 6, Some("5-7"));
        check_cpu("\"1,5-7\"", 9, None);
        check_cpu("3", 3, Some("3"));
        check_cpu("\"auto\"", 3, None);
    }
}
