//! The table for a terminal and for a page.

use std::fmt::Write;

use super::judge::Outcome;
use super::{Bar, Demand, Row, Table, Unit};

/// For a terminal: under each row its figures, then its promises.
pub(super) fn text(table: &Table) -> String {
    let mut text = format!("{}\n{}\n", table.title, about(table));
    for row in &table.rows {
        push(&mut text, format_args!("\n{} [{}], {}\n", row.title, row.name, row.unit.name()));
        for (name, figures) in figures(table, row) {
            push(&mut text, format_args!("  {name:<22} {figures}\n"));
        }
        for bar in &row.bars {
            push(&mut text, format_args!("  {}\n", promise(table, row, bar)));
        }
        if let Some(note) = &row.note {
            push(&mut text, format_args!("  ({note})\n"));
        }
        for remark in remarks(table, row) {
            push(&mut text, format_args!("  ! {remark}\n"));
        }
    }
    push(&mut text, format_args!("\n{}{}\n", summary(table), verdict(table)));
    for missing in missing(table) {
        push(&mut text, format_args!("{missing}\n"));
    }
    text
}

/// The same as a page.
pub(super) fn markdown(table: &Table) -> String {
    let mut text = format!("# {}\n\n{}\n\n{}\n", table.title, about(table), verdict(table));
    text += &promises(table);
    for row in &table.rows {
        push(&mut text, format_args!("\n## {}\n\n", row.title));
        push(
            &mut text,
            format_args!("| {} | median | least to most |\n|---|---:|---:|\n", { row.unit.name() }),
        );
        for contestant in &table.contestants {
            let Some(summary) = table.summary(&row.name, &contestant.name) else { continue };
            let show = |figure| row.unit.show(figure);
            let (median, min, max) = (summary.median, summary.min, summary.max);
            push(
                &mut text,
                format_args!(
                    "| {} | {} | {} to {} |\n",
                    { &contestant.title },
                    show(median),
                    show(min),
                    show(max)
                ),
            );
        }
        let promises = row.bars.iter().map(|bar| promise(table, row, bar));
        let notes = row.note.iter().cloned();
        for line in promises.chain(notes).chain(remarks(table, row)) {
            push(&mut text, format_args!("\n- {line}"));
        }
        text.push('\n');
    }
    for missing in missing(table) {
        push(&mut text, format_args!("\n{missing}\n"));
    }
    text
}

/// Writing into a String does not fail.
fn push(text: &mut String, words: std::fmt::Arguments<'_>) {
    text.write_fmt(words).expect("a String takes everything");
}

fn about(table: &Table) -> String {
    let machine = &table.machine;
    format!(
        "`{}`, {}, commit {}, {} rounds, {} cores of {}, {}",
        table.command,
        machine.date,
        machine.commit,
        table.rounds,
        machine.cores,
        machine.processor,
        machine.kernel
    )
}

fn figures(table: &Table, row: &Row) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for contestant in &table.contestants {
        let Some(summary) = table.summary(&row.name, &contestant.name) else { continue };
        let [median, min, max] =
            [summary.median, summary.min, summary.max].map(|figure| row.unit.show(figure));
        lines.push((contestant.name.clone(), format!("{median:>9}   {min} to {max}")));
    }
    lines
}

/// A promise and what became of it, in words.
struct Judged {
    word: &'static str,
    /// What was measured; none where there is nothing to hold against the bar.
    figure: Option<String>,
    bar: String,
}

fn promise(table: &Table, row: &Row, bar: &Bar) -> String {
    let Judged { word, figure, bar: limit } = judged(table, row, bar);
    match figure {
        Some(figure) => format!("{word}: {} {figure}, {limit}", bar.contestant),
        None => format!("{word}: {}: {limit}", bar.contestant),
    }
}

