use proptest::prelude::*;

use super::*;

/// Routes that lead to their own text, written as `METHOD pattern`, `*` for all methods.
fn router(routes: &[&'static str]) -> Router<&'static str> {
    let mut builder = Router::builder();
    for route in routes {
        insert(&mut builder, route).unwrap();
    }
    builder.build()
}

fn insert(builder: &mut Builder<&'static str>, route: &'static str) -> Result<(), RouteError> {
    let (name, pattern) = route.split_once(' ').unwrap();
    builder.insert((name != "*").then(|| method(name)), pattern, route)
}

fn method(name: &str) -> Method {
    name.parse().unwrap()
}

/// The outcome of `METHOD path` in one line: the route and its parameters, or the refusal.
fn outcome(router: &Router<&'static str>, request: &str) -> String {
    let (name, path) = request.split_once(' ').unwrap();
    let mut params = Params::new();
    match router.route(&method(name), path, &mut params) {
        Outcome::BadPath => "400".to_owned(),
        Outcome::Found(route) => {
            let params = params.iter(path).map(|(name, value)| format!(" {name}={value}"));
            params.fold(format!("-> {route}"), |line, param| line + &param)
        }
        Outcome::MethodNotAllowed { allow } => format!("405 {}", allow.to_str().unwrap()),
        Outcome::NotFound => "404".to_owned(),
        Outcome::NotImplemented => "501".to_owned(),
        Outcome::Options { allow } => format!("options {}", allow.to_str().unwrap()),
        Outcome::ServerOptions { allow } => format!("server {}", allow.to_str().unwrap()),
    }
}

fn shop() -> Router<&'static str> {
    router(&[
        "GET /",
        "GET /user/{id}",
        "DELETE /user/{id}",
        "GET /user/me",
        "POST /echo",
        "GET /img/{name}.png",
        "GET /files/{*rest}",
        "* /any",
        "GET /any/{x}",
        "* /any/{x}",
        "REPORT /cal",
        "OPTIONS /own",
        "GET /own",
        "HEAD /own",
        "GET /grüße",
        "GET /a/{w}/{x}/{y}/{z}",
        "GET /user/{name}/likes",
    ])
}

#[track_caller]
fn check(request: &str, expected: &str) {
    assert_eq!(outcome(&shop(), request), expected, "{request}");
}

#[test]
fn paths_lead_to_routes() {
    check("GET /", "-> GET /");
    check("GET /user/42", "-> GET /user/{id} id=42");
    check("GET /user/me", "-> GET /user/me");
    check("DELETE /user/42", "-> DELETE /user/{id} id=42");
    check("GET /user/42/likes", "-> GET /user/{name}/likes name=42");
    check("GET /img/cat.png", "-> GET /img/{name}.png name=cat");
    check("GET /files/a/b.txt", "-> GET /files/{*rest} rest=a/b.txt");
    check("GET /a/1/2/3/4", "-> GET /a/{w}/{x}/{y}/{z} w=1 x=2 y=3 z=4");
    for path in ["/nothing", "/user", "/user/", "/user/42/x", "/User/42", "/files/", "//"] {
        check(&format!("GET {path}"), "404");
    }
}

#[test]
fn head_is_served_by_get() {
    check("HEAD /user/42", "-> GET /user/{id} id=42");
    check("HEAD /own", "-> HEAD /own");
    check("HEAD /any/1", "-> GET /any/{x} x=1");
    check("HEAD /echo", "405 POST, OPTIONS");
}

#[test]
fn methods_that_are_not_there() {
    check("POST /user/42", "405 GET, HEAD, DELETE, OPTIONS");
    check("PATCH /user/42", "405 GET, HEAD, DELETE, OPTIONS");
    // The most specific pattern is the resource: `DELETE` of the other one is not its business.
    check("DELETE /user/me", "405 GET, HEAD, OPTIONS");
    check("GET /cal", "405 OPTIONS, REPORT");
    check("REPORT /", "405 GET, HEAD, OPTIONS");
    check("REPORT /nothing", "404");
    check("POST /nothing", "404");
}

#[test]
fn options() {
    check("OPTIONS /user/42", "options GET, HEAD, DELETE, OPTIONS");
    check("OPTIONS /own", "-> OPTIONS /own");
    check("OPTIONS /any", "-> * /any");
    check("OPTIONS /nothing", "404");
    check("OPTIONS *", "server GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, REPORT");
    check("GET *", "400");
    assert_eq!(outcome(&router(&["GET /"]), "OPTIONS *"), "server GET, HEAD, OPTIONS");
    assert_eq!(outcome(&router(&[]), "OPTIONS *"), "server OPTIONS");
}

#[test]
fn all_methods() {
    for name in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "BREW"] {
        check(&format!("{name} /any"), "-> * /any");
    }
    check("GET /any/1", "-> GET /any/{x} x=1");
    check("POST /any/1", "-> * /any/{x} x=1");
    check("REPORT /cal", "-> REPORT /cal");
}

