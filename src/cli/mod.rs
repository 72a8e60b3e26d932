//! The command line: generated from the option table, so that a flag, a key and a variable always
//! mean the same.
//!
//! A file for each command. Commands that serve are only read here; all others are answered here,
//! and start nothing.

pub mod bench;
mod check;
mod doctor;
mod explain;
mod faults;
mod flags;
mod init;
mod later;
mod output;
mod pages;
mod plan;
pub mod reference;
pub mod schema;
mod values;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::ValueHint;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use clap_complete::Shell;

pub use self::init::Init;
use self::output::{Paint, complain, write, write_json};
use crate::config::{Config, Fault, Faults, Machine, Purpose, Settings, Sources};
use crate::exit::Exit;
use crate::sys::host::Host;

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// Something that is answered and done with.
    Ask(Question),
    /// Serve the demo application.
    Demo(Sources),
    /// Serve what the settings say.
    Run(Sources),
}

/// What is answered without serving.
#[derive(Debug)]
pub enum Question {
    /// How fast is it, for the program that measures: its words, as they were written.
    Bench(Vec<OsString>),
    /// What is wrong with the settings, and what do they come to.
    Check {
        /// The settings.
        ask: Ask,
        /// Whether they have to be enough to serve.
        serves: bool,
    },
    /// Completions for a shell.
    Completions(Shell),
    /// What is this machine.
    Cores {
        /// For programs.
        json: bool,
    },
    /// What does the machine lack.
    Doctor(Ask),
    /// What does a code mean; without one, which are there.
    Explain {
        /// As it was written.
        code: Option<String>,
        /// For programs.
        json: bool,
    },
    /// An annotated configuration file.
    Init(Init),
    /// The man page, of a command or of all.
    Man(Option<String>),
    /// What would happen.
    Plan(Ask),
}

/// Settings, and for whom the answer is.
#[derive(Debug)]
pub struct Ask {
    /// Where the settings come from.
    pub sources: Sources,
    /// For programs.
    pub json: bool,
}

/// Why no engine works here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trouble {
    /// What is refused.
    pub reason: String,
    /// What to do about it.
    pub fix: String,
}

/// Finds out whether the engine works here, and its name.
pub type Probe<'a> = &'a dyn Fn() -> Result<String, Trouble>;

/// Reads the command line, its first element being the program's name. What is wrong with it, and
/// help, are printed here; the error is then how to leave.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, Exit> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let command = command().mut_subcommands(|command| match command.get_name() {
        "demo" | "run" => later::add(command),
        _ => command,
    });
    let matches = command.try_get_matches_from(&arguments).map_err(|error| print(&error))?;
    let (name, matches) = matches.subcommand().expect("clap demands a command");
    if let Some(text) = later::refusal(matches) {
        return Err(refuse_usage(&text));
    }
    let question = match name {
        "bench" => Question::Bench(arguments.into_iter().skip(2).collect()),
        "check" => Question::Check { ask: ask(matches), serves: false },
        "completions" => Question::Completions(*required(matches, SHELL)),
        "cores" => Question::Cores { json: is_json(matches) },
        "doctor" => Question::Doctor(ask(matches)),
        "explain" => {
            Question::Explain { code: matches.get_one(CODE).cloned(), json: is_json(matches) }
        }
        "init" => Question::Init(init_of(matches)),
        "man" => Question::Man(matches.get_one(NAME).cloned()),
        "plan" => Question::Plan(ask(matches)),
        _ => return parse_serving(name, matches),
    };
    Ok(Invocation::Ask(question))
}

/// `run` and `demo`, which are told apart by what they serve.
fn parse_serving(name: &str, matches: &ArgMatches) -> Result<Invocation, Exit> {
    if let Some(target) = matches.try_get_one::<String>(TARGET).ok().flatten() {
        return Err(refuse_usage(&later::refuse_target(target)));
    }
    let sources = flags::sources(matches);
    Ok(match name {
        _ if matches.get_flag(ONLY_CHECK) => {
            let ask = Ask { sources, json: false };
            Invocation::Ask(Question::Check { ask, serves: name == "run" })
        }
        "demo" => Invocation::Demo(sources),
        _ => Invocation::Run(sources),
    })
}

