//! corewise-bench: what corewise costs, beside what the kernel alone costs.

mod arguments;
mod bare;
mod client;
mod events;
mod files;
mod idle;
mod instructions;
mod interrupt;
mod mixed;
mod offload;
mod open;
mod promise;
mod reading;
mod report;
mod result;
mod runner;
mod server;
mod start;
mod statistics;
mod stub;
mod subject;
mod table;

use std::error::Error;
use std::path::PathBuf;

use corewise::Exit;
use corewise::cli::bench as flag;

use crate::arguments::Arguments;

// What corewise uses, so that all subjects allocate alike.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Exit {
    match run() {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("error: {error}");
            Exit::Found
        }
    }
}

fn run() -> Result<Exit, Box<dyn Error>> {
    let mut arguments = Arguments::of_process();
    let passed = match arguments.command().as_deref() {
        Some("bare") => serve_bare(arguments)?,
        Some("instructions") => instructions::run(arguments)?,
        Some("instructions-subject") => instructions::run_subject(arguments)?,
        Some("offload") => offload::run(arguments)?,
        Some(offload::PARTNER) => offload::run_partner(arguments)?,
        Some("open") => open::run(arguments)?,
        Some("table") => table::run(arguments)?,
        Some("promise") => promise::run(arguments)?,
        Some(promise::BURNER) => promise::run_burner(arguments)?,
        Some("stub") => stub::run(arguments)?,
        _ => return bench(),
    };
    Ok(if passed { Exit::Clean } else { Exit::Found })
}

/// The bench itself, by the same flags as `corewise bench`.
fn bench() -> Result<Exit, Box<dyn Error>> {
    let words: Vec<String> = std::env::args().collect();
    let matches = match flag::command().bin_name("corewise bench").try_get_matches_from(&words) {
        Ok(matches) => matches,
        Err(help) => {
            // Printing fails only when nobody listens.
            let _ = help.print();
            return Ok(if help.use_stderr() { Exit::Usage } else { Exit::Clean });
        }
    };
    if let Some(report) = matches.subcommand_matches(flag::REPORT) {
        let file = report.get_one::<PathBuf>(flag::FILE).expect("clap demands it");
        let beside = || file.parent().map(PathBuf::from).unwrap_or_default();
        let out = report.get_one::<PathBuf>(flag::OUT).cloned().unwrap_or_else(beside);
        return Ok(runner::write_again(file, &out, runner::Gate::read(report).as_ref())?);
    }
    if matches.get_flag(flag::LIST) || matches.subcommand_matches(flag::LIST).is_some() {
        print!("{}", runner::list(&matches)?);
        return Ok(Exit::Clean);
    }
    let settings = match runner::Settings::read(&matches, &words[1..]) {
        Ok(settings) => settings,
        Err(fault) => {
            eprintln!("error: {fault}");
            return Ok(Exit::Usage);
        }
    };
    Ok(runner::run(&settings)?)
}

fn serve_bare(mut arguments: Arguments) -> Result<bool, Box<dyn Error>> {
    let mut options = bare::Options::default();
    for word in arguments.list("--ring")? {
        options.set(&word)?;
    }
    let listener = listen(arguments)?;
    server::announce(&listener)?;
    bare::run(&listener, &options)?;
    Ok(true)
}

/// Pins this process and listens, as the servers of this package are started.
fn listen(mut arguments: Arguments) -> Result<std::net::TcpListener, Box<dyn Error>> {
    let cpu = arguments.value("--cpu")?.unwrap_or(0);
    let port = arguments.value("--port")?.unwrap_or(0);
    arguments.finish()?;
    server::pin(cpu)?;
    Ok(server::listen(port)?)
}
