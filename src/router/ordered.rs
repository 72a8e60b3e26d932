//! Routes in the order of a file, in front of an application's own.
//!
//! The first route that takes host, path and method has the request, however specific it is; only
//! if there is none does the application's [`Router`] decide. What is answered when no route takes
//! the method is one answer of both: Allow names the methods of all routes that take host and path.
//!
//! A request costs a comparison with the literal start of each pattern in front of the one that
//! takes it, and nothing at all when no routes were written. Paths are matched in the same normal
//! form and parameters decoded by the same rule as in the router.

use std::fmt;
use std::rc::Rc;

use ::http::{HeaderValue, Method};

use super::{
    ANY_COUNT, GET, HEAD, Host, Outcome, Pattern, Router, USUAL, allow, decode_into, path,
    usual_index,
};
use crate::http::Params;

/// Which requests a route takes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    /// The paths.
    pub pattern: Pattern,
    /// The hosts; all if there are none.
    pub hosts: Vec<Host>,
    /// The methods.
    pub methods: Methods,
}

impl Rule {
    /// Whether it takes every request that `other` takes.
    pub fn covers(&self, other: &Self) -> bool {
        self.pattern.covers(&other.pattern)
            && self.methods.covers(&other.methods)
            && (self.hosts.is_empty() || !other.hosts.is_empty())
            && other
                .hosts
                .iter()
                .all(|host| self.hosts.is_empty() || self.hosts.iter().any(|own| own.covers(host)))
    }

    /// Whether it takes the path, in normal form, of the host.
    fn has(&self, path: &str, host: Option<&str>) -> bool {
        self.pattern.matches(path) && (self.hosts.is_empty() || self.is_for(host))
    }

    fn is_for(&self, host: Option<&str>) -> bool {
        host.is_some_and(|host| self.hosts.iter().any(|own| own.matches(host)))
    }
}

/// A set of methods.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Methods {
    /// By the order of [`USUAL`].
    usual: [bool; USUAL.len()],
    /// Further ones.
    others: Vec<Method>,
    /// Whether all further ones are in it.
    any: bool,
}

impl Methods {
    /// All but `CONNECT` and `TRACE`, which have to be named.
    pub fn any() -> Self {
        let usual = std::array::from_fn(|index| index < ANY_COUNT);
        Self { usual, others: Vec::new(), any: true }
    }

    /// These, and `HEAD` where there is `GET`.
    pub fn of(methods: impl IntoIterator<Item = Method>) -> Self {
        let mut set = Self { usual: Default::default(), others: Vec::new(), any: false };
        methods.into_iter().for_each(|method| set.add(method));
        set.usual[HEAD] |= set.usual[GET];
        set
    }

    /// Whether it is in the set.
    pub fn contains(&self, method: &Method) -> bool {
        match usual_index(method) {
            Some(index) => self.usual[index],
            None => self.any || self.others.contains(method),
        }
    }

    /// Whether all of `other` are in it.
    pub fn covers(&self, other: &Self) -> bool {
        self.usual.iter().zip(&other.usual).all(|(own, other)| *own || !other)
            && (self.any || (!other.any && other.others.iter().all(|m| self.others.contains(m))))
    }

    /// Those that the server would not know otherwise.
    pub(super) fn named(&self) -> Vec<Method> {
        let usual = USUAL.into_iter().zip(self.usual).skip(ANY_COUNT);
        let usual = usual.filter_map(|(method, named)| named.then_some(method));
        usual.chain(self.others.iter().cloned()).collect()
    }

    fn add(&mut self, method: Method) {
        match usual_index(&method) {
            Some(index) => self.usual[index] = true,
            None if self.others.contains(&method) => {}
            None => self.others.push(method),
        }
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        self.usual.iter_mut().zip(&other.usual).for_each(|(own, other)| *own |= other);
        other.others.iter().for_each(|method| self.add(method.clone()));
    }

    /// What an Allow field of ours names.
    pub(super) fn add_allowed(&mut self, allow: &HeaderValue) {
        let names = allow.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        names.filter_map(|name| Method::from_bytes(name).ok()).for_each(|method| self.add(method));
    }

    pub(super) fn allow(&self) -> HeaderValue {
        allow(self.usual, self.others.iter())
    }
}

