//! The page: one file without scripts that fetches nothing.
//!
//! Every chart is a table with drawings in it, or has a table beside it. Whatever comes from
//! outside (names, versions, what a server said before it died) goes through `escape`.

use super::chart::{self, Axes, Mark, Point, Scale};
use super::figure::{self, FIGURE_BLANKS, capital};
use super::finding::{self, Family, Findings, Row};
use super::markup::{Cell, Table, escape, row_class, row_head};
use super::put;
use crate::result::{Column, Group, Quantity, Role, Run, State, Subject};
use crate::statistics::{Measure, Outcome, Summary};

/// The whole page.
pub(super) fn page(run: &Run) -> String {
    let findings = Findings::of(run);
    let sections = [
        section("cpu", "CPU per request", &main_chart(&findings)),
        section("connections", Group::KeepAlive.title(), &kept(&findings)),
        section("latency", Group::Latency.title(), &latency(&findings)),
        section("close", Group::Close.title(), &strips_of(&findings, Group::Close)),
        section("pipelined", Group::Pipelined.title(), &strips_of(&findings, Group::Pipelined)),
        section("files", Group::Files.title(), &strips_of(&findings, Group::Files)),
        section("mixed", Group::Mixed.title(), &mixed(&findings)),
        section("events", Group::Event.title(), &events(&findings)),
        section("memory", "Memory, idle connections, start", &resources(&findings)),
        section("promises", "Promises", &promises(&findings)),
        section("absent", "Not measured", &absent(&findings)),
        section("troubles", "Errors and disturbances", &troubles(&findings)),
        section("figures", "All figures", &all_figures(&findings)),
        section("machine", "Machine and method", &machine(&findings)),
    ];
    let sections: Vec<_> = sections.into_iter().flatten().collect();
    let links: String = sections
        .iter()
        .map(|section| format!("<a href=\"#{}\">{}</a> ", section.id, section.title))
        .collect();
    let body: String = sections.iter().map(Section::markup).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\"/>\
         <title>corewise bench, {date}</title>\n<style>\n{STYLE}</style></head>\n<body><main>\n\
         <p class=\"soft\">corewise bench, {date}, commit {commit}</p>\n<h1>{sentence}</h1>\n\
         <p class=\"soft\">{remarks}</p>\n<nav>{links}</nav>\n{body}</main></body></html>\n",
        date = escape(&run.machine.date),
        commit = escape(&run.machine.commit),
        sentence = escape(&findings.sentence()),
        remarks = escape(&(capital(&findings.remarks().join("; ")) + ".")),
    )
}

struct Section {
    id: &'static str,
    title: &'static str,
    content: String,
}

impl Section {
    fn markup(&self) -> String {
        let Self { id, title, content } = self;
        format!(
            "<section aria-labelledby=\"{id}\"><h2 id=\"{id}\">{title}</h2>\n{content}</section>\n"
        )
    }
}

/// A section that says nothing is left out.
fn section(id: &'static str, title: &'static str, content: &str) -> Option<Section> {
    (!content.is_empty()).then(|| Section { id, title, content: content.to_owned() })
}

fn main_chart(findings: &Findings<'_>) -> String {
    let Some(measure) = findings.main_measure() else { return String::new() };
    let absentees = findings.absentees();
    let note = if absentees.is_empty() {
        String::new()
    } else {
        format!(
            "<p class=\"note\">Not here: {}; <a href=\"#absent\">why</a>.</p>\n",
            escape(&absentees.join(", "))
        )
    };
    strips(findings, measure) + &note
}

/// Kept connections: panels where a family has enough of them for a line, else a chart each.
fn kept(findings: &Findings<'_>) -> String {
    let mut text = String::new();
    let main = findings.main_measure().map_or("", |measure| measure.column);
    for (at, family) in findings.families().iter().enumerate() {
        if family.columns.len() >= POINTS_FOR_A_LINE {
            text += &against_connections(findings, family, at, Quantity::RequestsPerSecond);
            text += &against_connections(findings, family, at, Quantity::CpuPerRequestUs);
        } else {
            for column in family.columns.iter().filter(|column| column.name != main) {
                text += &first_strip(findings, column);
            }
        }
    }
    text
}

