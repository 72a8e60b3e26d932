//! The TOML file and its drop-ins, walked with the option table, so that all faults are found in
//! one run.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::iter;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::bad_value::BadValue;
use super::fault::{
    BAD_VALUE, Fault, Faults, NOT_YET, Patch, SYNTAX, Second, TOO_MANY_FAULTS, UNKNOWN_KEY,
    UNKNOWN_TABLE, UNREADABLE, WRONG_TYPE, not_yet,
};
use super::options::{self, Id, LATER_TABLES, OptionDef};
use super::origin::{Origin, Source};
use super::route::{self, RouteConfig};
use super::suggest::nearest;
use super::syntax::{self, DUPLICATE};
use super::value::{Kind, Value, variable};
use crate::limits::{CONFIG_BYTES_MAX, POOLS_MAX};

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// Values, in the order of the file.
    pub(super) values: Vec<Written>,
    /// Pools with the place of their name.
    pub(super) pools: Vec<(String, Origin)>,
    /// Routes in their order.
    pub(super) routes: Vec<RouteConfig>,
}

/// A value that a file sets.
#[derive(Debug)]
pub(super) struct Written {
    /// The pool, for an option of pools.
    pub(super) pool: Option<String>,
    pub(super) id: Id,
    pub(super) value: Value,
    pub(super) origin: Origin,
    /// The places of the entries of a list.
    pub(super) parts: Vec<Origin>,
}

/// Whether something has that name: a link that leads nowhere was put there by somebody too.
pub(super) fn is_there(path: &Path) -> bool {
    !path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Reads a file; what is wrong in it is noted and left out. With `may_wait` it may be a pipe too,
/// which ends when its writer does.
pub(super) fn read(path: &Path, may_wait: bool, faults: &mut Faults) -> Document {
    let name = shown_path(path);
    match may_read(path, may_wait).and_then(|()| read_bytes(path, CONFIG_BYTES_MAX)) {
        Ok(bytes) => parse(name, bytes, faults),
        Err(error) => {
            let origin = whole(name, String::new(), 0..0);
            let message = format!("cannot read the file: {}", reason(&error));
            let help = if error.kind() == io::ErrorKind::NotFound {
                "write one with `corewise init`, or name another with --config"
            } else {
                "name another file with --config, or none"
            };
            faults.0.push(Fault::new(UNREADABLE, "", origin, message).with_help(help));
            Document::default()
        }
    }
}

/// The drop-ins beside a file, by name.
pub(super) fn drop_ins(file: &Path, faults: &mut Faults) -> Vec<PathBuf> {
    let folder = file.with_file_name(DROP_INS);
    let listed = match folder.read_dir() {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => Err(error),
    };
    let mut paths = listed.unwrap_or_else(|error| {
        let origin = whole(shown_path(&folder), String::new(), 0..0);
        let message = format!("cannot list the drop-ins: {}", reason(&error));
        faults.0.push(
            Fault::new(UNREADABLE, "", origin, message)
                .with_help("make it a folder that can be read, or remove it"),
        );
        Vec::new()
    });
    // As with `*.toml` in a shell, hidden files are none of them: editors leave theirs there.
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.retain(|path| !path.file_name().is_some_and(|name| name.as_bytes().starts_with(b".")));
    paths.sort();
    paths
}

/// Reads a list or a table that a variable or a flag writes as TOML has it.
pub(super) fn parse_value(kind: &Kind, text: &str) -> Result<Value, BadValue> {
    let is_toml = matches!(kind, Kind::Texts { .. } | Kind::Variables)
        && text.trim_start().starts_with(['[', '{']);
    if !is_toml {
        return kind.parse(text);
    }
    let wrong = |message: String| BadValue { message, fix: kind.example(), not_yet: false };
    let value = DeValue::parse(text.trim()).map_err(|error| wrong(error.message().to_owned()))?;
    read_value(kind, value.get_ref()).map_err(|unfit| match unfit.reason {
        Reason::Bad(bad) => bad,
        Reason::Type(message) => wrong(message),
    })
}

/// Whether reading a file ends by itself, or is meant to wait.
fn may_read(path: &Path, may_wait: bool) -> io::Result<()> {
    let metadata = path.metadata()?;
    if !may_wait && !metadata.is_file() && !metadata.is_dir() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(())
}

/// All of a file that has at most so many bytes.
pub(super) fn read_bytes(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more tells a file that is too large from one that just fits.
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        let reason = format!("it has more than {} KiB", bytes_max >> 10);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

fn parse(name: String, bytes: Vec<u8>, faults: &mut Faults) -> Document {
    let first = faults.0.len();
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            faults.0.push(not_text(name, &error));
            return Document::default();
        }
    };
    let source = Arc::new(Source { path: name, text });
    let mut walk = Walk { source: &source, faults, first, found: Document::default() };
    let (document, errors) = DeTable::parse_recoverable(&source.text);
    let names = if errors.is_empty() { Vec::new() } else { all_names(document.get_ref()) };
    let other = syntax::other_format(&source.text).filter(|_| !errors.is_empty());
    if let Some(slip) = other {
        walk.fault(SYNTAX, String::new(), 0..0, slip.message, slip.help);
        return walk.found;
    }
    for error in errors.into_iter().take(FAULTS_MAX) {
        walk.syntax(&names, &error.span().unwrap_or(0..0), error.message());
    }
    walk.document(document.get_ref());
    walk.drop_echoes();
    if walk.is_full() {
        let message = format!("{FAULTS_MAX} faults in one file; the rest of it was not looked at");
        let fix = "name another file if this is not a configuration".to_owned();
        walk.fault(
            TOO_MANY_FAULTS,
            String::new(),
            source.text.len()..source.text.len(),
            message,
            fix,
        );
    }
    let mut found = walk.found;
    found.values.sort_by_key(|written| start(&written.origin));
    found.pools.sort_by_key(|(_, origin)| start(origin));
    faults.0[first..].sort_by_key(|fault| start(&fault.origin));
    found
}

