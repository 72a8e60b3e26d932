//! Who may use whom. The table below is the architecture; everything not in it is refused.

use super::Finding;
use super::source::{Source, is_word};

/// Each module, and what it may use besides itself and `limits`. A target `a::b` allows that part
/// of `a` only; a module `a::b` has what `a` has, and the targets of its own line.
const ARROWS: &[(&str, &[&str])] = &[
    (
        "app",
        &[
            "cli",
            "config",
            "exit",
            "handler",
            "http",
            "offload",
            "router",
            "shard",
            "supervisor",
            "telemetry",
            "worker",
        ],
    ),
    ("cli", &["config", "exit", "net::listener", "sys"]),
    ("config", &["exit", "sys"]),
    // What a route of the file is made of; all of it data.
    ("config::route", &["router"]),
    ("demo", &["app", "executor"]),
    // Of `handler` what the root of the crate exports too, under the name of another module; of
    // `sys` what a program that uses the library has from elsewhere.
    ("demo::offload", &["handler::offload", "sys::clock", "sys::descriptors", "sys::process"]),
    ("executor", &["sys"]),
    ("exit", &[]),
    ("files", &["http", "sys"]),
    ("handler", &["http"]),
    ("http", &[]),
    ("limits", &[]),
    ("main", &["app", "cli", "demo", "exit"]),
    ("net", &["sys"]),
    ("offload", &["sys"]),
    // Types only: what a request and a response are, not how they are framed.
    ("offload::message", &["http"]),
    ("python", &["offload"]),
    ("router", &["http"]),
    (
        "shard",
        &[
            "config",
            "executor",
            "files",
            "handler",
            "http",
            "net",
            "offload",
            "router",
            "sys",
            "telemetry",
        ],
    ),
    ("supervisor", &["config", "exit", "net::listener", "offload", "sys", "telemetry"]),
    ("sys", &[]),
    // Of `config` only data: what to log.
    ("telemetry", &["config", "offload::layout", "sys"]),
    // Of `http` only how a handler's errors become responses.
    ("worker", &["executor", "exit", "handler", "http", "offload", "sys", "telemetry"]),
];

/// Modules whose code is written as a user of the library writes it: they may name what the root of
/// the crate exports (`corewise::App`).
const ROOT_USERS: &[&str] = &["demo", "main"];

/// Refuses every path that leads from `source` to a module it may not use.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let Some(from) = owner(source) else { return Vec::new() };
    if from == ["lib"] {
        return Vec::new();
    }
    if !ARROWS.iter().any(|(module, _)| *module == from[0]) {
        let message = format!("module `{}` has no line in the table of arrows", from[0]);
        return vec![Finding::new(source, 0, "arrows", message)];
    }
    let mut findings = Vec::new();
    for (line, path) in paths(source, &from) {
        if !allowed(&from, &path) {
            let message = format!("{} -> {} is not an arrow", from.join("::"), path.join("::"));
            findings.push(Finding::new(source, line, "arrows", message));
        }
    }
    findings
}

fn owner(source: &Source) -> Option<Vec<&str>> {
    if source.path.starts_with("python/src/") {
        return Some(vec!["python"]);
    }
    source.module()
}

fn allowed(from: &[&str], path: &[String]) -> bool {
    let first = path[0].as_str();
    let is_module = ARROWS.iter().any(|(module, _)| *module == first);
    if first == from[0] || first == "limits" {
        return true;
    }
    if !is_module {
        return ROOT_USERS.contains(&from[0]);
    }
    let owned = from.join("::");
    ARROWS
        .iter()
        .filter(|(module, _)| owned == *module || owned.starts_with(&format!("{module}::")))
        .flat_map(|(_, targets)| targets.iter())
        .any(|target| {
            let parts: Vec<&str> = target.split("::").collect();
            path.len() >= parts.len() && parts.iter().zip(path).all(|(a, b)| a == b)
        })
}

/// Every path into the crate, with the line it begins on.
fn paths(source: &Source, from: &[&str]) -> Vec<(usize, Vec<String>)> {
    let mut text = String::new();
    let mut starts = Vec::new();
    for line in &source.lines {
        starts.push(text.len());
        text.push_str(&line.code);
        text.push('\n');
    }
    let roots: &[&str] = match from[0] {
        "main" | "python" => &["corewise"],
        _ => &["crate", "super"],
    };
    let mut found = Vec::new();
    for root in roots {
        let opening = format!("{root}::");
        for (at, _) in text.match_indices(&opening) {
            let before = text[..at].chars().next_back();
            // `super::super::` is read from its first word.
            if before.is_some_and(|c| is_word(c) || c == ':') {
                continue;
            }
            let line = starts.partition_point(|&start| start <= at) - 1;
            let mut paths = Vec::new();
            expand(&text[at..], &[], &mut paths);
            let paths = paths.into_iter().filter_map(|path| absolute(path, source, line, from));
            found.extend(paths.map(|path| (line, path)));
        }
    }
    found
}