fn against_connections(
    findings: &Findings<'_>,
    family: &Family<'_>,
    at: usize,
    quantity: Quantity,
) -> String {
    let line = |subject: &Subject| -> Vec<Point> {
        let columns = family.columns.iter();
        let point = |column: &&Column| {
            let measure = Measure { column: &column.name, quantity };
            let Summary { median, min, max, .. } =
                findings.statistics.summary(measure, &subject.name)?;
            let x = f64::from(column.connections?);
            Some(Point { x, y: median, range: Some((min, max)) })
        };
        columns.filter_map(point).collect()
    };
    let lines = lines(findings, line);
    let ys = lines.iter().flat_map(|(_, points)| points).flat_map(extremes);
    let counts = family.columns.iter().filter_map(|column| column.connections);
    let x = Scale::log(counts.clone().map(f64::from));
    let labels = counts.map(|count| (f64::from(count), count.to_string())).collect();
    let ticks = chart::thin(x, labels, COUNT_DISTANCE);
    let axes = Axes { x, y: Scale::of(ys), x_ticks: ticks, y_unit: chart::short_label };
    let title =
        format!("{} against connections, {}", capital(&quantity.heading()), escape(family.name));
    let note = format!(
        "Each panel has one server in front of all others; the dashed line is the limit.{}",
        if axes.y.is_log() { " Logarithmic scale." } else { "" }
    );
    let id = format!("lines-{at}-{quantity:?}");
    let chart = panels(&id, &title, &note, &axes, &lines, |points| {
        points.last().map(|last| quantity.with_unit(last.y)).unwrap_or_default()
    });
    chart + &pivot(findings, &family.columns, quantity)
}

fn extremes(point: &Point) -> [f64; 2] {
    point.range.map_or([point.y, point.y], |(min, max)| [min, max])
}

/// The lines that have points, in the order of the run. The limit is drawn once.
fn lines<'a>(
    findings: &Findings<'a>,
    line: impl Fn(&Subject) -> Vec<Point>,
) -> Vec<(&'a Subject, Vec<Point>)> {
    let run: &'a Run = findings.run;
    let subjects = run.subjects.iter().filter(|subject| subject.role != Role::LimitAgain);
    subjects
        .map(|subject| (subject, line(subject)))
        .filter(|(_, points)| !points.is_empty())
        .collect()
}

fn panels(
    id: &str,
    title: &str,
    note: &str,
    axes: &Axes,
    lines: &[(&Subject, Vec<Point>)],
    last: impl Fn(&[Point]) -> String,
) -> String {
    if lines.is_empty() {
        return format!("<h3>{title}</h3>\n<p>No server has a figure here.</p>\n");
    }
    let all: Vec<_> =
        lines.iter().map(|(subject, points)| (subject.role, points.clone())).collect();
    let mut text = format!("<h3>{title}</h3>\n<p class=\"note\">{note}</p>\n");
    text += &chart::background(id, axes, &all);
    text += "<div class=\"panels\">\n";
    for (subject, points) in lines {
        let name = escape(&subject.name);
        let class = if subject.role == Role::Ours { "ours-name" } else { "" };
        let end = last(points);
        let label = format!("{title}: {name}, {end} at the right end");
        put(
            &mut text,
            format_args!(
                "<figure><figcaption><span class=\"{class}\">{name}</span> \
             <span class=\"soft\">{end}</span></figcaption>{}</figure>\n",
                chart::panel(id, axes, subject.role, points, &label)
            ),
        );
    }
    text + "</div>\n"
}

/// One quantity of several columns, as the table beside a chart.
fn pivot(findings: &Findings<'_>, columns: &[&Column], quantity: Quantity) -> String {
    let mut table = Table::new();
    table.head("server", Cell::Text);
    for column in columns {
        let count = column.connections.map(|count| figure::group(&count.to_string()));
        table.head(&escape(&count.unwrap_or_else(|| column.title.clone())), Cell::Number);
    }
    for subject in &findings.run.subjects {
        let figures = columns.iter().map(|column| {
            let measure = Measure { column: &column.name, quantity };
            findings.statistics.summary(measure, &subject.name)
        });
        let figures: Vec<_> = figures.collect();
        if figures.iter().any(Option::is_some) {
            let shown = |figure: Option<Summary>| {
                figure.map_or_else(|| "-".to_owned(), |figure| quantity.shown(figure.median))
            };
            table.row(subject, figures.into_iter().map(shown).collect());
        }
    }
    if table.rows.is_empty() {
        return String::new();
    }
    let caption = capital(&quantity.heading());
    format!(
        "<details><summary>{caption}, as a table</summary>{}</details>\n",
        table.markup("", "figures")
    )
}

