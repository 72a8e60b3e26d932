//! What a terminal and a pipe see while a run goes on.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use super::example;
use crate::report::terminal::{Progress, Screen};
use crate::result::Run;

const PIPE: Screen = Screen { width: 80, colours: false, lively: false };
const TERMINAL: Screen = Screen { width: 80, colours: false, lively: true };

#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Plays a run and returns all that was written.
fn play(run: &Run, screen: Screen) -> String {
    let shared = Shared::default();
    let mut progress = Progress::new(Box::new(shared.clone()), screen, run.windows.len());
    progress.note("h2o is missing\u{1b}[31m");
    for column in &run.columns {
        progress.column(column, &run.subjects);
        for window in run.windows.iter().filter(|window| window.column == column.name) {
            progress.doing(&format!("{}, {}", column.name, window.subject));
            progress.window(window);
        }
    }
    progress.finish();
    String::from_utf8(shared.0.take()).unwrap()
}

#[test]
fn a_pipe_gets_a_line_for_each_column() {
    let run = example::full();
    let text = play(&run, PIPE);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 1 + run.columns.len(), "{text}");
    assert_eq!(lines[0], "h2o is missing [31m");
    assert!(lines[3].starts_with("plaintext-32: CPU per request, µs: bare 4.91, "), "{text}");
    assert!(lines[8].contains("gunicorn -"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn a_terminal_sees_the_figures_come() {
    let text = play(&example::tiny(), TERMINAL);
    assert!(text.contains("0 %  plaintext-32, corewise"), "{text:?}");
    assert!(text.contains("100 %, 0 s left"), "{text:?}");
    assert!(text.contains("  corewise  waits"), "{text:?}");
    // What stays is the table, without the line below it.
    let (_, last) = text.rsplit_once("\u{1b}[J").unwrap();
    assert!(last.contains("  corewise      5.88") && !last.contains('%'), "{last:?}");
    assert!(!text.contains("\u{1b}[31m"), "{text:?}");
}

#[test]
fn lines_written_over_are_those_that_were_drawn() {
    let text = play(&example::full(), TERMINAL);
    let mut drawn = 0;
    for frame in text.split('\r').skip(1) {
        let up = frame.strip_prefix("\u{1b}[").and_then(|rest| rest.split_once('A'));
        let up = up.and_then(|(lines, _)| lines.parse().ok()).unwrap_or(0);
        assert!(up == drawn || up == 0, "{frame:?} after {drawn} lines");
        drawn = frame.matches('\n').count();
    }
    for line in text.split(['\n', '\r']) {
        let (_, shown) = line.rsplit_once("\u{1b}[J").unwrap_or(("", line));
        assert!(shown.chars().count() <= 80, "{line:?}");
    }
}

#[test]
fn colours_are_those_of_a_terminal_that_wants_them() {
    let screen = Screen { colours: true, ..TERMINAL };
    assert!(play(&example::tiny(), screen).contains("\u{1b}[1m"));
    assert!(!play(&example::tiny(), TERMINAL).contains("\u{1b}[1m"));
    let screen = Screen::of_errors();
    assert!(screen.width >= 60 && (screen.lively || !screen.colours));
}
