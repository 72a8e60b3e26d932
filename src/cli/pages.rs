//! What other programs read about the command line: completions for shells, and man pages.

use clap_complete::{Shell, generate};
use clap_mangen::Man;

use super::output::{complain, write};
use super::{COMMANDS, command};
use crate::config::suggest::nearest;
use crate::exit::Exit;

/// Writes the completions of one shell.
pub(super) fn write_completions(shell: Shell) -> Exit {
    write(&completions(shell), Exit::Clean)
}

/// Writes the man page of the program, or of one of its commands.
pub(super) fn write_man(name: Option<&str>) -> Exit {
    let page = match name {
        None => Some(man(command())),
        Some(name) => man_of(name),
    };
    match page {
        Some(page) => write(&page, Exit::Clean),
        None => {
            complain(&unknown(name.unwrap_or_default()));
            Exit::Usage
        }
    }
}

fn completions(shell: Shell) -> String {
    let mut bytes = Vec::new();
    generate(shell, &mut command(), "corewise", &mut bytes);
    String::from_utf8(bytes).expect("completions are text")
}

fn man(command: clap::Command) -> String {
    let mut bytes = Vec::new();
    Man::new(command).render(&mut bytes).expect("memory can be written to");
    // The library has a heading of its own for what stands below help, and a line of it does not
    // begin a line of the page.
    let page = String::from_utf8(bytes).expect("roff is text");
    let page = page.replace("\n.SH EXTRA\n", "\n.SH NOTES\n");
    LINES
        .iter()
        .fold(page, |page, line| page.replace(&format!("\n{line}"), &format!("\n.br\n{line}")))
}

/// How lines begin that stand by themselves: details of a flag, and exit codes.
const LINES: [&str; 5] = ["Value: ", "Cost: ", "File: ", "[default: ", "  "];

fn man_of(name: &str) -> Option<String> {
    let mut whole = command();
    // This gives each command its full name, so that its usage reads right.
    whole.build();
    let found = whole.find_subcommand(name)?.clone();
    Some(man(found.version(env!("CARGO_PKG_VERSION"))))
}

fn unknown(name: &str) -> String {
    let help = match nearest(name, COMMANDS.iter().copied()) {
        Some(near) => format!("a command with a similar name exists: {near}"),
        None => format!("commands are: {}", COMMANDS.join(", ")),
    };
    format!("error: unknown command `{name}`\n  = help: {help}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options;

    #[test]
    fn every_shell_learns_every_command_and_flag() {
        for shell in [Shell::Bash, Shell::Elvish, Shell::Fish, Shell::PowerShell, Shell::Zsh] {
            let text = completions(shell);
            for name in COMMANDS {
                assert!(text.contains(name), "{shell}: {name}");
            }
            for def in options::available() {
                assert!(text.contains(&def.shown_flag()), "{shell}: {}", def.key());
            }
            assert!(!text.contains("uds"), "{shell}: later flags are only recognised");
        }
    }

    #[test]
    fn every_command_has_its_page() {
        let page = man(command());
        assert!(page.contains(".TH corewise 1") && page.contains("corewise\\-check(1)"), "{page}");
        for name in COMMANDS {
            let page = man_of(name).unwrap();
            assert!(page.contains(&format!("corewise {name}")), "{page}");
        }
        let page = man_of("run").unwrap();
        for def in options::available() {
            assert!(page.contains(&def.shown_flag().replace('-', "\\-")), "{}", def.key());
        }
        assert!(page.contains("\n.br\nCost: nothing\n.br\nFile: [cores] use"), "{page}");
        assert!(man_of("rum").is_none());
        assert!(unknown("rum").ends_with("exists: run"), "{}", unknown("rum"));
        assert!(unknown("x").contains("bench, check"), "{}", unknown("x"));
    }
}
