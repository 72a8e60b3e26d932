//! `[[route]]` of the file: what is answered without an application, and in front of one.

use std::fs;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::harness::client::Client;
use crate::harness::response::Response;
use crate::harness::{Launch, Server, shared};

const FILE: &str = r#"
[[route]]
path = "/hello"
hosts = ["hello.example", "*.hello.example", "[::1]"]
respond = { body = "hello, host\n" }

[[route]]
path = "/hello"
methods = ["GET", "POST"]
respond = { status = 203, type = "text/html", body = "hello\n", headers = {
    Cache-Control = "no-store", X-Many = ["one", "two"] } }

[[route]]
path = "/page"
respond = { file = "pages/page.html" }

[[route]]
path = "/large"
respond = { file = "large.bin" }

[[route]]
path = "/nothing"
respond = { status = 204 }

[[route]]
path = "/old/{id}/*"
redirect = "/new/{id}/*"
status = 301

[[route]]
path = "/search/{word}"
redirect = "https://search.example/?q={word}&from=here"

[[route]]
path = "/away/*"
redirect = "/*"
status = 308

[[route]]
path = "/user/root"
respond = { status = 403, body = "no\n" }

[[route]]
path = "/echo"
methods = ["GET"]
respond = { body = "nobody has posted yet\n" }

[[route]]
path = "/below/*"
respond = { status = 404, body = "nothing below\n" }
"#;

/// Larger than what is copied behind its head.
const LARGE_BYTES: usize = 300_000;

/// The demo with the routes above in front of its own.
fn server() -> &'static Server {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    static SERVER: OnceLock<Server> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("pages")).unwrap();
        fs::write(folder.path().join("pages/page.html"), "<p>page").unwrap();
        fs::write(folder.path().join("large.bin"), large()).unwrap();
        fs::write(folder.path().join("corewise.toml"), FILE).unwrap();
        folder
    });
    let path = folder.path().join("corewise.toml").display().to_string();
    shared(&SERVER, || Launch::demo().shards(1).set("config", &path))
}

fn large() -> Vec<u8> {
    (0..LARGE_BYTES).map(|at| (at % 251) as u8).collect()
}

fn ask(method: &str, host: &str, target: &str) -> Response {
    let request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    server().client().exchange(request.as_bytes()).unwrap()
}

#[track_caller]
fn check(method: &str, host: &str, target: &str, status: u16, body: &str) {
    let response = ask(method, host, target);
    assert_eq!((response.status, &*response.text()), (status, body), "{method} {host} {target}");
}

#[test]
fn the_first_route_that_fits_answers() {
    check("GET", "hello.example", "/hello", 200, "hello, host\n");
    check("GET", "a.b.HELLO.example:8000", "/hello", 200, "hello, host\n");
    check("GET", "hello.example.", "/hello", 200, "hello, host\n");
    check("GET", "[0:0::1]:80", "/hello", 200, "hello, host\n");
    check("DELETE", "hello.example", "/hello", 200, "hello, host\n");
    check("GET", "example", "/hello", 203, "hello\n");
    check("GET", "xhello.example", "/hello", 203, "hello\n");
    check("GET", "it", "http://hello.example/hello", 200, "hello, host\n");
    check("GET", "it", "/%68ello", 203, "hello\n");
    check("GET", "it", "/below/", 404, "nothing below\n");
    check("GET", "it", "/below/a/b?c", 404, "nothing below\n");
}

#[test]
fn the_application_answers_the_rest() {
    check("GET", "it", "/user/me", 200, "me");
    check("GET", "it", "/user/root", 403, "no\n");
    check("GET", "it", "/echo", 200, "nobody has posted yet\n");
    check("GET", "it", "/below", 404, "not found\n");
    check("BREW", "it", "/echo", 501, "the method is not known\n");
    let request = b"POST /echo HTTP/1.1\r\nHost: it\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(server().client().exchange(request).unwrap().text(), "abc");
}

#[test]
fn an_answer_has_its_fields() {
    let response = ask("GET", "it", "/hello");
    assert_eq!(response.field("content-type").as_deref(), Some("text/html"));
    assert_eq!(response.field("cache-control").as_deref(), Some("no-store"));
    assert_eq!(response.field("x-many").as_deref(), Some("one, two"));
    let response = ask("GET", "it", "/nothing");
    assert_eq!((response.status, response.field("content-type")), (204, None));
}

#[test]
fn head_has_the_head_alone() {
    for target in ["/hello", "/page", "/large", "/old/1/2"] {
        let (get, head) = (ask("GET", "it", target), ask("HEAD", "it", target));
        assert_eq!(head.status, get.status, "{target}");
        assert_eq!(head.text(), "", "{target}");
        for field in ["content-length", "content-type", "location"] {
            assert_eq!(head.field(field), get.field(field), "{target}: {field}");
        }
    }
}