#[test]
fn methods_nobody_knows() {
    check("BREW /", "501");
    check("BREW /nothing", "501");
    check("get /", "501");
    check("TRACE /", "501");
    check("TRACE /any", "501");
    check("CONNECT /any", "501");
    check("CONNECT example.org:443", "501");
    let router = router(&["TRACE /", "GET /x", "* /any"]);
    assert_eq!(outcome(&router, "TRACE /"), "-> TRACE /");
    assert_eq!(outcome(&router, "TRACE /x"), "405 GET, HEAD, OPTIONS");
    let all = "405 GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
    assert_eq!(outcome(&router, "TRACE /any"), all);
    assert_eq!(outcome(&router, "CONNECT /any"), "501");
}

/// RFC 3986 6.2.2: equivalent paths are one resource.
#[test]
fn paths_are_normalised() {
    check("GET /%75ser/4%32", "-> GET /user/{id} id=42");
    check("GET /./user/x/../42", "-> GET /user/{id} id=42");
    check("GET /a/../user/%6de", "-> GET /user/me");
    check("GET /gr%C3%BC%c3%9fe", "-> GET /grüße");
    check("GET /grüße", "-> GET /grüße");
    check("GET /user/%67", "-> GET /user/{id} id=g");
    check("GET /user/a%2Fb%20c%25", "-> GET /user/{id} id=a/b c%");
    check("GET /user/ü", "-> GET /user/{id} id=ü");
    check("GET /user/a+b", "-> GET /user/{id} id=a+b");
    check("GET /user%2F42", "404");
    check("GET //user/42", "404");
    check("GET /files//x", "-> GET /files/{*rest} rest=/x");
    check("GET /files/a%2Fb/c", "-> GET /files/{*rest} rest=a/b/c");
    check("GET /a/%31/2/3%2F/%34", "-> GET /a/{w}/{x}/{y}/{z} w=1 x=2 y=3/ z=4");
}

#[test]
fn bad_paths() {
    for path in [
        "/user/%",
        "/user/%4",
        "/user/%zz",
        "/user/%00",
        "/user/%ff",
        "/user/%c3",
        "/nothing/%x",
        "/../user/42",
        "/user/../../x",
        "/%2e%2e/x",
        "/user/..%2F..%2Fetc",
        "/files/..%2fx",
        "/files/a%2F%2E",
        "",
        "user/42",
        "?",
    ] {
        check(&format!("GET {path}"), "400");
    }
}

#[test]
fn parameters_do_not_outlive_their_request() {
    let router = shop();
    let mut params = Params::new();
    for path in ["/", "/nothing", "/user/%zz", "/user/%ff", "*"] {
        router.route(&Method::GET, "/user/42", &mut params);
        assert_eq!(params.get("/user/42", "id"), Some("42"));
        router.route(&Method::GET, path, &mut params);
        assert!(params.is_empty(), "{path}");
    }
}

