//! `[[route]]`: which requests are answered from the file alone, and how.
//!
//! The entries are read in their order, all faults in one run, and what is left has been checked:
//! patterns are patterns, redirect targets lead somewhere, files are in memory before the first
//! shard is forked, so that all shards share one copy. No route is in the list that could never
//! be reached.

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use ::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use bytes::Bytes;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{
    BAD_ANSWER, BAD_FIELD, BAD_HOST, BAD_METHOD, BAD_PATTERN, BAD_REDIRECT, Fault, NOT_YET,
    NOTHING_TO_SERVE, Patch, ROUTE_FILE, ROUTE_INCOMPLETE, ROUTE_LOOP, ROUTE_TARGETS,
    ROUTE_UNREACHABLE, Second, TOO_MANY_ROUTES, UNKNOWN_KEY, WRONG_TYPE,
};
use super::file::{self, Walk, article, read_bytes, shown, shown_path};
use super::origin::{Origin, Source};
use super::suggest::nearest;
use crate::limits::{
    METHOD_BYTES_MAX, ROUTE_FILE_BYTES_MAX, ROUTE_NAMES_MAX, ROUTE_TARGET_BYTES_MAX, ROUTES_MAX,
};
use crate::router::{Host, Location, Methods, Pattern, Rule};

/// A route of the file.
#[derive(Clone, Debug)]
pub struct RouteConfig {
    /// Which requests it takes.
    pub rule: Rule,
    /// What becomes of them.
    pub target: Target,
    /// Where its path is written.
    pub origin: Origin,
}

/// What becomes of a route's requests.
#[derive(Clone, Debug)]
pub enum Target {
    /// They are led elsewhere.
    Redirect {
        /// A 3xx.
        status: StatusCode,
        /// Where to.
        location: Location,
    },
    /// They all get the same answer.
    Respond(Answer),
}

/// An answer that does not depend on the request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Final: 200 to 599.
    pub status: StatusCode,
    /// The Content-Type.
    pub content_type: Option<HeaderValue>,
    /// Further fields, none of which frame the message.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// The body, in memory.
    pub body: Bytes,
}

impl fmt::Display for RouteConfig {
    /// As one line: what is taken, and what becomes of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rule { pattern, hosts, methods } = &self.rule;
        write!(f, "{methods} ")?;
        for (index, host) in hosts.iter().enumerate() {
            write!(f, "{}{host}", if index == 0 { "" } else { "|" })?;
        }
        write!(f, "{pattern} -> ")?;
        match &self.target {
            Target::Redirect { status, location } => write!(f, "{} {location}", status.as_u16()),
            Target::Respond(answer) => {
                write!(f, "{}, {} bytes", answer.status.as_u16(), answer.body.len())
            }
        }
    }
}

/// The fault of a server for which there is nothing to serve; `file` is the one that was read.
#[must_use]
pub fn nothing_to_serve(file: Option<&str>) -> Fault {
    let message = match file {
        Some(_) => "there is nothing to serve: the file has no [[route]]",
        None => "there is nothing to serve: there is no file with a [[route]]",
    };
    let path = file.unwrap_or("corewise.toml").to_owned();
    let source = Arc::new(Source { path, text: String::new() });
    let help = "write one at the end of the file, such as\n[[route]]\npath = \"/*\"\n\
                respond = { body = \"it works\\n\" }";
    Fault::new(NOTHING_TO_SERVE, "", Origin::File { source, span: 0..0 }, message).with_help(help)
}

/// Reads the value of `route`, which stands at `name`; what is wrong in it is noted and left out.
pub(super) fn read(
    walk: &mut Walk<'_>,
    name: Range<usize>,
    value: &Spanned<DeValue<'_>>,
) -> Vec<RouteConfig> {
    let Some(entries) = value.get_ref().as_array() else {
        let message = format!("`route` is a list of tables, not {}", article(value.get_ref()));
        let help = "write [[route]] in double brackets, once for each route".to_owned();
        walk.fault(WRONG_TYPE, "route".into(), name, message, help);
        return Vec::new();
    };
    if let Some(first) = entries.get(ROUTES_MAX) {
        let message = format!("there are {} routes, at most {ROUTES_MAX} can be", entries.len());
        let help = "join some of them by `/*` or `{name}` in their paths".to_owned();
        walk.fault(TOO_MANY_ROUTES, "route".into(), first.span(), message, help);
    }
    let mut routes = Vec::new();
    for entry in entries.iter().take(ROUTES_MAX) {
        match entry.get_ref().as_table() {
            Some(table) => routes.extend(Entry { walk, table, place: entry.span() }.read()),
            None => {
                let message = format!("a route is a table, not {}", article(entry.get_ref()));
                let help = "write [[route]] and its keys below".to_owned();
                walk.fault(WRONG_TYPE, "route".into(), entry.span(), message, help);
            }
        }
    }
    check_reached(walk, &routes);
    check_loops(walk, &routes);
    routes
}