impl fmt::Display for Methods {
    /// Separated by `|`; `*` for the methods of [`Methods::any`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.any {
            return f.write_str("*");
        }
        let usual = USUAL.into_iter().zip(self.usual).filter(|(_, named)| *named);
        let all = usual.map(|(method, _)| method).chain(self.others.iter().cloned());
        for (index, method) in all.enumerate() {
            write!(f, "{}{method}", if index == 0 { "" } else { "|" })?;
        }
        Ok(())
    }
}

/// Routes in order, and the router behind them.
pub struct Table<T> {
    ordered: Vec<Entry<T>>,
    /// Whether a route looks at the host.
    by_host: bool,
    /// Allow of a router that does not have the path.
    nothing: HeaderValue,
    router: Router<T>,
}

struct Entry<T> {
    rule: Rule,
    names: Rc<[Box<str>]>,
    target: T,
}

impl<T> Table<T> {
    /// `routes` in their order, then `router`.
    pub fn new(routes: impl IntoIterator<Item = (Rule, T)>, mut router: Router<T>) -> Self {
        let ordered: Vec<_> = routes.into_iter().map(Entry::new).collect();
        if !ordered.is_empty() {
            let mut all = Methods::of([]);
            ordered.iter().for_each(|entry| all.add_all(&entry.rule.methods));
            router.learn(&all);
        }
        let by_host = ordered.iter().any(|entry| !entry.rule.hosts.is_empty());
        Self { ordered, by_host, nothing: HeaderValue::from_static(""), router }
    }

    /// Where a request goes; as [`Router::route`]. `host` is asked for the authority that the
    /// request is for if a route wants to know it.
    ///
    /// What the outcome says about a method that is not there is the router's share alone: the
    /// value of Allow for both is put together by [`Table::allow`], so that the requests that find
    /// their route do not pay for it.
    #[inline]
    pub fn route<'r, 'a>(
        &'r self,
        method: &Method,
        path: &str,
        host: impl FnOnce() -> Option<&'a str>,
        params: &mut Params,
    ) -> Outcome<'r, T> {
        if self.ordered.is_empty() {
            return self.router.route(method, path, params);
        }
        let host = if self.by_host { host() } else { None };
        self.route_in_order(method, path, host, params)
    }

    /// The value of the Allow field for a path and host whose routes do not take the method;
    /// `router` is what the outcome had for it.
    #[cold]
    pub fn allow(&self, router: &HeaderValue, path: &str, host: Option<&str>) -> HeaderValue {
        let Some(path) = NormalPath::new(path).filter(|_| !self.ordered.is_empty()) else {
            return router.clone();
        };
        let mut methods = Methods::of([]);
        methods.add_allowed(router);
        for entry in self.ordered.iter().filter(|entry| entry.rule.has(path.text(), host)) {
            methods.add_all(&entry.rule.methods);
        }
        methods.allow()
    }

    // Apart, so that a table without routes in order pays nothing for what stands here.
    #[inline(never)]
    fn route_in_order<'r>(
        &'r self,
        method: &Method,
        path: &str,
        host: Option<&str>,
        params: &mut Params,
    ) -> Outcome<'r, T> {
        params.clear();
        let Some(normal) = NormalPath::new(path) else {
            // The router says what is wrong with it.
            return self.router.route(method, path, params);
        };
        let mut is_resource = false;
        for entry in self.ordered.iter().filter(|entry| entry.rule.has(normal.text(), host)) {
            if entry.rule.methods.contains(method) {
                return match entry.capture(&normal, params) {
                    true => Outcome::Found(&entry.target),
                    false => Outcome::BadPath,
                };
            }
            is_resource = true;
        }
        let behind = match &normal {
            NormalPath::AsSent(path) => self.router.route(method, path, params),
            NormalPath::Escaped(path) => self.router.route_escaped(method, path, params),
        };
        match behind {
            Outcome::NotFound if is_resource && method == Method::OPTIONS => {
                Outcome::Options { allow: &self.nothing }
            }
            Outcome::NotFound if is_resource => Outcome::MethodNotAllowed { allow: &self.nothing },
            outcome => outcome,
        }
    }
}

impl<T> From<Router<T>> for Table<T> {
    fn from(router: Router<T>) -> Self {
        Self::new([], router)
    }
}

impl<T> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns: Vec<_> = self.ordered.iter().map(|entry| &entry.rule.pattern).collect();
        f.debug_struct("Table")
            .field("ordered", &patterns)
            .field("router", &self.router)
            .finish_non_exhaustive()
    }
}

impl<T> Entry<T> {
    fn new((rule, target): (Rule, T)) -> Self {
        let names = rule.pattern.names().map(Box::from).collect();
        Self { rule, names, target }
    }

