//! The pieces that the page is made of: tables of figures, and text that is safe between tags.

use super::figure::{self, FIGURE_BLANKS};
use super::put;
use crate::result::{Role, Subject};

/// A table of figures; all cells are markup already.
pub(super) struct Table<'a> {
    heads: Vec<(String, Cell)>,
    pub(super) rows: Vec<(&'a Subject, Vec<String>)>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Cell {
    Number,
    Text,
}

impl<'a> Table<'a> {
    pub(super) fn new() -> Self {
        Self { heads: Vec::new(), rows: Vec::new() }
    }

    pub(super) fn head(&mut self, title: &str, cell: Cell) {
        self.heads.push((title.to_owned(), cell));
    }

    pub(super) fn row(&mut self, subject: &'a Subject, cells: Vec<String>) {
        self.rows.push((subject, cells));
    }

    /// Numbers of a column get their points below each other.
    fn align(&mut self) {
        for (at, (_, cell)) in self.heads.iter().skip(1).enumerate() {
            if *cell == Cell::Number {
                let mut numbers: Vec<_> =
                    self.rows.iter().map(|(_, cells)| cells[at].clone()).collect();
                figure::align(&mut numbers, FIGURE_BLANKS);
                for ((_, cells), number) in self.rows.iter_mut().zip(numbers) {
                    cells[at] = number;
                }
            }
        }
    }

    pub(super) fn markup(mut self, caption: &str, class: &str) -> String {
        self.align();
        let label = if caption.is_empty() { "Figures" } else { caption };
        let mut text = format!(
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{label}\">\
             <table class=\"{class}\">"
        );
        if !caption.is_empty() {
            put(&mut text, format_args!("<caption><small>{caption}</small></caption>"));
        }
        text += "<thead><tr>";
        for (title, cell) in &self.heads {
            let class = if *cell == Cell::Number { " class=\"number\"" } else { "" };
            put(&mut text, format_args!("<th scope=\"col\"{class}>{title}</th>"));
        }
        text += "</tr></thead>\n<tbody>";
        for (subject, cells) in &self.rows {
            put(&mut text, format_args!("<tr{}>{}", row_class(subject), row_head(subject)));
            for (cell, (_, kind)) in cells.iter().zip(self.heads.iter().skip(1)) {
                let class = if *kind == Cell::Number { " class=\"number\"" } else { "" };
                put(&mut text, format_args!("<td{class}>{cell}</td>"));
            }
            text += "</tr>\n";
        }
        text + "</tbody></table></div>\n"
    }
}

pub(super) fn row_class(subject: &Subject) -> &'static str {
    if subject.role == Role::Ours { " class=\"ours\"" } else { "" }
}

pub(super) fn row_head(subject: &Subject) -> String {
    let word = subject.role.word().map(|word| format!("<small>{word}</small>"));
    let name = escape(&subject.name);
    format!(
        "<th scope=\"row\" title=\"{}\">{name}{}</th>",
        escape(&subject.title),
        word.unwrap_or_default()
    )
}

/// Text that may stand between tags and within quotes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // What a terminal would act on has no place on a page, nor in well-formed markup.
            letter if letter.is_control() && letter != '\n' && letter != '\t' => {
                escaped.push('\u{fffd}');
            }
            letter => escaped.push(letter),
        }
    }
    escaped
}
