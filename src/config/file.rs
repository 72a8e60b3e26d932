//! The TOML file, walked with the option table, so that all faults are found in one run.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{
    BAD_VALUE, Fault, Faults, NOT_YET as NOT_YET_CODE, SYNTAX, UNKNOWN_KEY, UNKNOWN_TABLE,
    UNREADABLE, WRONG_TYPE,
};
use super::options::{Id, NOT_YET, OPTIONS, OptionDef};
use super::settings::{Origin, bad_value};
use super::suggest::nearest;
use super::value::{BadValue, Kind, Value};

/// Reads the file; what is wrong in it is noted and left out.
pub(super) fn read(path: &Path, faults: &mut Faults) -> Vec<(Id, Value, Origin)> {
    let name: Arc<str> = path.display().to_string().into();
    match fs::read_to_string(path) {
        Ok(text) => parse(&name, &text, faults),
        Err(error) => {
            let origin = Origin::File { path: name, line: 1, column: 1, span: 0..0 };
            faults.0.push(Fault {
                code: UNREADABLE,
                key: String::new(),
                origin,
                message: format!("cannot read the file: {error}"),
                fix: "name another file with --config, or none".into(),
            });
            Vec::new()
        }
    }
}

fn parse(name: &Arc<str>, text: &str, faults: &mut Faults) -> Vec<(Id, Value, Origin)> {
    let mut walk = Walk { name, text, faults, found: Vec::new() };
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        walk.fault(SYNTAX, String::new(), span, error.message().to_owned(), String::new());
    }
    walk.document(document.get_ref());
    walk.found
}

struct Walk<'a> {
    name: &'a Arc<str>,
    text: &'a str,
    faults: &'a mut Faults,
    found: Vec<(Id, Value, Origin)>,
}

impl Walk<'_> {
    fn document(&mut self, document: &DeTable<'_>) {
        for (name, value) in document {
            match (name.get_ref().as_ref(), value.get_ref()) {
                ("version", value) => self.version(value, name.span()),
                (table, _) if is_later_table(table) => self.not_yet(table, name.span()),
                (table, _) if !is_table(table) => self.unknown_table(table, name.span()),
                (table, DeValue::Table(entries)) => self.table(table, entries),
                (table, value) => {
                    let message = format!("`{table}` is a table, not {}", article(value));
                    let fix = format!("write [{table}] and its keys below");
                    self.fault(WRONG_TYPE, table.to_owned(), name.span(), message, fix);
                }
            }
        }
    }

    fn table(&mut self, table: &str, entries: &DeTable<'_>) {
        for (name, value) in entries {
            let written = name.get_ref().as_ref();
            if let Some(def) = OPTIONS.iter().find(|def| def.table == table && def.name == written)
            {
                self.option(def, value);
            } else if is_later_key(table, written) {
                self.not_yet(&format!("{table}.{written}"), name.span());
            } else {
                self.unknown_key(table, written, name.span());
            }
        }
    }

    fn option(&mut self, def: &'static OptionDef, value: &Spanned<DeValue<'_>>) {
        let origin = self.origin(value.span());
        match read_value(&def.kind, value.get_ref()) {
            Ok(value) => self.found.push((def.id, value, origin)),
            Err(ValueFault::Bad(bad)) => self.faults.0.push(bad_value(def.id, bad, origin)),
            Err(ValueFault::Type(message)) => {
                self.fault(WRONG_TYPE, def.key(), value.span(), message, def.kind.example());
            }
        }
    }

    fn version(&mut self, value: &DeValue<'_>, span: Range<usize>) {
        if value.as_integer().is_none_or(|integer| integer.as_str() != "1") {
            let message = "only version 1 of the file is known".to_owned();
            self.fault(BAD_VALUE, "version".into(), span, message, "write version = 1".into());
        }
    }

    fn unknown_table(&mut self, table: &str, span: Range<usize>) {
        // A key of some table that was written outside of any is a common slip.
        let home = OPTIONS.iter().find(|def| def.name == table);
        let fix = match (home, nearest(table, OPTIONS.iter().map(|def| def.table))) {
            (Some(def), _) => format!("`{table}` belongs below [{}]", def.table),
            (None, Some(near)) => format!("a table with a similar name exists: [{near}]"),
            (None, None) => "remove it".into(),
        };
        self.fault(UNKNOWN_TABLE, String::new(), span, format!("unknown table `{table}`"), fix);
    }

    fn unknown_key(&mut self, table: &str, key: &str, span: Range<usize>) {
        let here = OPTIONS.iter().filter(|def| def.table == table).map(|def| def.name);
        let home = OPTIONS.iter().find(|def| def.name == key);
        let fix = match (nearest(key, here), home) {
            (Some(near), _) => format!("a setting with a similar name exists: {near}"),
            (None, Some(def)) => format!("`{key}` belongs below [{}]", def.table),
            (None, None) => "remove it".into(),
        };
        self.fault(
            UNKNOWN_KEY,
            String::new(),
            span,
            format!("unknown key `{key}` in [{table}]"),
            fix,
        );
    }

    fn not_yet(&mut self, key: &str, span: Range<usize>) {
        let message = format!("`{key}` is not available in this version yet");
        self.fault(NOT_YET_CODE, String::new(), span, message, "remove it".into());
    }

    fn fault(
        &mut self,
        code: &'static str,
        key: String,
        span: Range<usize>,
        message: String,
        fix: String,
    ) {
        let origin = self.origin(span);
        self.faults.0.push(Fault { code, key, origin, message, fix });
    }

    fn origin(&self, span: Range<usize>) -> Origin {
        let before = &self.text[..self.text.floor_char_boundary(span.start)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Origin::File {
            path: Arc::clone(self.name),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            span,
        }
    }
}