fn latency(findings: &Findings<'_>) -> String {
    let columns = findings.columns(Group::Latency).enumerate();
    columns.map(|(at, column)| latency_of(findings, column, at)).collect()
}

/// Latency by percentile; each step to the right is ten times rarer.
fn latency_of(findings: &Findings<'_>, column: &Column, at: usize) -> String {
    let point = |(percentile, latency): (f64, f64)| {
        let x = 1.0 / (1.0 - percentile / 100.0);
        // The last percentile of a histogram is 100, which has no place on this axis.
        (x.is_finite() && x < 20_000.0 && x > 1.9).then_some(Point { x, y: latency, range: None })
    };
    let line = |subject: &Subject| -> Vec<Point> {
        findings.percentiles(column, subject).into_iter().filter_map(point).collect()
    };
    let lines = lines(findings, line);
    if lines.is_empty() {
        return first_strip(findings, column);
    }
    let ys = lines.iter().flat_map(|(_, points)| points).map(|point| point.y);
    let x = Scale::log(PERCENTILES.iter().map(|(x, _)| *x));
    let labels = PERCENTILES.iter().map(|(x, text)| (*x, (*text).to_owned())).collect();
    let x_ticks = chart::thin(x, labels, PERCENTILE_DISTANCE);
    let axes = Axes { x, y: Scale::log(ys), x_ticks, y_unit: chart::time_label };
    let title = format!("Latency by percentile, {}", escape(&column.title));
    let note = "Requests are sent by the clock, whether or not the one before was answered, so \
                waiting counts. Median of the rounds at each percentile; both scales logarithmic; \
                the figure is the 99.99th percentile, or the last below it.";
    let chart = panels(&format!("latency-{at}"), &title, note, &axes, &lines, |points| {
        points.last().map(|last| figure::time(last.y)).unwrap_or_default()
    });
    let tables = figures(findings, column);
    format!("{chart}<details><summary>Latency, as tables</summary>{tables}</details>\n")
}

/// The charts of a group, one for the first quantity of each column.
fn strips_of(findings: &Findings<'_>, group: Group) -> String {
    findings.columns(group).map(|column| first_strip(findings, column)).collect()
}

fn first_strip(findings: &Findings<'_>, column: &Column) -> String {
    let first = column.quantities.first();
    let measure = first.map(|&quantity| Measure { column: &column.name, quantity });
    measure.map(|measure| strips(findings, measure)).unwrap_or_default()
}

/// A chart that is a table: a line for each subject, the best on top.
fn strips(findings: &Findings<'_>, measure: Measure<'_>) -> String {
    let Some(column) = findings.column(measure.column) else { return String::new() };
    let title = format!("{}, {}", capital(measure.quantity.title()), escape(&column.title));
    let marks = findings.ranking(measure).into_iter().map(|(subject, summary)| {
        let Summary { median, min, max, .. } = summary;
        (subject, Mark { role: subject.role, median, min, max, before: None })
    });
    chart_table(findings, measure, &title, marks.collect())
}

