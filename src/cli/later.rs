//! What people who know other servers write on the command line and what this version does not
//! have yet: recognised, so that the answer is more than "unknown flag".

use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};

/// A flag that later versions have.
struct Later {
    long: &'static str,
    short: Option<char>,
    /// What it is about, after "it ... ".
    about: &'static str,
    /// What can be done today; empty if nothing.
    today: &'static str,
}

/// `command` with all of them, hidden.
pub(super) fn add(command: Command) -> Command {
    let known: Vec<String> = command
        .get_arguments()
        .flat_map(|argument| argument.get_long_and_visible_aliases().unwrap_or_default())
        .map(str::to_owned)
        .collect();
    let absent = LATER.iter().filter(|later| !known.iter().any(|known| known == later.long));
    command.args(absent.map(|later| {
        let argument = Arg::new(later.long)
            .long(later.long)
            .num_args(0..=1)
            .action(ArgAction::Append)
            .allow_hyphen_values(true)
            .hide(true);
        match later.short {
            Some(short) => argument.short(short),
            None => argument,
        }
    }))
}

/// What to say when one of them was given.
pub(super) fn refusal(matches: &ArgMatches) -> Option<String> {
    let was_given = |later: &&Later| matches!(matches.try_contains_id(later.long), Ok(true));
    let later = LATER.iter().find(was_given)?;
    let mut text = format!(
        "error: `--{}` is not available in this version yet: it {}",
        later.long, later.about
    );
    if !later.today.is_empty() {
        text += &format!("\n  = help: {}", later.today);
    }
    Some(text)
}

/// What to say to `corewise run TARGET`.
pub(super) fn refuse_target(target: &str) -> String {
    let (what, fix) = if looks_like_folder(target) {
        (
            "a folder: serving files is not available in this version yet",
            "fixed answers and redirects are: see [[route]] in `corewise init --print`",
        )
    } else if target.contains(':') {
        (
            "a Python application: running those is not available in this version yet",
            "to see corewise serve something, run `corewise demo`",
        )
    } else {
        (
            "neither a folder nor an application like `main:app`",
            "a configuration file is named with --config",
        )
    };
    format!("error: `{target}` is {what}\n  = help: {fix}")
}

fn looks_like_folder(target: &str) -> bool {
    target.starts_with(['.', '/']) || target.ends_with('/') || Path::new(target).is_dir()
}

const WORKERS: &str = "a process that serves on a core of its own is a shard: --shards";

const fn later(
    long: &'static str,
    short: Option<char>,
    about: &'static str,
    today: &'static str,
) -> Later {
    Later { long, short, about, today }
}

/// In the order of OPERATIONS, the names being those of gunicorn, uvicorn and functions-framework.
static LATER: &[Later] = &[
    later("uds", None, "listens on a Unix socket", "listen on an address with --bind"),
    later("workers", Some('w'), "sets how many workers a pool has", WORKERS),
    later("threads", None, "sets how many threads a worker has", ""),
    later(
        "timeout",
        Some('t'),
        "limits how long a request may run in a worker",
        "handlers in a shard are limited by --limits-handler-timeout",
    ),
    later("max-requests", None, "replaces a worker after so many requests", ""),
    later("max-requests-jitter", None, "spreads the replacement of workers", ""),
    later("preload", None, "loads an application before its workers are started", ""),
    later("reload", None, "starts again when a source file changes", ""),
    later("root-path", None, "tells an application below which path it is served", ""),
    later("forwarded-allow-ips", None, "names the proxies whose fields are believed", ""),
    later("access-log", None, "writes a line for each request", ""),
    later("app-dir", None, "says where an application is looked for", ""),
    later("env-file", None, "reads the environment of an application from a file", ""),
    later("factory", None, "calls the application's name to make it", ""),
    later("interface", None, "says whether an application is ASGI or WSGI", ""),
    later("function", None, "serves a single Python function", ""),
    later("python", None, "names the Python to run applications with", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn say(arguments: &[&str]) -> Option<String> {
        let command = add(Command::new("corewise"));
        refusal(&command.try_get_matches_from(arguments).unwrap())
    }

    #[test]
    fn each_is_recognised_with_and_without_a_value() {
        for later in LATER {
            let flag = format!("--{}", later.long);
            for arguments in [vec!["corewise", &flag], vec!["corewise", &flag, "4"]] {
                let said = say(&arguments).unwrap();
                assert!(said.contains(&flag) && said.contains("not available"), "{said}");
            }
        }
        assert!(say(&["corewise", "-w", "4"]).unwrap().contains("--shards"));
        assert!(say(&["corewise", "-w4"]).unwrap().contains("--workers"));
        assert_eq!(say(&["corewise"]), None);
    }

    #[test]
    fn targets_are_told_apart() {
        assert!(refuse_target("main:app").contains("Python application"));
        assert!(refuse_target("./public").contains("a folder"));
        assert!(refuse_target("src").contains("a folder"));
        assert!(refuse_target("what").contains("neither"));
    }
}
