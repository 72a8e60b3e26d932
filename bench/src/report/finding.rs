//! What a run says, before it is put into a form: the sentence on top, the rows of every table,
//! and what went wrong. All forms of the report take it from here, so that they agree.

use std::collections::BTreeMap;

use super::figure;
use crate::result::{Bar, Column, Group, Promise, Quantity, Role, Run, State, Subject, Window};
use crate::statistics::{LIMIT_OF_HYPER, NoRatio};
use crate::statistics::{Limit, Measure, Outcome, Pair, Statistics, Summary, Verdict};

/// A run with what follows from it.
pub(super) struct Findings<'a> {
    pub(super) run: &'a Run,
    pub(super) statistics: Statistics<'a>,
}

/// One subject in the table of a measure.
pub(super) struct Row<'a> {
    pub(super) subject: &'a Subject,
    /// The figures, or why there are none.
    pub(super) summary: Result<Summary, String>,
    pub(super) to_limit: Result<Summary, NoRatio>,
    pub(super) to_ours: Result<Summary, NoRatio>,
    /// Of corewise against this subject; `None` in its own row.
    pub(super) verdict: Option<Verdict>,
    pub(super) system_calls: Option<f64>,
    pub(super) context_switches: Option<f64>,
    /// Windows that were counted in spite of errors, and what those were.
    pub(super) errors: BTreeMap<&'a str, u64>,
}

/// A promise and what became of it.
pub(super) struct Kept<'a> {
    pub(super) column: &'a Column,
    pub(super) promise: Promise,
    pub(super) outcome: Outcome,
}

/// Columns that differ in the number of connections only, in that order.
pub(super) struct Family<'a> {
    pub(super) name: &'a str,
    pub(super) columns: Vec<&'a Column>,
}

impl<'a> Findings<'a> {
    pub(super) fn of(run: &'a Run) -> Self {
        Self { run, statistics: Statistics::of(run) }
    }

    /// The verdict in words.
    pub(super) fn sentence(&self) -> String {
        let Some(measure) = self.main_measure() else {
            return "Nothing was measured that could be compared.".to_owned();
        };
        let load = self.load_of(measure);
        let Some(ours) = self.statistics.ours() else {
            return self.sentence_without_us(measure, &load);
        };
        let Some(own) = self.statistics.summary(measure, &ours.name) else {
            return format!("{} was not measured {load}.", ours.name);
        };
        let need = format!(
            "{} needs {} of CPU per request {load}",
            ours.name,
            measure.quantity.with_unit(own.median)
        );
        let limit = match self.statistics.to_limit(measure, &ours.name) {
            Ok(ratio) => {
                format!(
                    ", {} times {}",
                    figure::multiple(ratio.median),
                    self.limit_in_words(measure)
                )
            }
            Err(_) => String::new(),
        };
        format!("{need}{limit}{}.", self.runner_up(measure, ours, own))
    }

    /// The bare loop is what the kernel allows only while nothing says otherwise.
    fn limit_in_words(&self, measure: Measure<'_>) -> &'static str {
        match self.statistics.limit_holds(measure.column) {
            Limit::Valid(_) => "what this kernel allows",
            Limit::Invalid(_) | Limit::Unknown => "what the bare loop needs",
        }
    }

    /// The peer that matters most: one that is ahead, or else the next behind.
    fn runner_up(&self, measure: Measure<'_>, ours: &Subject, own: Summary) -> String {
        let peers = self.run.subjects.iter().filter(|subject| subject.role == Role::Peer);
        let figures = peers
            .filter_map(|peer| Some((peer, self.statistics.summary(measure, &peer.name)?.median)));
        let Some((best, median)) = figures.min_by(|(_, a), (_, b)| a.total_cmp(b)) else {
            return String::new();
        };
        let figure = measure.quantity.with_unit(median);
        let pair = Pair { subject: &ours.name, against: &best.name };
        match self.statistics.verdict(measure, pair) {
            Verdict::Behind(_) => format!("; {} is ahead with {figure}", best.name),
            Verdict::NoDifference => {
                format!("; {} with {figure} is no different within the noise", best.name)
            }
            _ if median < own.median => format!("; {} needs {figure}", best.name),
            _ => format!("; next is {} with {figure}", best.name),
        }
    }

    fn sentence_without_us(&self, measure: Measure<'_>, load: &str) -> String {
        let figures = self.run.subjects.iter().filter_map(|subject| {
            Some((subject, self.statistics.summary(measure, &subject.name)?.median))
        });
        match figures.min_by(|(_, a), (_, b)| a.total_cmp(b)) {
            Some((best, median)) => format!(
                "{} needs the least CPU per request {load}: {}.",
                best.name,
                measure.quantity.with_unit(median)
            ),
            None => "Nothing was measured that could be compared.".to_owned(),
        }
    }

    fn load_of(&self, measure: Measure<'_>) -> String {
        let column = self.column(measure.column);
        match column.and_then(|column| column.connections) {
            Some(1) => "at 1 connection".to_owned(),
            Some(count) => format!("at {} connections", figure::group(&count.to_string())),
            None => format!("under {:?}", column.map_or("", |column| &column.title)),
        }
    }

    /// CPU per request at 32 kept connections, or what comes nearest to that in this run.
    pub(super) fn main_measure(&self) -> Option<Measure<'a>> {
        let quantity = Quantity::CpuPerRequestUs;
        let run: &'a Run = self.run;
        let with = run.columns.iter().filter(|column| column.quantities.contains(&quantity));
        let kept = |column: &&Column| column.group == Group::KeepAlive;
        let main = |column: &&Column| kept(column) && column.connections == Some(MAIN_CONNECTIONS);
        let found = with.clone().find(main).or_else(|| with.clone().find(kept));
        let column = &found.or_else(|| with.clone().next())?.name;
        Some(Measure { column, quantity })
    }