#[test]
fn files_are_answered_from_memory() {
    let response = ask("GET", "it", "/page");
    assert_eq!((response.status, &*response.text()), (200, "<p>page"));
    assert_eq!(response.field("content-type").as_deref(), Some("text/html; charset=utf-8"));
    let mut client = server().client();
    for _ in 0..3 {
        assert!(client.get("/large").unwrap().body == large(), "all of it, unchanged");
    }
}

#[test]
fn a_method_that_no_route_takes_is_answered_with_allow() {
    let allow = |method: &str, host: &str, target: &str| {
        let response = ask(method, host, target);
        (response.status, response.field("allow").unwrap())
    };
    assert_eq!(allow("PUT", "it", "/hello"), (405, "GET, HEAD, POST, OPTIONS".to_owned()));
    assert_eq!(allow("OPTIONS", "it", "/hello"), (204, "GET, HEAD, POST, OPTIONS".to_owned()));
    // Some methods are the file's, others the application's.
    assert_eq!(allow("PUT", "it", "/echo"), (405, "GET, HEAD, POST, OPTIONS".to_owned()));
    assert_eq!(allow("OPTIONS", "it", "/echo"), (204, "GET, HEAD, POST, OPTIONS".to_owned()));
    assert_eq!(allow("PUT", "it", "/user/1"), (405, "GET, HEAD, OPTIONS".to_owned()));
    let all = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS".to_owned();
    assert_eq!(allow("OPTIONS", "it", "*"), (204, all));
}

#[track_caller]
fn check_redirect(target: &str, status: u16, location: &str) {
    let response = ask("GET", "it", target);
    assert_eq!(response.status, status, "{target}");
    assert_eq!(response.field("location").as_deref(), Some(location), "{target}");
    assert_eq!(response.text(), "", "{target}");
}

#[test]
fn redirects_carry_what_was_captured() {
    check_redirect("/old/7/a/b", 301, "/new/7/a/b");
    check_redirect("/old/7/?x=1&y=%", 301, "/new/7/?x=1&y=%");
    check_redirect("/old/a%2fb/%c3%bc%20c", 301, "/new/a%2Fb/%C3%BC%20c");
    check_redirect("/old/%0d%0aX:%20y/", 301, "/new/%0D%0AX:%20y/");
    check_redirect("/search/a&b=c+d", 302, "https://search.example/?q=a%26b%3Dc%2Bd&from=here");
    check_redirect("/search/x?q=mine", 302, "https://search.example/?q=x&from=here");
}

#[test]
fn no_redirect_leads_where_the_client_says() {
    check_redirect("/away//evil.example", 308, "/evil.example");
    check_redirect("/away///evil.example/x", 308, "/evil.example/x");
    check_redirect("/away/%5cevil.example", 308, "/%5Cevil.example");
    check_redirect("/away/%2Fevil.example", 308, "/%2Fevil.example");
    check_redirect("/away/", 308, "/");
    for path in ["/away/%ff", "/away/%00", "/away/a%2F..", "/away/../.."] {
        assert_eq!(ask("GET", "it", path).status, 400, "{path}");
    }
}

/// The answer needs nothing of the body, so that it does not wait for it.
#[test]
fn a_body_that_nobody_wants_is_not_waited_for() {
    let mut client: Client = server().client();
    client.send(b"POST /hello HTTP/1.1\r\nHost: it\r\nContent-Length: 5\r\n\r\n").unwrap();
    assert_eq!(client.final_response(Default::default()).unwrap().status, 203);
    client.send(b"12345").unwrap();
    assert_eq!(client.get("/user/next").unwrap().text(), "next");
    let head =
        b"POST /old/1/2 HTTP/1.1\r\nHost: it\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    client.send(head).unwrap();
    assert_eq!(client.response(Default::default()).unwrap().status, 301);
}

#[test]
fn a_wrong_route_is_exit_78_with_its_places() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("corewise.toml");
    let text = "[[route]]\npath = \"/*\"\nrespond = {}\n\
                [[route]]\npath = \"/a\"\nredirect = \"b\"\n\
                [[route]]\npath = \"/b\"\nrespond = { file = \"missing\" }\n";
    fs::write(&path, text).unwrap();
    let outcome = Launch::demo().set("config", &path.display().to_string()).run();
    outcome.expect_code(78);
    for expected in ["E0308", ":6:12", "E0309", ":9:20", "missing"] {
        assert!(outcome.stderr.contains(expected), "{expected}: {}", outcome.stderr);
    }
}
