//! Calls that this code base does without, each with what to use in its place.

use super::Finding;
use super::source::{Source, find_word};

/// A call (or a path) and where it is refused.
struct Banned {
    /// Matched as a whole word against code without comments and strings.
    pattern: &'static str,
    scope: Scope,
    /// Modules of the library that may use it.
    except: &'static [&'static str],
    /// What to do about it.
    instead: &'static str,
}

#[derive(Clone, Copy)]
enum Scope {
    /// Every Rust file.
    Everywhere,
    /// The library and the binary, their tests excepted.
    Library,
    /// The library and the binary, and the integration tests.
    LibraryAndTests,
    /// The state machines that do no input or output.
    PureCores,
}

const PURE_CORES: &[&str] = &[
    "http",
    "offload::admission",
    "offload::blocks",
    "offload::message",
    "offload::slot",
    "supervisor::restart",
    "supervisor::state",
];

const BANNED: &[Banned] = &[
    banned("dbg!", Scope::Everywhere, &[], "a tracing event, or nothing"),
    banned("todo!", Scope::Everywhere, &[], "the code itself"),
    banned("unimplemented!", Scope::Everywhere, &[], "the code itself"),
    banned("env::var", Scope::Library, ENVIRONMENT, "a field of the module's own config"),
    banned("env::var_os", Scope::Library, ENVIRONMENT, "a field of the module's own config"),
    banned("env::vars", Scope::Library, ENVIRONMENT, "a field of the module's own config"),
    banned("env::set_var", Scope::Everywhere, &[], "the environment of the process to be started"),
    banned("process::exit", Scope::Library, ENDS_OR_DEMO, "a corewise::Exit handed up to main"),
    banned(
        "process::abort",
        Scope::Library,
        ENDS_OR_DEMO,
        "assert!, whose message says what broke",
    ),
    banned("_exit(", Scope::Library, ENDS_SYS, "a corewise::Exit handed up to main"),
    banned("fork(", Scope::Library, FORKS, "supervisor::process, the only place that forks"),
    banned("print!", Scope::Library, PRINTS, "a tracing event"),
    banned("println!", Scope::Library, PRINTS, "a tracing event"),
    banned("eprint!", Scope::Library, PRINTS, "a tracing event"),
    banned("eprintln!", Scope::Library, PRINTS, "a tracing event"),
    banned("thread::sleep", Scope::LibraryAndTests, &[], "waiting for the event, with a deadline"),
    banned("thread::spawn", Scope::Library, &[], "the executor, or a process"),
    banned("thread::Builder", Scope::Library, &["worker::threads"], "the executor, or a process"),
    banned(".unwrap()", Scope::Library, &[], "`?`, or expect() with the invariant"),
    banned("libc::", Scope::Library, &["net", "sys"], "a safe wrapper in sys"),
    banned("rustix::", Scope::Library, &["net", "sys"], "a safe wrapper in sys"),
    banned("Instant::now", Scope::PureCores, &[], "the time that the caller hands in"),
    banned("SystemTime::now", Scope::PureCores, &[], "the time that the caller hands in"),
    banned("std::env", Scope::PureCores, &[], "an argument"),
    banned("std::fs", Scope::PureCores, &[], "bytes that the caller hands in"),
    banned("std::io", Scope::PureCores, &[], "bytes in, bytes out"),
    banned("TcpListener", Scope::PureCores, &[], "bytes in, bytes out"),
    banned("TcpStream", Scope::PureCores, &[], "bytes in, bytes out"),
    banned("UdpSocket", Scope::PureCores, &[], "bytes in, bytes out"),
    banned("std::os", Scope::PureCores, &[], "bytes in, bytes out"),
    banned("std::process", Scope::PureCores, &[], "an action for the owner to carry out"),
    banned("std::thread", Scope::PureCores, &[], "an action for the owner to carry out"),
    banned("tracing::", Scope::PureCores, &[], "an event that the owner logs"),
];

/// A call that is meant in one place.
struct Excused {
    pattern: &'static str,
    /// The module that may.
    module: &'static str,
    /// What stands before the call in its line.
    inside: &'static str,
}

/// Each with its reason.
const EXCUSED: &[Excused] = &[
    // The demo shows that a thread of its own may be blocked for as long as a handler likes: the
    // sleep stands for any call that blocks, and outside such a thread it is refused there too.
    Excused { pattern: "thread::sleep", module: "demo", inside: "spawn_blocking(" },
];

/// Settings; and what a service manager says to its process, which is none.
const ENVIRONMENT: &[&str] = &["cli", "config", "sys::notify"];
/// Those of the demo are handlers that show what it costs.
const ENDS_OR_DEMO: &[&str] = &["demo::offload", "main", "supervisor::process", "worker::template"];
const ENDS_SYS: &[&str] = &["main", "supervisor::process", "sys", "worker::template"];
const FORKS: &[&str] = &["supervisor::process", "sys", "worker::template"];
const PRINTS: &[&str] = &["cli", "main"];

