//! From method and path to the handler: a table built once at start, immutable afterwards.
//!
//! A pattern names a resource, the methods of which stand in a table beside it: the most specific
//! pattern that matches the path decides, then the method is looked up in its table. `HEAD` is
//! served by the handler of `GET`, `OPTIONS` and `405` are answered from values built at start.
//!
//! Paths are matched as they were sent, so that an escaped slash never splits a segment. A usual
//! path costs one walk down the tree and no allocation for up to three parameters; one that holds
//! escapes, dot segments or characters that a URI should have escaped is normalised first (module
//! `path`). Two slashes in a row stay two slashes.
//!
//! In front of it may stand routes in the order of a file (module `ordered`), which a shard sees
//! as one [`Table`] with the router.
//!
//! Knows nothing of handlers and connections: what a route leads to is a type parameter.

mod host;
mod location;
mod ordered;
mod path;
mod pattern;
#[cfg(test)]
mod tests;

use std::fmt;
use std::rc::Rc;

use ::http::{HeaderValue, Method};

use crate::http::{Params, percent};

pub use host::Host;
pub use location::Location;
pub use ordered::{Methods, Rule, Table};
pub use pattern::Pattern;

/// The routes of one application.
pub struct Router<T> {
    /// Leads from a path without parameters to an index of `nodes`.
    literals: Literals,
    /// Leads from a path to an index of `nodes`.
    tree: matchit::Router<usize>,
    nodes: Vec<Node>,
    targets: Vec<T>,
    /// The methods beyond the usual ones that some route names.
    named: Vec<Method>,
    /// For `OPTIONS *`.
    allow: HeaderValue,
}

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<'r, T> {
    /// A parameter or the path itself does not decode, or the path leads above the root: 400.
    BadPath,
    /// To this target. For a `HEAD` it may be that of `GET`.
    Found(&'r T),
    /// The path exists, not with this method: 405.
    MethodNotAllowed {
        /// Value of the Allow field.
        allow: &'r HeaderValue,
    },
    /// No pattern matches: 404.
    NotFound,
    /// A method that nobody here knows (RFC 9110 9.1): 501.
    NotImplemented,
    /// `OPTIONS` on a path that has no handler of its own for it.
    Options {
        /// Value of the Allow field.
        allow: &'r HeaderValue,
    },
    /// `OPTIONS *`: asks about the server as a whole (RFC 9110 9.3.7).
    ServerOptions {
        /// Value of the Allow field: every method that some route has.
        allow: &'r HeaderValue,
    },
}

impl<T> Router<T> {
    /// Start to collect routes.
    pub fn builder() -> Builder<T> {
        Builder::new()
    }

