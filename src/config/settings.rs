//! What was written, and where: each option with its raw value and its origin.
//!
//! Sources, weakest first: defaults, variables of platforms such as `PORT`, the file, its
//! drop-ins, variables of our own, flags.

use std::env;
use std::path::{Path, PathBuf};

use super::cpus::{CpuSelect, CpuWish, Reserve};
use super::environment;
use super::fault::{Fault, Faults, NO_CODE, NOT_YET, Notice, SET_TWICE, WHICH_POOL, not_yet};
use super::file::{self, Document, Written};
use super::options::{Id, OPTIONS, OptionDef, POOL_OPTIONS};
use super::origin::Origin;
use super::pool::PoolKind;
use super::route::RouteConfig;
use super::value::{Tries, Value};

/// A value with its origin.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Setting {
    /// What was written.
    pub value: Value,
    /// Where.
    pub origin: Origin,
    /// The places of the entries of a list, where it stands in a file as one.
    pub parts: Vec<Origin>,
}

/// The places from which settings come, strongest last: file, environment, flags.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that was asked for; else `COREWISE_CONFIG`, else corewise.toml if it exists.
    pub file: Option<PathBuf>,
    /// Variables with names and values; those that are not ours are passed over.
    pub environment: Vec<(String, String)>,
    /// Options of the command line with their values, as written. Those of pools are for the only
    /// one.
    pub flags: Vec<(Id, String)>,
    /// Names of the pools that are built into the program.
    pub native_pools: Vec<String>,
}

/// What settings are read for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// To say what they come to.
    Answer,
    /// To run a server, which refuses what can only be planned yet.
    Start,
}

/// A value for each option of a table.
#[derive(Clone, Debug)]
pub struct Values(Vec<Setting>);

/// Everything that was written.
#[derive(Clone, Debug)]
pub struct Settings {
    values: Values,
    pools: Vec<PoolSettings>,
    /// In their order.
    routes: Vec<RouteConfig>,
    files: Vec<String>,
    notices: Vec<Notice>,
}

/// What was written about a pool.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// Its name.
    pub name: String,
    /// Where it is named first.
    pub origin: Origin,
    /// Whether the program has handlers for it.
    pub built_in: bool,
    values: Values,
}

impl Sources {
    /// The environment of this process, no flags.
    #[must_use]
    pub fn from_process() -> Self {
        // A value that is not Unicode is refused when it is read.
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        };
        Self { environment: env::vars_os().filter_map(text).collect(), ..Self::default() }
    }

    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        let found = self.environment.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The file to read, and whether somebody named it.
    fn file_to_read(&self) -> (PathBuf, bool) {
        let named = self.file.clone().or_else(|| {
            self.variable(CONFIG_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from)
        });
        named.map_or_else(|| (PathBuf::from(DEFAULT_FILE), false), |path| (path, true))
    }
}

impl Settings {
    /// Takes all sources together. Where one is wrong, its fault is noted and the next weaker
    /// one stays, so that the rest can be checked in the same run.
    #[must_use]
    pub fn gather(sources: &Sources) -> (Self, Faults) {
        let mut settings = Self::defaults();
        let mut faults = Faults::default();
        settings.apply_files(sources, &mut faults);
        settings.add_native_pools(&sources.native_pools);
        environment::apply(&mut settings, sources, &mut faults);
        for (id, text) in &sources.flags {
            let origin = Origin::Flag(id.def().shown_flag());
            if id.def().is_of_pools() {
                settings.apply_to_only_pool(*id, text, origin, &mut faults);
            } else {
                settings.apply(None, *id, text, origin, &mut faults);
            }
        }
        (settings, faults)
    }

