//! The command line: generated from the option table, so that a flag, a key and a variable always
//! mean the same.

mod check;

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::builder::{StyledStr, ValueHint};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::config::options::{self, OptionDef};
use crate::config::value::Kind;
use crate::config::{Config, Fault, Faults, Machine, Sources};
use crate::exit::Exit;

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// Check the settings, show what they come to, and leave.
    Check(Sources),
    /// Serve the demo application.
    Demo(Sources),
}

/// Reads the command line, its first element being the program's name. What is wrong with it, and
/// help, are printed here; the error is then how to leave.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, Exit> {
    let matches = command().try_get_matches_from(arguments).map_err(|error| print(&error))?;
    match matches.subcommand() {
        Some(("check", matches)) => Ok(Invocation::Check(sources(matches))),
        Some(("demo", matches)) => Ok(Invocation::Demo(sources(matches))),
        other => unreachable!("clap lets no other command through: {other:?}"),
    }
}

/// Reads the command line of a program that is built on the library and has no commands: every
/// setting is a flag. Errors and help as in [`parse`].
pub fn parse_application(arguments: impl IntoIterator<Item = OsString>) -> Result<Sources, Exit> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let name = arguments
        .first()
        .and_then(|program| Path::new(program).file_name())
        .map_or_else(|| "server".to_owned(), |name| name.to_string_lossy().into_owned());
    let command = with_options(Command::new(name).after_help(SOURCES_HELP));
    command
        .try_get_matches_from(arguments)
        .map(|matches| sources(&matches))
        .map_err(|error| print(&error))
}

/// Prints help or what is wrong; returns how to leave.
fn print(error: &clap::Error) -> Exit {
    // Printing fails only when nobody listens.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Clean,
        _ => Exit::Usage,
    }
}

/// Says what is wrong with the routes of an application.
pub fn refuse_routes(errors: &[impl std::fmt::Display]) -> Exit {
    for error in errors {
        complain(&format!("error: {error}"));
    }
    Exit::Config
}

/// Says what is wrong with settings that were resolved.
pub fn refuse(fault: &Fault) -> Exit {
    complain(&fault.render(is_coloured()));
    Exit::Config
}

/// Resolves the settings of a server that is to run, or prints everything that is wrong with them.
pub fn resolve(sources: &Sources) -> Result<Config, Exit> {
    resolve_with(sources, Sources::resolve_to_start)
}

/// Checks the settings and prints what they come to, each with its origin.
#[must_use]
pub fn check(sources: &Sources) -> Exit {
    match resolve_with(sources, Sources::resolve) {
        Ok(config) => check::print(sources, &config),
        Err(exit) => exit,
    }
}

fn resolve_with(
    sources: &Sources,
    resolve: fn(&Sources, &Machine) -> Result<Config, Faults>,
) -> Result<Config, Exit> {
    let machine = Machine::read().map_err(|error| {
        complain(&format!("error: cannot find out which CPUs may be used: {error}"));
        Exit::System
    })?;
    resolve(sources, &machine).map_err(|faults| {
        complain(&faults.render(is_coloured()));
        if faults.only_flags() { Exit::Usage } else { Exit::Config }
    })
}

/// Whether what goes to standard error has colours.
fn is_coloured() -> bool {
    let set = |name: &str| env::var(name).is_ok_and(|value| !value.is_empty() && value != "0");
    !set("NO_COLOR") && (set("CLICOLOR_FORCE") || io::stderr().is_terminal())
}

/// Writes a line to standard error. Where nobody listens, the exit code alone has to say it.
fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// The whole command line, as data.
#[must_use]
pub fn command() -> Command {
    Command::new("corewise")
        .version(env!("CARGO_PKG_VERSION"))
        .about("An HTTP server for Linux that never lets one request hurt another")
        .after_help(SOURCES_HELP)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(with_options(
            Command::new("demo")
                .about("Serve the demo application, whose front page shows what there is"),
        ))
        .subcommand(with_options(
            Command::new("check").about("Check the settings and show what they come to"),
        ))
}

fn with_options(command: Command) -> Command {
    let config = Arg::new(CONFIG)
        .long("config")
        .short('c')
        .value_name("FILE")
        .value_hint(ValueHint::FilePath)
        .value_parser(value_parser!(PathBuf))
        .help("configuration file [default: corewise.toml, if it exists]");
    command.arg(config).args(options::available().map(argument))
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
        Kind::Auto(kind) => value_name(kind),
        Kind::Bool => "BOOL",
        Kind::Choice(_) => "WORD",
        Kind::Count { .. } | Kind::Fraction | Kind::Integer { .. } => "N",
        Kind::CpuList | Kind::CpuSelect => "LIST",
        Kind::Cpus | Kind::Reserve => "N|LIST",
        Kind::Percent { .. } => "PERCENT",
        Kind::Rate { .. } => "RATE",
        Kind::Size { .. } => "SIZE",
        Kind::Text { .. } | Kind::Texts { .. } => "TEXT",
        Kind::Time { .. } | Kind::TimeRange { .. } | Kind::Tries => "TIME",
        Kind::Variables => "NAME=VALUE",
    }
}

fn sources(matches: &ArgMatches) -> Sources {
    let mut sources = Sources { file: matches.get_one(CONFIG).cloned(), ..Sources::from_process() };
    for def in options::available() {
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

const CONFIG: &str = "config";
const SOURCES_HELP: &str = "\
Settings also come from corewise.toml (or --config FILE, or COREWISE_CONFIG) and from
variables such as COREWISE_LIMITS__KEEP_ALIVE. Flags win over variables, variables
over the file.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options::Id;

    fn flags(arguments: &[&str]) -> Vec<(Id, String)> {
        let arguments = ["corewise"].iter().chain(arguments).map(OsString::from);
        match parse(arguments) {
            Ok(Invocation::Demo(sources) | Invocation::Check(sources)) => sources.flags,
            Err(exit) => panic!("refused with {exit:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_option_is_a_flag_by_both_names() {
        for def in options::available() {
            let expected = vec![(def.id, def.default.to_owned())];
            for flag in [def.shown_flag(), def.full_flag()] {
                let flag = format!("--{flag}");
                assert_eq!(flags(&["demo", &flag, def.default]), expected, "{flag}");
            }
        }
    }

    #[test]
    fn addresses_add_up_and_others_override() {
        let seen = flags(&["demo", "-b", "127.0.0.1:1", "--bind", "127.0.0.1:2"]);
        assert_eq!(seen, [(Id::ServerListen, "127.0.0.1:1,127.0.0.1:2".to_owned())]);
        let seen = flags(&["check", "--shards", "1", "--shards=2"]);
        assert_eq!(seen, [(Id::CoresShards, "2".to_owned())]);
    }

    #[test]
    fn help_shows_every_option() {
        let mut command = command();
        let demo = command.find_subcommand_mut("demo").unwrap();
        let (short, long) = (demo.render_help().to_string(), demo.render_long_help().to_string());
        for def in options::available() {
            assert!(short.contains(&format!("--{}", def.shown_flag())), "{}", def.key());
            assert!(long.contains(&def.variable()), "{}", def.key());
        }
    }
}