/// Notes routes in front of which another one takes everything.
fn check_reached(walk: &mut Walk<'_>, routes: &[RouteConfig]) {
    for (index, route) in routes.iter().enumerate() {
        let before = routes[..index].iter().find(|before| before.rule.covers(&route.rule));
        let (Some(before), Some(place)) = (before, span(&route.origin)) else { continue };
        let message = "no request ever gets here: the first route that fits has it".to_owned();
        let help = "write it above the other one, or remove it".to_owned();
        let fault = walk.fault(ROUTE_UNREACHABLE, "route.path".into(), place, message, help);
        let label = "takes every request of this route".to_owned();
        fault.second = Some(Second { origin: before.origin.clone(), label });
    }
}

/// Notes redirects that certainly lead back to themselves.
fn check_loops(walk: &mut Walk<'_>, routes: &[RouteConfig]) {
    for (index, route) in routes.iter().enumerate() {
        let Target::Redirect { status, location } = &route.target else { continue };
        let Some(path) = location.fixed_path() else { continue };
        // After a 301, 302 or 303 the client asks with GET.
        let again =
            matches!(status.as_u16(), 307 | 308) || route.rule.methods.contains(&Method::GET);
        let first = routes.iter().position(|other| other.rule.pattern.matches(&path));
        let (true, true, Some(place)) = (again, first == Some(index), span(&route.origin)) else {
            continue;
        };
        let message = format!("`{location}` is a path of this route again: browsers give up");
        let help = "lead to a path that another route takes, one above this one".to_owned();
        walk.fault(ROUTE_LOOP, "route".into(), place, message, help);
    }
}

fn span(origin: &Origin) -> Option<Range<usize>> {
    if let Origin::File { span, .. } = origin { Some(span.clone()) } else { None }
}

/// A table while it is read. Every method notes what is wrong, and then has nothing to give.
struct Entry<'w, 'a, 't> {
    walk: &'w mut Walk<'a>,
    table: &'t DeTable<'t>,
    /// Where it begins, for what is missing in it.
    place: Range<usize>,
}

type Found<'t> = Option<&'t Spanned<DeValue<'t>>>;

impl<'t> Entry<'_, '_, 't> {
    fn read(mut self) -> Option<RouteConfig> {
        self.check_keys("route", self.table, &KEYS);
        let pattern = self.pattern();
        let (hosts, methods) = (self.hosts(), self.methods());
        let target = self.target(pattern.as_ref().map(|(pattern, _)| pattern));
        let (pattern, origin) = pattern?;
        Some(RouteConfig {
            rule: Rule { pattern, hosts: hosts?, methods: methods? },
            target: target?,
            origin,
        })
    }

    fn pattern(&mut self) -> Option<(Pattern, Origin)> {
        let Some(value) = self.value("path") else {
            let message = "the route has no path".to_owned();
            let help = "add one, such as path = \"/*\" for every path".to_owned();
            self.fault(ROUTE_INCOMPLETE, "", self.place.clone(), message, help);
            return None;
        };
        let text = self.text("path", value)?;
        match Pattern::parse(text) {
            Ok(pattern) => Some((pattern, self.walk.origin(value.span()))),
            Err(reason) => {
                let help = "a path looks like /exact, /below/*, /user/{id} or /files/{*rest}";
                self.fault(BAD_PATTERN, "path", value.span(), reason.into(), help.into());
                None
            }
        }
    }