const fn banned(
    pattern: &'static str,
    scope: Scope,
    except: &'static [&'static str],
    instead: &'static str,
) -> Banned {
    Banned { pattern, scope, except, instead }
}

/// Refuses every banned call in its scope.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in BANNED.iter().filter(|rule| !rule.except.iter().any(|at| source.is_in(at))) {
        for (index, line) in source.lines.iter().enumerate() {
            if applies(rule.scope, source, line.test)
                && found(&line.code, rule.pattern)
                && !is_excused(source, &line.code, rule.pattern)
            {
                let message = format!("{} is not used here; use {}", rule.pattern, rule.instead);
                findings.push(Finding::new(source, index, "calls", message));
            }
        }
    }
    findings
}

/// The definition `fn fork(` of a wrapper is no call.
fn found(code: &str, pattern: &str) -> bool {
    find_word(code, pattern).is_some_and(|at| !code[..at].trim_end().ends_with("fn"))
}

/// Whether the first such call of the line stands behind what excuses it.
fn is_excused(source: &Source, code: &str, pattern: &str) -> bool {
    EXCUSED.iter().any(|excuse| {
        excuse.pattern == pattern
            && source.is_in(excuse.module)
            && code.find(excuse.inside).is_some_and(|at| Some(at) < code.find(pattern))
    })
}

fn applies(scope: Scope, source: &Source, test: bool) -> bool {
    let library = source.path.starts_with("src/");
    match scope {
        Scope::Everywhere => true,
        Scope::Library => library && !test,
        Scope::LibraryAndTests => library || source.path.starts_with("tests/it/"),
        Scope::PureCores => !test && PURE_CORES.iter().any(|core| source.is_in(core)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_calls(path: &str, text: &str, expected: usize) {
        let findings = check(&Source::new(path, text));
        assert_eq!(findings.len(), expected, "{findings:?}");
    }

    #[test]
    fn every_rule_bites_somewhere_and_spares_its_exceptions() {
        for rule in BANNED {
            let text = format!("fn a() {{ {}(1) }}", rule.pattern.trim_end_matches('('));
            let place = match rule.scope {
                Scope::PureCores => "src/http/head.rs",
                _ => "src/app.rs",
            };
            let findings = check(&Source::new(place, &text));
            assert!(
                findings.iter().any(|f| f.message.starts_with(rule.pattern)),
                "{} does not bite in {place}",
                rule.pattern
            );
            for exception in rule.except {
                let path = format!("src/{}.rs", exception.replace("::", "/"));
                let findings = check(&Source::new(&path, &text));
                assert!(
                    findings.iter().all(|f| !f.message.starts_with(rule.pattern)),
                    "{} bites in {path}",
                    rule.pattern
                );
            }
        }
    }

    #[test]
    fn tests_may_unwrap_but_not_sleep() {
        let text = "#[cfg(test)]\nmod tests {\n fn a() { b().unwrap(); }\n}";
        check_calls("src/app.rs", text, 0);
        check_calls("src/app.rs", "fn a() { b().unwrap(); }", 1);
        check_calls("tests/it/main.rs", "fn a() { std::thread::sleep(b); c.unwrap() }", 1);
        check_calls("bench/src/main.rs", "fn a() { println!(); dbg!(1) }", 1);
    }

    #[test]
    fn the_demo_may_block_a_thread_that_is_for_it() {
        let meant = "spawn_blocking(move || std::thread::sleep(ms)).await;";
        check_calls("src/demo/mod.rs", meant, 0);
        check_calls("src/app.rs", meant, 1);
        check_calls("src/demo/mod.rs", "std::thread::sleep(ms);", 1);
        check_calls("src/demo/mod.rs", "std::thread::sleep(ms); spawn_blocking(b);", 1);
        check_calls("src/demo/mod.rs", "spawn_blocking(move || dbg!(ms))", 1);
    }

    #[test]
    fn names_that_only_contain_a_banned_word_pass() {
        check_calls("src/app.rs", "fn a() { myfork(); b.pitchfork(); println(); }", 0);
        check_calls("src/sys/process.rs", "pub fn fork() {} fn a() { libc::fork() }", 0);
        check_calls("src/app.rs", "// eprintln!(\"no\")\nlet a = \"todo!\";", 0);
        check_calls("src/app.rs", "let a = b.unwrap_or(1);", 0);
    }

    #[test]
    fn pure_cores_know_no_clock() {
        check_calls("src/supervisor/state.rs", "let a = Instant::now();", 1);
        check_calls("src/supervisor/mod.rs", "let a = Instant::now();", 0);
        check_calls("src/http/h1/state.rs", "use std::io::Read;", 1);
    }
}