    /// What stands below the sentence.
    pub(super) fn remarks(&self) -> Vec<String> {
        let mut remarks: Vec<String> = self.mistrust().into_iter().collect();
        let promises = self.promises();
        let kept = promises.iter().filter(|kept| matches!(kept.outcome, Outcome::Kept(_))).count();
        if !promises.is_empty() {
            let count = figure::count(promises.len(), "promise");
            remarks.push(format!("{kept} of {count} kept"));
        }
        let absent = |wanted: fn(&State) -> bool| {
            self.run.subjects.iter().filter(|subject| wanted(&subject.state)).count()
        };
        let missing = absent(|state| matches!(state, State::Missing { .. }));
        if missing > 0 {
            remarks.push(format!("{} missing here", figure::count(missing, "server")));
        }
        let failed = absent(|state| matches!(state, State::Failed { .. }));
        if failed > 0 {
            remarks.push(format!("{} failed", figure::count(failed, "server")));
        }
        let windows = figure::count(self.run.windows.len(), "window");
        let with_errors = self.windows_with_errors().count();
        remarks.push(format!("errors in {with_errors} of {windows}"));
        let disturbed = self.disturbed_windows().count();
        if disturbed > 0 {
            remarks.push(format!("{disturbed} disturbed"));
        }
        if let Some(measure) = self.main_measure() {
            remarks.extend(self.limit_remark(measure.column));
        }
        remarks
    }

    /// Said first where others used the machine too much for any figure to be believed.
    fn mistrust(&self) -> Option<String> {
        let counted = self.run.windows.iter().filter(|window| window.counts).count();
        let disturbed = self.disturbed_windows().filter(|window| window.counts).count();
        (disturbed * DISTURBED_AT_MOST > counted).then(|| {
            format!(
                "do not trust these figures: others used the machine in {disturbed} of the \
                 {counted} windows that count"
            )
        })
    }

    /// What must be said before a ratio to the limit is believed.
    pub(super) fn limit_remark(&self, column: &str) -> Option<String> {
        match self.statistics.limit_holds(column) {
            Limit::Valid(_) => None,
            Limit::Unknown if self.statistics.limit().is_none() => None,
            Limit::Invalid(ratio) => Some(format!(
                "the bare loop is no limit here: it costs {ratio:.3} of hyper's CPU, and a limit \
                 at most {LIMIT_OF_HYPER}"
            )),
            Limit::Unknown => Some(
                "whether the bare loop is a limit is not known: hyper was not measured beside it"
                    .to_owned(),
            ),
        }
    }

