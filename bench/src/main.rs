//! corewise-bench: what corewise costs, beside what the kernel alone costs.

mod arguments;
mod bare;
mod hyper_server;
mod instructions;
#[expect(dead_code, reason = "the new runner fills it, the new report reads it")]
mod result;
mod runner;
mod server;
#[expect(dead_code, unused_imports, reason = "the new runner starts its subjects by it")]
mod subject;

use std::error::Error;
use std::process::ExitCode;

use crate::arguments::Arguments;

// What corewise uses, so that all subjects allocate alike.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool, Box<dyn Error>> {
    let mut arguments = Arguments::of_process();
    match arguments.command().as_deref() {
        Some("bare") => serve_bare(arguments),
        Some("http") => {
            let settings = runner::Settings::from_arguments(&mut arguments)?;
            arguments.finish()?;
            runner::run(&settings)
        }
        Some("hyper") => serve_hyper(arguments),
        Some("instructions") => instructions::run(arguments),
        Some("instructions-subject") => instructions::run_subject(arguments),
        _ => Err(USAGE.into()),
    }
}

fn serve_bare(mut arguments: Arguments) -> Result<bool, Box<dyn Error>> {
    let mut options = bare::Options::default();
    for word in arguments.list("--ring")? {
        options.set(&word)?;
    }
    let listener = open(arguments)?;
    server::announce(&listener)?;
    bare::run(&listener, &options)?;
    Ok(true)
}

fn serve_hyper(arguments: Arguments) -> Result<bool, Box<dyn Error>> {
    let listener = open(arguments)?;
    server::announce(&listener)?;
    hyper_server::run(listener)?;
    Ok(true)
}

/// Pins this process and listens, as both servers of this package are started.
fn open(mut arguments: Arguments) -> Result<std::net::TcpListener, Box<dyn Error>> {
    let cpu = arguments.value("--cpu")?.unwrap_or(0);
    let port = arguments.value("--port")?.unwrap_or(0);
    arguments.finish()?;
    server::pin(cpu)?;
    Ok(server::listen(port)?)
}

const USAGE: &str = "\
usage: corewise-bench http [--quick] [--rounds N] [--seconds S] [--columns A,B] [--subjects A,B]
                           [--save] [--strict]   CPU per request of the whole server, by wrk
       corewise-bench instructions [--update] [--counts FILE]        instruction counts, as in CI
       corewise-bench bare [--cpu N] [--port P] [--ring OPTION,..]   the limit: a bare ring loop
       corewise-bench hyper [--cpu N] [--port P]                     a plain hyper server";
