//! Settings on the command line: one flag for each option of the table, and what a command line
//! that was read says about them.

use std::path::PathBuf;

use clap::builder::{StyledStr, ValueHint};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::config::Sources;
use crate::config::options::{OPTIONS, OptionDef};
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
    command.arg(config).args(OPTIONS.iter().map(argument)).after_help(SOURCES_HELP)
}

/// What was given, beside the environment of this process.
pub(super) fn sources(matches: &ArgMatches) -> Sources {
    let mut sources = Sources { file: matches.get_one(CONFIG).cloned(), ..Sources::from_process() };
    for def in &OPTIONS {
        let Some(values) = matches.get_many::<String>(&def.key()) else { continue };
        let values: Vec<&str> = values.map(String::as_str).collect();
        let text = match def.kind {
            // Given twice, an address is added.
            Kind::Addresses => values.join(","),
            // Given twice, the last one counts.
            _ => values.last().copied().unwrap_or_default().to_owned(),
        };
        sources.flags.push((def.id, text));
    }
    sources
}

fn argument(def: &'static OptionDef) -> Arg {
    let shown = def.shown_flag();
    let mut argument = Arg::new(def.key())
        .long(shown.clone())
        .value_name(value_name(&def.kind))
        .help(format!("{} [default: {}]", def.short, def.default))
        .long_help(long_help(def))
        .help_heading(heading(def.table))
        .action(ArgAction::Append)
        .allow_hyphen_values(true);
    if let Some(short) = def.short_flag {
        argument = argument.short(short);
    }
    if shown != def.full_flag() {
        argument = argument.alias(def.full_flag());
    }
    argument
}

fn long_help(def: &OptionDef) -> StyledStr {
    let bounds = def.kind.example();
    format!(
        "{}\n\n{}\nValue: {bounds}\nCost: {}\nFile: [{}] {}, variable: {}\n[default: {}]",
        def.short,
        def.long,
        def.cost,
        def.table,
        def.name,
        def.variable(),
        def.default,
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
        _ => "Other",
    }
}

fn value_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Addresses => "ADDR",
        Kind::Choice(_) => "WORD",
        Kind::Count { .. } => "N",
        Kind::Cpus => "N|LIST",
        Kind::Rate { .. } => "RATE",
        Kind::Size { .. } => "SIZE",
        Kind::Time { .. } => "TIME",
    }
}

const CONFIG: &str = "config";
pub(super) const SOURCES_HELP: &str = "\
Settings also come from corewise.toml (or --config FILE, or COREWISE_CONFIG) and from
variables such as COREWISE_LIMITS__KEEP_ALIVE. Flags win over variables, variables
over the file.";