    pub(super) fn column(&self, name: &str) -> Option<&'a Column> {
        self.run.columns.iter().find(|column| column.name == name)
    }

    pub(super) fn columns(&self, group: Group) -> impl Iterator<Item = &'a Column> {
        self.run.columns.iter().filter(move |column| column.group == group)
    }

    /// Kept connections by what is asked for: `plaintext-1`, `plaintext-32` are one family.
    pub(super) fn families(&self) -> Vec<Family<'a>> {
        let mut families: Vec<Family<'a>> = Vec::new();
        for column in self.columns(Group::KeepAlive) {
            let name = family_name(column);
            match families.iter_mut().find(|family| family.name == name) {
                Some(family) => family.columns.push(column),
                None => families.push(Family { name, columns: vec![column] }),
            }
        }
        for family in &mut families {
            family.columns.sort_by_key(|column| column.connections);
        }
        families
    }

    /// In the order of the run. Who could not be measured at all is told once, elsewhere.
    pub(super) fn rows(&self, measure: Measure<'_>) -> Vec<Row<'a>> {
        let measured = |subject: &&Subject| subject.state == State::Measured;
        let run: &'a Run = self.run;
        run.subjects.iter().filter(measured).map(|subject| self.row(measure, subject)).collect()
    }

    /// The rows with figures, the best on top.
    pub(super) fn ranking(&self, measure: Measure<'_>) -> Vec<(&'a Subject, Summary)> {
        let rows = self.rows(measure).into_iter();
        let mut ranking: Vec<_> =
            rows.filter_map(|row| Some((row.subject, row.summary.ok()?))).collect();
        ranking.sort_by(|(_, a), (_, b)| a.median.total_cmp(&b.median));
        if !measure.quantity.less_is_better() {
            ranking.reverse();
        }
        ranking
    }

    fn row(&self, measure: Measure<'_>, subject: &'a Subject) -> Row<'a> {
        let statistics = &self.statistics;
        let summary = statistics.summary(measure, &subject.name);
        let ours = statistics.ours().map_or("", |ours| &ours.name);
        let pair = Pair { subject: &subject.name, against: ours };
        let beside = |quantity| {
            let measure = Measure { quantity, ..measure };
            statistics.summary(measure, &subject.name).map(|summary| summary.median)
        };
        let own = Pair { subject: ours, against: &subject.name };
        Row {
            subject,
            summary: summary.ok_or_else(|| self.absence(measure, subject)),
            to_limit: statistics.to_limit(measure, &subject.name),
            to_ours: statistics.ratio(measure, pair),
            verdict: (ours != subject.name).then(|| statistics.verdict(measure, own)),
            system_calls: beside(Quantity::SystemCallsPerRequest),
            context_switches: beside(Quantity::ContextSwitchesPerRequest),
            errors: self.errors_counted(measure, subject),
        }
    }

    fn errors_counted(&self, measure: Measure<'_>, subject: &'a Subject) -> BTreeMap<&'a str, u64> {
        let mut errors = BTreeMap::new();
        let failed = self.windows_of(measure, subject).filter(|window| failure(window).is_some());
        if let failed @ 1.. = failed.count() {
            errors.insert("failed windows", failed as u64);
        }
        for window in self.windows_of(measure, subject).filter(|window| window.counts) {
            for (kind, count) in &window.errors {
                *errors.entry(kind.as_str()).or_default() += count;
            }
        }
        errors
    }

    fn windows_of(
        &self,
        measure: Measure<'_>,
        subject: &Subject,
    ) -> impl Iterator<Item = &'a Window> {
        let of = move |window: &&Window| {
            window.column == measure.column && window.subject == subject.name
        };
        self.run.windows.iter().filter(of)
    }

    /// Who could not be measured at all, and in a word why not.
    pub(super) fn absentees(&self) -> Vec<String> {
        let word = |subject: &Subject| match &subject.state {
            State::Measured => None,
            State::Missing { .. } => Some(format!("{} (missing)", subject.name)),
            State::Failed { .. } => Some(format!("{} (failed)", subject.name)),
        };
        self.run.subjects.iter().filter_map(word).collect()
    }

    /// Why a subject that was started has no figure.
    pub(super) fn absence(&self, measure: Measure<'_>, subject: &Subject) -> String {
        if let Some(why) = subject.declined.get(measure.column) {
            return format!("not done: {why}");
        }
        let Some(last) = self.windows_of(measure, subject).last() else {
            return "not measured".to_owned();
        };
        if failure(last).is_some() || !last.errors.is_empty() {
            format!("failed: {}", errors(last))
        } else if !last.disturbances.is_empty() {
            format!("no window counts: {}", last.disturbances.join(", "))
        } else {
            "no figure".to_owned()
        }
    }

    pub(super) fn promises(&self) -> Vec<Kept<'a>> {
        let run: &'a Run = self.run;
        let all = run
            .columns
            .iter()
            .flat_map(|column| column.promises.iter().map(move |promise| (column, *promise)));
        all.map(|(column, promise)| Kept {
            column,
            promise,
            outcome: self.statistics.outcome(column, promise),
        })
        .collect()
    }

    pub(super) fn windows_with_errors(&self) -> impl Iterator<Item = &'a Window> {
        let went_wrong = |window: &&Window| !window.errors.is_empty() || failure(window).is_some();
        self.run.windows.iter().filter(went_wrong)
    }

    pub(super) fn disturbed_windows(&self) -> impl Iterator<Item = &'a Window> {
        let is_disturbed =
            |window: &&Window| !window.disturbances.is_empty() && failure(window).is_none();
        self.run.windows.iter().filter(is_disturbed)
    }

    /// Medians over the counted windows of the latency at each percentile.
    pub(super) fn percentiles(&self, column: &Column, subject: &Subject) -> Vec<(f64, f64)> {
        let measure = Measure { column: &column.name, quantity: Quantity::LatencyP50Us };
        let windows: Vec<_> =
            self.windows_of(measure, subject).filter(|window| window.counts).collect();
        let Some(first) = windows.first() else { return Vec::new() };
        let at = |percentile: f64| {
            let of = |window: &&Window| {
                let found = window.percentiles.iter().find(|(known, _)| *known == percentile);
                found.map(|(_, latency)| *latency)
            };
            Summary::of(windows.iter().filter_map(of)).map(|summary| summary.median)
        };
        let known = first.percentiles.iter().map(|(percentile, _)| *percentile);
        known.filter_map(|percentile| Some((percentile, at(percentile)?))).collect()
    }
}

