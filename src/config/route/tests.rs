//! Routes of a file, and what is wrong with them.

use proptest::prelude::*;
use tempfile::TempDir;

use super::super::{Config, Faults, Machine, Sources};
use super::*;

/// What a file of this text comes to, beside the files of `folder`.
fn resolve_in(folder: &TempDir, text: &str) -> Result<Config, Faults> {
    let path = folder.path().join("corewise.toml");
    fs::write(&path, text).unwrap();
    Sources { file: Some(path), ..Sources::default() }.resolve(&Machine::uniform(&[0], &[0]))
}

fn resolve(text: &str) -> Result<Config, Faults> {
    resolve_in(&tempfile::tempdir().unwrap(), text)
}

fn routes(text: &str) -> Vec<RouteConfig> {
    resolve(text).unwrap_or_else(|faults| panic!("{text}\n{faults}")).routes
}

fn answer_of(config: Config) -> Answer {
    match config.routes.into_iter().next().map(|route| route.target) {
        Some(Target::Respond(answer)) => answer,
        other => panic!("{other:?} does not answer"),
    }
}

fn answer(text: &str) -> Answer {
    answer_of(resolve(&format!("[[route]]\npath = \"/\"\nrespond = {text}")).unwrap())
}

#[test]
fn routes_are_read_in_their_order() {
    let text = r#"
        [[route]]
        path = "/old/{id}/*"
        hosts = ["Example.org", "*.example.org", "[::1]"]
        methods = ["GET", "POST", "MINE"]
        redirect = "https://example.org/new/{id}/*?from=old"
        status = 308

        [[route]]
        path = "/gone"
        respond = { status = 410, body = "gone\n" }

        [[route]]
        path = "/a"
        redirect = "/b"

        [[route]]
        path = "/*"
        [route.respond]
        status = 0x194
    "#;
    let shown: Vec<_> = routes(text).iter().map(ToString::to_string).collect();
    let expected = [
        "GET|HEAD|POST|MINE example.org|*.example.org|[::1]/old/{id}/* -> \
         308 https://example.org/new/{id}/*?from=old",
        "* /gone -> 410, 5 bytes",
        "* /a -> 302 /b",
        "* /* -> 404, 0 bytes",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn without_routes_there_are_none() {
    assert!(routes("").is_empty());
    assert!(routes("route = []").is_empty());
}

#[test]
fn answers() {
    let plain = answer("{ body = \"a\" }");
    assert_eq!((plain.status, &plain.body[..]), (StatusCode::OK, &b"a"[..]));
    assert_eq!(plain.content_type.unwrap(), "text/plain; charset=utf-8");
    let empty = answer("{ status = 204 }");
    assert_eq!((empty.status.as_u16(), empty.content_type, empty.body.len()), (204, None, 0));
    let full = answer(
        r#"{ status = 503, type = "application/json", body = "{}", headers = {
            Retry-After = "5", X-Many = ["a", "b"], Cache-Control = "no-store" } }"#,
    );
    assert_eq!(
        (full.status.as_u16(), full.content_type.unwrap()),
        (503, "application/json".parse().unwrap())
    );
    let fields = full.fields.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap()));
    let mut fields: Vec<_> = fields.collect();
    fields.sort();
    assert_eq!(fields, ["cache-control: no-store", "retry-after: 5", "x-many: a", "x-many: b"]);
    assert_eq!(answer("{ status = 599 }").status.as_u16(), 599);
}

#[test]
fn files_are_read_beside_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("pages")).unwrap();
    fs::write(folder.path().join("pages/index.HTML"), "<p>hello").unwrap();
    let large = vec![b'x'; usize::try_from(ROUTE_FILE_BYTES_MAX).unwrap()];
    fs::write(folder.path().join("large"), &large).unwrap();
    let check = |answer: &str, content_type: &str, length: usize| {
        let text = format!("[[route]]\npath = \"/\"\nrespond = {answer}");
        let answer = answer_of(resolve_in(&folder, &text).unwrap());
        assert_eq!(answer.content_type.unwrap(), content_type);
        assert_eq!(answer.body.len(), length);
    };
    check("{ file = \"pages/index.HTML\" }", "text/html; charset=utf-8", 8);
    check("{ file = \"large\" }", "application/octet-stream", large.len());
    check("{ file = \"large\", type = \"image/png\" }", "image/png", large.len());
}