    /// Where a request goes. `path` is the path as it was sent, or `*`; the values of the path's
    /// parameters replace what `params` held.
    #[inline]
    pub fn route<'r>(&'r self, method: &Method, path: &str, params: &mut Params) -> Outcome<'r, T> {
        params.clear();
        if let Some(node) = self.literals.find(path) {
            return self.choose(&self.nodes[node], method);
        }
        if !path::is_plain(path) {
            return self.route_normalised(method, path, params);
        }
        let Ok(found) = self.tree.at(path) else { return self.miss(method) };
        let node = &self.nodes[*found.value];
        if !node.names.is_empty() {
            params.begin(&node.names);
            for value in node.values(&found.params) {
                // Both are parts of one string, so that their distance is an offset in it.
                let start = value.as_ptr().addr() - path.as_ptr().addr();
                params.push_span(start, start + value.len());
            }
        }
        self.choose(node, method)
    }

    /// All methods that some route has, as the value of an Allow field.
    pub fn allow(&self) -> &HeaderValue {
        &self.allow
    }

    /// These methods are known too, and allowed on the server as a whole.
    fn learn(&mut self, methods: &Methods) {
        for method in methods.named() {
            if !self.named.contains(&method) {
                self.named.push(method);
            }
        }
        let mut all = Methods::of([]);
        all.add_allowed(&self.allow);
        all.add_all(methods);
        self.allow = all.allow();
    }

    #[cold]
    fn route_normalised<'r>(
        &'r self,
        method: &Method,
        path: &str,
        params: &mut Params,
    ) -> Outcome<'r, T> {
        if !path.starts_with('/') {
            return self.route_pathless(method, path);
        }
        match path::normalise(path) {
            Some(path) => self.route_escaped(method, &path, params),
            None => Outcome::BadPath,
        }
    }

    /// [`Router::route`] for a path in normal form that may hold escapes.
    #[cold]
    fn route_escaped<'r>(
        &'r self,
        method: &Method,
        path: &str,
        params: &mut Params,
    ) -> Outcome<'r, T> {
        let Ok(found) = self.tree.at(path) else { return self.miss(method) };
        let node = &self.nodes[*found.value];
        params.begin(&node.names);
        for value in node.values(&found.params) {
            if !decode_into(params, value) {
                params.clear();
                return Outcome::BadPath;
            }
        }
        self.choose(node, method)
    }

    /// Asterisk-form, and what `CONNECT` has in place of a path.
    fn route_pathless(&self, method: &Method, path: &str) -> Outcome<'_, T> {
        if !self.implements(method) {
            return Outcome::NotImplemented;
        }
        match path {
            "*" if method == Method::OPTIONS => Outcome::ServerOptions { allow: &self.allow },
            _ => Outcome::BadPath,
        }
    }

    fn choose<'r>(&'r self, node: &'r Node, method: &Method) -> Outcome<'r, T> {
        if let Some(target) = node.target(method) {
            return Outcome::Found(&self.targets[target]);
        }
        if method == Method::OPTIONS {
            Outcome::Options { allow: &node.allow }
        } else if self.implements(method) {
            Outcome::MethodNotAllowed { allow: &node.allow }
        } else {
            Outcome::NotImplemented
        }
    }

    fn miss(&self, method: &Method) -> Outcome<'_, T> {
        if self.implements(method) { Outcome::NotFound } else { Outcome::NotImplemented }
    }

    fn implements(&self, method: &Method) -> bool {
        usual_index(method).is_some_and(|index| index < ANY_COUNT) || self.named.contains(method)
    }
}

/// Push what a parameter stands for in a path in normal form; false if it does not decode.
fn decode_into(params: &mut Params, value: &str) -> bool {
    match percent::decode_path_segment(value) {
        Ok(text) if path::is_settled(&text) => {
            params.push_decoded(&text);
            true
        }
        _ => false,
    }
}

/// The names of the parameters of a pattern, in its order; none if it is no pattern.
#[must_use]
pub fn parameter_names(pattern: &str) -> Vec<Box<str>> {
    let normalised = path::normalise_pattern(pattern);
    normalised.map_or_else(|_| Vec::new(), |pattern| path::parameter_names(&pattern).to_vec())
}

impl<T> fmt::Debug for Router<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("patterns", &self.nodes.len()).finish_non_exhaustive()
    }
}

/// The patterns without parameters, which outrank all others and are looked up at a third of the
/// price of a walk down the tree.
struct Literals {
    /// The patterns of `n` bytes with their nodes, in the order of their bytes, at index `n`.
    by_length: Vec<Vec<(Box<str>, usize)>>,
}

impl Literals {
    fn new(drafts: &[Draft]) -> Self {
        let mut by_length = Vec::new();
        for (index, draft) in drafts.iter().enumerate().filter(|(_, draft)| draft.is_literal()) {
            let length = draft.normalised.len();
            if by_length.len() <= length {
                by_length.resize_with(length + 1, Vec::new);
            }
            by_length[length].push((Box::from(&*draft.normalised), index));
        }
        by_length.iter_mut().for_each(|same_length| same_length.sort_unstable());
        Self { by_length }
    }

    #[inline]
    fn find(&self, path: &str) -> Option<usize> {
        let same_length = self.by_length.get(path.len())?;
        let place = same_length.binary_search_by(|(known, _)| (**known).cmp(path)).ok()?;
        Some(same_length[place].1)
    }
}

/// A pattern, ready to be served. Numbers are indices of `Router::targets`.
struct Node {
    /// Of the parameters, in the order of the pattern.
    names: Rc<[Box<str>]>,
    /// By the order of [`USUAL`]; the stand-ins (`GET` for `HEAD`, a route for all methods) are
    /// entered already.
    usual: [Option<usize>; USUAL.len()],
    /// Further methods. So few that comparing them all is quickest.
    others: Vec<(Method, usize)>,
    /// The route for all methods.
    any: Option<usize>,
    allow: HeaderValue,
}

