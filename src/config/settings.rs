//! What was written, and where: each option with its raw value and its origin.

use std::env;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::cpus::CpuWish;
use super::fault::{BAD_VALUE, Fault, Faults, NOT_YET as NOT_YET_CODE, UNKNOWN_KEY};
use super::file;
use super::machine::Machine;
use super::options::{Id, NOT_YET, OPTIONS};
use super::resolved::Config;
use super::suggest::nearest;
use super::value::{BadValue, Value};

/// Where a value was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// Nowhere: the default holds.
    Default,
    /// In this environment variable.
    Environment(String),
    /// In a file.
    File {
        /// Its path, as it was named.
        path: Arc<str>,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// The bytes of the file.
        span: Range<usize>,
    },
    /// In this flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Environment(name) => write!(f, "env {name}"),
            Self::File { path, line, column, .. } => write!(f, "{path}:{line}:{column}"),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// A value with its origin.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Setting {
    /// What was written.
    pub value: Value,
    /// Where.
    pub origin: Origin,
}

/// The places from which settings come, strongest last: file, environment, flags.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that was asked for; else `COREWISE_CONFIG`, else corewise.toml if it exists.
    pub file: Option<PathBuf>,
    /// Variables with names and values; those that are not ours are passed over.
    pub environment: Vec<(String, String)>,
    /// Options of the command line with their values, as written.
    pub flags: Vec<(Id, String)>,
}

/// A value for each option.
#[derive(Clone, Debug)]
pub struct Settings {
    values: Vec<Setting>,
    /// The file that was read.
    file: Option<Arc<str>>,
}

impl Sources {
    /// The environment of this process, no flags.
    #[must_use]
    pub fn from_process() -> Self {
        // A variable that is not Unicode cannot be one of ours.
        let unicode = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self { environment: env::vars_os().filter_map(unicode).collect(), ..Self::default() }
    }

    /// Reads, checks and resolves everything for this machine.
    pub fn resolve(&self, machine: &Machine) -> Result<Config, Faults> {
        let (settings, mut faults) = Settings::gather(self);
        let resolved = Config::resolve(&settings, machine, &mut faults);
        if faults.0.is_empty() { Ok(resolved) } else { Err(faults) }
    }
}

impl Settings {
    /// Takes all sources together. Where one is wrong, its fault is noted and the next weaker
    /// one stays, so that the rest can be checked in the same run.
    #[must_use]
    pub fn gather(sources: &Sources) -> (Self, Faults) {
        let mut settings = Self::defaults();
        let mut faults = Faults::default();
        settings.apply_file(sources, &mut faults);
        // The short name is weaker than the full one, in whatever order the system has them.
        let (short, full): (Vec<_>, Vec<_>) =
            sources.environment.iter().partition(|(name, _)| name == SHORT_LOG_LEVEL);
        for (name, value) in short.into_iter().chain(full) {
            settings.apply_variable(name, value, &mut faults);
        }
        for (id, text) in &sources.flags {
            settings.apply(*id, text, Origin::Flag(id.def().shown_flag()), &mut faults);
        }
        (settings, faults)
    }

    /// Every option at its default.
    #[must_use]
    pub fn defaults() -> Self {
        let values = OPTIONS.iter().map(|def| {
            let value = def.kind.parse(def.default).expect("a test parses every default");
            Setting { value, origin: Origin::Default }
        });
        Self { values: values.collect(), file: None }
    }

    /// One option.
    #[must_use]
    pub fn get(&self, id: Id) -> &Setting {
        &self.values[id as usize]
    }

