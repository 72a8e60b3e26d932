//! corewise-bench: what corewise costs, beside what the kernel alone costs.

mod bare;
mod hyper_server;
mod server;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut port = 0;
    let mut cpu = 0;
    let mut options = bare::Options::default();
    for pair in arguments[1..].chunks(2) {
        match pair[0].as_str() {
            "--port" => port = pair[1].parse().unwrap(),
            "--cpu" => cpu = pair[1].parse().unwrap(),
            "--ring" => pair[1].split(',').for_each(|w| options.set(w).unwrap()),
            _ => panic!(),
        }
    }
    server::pin(cpu).unwrap();
    let listener = server::listen(port).unwrap();
    server::announce(&listener).unwrap();
    match arguments[0].as_str() {
        "bare" => bare::run(&listener, &options).unwrap(),
        "hyper" => hyper_server::run(listener).unwrap(),
        _ => panic!(),
    }
    ExitCode::SUCCESS
}