impl Node {
    /// The values of the parameters in the order of their names. Asking for each by name costs
    /// less than the iterator of the tree's crate, which checks names for UTF-8 every time.
    fn values<'a>(&self, params: &matchit::Params<'_, 'a>) -> impl Iterator<Item = &'a str> {
        self.names.iter().map(|name| params.get(name).expect("a match has all its parameters"))
    }

    fn target(&self, method: &Method) -> Option<usize> {
        if let Some(index) = usual_index(method) {
            return self.usual[index];
        }
        let other = self.others.iter().find(|(known, _)| known == method);
        other.map(|(_, target)| *target).or(self.any)
    }
}

/// The methods of RFC 9110 and `PATCH`, in the order in which Allow lists them.
const USUAL: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
    Method::CONNECT,
    Method::TRACE,
];
const GET: usize = 0;
const HEAD: usize = 1;
const OPTIONS: usize = 6;
/// A route for all methods takes the first ones of [`USUAL`]: a tunnel and an echo of the request
/// with its credentials are never wanted by accident, so those two have to be asked for by name.
const ANY_COUNT: usize = 7;

fn usual_index(method: &Method) -> Option<usize> {
    match *method {
        Method::GET => Some(GET),
        Method::HEAD => Some(HEAD),
        Method::POST => Some(2),
        Method::PUT => Some(3),
        Method::PATCH => Some(4),
        Method::DELETE => Some(5),
        Method::OPTIONS => Some(OPTIONS),
        Method::CONNECT => Some(7),
        Method::TRACE => Some(8),
        _ => None,
    }
}

/// Routes while they are collected.
pub struct Builder<T> {
    tree: matchit::Router<usize>,
    drafts: Vec<Draft>,
    targets: Vec<T>,
}

/// A pattern whose methods are being collected.
struct Draft {
    /// As the application wrote it.
    pattern: String,
    /// As the tree has it: escaped like a normalised path.
    normalised: String,
    /// `None` is the route for all methods.
    routes: Vec<(Option<Method>, usize)>,
}

/// Why a route cannot be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// The same paths would match both patterns, and neither is more specific.
    Ambiguous {
        /// The one to be added.
        pattern: String,
        /// The one that was there.
        existing: String,
    },
    /// The pattern has a route for this method.
    Duplicate {
        /// The one to be added.
        pattern: String,
        /// The one that was there: the same, or the same in another spelling.
        existing: String,
        /// `None` is the route for all methods.
        method: Option<Method>,
    },
    /// The pattern is not one.
    Invalid {
        /// The one to be added.
        pattern: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ambiguous { pattern, existing } => {
                write!(f, "route `{pattern}` is ambiguous beside `{existing}`")
            }
            Self::Duplicate { pattern, existing, method: Some(method) } => {
                write!(f, "route `{method} {pattern}` exists already as `{method} {existing}`")
            }
            Self::Duplicate { pattern, existing, method: None } => {
                write!(f, "route `{pattern}` for all methods exists already as `{existing}`")
            }
            Self::Invalid { pattern, reason } => write!(f, "route `{pattern}`: {reason}"),
        }
    }
}

impl std::error::Error for RouteError {}

impl<T> Builder<T> {
    /// No routes.
    pub fn new() -> Self {
        Self { tree: matchit::Router::new(), drafts: Vec::new(), targets: Vec::new() }
    }

    /// Lead requests for `pattern` with `method` to `target`.
    ///
    /// `{name}` in a pattern stands for one segment or a part of one, `{*rest}` at its end for
    /// everything from there on; `{{` and `}}` are literal braces. Other characters stand for
    /// themselves, whether a client escapes them or not. Without a method the route serves all
    /// that have no route of their own on this pattern, but never `CONNECT` and `TRACE`.
    ///
    /// # Errors
    /// When the pattern is not valid, ambiguous beside an older one, or has a route for `method`.
    pub fn insert(
        &mut self,
        method: Option<Method>,
        pattern: &str,
        target: T,
    ) -> Result<(), RouteError> {
        let normalised = path::normalise_pattern(pattern)
            .map_err(|reason| RouteError::Invalid { pattern: pattern.to_owned(), reason })?;
        let draft = match self.drafts.iter().position(|draft| draft.normalised == normalised) {
            Some(index) => index,
            None => self.insert_pattern(pattern, normalised)?,
        };
        let draft = &mut self.drafts[draft];
        if draft.routes.iter().any(|(known, _)| *known == method) {
            let existing = draft.pattern.clone();
            return Err(RouteError::Duplicate { pattern: pattern.to_owned(), existing, method });
        }
        draft.routes.push((method, self.targets.len()));
        self.targets.push(target);
        Ok(())
    }

