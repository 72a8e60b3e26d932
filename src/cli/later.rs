//! What people who know other servers write on the command line and what this version does not
//! have, or not yet: recognised, so that the answer is more than "unknown flag".

use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};

/// A flag of another server that this one does not have, or not yet.
struct Later {
    long: &'static str,
    short: Option<char>,
    /// Whether later versions have it.
    is_planned: bool,
    /// What it is about, after "it ... ".
    about: &'static str,
    /// What can be done today; empty if nothing.
    today: &'static str,
}

/// `command` with all of them, hidden.
pub(super) fn add(command: Command) -> Command {
    command.args(LATER.iter().map(|later| {
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
    let state =
        if later.is_planned { "not available in this version yet" } else { "no flag of corewise" };
    let mut text = format!("error: `--{}` is {state}: it {}", later.long, later.about);
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

const fn later(long: &'static str, about: &'static str, today: &'static str) -> Later {
    Later { long, short: None, is_planned: true, about, today }
}

const fn foreign(
    long: &'static str,
    short: Option<char>,
    about: &'static str,
    today: &'static str,
) -> Later {
    Later { long, short, is_planned: false, about, today }
}

/// Those of gunicorn, uvicorn and functions-framework that no setting has as its flag. Of what
/// never comes, "it" is the server.
static LATER: &[Later] = &[
    later("uds", "listens on a Unix socket", "write --bind unix:/run/app.sock"),
    later("reload", "starts again when a source file changes", ""),
    later("env-file", "reads the environment of an application from a file", ""),
    later("factory", "calls the application's name to make it", ""),
    later("function", "serves a single Python function", ""),
    later("certfile", "encrypts connections", PROXY),
    later("keyfile", "encrypts connections", PROXY),
    later("ssl-certfile", "encrypts connections", PROXY),
    later("ssl-keyfile", "encrypts connections", PROXY),
    later("access-logfile", "names the file of the access log", ""),
    later("log-file", "names the file of the log", "the log is standard error: redirect that"),
    later("user", "leaves root behind", "start it as that user"),
    later("group", "leaves root behind", "start it as a user of that group"),
    foreign("backlog", None, "is called --server-backlog here", ""),
    foreign("worker-connections", None, "is called --limits-connections here", ""),
    foreign("chdir", None, "runs where it is started", "change to that folder before"),
    foreign("worker-class", Some('k'), "has one kind of event loop", "leave the flag out"),
    foreign(
        "daemon",
        Some('D'),
        "stays in the foreground",
        "let systemd or a container put it into the background",
    ),
    foreign("pid", Some('p'), "writes no such file", "its log begins with its pid"),
];

const PROXY: &str = "let a proxy in front do that";

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
                assert!(said.contains(&flag) && said.contains(": it "), "{said}");
            }
        }
        assert!(say(&["corewise", "--uds", "/a"]).unwrap().contains("--bind"));
        assert!(say(&["corewise", "--uds", "/a"]).unwrap().contains("not available"));
        assert!(say(&["corewise", "-k", "gevent"]).unwrap().contains("no flag of corewise"));
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
