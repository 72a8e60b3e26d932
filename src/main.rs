//! corewise: the binary.

use std::env;

use corewise::cli::{self, Invocation};
use corewise::{App, Exit, app, demo};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Exit {
    match cli::parse(env::args_os()) {
        Ok(Invocation::Ask(question)) => cli::answer(&question, &app::probe_engine),
        Ok(Invocation::Demo(sources)) => match cli::resolve(&sources) {
            Ok(config) => demo::app().run_with(config),
            Err(exit) => exit,
        },
        Ok(Invocation::Run(sources)) => match cli::resolve(&sources) {
            Ok(config) => App::new().run_with(config),
            Err(exit) => exit,
        },
        Err(exit) => exit,
    }
}