#[track_caller]
fn check_file_fault(prepare: impl FnOnce(&Path), expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    prepare(&folder.path().join("it"));
    let text = "[[route]]\npath = \"/\"\nrespond = { file = \"it\" }";
    let faults = resolve_in(&folder, text).unwrap_err().0;
    assert_eq!((faults.len(), faults[0].code), (1, ROUTE_FILE), "{faults:?}");
    assert!(faults[0].message.contains(expected), "{}", faults[0]);
    let name = folder.path().join("it").display().to_string();
    assert!(faults[0].message.contains(&name), "{}", faults[0]);
}

#[test]
fn files_that_cannot_be_answered_with() {
    check_file_fault(|_| (), "no such file");
    check_file_fault(|path| fs::create_dir(path).unwrap(), "not a regular file");
    let large = vec![0; usize::try_from(ROUTE_FILE_BYTES_MAX).unwrap() + 1];
    check_file_fault(|path| fs::write(path, large).unwrap(), "more than 1024 KiB");
}

#[test]
fn the_list_of_a_drop_in_replaces_that_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let route = |path: &str| format!("[[route]]\npath = \"{path}\"\nredirect = \"/x\"\n");
    fs::create_dir(folder.path().join("corewise.d")).unwrap();
    fs::write(folder.path().join("corewise.d/1.toml"), route("/in")).unwrap();
    let config = resolve_in(&folder, &(route("/a") + &route("/b"))).unwrap();
    let patterns: Vec<_> = config.routes.iter().map(|route| route.rule.pattern.as_str()).collect();
    assert_eq!(patterns, ["/in"]);
    fs::write(folder.path().join("corewise.d/2.toml"), route("/again")).unwrap();
    let faults = resolve_in(&folder, "").unwrap_err().0;
    assert_eq!((faults.len(), faults[0].code), (1, "E0107"));
    assert!(faults[0].second.is_some());
}

/// One fault at `line:column`.
#[track_caller]
fn check(text: &str, code: &str, place: &str, message: &str, help: &str) {
    let faults = resolve(text).expect_err(text).0;
    assert_eq!(faults.len(), 1, "{text}\n{}", Faults(faults));
    let fault = &faults[0];
    let found = fault.origin.place().unwrap();
    assert_eq!(format!("{}:{}", found.line, found.column), place, "{fault}");
    assert_eq!(fault.code, code, "{fault}");
    assert!(fault.to_string().contains(message), "{fault}\nlacks {message}");
    assert!(fault.help.contains(help), "{fault}\nlacks {help}");
}

/// The same for lines behind a path.
#[track_caller]
fn check_route(lines: &str, code: &str, place: &str, message: &str, help: &str) {
    check(&format!("[[route]]\npath = \"/p\"\n{lines}\n"), code, place, message, help);
}

#[test]
fn routes_that_are_none() {
    check("route = 3", WRONG_TYPE, "1:1", "a list of tables, not a number", "[[route]]");
    check("[route]\npath = \"/\"", WRONG_TYPE, "1:2", "not a table", "double brackets");
    check("route = [3]", WRONG_TYPE, "1:10", "a route is a table, not a number", "[[route]]");
    check("[[routes]]\na = 1", "E0102", "1:3", "unknown table `routes`", "similar name");
    check("[[route]]\nredirect = \"/\"", ROUTE_INCOMPLETE, "1:1", "no path", "path = ");
    check("[[route]]\npath = \"/\"", ROUTE_INCOMPLETE, "1:1", "does nothing", "respond");
    let route = "[[route]]\npath = \"/a\"\nredirect = \"/b\"\n";
    let many = (0..=ROUTES_MAX).map(|host| format!("{route}hosts = [\"h{host}\"]\n"));
    let place = format!("{}:1", ROUTES_MAX * 4 + 1);
    let many: String = many.collect();
    check(&many, TOO_MANY_ROUTES, &place, "1001 routes, at most 1000", "join");
}

#[test]
fn keys_that_are_none() {
    let check = |line: &str, code: &str, place: &str, message: &str, help: &str| {
        check_route(&format!("{line}\nredirect = \"/b\""), code, place, message, help);
    };
    check("redirct = \"/\"", UNKNOWN_KEY, "3:1", "unknown key `redirct`", "similar name");
    check("colour = 1", UNKNOWN_KEY, "3:1", "unknown key `colour`", "path, hosts");
    check("files = { root = \"x\" }", NOT_YET, "3:1", "static files", "remove it");
    check("call = \"tasks:x\"", NOT_YET, "3:1", "pools of a later release", "remove it");
    check("pool = \"app\"", NOT_YET, "3:1", "pools of a later release", "remove it");
    check("retry = 1", NOT_YET, "3:1", "belongs to `pool`", "remove it");
    check("timeout = \"1s\"", NOT_YET, "3:1", "belongs to `pool`", "remove it");
    // Without another target too: it is the only fault.
    check_route("pool = \"app\"", NOT_YET, "3:1", "pools of a later release", "remove it");
    let place = "3:13";
    check_route("respond = { statu = 1 }", UNKNOWN_KEY, place, "unknown key `statu`", "similar");
    check_route("respond = { path = \"/\" }", UNKNOWN_KEY, place, "`path`", "type, body, file");
}