enum ValueFault {
    Bad(BadValue),
    Type(String),
}

impl From<BadValue> for ValueFault {
    fn from(bad: BadValue) -> Self {
        Self::Bad(bad)
    }
}

fn read_value(kind: &Kind, value: &DeValue<'_>) -> Result<Value, ValueFault> {
    match (kind, value) {
        (Kind::Addresses, DeValue::Array(entries)) => read_addresses(kind, entries),
        (
            Kind::Cpus | Kind::Count { .. } | Kind::Size { .. } | Kind::Time { .. },
            DeValue::Integer(integer),
        ) => Ok(kind.parse(&plain_integer(integer)?)?),
        (Kind::Count { .. }, DeValue::String(_)) => {
            Err(ValueFault::Type("a number is written without quotes".into()))
        }
        (_, DeValue::String(text)) => Ok(kind.parse(text)?),
        (_, value) => {
            Err(ValueFault::Type(format!("{} is not what this setting takes", article(value))))
        }
    }
}

fn read_addresses(kind: &Kind, entries: &[Spanned<DeValue<'_>>]) -> Result<Value, ValueFault> {
    let mut all = Vec::new();
    for entry in entries {
        let Some(text) = entry.get_ref().as_str() else {
            let message = format!("{} in the list is not an address", article(entry.get_ref()));
            return Err(ValueFault::Type(message));
        };
        if let Value::Addresses(addresses) = kind.parse(text)? {
            all.extend(addresses);
        }
    }
    if all.is_empty() {
        return Err(ValueFault::Type("the list is empty".into()));
    }
    Ok(Value::Addresses(all))
}

/// An integer as decimal digits: TOML also has hexadecimal and others.
fn plain_integer(integer: &toml::de::DeInteger<'_>) -> Result<String, ValueFault> {
    let digits = i128::from_str_radix(integer.as_str(), integer.radix());
    digits
        .map(|number| number.to_string())
        .map_err(|_| ValueFault::Type("the number is too large".into()))
}

fn article(value: &DeValue<'_>) -> &'static str {
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

fn is_table(name: &str) -> bool {
    OPTIONS.iter().any(|def| def.table == name)
}

fn is_later_table(name: &str) -> bool {
    NOT_YET.iter().any(|(table, keys)| *table == name && keys.is_empty())
}

fn is_later_key(table: &str, key: &str) -> bool {
    NOT_YET.iter().any(|(later, keys)| *later == table && keys.contains(&key))
}
