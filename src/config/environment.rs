//! Settings from the environment: our own variables, the aliases of another server, and what
//! platforms set without asking.

use super::fault::{BAD_VALUE, Fault, Faults, Notice, UNKNOWN_KEY, UNKNOWN_TABLE, not_yet};
use super::options::{self, Id, LATER_TABLES, OPTIONS, POOL_OPTIONS};
use super::origin::Origin;
use super::quantity::parse_digits;
use super::settings::{Settings, Sources};
use super::suggest::nearest;

/// Applies all variables: those of platforms where nothing was written, ours in any case.
pub(super) fn apply(settings: &mut Settings, sources: &Sources, faults: &mut Faults) {
    platform(settings, sources, faults);
    // Weakest first, in whatever order the system has them.
    aliases(settings, sources, faults);
    for (name, id) in SHORT {
        if let Some(text) = sources.variable(name) {
            let origin = origin(name);
            if id.def().is_of_pools() {
                settings.apply_to_only_pool(id, text, origin, faults);
            } else {
                settings.apply(None, id, text, origin, faults);
            }
        }
    }
    for (name, text) in &sources.environment {
        // Names without a table are for others, such as tools around us.
        match name.strip_prefix(OURS).map(|rest| rest.split_once("__")) {
            Some(Some((table, rest))) => full(settings, name, (table, rest), text, faults),
            Some(None) => misspelt(settings, name),
            None => {}
        }
    }
}

/// A variable that names a table: `COREWISE_LIMITS__BODY`.
fn full(
    settings: &mut Settings,
    name: &str,
    (table, rest): (&str, &str),
    text: &str,
    faults: &mut Faults,
) {
    let of_server = OPTIONS.iter().find(|def| def.variable() == name);
    if let Some(def) = of_server {
        return settings.apply(None, def.id, text, origin(name), faults);
    }
    for place in 0..settings.pools().len() {
        let pool = &settings.pools()[place].name;
        if let Some(def) = POOL_OPTIONS.iter().find(|def| def.variable_in(pool) == name) {
            return settings.apply(Some(place), def.id, text, origin(name), faults);
        }
    }
    let later = LATER_TABLES.iter().find(|(later, _)| later.eq_ignore_ascii_case(table));
    faults.0.push(match later {
        Some((table, needs)) => not_yet((*table).to_owned(), needs, origin(name)),
        None => unknown(settings, name, table, rest),
    });
}

fn unknown(settings: &Settings, name: &str, table: &str, rest: &str) -> Fault {
    let pools: Vec<&str> = settings.pools().iter().map(|pool| pool.name.as_str()).collect();
    let pool = rest.split("__").next().unwrap_or(rest).to_ascii_lowercase().replace('_', "-");
    if table == "POOL" && !pools.contains(&pool.as_str()) {
        let help = match nearest(&pool, pools.iter().copied()) {
            Some(near) => format!("a pool with a similar name exists: {near}"),
            None => format!("pools are named in the file: write [pool.{pool}] there"),
        };
        let message = format!("there is no pool `{pool}`");
        return Fault::new(UNKNOWN_TABLE, "", origin(name), message).with_help(help);
    }
    let known = variables(settings);
    let help = match nearest(own(name), known.iter().map(|name| own(name))) {
        Some(near) => format!("a setting with a similar name exists: {OURS}{near}"),
        None => "unset it".to_owned(),
    };
    Fault::new(UNKNOWN_KEY, "", origin(name), format!("unknown setting `{name}`")).with_help(help)
}

/// The full names of all settings that there are.
fn variables(settings: &Settings) -> Vec<String> {
    let of_server = OPTIONS.iter().map(options::OptionDef::variable);
    let of_pools = settings.pools().iter();
    let of_pools =
        of_pools.flat_map(|pool| POOL_OPTIONS.iter().map(|def| def.variable_in(&pool.name)));
    of_server.chain(of_pools).collect()
}

/// A variable of ours without a table that is nearly one that is read: misspelt, or with one `_`
/// in place of the two behind the table.
fn misspelt(settings: &mut Settings, name: &str) {
    let full = variables(settings);
    let short = SHORT.iter().map(|(name, _)| *name).chain([CONFIG]);
    let known = short.chain(full.iter().map(String::as_str)).map(own);
    match nearest(own(name), known) {
        Some(near) if near != own(name) => {
            let notice = Notice::note(origin(name), format!("{name} is not read"));
            settings.notice(notice.with_help(format!("{OURS}{near} is, if it is what was meant")));
        }
        _ => {}
    }
}