    /// The table.
    pub fn build(self) -> Router<T> {
        let named = self.named();
        let mut usual = [false; USUAL.len()];
        let nodes: Vec<_> = self.drafts.iter().map(Draft::build).collect();
        for node in &nodes {
            for (seen, target) in usual.iter_mut().zip(&node.usual) {
                *seen |= target.is_some();
            }
        }
        let others = named.iter().filter(|method| usual_index(method).is_none());
        let allow = allow(usual, others);
        let literals = Literals::new(&self.drafts);
        Router { literals, tree: self.tree, nodes, targets: self.targets, named, allow }
    }

    fn insert_pattern(&mut self, pattern: &str, normalised: String) -> Result<usize, RouteError> {
        let index = self.drafts.len();
        self.tree.insert(&*normalised, index).map_err(|error| self.refusal(pattern, error))?;
        let draft = Draft { pattern: pattern.to_owned(), normalised, routes: Vec::new() };
        self.drafts.push(draft);
        Ok(index)
    }

    fn refusal(&self, pattern: &str, error: matchit::InsertError) -> RouteError {
        let pattern = pattern.to_owned();
        let reason = match error {
            matchit::InsertError::Conflict { with } => {
                let known = self.drafts.iter().find(|draft| draft.normalised == with);
                let existing = known.map_or(with, |draft| draft.pattern.clone());
                return RouteError::Ambiguous { pattern, existing };
            }
            matchit::InsertError::InvalidCatchAll => "`{*rest}` can only stand at the end",
            matchit::InsertError::InvalidParamSegment => "a segment can hold only one parameter",
            _ => "a parameter has no name, or a brace is not closed",
        };
        RouteError::Invalid { pattern, reason }
    }

    /// Methods with a route of their own that the server would not know otherwise.
    fn named(&self) -> Vec<Method> {
        let mut named: Vec<Method> = Vec::new();
        let methods = self.drafts.iter().flat_map(|draft| &draft.routes);
        for method in methods.filter_map(|(method, _)| method.as_ref()) {
            let usual = usual_index(method).is_some_and(|index| index < ANY_COUNT);
            if !usual && !named.contains(method) {
                named.push(method.clone());
            }
        }
        named
    }
}

impl<T> Default for Builder<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Builder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.drafts.iter().map(|draft| &draft.pattern)).finish()
    }
}

impl Draft {
    fn is_literal(&self) -> bool {
        !self.normalised.contains('{')
    }

    fn build(&self) -> Node {
        let of = |wanted: Option<&Method>| {
            let route = self.routes.iter().find(|(method, _)| method.as_ref() == wanted);
            route.map(|(_, target)| *target)
        };
        let any = of(None);
        let mut usual = USUAL.each_ref().map(|method| of(Some(method)));
        usual[HEAD] = usual[HEAD].or(usual[GET]);
        for target in &mut usual[..ANY_COUNT] {
            *target = target.or(any);
        }
        let others: Vec<_> = self
            .routes
            .iter()
            .filter_map(|(method, target)| Some((method.clone()?, *target)))
            .filter(|(method, _)| usual_index(method).is_none())
            .collect();
        let allow = allow(usual.map(|t| t.is_some()), others.iter().map(|(method, _)| method));
        Node { names: path::parameter_names(&self.normalised), usual, others, any, allow }
    }
}

/// The value of an Allow field. `OPTIONS` is always in it, because we answer it ourselves.
fn allow<'a>(
    mut usual: [bool; USUAL.len()],
    others: impl Iterator<Item = &'a Method>,
) -> HeaderValue {
    usual[OPTIONS] = true;
    let usual = USUAL.iter().zip(usual).filter(|(_, allowed)| *allowed).map(|(method, _)| method);
    let names: Vec<_> = usual.chain(others).map(Method::as_str).collect();
    HeaderValue::try_from(names.join(", ")).expect("methods are tokens, which a field may hold")
}
