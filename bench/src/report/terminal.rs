//! The run as a terminal shows it: progress and figures while it goes on, the table at its end.

use std::io::Write;

use crate::result::{Column, Run, Subject, Window};

/// Shows a run while it is measured.
pub(crate) struct Progress {}

/// What the other end can show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    pub(crate) width: usize,
    pub(crate) colours: bool,
    /// Whether lines can be written over.
    pub(crate) lively: bool,
}

impl Screen {
    /// Of standard error, where progress goes. NO_COLOR is heeded.
    pub(crate) fn of_errors() -> Self {
        Self { width: 80, colours: false, lively: false }
    }

    /// Of standard output, where the table goes.
    pub(crate) fn of_output() -> Self {
        Self { width: 80, colours: false, lively: false }
    }
}

impl Progress {
    /// `windows` is how many there will be, repeated ones not counted.
    pub(crate) fn new(_out: Box<dyn Write>, _screen: Screen, _windows: usize) -> Self {
        Self {}
    }

    /// A column begins with these subjects. The one before it is finished.
    pub(crate) fn column(&mut self, _column: &Column, _subjects: &[Subject]) {}

    /// What is being done now, such as `round 2 of 5, corewise`.
    pub(crate) fn doing(&mut self, _what: &str) {}

    /// A window of the present column is measured.
    pub(crate) fn window(&mut self, _window: &Window) {}

    /// A line that stays: a missing peer, a server that failed.
    pub(crate) fn note(&mut self, _line: &str) {}

    /// Nothing follows.
    pub(crate) fn finish(self) {}
}

/// The run as one table, its first sentence on top.
pub(crate) fn table(_run: &Run, _width: usize, _colours: bool) -> String {
    String::new()
}