/// The names that another server has for the same; where they fit nothing here, nobody asked us.
fn aliases(settings: &mut Settings, sources: &Sources, faults: &mut Faults) {
    let mut first = None;
    for (name, id) in ALIASES {
        let Some(text) = filled(sources, name) else { continue };
        first = first.or(Some((name, id)));
        if !id.def().is_of_pools() {
            settings.apply(None, id, text, origin(name), faults);
        } else if settings.pools().len() == 1 {
            settings.apply(Some(0), id, text, origin(name), faults);
        } else {
            let message = format!("{name} has no single pool to be for, and was not used");
            settings.notice(Notice::note(origin(name), message));
        }
    }
    if let Some((name, _)) = first {
        let message = "FASTERAPI_* variables are read as their COREWISE_* namesakes";
        let help = "name them COREWISE_WORKERS, COREWISE_PROJECT_DIR, COREWISE_LOG_LEVEL";
        settings.notice(Notice::note(origin(name), message).with_help(help));
    }
}

/// What platforms set for whatever server runs on them.
fn platform(settings: &mut Settings, sources: &Sources, faults: &mut Faults) {
    if let Some(port) = filled(sources, PORT) {
        platform_port(settings, port, faults);
    }
    if let Some(workers) = filled(sources, CONCURRENCY) {
        platform_workers(settings, workers, faults);
    }
    if filled(sources, FORWARDED).is_some() {
        let message = "FORWARDED_ALLOW_IPS has no effect: forwarded headers come later";
        settings.notice(Notice::note(origin(FORWARDED), message));
    }
    if filled(sources, GUNICORN).is_some() {
        let message = "GUNICORN_CMD_ARGS is not obeyed";
        let help = "write its settings into corewise.toml; `corewise migrate` comes later";
        settings.notice(Notice::note(origin(GUNICORN), message).with_help(help));
    }
}

fn platform_port(settings: &mut Settings, port: &str, faults: &mut Faults) {
    let written = &settings.get(Id::ServerListen).origin;
    if written.is_written() {
        let message = format!("PORT is not used: server.listen is set at {written}");
        settings.notice(Notice::note(origin(PORT), message));
    } else if parse_digits::<u16>(port.trim()).is_some() {
        let address = format!("0.0.0.0:{}", port.trim());
        settings.apply(None, Id::ServerListen, &address, origin(PORT), faults);
    } else {
        let message = format!("`{}` is not a port (0 to 65535)", port.escape_debug());
        let fault = Fault::new(BAD_VALUE, Id::ServerListen.def().key(), origin(PORT), message);
        faults.0.push(fault.with_help("set it to a number, or unset it"));
    }
}

fn platform_workers(settings: &mut Settings, workers: &str, faults: &mut Faults) {
    match settings.pools() {
        [only] if !only.get(Id::PoolWorkers).origin.is_written() => {
            settings.apply(Some(0), Id::PoolWorkers, workers, origin(CONCURRENCY), faults);
        }
        [_] => {}
        _ => {
            let message = "WEB_CONCURRENCY is for the only pool, and was not used";
            settings.notice(Notice::note(origin(CONCURRENCY), message));
        }
    }
}

/// A variable that is set and not empty: many tools write `PORT=` for none.
fn filled<'a>(sources: &'a Sources, name: &str) -> Option<&'a str> {
    sources.variable(name).filter(|text| !text.trim().is_empty())
}

/// What is left of a name behind what all of ours begin with.
fn own(name: &str) -> &str {
    name.strip_prefix(OURS).unwrap_or(name)
}

fn origin(name: &str) -> Origin {
    Origin::Environment(name.to_owned())
}

const OURS: &str = "COREWISE_";
const CONFIG: &str = "COREWISE_CONFIG";
const PORT: &str = "PORT";
const CONCURRENCY: &str = "WEB_CONCURRENCY";
const FORWARDED: &str = "FORWARDED_ALLOW_IPS";
const GUNICORN: &str = "GUNICORN_CMD_ARGS";

/// Short names of our own; the full name of the same setting wins over them.
const SHORT: [(&str, Id); 3] = [
    ("COREWISE_WORKERS", Id::PoolWorkers),
    ("COREWISE_PROJECT_DIR", Id::PoolProject),
    ("COREWISE_LOG_LEVEL", Id::LogLevel),
];

const ALIASES: [(&str, Id); 3] = [
    ("FASTERAPI_WORKERS", Id::PoolWorkers),
    ("FASTERAPI_PROJECT_DIR", Id::PoolProject),
    ("FASTERAPI_LOG_LEVEL", Id::LogLevel),
];