/// The places of all names in a table and below it.
fn all_names(table: &DeTable<'_>) -> Vec<Range<usize>> {
    let below = |value: &DeValue<'_>| value.as_table().map(all_names).unwrap_or_default();
    let names = table.iter().flat_map(|(name, value)| {
        let mut names = below(value.get_ref());
        names.push(name.span());
        names
    });
    names.collect()
}

fn not_text(name: String, error: &std::string::FromUtf8Error) -> Fault {
    let at = error.utf8_error().valid_up_to();
    // Up to the bad byte the text is the same, so its place is too.
    let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
    let end = at + char::REPLACEMENT_CHARACTER.len_utf8();
    Fault::new(UNREADABLE, "", whole(name, text, at..end), "the file is not UTF-8")
        .with_label(format!("byte {at} is {:#04x}", error.as_bytes()[at]))
        .with_help("save it as UTF-8")
}

fn whole(path: String, text: String, span: Range<usize>) -> Origin {
    Origin::File { source: Arc::new(Source { path, text }), span }
}

fn start(origin: &Origin) -> usize {
    if let Origin::File { span, .. } = origin { span.start } else { 0 }
}

pub(super) struct Walk<'a> {
    source: &'a Arc<Source>,
    faults: &'a mut Faults,
    /// How many there were before this file.
    first: usize,
    found: Document,
}

/// The table that keys stand in.
#[derive(Clone, Copy)]
struct Home<'a> {
    /// As the option table has it.
    table: &'static str,
    /// The name of the pool, if it is one.
    pool: Option<&'a str>,
    /// The keys above, each with a dot behind it.
    prefix: &'a str,
}