fn chart_table(
    findings: &Findings<'_>,
    measure: Measure<'_>,
    title: &str,
    marks: Vec<(&Subject, Mark)>,
) -> String {
    if marks.is_empty() {
        let rows = findings.rows(measure);
        let why = rows.iter().map(|row| absence_line(row)).collect::<String>();
        return format!("<h3>{title}</h3>\n<p>No server has a figure here.</p>\n<ul>{why}</ul>\n");
    }
    let quantity = measure.quantity;
    // Axes are in the unit that people read, so that their ticks are round in it.
    let scaled = |mark: &Mark| Mark {
        median: quantity.scaled(mark.median),
        min: quantity.scaled(mark.min),
        max: quantity.scaled(mark.max),
        before: mark.before.map(|before| quantity.scaled(before)),
        ..*mark
    };
    let drawn: Vec<_> = marks.iter().map(|(_, mark)| scaled(mark)).collect();
    let values =
        drawn.iter().flat_map(|mark| [mark.min, mark.max, mark.before.unwrap_or(mark.min)]);
    let scale = Scale::of(values);
    let limit = marks.iter().find(|(subject, _)| subject.role == Role::Limit);
    let limit = limit.map(|(_, mark)| quantity.scaled(mark.median));
    let mut medians: Vec<_> = marks.iter().map(|(_, mark)| quantity.shown(mark.median)).collect();
    figure::align(&mut medians, FIGURE_BLANKS);
    let mut text = format!("<table class=\"strips\"><caption>{title}");
    put(
        &mut text,
        format_args!("<br/><small>{}</small></caption>\n", legend(quantity, scale, limit)),
    );
    put(
        &mut text,
        format_args!(
            "<thead><tr><th class=\"who\" scope=\"col\">server</th><th scope=\"col\"></th>\
         <th class=\"number value\" scope=\"col\">{}</th><th class=\"range-text wide\" \
         scope=\"col\">least to most</th><th class=\"number value\" scope=\"col\">of the limit</th>\
         </tr></thead>\n<tbody>",
            if quantity.unit().is_empty() { "median" } else { quantity.unit() }
        ),
    );
    for (((subject, _), mark), median) in marks.iter().zip(drawn).zip(medians) {
        let summary = findings.statistics.summary(measure, &subject.name);
        let range = summary.map(|summary| figure::range(quantity, summary)).unwrap_or_default();
        put(
            &mut text,
            format_args!(
                "<tr{}>{}<td class=\"plot\">{}</td><td class=\"number value\">{median}</td>\
             <td class=\"range-text wide\">{range}</td><td class=\"number value\">{}</td></tr>\n",
                row_class(subject),
                row_head(subject),
                chart::strip(mark, scale, limit),
                figure::ratio(findings.statistics.to_limit(measure, &subject.name)),
            ),
        );
    }
    put(
        &mut text,
        format_args!(
            "</tbody><tfoot><tr><td></td><td class=\"plot\">{}</td><td></td>\
         <td class=\"wide\"></td><td></td></tr></tfoot></table>\n",
            chart::strip_axis(scale, figure::plain)
        ),
    );
    text + &without_figures(findings, measure)
}

/// How a chart is read.
fn legend(quantity: Quantity, scale: Scale, limit: Option<f64>) -> String {
    let unit = match quantity.unit() {
        "" => String::new(),
        unit => format!("{unit}; "),
    };
    let better = if quantity.less_is_better() { "less is better" } else { "more is better" };
    let log = if scale.is_log() { "; logarithmic scale" } else { "" };
    let line = if limit.is_some() { "; dashed: the bare loop" } else { "" };
    format!("{unit}median of the rounds between the least and the most; {better}{line}{log}")
}

/// Who is here and has no figure, in a line each.
fn without_figures(findings: &Findings<'_>, measure: Measure<'_>) -> String {
    let rows = findings.rows(measure);
    let lines = rows.iter().filter(|row| row.summary.is_err());
    let lines: String = lines.map(|row| absence_line(row)).collect();
    if lines.is_empty() { lines } else { format!("<ul class=\"note\">{lines}</ul>\n") }
}

fn absence_line(row: &Row<'_>) -> String {
    let why = row.summary.as_ref().err().map_or("", String::as_str);
    format!("<li>{}: {}</li>", escape(&row.subject.name), escape(why))
}

/// Light requests alone and beside heavy ones: two marks with the way between them.
fn mixed(findings: &Findings<'_>) -> String {
    let columns: Vec<_> = findings.columns(Group::Mixed).collect();
    let quantity = Quantity::LatencyP99Us;
    let [alone, beside] = columns[..] else { return strips_of(findings, Group::Mixed) };
    let measure = Measure { column: &beside.name, quantity };
    let marks = findings.ranking(measure).into_iter().map(|(subject, summary)| {
        let before = Measure { column: &alone.name, quantity };
        let before = findings.statistics.summary(before, &subject.name).map(|s| s.median);
        let Summary { median, min, max, .. } = summary;
        (subject, Mark { role: subject.role, median, min, max, before })
    });
    let title = format!(
        "{}: hollow, {}; filled, {}",
        capital(quantity.title()),
        escape(&alone.title),
        escape(&beside.title)
    );
    let heavy = Measure { column: &beside.name, quantity: Quantity::HeavyPerSecond };
    let heavies =
        if findings.ranking(heavy).is_empty() { String::new() } else { strips(findings, heavy) };
    chart_table(findings, measure, &title, marks.collect())
        + &heavies
        + &pivot(findings, &[alone, beside], quantity)
}

