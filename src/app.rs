//! The application: routes and handlers, and how it is run.

use std::cell::RefCell;
use std::env;

use ::http::Method;

use crate::cli;
use crate::config::Config;
use crate::config::route::{self, Target};
use crate::exit::Exit;
use crate::handler::{Handler, IntoHandler, IntoResponse, Response};
use crate::http::Error;
use crate::router::{Builder, RouteError, Table};
use crate::shard::{self, Setup};
use crate::supervisor::{self, Engine, ProbeError, Roles, ShardStart};

/// Routes with their handlers.
///
/// ```no_run
/// use corewise::{App, Exit, Request, Response, executor, task};
/// use std::time::Duration;
///
/// fn user(request: &Request) -> Response {
///     Response::text(request.param("id"))
/// }
///
/// async fn sleep(_: Request) -> Response {
///     executor::sleep(Duration::from_millis(100)).await;
///     Response::fixed("good morning")
/// }
///
/// fn main() -> Exit {
///     App::new().get("/user/{id}", user).get("/sleep", task(sleep)).run()
/// }
/// ```
///
/// A pattern's `{name}` stands for one segment of the path, `{*rest}` for all that is left. HEAD
/// is answered from GET, OPTIONS from what is routed; a method that a path has no handler for is
/// answered with 405.
#[derive(Default)]
pub struct App {
    routes: Builder<usize>,
    handlers: Vec<Handler>,
    errors: Vec<RouteError>,
}

impl App {
    /// Without routes: what there is to serve stands in the file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answer GET (and HEAD) on `pattern`.
    #[must_use]
    pub fn get<K>(self, pattern: &str, handler: impl IntoHandler<K>) -> Self {
        self.route(Method::GET, pattern, handler)
    }

    /// Answer POST on `pattern`.
    #[must_use]
    pub fn post<K>(self, pattern: &str, handler: impl IntoHandler<K>) -> Self {
        self.route(Method::POST, pattern, handler)
    }

    /// Answer PUT on `pattern`.
    #[must_use]
    pub fn put<K>(self, pattern: &str, handler: impl IntoHandler<K>) -> Self {
        self.route(Method::PUT, pattern, handler)
    }

    /// Answer PATCH on `pattern`.
    #[must_use]
    pub fn patch<K>(self, pattern: &str, handler: impl IntoHandler<K>) -> Self {
        self.route(Method::PATCH, pattern, handler)
    }

    /// Answer DELETE on `pattern`.
    #[must_use]
    pub fn delete<K>(self, pattern: &str, handler: impl IntoHandler<K>) -> Self {
        self.route(Method::DELETE, pattern, handler)
    }

    /// Answer `method`, which may be one of your own, on `pattern`.
    #[must_use]
    pub fn route<K>(self, method: Method, pattern: &str, handler: impl IntoHandler<K>) -> Self {
        self.add(Some(method), pattern, handler)
    }

    /// Answer every method that `pattern` has no handler of its own for.
    #[must_use]
    pub fn any<K>(self, pattern: &str, handler: impl IntoHandler<K>) -> Self {
        self.add(None, pattern, handler)
    }

    /// Resolve the settings from flags, environment and file, and serve until told to stop.
    ///
    /// Returns the code to leave with. To be called from the main thread of a process that has no
    /// other: the shards are forks of it.
    #[must_use]
    pub fn run(self) -> Exit {
        match cli::parse_application(env::args_os()).and_then(|sources| cli::resolve(&sources)) {
            Ok(config) => self.run_with(config),
            Err(exit) => exit,
        }
    }

    /// Serve with settings that were resolved elsewhere, until told to stop. Otherwise as
    /// [`App::run`]. The routes of the file come before those of the application; without any
    /// route at all there is nothing to serve, which is refused.
    #[must_use]
    pub fn run_with(self, config: Config) -> Exit {
        if !self.errors.is_empty() {
            return cli::refuse_routes(&self.errors);
        }
        if self.handlers.is_empty() && config.routes.is_empty() {
            return cli::refuse(&route::nothing_to_serve(config.file.as_deref()));
        }
        let mut handlers = self.handlers;
        let of_file = config.routes.iter().map(|route| {
            handlers.push(handler_of(&route.target));
            (route.rule.clone(), handlers.len() - 1)
        });
        let table = Table::new(of_file, self.routes.build());
        // Each shard is a fork and takes its own copy of what is in here.
        let table = RefCell::new(Some((table, handlers)));
        let shard = |start: ShardStart<'_>| {
            let (table, handlers) =
                table.take().expect("a shard starts once in its process, from an untouched copy");
            serve(start, table, handlers)
        };
        supervisor::run(config, Roles { probe: &probe, shard: &shard })
    }

    fn add<K>(
        mut self,
        method: Option<Method>,
        pattern: &str,
        handler: impl IntoHandler<K>,
    ) -> Self {
        match self.routes.insert(method, pattern, self.handlers.len()) {
            Ok(()) => self.handlers.push(handler.into_handler()),
            Err(error) => self.errors.push(error),
        }
        self
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("routes", &self.handlers.len()).finish_non_exhaustive()
    }
}

/// What answers the requests of a route of the file.
fn handler_of(target: &Target) -> Handler {
    match target.clone() {
        Target::Redirect { status, location } => {
            Handler::Early(Box::new(move |request, response| {
                *response = match location.render(request.path(), request.query_string()) {
                    Some(to) => Response::redirect(status, &to).into_response(),
                    None => Error::TargetInvalid.into_response(),
                };
            }))
        }
        Target::Respond(answer) => Handler::Early(Box::new(move |_, response| {
            // The body is shared, and so is what the fields hold; their list alone is copied.
            *response = Response::bytes(answer.body.clone()).status(answer.status);
            response.content_type.clone_from(&answer.content_type);
            response.fields.clone_from(&answer.fields);
        })),
    }
}

/// A shard's life, in its own process.
fn serve(start: ShardStart<'_>, table: Table<usize>, handlers: Vec<Handler>) -> Exit {
    let config = start.config;
    let end = shard::run(Setup {
        listeners: start.listeners,
        channel: start.channel,
        signals: start.signals,
        supervisor: start.supervisor,
        page: Some(start.page),
        table,
        handlers,
        limits: config.http,
        connections_max: usize::try_from(config.shard.connections).unwrap_or(usize::MAX),
        idle: config.shard.idle,
        dedicated: start.dedicated,
        grace: config.shutdown.grace,
        force: config.shutdown.force,
    });
    match end {
        Ok(_) => Exit::Clean,
        Err(error) => {
            tracing::error!(%error, "the shard cannot start");
            Exit::System
        }
    }
}

/// Finds out whether the engine works here, in a process of its own, and its name. For questions:
/// a start does it by itself.
///
/// # Errors
/// What is refused, and what to do about it.
pub fn probe_engine() -> Result<String, cli::Trouble> {
    let trouble = |error: ProbeError| cli::Trouble { reason: error.reason, fix: error.fix };
    supervisor::probe(&probe).map(|engine| engine.name).map_err(trouble)
}

/// Whether the engine works here.
fn probe() -> Result<Engine, ProbeError> {
    match shard::probe() {
        Ok(()) => Ok(Engine { name: "io_uring".to_owned() }),
        Err(error) => Err(ProbeError { reason: error.to_string(), fix: error.fix().to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Machine, Sources};

    #[test]
    fn without_any_route_nothing_is_started() {
        let config = Sources::default().resolve(&Machine::uniform(&[0], &[0])).unwrap();
        assert_eq!(App::new().run_with(config), Exit::Config);
    }
}
