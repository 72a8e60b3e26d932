//! corewise: the binary.

use std::env;

use corewise::cli::{self, Invocation};
use corewise::{Exit, demo};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Exit {
    match cli::parse(env::args_os()) {
        Ok(Invocation::Check(sources)) => cli::check(&sources),
        Ok(Invocation::Demo(sources)) => match cli::resolve(&sources) {
            Ok(config) => demo::app().run_with(config),
            Err(exit) => exit,
        },
        Err(exit) => exit,
    }
}