#[test]
fn paths_that_are_none() {
    let check = |path: &str, code: &str, message: &str| {
        let text = format!("[[route]]\npath = {path}\nredirect = \"/b\"");
        check(&text, code, "2:8", message, "");
    };
    check("3", WRONG_TYPE, "expected a string, not a number");
    check("\"a\"", BAD_PATTERN, "begins with a slash");
    check("\"/a*\"", BAD_PATTERN, "`*` can only stand at the end");
    check("\"/{a\"", BAD_PATTERN, "not closed");
    check("\"/{a}{b}\"", BAD_PATTERN, "only one parameter");
    check("\"/../a\"", BAD_PATTERN, "dot segments");
    check("\"/a?b\"", BAD_PATTERN, "no query");
}

#[test]
fn filters_that_are_none() {
    let check = |line: &str, code: &str, place: &str, message: &str, help: &str| {
        check_route(&format!("{line}\nredirect = \"/b\""), code, place, message, help);
    };
    check("hosts = \"a\"", WRONG_TYPE, "3:9", "expected a list, not a string", "[\"a\"]");
    check("hosts = []", WRONG_TYPE, "3:9", "the list is empty", "leave the key out");
    check("hosts = [3]", WRONG_TYPE, "3:10", "expected a string, not a number", "quotes");
    check("hosts = [\"a\", \"b:1\"]", BAD_HOST, "3:15", "without scheme and port", "example.org");
    check("methods = [\"get\"]", BAD_METHOD, "3:12", "another method than GET", "write \"GET\"");
    check("methods = [\"A B\"]", BAD_METHOD, "3:12", "`A B` is not a method", "single words");
    check("methods = [\"\"]", BAD_METHOD, "3:12", "not a method", "single words");
    check("methods = [\"CONNECT\"]", BAD_METHOD, "3:12", "asks for a host", "remove it");
    let long = "M".repeat(METHOD_BYTES_MAX + 1);
    check(&format!("methods = [\"{long}\"]"), BAD_METHOD, "3:12", "not a method", "single");
    let hosts = vec!["\"a\""; ROUTE_NAMES_MAX + 1].join(",");
    check(&format!("hosts = [{hosts}]"), TOO_MANY_ROUTES, "3:9", "more than 64", "shorten");
}

#[test]
fn redirects_that_are_none() {
    let both = "respond = {}\nredirect = \"/b\"";
    check_route(both, ROUTE_TARGETS, "4:1", "not both", "remove one");
    let both = "redirect = \"/b\"\nrespond = {}";
    check_route(both, ROUTE_TARGETS, "4:1", "not both", "remove one");
    check_route("redirect = {}", WRONG_TYPE, "3:12", "expected a string, not a table", "quotes");
    check_route("redirect = \"b\"", BAD_REDIRECT, "3:12", "begins with a slash", "/new/{id}");
    check_route("redirect = \"/{id}\"", BAD_REDIRECT, "3:12", "captures nothing", "/new/{id}");
    check_route("redirect = \"/a\\nb\"", BAD_REDIRECT, "3:12", "control character", "");
    let long = format!("redirect = \"/{}\"", "x".repeat(ROUTE_TARGET_BYTES_MAX));
    check_route(&long, BAD_REDIRECT, "3:12", "more than 2048 bytes", "shorten");
    let status = |status: &str| format!("redirect = \"/b\"\nstatus = {status}");
    check_route(&status("200"), BAD_REDIRECT, "4:10", "200 is not the status", "302");
    check_route(&status("-1"), BAD_REDIRECT, "4:10", "-1 is not the status", "302");
    check_route(&status("\"301\""), WRONG_TYPE, "4:10", "expected a number", "without quotes");
    let large = format!("{}", u128::MAX);
    check_route(&status(&large), WRONG_TYPE, "4:10", "too large", "status");
}

