//! corewise-tools: the rules of this code base that no linter has, and what is generated: pages of
//! documentation and pictures for tests.

#![forbid(unsafe_code)]

mod docs;
mod photographs;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // The package lies one level below the root of the workspace.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tools/ has a parent");
    let result = match words.as_slice() {
        ["tidy"] => tidy::run(root),
        ["docs"] => docs::check(root).map(|stale| report_stale(&stale)),
        ["docs", "--update"] => docs::update(root).map(|()| true),
        ["photographs"] => photographs::write(root).map(|()| true),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn report_stale(stale: &[docs::Page]) -> bool {
    for page in stale {
        println!("{}: stale; run `corewise-tools docs --update`", page.path);
    }
    stale.is_empty()
}

const USAGE: &str = "\
usage: corewise-tools tidy             check the rules of the code base
       corewise-tools docs [--update]  check the generated pages, or write them
       corewise-tools photographs      paint the pictures of the tests again";