    /// Every option at its default, no pools.
    #[must_use]
    pub fn defaults() -> Self {
        let values = Values::defaults(&OPTIONS);
        Self {
            values,
            pools: Vec::new(),
            routes: Vec::new(),
            files: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// One option of the server.
    #[must_use]
    pub fn get(&self, id: Id) -> &Setting {
        self.values.get(id)
    }

    /// The options of the server.
    #[must_use]
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// The pools, in the order in which they are first named.
    #[must_use]
    pub fn pools(&self) -> &[PoolSettings] {
        &self.pools
    }

    /// The path of the file that was read; its drop-ins alone may be there too.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.files.first().map(String::as_str)
    }

    /// The paths of all files that were read, weakest first.
    #[must_use]
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// The routes of the file, in their order.
    #[must_use]
    pub fn routes(&self) -> &[RouteConfig] {
        &self.routes
    }

    /// What people should know although nothing is wrong.
    #[must_use]
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    pub(super) fn notice(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    fn apply_files(&mut self, sources: &Sources, faults: &mut Faults) {
        let (path, named) = sources.file_to_read();
        if named || file::is_there(&path) {
            // One that somebody names may be a pipe that another program fills.
            let may_wait = named;
            let document = self.read(&path, may_wait, faults);
            self.routes = document.routes;
            for written in document.values {
                self.set(written);
            }
        }
        let (mut before, mut routes) = (Vec::new(), Vec::new());
        for path in file::drop_ins(&path, faults) {
            let document = self.read(&path, false, faults);
            faults.0.extend(routes_twice(&routes, &document.routes));
            routes.extend(document.routes);
            for written in document.values {
                match before.iter().find(|before| is_same(before, &written)) {
                    Some(before) => faults.0.push(set_twice(before, &written)),
                    None => before.push(written),
                }
            }
        }
        for written in before {
            self.set(written);
        }
        // A list replaces a list.
        if !routes.is_empty() {
            self.routes = routes;
        }
    }

    fn read(&mut self, path: &Path, may_wait: bool, faults: &mut Faults) -> Document {
        let mut document = file::read(path, may_wait, faults);
        self.files.push(file::shown_path(path));
        for (name, origin) in document.pools.drain(..) {
            if self.pool(&name).is_none() {
                let values = Values::defaults(&POOL_OPTIONS);
                self.pools.push(PoolSettings { name, origin, built_in: false, values });
            }
        }
        document
    }

    /// Gives every pool that is built in its table, and the kind that nobody has to write then.
    fn add_native_pools(&mut self, names: &[String]) {
        for name in names {
            let place = self.pool(name).unwrap_or_else(|| {
                let values = Values::defaults(&POOL_OPTIONS);
                let (name, origin) = (name.clone(), Origin::Default);
                self.pools.push(PoolSettings { name, origin, built_in: true, values });
                self.pools.len() - 1
            });
            self.pools[place].built_in = true;
            let values = &mut self.pools[place].values;
            if !values.get(Id::PoolKind).origin.is_written() {
                let value = Value::Choice(NATIVE);
                let setting = Setting { value, origin: Origin::Default, parts: Vec::new() };
                values.set(Id::PoolKind, setting);
            }
        }
    }

    fn set(&mut self, written: Written) {
        let setting =
            Setting { value: written.value, origin: written.origin, parts: written.parts };
        match written.pool.map(|pool| self.pool(&pool)) {
            None => self.values.set(written.id, setting),
            Some(Some(place)) => self.pools[place].values.set(written.id, setting),
            // Its name is wrong, which was said before.
            Some(None) => {}
        }
    }

    /// Sets an option from text, of a pool if its place is given.
    pub(super) fn apply(
        &mut self,
        pool: Option<usize>,
        id: Id,
        text: &str,
        origin: Origin,
        faults: &mut Faults,
    ) {
        let def = id.def();
        let key = pool.map_or_else(|| def.key(), |place| def.key_in(&self.pools[place].name));
        if let Some(needs) = def.later() {
            return faults.0.push(not_yet(key, needs, origin));
        }
        let value = match file::parse_value(&def.kind, text) {
            Ok(value) => value,
            Err(bad) => return faults.0.push(file::bad_value(key, bad, origin)),
        };
        if let Value::Choice(word) = value
            && let Some(fault) = file::later_word(def, key, word, origin.clone())
        {
            return faults.0.push(fault);
        }
        let setting = Setting { value, origin, parts: Vec::new() };
        match pool {
            None => self.values.set(id, setting),
            Some(place) => self.pools[place].values.set(id, setting),
        }
    }

    /// Sets an option of the only pool.
    pub(super) fn apply_to_only_pool(
        &mut self,
        id: Id,
        text: &str,
        origin: Origin,
        faults: &mut Faults,
    ) {
        match self.pools.len() {
            1 => self.apply(Some(0), id, text, origin, faults),
            count => faults.0.push(which_pool(id.def(), count, origin)),
        }
    }

    /// The place of a pool.
    fn pool(&self, name: &str) -> Option<usize> {
        self.pools.iter().position(|pool| pool.name == name)
    }
}

impl PoolSettings {
    /// One option of the pool.
    #[must_use]
    pub fn get(&self, id: Id) -> &Setting {
        self.values.get(id)
    }

    /// The options of the pool.
    #[must_use]
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// What its workers run.
    pub(super) fn kind(&self) -> PoolKind {
        match self.values.choice(Id::PoolKind) {
            NATIVE => PoolKind::Native,
            _ => PoolKind::Python,
        }
    }

    /// What keeps a server with this pool from starting.
    pub(super) fn obstacles(&self, purpose: Purpose) -> Vec<Fault> {
        if purpose == Purpose::Answer {
            return Vec::new();
        }
        let whole = obstacle(&self.name, &self.origin, self.kind(), self.built_in);
        let written = LATER.iter().filter(|id| self.get(**id).origin.is_written());
        let parts = written.map(|id| {
            not_yet(id.def().key_in(&self.name), LATER_NEEDS, self.get(*id).origin.clone())
        });
        whole.into_iter().chain(parts).collect()
    }

    /// What is said about a pool that can only be planned, to who only wants to know.
    pub(super) fn cannot_start(&self) -> Option<Fault> {
        (self.kind() == PoolKind::Python).then(|| runs_no_python(&self.name, self.origin.clone()))
    }
}

/// What keeps a server with this pool from starting.
pub(super) fn obstacle(
    name: &str,
    origin: &Origin,
    kind: PoolKind,
    built_in: bool,
) -> Option<Fault> {
    match kind {
        PoolKind::Native if built_in => None,
        PoolKind::Native => Some(has_no_code(name, origin.clone())),
        PoolKind::Python => Some(runs_no_python(name, origin.clone())),
    }
}

fn has_no_code(name: &str, origin: Origin) -> Fault {
    let message = "no such pool is built into this program";
    Fault::new(NO_CODE, format!("pool.{name}"), origin, message)
        .with_label("nothing to run here")
        .with_help("add App::pool with this name to the program, or remove the table")
}

fn runs_no_python(name: &str, origin: Origin) -> Fault {
    let message = "this version only checks and plans pools of Python";
    Fault::new(NOT_YET, format!("pool.{name}"), origin, message)
        .with_label("later")
        .with_help("remove it to start the rest")
}

/// Access by type. The kinds are part of the option table, so a mismatch is a bug that the test of
/// the defaults finds.
impl Values {
    fn defaults(table: &[OptionDef]) -> Self {
        let values = table.iter().map(|def| Setting {
            value: def.kind.parse(def.default).expect("a test parses every default"),
            origin: Origin::Default,
            parts: Vec::new(),
        });
        Self(values.collect())
    }

    /// One option.
    #[must_use]
    pub fn get(&self, id: Id) -> &Setting {
        &self.0[id.place()]
    }

    fn set(&mut self, id: Id, setting: Setting) {
        self.0[id.place()] = setting;
    }

    pub(super) fn addresses(&self, id: Id) -> &[super::address::Address] {
        let Value::Addresses(addresses) = &self.get(id).value else { mismatch(id) };
        addresses
    }

    /// True or false, or neither where it is `auto`.
    pub(super) fn maybe(&self, id: Id) -> Option<bool> {
        match self.get(id).value {
            Value::Auto => None,
            Value::Bool(is) => Some(is),
            _ => mismatch(id),
        }
    }

    pub(super) fn boolean(&self, id: Id) -> bool {
        self.maybe(id).unwrap_or_else(|| mismatch(id))
    }

    pub(super) fn choice(&self, id: Id) -> &'static str {
        let Value::Choice(word) = self.get(id).value else { mismatch(id) };
        word
    }

    pub(super) fn cpus(&self, id: Id) -> &CpuWish {
        let Value::Cpus(wish) = &self.get(id).value else { mismatch(id) };
        wish
    }

    pub(super) fn cpu_select(&self, id: Id) -> &CpuSelect {
        let Value::CpuSelect(select) = &self.get(id).value else { mismatch(id) };
        select
    }

    pub(super) fn reserve(&self, id: Id) -> &Reserve {
        let Value::Reserve(reserve) = &self.get(id).value else { mismatch(id) };
        reserve
    }

    /// A count, size or rate as the integer type that holds its upper bound.
    pub(super) fn number<T: TryFrom<u64>>(&self, id: Id) -> T {
        self.number_or_auto(id).unwrap_or_else(|| mismatch(id))
    }

    /// The same, or nothing where it is `auto`.
    pub(super) fn number_or_auto<T: TryFrom<u64>>(&self, id: Id) -> Option<T> {
        let number = match self.get(id).value {
            Value::Auto => return None,
            Value::Count(number) | Value::Size(number) | Value::Rate(number) => number,
            _ => mismatch(id),
        };
        Some(T::try_from(number).ok().expect("the option's upper bound fits its type"))
    }

    pub(super) fn integer<T: TryFrom<i64>>(&self, id: Id) -> T {
        let Value::Integer(number) = self.get(id).value else { mismatch(id) };
        T::try_from(number).ok().expect("the option's bounds fit its type")
    }

    pub(super) fn time_range(&self, id: Id) -> (std::time::Duration, std::time::Duration) {
        let Value::TimeRange(from, to) = self.get(id).value else { mismatch(id) };
        (from, to)
    }

    pub(super) fn tries(&self, id: Id) -> Tries {
        let Value::Tries(tries) = self.get(id).value else { mismatch(id) };
        tries
    }

    pub(super) fn variables(&self, id: Id) -> &[(String, String)] {
        let Value::Variables(variables) = &self.get(id).value else { mismatch(id) };
        variables
    }

    pub(super) fn text(&self, id: Id) -> &str {
        let Value::Text(text) = &self.get(id).value else { mismatch(id) };
        text
    }

    pub(super) fn time(&self, id: Id) -> std::time::Duration {
        self.time_or_auto(id).unwrap_or_else(|| mismatch(id))
    }

    pub(super) fn time_or_auto(&self, id: Id) -> Option<std::time::Duration> {
        match self.get(id).value {
            Value::Auto => None,
            Value::Time(time) => Some(time),
            _ => mismatch(id),
        }
    }
}

fn mismatch(id: Id) -> ! {
    panic!("{} is of another kind in the option table", id.def().key())
}

fn is_same(one: &Written, other: &Written) -> bool {
    one.id == other.id && one.pool == other.pool
}

fn set_twice(before: &Written, written: &Written) -> Fault {
    let def = written.id.def();
    let key = written.pool.as_ref().map_or_else(|| def.key(), |pool| def.key_in(pool));
    Fault::new(SET_TWICE, key, written.origin.clone(), "set twice in drop-ins")
        .with_label("set a second time here")
        .with_second(before.origin.clone(), "first set here")
        .with_help("keep one of them, or put the weaker one into the file")
}

fn routes_twice(before: &[RouteConfig], routes: &[RouteConfig]) -> Option<Fault> {
    let (before, written) = (before.first()?, routes.first()?);
    let fault = Fault::new(SET_TWICE, "route", written.origin.clone(), "set twice in drop-ins");
    let fault = fault.with_label("set a second time here");
    let fault = fault.with_second(before.origin.clone(), "first set here");
    Some(fault.with_help("write all routes into one of them: their order counts"))
}

fn which_pool(def: &OptionDef, pools: usize, origin: Origin) -> Fault {
    let message = match pools {
        0 => "there is no pool that this could be set for".to_owned(),
        count => format!("there are {count} pools, and this is for the only one"),
    };
    let help = match pools {
        0 if def.id == Id::PoolWorkers => {
            "how many shards serve is cores.shards (--shards); for workers, write a [pool.app] \
             into the file"
                .to_owned()
        }
        0 => "write a [pool.app] into the file, or leave it out".to_owned(),
        _ => format!("write {} = ... below the [pool.NAME] that is meant", def.name),
    };
    Fault::new(WHICH_POOL, def.key(), origin, message).with_help(help)
}

/// Settings of pools that start, which would have no effect yet.
const LATER: [Id; 6] = [
    Id::PoolMaxWorkers,
    Id::PoolRecycleAge,
    Id::PoolRecycleJitter,
    Id::PoolRecycleRequests,
    Id::PoolRecycleRss,
    Id::PoolWarm,
];
const LATER_NEEDS: &str = "it can be planned already, and has no effect yet";
const NATIVE: &str = "native";
const CONFIG_VARIABLE: &str = "COREWISE_CONFIG";
const DEFAULT_FILE: &str = "corewise.toml";