    /// Fills the parameters from a path that matches; false if one of them does not decode.
    fn capture(&self, path: &NormalPath<'_>, params: &mut Params) -> bool {
        if self.names.is_empty() {
            return true;
        }
        params.begin(&self.names);
        let mut valid = true;
        self.rule.pattern.capture(path.text(), |value| match path {
            NormalPath::AsSent(path) => {
                // Both are parts of one string, so that their distance is an offset in it.
                let start = value.as_ptr().addr() - path.as_ptr().addr();
                params.push_span(start, start + value.len());
            }
            NormalPath::Escaped(_) => valid &= decode_into(params, value),
        });
        if !valid {
            params.clear();
        }
        valid
    }
}

/// A path that begins with a slash, in normal form.
enum NormalPath<'a> {
    /// It was sent so, and holds no escapes.
    AsSent(&'a str),
    Escaped(String),
}

impl<'a> NormalPath<'a> {
    fn new(path: &'a str) -> Option<Self> {
        if path::is_plain(path) {
            return Some(Self::AsSent(path));
        }
        Some(path).filter(|path| path.starts_with('/')).and_then(path::normalise).map(Self::Escaped)
    }

    fn text(&self) -> &str {
        match self {
            Self::AsSent(path) => path,
            Self::Escaped(path) => path,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::router::Builder;

    /// `METHOD,METHOD host,host pattern`, with `*` for all methods and all hosts.
    fn rule(text: &str) -> Rule {
        let [methods, hosts, pattern] = text.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{text} is no rule")
        };
        Rule {
            pattern: Pattern::parse(pattern).unwrap(),
            hosts: match hosts {
                "*" => Vec::new(),
                _ => hosts.split(',').map(|host| Host::parse(host).unwrap()).collect(),
            },
            methods: match methods {
                "*" => Methods::any(),
                _ => Methods::of(methods.split(',').map(|name| name.parse().unwrap())),
            },
        }
    }

    fn table(rules: &[&'static str], own: &[&'static str]) -> Table<&'static str> {
        let mut builder = Builder::new();
        for route in own {
            let (method, pattern) = route.split_once(' ').unwrap();
            let method = (method != "*").then(|| method.parse().unwrap());
            builder.insert(method, pattern, *route).unwrap();
        }
        Table::new(rules.iter().map(|text| (rule(text), *text)), builder.build())
    }

