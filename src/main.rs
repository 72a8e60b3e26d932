//! corewise: the binary.

use std::env;

use corewise::cli::{self, Invocation};
use corewise::{App, Exit, app, demo};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Exit {
    match cli::parse(env::args_os()) {
        Ok(Invocation::Ask(question)) => cli::answer(&question, &app::probe_engine),
        Ok(Invocation::Demo(sources)) => demo::app().run_from(sources),
        Ok(Invocation::Run(sources)) => App::new().run_from(sources),
        Err(exit) => exit,
    }
}