/// One table for all events: what failed, and for how long nothing was answered.
fn events(findings: &Findings<'_>) -> String {
    let columns: Vec<_> = findings.columns(Group::Event).collect();
    if columns.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table.head("server", Cell::Text);
    for column in &columns {
        let title = escape(&column.title);
        table.head(&format!("{title}: failed requests"), Cell::Number);
        table.head(&format!("{title}: longest gap, ms"), Cell::Number);
    }
    let mut notes = String::new();
    for subject in &findings.run.subjects {
        let measures = columns.iter().flat_map(|column| {
            [Quantity::FailedRequests, Quantity::LongestGapMs]
                .map(|quantity| Measure { column: &column.name, quantity })
        });
        let figures: Vec<_> = measures
            .map(|measure| (measure, findings.statistics.summary(measure, &subject.name)))
            .collect();
        if figures.iter().all(|(_, figure)| figure.is_none()) {
            continue;
        }
        for (measure, _) in figures.iter().step_by(2).filter(|(_, figure)| figure.is_none()) {
            put(
                &mut notes,
                format_args!(
                    "<li>{}, {}: {}</li>",
                    escape(&subject.name),
                    escape(measure.column),
                    escape(&findings.absence(*measure, subject))
                ),
            );
        }
        // The worst round, not the median: an event is either survived or not.
        let shown = figures.iter().map(|(measure, figure)| {
            figure.map_or_else(|| "-".to_owned(), |figure| measure.quantity.shown(figure.max))
        });
        table.row(subject, shown.collect());
    }
    let nobody = table.rows.is_empty();
    if nobody {
        return "<p>No server has figures here.</p>".to_owned();
    }
    let text = table.markup(
        "The worst of all rounds. A failed request has no right answer, of \
                             whatever kind.",
        "figures",
    );
    if notes.is_empty() { text } else { format!("{text}<ul class=\"note\">{notes}</ul>\n") }
}

/// What a server takes when little happens.
fn resources(findings: &Findings<'_>) -> String {
    let mut text = String::new();
    if let Some(main) = findings.main_measure() {
        let measure = Measure { quantity: Quantity::MemoryBytes, ..main };
        if !findings.ranking(measure).is_empty() {
            text += &strips(findings, measure);
        }
    }
    for group in [Group::Idle, Group::Start] {
        for column in findings.columns(group) {
            for &quantity in &column.quantities {
                text += &strips(findings, Measure { column: &column.name, quantity });
            }
        }
    }
    text
}

fn promises(findings: &Findings<'_>) -> String {
    let promises = findings.promises();
    if promises.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Promises\">\
         <table class=\"figures\"><thead><tr><th scope=\"col\">load</th><th scope=\"col\">figure\
         </th><th scope=\"col\">promised</th><th scope=\"col\">measured</th>\
         <th scope=\"col\">verdict</th></tr></thead><tbody>\n",
    );
    for kept in &promises {
        let class = match kept.outcome {
            Outcome::Kept(_) => "good",
            Outcome::Missed { .. } => "bad",
            Outcome::Open(_) => "soft",
        };
        put(
            &mut text,
            format_args!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td>\
             <td class=\"{class}\">{}</td></tr>\n",
                escape(&kept.column.title),
                kept.promise.quantity.title(),
                kept.bar(),
                kept.value(),
                kept.verdict()
            ),
        );
    }
    text + "</tbody></table></div>\n"
}

/// Who is missing, who failed, who declined what.
fn absent(findings: &Findings<'_>) -> String {
    let mut text = String::new();
    for subject in &findings.run.subjects {
        let name = escape(&subject.name);
        match &subject.state {
            State::Measured => {}
            State::Missing { why, fix } => put(
                &mut text,
                format_args!(
                    "<dt>{name} is missing</dt><dd>{}<pre>{}</pre></dd>\n",
                    escape(why),
                    escape(fix)
                ),
            ),
            State::Failed { why } => put(
                &mut text,
                format_args!(
                    "<dt><span class=\"bad\">{name} failed</span></dt><dd><pre>{}</pre></dd>\n",
                    escape(why)
                ),
            ),
        }
    }
    for subject in &findings.run.subjects {
        let declined: String = finding::declined(findings.run, subject)
            .iter()
            .map(|(title, why)| format!("<li>{}: {}</li>", escape(title), escape(why)))
            .collect();
        if !declined.is_empty() {
            put(
                &mut text,
                format_args!(
                    "<dt>{} does not do</dt><dd><ul>{declined}</ul></dd>\n",
                    escape(&subject.name)
                ),
            );
        }
    }
    if text.is_empty() { text } else { format!("<dl>{text}</dl>\n") }
}

