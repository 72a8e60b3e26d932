//! Settings on the command line: one flag for each option of the table, and what a command line
//! that was read says about them.

use std::path::PathBuf;

use clap::builder::{StyledStr, ValueHint};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::config::Sources;
use crate::config::options::{Id, OPTIONS, OptionDef, POOL_OPTIONS};
use crate::config::value::Kind;

/// `command` with --config and a flag for each option.
pub(super) fn add(command: Command) -> Command {
    let config = Arg::new(CONFIG)
        .long("config")
        .short('c')
        .value_name("FILE")
        .value_hint(ValueHint::FilePath)
        .value_parser(value_parser!(PathBuf))
        .help("configuration file [default: corewise.toml, if it exists]");
    let options = OPTIONS.iter().chain(&POOL_OPTIONS).filter_map(argument);
    command.arg(config).args(options).args(apart()).after_help(SOURCES_HELP)
}

/// What was given, beside the environment of this process.
pub(super) fn sources(matches: &ArgMatches) -> Sources {
    let mut sources = Sources { file: matches.get_one(CONFIG).cloned(), ..Sources::from_process() };
    if let Some(address) = address(matches) {
        sources.flags.push((Id::ServerListen, address));
    }
    for def in OPTIONS.iter().chain(&POOL_OPTIONS) {
        // Options of later versions without a flag that people know have none.
        let Ok(Some(values)) = matches.try_get_many::<String>(&def.key()) else { continue };
        let values: Vec<&str> = values.map(String::as_str).collect();
        let text = match def.kind {
            // Given twice, an address is added.
            Kind::Addresses | Kind::Texts { .. } => values.join(","),
            // Given twice, the last one counts.
            _ => values.last().copied().unwrap_or_default().to_owned(),
        };
        sources.flags.push((def.id, text));
    }
    sources
}

/// The address in two parts, as uvicorn has it: each has the default of its part.
fn apart() -> [Arg; 2] {
    let part = |name, value, help| {
        let argument = Arg::new(name).long(name).value_name(value).help(help);
        argument.help_heading(heading("server")).conflicts_with(Id::ServerListen.def().key())
    };
    [
        part(HOST, "ADDR", "the address of --bind without its port [default: 127.0.0.1]"),
        part(PORT, "N", "the port of --bind alone [default: 8000]")
            .value_parser(value_parser!(u16)),
    ]
}

fn address(matches: &ArgMatches) -> Option<String> {
    let (host, port) = (matches.get_one::<String>(HOST), matches.get_one::<u16>(PORT));
    if host.is_none() && port.is_none() {
        return None;
    }
    let host = host.map_or("127.0.0.1", String::as_str);
    let port = port.unwrap_or(&8000);
    let is_bare_v6 = host.contains(':') && !host.starts_with('[');
    Some(if is_bare_v6 { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
}

/// The flag of an option. One of a later version has it only where people know it from elsewhere,
/// hidden; what it then says comes from the settings.
fn argument(def: &'static OptionDef) -> Option<Arg> {
    let shown = def.shown_flag();
    let is_later = def.later().is_some();
    if is_later && def.flag.is_none() {
        return None;
    }
    let mut argument = Arg::new(def.key())
        .long(shown.clone())
        .value_name(value_name(&def.kind))
        .help(format!("{}{}", def.short, default(def)))
        .long_help(long_help(def))
        .help_heading(heading(def.table))
        .action(ArgAction::Append)
        .allow_hyphen_values(true)
        .hide(is_later || (def.is_of_pools() && def.flag.is_none()));
    if let Some(short) = def.short_flag {
        argument = argument.short(short);
    }
    if shown != def.full_flag() && !is_later {
        argument = argument.alias(def.full_flag());
    }
    if def.id == Id::PoolRequestTimeout {
        // What it is for a client.
        argument = argument.visible_alias("deadline");
    }
    if def.id == Id::PoolPreload {
        // gunicorn's has no value, and means yes.
        argument = argument.num_args(0..=1).require_equals(true).default_missing_value("on");
    }
    Some(argument)
}

fn default(def: &OptionDef) -> String {
    if def.default.is_empty() { String::new() } else { format!(" [default: {}]", def.default) }
}

fn long_help(def: &OptionDef) -> StyledStr {
    let bounds = def.kind.form();
    format!(
        "{}\n\n{}\nValue: {bounds}\nCost: {}\nFile: [{}] {}, variable: {}\n{}",
        def.short,
        def.long,
        def.cost,
        def.table,
        def.name,
        def.variable(),
        default(def).trim_start(),
    )
    .into()
}

fn heading(table: &str) -> &'static str {
    match table {
        "server" => "Listening",
        "cores" => "Cores",
        "limits" => "Limits",
        "shutdown" => "Stopping",
        "log" => "Log",
        "pool.NAME" => "Workers of the only pool",
        _ => "Other",
    }
}

fn value_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Addresses => "ADDR",
        Kind::Auto(kind) => value_name(kind),
        Kind::Bool => "BOOL",
        Kind::Choice(_) => "WORD",
        Kind::Count { .. } | Kind::Integer { .. } => "N",
        Kind::CpuList | Kind::CpuSelect => "LIST",
        Kind::Cpus | Kind::Reserve => "N|LIST",
        Kind::Fraction => "0.0-1.0",
        Kind::Percent { .. } => "PERCENT",
        Kind::Rate { .. } => "RATE",
        Kind::Size { .. } => "SIZE",
        Kind::Text { .. } | Kind::Texts { .. } => "TEXT",
        Kind::Time { .. } => "TIME",
        Kind::TimeRange { .. } => "TIME..TIME",
        Kind::Tries => "N in TIME",
        Kind::Variables => "NAME=VALUE",
    }
}

const CONFIG: &str = "config";
const HOST: &str = "host";
const PORT: &str = "port";
pub(super) const SOURCES_HELP: &str = "\
Settings also come from corewise.toml (or --config FILE, or COREWISE_CONFIG) and
from variables such as COREWISE_LIMITS__KEEP_ALIVE. Flags win over variables,
variables over the file.";