fn judged(table: &Table, row: &Row, bar: &Bar) -> Judged {
    let link = if matches!(bar.demand, Demand::Over(..)) { "more than" } else { "x" };
    let of = bar.demand.cell().map(|cell| match cell.row == row.name {
        true => format!(" {link} {}", cell.contestant),
        false => format!(" {link} {} in {}", cell.contestant, cell.row),
    });
    let of = of.unwrap_or_default();
    let show = |value: f64| match &bar.demand {
        Demand::AtLeast(_) | Demand::AtMost(_) | Demand::Over(..) => row.unit.show(value),
        Demand::TimesAtLeast(..) | Demand::TimesAtMost(..) => format!("{value:.2}"),
    };
    let (least, limit) = match bar.demand {
        Demand::AtLeast(limit) | Demand::TimesAtLeast(limit, _) => ("at least", limit),
        Demand::AtMost(limit) | Demand::Over(limit, _) | Demand::TimesAtMost(limit, _) => {
            ("at most", limit)
        }
    };
    let limit = format!("{least} {}", show(limit));
    let (word, value) = match table.outcome(row, bar) {
        Outcome::Kept(value) => ("kept", value),
        Outcome::Missed(value) => ("MISSED", value),
        Outcome::Open => return Judged { word: "open", figure: None, bar: limit + &of },
    };
    Judged { word, figure: Some(show(value) + &of), bar: limit }
}

/// All promises as a table: what is promised, the bar, the figure, and whether it is kept.
fn promises(table: &Table) -> String {
    let mut text = String::new();
    for row in &table.rows {
        for bar in &row.bars {
            if text.is_empty() {
                text += "\n| promise | bar | measured | |\n|---|---|---|---|\n";
            }
            let Judged { word, figure, bar: limit } = judged(table, row, bar);
            let figure = figure.unwrap_or_else(|| "-".to_owned());
            let (title, unit) = (&row.title, row.unit.name());
            push(&mut text, format_args!("| {title}, {unit} | {limit} | {figure} | {word} |\n"));
        }
    }
    text
}

/// The same for a terminal, in columns.
fn summary(table: &Table) -> String {
    let mut text = String::new();
    for row in &table.rows {
        for bar in &row.bars {
            let Judged { word, figure, bar: limit } = judged(table, row, bar);
            let figure = figure.unwrap_or_else(|| "-".to_owned());
            push(&mut text, format_args!("{word:<7} {:<24} {limit}: {figure}\n", row.name));
        }
    }
    text
}

fn remarks(table: &Table, row: &Row) -> Vec<String> {
    let mine = table.windows.iter().filter(|window| window.row == row.name);
    let mut remarks: Vec<String> = mine
        .filter_map(|window| Some(format!("{}: {}", window.contestant, window.remark.as_ref()?)))
        .collect();
    remarks.sort();
    remarks.dedup();
    remarks
}

fn verdict(table: &Table) -> String {
    let (mut kept, mut missed, mut open) = (0, 0, 0);
    for row in &table.rows {
        for bar in &row.bars {
            match table.outcome(row, bar) {
                Outcome::Kept(_) => kept += 1,
                Outcome::Missed(_) => missed += 1,
                Outcome::Open => open += 1,
            }
        }
    }
    format!("{kept} bars kept, {missed} missed, {open} open")
}

fn missing(table: &Table) -> impl Iterator<Item = String> {
    table.contestants.iter().filter_map(|contestant| {
        Some(format!("{} was not measured: {}", contestant.title, contestant.missing.as_ref()?))
    })
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Count => "number",
            Self::MebiBytes => "MiB",
            Self::Microseconds => "µs",
            Self::Milliseconds => "ms",
            Self::Nanoseconds => "ns",
            Self::PerSecond => "per second",
            Self::Percent => "% of a core",
            Self::Share => "part of 1",
        }
    }

    /// Three digits that count.
    pub(crate) fn show(self, figure: f64) -> String {
        match figure.abs() {
            size if size >= 99.95 => format!("{figure:.0}"),
            size if size >= 9.995 => format!("{figure:.1}"),
            size if size >= 0.0005 => format!("{figure:.3}").trim_end_matches('0').to_owned(),
            _ => "0".to_owned(),
        }
        .trim_end_matches('.')
        .to_owned()
    }
}