fn troubles(findings: &Findings<'_>) -> String {
    let windows = figure::count(findings.run.windows.len(), "window");
    let errors: Vec<_> = findings.windows_with_errors().collect();
    let disturbed: Vec<_> = findings.disturbed_windows().collect();
    let mut text = format!(
        "<p>{} of {windows} had errors, {} were disturbed by others on this machine. What does \
         not count is kept in the data and left out of every figure.</p>\n",
        errors.len(),
        disturbed.len()
    );
    let fate = |counts| if counts { "counted" } else { "not counted" };
    let lists = [
        ("Errors", errors.iter().map(|window| (*window, finding::errors(window))).collect()),
        (
            "Disturbances",
            disturbed.iter().map(|window| (*window, window.disturbances.join(", "))).collect(),
        ),
    ];
    for (title, windows) in lists {
        let windows: Vec<_> = windows;
        if windows.is_empty() {
            continue;
        }
        put(&mut text, format_args!("<details><summary>{title}</summary><ul class=\"note\">"));
        for (window, what) in windows {
            put(
                &mut text,
                format_args!(
                    "<li>{}: {}; {}</li>\n",
                    escape(&finding::place(window)),
                    escape(&what),
                    fate(window.counts)
                ),
            );
        }
        text += "</ul></details>\n";
    }
    text
}

fn all_figures(findings: &Findings<'_>) -> String {
    let mut text = String::from(
        "<p class=\"note\">Ratios are medians of the ratios of the rounds. The last column says \
         how corewise stands to the server of the row.</p>\n",
    );
    for column in &findings.run.columns {
        put(
            &mut text,
            format_args!(
                "<details><summary>{}</summary><p class=\"note\"><code>{}</code></p>\n{}\
                 </details>\n",
                escape(&column.title),
                escape(&column.command),
                figures(findings, column)
            ),
        );
    }
    text
}

/// Every quantity of a column. Calls and switches stand beside the first.
fn figures(findings: &Findings<'_>, column: &Column) -> String {
    let mut text = String::new();
    let beside = [Quantity::SystemCallsPerRequest, Quantity::ContextSwitchesPerRequest];
    let tables = column.quantities.iter().enumerate();
    for (at, &quantity) in tables.filter(|(at, quantity)| *at == 0 || !beside.contains(quantity)) {
        let measure = Measure { column: &column.name, quantity };
        text += &figures_table(findings, measure, at == 0);
        if let Some(spread) = findings.statistics.spread(measure) {
            put(
                &mut text,
                format_args!(
                    "<p class=\"note\">Two runs of the bare loop differ by {} here; what is less \
                     is no difference.</p>\n",
                    figure::percent(spread)
                ),
            );
        }
    }
    text
}

fn figures_table(findings: &Findings<'_>, measure: Measure<'_>, first: bool) -> String {
    let quantity = measure.quantity;
    let rows = findings.rows(measure);
    let (have, lack): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.summary.is_ok());
    let calls = first && have.iter().any(|row| row.system_calls.is_some());
    let switches = first && have.iter().any(|row| row.context_switches.is_some());
    let mut table = Table::new();
    table.head("server", Cell::Text);
    table.head("median", Cell::Number);
    table.head("least to most", Cell::Text);
    table.head("of the limit", Cell::Number);
    table.head("of corewise", Cell::Number);
    if calls {
        table.head("system calls per request", Cell::Number);
    }
    if switches {
        table.head("switches per request", Cell::Number);
    }
    table.head("corewise is", Cell::Text);
    for row in have {
        let Ok(summary) = row.summary else { continue };
        let mut cells = vec![
            quantity.shown(summary.median),
            figure::range(quantity, summary),
            figure::ratio(row.to_limit),
            figure::ratio(row.to_ours),
        ];
        let optional =
            |figure: Option<f64>| figure.map_or_else(|| "-".to_owned(), figure::three_digits);
        cells.extend(calls.then(|| optional(row.system_calls)));
        cells.extend(switches.then(|| optional(row.context_switches)));
        let errors: Vec<_> =
            row.errors.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let mut verdict = row.verdict.map(figure::verdict).unwrap_or_default();
        if !errors.is_empty() {
            verdict = format!("{verdict} (errors: {})", errors.join(", "));
        }
        cells.push(escape(&verdict));
        table.row(row.subject, cells);
    }
    let lines: String = lack.iter().map(|row| absence_line(row)).collect();
    let list = if lines.is_empty() { lines } else { format!("<ul class=\"note\">{lines}</ul>\n") };
    if table.rows.is_empty() {
        return format!("<h3>{}</h3>\n{list}", capital(&quantity.heading()));
    }
    table.markup(&capital(&quantity.heading()), "figures") + &list
}

