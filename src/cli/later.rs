//! What people who know other servers write on the command line and what this version does not
//! have yet: recognised, so that the answer is more than "unknown flag".

use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};

/// A flag that later versions have.
struct Later {
    long: &'static str,
    /// What it is about, after "it ... ".
    about: &'static str,
    /// What can be done today; empty if nothing.
    today: &'static str,
}

/// `command` with all of them, hidden.
pub(super) fn add(command: Command) -> Command {
    command.args(LATER.iter().map(|later| {
        Arg::new(later.long)
            .long(later.long)
            .num_args(0..=1)
            .action(ArgAction::Append)
            .allow_hyphen_values(true)
            .hide(true)
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

const fn later(long: &'static str, about: &'static str, today: &'static str) -> Later {
    Later { long, about, today }
}

/// Those of gunicorn, uvicorn and functions-framework that no setting has as its flag.
static LATER: &[Later] = &[
    later("uds", "listens on a Unix socket", "listen on an address with --bind"),
    later("reload", "starts again when a source file changes", ""),
    later("env-file", "reads the environment of an application from a file", ""),
    later("factory", "calls the application's name to make it", ""),
    later("function", "serves a single Python function", ""),
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
        assert!(say(&["corewise", "--uds", "/a"]).unwrap().contains("--bind"));
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