#[track_caller]
fn check_refused(routes: &[&'static str], expected: &str) {
    let mut builder = Router::builder();
    let (last, first) = routes.split_last().unwrap();
    for route in first {
        insert(&mut builder, route).unwrap();
    }
    let error = insert(&mut builder, last).unwrap_err();
    assert_eq!(error.to_string(), expected, "{routes:?}");
}

#[test]
fn refused_routes() {
    check_refused(&["GET /a", "GET /a"], "route `GET /a` exists already as `GET /a`");
    check_refused(&["GET /~a", "GET /%7Ea"], "route `GET /%7Ea` exists already as `GET /~a`");
    check_refused(&["* /a", "* /a"], "route `/a` for all methods exists already as `/a`");
    check_refused(
        &["GET /ü/{id}", "POST /ü/{name}"],
        "route `/ü/{name}` is ambiguous beside `/ü/{id}`",
    );
    check_refused(&["GET /{*a}", "GET /{b}"], "route `/{b}` is ambiguous beside `/{*a}`");
    check_refused(&["GET a"], "route `a`: a pattern begins with a slash");
    check_refused(&["GET /{*a}/b"], "route `/{*a}/b`: `{*rest}` can only stand at the end");
    check_refused(&["GET /{a}-{b}"], "route `/{a}-{b}`: a segment can hold only one parameter");
    check_refused(
        &["GET /{a"],
        "route `/{a`: a parameter has no plain name, or a brace is not closed",
    );
}

#[test]
fn a_refused_route_leaves_the_others() {
    let mut builder = Router::builder();
    insert(&mut builder, "GET /u/{id}").unwrap();
    insert(&mut builder, "GET /u/{name}").unwrap_err();
    insert(&mut builder, "GET /u/{id}").unwrap_err();
    insert(&mut builder, "POST /u/{id}").unwrap();
    let router = builder.build();
    assert_eq!(outcome(&router, "GET /u/1"), "-> GET /u/{id} id=1");
    assert_eq!(outcome(&router, "POST /u/1"), "-> POST /u/{id} id=1");
}

/// Some bytes escaped that need not be, chosen by `choice`; those that must be, always.
fn encode(text: &str, choice: u64) -> String {
    let mut encoded = String::new();
    for (index, byte) in text.bytes().enumerate() {
        let keep = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte);
        if keep && (choice >> (index % 64)) & 1 == 0 {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02x}"));
        }
    }
    encoded
}

/// A value that a path can carry: a dot segment cannot be sent however it is escaped.
fn value() -> impl Strategy<Value = String> {
    "[^\0]{1,12}".prop_filter("no dot segment", |value| {
        !value.split('/').any(|segment| matches!(segment, "." | ".."))
    })
}

proptest! {
    #[test]
    fn parameters_decode_to_what_was_encoded(a in value(), b in value(), choice: u64) {
        let router = router(&["GET /{a}/x/{b}"]);
        let path = format!("/{}/x/{}", encode(&a, choice), encode(&b, choice.rotate_left(32)));
        let mut params = Params::new();
        let outcome = router.route(&Method::GET, &path, &mut params);
        prop_assert_eq!(outcome, Outcome::Found(&"GET /{a}/x/{b}"), "{}", &path);
        prop_assert_eq!(params.get(&path, "a"), Some(&*a));
        prop_assert_eq!(params.get(&path, "b"), Some(&*b));
    }

    #[test]
    fn no_path_panics(path in "[/.%*a-f0-9ü\0 {}]{0,24}", slash: bool) {
        let path = if slash { format!("/{path}") } else { path };
        let router = shop();
        let found = outcome(&router, &format!("GET {path}"));
        // Whatever was found is found again by its normal form.
        if let Some(normal) = path.strip_prefix('/').and(path::normalise(&path)) {
            prop_assert_eq!(found, outcome(&router, &format!("GET {normal}")), "{}", normal);
        }
    }

    #[test]
    fn no_pattern_panics(pattern in "/?[/.%*a-c7{}ü?]{0,16}", path in "/[/.%*a-c7{}ü]{0,16}") {
        let mut builder = Router::builder();
        if builder.insert(None, &pattern, ()).is_ok() {
            builder.build().route(&Method::GET, &path, &mut Params::new());
        }
    }
}