impl Home<'_> {
    /// As its header has it.
    fn name(&self) -> String {
        self.key("").trim_end_matches('.').to_owned()
    }

    fn key(&self, written: &str) -> String {
        match self.pool {
            Some(pool) => format!("pool.{pool}.{}{written}", self.prefix),
            None => format!("{}.{}{written}", self.table, self.prefix),
        }
    }

    /// The options here, by what is left of their names.
    fn options(&self) -> impl Iterator<Item = (&'static str, &'static OptionDef)> + Clone {
        let prefix = self.prefix.to_owned();
        options::of_table(self.table)
            .filter_map(move |def| Some((def.name.strip_prefix(prefix.as_str())?, def)))
    }
}

impl Walk<'_> {
    /// True when there are so many faults that more of them help nobody.
    fn is_full(&self) -> bool {
        self.faults.0.len() - self.first >= FAULTS_MAX
    }

    fn syntax(&mut self, names: &[Range<usize>], span: &Range<usize>, said: &str) {
        let slip = syntax::explain(&self.source.text, span, said);
        let first = (said == DUPLICATE).then(|| self.same_name(names, span)).flatten();
        let fault = self.fault(SYNTAX, String::new(), span.clone(), slip.message, slip.help);
        if let Some(first) = first {
            fault.second = Some(Second { origin: first, label: "first written here".to_owned() });
        }
    }

    /// Of a line that could not be parsed, only the first thing that is wrong with it is right.
    fn drop_echoes(&mut self) {
        let text = &self.source.text;
        let mut lines = BTreeSet::new();
        let mut index = 0;
        // Syntax was looked at before anything else.
        self.faults.0.retain(|fault| {
            index += 1;
            if index <= self.first {
                return true;
            }
            let line = syntax::line_start(text, start(&fault.origin));
            if fault.code == SYNTAX { lines.insert(line) } else { !lines.contains(&line) }
        });
    }

    fn document(&mut self, document: &DeTable<'_>) {
        for (name, value) in document {
            if self.is_full() {
                return;
            }
            let (table, span) = (name.get_ref().as_ref(), name.span());
            if table == "route" {
                self.found.routes = route::read(self, span, value);
                continue;
            }
            let known = options::all().map(|def| top(def.table)).find(|known| *known == table);
            let later = LATER_TABLES.iter().find(|(later, _)| *later == table);
            match (known, value.get_ref()) {
                (_, value) if table == "version" => self.version(value, span),
                (None, _) => match later {
                    Some((_, needs)) => self.not_yet(table.to_owned(), needs, span),
                    None if is_table(value.get_ref()) => self.unknown_table(table, span),
                    None => self.homeless_key(table, span),
                },
                (Some("pool"), DeValue::Table(pools)) => self.pools(pools),
                (Some(table), DeValue::Table(entries)) => {
                    self.section(Home { table, pool: None, prefix: "" }, entries);
                }
                (Some(table), value) => self.not_a_table(table, value, span),
            }
        }
    }

    /// The nearest name before a place that is written as there.
    fn same_name(&self, names: &[Range<usize>], span: &Range<usize>) -> Option<Origin> {
        let text = |span: &Range<usize>| self.source.text.get(span.clone());
        let before = names.iter().filter(|name| name.start < span.start);
        let same = before.filter(|name| text(name) == text(span)).max_by_key(|name| name.start)?;
        Some(self.origin(same.clone()))
    }

    fn pools(&mut self, pools: &DeTable<'_>) {
        for (name, value) in pools {
            if self.is_full() {
                return;
            }
            let (pool, span) = (name.get_ref().as_ref(), name.span());
            let DeValue::Table(entries) = value.get_ref() else {
                let message = format!("`{}` stands in [pool], but a pool has a name", shown(pool));
                let help = "write [pool.app] and its keys below".to_owned();
                self.fault(WRONG_TYPE, String::new(), span, message, help).label =
                    "not a pool".to_owned();
                continue;
            };
            let origin = self.origin(span.clone());
            if !is_pool_name(pool) {
                let message = format!("`{}` is not the name of a pool", shown(pool));
                let help = format!(
                    "use up to {POOL_NAME_BYTES_MAX} small letters, digits and `-`, \
                     beginning with a letter, but not `{SHARD}`"
                );
                self.fault(BAD_VALUE, String::new(), span, message, help);
            } else if self.found.pools.len() == POOLS_MAX {
                let message = format!("there are more than {POOLS_MAX} pools");
                self.fault(BAD_VALUE, String::new(), span, message, "remove some".to_owned());
                return;
            } else {
                self.found.pools.push((pool.to_owned(), origin));
            }
            self.section(Home { table: "pool", pool: Some(pool), prefix: "" }, entries);
        }
    }

    fn section(&mut self, home: Home<'_>, entries: &DeTable<'_>) {
        for (name, value) in entries {
            if self.is_full() {
                return;
            }
            let (written, span) = (name.get_ref().as_ref(), name.span());
            let group = format!("{written}.");
            let mut below = home.options().filter(|(left, _)| left.starts_with(&group)).peekable();
            if let Some((_, def)) = home.options().find(|(left, _)| *left == written) {
                self.option(home, def, span, value);
            } else if below.peek().is_some() {
                let later = below.map(|(_, def)| def.later()).reduce(Option::and).flatten();
                let prefix = format!("{}{group}", home.prefix);
                match (later, value.get_ref()) {
                    (Some(needs), _) => self.not_yet(home.key(written), needs, span),
                    (None, DeValue::Table(entries)) => {
                        self.section(Home { prefix: &prefix, ..home }, entries);
                    }
                    (None, value) => self.not_a_table(&home.key(written), value, span),
                }
            } else {
                self.unknown_key(home, written, span);
            }
        }
    }

    fn option(
        &mut self,
        home: Home<'_>,
        def: &'static OptionDef,
        name: Range<usize>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let key = home.pool.map_or_else(|| def.key(), |pool| def.key_in(pool));
        if let Some(needs) = def.later() {
            return self.not_yet(key, needs, name);
        }
        let origin = self.origin(value.span());
        match read_value(&def.kind, value.get_ref()) {
            Ok(Value::Choice(word)) if def.later_word(word).is_some() => {
                self.faults.0.extend(later_word(def, key, word, origin));
            }
            Ok(read) => self.found.values.push(Written {
                pool: home.pool.map(str::to_owned),
                id: def.id,
                value: read,
                origin,
                parts: self.parts(value.get_ref()),
            }),
            // The parser puts nothing where it found nothing, and has said so.
            Err(_) if value.span().is_empty() => {}
            Err(first) => {
                let (span, more) = (value.span(), first.more.clone());
                for unfit in iter::once(first).chain(more) {
                    self.unfit(def, key.clone(), unfit, &span);
                }
            }
        }
    }

    fn unfit(&mut self, def: &OptionDef, key: String, unfit: Unfit, value: &Range<usize>) {
        let span = unfit.span.unwrap_or_else(|| value.clone());
        match unfit.reason {
            Reason::Bad(bad) => self.faults.0.push(bad_value(key, bad, self.origin(span))),
            Reason::Type(message) => {
                let label = format!("expected {}", def.kind.noun());
                self.fault(WRONG_TYPE, key, span, message, def.kind.example()).label = label;
            }
        }
    }

    fn parts(&self, value: &DeValue<'_>) -> Vec<Origin> {
        let entries = value.as_array().into_iter().flatten();
        entries.map(|entry| self.origin(entry.span())).collect()
    }

    fn version(&mut self, value: &DeValue<'_>, span: Range<usize>) {
        if value.as_integer().is_none_or(|integer| integer.as_str() != "1") {
            let message = "only version 1 of the file is known".to_owned();
            self.fault(BAD_VALUE, "version".into(), span, message, "write version = 1".into());
        }
    }

    fn not_a_table(&mut self, key: &str, value: &DeValue<'_>, span: Range<usize>) {
        let message = format!("`{key}` is a table, not {}", article(value));
        let name = if key == "pool" { "pool.app" } else { key };
        let help = format!("write [{name}] and its keys below");
        self.fault(WRONG_TYPE, String::new(), span, message, help);
    }

    fn unknown_table(&mut self, table: &str, span: Range<usize>) {
        let tables = options::all().map(|def| top(def.table)).chain(["route"]);
        let near = nearest(table, tables);
        let message = format!("unknown table `{}`", shown(table));
        let patch = span.clone();
        let fault = self.fault(UNKNOWN_TABLE, String::new(), span, message, String::new());
        match near {
            Some(near) => {
                fault.patch = Some(Patch { span: patch, text: near.to_owned() });
                fault.help = "a table with a similar name exists".to_owned();
            }
            None => fault.help = belongs(table).unwrap_or_else(|| REMOVE.to_owned()),
        }
    }

    /// A key outside of any table: a common slip.
    fn homeless_key(&mut self, key: &str, span: Range<usize>) {
        let message = format!("`{}` stands outside of the tables", shown(key));
        let tables = options::all().map(|def| top(def.table));
        let help = belongs(key).unwrap_or_else(|| match nearest(key, tables) {
            Some(near) => format!("write [{near}] and its keys below"),
            None => REMOVE.to_owned(),
        });
        self.fault(UNKNOWN_KEY, String::new(), span, message, help).label = String::new();
    }

    fn unknown_key(&mut self, home: Home<'_>, key: &str, span: Range<usize>) {
        let here = home.options().map(|(left, _)| left.split('.').next().unwrap_or(left));
        let near = nearest(key, here);
        let message = format!("unknown key `{}` in [{}]", shown(key), home.name());
        let patch = span.clone();
        let fault = self.fault(UNKNOWN_KEY, String::new(), span, message, String::new());
        match near {
            Some(near) => {
                fault.patch = Some(Patch { span: patch, text: near.to_owned() });
                fault.help = "a setting with a similar name exists".to_owned();
            }
            None => fault.help = belongs(key).unwrap_or_else(|| REMOVE.to_owned()),
        }
    }

    fn not_yet(&mut self, key: String, needs: &str, span: Range<usize>) {
        self.faults.0.push(not_yet(key, needs, self.origin(span)));
    }

    /// Notes a fault at a place in the file.
    pub(super) fn fault(
        &mut self,
        code: &'static str,
        key: String,
        span: Range<usize>,
        message: String,
        fix: String,
    ) -> &mut Fault {
        let label = match code {
            UNKNOWN_KEY => "not a setting of this table",
            UNKNOWN_TABLE => "not a table of this file",
            _ => "",
        };
        let fault = Fault::new(code, key, self.origin(span), message);
        self.faults.0.push_mut(fault.with_label(label).with_help(fix))
    }

    /// The file that is read.
    pub(super) fn source(&self) -> &Source {
        self.source
    }

    /// A place in the file.
    pub(super) fn origin(&self, span: Range<usize>) -> Origin {
        Origin::File { source: Arc::clone(self.source), span }
    }
}