    /// The outcome of `METHOD host path` in one line.
    fn outcome(table: &Table<&'static str>, request: &str) -> String {
        let [name, host, path] = request.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{request} is no request")
        };
        let mut params = Params::new();
        let host = Some(host).filter(|host| *host != "-");
        let allow = |router| table.allow(router, path, host).to_str().unwrap().to_owned();
        match table.route(&name.parse().unwrap(), path, || host, &mut params) {
            Outcome::BadPath => "400".to_owned(),
            Outcome::Found(route) => {
                let params = params.iter(path).map(|(name, value)| format!(" {name}={value}"));
                params.fold(format!("-> {route}"), |line, param| line + &param)
            }
            Outcome::MethodNotAllowed { allow: own } => format!("405 {}", allow(own)),
            Outcome::NotFound => "404".to_owned(),
            Outcome::NotImplemented => "501".to_owned(),
            Outcome::Options { allow: own } => format!("options {}", allow(own)),
            Outcome::ServerOptions { allow } => format!("server {}", allow.to_str().unwrap()),
        }
    }

    fn site() -> Table<&'static str> {
        table(
            &[
                "GET * /robots.txt",
                "* www.example.org /*",
                "GET,POST * /form",
                "PUT *.example.org,[::1] /form",
                "* * /any",
                "GET * /old/{id}/*",
                "REPORT * /cal",
                "GET * /app/own",
            ],
            &["GET /", "DELETE /form", "GET /app/{name}", "POST /app/own", "BREW /pot"],
        )
    }

    #[track_caller]
    fn check(request: &str, expected: &str) {
        assert_eq!(outcome(&site(), request), expected, "{request}");
    }

    #[test]
    fn the_first_route_wins() {
        check("GET a /robots.txt", "-> GET * /robots.txt");
        check("GET www.example.org /robots.txt", "-> GET * /robots.txt");
        check("GET www.example.org /form", "-> * www.example.org /* *=form");
        check("GET a /old/7/x/y", "-> GET * /old/{id}/* id=7 *=x/y");
        check("GET a /old/7/", "-> GET * /old/{id}/* id=7 *=");
        check("GET a /old/7", "404");
        check("GET a /nothing", "404");
    }

    #[test]
    fn the_application_follows() {
        check("GET a /", "-> GET /");
        check("GET a /app/own", "-> GET * /app/own");
        check("POST a /app/own", "-> POST /app/own");
        check("GET a /app/x", "-> GET /app/{name} name=x");
        check("DELETE a /form", "-> DELETE /form");
    }

    #[test]
    fn hosts() {
        check("PUT w.example.org /form", "-> PUT *.example.org,[::1] /form");
        check("PUT [::1]:8000 /form", "-> PUT *.example.org,[::1] /form");
        check("PUT a /form", "405 GET, HEAD, POST, DELETE, OPTIONS");
        check("PUT - /form", "405 GET, HEAD, POST, DELETE, OPTIONS");
        check("GET - /", "-> GET /");
    }

    #[test]
    fn methods() {
        check("HEAD a /form", "-> GET,POST * /form");
        check("PATCH a /form", "405 GET, HEAD, POST, DELETE, OPTIONS");
        check("PATCH x.example.org /form", "405 GET, HEAD, POST, PUT, DELETE, OPTIONS");
        check("OPTIONS a /form", "options GET, HEAD, POST, DELETE, OPTIONS");
        check("OPTIONS a /robots.txt", "options GET, HEAD, OPTIONS");
        check("OPTIONS a /app/own", "options GET, HEAD, POST, OPTIONS");
        check("POST a /robots.txt", "405 GET, HEAD, OPTIONS");
        check("REPORT a /cal", "-> REPORT * /cal");
        check("REPORT a /robots.txt", "405 GET, HEAD, OPTIONS");
        check("GET a /cal", "405 OPTIONS, REPORT");
        check("OPTIONS a *", "server GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, BREW, REPORT");
        for name in ["GET", "HEAD", "OPTIONS", "DELETE", "MINE"] {
            check(&format!("{name} a /any"), "-> * * /any");
        }
        for name in ["CONNECT", "TRACE", "MINE"] {
            check(&format!("{name} a /form"), "501");
        }
        check("TRACE a /any", "501");
        let table = table(&["TRACE * /t", "* * /any"], &[]);
        assert_eq!(outcome(&table, "TRACE a /t"), "-> TRACE * /t");
        let all = "405 GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
        assert_eq!(outcome(&table, "TRACE a /any"), all);
    }

    #[test]
    fn paths_are_normalised() {
        check("GET a /%72obots.txt", "-> GET * /robots.txt");
        check("GET a /x/../robots.txt", "-> GET * /robots.txt");
        check("GET a /old/a%2fb/%c3%bc", "-> GET * /old/{id}/* id=a/b *=\u{fc}");
        check("GET a /old/x/%ff", "400");
        check("GET a /old/x/a%2F..%2Fb", "400");
        check("GET a /old/%00/", "400");
        check("GET a /../robots.txt", "400");
        check("GET a /robots.txt%", "400");
        check("GET a x", "400");
        check("CONNECT a a:443", "501");
    }

    #[test]
    fn without_routes_the_router_is_alone() {
        let table = table(&[], &["GET /"]);
        assert_eq!(outcome(&table, "GET a /"), "-> GET /");
        assert_eq!(outcome(&table, "POST a /"), "405 GET, HEAD, OPTIONS");
        assert_eq!(outcome(&table, "OPTIONS a *"), "server GET, HEAD, OPTIONS");
    }

    #[test]
    fn parameters_do_not_outlive_their_request() {
        let table = site();
        let mut params = Params::new();
        for path in ["/", "/nothing", "/old/%ff/", "/%", "/form"] {
            table.route(&Method::GET, "/old/1/2", || None, &mut params);
            assert_eq!(params.get("/old/1/2", "id"), Some("1"));
            table.route(&Method::GET, path, || None, &mut params);
            assert!(params.is_empty(), "{path}");
        }
    }

    #[track_caller]
    fn check_covers(one: &str, other: &str, expected: bool) {
        assert_eq!(rule(one).covers(&rule(other)), expected, "{one} covers {other}");
    }

    #[test]
    fn covering() {
        check_covers("* * /*", "GET a /x", true);
        check_covers("* a /*", "* * /x", false);
        check_covers("* a,*.b /*", "* x.b,a /x", true);
        check_covers("* a,*.b /*", "* b /x", false);
        check_covers("GET * /a", "HEAD * /a", true);
        check_covers("HEAD * /a", "GET * /a", false);
        check_covers("GET,POST * /a", "POST * /a", true);
        check_covers("GET * /a", "* * /a", false);
        check_covers("* * /a", "TRACE * /a", false);
        check_covers("* * /a", "MINE * /a", true);
        check_covers("MINE * /a", "MINE * /a", true);
        check_covers("GET * /a", "MINE * /a", false);
        check_covers("* * /a", "* * /b", false);
    }

    fn any_method() -> impl Strategy<Value = &'static str> {
        prop_oneof![Just("GET"), Just("HEAD"), Just("POST"), Just("MINE"), Just("PUT")]
    }

    fn any_rule() -> impl Strategy<Value = Rule> {
        let methods = prop_oneof![
            Just("*"),
            Just("GET"),
            Just("POST"),
            Just("HEAD,POST"),
            Just("MINE"),
            Just("OPTIONS")
        ];
        let hosts = prop_oneof![Just("*"), Just("a"), Just("*.a"), Just("a,b")];
        let pattern = prop_oneof![
            Just("/*"),
            Just("/a"),
            Just("/{x}"),
            Just("/a/*"),
            Just("/{x}/b"),
            Just("/{*x}"),
            Just("/a{x}"),
            Just("/a/{x}/"),
        ];
        (methods, hosts, pattern).prop_map(|(m, h, p)| rule(&format!("{m} {h} {p}")))
    }

    /// A route as anybody would write it who has all the time in the world: a pattern's segments
    /// one by one.
    fn naive_match(pattern: &str, path: &str) -> bool {
        match (pattern.split_once('/'), path.split_once('/')) {
            _ if pattern == "*" => true,
            _ if pattern.starts_with("{*") => !path.is_empty(),
            (Some((one, pattern)), Some((segment, path))) => {
                naive_segment(one, segment) && naive_match(pattern, path)
            }
            (None, None) => naive_segment(pattern, path),
            _ => false,
        }
    }

    fn naive_segment(pattern: &str, segment: &str) -> bool {
        match pattern.split_once('{') {
            None => pattern == segment,
            Some((prefix, _)) => segment.len() > prefix.len() && segment.starts_with(prefix),
        }
    }

    proptest! {
        #[test]
        fn the_first_of_a_naive_list_is_found(
            rules in proptest::collection::vec(any_rule(), 1..6),
            method in any_method(),
            host in prop_oneof![Just("a"), Just("x.a:80"), Just("B"), Just("c")],
            path in "/[ab/]{0,5}",
        ) {
            let method: Method = method.parse().unwrap();
            let bare = host.split(':').next().unwrap().to_lowercase();
            let has = |rule: &Rule| {
                let hosts = rule.hosts.iter().map(ToString::to_string);
                let for_host = rule.hosts.is_empty() || hosts.into_iter().any(|own| {
                    own == bare || own.strip_prefix('*').is_some_and(|end| bare.ends_with(end))
                });
                for_host && naive_match(&rule.pattern.as_str()[1..], &path[1..])
            };
            let takes = |rule: &&Rule| has(rule) && rule.methods.contains(&method);
            let expected = rules.iter().find(takes);
            let names = |rule: &Rule| rule.methods.others.contains(&method);
            let known = method != "MINE" || rules.iter().any(names);
            let table = Table::new(
                rules.iter().enumerate().map(|(index, rule)| (rule.clone(), index)),
                Builder::new().build(),
            );
            let mut params = Params::new();
            match table.route(&method, &path, || Some(host), &mut params) {
                Outcome::Found(index) => prop_assert_eq!(Some(&rules[*index]), expected),
                Outcome::NotFound => prop_assert!(!rules.iter().any(has)),
                Outcome::MethodNotAllowed { .. } => {
                    prop_assert!(expected.is_none() && rules.iter().any(has));
                }
                Outcome::NotImplemented => prop_assert!(!known && expected.is_none()),
                other => prop_assert!(false, "{other:?}"),
            }
        }

        #[test]
        fn what_is_covered_is_never_reached(
            one in any_rule(), other in any_rule(),
            host in prop_oneof![Just("a"), Just("x.a"), Just("b")], path in "/[ab/]{0,5}",
        ) {
            if one.covers(&other) && other.has(&path, Some(host)) {
                prop_assert!(one.has(&path, Some(host)), "{one:?} covers {other:?}");
            }
        }
    }
}
