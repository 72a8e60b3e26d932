//! The log: whole lines to standard error, for people or for machines.
//!
//! Every line says which process wrote it. An event that names a field of that identity itself,
//! such as the `pid` of a child that died, wins: the line is then about that process.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal};
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Registry, reload};

use super::fall;
use crate::config::{LogConfig, LogFormat, LogLevel};
use crate::sys::clock::unix_milliseconds;
use crate::sys::process::own_pid;

/// Which process writes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Identity {
    /// Its role: `supervisor`, `shard/0`.
    pub process: String,
    /// The shard, if it is one.
    pub shard: Option<u16>,
    /// Its generation, if it has one.
    pub generation: Option<u32>,
}

/// The handle of this process's log.
#[derive(Clone)]
pub struct Logger {
    /// Shared with the formatter.
    identity: Arc<RwLock<Stamp>>,
    /// Shared with the filter; `None` when the log belongs to the application around us.
    level: Option<reload::Handle<LevelFilter, Registry>>,
    /// The form that was resolved.
    form: Form,
}

/// The form of lines.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// One JSON object per line.
    Json,
    /// For people.
    Pretty,
}

impl Logger {
    /// Sets the log up for this process and those that it forks. An application that has set up
    /// a subscriber of its own keeps it.
    #[must_use]
    pub fn install(config: LogConfig, identity: Identity) -> Self {
        let form = form(config.format, io::stderr().is_terminal());
        let identity = Arc::new(RwLock::new(Stamp::new(identity)));
        let (filter, level) = reload::Layer::new(level_filter(config.level));
        let lines = tracing_subscriber::fmt::layer()
            .event_format(Lines { form, identity: Arc::clone(&identity) })
            .with_writer(io::stderr);
        let subscriber = Registry::default().with(filter).with(lines);
        let installed = tracing::subscriber::set_global_default(subscriber).is_ok();
        Self { identity, level: installed.then_some(level), form }
    }

    /// Says who this process is from now on: a child calls it after the fork.
    pub fn identify(&self, identity: Identity) {
        let stamp = Stamp::new(identity);
        let members = stamp.fields().into_iter().map(|(name, value)| format!("\"{name}\":{value}"));
        fall::identify(
            self.form,
            match self.form {
                Form::Json => members.collect::<Vec<_>>().join(","),
                Form::Pretty => stamp.identity.process.clone(),
            },
        );
        *self.identity.write().unwrap_or_else(PoisonError::into_inner) = stamp;
    }

    /// Changes the level of this process while it runs.
    pub fn set_level(&self, level: LogLevel) {
        if let Some(handle) = &self.level {
            // It fails only when the subscriber is gone, and then nothing is logged at all.
            let _ = handle.modify(|filter| *filter = level_filter(level));
        }
    }

    /// The form of lines.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logger").field("form", &self.form).finish_non_exhaustive()
    }
}

/// An identity with the number of the process that has it.
#[derive(Clone, Debug)]
struct Stamp {
    identity: Identity,
    pid: u32,
}

impl Stamp {
    fn new(identity: Identity) -> Self {
        Self { identity, pid: own_pid().get() }
    }

    /// The fields of every line.
    fn fields(&self) -> Vec<(&'static str, Value)> {
        let mut fields =
            vec![("process", Value::from(self.identity.process.clone())), ("pid", self.pid.into())];
        fields.extend(self.identity.shard.map(|shard| ("shard", shard.into())));
        fields.extend(self.identity.generation.map(|generation| ("generation", generation.into())));
        fields
    }
}

/// Has every panic of this process told by a line that says where it was, and which request was
/// worked on if the thread has said so.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let text = info.payload_as_str().unwrap_or("no message");
        // Not there while the thread ends, and held while it is being written.
        let duty = DUTY.try_with(|duty| duty.try_borrow().map(|duty| duty.clone()));
        let duty = duty.ok().and_then(Result::ok).filter(|duty| !duty.is_empty());
        tracing::error!(%place, text, request = duty, "panic");
    }));
}

thread_local! {
    /// What this thread works on; empty if it has not said so.
    static DUTY: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Says what this thread works on until it is dropped: a panic names it.
#[derive(Debug)]
pub struct Duty(());

impl Duty {
    /// Begins; the text is its parts, one behind the other.
    #[must_use]
    pub fn begin(parts: &[&str]) -> Self {
        DUTY.with_borrow_mut(|duty| {
            duty.clear();
            parts.iter().for_each(|part| duty.push_str(part));
        });
        Self(())
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        DUTY.with_borrow_mut(String::clear);
    }
}

/// Turns events into lines.
struct Lines {
    form: Form,
    identity: Arc<RwLock<Stamp>>,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let stamp = self.identity.read().unwrap_or_else(PoisonError::into_inner).clone();
        let level = *event.metadata().level();
        let line = match self.form {
            Form::Json => json_line(unix_milliseconds(), level, &stamp, fields),
            Form::Pretty => pretty_line(unix_milliseconds(), level, &stamp, &fields),
        };
        writer.write_str(&line)
    }
}