fn machine(findings: &Findings<'_>) -> String {
    let Run { machine, plan, .. } = findings.run;
    let facts = [
        ("processor", format!("{}, {}", machine.processor, figure::count(machine.cores, "CPU"))),
        (
            "memory",
            format!("{} GiB", figure::three_digits(machine.memory_bytes as f64 / 1_073_741_824.0)),
        ),
        ("kernel", machine.kernel.clone()),
        ("compiler", machine.compiler.clone()),
        ("load", machine.wrk.clone()),
        ("command", plan.command.clone()),
        (
            "rounds",
            format!(
                "{} of {} s each, in {}",
                plan.rounds,
                plan.seconds,
                figure::duration(plan.took_seconds)
            ),
        ),
        ("CPUs", format!("server on {}, load on {}", plan.server_cpu, plan.client_cpu)),
        ("notes", machine.notes.join("; ")),
    ];
    let mut text = String::from("<table class=\"facts\"><tbody>\n");
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        put(
            &mut text,
            format_args!("<tr><th scope=\"row\">{name}</th><td>{}</td></tr>\n", escape(value)),
        );
    }
    text += "</tbody></table>\n<h3>Servers</h3>\n<dl>";
    for subject in &findings.run.subjects {
        text += &server(subject);
    }
    text += "</dl>\n<h3>Loads, and what two runs of the bare loop differ by</h3>\n<dl>";
    for column in &findings.run.columns {
        put(
            &mut text,
            format_args!(
                "<dt>{} <span class=\"soft\">{}</span></dt><dd><code>{}</code><br/>{}</dd>\n",
                escape(&column.title),
                escape(&column.name),
                escape(&column.command),
                escape(&spreads(findings, column))
            ),
        );
    }
    text + "</dl>\n"
}

fn server(subject: &Subject) -> String {
    let version = subject.version.as_deref().unwrap_or("version unknown");
    let commands = subject.commands.join("\n");
    let note = subject.note.as_deref().unwrap_or_default();
    format!(
        "<dt>{} <span class=\"soft\">{}, {}</span></dt><dd>{}<pre>{}</pre></dd>\n",
        escape(&subject.name),
        escape(&subject.title),
        escape(version),
        escape(note),
        escape(&commands)
    )
}

fn spreads(findings: &Findings<'_>, column: &Column) -> String {
    let spread = |&quantity: &Quantity| {
        let measure = Measure { column: &column.name, quantity };
        let spread = findings.statistics.spread(measure)?;
        Some(format!("{} {}", quantity.title(), figure::percent(spread)))
    };
    let spreads: Vec<_> = column.quantities.iter().filter_map(spread).collect();
    if spreads.is_empty() { "no A/A pair ran here".to_owned() } else { spreads.join(", ") }
}

const STYLE: &str = include_str!("page.css");
/// The styles are the page's own; nothing else is wanted from anywhere.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
/// Fewer columns than this make no line.
const POINTS_FOR_A_LINE: usize = 3;
/// Between the labels of a panel, as a part of its width: counts, and longer percentiles.
const COUNT_DISTANCE: f64 = 0.35;
const PERCENTILE_DISTANCE: f64 = 0.3;
/// How rare a request is, and the percentile that says so.
const PERCENTILES: [(f64, &str); 5] =
    [(2.0, "50"), (10.0, "90"), (100.0, "99"), (1_000.0, "99.9"), (10_000.0, "99.99")];