    /// The path of the file that was read.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    fn apply_file(&mut self, sources: &Sources, faults: &mut Faults) {
        let Some(path) = file_to_read(sources) else { return };
        self.file = Some(path.display().to_string().into());
        for (id, value, origin) in file::read(&path, faults) {
            self.set(id, value, origin);
        }
    }

    fn apply_variable(&mut self, name: &str, text: &str, faults: &mut Faults) {
        let origin = Origin::Environment(name.to_owned());
        if name == SHORT_LOG_LEVEL {
            return self.apply(Id::LogLevel, text, origin, faults);
        }
        // Names without a table are for others, such as tools around us.
        let Some((table, _)) =
            name.strip_prefix("COREWISE_").and_then(|rest| rest.split_once("__"))
        else {
            return;
        };
        if let Some(def) = OPTIONS.iter().find(|def| def.variable() == name) {
            return self.apply(def.id, text, origin, faults);
        }
        let later = NOT_YET.iter().find(|(later, _)| later.eq_ignore_ascii_case(table));
        let is_later = later.is_some_and(|(table, keys)| {
            keys.is_empty() || keys.iter().any(|key| variable_of(table, key) == name)
        });
        let variables: Vec<String> =
            OPTIONS.iter().map(super::options::OptionDef::variable).collect();
        let near = nearest(name, variables.iter().map(String::as_str));
        let (code, message) = if is_later {
            (NOT_YET_CODE, format!("`{name}` is not available in this version yet"))
        } else {
            (UNKNOWN_KEY, format!("unknown setting `{name}`"))
        };
        let fix = match near {
            Some(near) if !is_later => format!("a setting with a similar name exists: {near}"),
            _ => "unset it".into(),
        };
        faults.0.push(Fault { code, key: String::new(), origin, message, fix });
    }

    fn apply(&mut self, id: Id, text: &str, origin: Origin, faults: &mut Faults) {
        match id.def().kind.parse(text) {
            Ok(value) => self.set(id, value, origin),
            Err(bad) => faults.0.push(bad_value(id, bad, origin)),
        }
    }

    fn set(&mut self, id: Id, value: Value, origin: Origin) {
        self.values[id as usize] = Setting { value, origin };
    }
}

/// Typed access. The kinds are part of the option table, so a mismatch is a bug that the test of
/// the defaults finds.
impl Settings {
    pub(super) fn addresses(&self, id: Id) -> &[std::net::SocketAddr] {
        let Value::Addresses(addresses) = &self.get(id).value else { mismatch(id) };
        addresses
    }

    pub(super) fn choice(&self, id: Id) -> &'static str {
        let Value::Choice(word) = self.get(id).value else { mismatch(id) };
        word
    }

    pub(super) fn cpus(&self, id: Id) -> &CpuWish {
        let Value::Cpus(wish) = &self.get(id).value else { mismatch(id) };
        wish
    }

    /// A count, size or rate as the integer type that holds its upper bound.
    pub(super) fn number<T: TryFrom<u64>>(&self, id: Id) -> T {
        let (Value::Count(number) | Value::Size(number) | Value::Rate(number)) = self.get(id).value
        else {
            mismatch(id)
        };
        T::try_from(number).ok().expect("the option's upper bound fits its type")
    }

    pub(super) fn time(&self, id: Id) -> std::time::Duration {
        let Value::Time(time) = self.get(id).value else { mismatch(id) };
        time
    }
}

pub(super) fn bad_value(id: Id, bad: BadValue, origin: Origin) -> Fault {
    let code = if bad.not_yet { NOT_YET_CODE } else { BAD_VALUE };
    Fault { code, key: id.def().key(), origin, message: bad.message, fix: bad.fix }
}

fn mismatch(id: Id) -> ! {
    panic!("{} is of another kind in the option table", id.def().key())
}

fn variable_of(table: &str, key: &str) -> String {
    format!("COREWISE_{}__{}", table, key.replace('-', "_")).to_ascii_uppercase()
}

fn file_to_read(sources: &Sources) -> Option<PathBuf> {
    let named = sources.environment.iter().find(|(name, _)| name == "COREWISE_CONFIG");
    let named = sources.file.clone().or_else(|| named.map(|(_, path)| path.into()));
    named.or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()))
}

const SHORT_LOG_LEVEL: &str = "COREWISE_LOG_LEVEL";
const DEFAULT_FILE: &str = "corewise.toml";