#[test]
fn answers_that_are_none() {
    let check = |answer: &str, code: &str, column: usize, message: &str, help: &str| {
        let place = format!("3:{}", column + 10);
        check_route(&format!("respond = {answer}"), code, &place, message, help);
    };
    check("\"hello\"", WRONG_TYPE, 1, "a table, not a string", "body = ");
    check("{ status = 199 }", BAD_ANSWER, 12, "199 is not the status", "200 to 599");
    check("{ status = 600 }", BAD_ANSWER, 12, "600 is not the status", "200 to 599");
    check("{ status = true }", WRONG_TYPE, 12, "expected a number, not a boolean", "quotes");
    check("{ body = 3 }", WRONG_TYPE, 10, "expected a string", "quotes");
    check("{ file = 3 }", WRONG_TYPE, 10, "expected a string", "quotes");
    check("{ body = \"\", file = \"x\" }", BAD_ANSWER, 14, "not both", "remove one");
    check("{ file = \"x\", body = \"\" }", BAD_ANSWER, 15, "not both", "remove one");
    check("{ status = 204, body = \"x\" }", BAD_ANSWER, 12, "204 has no body", "remove the body");
    check("{ status = 304, body = \"x\" }", BAD_ANSWER, 12, "304 has no body", "remove the body");
    check("{ type = \"text\" }", BAD_FIELD, 10, "`text` is not a media type", "text/html");
    check("{ type = \"a/b\\r\\nX: y\" }", BAD_FIELD, 10, "not a media type", "text/html");
    check("{ type = 3 }", WRONG_TYPE, 10, "expected a string", "quotes");
    check("{ headers = 3 }", WRONG_TYPE, 13, "headers are a table", "Name");
    check("{ headers = { A = 3 } }", WRONG_TYPE, 19, "expected a string", "quotes");
    check("{ headers = { \"a b\" = \"c\" } }", BAD_FIELD, 15, "not the name", "no spaces");
    check("{ headers = { A = \"b\\nc\" } }", BAD_FIELD, 19, "not the value", "one line");
    check("{ headers = { A = \" b\" } }", BAD_FIELD, 19, "not the value", "one line");
    check("{ headers = { A = [\"b\", \"\\u007f\"] } }", BAD_FIELD, 25, "not the value", "one line");
    check("{ headers = { Content-Length = \"3\" } }", BAD_FIELD, 15, "how the message", "remove");
    check("{ headers = { keep-alive = \"3\" } }", BAD_FIELD, 15, "how the message", "remove");
    check("{ headers = { content-type = \"a/b\" } }", BAD_FIELD, 15, "a key of its own", "type");
    check_route("respond = {}\nstatus = 404", BAD_ANSWER, "4:1", "in the answer", "respond = {");
}

/// A fault with the line of the place that it names second.
#[track_caller]
fn check_second(text: &str, code: &str, place: &str, second: &str) {
    check(text, code, place, "", "");
    let faults = resolve(text).unwrap_err().0;
    let found = faults[0].second.as_ref().and_then(|second| second.origin.place()).unwrap();
    assert_eq!(format!("{}:{}", found.line, found.column), second, "{}", faults[0]);
}

#[test]
fn clashes_name_both_places() {
    let route =
        |path: &str, more: &str| format!("[[route]]\npath = {path:?}\nrespond = {{}}\n{more}");
    let unreachable = |first: &str, second: &str| {
        check_second(&(first.to_owned() + second), ROUTE_UNREACHABLE, "5:8", "2:8");
    };
    unreachable(&route("/*", ""), &route("/a", ""));
    unreachable(&route("/{x}", ""), &route("/a", "methods = [\"GET\"]\n"));
    unreachable(&route("/a", ""), &route("/%61", "hosts = [\"a\"]\n"));
    for (first, second) in [
        (route("/a/*", "# none\n"), route("/*", "")),
        (route("/*", "methods = [\"GET\"]\n"), route("/a", "")),
        (route("/*", "hosts = [\"a\"]\n"), route("/a", "hosts = [\"b\"]\n")),
    ] {
        assert_eq!(routes(&(first + &second)).len(), 2);
    }
    let both = "[[route]]\npath = \"/a\"\nrespond = {}\nredirect = \"/b\"";
    check_second(both, ROUTE_TARGETS, "4:1", "3:1");
    let both = "[[route]]\npath = \"/a\"\nrespond = { body = \"\", file = \"x\" }";
    check_second(both, BAD_ANSWER, "3:24", "3:13");
}