/// Where a key belongs that is not in its place; other servers' names for it count.
fn belongs(key: &str) -> Option<String> {
    if let Some(def) = options::all().find(|def| def.name == key) {
        return Some(format!("`{key}` belongs below [{}]", def.table));
    }
    let flag = key.replace('_', "-");
    let listens = ["address", "host", "port"].contains(&flag.as_str());
    let is_flag = |def: &&OptionDef| def.flag == Some(flag.as_str());
    let listen = listens.then(|| Id::ServerListen.def());
    let def = options::all().find(is_flag).or(listen)?;
    Some(format!("that is `{}` below [{}]", def.name, def.table))
}

/// The fault of a value that cannot be read.
pub(super) fn bad_value(key: String, bad: BadValue, origin: Origin) -> Fault {
    let code = if bad.not_yet { NOT_YET } else { BAD_VALUE };
    let label = if bad.not_yet { "later" } else { "" };
    Fault::new(code, key, origin, bad.message).with_label(label).with_help(bad.fix)
}

/// The fault of a word that has no effect yet.
pub(super) fn later_word(
    def: &OptionDef,
    key: String,
    word: &str,
    origin: Origin,
) -> Option<Fault> {
    let needs = def.later_word(word)?;
    let message = format!("`{word}` is not available in this version yet: {needs}");
    let help = format!("write \"{}\"", def.default);
    Some(Fault::new(NOT_YET, key, origin, message).with_label("later").with_help(help))
}

