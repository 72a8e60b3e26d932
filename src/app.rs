//! The application: routes and handlers, and how it is run.

use std::cell::RefCell;
use std::env;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::http::Method;

use crate::cli;
use crate::config::placement::WorkerPlace;
use crate::config::route::{self, Target};
use crate::config::{Config, HalfClose, PoolConfig, Preload, SPIN_ALWAYS, Sources, is_pool_name};
use crate::exit::Exit;
use crate::handler::{Handler, IntoHandler, IntoResponse, Response};
use crate::http::Error;
use crate::offload::region::Region;
use crate::offload::server::SpinPolicy;
use crate::router::{self, Builder, RouteError, Table};
use crate::shard::{self, PoolSettings, PoolSetup, QueueWait, Setup, ShardIndex};
use crate::supervisor::{self, Engine, ProbeError, Roles, ShardStart, TemplateStart};
use crate::worker::template::{self, Seat};
use crate::worker::{Pool, PoolCode, Route};

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
    /// The route of each handler.
    named: Vec<Named>,
    /// The routes of pools, each with its handler.
    jobs: Vec<(String, usize)>,
    pools: Vec<(String, PoolCode)>,
    errors: Vec<AppError>,
}

/// A route as people know it, and the names of its parameters.
struct Named {
    name: String,
    params: Vec<Box<str>>,
}