/// The fields of one event, in their order.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => self.others.push((name, value)),
        }
    }
}

fn json_line(milliseconds: u64, level: Level, stamp: &Stamp, fields: Fields) -> String {
    let mut all: Vec<(&str, Value)> = vec![
        ("time", format!("{}Z", Timestamp(milliseconds)).into()),
        ("level", level_name(level).into()),
        ("message", fields.message.into()),
    ];
    for (name, value) in stamp.fields().into_iter().chain(fields.others) {
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => all.push((name, value)),
        }
    }
    // A map would sort them; people read these lines too.
    let members: Vec<String> =
        all.iter().map(|(name, value)| format!("{}:{value}", Value::from(*name))).collect();
    format!("{{{}}}\n", members.join(","))
}

fn pretty_line(milliseconds: u64, level: Level, stamp: &Stamp, fields: &Fields) -> String {
    let stamp = Timestamp(milliseconds).to_string() + "  " + &stamp.identity.process;
    let mut line = format!("{:<5}  {}  {}", level_name(level), stamp, one_line(&fields.message));
    let mut gap = "  ";
    for (name, value) in &fields.others {
        let text = match value {
            Value::String(text) if is_plain(text) => text.clone(),
            value => value.to_string(),
        };
        // Writing to a String cannot fail.
        let _ = write!(line, "{gap}{name}={text}");
        gap = " ";
    }
    line.push('\n');
    line
}

/// A line stays a line, whatever a message holds.
fn one_line(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|char| !char.is_control() && !char.is_whitespace() && char != '"')
}

/// Milliseconds since 1970 as date and time of day, UTC.
pub(super) struct Timestamp(pub(super) u64);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, milliseconds) = (self.0 / 1000, self.0 % 1000);
        let (year, month, day) = civil_date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}"
        )
    }
}

/// The date so many days after 1970-01-01, by counting from March, so that the leap day is last.
fn civil_date(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_TO_1970_FROM_MARCH_0;
    let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let leap_days = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

fn form(format: LogFormat, terminal: bool) -> Form {
    match (format, terminal) {
        (LogFormat::Pretty, _) | (LogFormat::Auto, true) => Form::Pretty,
        (LogFormat::Json, _) | (LogFormat::Auto, false) => Form::Json,
    }
}

fn level_filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

const DAYS_PER_ERA: u64 = 146_097;
const DAYS_TO_1970_FROM_MARCH_0: u64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp() -> Stamp {
        let identity = Identity { process: "shard/1".into(), shard: Some(1), generation: Some(2) };
        Stamp { identity, pid: 42 }
    }

    #[track_caller]
    fn check_time(milliseconds: u64, expected: &str) {
        assert_eq!(Timestamp(milliseconds).to_string(), expected);
    }

    #[test]
    fn dates() {
        check_time(0, "1970-01-01T00:00:00.000");
        check_time(951_782_400_000, "2000-02-29T00:00:00.000");
        check_time(1_709_251_199_999, "2024-02-29T23:59:59.999");
        check_time(1_735_689_600_001, "2025-01-01T00:00:00.001");
        check_time(4_107_542_400_000, "2100-03-01T00:00:00.000");
    }

    #[test]
    fn a_json_line_is_one_object_and_events_win() {
        let fields = Fields {
            message: "two\nlines".into(),
            others: vec![("pid", 7.into()), ("reason", "signal KILL".into())],
        };
        let line = json_line(0, Level::WARN, &stamp(), fields);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.starts_with("{\"time\":\"1970-01-01T00:00:00.000Z\",\"level\":\"warn\","));
        assert_eq!(line.matches("\"pid\"").count(), 1);
        let object: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["message"], "two\nlines");
        assert_eq!(object["level"], "warn");
        assert_eq!(object["pid"], 7);
        assert_eq!(object["shard"], 1);
        assert_eq!(object["generation"], 2);
        assert_eq!(object["process"], "shard/1");
        assert_eq!(object["reason"], "signal KILL");
        assert_eq!(object["time"], "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_pretty_line_is_one_line() {
        let fields = Fields {
            message: "died\nat once".into(),
            others: vec![
                ("pid", 7.into()),
                ("reason", "signal KILL".into()),
                ("cpu", "0-1".into()),
            ],
        };
        let line = pretty_line(0, Level::INFO, &stamp(), &fields);
        let expected = "info   1970-01-01T00:00:00.000  shard/1  died at once  \
                        pid=7 reason=\"signal KILL\" cpu=0-1\n";
        assert_eq!(line, expected);
    }

    #[test]
    fn auto_looks_at_the_terminal() {
        assert_eq!(form(LogFormat::Auto, true), Form::Pretty);
        assert_eq!(form(LogFormat::Auto, false), Form::Json);
        assert_eq!(form(LogFormat::Pretty, false), Form::Pretty);
        assert_eq!(form(LogFormat::Json, true), Form::Json);
    }
}