/// Takes `crate` away and resolves `super`; `None` for what stays inside the module.
fn absolute(path: Vec<String>, source: &Source, line: usize, from: &[&str]) -> Option<Vec<String>> {
    let ups = path.iter().take_while(|part| *part == "super").count();
    if ups == 0 {
        let rest: Vec<String> = path[1..].to_vec();
        return (!rest.is_empty()).then_some(rest);
    }
    // A test module inside the file is one level deeper than the file.
    let depth = from.len() + usize::from(source.lines[line].test);
    let rest = path[ups..].to_vec();
    (ups >= depth && !rest.is_empty()).then_some(rest)
}

/// Reads `a::b::{c, d::e}` at the beginning of `text` into one path per leaf; returns the length.
fn expand(text: &str, prefix: &[String], paths: &mut Vec<Vec<String>>) -> usize {
    let mut path = prefix.to_vec();
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let word = rest.chars().take_while(|&c| is_word(c)).count();
        if word > 0 {
            let name: String = rest.chars().take(word).collect();
            at += name.len();
            path.push(name);
        } else if rest.starts_with('{') {
            return at + group(rest, &path, paths);
        } else {
            break;
        }
        match text[at..].strip_prefix("::") {
            Some(_) => at += 2,
            None => break,
        }
    }
    // `self` in a group names the module itself.
    if path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    paths.push(path);
    at
}

fn group(text: &str, prefix: &[String], paths: &mut Vec<Vec<String>>) -> usize {
    let mut at = 1;
    while let Some(next) = text[at..].chars().next() {
        match next {
            '}' => return at + 1,
            c if is_word(c) || c == '{' => at += expand(&text[at..], prefix, paths).max(1),
            c => at += c.len_utf8(),
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_arrows(path: &str, text: &str, expected: &[&str]) {
        let findings = check(&Source::new(path, text));
        let messages: Vec<&str> = findings.iter().map(|f| f.message.as_str()).collect();
        assert_eq!(messages.len(), expected.len(), "{messages:?}");
        for (message, part) in messages.iter().zip(expected) {
            assert!(message.contains(part), "{message:?} lacks {part:?}");
        }
    }

    #[test]
    fn arrows_of_the_table_pass() {
        check_arrows("src/shard/turn.rs", "use crate::net::ring::Ring;", &[]);
        check_arrows("src/shard/turn.rs", "use crate::{http, net::{op, ring}};", &[]);
        check_arrows("src/http/h1/state.rs", "use crate::limits::HttpLimits;", &[]);
        check_arrows("src/http/h1/state.rs", "use super::super::head::Head;", &[]);
        check_arrows("src/http/h1/state.rs", "use crate::http::head::Head;", &[]);
        check_arrows("src/supervisor/mod.rs", "use crate::net::listener::bind;", &[]);
        check_arrows("src/offload/message.rs", "use crate::http::Head;", &[]);
        check_arrows("src/main.rs", "use corewise::{App, cli};", &[]);
        check_arrows("src/lib.rs", "pub use crate::app::App;", &[]);
        check_arrows("bench/src/main.rs", "use crate::anything::at_all;", &[]);
        check_arrows("python/src/lib.rs", "use corewise::offload::client;", &[]);
    }

    #[test]
    fn every_other_arrow_bites() {
        check_arrows("src/http/mod.rs", "use crate::net::ring;", &["http -> net::ring"]);
        check_arrows("src/net/ring.rs", "fn a() { crate::http::b() }", &["net::ring -> http::b"]);
        check_arrows("src/supervisor/mod.rs", "use crate::net::ring;", &["-> net::ring"]);
        check_arrows("src/supervisor/mod.rs", "use crate::net;", &["supervisor -> net"]);
        check_arrows("src/offload/slot.rs", "use crate::http::Head;", &["offload::slot -> http"]);
        check_arrows("src/main.rs", "use corewise::shard::run;", &["main -> shard"]);
        check_arrows("python/src/lib.rs", "use corewise::http::Head;", &["python -> http"]);
        check_arrows("src/http/mod.rs", "use crate::App;", &["http -> App"]);
        check_arrows("src/newcomer.rs", "", &["no line in the table"]);
    }

    #[test]
    fn groups_several_lines_and_supers_bite_too() {
        check_arrows(
            "src/router/mod.rs",
            "use crate::{\n    http,\n    shard::{self, conn},\n};",
            &["router -> shard", "router -> shard::conn"],
        );
        check_arrows("src/http/h1/state.rs", "use super::super::super::net;", &["-> net"]);
        check_arrows("src/http/mod.rs", "use super::net::ring;", &["http -> net::ring"]);
        check_arrows(
            "src/exit.rs",
            "#[cfg(test)]\nmod tests {\n    use super::*;\n    use super::super::net::a;\n}",
            &["exit -> net::a"],
        );
    }

    #[test]
    fn comments_and_strings_are_no_arrows() {
        check_arrows("src/http/mod.rs", "// use crate::net;\nlet a = \"crate::net\";", &[]);
    }

    #[test]
    fn the_table_names_only_modules_that_have_a_line() {
        for (module, targets) in ARROWS {
            for target in *targets {
                let first = target.split("::").next().unwrap();
                assert!(ARROWS.iter().any(|(name, _)| *name == first), "{module} -> {target}");
                assert_ne!(*module, first, "an arrow to itself");
            }
        }
    }
}