    fn hosts(&mut self) -> Option<Vec<Host>> {
        let Some(value) = self.value("hosts") else { return Some(Vec::new()) };
        let entries = self.texts("hosts", value)?;
        let hosts = entries.iter().map(|(text, place)| match Host::parse(text) {
            Ok(host) => Some(host),
            Err(reason) => {
                let help = "a host looks like example.org, *.example.org or [::1]".to_owned();
                self.fault(BAD_HOST, "hosts", place.clone(), reason.into(), help);
                None
            }
        });
        // Not stopped by the first bad one, so that all are noted.
        let hosts: Vec<_> = hosts.collect();
        hosts.into_iter().collect()
    }

    fn methods(&mut self) -> Option<Methods> {
        let Some(value) = self.value("methods") else { return Some(Methods::any()) };
        let entries = self.texts("methods", value)?;
        let methods = entries.iter().map(|(text, place)| match read_method(text) {
            Ok(method) => Some(method),
            Err((reason, help)) => {
                self.fault(BAD_METHOD, "methods", place.clone(), reason, help);
                None
            }
        });
        let methods: Vec<_> = methods.collect();
        Some(Methods::of(methods.into_iter().collect::<Option<Vec<_>>>()?))
    }

    fn target(&mut self, pattern: Option<&Pattern>) -> Option<Target> {
        let later = LATER.iter().any(|(key, _)| self.value(key).is_some());
        match (self.key("respond"), self.key("redirect")) {
            (Some((first, respond)), Some((second, _))) => {
                let [first, second] =
                    if first.start < second.start { [first, second] } else { [second, first] };
                let message = "a route answers or redirects, not both".to_owned();
                let help = "remove one of the two, or make two routes of it".to_owned();
                let origin = self.walk.origin(first);
                let fault = self.fault(ROUTE_TARGETS, "", second, message, help);
                let label = "the route has a target already".to_owned();
                fault.second = Some(Second { origin, label });
                // What is wrong in it is to be known in the same run.
                self.respond(respond);
                None
            }
            (Some((_, respond)), None) => {
                if let Some((place, _)) = self.key("status") {
                    let message = "the status of an answer stands in the answer".to_owned();
                    let help = "write respond = { status = ..., ... }".to_owned();
                    self.fault(BAD_ANSWER, "status", place, message, help);
                }
                self.respond(respond).map(Target::Respond)
            }
            (None, Some((_, redirect))) => self.redirect(redirect, pattern),
            (None, None) if later => None,
            (None, None) => {
                let message = "the route does nothing with its requests".to_owned();
                let help = "add respond = { body = \"...\" } or redirect = \"/...\"".to_owned();
                self.fault(ROUTE_INCOMPLETE, "", self.place.clone(), message, help);
                None
            }
        }
    }

    fn redirect(
        &mut self,
        value: &'t Spanned<DeValue<'t>>,
        pattern: Option<&Pattern>,
    ) -> Option<Target> {
        let status = match self.value("status") {
            Some(value) => self.redirect_status(value),
            None => Some(StatusCode::FOUND),
        };
        let text = self.text("redirect", value)?;
        if text.len() > ROUTE_TARGET_BYTES_MAX {
            let message = format!("the target has more than {ROUTE_TARGET_BYTES_MAX} bytes");
            self.fault(BAD_REDIRECT, "redirect", value.span(), message, "shorten it".into());
            return None;
        }
        // Without a pattern nobody knows what there is to insert.
        match Location::parse(text, pattern?) {
            Ok(location) => Some(Target::Redirect { status: status?, location }),
            Err(reason) => {
                let help = "a target looks like /new/{id} or https://example.org/*".to_owned();
                self.fault(BAD_REDIRECT, "redirect", value.span(), reason, help);
                None
            }
        }
    }

    fn redirect_status(&mut self, value: &Spanned<DeValue<'_>>) -> Option<StatusCode> {
        let number = self.integer("status", value)?;
        if let 301 | 302 | 303 | 307 | 308 = number {
            return u16::try_from(number).ok().and_then(|code| StatusCode::from_u16(code).ok());
        }
        let message = format!("{number} is not the status of a redirect");
        let help = "302 or, for good, 301; 307 or 308 if the method has to stay; 303 after a form";
        self.fault(BAD_REDIRECT, "status", value.span(), message, help.into());
        None
    }