impl Kept<'_> {
    /// What was promised: `at most 1.06 of the limit`.
    pub(super) fn bar(&self) -> String {
        match self.promise.bar {
            Bar::Absolute(bar) => format!("at most {}", self.promise.quantity.with_unit(bar)),
            Bar::RelativeToLimit(bar) => format!("at most {} of the limit", figure::multiple(bar)),
        }
    }

    /// What was measured.
    pub(super) fn value(&self) -> String {
        match (self.outcome, self.promise.bar) {
            (Outcome::Kept(value) | Outcome::Missed { value, .. }, Bar::Absolute(_)) => {
                self.promise.quantity.with_unit(value)
            }
            (Outcome::Kept(value) | Outcome::Missed { value, .. }, Bar::RelativeToLimit(_)) => {
                // One more digit, so that 1.064 is not shown as the 1.06 that it misses.
                format!("{value:.3} of the limit")
            }
            (Outcome::Open(_), _) => "-".to_owned(),
        }
    }

    pub(super) fn verdict(&self) -> String {
        match self.outcome {
            Outcome::Kept(_) => "kept".to_owned(),
            Outcome::Missed { over: Some(over), .. } => {
                format!("missed by {}", figure::percent(over))
            }
            Outcome::Missed { over: None, .. } => "missed".to_owned(),
            Outcome::Open(reason) => format!("open: {}", figure::no_ratio(reason)),
        }
    }
}

impl Role {
    /// What a reader must know about a name; the peers need no word.
    pub(super) fn word(self) -> Option<&'static str> {
        match self {
            Self::Limit => Some("the limit"),
            Self::LimitAgain => Some("the limit again"),
            Self::Ours | Self::Peer => None,
            Self::Reference => Some("for reference, not deployable"),
            Self::Relay => Some("a proxy"),
        }
    }
}

impl Group {
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Close => "A connection for each request",
            Self::Event => "Events under load",
            Self::Files => "Files",
            Self::Idle => "Idle connections",
            Self::KeepAlive => "Kept connections",
            Self::Latency => "Latency at a fixed rate",
            Self::Mixed => "Light requests beside heavy ones",
            Self::Pipelined => "Pipelined requests",
            Self::Start => "Start",
        }
    }

    pub(super) const ALL: [Self; 9] = [
        Self::KeepAlive,
        Self::Latency,
        Self::Close,
        Self::Pipelined,
        Self::Files,
        Self::Mixed,
        Self::Event,
        Self::Idle,
        Self::Start,
    ];
}

/// What a subject does not do: the columns' titles, and why.
pub(super) fn declined<'a>(run: &'a Run, subject: &'a Subject) -> Vec<(&'a str, &'a str)> {
    let title = |name: &'a str| {
        let column = run.columns.iter().find(|column| column.name == name);
        column.map_or(name, |column| &column.title)
    };
    subject.declined.iter().map(|(name, why)| (title(name), why.as_str())).collect()
}

/// `connect 3, timeout 1`, or how the subject failed.
pub(super) fn errors(window: &Window) -> String {
    let kinds = window
        .errors
        .iter()
        .map(|(kind, count)| format!("{kind} {}", figure::group(&count.to_string())));
    kinds.chain(failure(window).map(str::to_owned)).collect::<Vec<_>>().join(", ")
}

/// Why the subject was given up in this window; it has no figures then.
pub(super) fn failure(window: &Window) -> Option<&str> {
    window.disturbances.iter().find_map(|what| what.strip_prefix(FAILED))
}

/// Which window, and in which attempt.
pub(super) fn place(window: &Window) -> String {
    let again = match window.attempt {
        0 => String::new(),
        attempt => format!(", attempt {}", attempt + 1),
    };
    format!("{}, {}, round {}{again}", window.column, window.subject, window.round + 1)
}

fn family_name(column: &Column) -> &str {
    let connections = column.connections.map(|count| count.to_string()).unwrap_or_default();
    let stem = column.name.strip_suffix(&connections).unwrap_or(&column.name);
    stem.trim_end_matches('-')
}

/// How a window says that its subject was given up.
const FAILED: &str = "failed: ";
/// One disturbed window of so many can be lived with.
const DISTURBED_AT_MOST: usize = 4;
/// The number of connections that the first chart is about.
const MAIN_CONNECTIONS: u32 = 32;
