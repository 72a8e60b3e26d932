//! The same facts for a pull request.

use super::figure::{self, capital};
use super::finding::{self, Findings, Row};
use super::put;
use crate::result::{Column, Group, Quantity, Role, Run, State, Subject};
use crate::statistics::Measure;

/// The whole text.
pub(super) fn text(run: &Run) -> String {
    let findings = Findings::of(run);
    let mut text = format!(
        "# {}\n\ncorewise bench, {}, commit {}. {}.\n",
        escape(&findings.sentence()),
        escape(&run.machine.date),
        escape(&run.machine.commit),
        escape(&capital(&findings.remarks().join("; ")))
    );
    for group in Group::ALL {
        let columns: Vec<_> = findings.columns(group).collect();
        if columns.is_empty() {
            continue;
        }
        put(&mut text, format_args!("\n## {}\n", group.title()));
        for column in columns {
            text += &column_text(&findings, column);
        }
    }
    text += &promises(&findings);
    text += &absent(run);
    text += &troubles(&findings);
    text + &machine(&findings)
}

fn column_text(findings: &Findings<'_>, column: &Column) -> String {
    let mut text = format!("\n**{}** `{}`\n", escape(&column.title), code(&column.command));
    let table = |&quantity| table(findings, Measure { column: &column.name, quantity });
    let mut tables = column.quantities.iter().map(table);
    text += &tables.next().unwrap_or_default();
    let others: String = tables.collect();
    if !others.is_empty() {
        let title = "everything else that was read off";
        put(
            &mut text,
            format_args!("\n<details><summary>{title}</summary>\n{others}\n</details>\n"),
        );
    }
    text
}

fn table(findings: &Findings<'_>, measure: Measure<'_>) -> String {
    let rows = findings.rows(measure);
    let quantity = measure.quantity;
    let mut text = String::new();
    if rows.iter().any(|row| row.summary.is_ok()) {
        put(
            &mut text,
            format_args!(
                "\n| {} | median | least to most | of the limit | of corewise | corewise is |\n\
             |---|---:|---:|---:|---:|---|\n",
                quantity.heading()
            ),
        );
    } else {
        put(&mut text, format_args!("\n{}:\n\n", capital(quantity.title())));
    }
    for row in &rows {
        text += &line(row, quantity);
    }
    let lacking = rows.iter().filter_map(|row| Some((row.subject, row.summary.as_ref().err()?)));
    let lacking: Vec<_> = lacking
        .map(|(subject, why)| format!("{} {}", escape(&subject.name), escape(why)))
        .collect();
    if !lacking.is_empty() {
        put(&mut text, format_args!("\nWithout figures: {}.\n", lacking.join("; ")));
    }
    if let Some(spread) = findings.statistics.spread(measure) {
        let percent = figure::percent(spread);
        put(&mut text, format_args!("\nTwo runs of the bare loop differ by {percent}.\n"));
    }
    text
}

fn line(row: &Row<'_>, quantity: Quantity) -> String {
    let Ok(summary) = row.summary else { return String::new() };
    let verdict = row.verdict.map(figure::verdict).unwrap_or_default();
    let errors: String =
        row.errors.iter().map(|(kind, count)| format!(" ({kind} {count})")).collect();
    format!(
        "| {} | {} | {} | {} | {} | {verdict}{} |\n",
        name(row.subject),
        quantity.shown(summary.median),
        figure::range(quantity, summary),
        figure::ratio(row.to_limit),
        figure::ratio(row.to_ours),
        escape(&errors)
    )
}

fn name(subject: &Subject) -> String {
    let name = escape(&subject.name);
    match (subject.role, subject.role.word()) {
        (Role::Ours, _) => format!("**{name}**"),
        (_, Some(word)) => format!("{name} ({word})"),
        (_, None) => name,
    }
}

fn promises(findings: &Findings<'_>) -> String {
    let promises = findings.promises();
    if promises.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "\n## Promises\n\n| load | figure | promised | measured | verdict |\n\
         |---|---|---|---|---|\n",
    );
    for kept in promises {
        put(
            &mut text,
            format_args!(
                "| {} | {} | {} | {} | {} |\n",
                escape(&kept.column.title),
                kept.promise.quantity.title(),
                kept.bar(),
                kept.value(),
                kept.verdict()
            ),
        );
    }
    text
}

fn absent(run: &Run) -> String {
    let mut text = String::new();
    for subject in &run.subjects {
        let name = escape(&subject.name);
        match &subject.state {
            State::Measured => {}
            State::Missing { why, fix } => put(
                &mut text,
                format_args!("- {name} is missing: {}; to get it: `{}`\n", escape(why), code(fix)),
            ),
            State::Failed { why } => {
                put(&mut text, format_args!("- **{name} failed**: {}\n", escape(why)));
            }
        }
        for (title, why) in finding::declined(run, subject) {
            put(
                &mut text,
                format_args!("- {name} does not do {}: {}\n", escape(title), escape(why)),
            );
        }
    }
    if text.is_empty() { text } else { format!("\n## Not measured\n\n{text}") }
}

fn troubles(findings: &Findings<'_>) -> String {
    let fate = |counts| if counts { "counted" } else { "not counted" };
    let errors = findings.windows_with_errors().map(|window| (window, finding::errors(window)));
    let disturbed =
        findings.disturbed_windows().map(|window| (window, window.disturbances.join(", ")));
    let mut text = String::new();
    for (window, what) in errors.chain(disturbed) {
        put(
            &mut text,
            format_args!(
                "- {}: {}; {}\n",
                escape(&finding::place(window)),
                escape(&what),
                fate(window.counts)
            ),
        );
    }
    if text.is_empty() {
        return text;
    }
    format!(
        "\n## Errors and disturbances\n\n<details><summary>{}</summary>\n\n{text}\n</details>\n",
        figure::count(text.lines().count(), "line")
    )
}

fn machine(findings: &Findings<'_>) -> String {
    let Run { machine, plan, subjects, .. } = findings.run;
    let mut text = format!(
        "\n## Machine and method\n\n- {}, {}, {} GiB, {}\n- {}; {}\n- `{}`: {} rounds of {} s in \
         {}, server on CPU {}, load on CPU {}\n",
        escape(&machine.processor),
        figure::count(machine.cores, "CPU"),
        figure::three_digits(machine.memory_bytes as f64 / 1_073_741_824.0),
        escape(&machine.kernel),
        escape(&machine.compiler),
        escape(&machine.wrk),
        code(&plan.command),
        plan.rounds,
        plan.seconds,
        figure::duration(plan.took_seconds),
        plan.server_cpu,
        plan.client_cpu
    );
    for note in &machine.notes {
        put(&mut text, format_args!("- {}\n", escape(note)));
    }
    for subject in subjects {
        let version = subject.version.as_deref().unwrap_or("version unknown");
        put(
            &mut text,
            format_args!(
                "- {}: {}, {}",
                escape(&subject.name),
                escape(&subject.title),
                escape(version)
            ),
        );
        for command in &subject.commands {
            put(&mut text, format_args!("; `{}`", code(command)));
        }
        if let Some(note) = &subject.note {
            put(&mut text, format_args!("; {}", escape(note)));
        }
        text.push('\n');
    }
    text
}

/// Text that means nothing to Markdown, nor to the HTML inside it, and stays in its line.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '@' => {
                escaped.push('\\');
                escaped.push(letter);
            }
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// Text between backticks, where nothing can be escaped; a bar would end a table's cell.
fn code(text: &str) -> String {
    text.replace('`', "'").replace(char::is_control, " ")
}