    fn respond(&mut self, value: &'t Spanned<DeValue<'t>>) -> Option<Answer> {
        let Some(table) = value.get_ref().as_table() else {
            let message = format!("an answer is a table, not {}", article(value.get_ref()));
            let help = "write respond = { status = 200, body = \"...\" }".to_owned();
            self.fault(WRONG_TYPE, "respond", value.span(), message, help);
            return None;
        };
        self.check_keys("route.respond", table, &ANSWER_KEYS);
        let find = |key: &str| table.iter().find(|(name, _)| name.get_ref() == key);
        let value = |key: &str| find(key).map(|(_, value)| value);
        let status = value("status").map_or(Some(StatusCode::OK), |value| self.status(value));
        let content_type = value("type").map(|value| self.content_type(value));
        let fields = value("headers").map_or(Some(Vec::new()), |value| self.fields(value));
        let (body, default_type) = match (find("body"), find("file")) {
            (Some((one, _)), Some((other, _))) => {
                let [first, second] = if one.span().start < other.span().start {
                    [one.span(), other.span()]
                } else {
                    [other.span(), one.span()]
                };
                let message = "an answer has a body or a file, not both".to_owned();
                let origin = self.walk.origin(first);
                let fault = self.fault(BAD_ANSWER, "respond", second, message, "remove one".into());
                let label = "the body is given already".to_owned();
                fault.second = Some(Second { origin, label });
                return None;
            }
            (Some((_, value)), None) => {
                (self.text("respond.body", value).map(|text| text.to_owned().into()), TEXT)
            }
            (None, Some((_, value))) => {
                let text = self.text("respond.file", value)?;
                (self.file(text, value.span()), type_of(text))
            }
            (None, None) => (Some(Bytes::new()), ""),
        };
        let (status, body): (_, Bytes) = (status?, body?);
        if !body.is_empty() && matches!(status.as_u16(), 204 | 205 | 304) {
            let place = find("status").map_or(self.place.clone(), |(_, value)| value.span());
            let message = format!("an answer with status {} has no body", status.as_u16());
            let help = "remove the body, or take another status".to_owned();
            self.fault(BAD_ANSWER, "respond.status", place, message, help);
            return None;
        }
        let content_type = match content_type {
            Some(given) => Some(given?),
            None if default_type.is_empty() => None,
            None => Some(HeaderValue::from_static(default_type)),
        };
        Some(Answer { status, content_type, fields: fields?, body })
    }

    fn status(&mut self, value: &Spanned<DeValue<'_>>) -> Option<StatusCode> {
        let number = self.integer("respond.status", value)?;
        if (200..600).contains(&number) {
            return u16::try_from(number).ok().and_then(|code| StatusCode::from_u16(code).ok());
        }
        let message = format!("{number} is not the status of an answer");
        let help = "a whole number from 200 to 599".to_owned();
        self.fault(BAD_ANSWER, "respond.status", value.span(), message, help);
        None
    }

    fn content_type(&mut self, value: &'t Spanned<DeValue<'t>>) -> Option<HeaderValue> {
        let text = self.text("respond.type", value)?;
        let essence = text.split(';').next().unwrap_or_default().trim_end();
        let is_type = essence.split_once('/').is_some_and(|(main, sub)| {
            [main, sub].iter().all(|part| HeaderName::from_bytes(part.as_bytes()).is_ok())
        });
        if let (true, Ok(value)) = (is_type, HeaderValue::from_str(text)) {
            return Some(value);
        }
        let message = format!("`{}` is not a media type", shown(text));
        let help = "a media type looks like text/html; charset=utf-8".to_owned();
        self.fault(BAD_FIELD, "respond.type", value.span(), message, help);
        None
    }