/// Reads the command line of a program that is built on the library and has no commands: every
/// setting is a flag. Errors and help as in [`parse`].
pub fn parse_application(arguments: impl IntoIterator<Item = OsString>) -> Result<Sources, Exit> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let name = arguments
        .first()
        .and_then(|program| Path::new(program).file_name())
        .map_or_else(|| "server".to_owned(), |name| name.to_string_lossy().into_owned());
    flags::add(Command::new(name))
        .try_get_matches_from(arguments)
        .map(|matches| flags::sources(&matches))
        .map_err(|error| print(&error))
}

/// Answers a question. `probe` is called where the answer depends on the engine.
#[must_use]
pub fn answer(question: &Question, probe: Probe<'_>) -> Exit {
    match question {
        Question::Bench(words) => bench::run(words),
        Question::Check { ask, serves } => check::run(ask, *serves, probe),
        Question::Completions(shell) => pages::write_completions(*shell),
        Question::Cores { json } => plan::run_cores(*json),
        Question::Doctor(ask) => examine(ask, probe),
        Question::Explain { code, json } => explain::run(code.as_deref(), *json),
        Question::Init(init) => init::run(init),
        Question::Man(name) => pages::write_man(name.as_deref()),
        Question::Plan(ask) => plan::run(ask),
    }
}