/// Why a value is not what an option takes.
#[derive(Clone)]
struct Unfit {
    /// The entry that it is about, if the value is a list or a table.
    span: Option<Range<usize>>,
    reason: Reason,
    /// The same for further entries of a list.
    more: Vec<Unfit>,
}

#[derive(Clone)]
enum Reason {
    Bad(BadValue),
    Type(String),
}

impl From<BadValue> for Unfit {
    fn from(bad: BadValue) -> Self {
        Self { span: None, reason: Reason::Bad(bad), more: Vec::new() }
    }
}

impl Unfit {
    fn of_type(message: impl Into<String>) -> Self {
        Self { span: None, reason: Reason::Type(message.into()), more: Vec::new() }
    }

    fn at(self, span: Range<usize>) -> Self {
        Self { span: Some(span), ..self }
    }
}

fn read_value(kind: &Kind, value: &DeValue<'_>) -> Result<Value, Unfit> {
    match (kind, value) {
        (Kind::Auto(_), DeValue::String(text)) if text.eq_ignore_ascii_case("auto") => {
            Ok(Value::Auto)
        }
        (Kind::Auto(inner), value) => {
            read_value(inner, value).map_err(|unfit| match unfit.reason {
                Reason::Bad(bad) => BadValue { fix: kind.example(), ..bad }.into(),
                Reason::Type(message) => Unfit::of_type(message),
            })
        }
        (Kind::Addresses, DeValue::Array(entries)) => read_addresses(kind, entries),
        (Kind::Texts { .. }, DeValue::Array(entries)) => read_texts(kind, entries),
        (Kind::Texts { .. }, DeValue::String(_)) => {
            Err(Unfit::of_type("a list stands in brackets"))
        }
        (Kind::Variables, DeValue::Table(entries)) => read_variables(kind, entries),
        (Kind::Bool, DeValue::Boolean(is)) => Ok(Value::Bool(*is)),
        (Kind::Fraction, DeValue::Float(number)) => Ok(kind.parse(number.as_str())?),
        (
            Kind::Count { .. }
            | Kind::Cpus
            | Kind::Fraction
            | Kind::Integer { .. }
            | Kind::Reserve
            | Kind::Size { .. }
            | Kind::Time { .. },
            DeValue::Integer(integer),
        ) => Ok(kind.parse(&plain_integer(integer)?)?),
        (Kind::CpuList | Kind::CpuSelect, DeValue::Integer(_)) => {
            Err(Unfit::of_type("a list of CPUs stands in quotes"))
        }
        (Kind::Count { .. } | Kind::Fraction | Kind::Integer { .. }, DeValue::String(text))
            if text.trim().parse::<f64>().is_ok() =>
        {
            Err(Unfit::of_type("a number is written without quotes"))
        }
        (Kind::Bool, DeValue::String(text)) if kind.parse(text).is_ok() => {
            Err(Unfit::of_type("true and false are written without quotes"))
        }
        (Kind::Variables, _) => Err(Unfit::of_type("a table stands in braces")),
        (_, DeValue::String(text)) => Ok(kind.parse(text)?),
        (_, value) => {
            Err(Unfit::of_type(format!("{} is not what this setting takes", article(value))))
        }
    }
}