    fn fields(
        &mut self,
        value: &'t Spanned<DeValue<'t>>,
    ) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let Some(table) = value.get_ref().as_table() else {
            let message = format!("headers are a table, not {}", article(value.get_ref()));
            let help = "write headers = { Name = \"value\" }".to_owned();
            self.fault(WRONG_TYPE, "respond.headers", value.span(), message, help);
            return None;
        };
        let mut fields = Some(Vec::new());
        for (name, value) in table {
            let key = "respond.headers";
            let values = match value.get_ref() {
                DeValue::Array(_) => self.texts(key, value),
                _ => self.text(key, value).map(|text| vec![(text, value.span())]),
            };
            let read = read_name(name.get_ref()).map_err(|(reason, help)| {
                self.fault(BAD_FIELD, key, name.span(), reason, help);
            });
            for (text, place) in values.into_iter().flatten() {
                match (&read, read_field(text)) {
                    (Ok(name), Ok(value)) => {
                        fields = fields.map(|fields| push(fields, (name.clone(), value)));
                        continue;
                    }
                    (_, Ok(_)) => {}
                    (_, Err(reason)) => {
                        let help = "write it in one line of printable characters".to_owned();
                        self.fault(BAD_FIELD, key, place, reason, help);
                    }
                }
                fields = None;
            }
        }
        fields
    }

    /// The bytes of a file that is named relative to the folder of the configuration file.
    fn file(&mut self, written: &str, place: Range<usize>) -> Option<Bytes> {
        let folder = Path::new(&self.walk.source().path).parent().unwrap_or(Path::new(""));
        let path = folder.join(written);
        match read_file(&path) {
            Ok(bytes) => Some(bytes.into()),
            Err(error) => {
                let message =
                    format!("cannot read `{}`: {}", shown_path(&path), file::reason(&error));
                let help = "name a file, relative to the folder of this one".to_owned();
                self.fault(ROUTE_FILE, "respond.file", place, message, help);
                None
            }
        }
    }

    fn check_keys(&mut self, home: &str, table: &DeTable<'_>, known: &[&str]) {
        for (name, _) in table {
            let key = name.get_ref().as_ref();
            let later = LATER.iter().find(|(later, _)| home == "route" && *later == key);
            if let Some((_, needs)) = later {
                let message = "not available in this version yet".to_owned();
                let fault = self.fault(NOT_YET, key, name.span(), message, "remove it".into());
                fault.label = "later".to_owned();
                fault.notes.push((*needs).to_owned());
            } else if !known.contains(&key) {
                let below = home.strip_prefix("route.").unwrap_or_default();
                let message = format!("unknown key `{}`", shown(key));
                let near = nearest(key, known.iter().copied());
                let place = name.span();
                let fault = self.fault(UNKNOWN_KEY, below, place.clone(), message, String::new());
                fault.help = format!("the keys here are {}", known.join(", "));
                if below.is_empty() && ANSWER_KEYS.contains(&key) {
                    fault.help = format!("`{key}` belongs into respond = {{ {key} = ... }}");
                } else if let Some(near) = near {
                    fault.patch = Some(Patch { span: place, text: near.to_owned() });
                    fault.help = "a key with a similar name exists".to_owned();
                }
            }
        }
    }

    fn key(&self, key: &str) -> Option<(Range<usize>, &'t Spanned<DeValue<'t>>)> {
        let found = self.table.iter().find(|(name, _)| name.get_ref() == key);
        found.map(|(name, value)| (name.span(), value))
    }

    fn value(&self, key: &str) -> Found<'t> {
        self.key(key).map(|(_, value)| value)
    }

    fn text(&mut self, key: &str, value: &'t Spanned<DeValue<'t>>) -> Option<&'t str> {
        if let Some(text) = value.get_ref().as_str() {
            return Some(text);
        }
        let message = format!("expected a string, not {}", article(value.get_ref()));
        self.fault(WRONG_TYPE, key, value.span(), message, "write a string in quotes".into());
        None
    }

    /// The strings of a list that has some, with their places.
    fn texts(
        &mut self,
        key: &str,
        value: &'t Spanned<DeValue<'t>>,
    ) -> Option<Vec<(&'t str, Range<usize>)>> {
        let help = match value.get_ref().as_str() {
            Some(one) => format!("write [\"{}\"]", shown(one)),
            None => "write a list such as [\"one\", \"two\"]".to_owned(),
        };
        let Some(entries) = value.get_ref().as_array() else {
            let message = format!("expected a list, not {}", article(value.get_ref()));
            self.fault(WRONG_TYPE, key, value.span(), message, help);
            return None;
        };
        if entries.is_empty() {
            let help = "leave the key out to have no restriction".to_owned();
            self.fault(WRONG_TYPE, key, value.span(), "the list is empty".into(), help);
            return None;
        }
        if entries.len() > ROUTE_NAMES_MAX {
            let message = format!("the list has more than {ROUTE_NAMES_MAX} entries");
            self.fault(TOO_MANY_ROUTES, key, value.span(), message, "shorten it".into());
            return None;
        }
        let texts = entries.iter().map(|entry| Some((self.text(key, entry)?, entry.span())));
        let texts: Vec<_> = texts.collect();
        texts.into_iter().collect()
    }

    fn integer(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<i128> {
        let integer = value.get_ref().as_integer();
        let number = integer.map(|n| i128::from_str_radix(n.as_str(), n.radix()));
        match number {
            Some(Ok(number)) => return Some(number),
            Some(Err(_)) => {
                let message = "the number is too large".to_owned();
                self.fault(WRONG_TYPE, key, value.span(), message, "write a status".into());
            }
            None => {
                let message = format!("expected a number, not {}", article(value.get_ref()));
                let help = "write it without quotes".to_owned();
                self.fault(WRONG_TYPE, key, value.span(), message, help);
            }
        }
        None
    }

    fn fault(
        &mut self,
        code: &'static str,
        key: &str,
        place: Range<usize>,
        message: String,
        help: String,
    ) -> &mut Fault {
        let key = if key.is_empty() { "route".to_owned() } else { format!("route.{key}") };
        self.walk.fault(code, key, place, message, help)
    }
}