#[test]
fn a_redirect_to_itself_is_found() {
    let redirect = |path: &str, to: &str, more: &str| {
        format!("[[route]]\npath = {path:?}\nredirect = {to:?}\n{more}")
    };
    check(&redirect("/a", "/%61", ""), ROUTE_LOOP, "2:8", "`/%61` is a path of this", "above");
    check(&redirect("/*", "/x?y#z", ""), ROUTE_LOOP, "2:8", "of this route again", "above");
    let post = redirect("/form", "/form", "methods = [\"POST\"]\nstatus = 307\n");
    check(&post, ROUTE_LOOP, "2:8", "of this route again", "above");
    for fine in [
        redirect("/form", "/form", "methods = [\"POST\"]\nstatus = 303\n"),
        redirect("/a", "https://example.org/a", ""),
        redirect("/a/*", "/*", ""),
        "[[route]]\npath = \"/\"\nrespond = {}\n".to_owned() + &redirect("/*", "/", ""),
    ] {
        routes(&fine);
    }
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let text = r#"
        [[route]]
        path = "a"
        hosts = ["", "a:1"]
        methods = ["get", "B C"]
        respond = { status = 1, type = "x", headers = { "a b" = "c" }, other = 1 }

        [[route]]
        redirect = 3
        status = 999
    "#;
    let codes: Vec<_> = resolve(text).unwrap_err().0.iter().map(|fault| fault.code).collect();
    let expected = [
        BAD_PATTERN,
        BAD_HOST,
        BAD_HOST,
        BAD_METHOD,
        BAD_METHOD,
        BAD_ANSWER,
        BAD_FIELD,
        BAD_FIELD,
        UNKNOWN_KEY,
        ROUTE_INCOMPLETE,
        WRONG_TYPE,
        BAD_REDIRECT,
    ];
    assert_eq!(codes, expected);
}

/// What a person sees.
#[test]
fn faults_show_their_lines() {
    let text = "[[route]]\npath = \"/*\"\nrespond = {}\n\n[[route]]\npath = \"/a\"\nrespond = {}\n";
    let folder = tempfile::tempdir().unwrap();
    let shown = resolve_in(&folder, text).unwrap_err().to_string();
    let shown = shown.replace(&format!("{}/", folder.path().display()), "");
    let expected = "\
error[E0310]: route.path: no request ever gets here: the first route that fits has it
 --> corewise.toml:6:8
  |
2 | path = \"/*\"
  |        ---- takes every request of this route
...
6 | path = \"/a\"
  |        ^^^^
  |
  = help: write it above the other one, or remove it";
    assert_eq!(shown, expected);
}

#[test]
fn nothing_to_serve_says_what_to_write() {
    let shown = nothing_to_serve(Some("x.toml")).to_string();
    assert!(shown.starts_with("error[E0300]: there is nothing to serve: the file has"), "{shown}");
    assert!(shown.contains("x.toml") && shown.contains("[[route]]"), "{shown}");
    let shown = nothing_to_serve(None).to_string();
    assert!(shown.contains("there is no file") && shown.contains("corewise.toml"), "{shown}");
    // What it says to write is a route.
    let (_, route) = nothing_to_serve(None)
        .help
        .split_once("[[route]]")
        .map(|(a, b)| (a.len(), b.to_owned()))
        .unwrap();
    assert_eq!(routes(&format!("[[route]]{route}")).len(), 1);
}

/// Values of every kind, right and wrong, for whatever key they come to stand at.
const VALUES: [&str; 16] = [
    "3",
    "301",
    "true",
    "1.5",
    "[]",
    "{}",
    "[3]",
    "\"\"",
    "\"/a/{x}/*\"",
    "\"/{x}?{x}#*\"",
    "\"https://a.example/{x}\"",
    "[\"GET\", \"a.example\"]",
    "{ status = 404, body = \"\\u00fc\", headers = { A = [\"b\"] } }",
    "{ file = \"corewise.toml\", type = \"a/b\" }",
    "{ file = \"\", headers = { A = 3, \"\" = \"\" } }",
    "{ status = 99999999999999999999, x = 1979-05-27 }",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn routes_are_read_or_refused_at_a_place(
        lines in proptest::collection::vec(
            (0..KEYS.len() + LATER.len() + 2, 0..VALUES.len()), 0..8
        ),
    ) {
        let later = LATER.iter().map(|(key, _)| *key);
        let keys: Vec<_> = KEYS.into_iter().chain(later).chain(["odd", "\"\""]).collect();
        let mut text = String::from("[[route]]\n");
        for (index, (key, value)) in lines.iter().enumerate() {
            // A key twice is a fault of another module.
            if lines[..index].iter().any(|(before, _)| before == key) {
                text += "[[route]]\n";
            }
            text += &format!("{} = {}\n", keys[*key], VALUES[*value]);
        }
        match resolve(&text) {
            Ok(config) => prop_assert!(!config.routes.is_empty()),
            Err(faults) => {
                for fault in &faults.0 {
                    let is_whole = fault.origin.place().is_some() && !fault.help.is_empty();
                    prop_assert!(is_whole, "{}", fault);
                }
            }
        }
    }
}