fn read_addresses(kind: &Kind, entries: &[Spanned<DeValue<'_>>]) -> Result<Value, Unfit> {
    let all = read_entries(entries, |text| match kind.parse(text)? {
        Value::Addresses(addresses) => Ok(addresses),
        _ => Ok(Vec::new()),
    })?;
    if all.is_empty() {
        return Err(Unfit::of_type("the list is empty"));
    }
    Ok(Value::Addresses(all.concat()))
}

fn read_texts(kind: &Kind, entries: &[Spanned<DeValue<'_>>]) -> Result<Value, Unfit> {
    read_entries(entries, |text| kind.text_entry(text)).map(Value::Texts)
}

/// The entries of a list, or everything that is wrong with them.
fn read_entries<T>(
    entries: &[Spanned<DeValue<'_>>],
    read: impl Fn(&str) -> Result<T, BadValue>,
) -> Result<Vec<T>, Unfit> {
    let mut all = Vec::new();
    let mut wrong = Vec::new();
    for entry in entries {
        let what = article(entry.get_ref());
        let read = match entry.get_ref().as_str() {
            Some(text) => read(text).map_err(Unfit::from),
            None => Err(Unfit::of_type(format!("{what} in the list is not a string"))),
        };
        match read {
            Ok(value) => all.push(value),
            Err(unfit) => wrong.push(unfit.at(entry.span())),
        }
    }
    let mut wrong = wrong.into_iter();
    match wrong.next() {
        None => Ok(all),
        Some(first) => Err(Unfit { more: wrong.collect(), ..first }),
    }
}

fn read_variables(kind: &Kind, entries: &DeTable<'_>) -> Result<Value, Unfit> {
    let mut all = Vec::new();
    for (name, value) in entries {
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(integer) => plain_integer(integer)?,
            other => {
                let message = format!("{} is not the value of a variable", article(other));
                return Err(Unfit::of_type(message).at(value.span()));
            }
        };
        let variable = variable(name.get_ref(), &text, kind);
        all.push(variable.map_err(|bad| Unfit::from(bad).at(name.span()))?);
    }
    all.sort();
    Ok(Value::Variables(all))
}

/// An integer as decimal digits: TOML also has hexadecimal and others.
fn plain_integer(integer: &toml::de::DeInteger<'_>) -> Result<String, Unfit> {
    let digits = i128::from_str_radix(integer.as_str(), integer.radix());
    digits.map(|number| number.to_string()).map_err(|_| Unfit::of_type("the number is too large"))
}

pub(super) fn article(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::Array(_) => "a list",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Float(_) => "a fraction",
        DeValue::Integer(_) => "a number",
        DeValue::String(_) => "a string",
        DeValue::Table(_) => "a table",
    }
}

/// True for `[x]`, `[[x]]` and `x = {}`.
fn is_table(value: &DeValue<'_>) -> bool {
    let is_list = |list: &DeArray<'_>| list.iter().any(|entry| entry.get_ref().is_table());
    value.is_table() || value.as_array().is_some_and(is_list)
}

/// The first part of a table's name: `pool` of `pool.NAME`.
fn top(table: &'static str) -> &'static str {
    table.split('.').next().unwrap_or(table)
}

/// What the system said, without its number.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let first = text.chars().take(1).flat_map(char::to_lowercase);
    first.chain(text.chars().skip(1)).collect()
}

/// A path for messages.
pub(super) fn shown_path(path: &Path) -> String {
    let path = path.display().to_string();
    if path.contains(char::is_control) { path.escape_debug().to_string() } else { path }
}

/// A name that somebody wrote, so that it cannot do anything to a terminal or fill it.
pub(super) fn shown(name: &str) -> String {
    let mut shown: String = name.chars().take(NAME_CHARS_MAX).collect();
    if shown.len() < name.len() {
        shown += "...";
    }
    shown.escape_debug().to_string()
}

/// Names that make distinct variables, flags and process titles.
pub(super) fn is_pool_name(name: &str) -> bool {
    // Workers are called by the names of their pools: `shard/0` is somebody else.
    name.len() <= POOL_NAME_BYTES_MAX
        && name != SHARD
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// What to do with something that nobody knows.
const REMOVE: &str = "remove it; `corewise init --print` shows everything there is";
const DROP_INS: &str = "corewise.d";
/// So many faults of a file are noted.
const FAULTS_MAX: usize = 1000;
const NAME_CHARS_MAX: usize = 60;
const POOL_NAME_BYTES_MAX: usize = 32;
const SHARD: &str = "shard";