fn push<T>(mut list: Vec<T>, element: T) -> Vec<T> {
    list.push(element);
    list
}

/// A method, or what is wrong and what to do.
fn read_method(text: &str) -> Result<Method, (String, String)> {
    let usual = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    let upper = text.to_ascii_uppercase();
    if text != upper && usual.contains(&upper.as_str()) {
        let reason = format!("`{text}` is another method than {upper}: their case counts");
        return Err((reason, format!("write \"{upper}\"")));
    }
    if text == "CONNECT" {
        let reason = "CONNECT asks for a host, not for a path, so that no route has it".to_owned();
        return Err((reason, "remove it".to_owned()));
    }
    let valid = Method::from_bytes(text.as_bytes()).ok().filter(|_| text.len() <= METHOD_BYTES_MAX);
    valid.ok_or_else(|| {
        let reason = format!("`{}` is not a method", shown(text));
        (reason, "methods are single words such as GET or POST".to_owned())
    })
}

fn read_name(text: &str) -> Result<HeaderName, (String, String)> {
    let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
        let reason = format!("`{}` is not the name of a header field", shown(text));
        return Err((reason, "names have no spaces and no colon".to_owned()));
    };
    let framing = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::TRAILER,
        header::UPGRADE,
    ];
    if framing.contains(&name) || name.as_str() == "keep-alive" {
        let reason = format!("`{text}` says how the message is sent, which is not for a route");
        return Err((reason, "remove it".to_owned()));
    }
    if name == header::CONTENT_TYPE {
        let reason = format!("`{text}` has a key of its own");
        return Err((reason, "write respond = { type = \"...\" }".to_owned()));
    }
    Ok(name)
}

fn read_field(text: &str) -> Result<HeaderValue, String> {
    let is_field = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    let valid = text.bytes().all(is_field) && text.trim_ascii() == text;
    let value = HeaderValue::from_bytes(text.as_bytes()).ok().filter(|_| valid);
    value.ok_or_else(|| format!("`{}` is not the value of a header field", shown(text)))
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    // To open anything else might wait for somebody at its other end.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    read_bytes(path, ROUTE_FILE_BYTES_MAX)
}

/// The media type that the name of a file suggests.
fn type_of(name: &str) -> &'static str {
    let extension = Path::new(name).extension().unwrap_or_default().to_ascii_lowercase();
    let known = TYPES.iter().find(|(known, _)| extension == *known);
    known.map_or("application/octet-stream", |(_, media_type)| media_type)
}

/// The keys of a route.
pub const KEYS: [&str; 6] = ["path", "hosts", "methods", "respond", "redirect", "status"];
/// The keys of its `respond`.
pub const ANSWER_KEYS: [&str; 5] = ["status", "type", "body", "file", "headers"];
/// Keys of later versions, and what they need.
pub const LATER: [(&str, &str); 5] = [
    ("files", "static files come with a later release"),
    ("call", "handlers in workers come with the pools of a later release"),
    ("pool", "handlers in workers come with the pools of a later release"),
    ("retry", "it belongs to `pool`, which comes with a later release"),
    ("timeout", "it belongs to `pool`, which comes with a later release"),
];
const TEXT: &str = "text/plain; charset=utf-8";
const TYPES: [(&str, &str); 19] = [
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("gif", "image/gif"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("md", "text/markdown; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("txt", TEXT),
    ("webp", "image/webp"),
    ("woff2", "font/woff2"),
    ("xml", "application/xml"),
];
