//! How commands write: to standard output, quietly once nobody reads on, in colours as the
//! terminal and its owner want them, and in columns that fit 80 of them.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};

use crate::exit::Exit;

/// Writes what a command found out and returns how it ends. A reader that left early (`| head`)
/// has what it wanted.
pub(super) fn write(text: &str, exit: Exit) -> Exit {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => exit,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => exit,
        Err(error) => {
            complain(&format!("error: cannot write to standard output: {error}"));
            Exit::System
        }
    }
}

/// Writes a line to standard error. Where nobody listens, the exit code alone has to say it.
pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes one JSON value, as a line of text each for its members.
pub(super) fn write_json(value: &serde_json::Value, exit: Exit) -> Exit {
    write(&format!("{value:#}\n"), exit)
}

/// Whether to colour.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Paint {
    Off,
    On,
}

/// What a colour means.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tone {
    Bad,
    Dim,
    Good,
    Heading,
    Warn,
}

impl Paint {
    /// For standard output.
    pub(super) fn of_output() -> Self {
        Self::decide(io::stdout().is_terminal(), |name| env::var(name).ok())
    }

    /// For standard error.
    pub(super) fn of_errors() -> Self {
        Self::decide(io::stderr().is_terminal(), |name| env::var(name).ok())
    }

    /// NO_COLOR wins over CLICOLOR_FORCE, which wins over what the terminal is.
    fn decide(is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> Self {
        let said = |name: &str| variable(name).filter(|value| !value.is_empty());
        let wanted = if said("NO_COLOR").is_some() {
            false
        } else if said("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
            true
        } else {
            is_terminal
                && said("TERM").as_deref() != Some("dumb")
                && said("CLICOLOR").as_deref() != Some("0")
        };
        if wanted { Self::On } else { Self::Off }
    }

    /// `text` in the colour of `tone`.
    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        if self == Self::Off || text.is_empty() {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Bad => "1;31",
            Tone::Dim => "2",
            Tone::Good => "32",
            Tone::Heading => "1",
            Tone::Warn => "33",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// Breaks `text` at blanks into lines of at most `width` characters; a longer word stays whole.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The columns that every listing fits.
pub(super) const WIDTH: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(is_terminal: bool, variables: &[(&str, &str)], expected: Paint) {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        assert_eq!(Paint::decide(is_terminal, variable), expected, "{variables:?}");
    }

    #[test]
    fn colours_follow_the_terminal_and_the_variables() {
        check(true, &[], Paint::On);
        check(false, &[], Paint::Off);
        check(true, &[("NO_COLOR", "1")], Paint::Off);
        check(true, &[("NO_COLOR", "")], Paint::On);
        check(false, &[("CLICOLOR_FORCE", "1")], Paint::On);
        check(false, &[("CLICOLOR_FORCE", "0")], Paint::Off);
        check(true, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], Paint::Off);
        check(true, &[("TERM", "dumb")], Paint::Off);
        check(true, &[("CLICOLOR", "0")], Paint::Off);
        assert_eq!(Paint::Off.paint(Tone::Bad, "x"), "x");
        assert_eq!(Paint::On.paint(Tone::Dim, "x"), "\u{1b}[2mx\u{1b}[0m");
    }

    #[test]
    fn lines_break_at_blanks() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("unbreakable a", 4), ["unbreakable", "a"]);
        assert!(wrap("", 4).is_empty());
    }
}