fn examine(ask: &Ask, probe: Probe<'_>) -> Exit {
    let machine = match read_machine() {
        Ok(machine) => machine,
        Err(exit) => return exit,
    };
    let (config, faults) = match ask.sources.resolve(&machine) {
        Ok(config) => (config, Faults::default()),
        Err(faults) => (Config::of_defaults(&machine), faults),
    };
    let (host, engine) = (Host::read(), probe());
    let patient = doctor::Patient {
        host: &host,
        engine: &engine,
        config: &config,
        machine: &machine,
        faults: &faults,
    };
    let checks = doctor::examine(&patient);
    if ask.json {
        return write_json(&doctor::to_json(&checks, &faults), doctor::exit(&checks));
    }
    write(&doctor::render(&checks, Paint::of_output()), doctor::exit(&checks))
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

fn refuse_usage(text: &str) -> Exit {
    complain(text);
    Exit::Usage
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
    faults::print(&Faults(vec![fault.clone()]))
}

/// Resolves the settings of a server that is to run, or prints everything that is wrong with them.
pub fn resolve(sources: &Sources) -> Result<Config, Exit> {
    let resolved = sources.resolve_for(Purpose::Start, &read_machine()?);
    resolved.map(|(_, config)| config).map_err(|faults| faults::print(&faults))
}

/// The same for a question. What asks for JSON gets what is wrong as JSON.
fn resolve_for(ask: &Ask, purpose: Purpose, machine: &Machine) -> Result<(Settings, Config), Exit> {
    ask.sources.resolve_for(purpose, machine).map_err(|faults| match ask.json {
        false => faults::print(&faults),
        true => write_json(&faults::to_object(&faults), faults::exit(&faults)),
    })
}

fn read_machine() -> Result<Machine, Exit> {
    Machine::read().map_err(|error| {
        complain(&format!("error: cannot find out which CPUs may be used: {error}"));
        Exit::System
    })
}

/// The whole command line, as data.
#[must_use]
pub fn command() -> Command {
    Command::new("corewise")
        .version(env!("CARGO_PKG_VERSION"))
        .about("An HTTP server for Linux that never lets one request hurt another")
        .after_help(flags::SOURCES_HELP)
        .after_long_help(LONG_HELP)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommands([
            serving("run", "Serve what the configuration says").arg(target()),
            serving("demo", "Serve the demo application, whose front page shows what there is"),
            listing("check", "Check the settings and show what they come to"),
            listing("plan", "Show what would happen: each process in its place, each value"),
            Command::new("cores").about("Draw this machine and what of it can be used").arg(json()),
            listing("doctor", "Examine the machine: what it lacks, why it matters, what to do"),
            explain(),
            init(),
            bench::command(),
            completions(),
            man(),
        ])
}

fn serving(name: &'static str, about: &'static str) -> Command {
    let only_check = Arg::new(ONLY_CHECK)
        .long("check")
        .action(ArgAction::SetTrue)
        .help("check the settings as `corewise check` does, and leave");
    flags::add(Command::new(name).about(about).arg(only_check))
}

fn target() -> Arg {
    Arg::new(TARGET)
        .value_name("APP|DIR")
        .help("an application like main:app, or a folder of files: in later versions")
}

/// A command that takes settings and shows something.
fn listing(name: &'static str, about: &'static str) -> Command {
    flags::add(Command::new(name).about(about).arg(json()))
}

fn explain() -> Command {
    let code = Arg::new(CODE).value_name("CODE").help("a code like E0103; without it, all codes");
    Command::new("explain")
        .about("Explain a code: what it means, an example, what to do")
        .args([code, json()])
}

fn completions() -> Command {
    let shell = Arg::new(SHELL)
        .value_name("SHELL")
        .required(true)
        .value_parser(value_parser!(Shell))
        .help("whose completions to write");
    Command::new("completions").about("Write the completions for a shell").arg(shell)
}

fn init() -> Command {
    let path = Arg::new(FILE)
        .value_name("FILE")
        .value_hint(ValueHint::FilePath)
        .value_parser(value_parser!(PathBuf))
        .default_value("corewise.toml")
        .help("where to write it; - is standard output");
    let force = Arg::new(FORCE)
        .long("force")
        .action(ArgAction::SetTrue)
        .help("replace a file that is there");
    let show = Arg::new(PRINT)
        .long("print")
        .action(ArgAction::SetTrue)
        .conflicts_with_all([FILE, FORCE])
        .help("write to standard output");
    Command::new("init")
        .about("Write an annotated configuration file for this machine")
        .args([path, force, show])
}

fn man() -> Command {
    let name = Arg::new(NAME).value_name("COMMAND").help("the page of this command");
    Command::new("man").about("Write the man page").arg(name)
}

fn json() -> Arg {
    Arg::new(JSON).long("json").action(ArgAction::SetTrue).help("write JSON, for programs")
}

fn init_of(matches: &ArgMatches) -> Init {
    let path = if matches.get_flag(PRINT) {
        "-".into()
    } else {
        required::<PathBuf>(matches, FILE).clone()
    };
    Init { path, force: matches.get_flag(FORCE) }
}

fn ask(matches: &ArgMatches) -> Ask {
    Ask { sources: flags::sources(matches), json: is_json(matches) }
}

fn is_json(matches: &ArgMatches) -> bool {
    matches.get_flag(JSON)
}

fn required<'a, T: Clone + Send + Sync + 'static>(matches: &'a ArgMatches, id: &str) -> &'a T {
    matches.get_one(id).expect("clap demands it")
}

/// All commands.
const COMMANDS: [&str; 11] = [
    "bench",
    "check",
    "completions",
    "cores",
    "demo",
    "doctor",
    "explain",
    "init",
    "man",
    "plan",
    "run",
];

const CODE: &str = "code";
const FILE: &str = "file";
const FORCE: &str = "force";
const JSON: &str = "json";
const NAME: &str = "name";
const ONLY_CHECK: &str = "only-check";
const PRINT: &str = "print";
const SHELL: &str = "shell";
const TARGET: &str = "target";
const LONG_HELP: &str = "\
Settings also come from corewise.toml (or --config FILE, or COREWISE_CONFIG) and
from variables such as COREWISE_LIMITS__KEEP_ALIVE. Flags win over variables,
variables over the file.

Exit codes:
    0  stopped as asked
    1  doctor or bench found something, or init a file that is there
    2  the command line cannot be understood
    3  no worker of a pool ever became ready
    4  what a pool runs could not be loaded
   69  io_uring is not available
   71  the system refused something
   75  processes died again and again
   77  a permission is missing
   78  the configuration is wrong
  101  a bug
  130  a second interrupt";

#[cfg(test)]
mod tests {
    mod golden;

    use super::*;
    use crate::config::options::{self, Id, POOL_OPTIONS};

    fn flags(arguments: &[&str]) -> Vec<(Id, String)> {
        let arguments = ["corewise"].iter().chain(arguments).map(OsString::from);
        match parse(arguments) {
            Ok(Invocation::Demo(sources) | Invocation::Run(sources)) => sources.flags,
            Ok(Invocation::Ask(Question::Check { ask, .. })) => ask.sources.flags,
            other => panic!("not a command with settings: {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
        let mut names: Vec<String> =
            command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
        names.sort_unstable();
        assert_eq!(names, COMMANDS);
    }

    #[test]
    fn every_option_is_a_flag_by_both_names() {
        let of_pools = POOL_OPTIONS.iter().filter(|def| def.later().is_none());
        for def in options::available().chain(of_pools) {
            // Something that is not empty, as flags have to be.
            let text = if def.default.is_empty() { "x" } else { def.default };
            let expected = vec![(def.id, text.to_owned())];
            for flag in [def.shown_flag(), def.full_flag()] {
                let flag = format!("--{flag}={text}");
                assert_eq!(flags(&["run", &flag]), expected, "{flag}");
            }
        }
    }

    #[test]
    fn an_address_may_come_in_two_parts() {
        let listen = |arguments: &[&str]| flags(arguments)[0].1.clone();
        assert_eq!(listen(&["run", "--port", "80"]), "127.0.0.1:80");
        assert_eq!(listen(&["run", "--host", "0.0.0.0"]), "0.0.0.0:8000");
        assert_eq!(listen(&["run", "--host", "::1", "--port", "80"]), "[::1]:80");
        let both = ["corewise", "run", "--port", "80", "--bind", "127.0.0.1:1"];
        assert!(matches!(parse(both.map(OsString::from)), Err(Exit::Usage)));
    }

    #[test]
    fn a_deadline_is_the_time_of_a_request() {
        let expected = [(Id::PoolRequestTimeout, "3s".to_owned())];
        for flag in ["--deadline", "--timeout", "-t"] {
            assert_eq!(flags(&["demo", flag, "3s"]), expected);
        }
        assert_eq!(flags(&["demo", "--workers", "3"]), [(Id::PoolWorkers, "3".to_owned())]);
    }

    #[test]
    fn preload_needs_no_value_and_swallows_none() {
        assert_eq!(flags(&["run", "--preload"]), [(Id::PoolPreload, "on".to_owned())]);
        assert_eq!(flags(&["run", "--preload=off"]), [(Id::PoolPreload, "off".to_owned())]);
    }

    #[test]
    fn addresses_add_up_and_others_override() {
        let seen = flags(&["demo", "-b", "127.0.0.1:1", "--bind", "127.0.0.1:2"]);
        assert_eq!(seen, [(Id::ServerListen, "127.0.0.1:1,127.0.0.1:2".to_owned())]);
        let seen = flags(&["check", "--shards", "1", "--shards=2"]);
        assert_eq!(seen, [(Id::CoresShards, "2".to_owned())]);
    }

    #[test]
    fn a_check_can_be_asked_of_what_serves() {
        let arguments = ["corewise", "run", "--check", "--shards", "1"].map(OsString::from);
        let Ok(Invocation::Ask(Question::Check { ask, serves: true })) = parse(arguments) else {
            panic!("--check is not understood");
        };
        assert_eq!(ask.sources.flags, [(Id::CoresShards, "1".to_owned())]);
    }

    #[test]
    fn help_shows_every_option() {
        let mut command = command();
        let run = command.find_subcommand_mut("run").unwrap();
        let (short, long) = (run.render_help().to_string(), run.render_long_help().to_string());
        for def in options::available() {
            assert!(short.contains(&format!("--{}", def.shown_flag())), "{}", def.key());
            assert!(long.contains(&def.variable()), "{}", def.key());
        }
    }
}