/// What is wrong with an application.
#[derive(Debug)]
enum AppError {
    /// A route by itself.
    Route(RouteError),
    /// Pools, and routes that lead to them.
    Pool(String),
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(error) => error.fmt(f),
            Self::Pool(text) => f.write_str(text),
        }
    }
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

    /// Run handlers of this application in workers of their own, which `pool` says what to load
    /// for; [`offload`](fn@crate::offload) sends routes there. How many there are and where they
    /// run is up to `[pool.NAME]` in the configuration; without such a table the defaults hold.
    #[must_use]
    pub fn pool<S: 'static>(mut self, name: &str, pool: Pool<S>) -> Self {
        let wrong = if !is_pool_name(name) {
            let rule = "small letters, digits and `-`, beginning with a letter, but not `shard`";
            Some(format!("`{name}` is not the name of a pool: use {rule}"))
        } else if self.pools.iter().any(|(known, _)| known == name) {
            Some(format!("the pool `{name}` is added twice"))
        } else {
            None
        };
        self.errors.extend(wrong.map(AppError::Pool));
        self.pools.push((name.to_owned(), PoolCode::of(pool)));
        self
    }

    /// The names of the pools, for [`Sources::native_pools`].
    #[must_use]
    pub fn pool_names(&self) -> Vec<String> {
        self.pools.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Resolve the settings from flags, environment and file, and serve until told to stop.
    ///
    /// Returns the code to leave with. To be called from the main thread of a process that has no
    /// other: the shards are forks of it.
    #[must_use]
    pub fn run(self) -> Exit {
        match cli::parse_application(env::args_os()) {
            Ok(sources) => self.run_from(sources),
            Err(exit) => exit,
        }
    }

    /// Resolve the settings from these sources, and serve until told to stop. Otherwise as
    /// [`App::run`].
    #[must_use]
    pub fn run_from(self, mut sources: Sources) -> Exit {
        sources.native_pools = self.pool_names();
        match cli::resolve(&sources) {
            Ok(config) => self.run_with(config),
            Err(exit) => exit,
        }
    }

    /// Serve with settings that were resolved elsewhere, until told to stop. Otherwise as
    /// [`App::run`]. The routes of the file come before those of the application; without any
    /// route at all there is nothing to serve, which is refused. The sources of the settings must
    /// have known the pools of this application ([`App::pool_names`]).
    #[must_use]
    pub fn run_with(mut self, config: Config) -> Exit {
        self.check_pools(&config);
        if !self.errors.is_empty() {
            return cli::refuse_routes(&self.errors);
        }
        if let Some(fault) = config.pools_cannot_start() {
            return cli::refuse(&fault);
        }
        if self.handlers.is_empty() && config.routes.is_empty() {
            return cli::refuse(&route::nothing_to_serve(config.file.as_deref()));
        }
        let (mut handlers, named) = (self.handlers, self.named);
        let mut names: Vec<String> = named.iter().map(|route| route.name.clone()).collect();
        let of_file = config.routes.iter().map(|route| {
            handlers.push(handler_of(&route.target));
            names.push(route.origin.to_string());
            (route.rule.clone(), handlers.len() - 1)
        });
        let table = Table::new(of_file, self.routes.build());
        // Each shard is a fork and takes its own copy of what is in here.
        let table = RefCell::new(Some((table, handlers)));
        let named = RefCell::new(named);
        let shard = |start: ShardStart<'_>| {
            let (table, handlers) =
                table.take().expect("a shard starts once in its process, from an untouched copy");
            serve(start, table, handlers)
        };
        let pools = self.pools;
        let template = |start: TemplateStart<'_>| {
            let name = &start.config.pools[usize::from(start.pool)].name;
            let found = pools.iter().find(|(known, _)| known == name);
            let (_, code) = found.expect("a pool without code does not start");
            let (_, handlers) =
                table.take().expect("a template starts once in its process, from such a copy");
            let routes = routes_of(name, handlers, named.take());
            lead(start, code.clone(), routes)
        };
        let roles = Roles { probe: &probe, shard: &shard, template: &template, routes: &names };
        supervisor::run(config, roles)
    }

    /// Finds routes that lead nowhere or to a pool that has loaded something else, and pools that
    /// are not placed.
    fn check_pools(&mut self, config: &Config) {
        for (route, handler) in &self.jobs {
            if u16::try_from(*handler).is_err() {
                let text = format!("{route} is one too many: a job can take one of 65536 routes");
                self.errors.push(AppError::Pool(text));
            }
            let Handler::Job(job) = &self.handlers[*handler] else { continue };
            let pool = self.pools.iter().find(|(name, _)| *name == job.pool);
            let wrong = match (pool, job.state) {
                (None, _) => Some(format!(
                    "{route} is for the pool `{}`, which is not added with App::pool",
                    job.pool
                )),
                (Some((name, code)), Some(wanted)) if wanted != code.state() => Some(format!(
                    "{route} takes a `{}`, and on_load of its pool `{name}` makes a `{}`",
                    wanted.name,
                    code.state().name
                )),
                (Some(_), _) => None,
            };
            self.errors.extend(wrong.map(AppError::Pool));
        }
        for (name, _) in &self.pools {
            if !config.pools.iter().any(|pool| pool.name == *name && pool.built_in) {
                let text = format!(
                    "the pool `{name}` has no settings: resolve them with App::run_from, or with \
                     its name in Sources::native_pools"
                );
                self.errors.push(AppError::Pool(text));
            }
        }
    }

    fn add<K>(
        mut self,
        method: Option<Method>,
        pattern: &str,
        handler: impl IntoHandler<K>,
    ) -> Self {
        let route = method
            .as_ref()
            .map_or_else(|| pattern.to_owned(), |method| format!("{method} {pattern}"));
        match self.routes.insert(method, pattern, self.handlers.len()) {
            Ok(()) => {
                let handler = handler.into_handler();
                if matches!(handler, Handler::Job(_)) {
                    self.jobs.push((format!("the route {route}"), self.handlers.len()));
                }
                self.handlers.push(handler);
                self.named.push(Named { name: route, params: router::parameter_names(pattern) });
            }
            Err(error) => self.errors.push(AppError::Route(error)),
        }
        self
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
        pools: pools_of(config, start.regions),
        seat: ShardIndex(start.seat),
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

/// The pools as a shard is to treat them.
fn pools_of(config: &Config, regions: Vec<Arc<Region>>) -> Vec<PoolSetup> {
    let setup = |(pool, region): (&PoolConfig, Arc<Region>)| PoolSetup {
        name: pool.name.clone(),
        region,
        settings: PoolSettings {
            queue: pool.queue,
            queue_wait: pool.queue_wait.map_or(QueueWait::Auto, QueueWait::Fixed),
            timeout: pool.request.timeout,
            idle: pool.request.idle,
            cancel_on_disconnect: pool.cancel_on_disconnect,
            cancel_on_half_close: pool.half_close == HalfClose::Cancel,
            spin: config.spin,
        },
    };
    config.pools.iter().zip(regions).map(setup).collect()
}

/// What the workers of a pool run, by the number of the route.
fn routes_of(pool: &str, handlers: Vec<Handler>, named: Vec<Named>) -> Vec<Option<Route>> {
    let routes = handlers.into_iter().zip(named).map(|(handler, Named { name, params })| {
        let Handler::Job(job) = handler else { return None };
        (job.pool == pool).then_some(Route { name, params, run: job.run })
    });
    routes.collect()
}

/// How long a worker looks for jobs: where that takes nobody's time.
fn spin_of(worker: &WorkerPlace, window: Duration) -> SpinPolicy {
    let window_ns = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
    if !worker.spins || window_ns == 0 {
        return SpinPolicy::NEVER;
    }
    // Who never sleeps does not ask how long it has been without work either.
    let gap_ns = if window < SPIN_ALWAYS { window_ns } else { u64::MAX };
    SpinPolicy { window_ns, gap_ns, beside_others: true }
}

/// The life of a pool's template, in its own process.
fn lead(start: TemplateStart<'_>, code: PoolCode, routes: Vec<Option<Route>>) -> Exit {
    let (config, index) = (start.config, usize::from(start.pool));
    let (pool, place) = (&config.pools[index], &config.placement.pools[index]);
    let floating = config.placement.floating_cpus();
    let seat = |worker: &WorkerPlace| Seat {
        cpus: worker.cpu.map_or_else(|| floating.clone(), |cpu| vec![cpu]),
        background: worker.background,
        spin: spin_of(worker, config.spin),
    };
    template::run(template::Setup {
        pool: &pool.name,
        code,
        preload: pool.preload == Preload::ByTemplate,
        env: &pool.env,
        nice: pool.nice,
        seats: place.workers.iter().map(seat).collect(),
        region: Arc::new(start.region),
        routes,
        jobs_max: pool.concurrency,
        threads: pool.threads,
        generation: start.generation,
        channel: start.channel,
        signals: start.signals,
        supervisor: start.supervisor,
        supervisor_pid: start.supervisor_pid,
        logger: start.logger,
        title: start.title,
        alarm: config.shutdown.grace + config.shutdown.force + Duration::from_secs(1),
    })
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
    use crate::config::{Machine, Purpose};
    use crate::handler::{Request, offload};

    #[test]
    fn without_any_route_nothing_is_started() {
        let config = Sources::default().resolve(&Machine::uniform(&[0], &[0])).unwrap();
        assert_eq!(App::new().run_with(config), Exit::Config);
    }

    struct Tables;

    fn app() -> App {
        App::new().pool("cpu", Pool::new().on_load(|| Ok::<_, String>(Tables)))
    }

    fn config(purpose: Purpose, text: &str, native_pools: &[&str]) -> Config {
        let native_pools = native_pools.iter().map(|&name| name.to_owned()).collect();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("corewise.toml");
        std::fs::write(&file, text).unwrap();
        let sources = Sources { file: Some(file), native_pools, ..Sources::default() };
        let resolved = sources.resolve_for(purpose, &Machine::uniform(&[0], &[0]));
        resolved.unwrap_or_else(|faults| panic!("{faults}")).1
    }

    /// What is wrong with an application whose pool has its settings.
    #[track_caller]
    fn check(mut app: App, expected: &[&str]) {
        app.check_pools(&config(Purpose::Start, "", &["cpu"]));
        let errors: Vec<String> = app.errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors.len(), expected.len(), "{errors:?}");
        for (error, part) in errors.iter().zip(expected) {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn routes_of_pools_are_checked_against_them() {
        let plain = |_: &Request| "plain";
        let tables = |_: &Request, _: &Tables| "with tables";
        let text = |_: &Request, _: &String| "with something else";
        check(app().get("/", offload("cpu", plain)), &[]);
        check(app().get("/", offload("cpu", tables)), &[]);
        check(app().any("/", offload("cpu", text)), &["the route / takes a `alloc::string::Str"]);
        check(app().put("/a", offload("gpu", plain)), &["the route PUT /a is for the pool `gpu`"]);
        check(app().pool("cpu", Pool::new()), &["`cpu` is added twice"]);
        check(App::new().pool("C P U", Pool::new()), &["not the name of a pool", "no settings"]);
        check(App::new().pool("shard", Pool::new()), &["not the name of a pool", "no settings"]);
        check(App::new().pool("gpu", Pool::new()), &["the pool `gpu` has no settings"]);
    }

    #[test]
    fn pools_of_python_do_not_start_yet() {
        let python = config(Purpose::Answer, "[pool.ml]\n", &["cpu"]);
        let fault = python.pools_cannot_start().unwrap();
        assert_eq!((fault.code, fault.key.as_str()), ("E0106", "pool.ml"));
        assert_eq!(config(Purpose::Start, "", &["cpu"]).pools_cannot_start(), None);
        assert_eq!(config(Purpose::Start, "", &[]).pools_cannot_start(), None);
        let app = app().get("/", |_: &Request| "");
        assert_eq!(app.run_with(python), Exit::Config);
    }
}
